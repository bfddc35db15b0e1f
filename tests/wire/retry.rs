//! What becomes of requests whose replica fails them.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use http::Request;
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    origin,
    support::{Answer, Balancer, Client, Deployment, raw::Raw, until, within},
    trouble::Trouble,
};

/// A balancer with replicas that can be told to make trouble.
pub async fn start(deployment: &Deployment, replicas: &str, settings: &[&str]) -> Balancer {
    deployment.start(&[&self::settings(replicas, &command())[..], settings].concat()).await
}

/// What such replicas are started with.
pub fn command() -> String {
    origin::command_of("trouble_replica")
}

/// The settings of so many of them.
pub fn settings<'a>(replicas: &'a str, command: &'a str) -> [&'a str; 6] {
    ["--replicas", replicas, "--command", command, "--key", "query:key"]
}

async fn ask(balancer: &Balancer, number: u64, method: &str, path: &str, body: &str) -> Answer {
    let rows = balancer.rows().await;
    let row = rows.iter().find(|row| row.number == number).expect("a replica of that number");
    Client::connect(row.address.expect("it runs")).await.call(method, path, body).await
}

/// Has the replica of this number make this trouble.
pub async fn trouble(balancer: &Balancer, number: u64, trouble: Trouble) {
    assert_eq!(ask(balancer, number, "PUT", "/trouble", &trouble.to_string()).await.status, 200);
}

/// What the replica of this number was asked, in lines.
pub async fn asked(balancer: &Balancer, number: u64) -> Vec<String> {
    let body = ask(balancer, number, "GET", "/asked", "").await.body;
    body.lines().map(str::to_owned).collect()
}

/// A path whose first candidate is the replica of this number.
pub async fn path_of(balancer: &Balancer, number: u64) -> String {
    let mut client = balancer.client().await;
    for key in 0..1000 {
        let path = format!("/?key=k{key}");
        if client.call("GET", &path, "").await.body == number.to_string() {
            return path;
        }
    }
    panic!("no key of 1000 goes to {number}");
}

/// How often the replicas were asked this together.
async fn times(balancer: &Balancer, line: &str) -> usize {
    let mut times = 0;
    for row in balancer.rows().await {
        times += asked(balancer, row.number).await.iter().filter(|asked| *asked == line).count();
    }
    times
}

#[tokio::test]
async fn what_a_replica_breaks_off_is_asked_of_another_if_it_may_be_executed_twice() {
    let deployment = Deployment::of_processes();
    let balancer = start(&deployment, "2", &[]).await;
    let path = path_of(&balancer, 1).await;
    trouble(&balancer, 1, Trouble::Break).await;
    for method in ["GET", "PUT", "DELETE", "OPTIONS"] {
        let answer = balancer.call(method, &path, "body").await;
        assert_eq!((answer.status, &*answer.body), (200, "2"), "{method}");
    }
    until("it answers heartbeats, so it is asked again", async || {
        let answer = balancer.call("POST", &path, "body").await;
        answer.status == 502
    })
    .await;
    let posts = async |number| {
        asked(&balancer, number).await.iter().filter(|asked| asked.starts_with("POST")).count()
    };
    assert_eq!(posts(1).await, 1, "once, and never again");
}

#[tokio::test]
async fn a_body_goes_again_whole_if_it_is_within_the_limit() {
    let deployment = Deployment::of_processes();
    let balancer = start(&deployment, "2", &["--retry-body-limit", "1000"]).await;
    let path = path_of(&balancer, 1).await;
    trouble(&balancer, 1, Trouble::Break).await;
    assert_eq!(balancer.call("PUT", &path, &"x".repeat(1000)).await.body, "2");
    assert!(asked(&balancer, 2).await.contains(&format!("PUT {path} 1000")));
    let mut chunked = Raw::connect(balancer.traffic).await;
    let head = format!("PUT {path} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
    chunked.write(&format!("{head}3\r\nabc\r\n")).await;
    chunked.write("2\r\nde\r\n0\r\n\r\n").await;
    chunked.read_to("HTTP/1.1 200 OK").await;
    assert!(asked(&balancer, 2).await.contains(&format!("PUT {path} 5")));
    until("it is asked again", async || balancer.call("PUT", &path, &"x".repeat(1001)).await.status == 502)
        .await;
}

#[tokio::test]
async fn for_a_failure_one_other_is_asked_and_if_that_fails_too_the_client_gets_what_it_says() {
    let deployment = Deployment::of_processes();
    let balancer = start(&deployment, "3", &["--eject-after", "0"]).await;
    let path = path_of(&balancer, 1).await;
    trouble(&balancer, 1, Trouble::Status(503)).await;
    assert_eq!(balancer.call("GET", &path, "").await.status, 200);
    assert_eq!(balancer.call("POST", &path, "").await.status, 503);
    trouble(&balancer, 1, Trouble::Status(501)).await;
    assert_eq!(balancer.call("GET", &path, "").await.status, 501, "no failure of the replica's");
    for number in [1, 2, 3] {
        trouble(&balancer, number, Trouble::Status(500)).await;
    }
    let before = times(&balancer, &format!("GET {path} 0")).await;
    let answer = balancer.call("GET", &path, "").await;
    assert_eq!(answer.status, 500);
    assert!(answer.body.starts_with("trouble at "), "{}", answer.body);
    assert_eq!(times(&balancer, &format!("GET {path} 0")).await - before, 2);
}

#[tokio::test]
async fn nobody_is_asked_for_statuses_that_are_not_configured() {
    let deployment = Deployment::of_processes();
    let balancer = start(&deployment, "2", &["--retry-on", "none"]).await;
    let path = path_of(&balancer, 1).await;
    trouble(&balancer, 1, Trouble::Status(500)).await;
    assert_eq!(balancer.call("GET", &path, "").await.status, 500);
}

#[tokio::test]
async fn a_short_response_that_breaks_off_is_not_noticed_and_a_long_one_is_counted() {
    let deployment = Deployment::of_processes();
    let balancer = start(&deployment, "2", &[]).await;
    let path = path_of(&balancer, 1).await;
    trouble(&balancer, 1, Trouble::Half(16 * 1024)).await;
    assert_eq!(balancer.call("GET", &path, "").await.body, "2");
    trouble(&balancer, 1, Trouble::Half(20_000)).await;
    until("it is asked again, and its answer breaks off", async || {
        let request = Request::get(&path).body("".into()).unwrap();
        balancer.client().await.attempt(request).await.is_err()
    })
    .await;
    let pool = balancer.pool().await;
    let truncated = |number: usize| pool["replicas"][number - 1]["truncated"].as_u64();
    assert_eq!((truncated(1), truncated(2)), (Some(1), Some(0)), "{pool}");
}

#[tokio::test]
async fn one_that_does_not_answer_in_its_time_is_left_for_another() {
    let deployment = Deployment::of_processes();
    let settings = ["--try-timeout", "200ms", "--response-timeout", "5s"];
    let balancer = start(&deployment, "2", &settings).await;
    let path = path_of(&balancer, 1).await;
    trouble(&balancer, 1, Trouble::Silence).await;
    let begun = Instant::now();
    assert_eq!(balancer.call("GET", &path, "").await.body, "2");
    assert!(begun.elapsed() >= Duration::from_millis(200));
    assert_eq!(balancer.call("POST", &path, "").await.status, 504);
}

#[tokio::test]
async fn all_attempts_together_have_the_time_of_one_response() {
    let deployment = Deployment::of_processes();
    let settings = ["--try-timeout", "200ms", "--response-timeout", "300ms"];
    let balancer = start(&deployment, "3", &settings).await;
    for number in [1, 2, 3] {
        trouble(&balancer, number, Trouble::Silence).await;
    }
    let begun = Instant::now();
    assert_eq!(balancer.call("GET", "/", "").await.status, 504);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

/// The process of the replica of this number, a child of the balancer.
fn process_of(balancer: &Balancer, number: u64) -> Pid {
    let parent = balancer.pid().as_raw_nonzero().to_string();
    let wanted = format!("SERVER_ID={number}");
    let processes = std::fs::read_dir("/proc").expect("processes are listed").flatten().filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        let is_child = stat.rsplit(')').next()?.split_whitespace().nth(1)? == parent;
        let environment = std::fs::read(entry.path().join("environ")).ok()?;
        let plays = environment.split(|byte| *byte == 0).any(|entry| entry == wanted.as_bytes());
        (is_child && plays).then_some(pid)
    });
    Pid::from_raw(processes.last().expect("its process")).expect("not 0")
}

/// Stops it, and waits until it has stopped.
async fn freeze(process: Pid) {
    kill_process(process, Signal::STOP).expect("delivered");
    until("it has stopped", async || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero()));
        stat.expect("it is there").rsplit(')').next().is_some_and(|rest| rest.starts_with(" T"))
    })
    .await;
}

#[tokio::test]
async fn nobody_waits_for_a_replica_that_was_declared_dead() {
    let deployment = Deployment::of_processes();
    let balancer =
        start(&deployment, "2", &["--heartbeat-interval", "200ms", "--heartbeat-timeout", "200ms"]);
    let balancer = balancer.await;
    let path = path_of(&balancer, 1).await;
    freeze(process_of(&balancer, 1)).await;
    let (begun, gets) = (Instant::now(), async || balancer.call("GET", &path, "").await);
    let (one, two, posted) = tokio::join!(gets(), gets(), balancer.call("POST", &path, "x"));
    assert_eq!((&*one.body, &*two.body, posted.status), ("2", "2", 502));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_second_is_asked_beside_a_slow_one_if_that_is_wanted() {
    let deployment = Deployment::of_processes();
    let balancer = start(&deployment, "2", &["--hedge-after", "50ms"]).await;
    let path = path_of(&balancer, 1).await;
    trouble(&balancer, 1, Trouble::Delay(Duration::from_secs(8))).await;
    let begun = Instant::now();
    assert_eq!(balancer.call("GET", &path, "").await.body, "2");
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    trouble(&balancer, 1, Trouble::Delay(Duration::from_millis(300))).await;
    assert_eq!(balancer.call("POST", &path, "").await.body, "1", "it may not be executed twice");
    trouble(&balancer, 2, Trouble::Break).await;
    assert_eq!(balancer.call("GET", &path, "").await.body, "1", "where the second fails, the first counts");
}

#[tokio::test]
async fn there_are_no_more_retries_than_the_budget_has() {
    let deployment = Deployment::of_processes();
    let balancer = start(&deployment, "2", &["--retry-budget", "0", "--eject-after", "0"]).await;
    let path = path_of(&balancer, 1).await;
    trouble(&balancer, 1, Trouble::Status(500)).await;
    assert_eq!(balancer.call("GET", &path, "").await.status, 500);
    let other = Deployment::of_processes();
    let ample = start(&other, "2", &["--eject-after", "0"]).await;
    let path = path_of(&ample, 1).await;
    trouble(&ample, 1, Trouble::Status(500)).await;
    let mut client = ample.client().await;
    let mut failed = 0;
    for _ in 0..150 {
        failed += usize::from(client.call("GET", &path, "").await.status == 500);
    }
    assert!((30..=60).contains(&failed), "100 are always allowed, not 150: {failed}");
}

#[tokio::test]
async fn what_is_not_idempotent_goes_again_where_that_is_wanted() {
    let deployment = Deployment::of_processes();
    let balancer = start(&deployment, "2", &["--retry-non-idempotent"]).await;
    let path = path_of(&balancer, 1).await;
    trouble(&balancer, 1, Trouble::Break).await;
    assert_eq!(balancer.call("POST", &path, "body").await.body, "2");
}

#[tokio::test]
async fn one_that_fails_everything_but_heartbeats_is_left_alone_for_a_while() {
    let deployment = Deployment::of_processes();
    let balancer = start(&deployment, "3", &["--eject-time", "1s"]).await;
    let path = path_of(&balancer, 1).await;
    trouble(&balancer, 1, Trouble::Status(500)).await;
    let mut client = balancer.client().await;
    until("it is ejected", async || {
        client.call("GET", &path, "").await;
        balancer.row("Server-1").await.state == "ejected"
    })
    .await;
    let before = asked(&balancer, 1).await.len();
    assert_eq!(client.call("POST", &path, "").await.status, 200);
    trouble(&balancer, 1, Trouble::None).await;
    assert_eq!(asked(&balancer, 1).await.len(), before);
    until("it is asked again when its time is over", async || {
        client.call("GET", &path, "").await.body == "1"
    })
    .await;
    assert_eq!(balancer.row("Server-1").await.restarts, 0, "it answers heartbeats");
}

/// Connections that are open to this address (Linux).
fn open_to(address: SocketAddr) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("a table of connections");
    let remote = format!("0100007F:{:04X}", address.port());
    let established = |line: &&str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        fields[2] == remote && fields[3] == "01"
    };
    table.lines().skip(1).filter(established).count()
}

/// Idle connections are looked through every 5 s; this is not waited for.
#[tokio::test]
async fn connections_to_one_that_gets_no_requests_any_more_are_closed_on_every_core_at_once() {
    let deployment = Deployment::of_processes();
    let balancer = start(&deployment, "2", &["--threads", "2", "--heartbeat-interval", "1h"]).await;
    let path = path_of(&balancer, 1).await;
    let address = balancer.row("Server-1").await.address.expect("it runs");
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(balancer.client().await);
    }
    let answers = clients.iter_mut().map(|client| client.call("GET", &path, ""));
    futures_util::future::join_all(answers).await;
    assert!(open_to(address) >= 2, "{}", open_to(address));
    let mut admin = Client::connect(balancer.admin).await;
    let drained = admin.call("POST", "/v1/pools/default/replicas/Server-1/drain", "").await;
    assert_eq!(drained.status, 200, "{}", drained.body);
    within(Duration::from_secs(3), "no connection is left", async || (open_to(address) == 0).then_some(()))
        .await;
}
