//! Starting, stopping, dying and coming back.

use std::{net::TcpListener, time::Duration};

use serde_json::Value;
use tokio::net::TcpStream;

use crate::{
    origin,
    support::{Balancer, Deployment, PATIENCE, raw::Raw, ringkeeper, stderr, until},
};

/// Waits until nothing listens where the replicas did.
async fn all_gone(addresses: &[std::net::SocketAddr]) {
    for address in addresses {
        until("the replica is gone", async || TcpStream::connect(address).await.is_err()).await;
    }
}

async fn addresses(balancer: &Balancer) -> Vec<std::net::SocketAddr> {
    balancer.rows().await.into_iter().filter_map(|row| row.address).collect()
}

#[tokio::test]
async fn sigterm_finishes_what_is_in_flight_takes_nothing_new_and_exits_0() {
    let deployment = Deployment::of_processes();
    let mut balancer = deployment.start(&["--replicas", "1", "--command", &origin::command()]).await;
    let replicas = addresses(&balancer).await;
    let mut busy = Raw::connect(balancer.traffic).await;
    busy.write("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n12345").await;
    busy.read_to("12345").await;
    let mut idle = Raw::connect(balancer.traffic).await;
    idle.write("GET /seen HTTP/1.1\r\nHost: test\r\n\r\n").await;
    idle.read_to("}").await;

    balancer.terminate();
    assert_eq!(idle.read_to_end().await, "", "an idle connection ends");
    until("nothing new is accepted", async || TcpStream::connect(balancer.traffic).await.is_err()).await;
    busy.write("67890").await;
    busy.read_to("67890").await;
    assert_eq!(busy.read_to_end().await, "");
    let status = balancer.ends().await;
    assert_eq!(status.code(), Some(0), "{}", balancer.log().join("\n"));
    all_gone(&replicas).await;
}

#[tokio::test]
async fn what_does_not_end_is_cut_off_after_the_drain_timeout() {
    let deployment = Deployment::of_processes();
    let settings = ["--replicas", "1", "--command", &origin::command(), "--drain-timeout", "300ms"];
    let mut balancer = deployment.start(&settings).await;
    let mut busy = Raw::connect(balancer.traffic).await;
    busy.write("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n12345").await;
    busy.read_to("12345").await;
    balancer.terminate();
    assert_eq!(balancer.ends().await.code(), Some(0));
}

#[tokio::test]
async fn replicas_die_with_a_balancer_that_is_killed() {
    let deployment = Deployment::of_processes();
    let mut balancer = deployment.start(&[]).await;
    let replicas = addresses(&balancer).await;
    assert_eq!(replicas.len(), 3);
    balancer.kill();
    all_gone(&replicas).await;
}

#[tokio::test]
async fn the_same_names_and_numbers_come_back_after_a_kill() {
    let deployment = Deployment::of_processes();
    let mut balancer = deployment.start(&[]).await;
    balancer.call("DELETE", "/rm", r#"{"n":1,"hostnames":["Server-1"]}"#).await;
    balancer.call("POST", "/add", r#"{"n":3,"hostnames":["S5"]}"#).await;
    let seats = balancer.seats().await;
    assert_eq!(seats.len(), 5);
    balancer.kill();
    let mut balancer = deployment.start(&[]).await;
    assert_eq!(balancer.seats().await, seats);
    balancer.terminate();
    balancer.ends().await;
    let balancer = deployment.start(&[]).await;
    assert_eq!(balancer.seats().await, seats, "after a stop too");
}

#[tokio::test]
async fn the_stored_set_follows_the_configured_count_only_when_that_changes() {
    let deployment = Deployment::of_processes();
    let mut balancer = deployment.start(&["--replicas", "2"]).await;
    balancer.call("POST", "/add", r#"{"n":1,"hostnames":["S9"]}"#).await;
    for (replicas, names) in [
        ("2", &["Server-1", "Server-2", "S9"][..]),
        ("4", &["Server-1", "Server-2", "S9", "Server-4"]),
        ("1", &["Server-1"]),
        ("1", &["Server-1"]),
    ] {
        balancer.kill();
        balancer = deployment.start(&["--replicas", replicas]).await;
        assert_eq!(balancer.names().await, names);
    }
}

#[tokio::test]
async fn a_dead_replica_comes_back_under_its_name_and_number_and_its_exit_is_told() {
    let deployment = Deployment::of_processes();
    let balancer = deployment.start(&["--command", &origin::command()]).await;
    let old = balancer.row("Server-2").await;
    let id = (100_000..).find(|id| crate::support::predicted(&[*id], &[])[0][0] == 2).unwrap();
    let answer = balancer.call("GET", &format!("/die?request_id={id}"), "").await;
    assert_eq!(answer.status, 502);
    let new = balancer.replaced(&old, PATIENCE).await;
    assert_eq!((new.number, new.restarts), (2, 1));
    let pool = balancer.pool().await;
    assert_eq!(pool["replicas"][1]["last_exit"]["code"], origin::DIED);
    let answer = balancer.call("GET", &format!("/seen?request_id={id}"), "").await;
    assert_eq!(answer.json()["server"], "2");
}

#[tokio::test]
async fn a_second_balancer_on_one_state_directory_fails_and_harms_nothing() {
    let deployment = Deployment::of_processes();
    let balancer = deployment.start(&[]).await;
    let rows = balancer.rows().await;
    let output = deployment.serve_in_vain(&[]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("another balancer is running with the state directory"), "{said}");
    assert!(said.contains(deployment.state.to_str().unwrap()) && said.contains("--state-dir"), "{said}");
    assert_eq!(balancer.rows().await, rows);
}

#[tokio::test]
async fn a_taken_port_is_an_error_that_names_it_and_the_flag() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    let deployment = Deployment::of_processes();
    for flag in ["--listen", "--admin-listen"] {
        let output = deployment.serve_in_vain(&[flag, &taken]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1));
        assert!(said.contains(&format!("cannot listen on {taken}; {flag} sets another address")), "{said}");
    }
    let balancer = deployment.start(&[]).await;
    let (other, taken) = (Deployment::of_processes(), balancer.traffic.to_string());
    let said = stderr(&other.serve_in_vain(&["--listen", &taken]));
    assert!(said.contains(&format!("cannot listen on {taken}")), "a balancer's port is taken too: {said}");
}

#[tokio::test]
async fn down_ends_a_running_balancer_and_forgets_the_set() {
    let deployment = Deployment::of_processes();
    let mut balancer = deployment.start(&[]).await;
    let replicas = addresses(&balancer).await;
    balancer.call("POST", "/add", r#"{"n":1}"#).await;
    let output = deployment.command("down", &[]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(balancer.ends().await.code(), Some(0));
    all_gone(&replicas).await;
    let balancer = deployment.start(&[]).await;
    assert_eq!(balancer.names().await, ["Server-1", "Server-2", "Server-3"], "a fresh set");
}

#[tokio::test]
async fn down_needs_no_running_balancer() {
    let deployment = Deployment::of_processes();
    let mut balancer = deployment.start(&["--replicas", "1"]).await;
    balancer.call("POST", "/add", r#"{"n":1}"#).await;
    balancer.kill();
    let output = deployment.command("down", &[]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let balancer = deployment.start(&["--replicas", "1"]).await;
    assert_eq!(balancer.names().await, ["Server-1"]);
}

#[tokio::test]
async fn status_waits_for_readiness_and_shows_what_v1_does() {
    let deployment = Deployment::of_processes();
    let balancer = deployment.launch(&[]).await;
    let admin = balancer.admin.to_string();
    let output =
        ringkeeper().args(["status", "--wait-ready", "--json", "--admin-listen", &admin]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown, balancer.pool().await);
    assert_eq!((&shown["pool"], &shown["ring"]["slots"]), (&"default".into(), &262_147.into()));
    let row = &shown["replicas"][0];
    assert_eq!(
        (&row["name"], &row["number"], &row["state"]),
        (&"Server-1".into(), &1.into(), &"ready".into())
    );
    assert_eq!((&row["restarts"], &row["last_exit"]), (&0.into(), &Value::Null));
    let table = ringkeeper().args(["status", "--admin-listen", &admin]).output().unwrap();
    assert!(String::from_utf8_lossy(&table.stdout).contains("Server-3"));
}

#[tokio::test]
async fn status_says_what_is_not_ready_in_time() {
    let deployment = Deployment::of_processes();
    let balancer = deployment.launch(&["--replicas", "1", "--command", "sleep 1000"]).await;
    let admin = balancer.admin.to_string();
    let mut status = ringkeeper();
    status.args(["status", "--wait-ready", "--timeout", "200ms", "--admin-listen", &admin]);
    let output = status.output().unwrap();
    assert!(!output.status.success());
    assert!(stderr(&output).contains("not every replica is ready after 200ms"), "{}", stderr(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("starting"));
}

/// Frozen, a replica keeps its connections and says nothing: only its heartbeats show it.
#[tokio::test]
async fn a_frozen_replica_is_replaced_when_its_heartbeats_fail() {
    let deployment = Deployment::of_processes();
    let settings =
        ["--heartbeat-interval", "100ms", "--heartbeat-timeout", "100ms", "--command", &origin::command()];
    let balancer = deployment.start(&settings).await;
    let old = balancer.row("Server-1").await;
    let id = (100_000..).find(|id| crate::support::predicted(&[*id], &[])[0][0] == 1).unwrap();
    let mut client = Raw::connect(balancer.traffic).await;
    client.write(&format!("GET /freeze?request_id={id} HTTP/1.1\r\nHost: test\r\n\r\n")).await;
    let new = balancer.replaced(&old, Duration::from_secs(5)).await;
    assert_eq!(new.number, 1);
}
