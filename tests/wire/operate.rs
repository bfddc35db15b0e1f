//! What operators have under `/v1`: events, logs, scale, weights, and what a replica that keeps dying is shown as.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    origin,
    support::{
        Answer, Balancer, Client, Deployment, PATIENCE, predicted, raw::Raw, ringkeeper, until, within,
    },
};

/// The answer of the admin listener.
async fn admin(balancer: &Balancer, method: &str, path: &str, body: &str) -> Answer {
    Client::connect(balancer.admin).await.call(method, path, body).await
}

async fn put(balancer: &Balancer, path: &str, body: Value) -> Answer {
    admin(balancer, "PUT", &format!("/v1/pools/default/{path}"), &body.to_string()).await
}

/// The events after this place, waited for where there are none yet.
async fn events(balancer: &Balancer, after: u64) -> Value {
    let path = format!("/v1/pools/default/events?after={after}&wait=20");
    admin(balancer, "GET", &path, "").await.json()
}

fn kinds(events: &Value, name: &str) -> Vec<String> {
    let events = events["events"].as_array().expect("events").iter();
    let of_it = events.filter(|event| event["name"] == name);
    of_it.map(|event| event["kind"].as_str().expect("a word").to_owned()).collect()
}

#[tokio::test]
async fn events_tell_what_happened_in_order_and_can_be_waited_for() {
    let deployment = Deployment::of_processes();
    let balancer = deployment.start(&[]).await;
    let before = events(&balancer, 0).await;
    assert_eq!(kinds(&before, "Server-1"), ["ready"]);
    let last = before["last"].as_u64().expect("a place");
    let (coming, _) =
        tokio::join!(events(&balancer, last), balancer.call("POST", "/add", r#"{"n":1,"hostnames":["S5"]}"#));
    assert_eq!(kinds(&coming, "S5")[0], "added", "the answer came with the event: {coming}");
    assert_eq!(coming["events"][0]["seq"], last + 1);
    balancer.call("DELETE", "/rm", r#"{"n":1,"hostnames":["S5"]}"#).await;
    until("its end is told", async || {
        kinds(&events(&balancer, last).await, "S5") == ["added", "ready", "removed", "gone"]
    })
    .await;
    for (query, status) in [("after=x", 400), ("wait=61", 400), ("since=3", 400), ("after=3", 200)] {
        let answer = admin(&balancer, "GET", &format!("/v1/pools/default/events?{query}"), "").await;
        assert_eq!(answer.status, status, "{query}: {}", answer.body);
        assert_eq!(status == 200, answer.json()["detail"].is_null(), "{}", answer.body);
    }
}

#[tokio::test]
async fn a_replica_that_keeps_dying_is_shown_with_its_exit_and_its_last_words() {
    let deployment = Deployment::of_processes();
    // to one pipe: what comes through two has no order
    let says = "sh -c 'echo out of cheese; (seq 100; echo farewell) >&2; exit 7'";
    let settings = ["--replicas", "1", "--command", says, "--restart-pause", "1h"];
    let balancer = deployment.launch(&settings).await;
    let row = within(PATIENCE, "it is called crash-looping, and its last words are there", async || {
        let row = balancer.pool().await["replicas"][0].clone();
        let words = row["last_exit"]["log"].as_array().is_some_and(|log| !log.is_empty());
        (row["state"] == "crash-looping" && words).then_some(row)
    })
    .await;
    assert!(row["reason"].as_str().unwrap().contains("exited with code 7; next start at"), "{row}");
    let (exit, log) = (&row["last_exit"], row["last_exit"]["log"].as_array().unwrap());
    assert_eq!((&exit["code"], &exit["oom"], log.len()), (&json!(7), &json!(false), 50));
    assert!(
        log.contains(&json!("farewell")) && log.contains(&json!("100")) && !log.contains(&json!("1")),
        "{log:?}"
    );
    let told = events(&balancer, 0).await;
    let death =
        told["events"].as_array().unwrap().iter().find(|event| event["kind"] == "died").expect("a death");
    assert_eq!(death["log"], row["last_exit"]["log"]);
    let status =
        ringkeeper().args(["status", "--admin-listen", &balancer.admin.to_string()]).output().unwrap();
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(
        status.contains("Server-1 keeps dying: exited with code 7") && status.contains("farewell"),
        "{status}"
    );
}

#[tokio::test]
async fn logs_are_those_of_the_present_instance_and_can_be_followed() {
    let deployment = Deployment::of_processes();
    let says = "sh -c 'echo first; echo second; exec sleep 1000'";
    let balancer = deployment.launch(&["--replicas", "1", "--command", says]).await;
    let logs = async |query: &str| {
        admin(&balancer, "GET", &format!("/v1/pools/default/replicas/server-1/logs{query}"), "").await
    };
    until("it has written", async || logs("").await.body == "first\nsecond\n").await;
    assert_eq!(logs("?tail=1").await.body, "second\n");
    assert_eq!(logs("?tail=1").await.header("content-type"), Some("text/plain; charset=utf-8"));
    for (query, status) in [("?tail=x", 400), ("?tail=10001", 400), ("?lines=3", 400)] {
        assert_eq!(logs(query).await.status, status, "{query}");
    }
    let nobody = admin(&balancer, "GET", "/v1/pools/default/replicas/S9/logs", "").await;
    assert_eq!(
        (nobody.status, nobody.json()["detail"].clone()),
        (404, json!("There is no replica named 'S9'"))
    );
    let mut follower = Raw::connect(balancer.admin).await;
    let path = "/v1/pools/default/replicas/Server-1/logs?follow=true";
    follower.write(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")).await;
    follower.read_to("second").await;
    balancer.call("DELETE", "/rm", r#"{"n":1}"#).await;
    assert!(follower.read_to_end().await.ends_with("0\r\n\r\n"), "it ends with the instance");
}

#[tokio::test]
async fn scale_adds_fresh_ones_and_takes_whom_the_setting_says() {
    let deployment = Deployment::of_processes();
    let balancer = deployment.start(&["--victim", "newest"]).await;
    let answer = put(&balancer, "scale", json!({ "replicas": 5 })).await;
    assert_eq!((answer.status, answer.json()), (200, balancer.pool().await));
    balancer.all_ready().await; // which is what the answer waited for
    assert_eq!(balancer.names().await, ["Server-1", "Server-2", "Server-3", "Server-4", "Server-5"]);
    assert_eq!(put(&balancer, "scale", json!({ "replicas": 2 })).await.status, 200);
    assert_eq!(balancer.names().await, ["Server-1", "Server-2"]);
    assert_eq!(put(&balancer, "scale", json!({ "replicas": 2 })).await.status, 200);
    for wrong in
        [json!({}), json!({ "replicas": 101 }), json!({ "replicas": "3" }), json!({ "n": 3 }), json!(3)]
    {
        let answer = put(&balancer, "scale", wrong.clone()).await;
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.body);
        assert!(answer.json()["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{}", answer.body);
    }
    assert_eq!(balancer.names().await, ["Server-1", "Server-2"]);
    assert_eq!(put(&balancer, "scale", json!({ "replicas": 0 })).await.status, 200);
    assert_eq!(balancer.names().await, [""; 0]);
}

#[tokio::test]
async fn a_weight_is_a_share_of_the_ring_and_survives_a_restart() {
    let deployment = Deployment::of_processes();
    let settings = ["--command", &origin::command()];
    let mut balancer = deployment.start(&settings).await;
    let answer = put(&balancer, "replicas/Server-2/weight", json!({ "weight": 8 })).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    balancer.kill();
    let balancer = deployment.start(&settings).await;
    assert_eq!(balancer.pool().await["replicas"][1]["weight"], 8);
    let mut client = balancer.client().await;
    for id in 0..1000 {
        client.call("GET", &format!("/seen?request_id={}", 100_000 + id), "").await;
    }
    let rows = balancer.pool().await["replicas"].clone();
    let requests = |row: usize| rows[row]["requests"].as_u64().expect("a count");
    assert_eq!(requests(0) + requests(1) + requests(2), 1000);
    assert!((700..900).contains(&requests(1)), "eight tenths go to it: {rows}");
    for (path, body, status) in [
        ("replicas/Server-2/weight", json!({ "weight": 0 }), 400),
        ("replicas/Server-2/weight", json!({ "weight": 101 }), 400),
        ("replicas/Server-2/weight", json!({ "weight": 1.5 }), 400),
        ("replicas/S9/weight", json!({ "weight": 2 }), 404),
    ] {
        let answer = put(&balancer, path, body.clone()).await;
        assert_eq!(answer.status, status, "{path} {body}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_weight_that_the_ring_has_no_room_for_is_refused() {
    let deployment = Deployment::of_processes();
    let balancer = deployment.start(&["--preset", "assignment", "--heartbeat-interval", "1s"]).await;
    let heavy = put(&balancer, "replicas/Server-1/weight", json!({ "weight": 55 })).await;
    let detail = "Cannot give 'Server-1' the weight 55: the ring has room for 54 at most";
    assert_eq!((heavy.status, heavy.json()["detail"].clone()), (400, json!(detail)));
    assert_eq!(put(&balancer, "replicas/Server-1/weight", json!({ "weight": 53 })).await.status, 200);
    let full = balancer.call("POST", "/add", r#"{"n":2}"#).await;
    assert!(full.status == 400 && full.body.contains("there is room for 1 more"), "{}", full.body);
    assert_eq!(balancer.call("POST", "/add", r#"{"n":1}"#).await.status, 200);
}

/// The file that the set is written to is the full disk itself.
#[tokio::test]
async fn a_full_state_directory_refuses_changes_loudly_and_the_replicas_go_on() {
    let deployment = Deployment::of_processes();
    let balancer = deployment.start(&["--command", &origin::command()]).await;
    let full = deployment.state.join("state.json.new");
    std::os::unix::fs::symlink("/dev/full", &full).unwrap();
    let answer = balancer.call("POST", "/add", r#"{"n":1}"#).await;
    assert_eq!(answer.status, 500);
    assert!(
        answer.body.contains("No space left on device") && answer.body.contains("--state-dir"),
        "{}",
        answer.body
    );
    assert_eq!(balancer.names().await, ["Server-1", "Server-2", "Server-3"]);

    let old = balancer.row("Server-1").await;
    let id = (100_000..).find(|id| predicted(&[*id], &[])[0][0] == 1).unwrap();
    balancer.call("GET", &format!("/die?request_id={id}"), "").await;
    balancer.replaced(&old, PATIENCE).await;
    let problem = balancer.pool().await["problem"].clone();
    assert!(problem.as_str().is_some_and(|text| text.contains("No space left on device")), "{problem}");
    let complaints = balancer.log().iter().filter(|line| line.contains("No space left")).count();
    assert_eq!(complaints, 2, "said once for each change, not again and again");

    std::fs::remove_file(&full).unwrap();
    until("the set is stored again", async || balancer.pool().await["problem"].is_null()).await;
    let stored = std::fs::read_to_string(deployment.state.join("state.json")).unwrap();
    assert!(stored.contains(&balancer.row("Server-1").await.instance), "{stored}");
}

/// When many fall silent at once, it may be the way to them that is broken: they are replaced one after the other.
#[tokio::test]
async fn silent_ones_are_replaced_one_at_a_time() {
    let deployment = Deployment::of_processes();
    let command = origin::command();
    let settings = ["--heartbeat-interval", "100ms", "--heartbeat-timeout", "100ms", "--command", &command];
    let balancer = deployment.start(&settings).await;
    let before = balancer.rows().await;
    for row in &before {
        let number = row.number;
        let id = (100_000..).find(|id| predicted(&[*id], &[])[0][0] == number).unwrap();
        let mut client = Raw::connect(balancer.traffic).await;
        client.write(&format!("GET /freeze?request_id={id} HTTP/1.1\r\nHost: test\r\n\r\n")).await;
    }
    for row in &before {
        balancer.replaced(row, Duration::from_secs(10)).await;
    }
    let told = events(&balancer, 0).await;
    let order: Vec<&str> = told["events"].as_array().unwrap()[3..]
        .iter()
        .map(|event| event["kind"].as_str().unwrap())
        .filter(|kind| ["died", "ready"].contains(kind))
        .collect();
    assert_eq!(order, ["died", "ready", "died", "ready", "died", "ready"], "{told}");
}
