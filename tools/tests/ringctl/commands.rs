//! Each command against the real balancer.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use super::support::{Balancer, code, json as read, text};

/// Three replicas that were there from the start.
const THREE: &str = "3 replicas\n  Server-1\n  Server-2\n  Server-3";

#[test]
fn the_client_changes_the_replicas_and_says_what_came_of_it() {
    let Some(balancer) = Balancer::start(&[]) else { return };
    assert_eq!(text(&balancer.ringctl("rep")), (0, THREE.to_owned(), String::new()));
    let added = read(&balancer.ringctl("add 2 hello world -o json"));
    assert_eq!(added["replicas"], json!(["Server-1", "Server-2", "Server-3", "hello", "world"]));
    let (code, _, error) = text(&balancer.ringctl("add 1 hello"));
    assert!(code == 1 && error.contains("'hello'") && error.contains("nothing was changed"), "{error}");
    let (_, removed, _) = text(&balancer.ringctl("del 2 hello world"));
    assert_eq!(removed, format!("{THREE}\n- hello\n- world"));
    let (code, _, error) = text(&balancer.ringctl("rm 4"));
    assert!(code == 1 && error.contains("only 3"), "{error}");
    let (code, _, error) = text(&balancer.ringctl("rep --pool web"));
    assert!(code == 1 && error.contains("no pool 'web'") && error.contains("`ringctl pools`"), "{error}");
    assert_eq!(text(&balancer.ringctl("add s4 --quiet")), (0, String::new(), String::new()));
    assert_eq!(text(&balancer.ringctl("rep -q")).1, "Server-1\nServer-2\nServer-3\ns4");
}

#[test]
fn the_client_requests_what_the_replicas_serve() {
    let Some(balancer) = Balancer::start(&[]) else { return };
    let (code, answer, _) = text(&balancer.ringctl("home"));
    assert!(code == 0 && answer.starts_with("Hello from Server: "), "{answer}");
    assert_eq!(read(&balancer.ringctl("-o json home"))["status"], 200);
    let (code, answer, error) = text(&balancer.ringctl("hello/world"));
    assert!(code == 1 && answer.is_empty() && error.contains("/hello/world: 404"), "{answer} {error}");
}

#[test]
fn scaling_waits_for_who_comes_and_on_demand_for_who_goes() {
    let Some(balancer) = Balancer::start(&[]) else { return };
    let states = || {
        let status = read(&balancer.ringctl("status -o json"));
        let rows = status["replicas"].as_array().expect("replicas").clone();
        rows.iter().map(|row| row["state"].as_str().expect("a state").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(code(&balancer.ringctl("scale 5")), 0);
    assert_eq!(states(), ["ready"; 5]);
    let (code, output, _) = text(&balancer.ringctl("scale 2 --wait"));
    assert!(code == 0 && output.starts_with("2 replicas") && output.matches("\n- ").count() == 3, "{output}");
    assert_eq!(states(), ["ready"; 2], "nobody leaves any more");
    let (code, output, _) = text(&balancer.ringctl("add 3 --detach"));
    assert!(code == 0 && output.starts_with("5 replicas"), "{output}");
    assert_eq!(states().len(), 5);
}

#[test]
fn a_weight_moves_the_shares_to_what_the_ring_is_said_to_give() {
    let Some(balancer) = Balancer::start(&[]) else { return };
    let (code, output, _) = text(&balancer.ringctl("weight Server-2 2"));
    assert!(code == 0 && output.contains("WEIGHT"), "{output}");
    let status = read(&balancer.ringctl("status -o json"));
    let share = |at: usize| status["replicas"][at]["share"].as_f64().expect("a share");
    assert!((share(1) - 0.5).abs() < 0.02 && (share(0) - 0.25).abs() < 0.02, "{status}");
    let (code, _, error) = text(&balancer.ringctl("weight nobody 2"));
    assert!(code == 1 && error.contains("nobody"), "{error}");
}

#[test]
fn a_replica_is_drained_restored_and_restarted() {
    let Some(balancer) = Balancer::start(&[]) else { return };
    let row = |verb: &str| {
        let status = read(&balancer.ringctl(&format!("{verb} Server-2 -o json")));
        let rows = status["replicas"].as_array().expect("replicas").iter();
        rows.filter(|row| row["state"] != "leaving").find(|row| row["number"] == 2).expect("a row").clone()
    };
    let drained = row("drain");
    assert_eq!((&drained["state"], &drained["errors"]), (&"drained".into(), &0.into()), "{drained}");
    let (_, doctor, _) = text(&balancer.ringctl("doctor"));
    assert!(doctor.contains("Server-2 is drained"), "{doctor}");
    assert_eq!(row("restore")["state"], "ready");
    let restarted = row("restart");
    assert_eq!((&restarted["state"], &restarted["restarts"]), (&"ready".into(), &1.into()));
    assert_ne!(restarted["instance"], drained["instance"]);
    let (code, _, error) = text(&balancer.ringctl("drain nobody"));
    assert!(code == 1 && error.contains("nobody"), "{error}");
}

#[test]
fn a_key_goes_where_it_is_explained_to_go() {
    let Some(balancer) = Balancer::start(&[]) else { return };
    for key in ["132574", "999999", "user-77", "0"] {
        let explained = read(&balancer.ringctl(&format!("explain {key} -o json")));
        let number = &explained["route"][0]["number"];
        let (_, answer, _) = text(&balancer.ringctl(&format!("home?request_id={key}")));
        assert_eq!(answer, format!("Hello from Server: {number}"), "{explained}");
    }
}

#[test]
fn what_is_simulated_is_what_comes_of_it() {
    let Some(balancer) = Balancer::start(&[]) else { return };
    let simulated = read(&balancer.ringctl("simulate add 1 -o json"));
    assert!(simulated["moved"].as_f64() >= simulated["least"].as_f64(), "{simulated}");
    assert_eq!(code(&balancer.ringctl("add 1")), 0);
    let ring = read(&balancer.ringctl("ring -o json"));
    for at in 0..4 {
        let (then, now) = (&simulated["shares"][at]["after"], &ring["servers"][at]["keys"]);
        assert_eq!(then, now, "{simulated} {ring}");
    }
    let (code, _, error) = text(&balancer.ringctl("simulate rm nobody"));
    assert!(code == 1 && error.contains("'nobody'"), "{error}");
}

#[test]
fn events_and_logs_come_as_they_are() {
    let Some(balancer) = Balancer::start(&[]) else { return };
    assert_eq!(code(&balancer.ringctl("add s4")), 0);
    let events = read(&balancer.ringctl("events -o json"));
    let of_s4 = |event: &&Value| event["name"] == "s4";
    let kinds: Vec<_> = events["events"]
        .as_array()
        .expect("events")
        .iter()
        .filter(of_s4)
        .map(|event| &event["kind"])
        .collect();
    assert_eq!(kinds, ["added", "ready"], "{events}");
    let (code, log, error) = text(&balancer.ringctl("logs s4"));
    assert!(code == 0 && log.contains("listening on") && error.is_empty(), "{log} {error}");
}

#[test]
fn followed_events_come_when_they_happen() {
    let Some(balancer) = Balancer::start(&[]) else { return };
    let mut client = Command::new(env!("CARGO_BIN_EXE_ringctl"))
        .env_clear()
        .args(["events", "-f", "-o", "json", "--url", &balancer.url, "--admin-url", &balancer.admin_url])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the client starts");
    let mut lines = BufReader::new(client.stdout.take().expect("piped")).lines();
    let mut next =
        || -> Value { serde_json::from_str(&lines.next().expect("a line").expect("a text")).expect("JSON") };
    (0..3).for_each(|_| assert_eq!(next()["kind"], "ready"));
    assert_eq!(code(&balancer.ringctl("add s4")), 0);
    assert_eq!((next()["kind"].clone(), next()["kind"].clone()), ("added".into(), "ready".into()));
    client.kill().expect("it runs");
    client.wait().expect("it ends");
}

#[test]
fn a_watched_command_is_repeated_a_line_of_json_each() {
    let Some(balancer) = Balancer::start(&[]) else { return };
    let mut client = Command::new(env!("CARGO_BIN_EXE_ringctl"))
        .env_clear()
        .args(["rep", "--watch=100ms", "-o", "json", "--url", &balancer.url])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the client starts");
    let lines = BufReader::new(client.stdout.take().expect("piped")).lines();
    for line in lines.take(3) {
        let value: Value = serde_json::from_str(&line.expect("a text")).expect("JSON");
        assert_eq!(value["N"], 3);
    }
    client.kill().expect("it runs");
    client.wait().expect("it ends");
}

#[test]
fn the_doctor_finds_nothing_wrong_with_a_sound_balancer() {
    let Some(balancer) = Balancer::start(&[]) else { return };
    let (code, output, error) = text(&balancer.ringctl("doctor"));
    assert_eq!((code, error.as_str()), (0, ""), "{output}");
    assert!(output.contains("a request for each of 3 was answered") && !output.contains("WRONG"), "{output}");
}

#[test]
fn the_doctor_finds_a_missing_token() {
    let Some(balancer) = Balancer::start_with_token("s3cret") else { return };
    let (code, output, _) = text(&balancer.ringctl("doctor"));
    assert!(code == 1 && output.contains("this balancer wants one"), "{code} {output}");
    let (code, output, _) = text(&balancer.ringctl("doctor --token s3cret"));
    assert!(code == 0, "{code} {output}");
    assert_eq!(self::code(&balancer.ringctl("scale 4 --token s3cret")), 0);
    assert_eq!(self::code(&balancer.ringctl("add 1")), 1);
}

#[test]
fn nothing_is_coloured_where_it_is_not_read_on_a_terminal() {
    let Some(balancer) = Balancer::start(&[]) else { return };
    for line in ["status", "ring", "explain 7", "simulate add 1", "events", "doctor", "add s4", "help"] {
        let (code, output, error) = text(&balancer.ringctl(line));
        assert!(code == 0 && !output.contains('\u{1b}') && error.is_empty(), "{line}: {output}{error}");
    }
}
