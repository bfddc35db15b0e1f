//! Replicas that somebody else runs: here, this test.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU8, Ordering::Relaxed},
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::net::TcpStream;

use crate::support::{Answer, Balancer, Client, Deployment, PATIENCE, raw::Raw, stderr, until, within};

/// Heartbeats that take no time.
pub const QUICK: [&str; 4] = ["--heartbeat-interval", "100ms", "--heartbeat-timeout", "200ms"];

/// A server on an address of its own, where it can be ended and started again. Killed when this is dropped.
pub struct Upstream {
    pub address: SocketAddr,
    word: &'static str,
    process: Option<Child>,
}

impl Upstream {
    /// An address where nothing listens yet.
    pub fn absent(word: &'static str) -> Self {
        // its port stays free while nothing listens
        let ip = own_address();
        let free = TcpListener::bind((ip, 0)).expect("loopback has many addresses");
        Upstream { address: free.local_addr().expect("bound"), word, process: None }
    }

    /// As many, at one port, that listen: the addresses of one host.
    pub async fn together<const N: usize>(words: [&'static str; N]) -> [Self; N] {
        let first = Upstream::absent(words[0]);
        let mut all = words.map(|word| {
            let address = SocketAddr::new(own_address().into(), first.address.port());
            Upstream { address, word, process: None }
        });
        for upstream in &mut all {
            upstream.begin().await;
        }
        all
    }

    /// One that listens.
    pub async fn start(word: &'static str) -> Self {
        let mut upstream = Upstream::absent(word);
        upstream.begin().await;
        upstream
    }

    pub async fn begin(&mut self) {
        let mut command = Command::new(std::env::current_exe().expect("a test binary"));
        command.args(["replica", "--exact", "--ignored", "--nocapture"]).stdout(Stdio::null());
        command.env("BIND", self.address.ip().to_string()).env("PORT", self.address.port().to_string());
        self.process = Some(command.env("SERVER_ID", self.word).spawn().expect("it starts"));
        until("it listens", async || TcpStream::connect(self.address).await.is_ok()).await;
    }

    /// Ends it as `kill -9` does.
    pub fn end(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _may_have_ended = process.kill();
            let _may_have_ended = process.wait();
        }
    }

    pub fn name(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.end();
    }
}

/// An address of loopback that no other test has.
fn own_address() -> Ipv4Addr {
    static COUNT: AtomicU8 = AtomicU8::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 64 | high & 63, low, COUNT.fetch_add(1, Relaxed))
}

/// A balancer of these, with quick heartbeats; they may not be ready yet.
pub async fn launch(deployment: &Deployment, upstreams: &[&str], more: &[&str]) -> Balancer {
    let upstreams = upstreams.iter().flat_map(|upstream| ["--upstream", upstream]);
    let arguments: Vec<&str> = upstreams.chain(QUICK).chain(more.iter().copied()).collect();
    deployment.launch(&arguments).await
}

pub async fn call(balancer: &Balancer, (method, path): (&str, &str), n: usize, hostnames: &[&str]) -> Answer {
    balancer.call(method, path, &json!({ "n": n, "hostnames": hostnames }).to_string()).await
}

pub const ADD: (&str, &str) = ("POST", "/add");
pub const RM: (&str, &str) = ("DELETE", "/rm");

/// Who answers each of these many requests; fails where one does not answer with 200.
pub async fn answered_by(balancer: &Balancer, requests: u32) -> Vec<String> {
    let (mut client, mut words) = (balancer.client().await, Vec::new());
    for id in 0..requests {
        let answer = client.call("GET", &format!("/seen?request_id={}", 100_000 + id), "").await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        words.push(answer.json()["server"].as_str().expect("a word").to_owned());
    }
    words
}

pub fn has(words: &[String], word: &str) -> bool {
    words.iter().any(|answered| answered == word)
}

#[tokio::test]
async fn one_that_fails_gets_no_requests_until_it_answers_again_and_is_never_another() {
    let (one, mut two) = (Upstream::start("one").await, Upstream::start("two").await);
    let deployment = Deployment::of_upstreams();
    let balancer = launch(&deployment, &[&one.name(), &two.name()], &[]).await;
    balancer.all_ready().await;
    assert_eq!(balancer.seats().await, [(one.name(), 1), (two.name(), 2)]);
    let before = answered_by(&balancer, 60).await;
    assert!(has(&before, "one") && has(&before, "two"));
    let there = balancer.row(&two.name()).await;

    two.end();
    let begun = Instant::now();
    let down = within(PATIENCE, "it is out of the table", async || {
        assert!(!has(&answered_by(&balancer, 10).await, "two"), "what cannot connect goes to the other");
        let row = balancer.row(&two.name()).await;
        (row.state == "down").then_some(row)
    })
    .await;
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!(down.reason.as_deref(), Some("3 heartbeats in a row failed"));
    assert_eq!((&down.instance, down.restarts, down.address), (&there.instance, 0, there.address));
    assert!(!has(&answered_by(&balancer, 60).await, "two"));

    two.begin().await;
    let begun = Instant::now();
    let back = within(PATIENCE, "it is back", async || {
        Some(balancer.row(&two.name()).await).filter(|row| row.state == "ready")
    })
    .await;
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(back, there);
    assert_eq!(answered_by(&balancer, 60).await, before, "and has its old keys");
    let told: Vec<String> = balancer.log().into_iter().filter(|line| line.contains(&two.name())).collect();
    assert_eq!(
        told.iter().filter(|line| line.contains("no requests until it answers again")).count(),
        1,
        "{told:?}"
    );
}

#[tokio::test]
async fn addresses_are_added_and_removed_and_what_is_in_flight_is_finished() {
    let (one, two) = (Upstream::start("one").await, Upstream::start("two").await);
    let deployment = Deployment::of_upstreams();
    let balancer = launch(&deployment, &[&one.name()], &[]).await;
    balancer.all_ready().await;
    let added = call(&balancer, ADD, 1, &[&two.name()]).await;
    assert_eq!(added.status, 200, "{}", added.body);
    assert_eq!(balancer.names().await, [one.name(), two.name()]);
    assert!(has(&answered_by(&balancer, 60).await, "two"), "it is ready when the answer comes");

    let removed = call(&balancer, RM, 1, &[&one.name()]).await;
    assert_eq!(removed.status, 200, "{}", removed.body);
    let mut busy = Raw::connect(balancer.traffic).await;
    busy.write("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n12345").await;
    busy.read_to("12345").await;
    let removed = call(&balancer, RM, 1, &[&two.name()]).await;
    assert_eq!(removed.json()["message"]["N"], 0, "{}", removed.body);
    let leaving = balancer.rows().await;
    assert!(leaving.iter().any(|row| row.name == two.name() && row.state == "leaving"), "{leaving:?}");
    assert_eq!(balancer.call("GET", "/seen", "").await.status, 503);
    busy.write("67890").await;
    busy.read_to("67890").await;
    until("nothing is left of it", async || balancer.rows().await.is_empty()).await;
    assert_eq!(call(&balancer, ADD, 1, &[&two.name()]).await.status, 200, "it may come back at once");
    assert!(has(&answered_by(&balancer, 1).await, "two"));
}

#[tokio::test]
async fn a_restart_keeps_the_set_and_follows_only_a_changed_list() {
    let upstreams =
        [Upstream::start("one").await, Upstream::start("two").await, Upstream::start("three").await];
    let [one, two, three] = upstreams.each_ref().map(Upstream::name);
    let deployment = Deployment::of_upstreams();
    let mut balancer = launch(&deployment, &[&one, &two], &[]).await;
    balancer.all_ready().await;
    assert_eq!(call(&balancer, ADD, 1, &[&three]).await.status, 200);
    assert_eq!(call(&balancer, RM, 1, &[&one]).await.status, 200);
    let rows = balancer.rows().await;
    for (list, names) in [
        (&[&*one, &*two][..], &[&two, &three][..]), // as it was when the balancer ended
        (&[], &[&two, &three]),                     // none given says nothing
        (&[&*one], &[&three, &one]), // what is not listed any more goes; what was added by a call stays
        (&[&*one, &*two], &[&three, &one, &two]),
    ] {
        balancer.kill();
        balancer = launch(&deployment, list, &[]).await;
        balancer.all_ready().await;
        assert_eq!(balancer.names().await.iter().collect::<Vec<_>>(), names);
        let instance = &balancer.row(&three).await.instance;
        assert!(rows.iter().any(|row| row.instance == *instance), "the same, not another");
    }
    let down = deployment.command("down", &["--upstream", &one]).output().expect("it runs");
    assert!(down.status.success(), "{}", stderr(&down));
    assert!(balancer.ends().await.success());
    assert_eq!(answers(upstreams[0].address).await, "one", "somebody else's are left alone");
    let balancer = launch(&deployment, &[&two], &[]).await;
    assert_eq!(balancer.names().await, [two], "a fresh set");
}

/// Who answers there.
async fn answers(address: SocketAddr) -> String {
    let mut client = crate::support::Client::connect(address).await;
    client.call("GET", "/seen", "").await.json()["server"].as_str().expect("a word").to_owned()
}

#[tokio::test]
async fn what_is_no_address_is_a_bad_request_that_says_why() {
    let one = Upstream::start("one").await;
    let deployment = Deployment::of_upstreams();
    let balancer = launch(&deployment, &[&one.name()], &[]).await;
    balancer.all_ready().await;
    let before = balancer.rows().await;
    let (port, host) =
        ("a number from 1 to 65535", "an IPv4 address, an IPv6 address in brackets, or a DNS name");
    for (hostname, says) in [
        ("host", "HOST:PORT, such as"),
        ("Server-1", "HOST:PORT, such as"),
        ("", "HOST:PORT, such as"),
        ("host:0", port),
        ("host:99999", port),
        ("host:", port),
        ("host:80 ", port),
        (":80", host),
        ("::1:80", host),
        ("a b:80", host),
        (" a:80", host),
        ("h\u{f6}st:80", host),
        ("host:\u{661}", port),
        ("http://x:80", "without a scheme"),
        ("user@host:80", "without a scheme, a user or a path"),
        ("host:80/path", "or a path"),
        (&*one.name(), "already a replica named"),
    ] {
        let answer = call(&balancer, ADD, 1, &[hostname]).await;
        let message = answer.json()["message"].as_str().expect("a message").to_owned();
        assert_eq!(answer.status, 400, "{hostname}: {message}");
        assert!(message.starts_with("<Error> ") && message.contains(says), "{hostname}: {message}");
    }
    for hostnames in [&[][..], &["a:1"]] {
        let answer = call(&balancer, ADD, 2, hostnames).await;
        assert_eq!(answer.status, 400);
        assert!(answer.body.contains("the address of each in 'hostnames'"), "{}", answer.body);
    }
    let mut operator = Client::connect(balancer.admin).await;
    let scaled = operator.call("PUT", "/v1/pools/default/scale", r#"{"replicas":3}"#).await;
    assert_eq!(scaled.status, 400);
    assert!(scaled.body.contains("call /add with the address of each in 'hostnames'"), "{}", scaled.body);
    let answer = call(&balancer, ADD, 1, &["a:1", "b:1"]).await;
    assert!(
        answer.body.contains("Length of hostname list is more than newly added instances"),
        "{}",
        answer.body
    );
    let answer = call(&balancer, RM, 1, &["host"]).await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("There is no replica named 'host'"), "{}", answer.body);
    assert_eq!(balancer.rows().await, before);
}

#[tokio::test]
async fn one_that_was_never_there_is_down_and_joins_when_it_comes() {
    let (one, mut two) = (Upstream::start("one").await, Upstream::absent("two"));
    let deployment = Deployment::of_upstreams();
    let balancer = launch(&deployment, &[&one.name()], &["--add-timeout", "1s"]).await;
    let late = call(&balancer, ADD, 1, &[&two.name()]).await;
    assert_eq!(late.status, 504, "{}", late.body);
    assert!(late.body.contains(&two.name()), "{}", late.body);
    assert_eq!(balancer.row(&two.name()).await.state, "down");
    two.begin().await;
    until("it has joined", async || has(&answered_by(&balancer, 60).await, "two")).await;
}

/// What answers no heartbeat but accepts connections lives, unless a path is asked for.
#[tokio::test]
async fn a_connection_is_enough_unless_a_path_is_set() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = listener.local_addr().expect("bound").to_string();
    let deployment = Deployment::of_upstreams();
    let mut balancer = launch(&deployment, &[&silent], &[]).await;
    balancer.all_ready().await;
    balancer.kill();
    let balancer = launch(&deployment, &[&silent], &["--heartbeat-path", "/heartbeat"]).await;
    until("it is down", async || balancer.row(&silent).await.state == "down").await;
}

#[tokio::test]
async fn one_that_somebody_else_runs_is_drained_here_and_restarted_there() {
    let deployment = Deployment::of_upstreams();
    let (one, two) = (Upstream::start("one").await, Upstream::start("two").await);
    let balancer = launch(&deployment, &[&one.name(), &two.name()], &[]).await;
    balancer.all_ready().await;
    let tell = async |verb: &str| {
        let path = format!("/v1/pools/default/replicas/{}/{verb}", one.name());
        Client::connect(balancer.admin).await.call("POST", &path, "").await
    };
    let refused = tell("restart").await;
    let detail = format!(
        "Cannot restart '{}': it is started elsewhere, so it is restarted there; drain it before",
        one.name()
    );
    assert_eq!((refused.status, refused.json()["detail"].clone()), (400, json!(detail)));
    assert_eq!(tell("drain").await.status, 200);
    for id in 0..50 {
        let seen = balancer.call("GET", &format!("/seen?request_id={id}"), "").await.body;
        assert!(seen.contains(r#""server":"two""#), "{seen}");
    }
    assert_eq!(tell("restore").await.status, 200);
    assert_eq!(balancer.row(&one.name()).await.state, "ready");
}
