//! Who serves a request, by each policy, and how much a replica gets at most.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

use crate::support::{Answer, Balancer, Client, Deployment, until};

const POLICIES: [&str; 9] = [
    "ring",
    "bounded-ring",
    "rendezvous",
    "round-robin",
    "weighted-round-robin",
    "least-requests",
    "power-of-two",
    "ewma",
    "random",
];

/// Four servers that the test itself is. Each answers with its place; `/hold` only when the gate is open.
pub struct Upstreams {
    addresses: Vec<String>,
    gate: watch::Sender<bool>,
    counts: Vec<Arc<Counts>>,
}

/// What one of them has.
#[derive(Default)]
struct Counts {
    connections: AtomicUsize,
    held: AtomicUsize,
}

impl Upstreams {
    pub async fn start() -> Self {
        let (gate, opened) = watch::channel(false);
        let mut upstreams = Upstreams { addresses: Vec::new(), gate, counts: Vec::new() };
        for place in 0..4 {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let counts = Arc::<Counts>::default();
            upstreams.addresses.push(listener.local_addr().expect("bound").to_string());
            upstreams.counts.push(counts.clone());
            tokio::spawn(listen(listener, place, counts, opened.clone()));
        }
        upstreams
    }

    /// A balancer of them.
    pub async fn balancer(&self, deployment: &Deployment, settings: &[&str]) -> Balancer {
        let upstreams = self.addresses.iter().flat_map(|address| ["--upstream", address]);
        deployment.start(&upstreams.chain(settings.iter().copied()).collect::<Vec<_>>()).await
    }

    /// Has them hold nothing any more.
    pub fn open(&self) {
        self.gate.send_replace(true);
    }

    /// The places of those that hold a request, once so many are held.
    pub async fn held(&self, many: usize) -> BTreeSet<usize> {
        let counts = || self.counts.iter().map(|counts| counts.held.load(SeqCst));
        until("so many are held", async || counts().sum::<usize>() == many).await;
        counts().enumerate().filter(|(_, held)| *held > 0).map(|(place, _)| place).collect()
    }
}

async fn listen(listener: TcpListener, place: usize, counts: Arc<Counts>, opened: watch::Receiver<bool>) {
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        tokio::spawn(attend(stream, place, counts.clone(), opened.clone()));
    }
}

async fn attend(stream: TcpStream, place: usize, counts: Arc<Counts>, opened: watch::Receiver<bool>) {
    let service = service_fn(|request: Request<Incoming>| {
        let (counts, mut opened) = (counts.clone(), opened.clone());
        async move {
            if request.uri().path() == "/hold" {
                counts.held.fetch_add(1, SeqCst);
                let _or_the_test_is_over = opened.wait_for(|open| *open).await;
                counts.held.fetch_sub(1, SeqCst);
            }
            Ok::<_, io::Error>(Response::new(Full::new(Bytes::from(place.to_string()))))
        }
    });
    counts.connections.fetch_add(1, SeqCst);
    let _broken_or_not = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    counts.connections.fetch_sub(1, SeqCst);
}

/// A request that is held, on a connection of its own.
pub fn hold(balancer: &Balancer, key: u64) -> JoinHandle<Answer> {
    let address: SocketAddr = balancer.traffic;
    tokio::spawn(async move {
        Client::connect(address).await.call("GET", &format!("/hold?request_id={key}"), "").await
    })
}

async fn served_by(client: &mut Client, key: u64) -> usize {
    let answer = client.call("GET", &format!("/?request_id={key}"), "").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body.parse().expect("a place")
}

/// Who serves requests of these keys, all over one connection.
async fn places(balancer: &Balancer, keys: impl IntoIterator<Item = u64>) -> Vec<usize> {
    let (mut client, mut places) = (balancer.client().await, Vec::new());
    for key in keys {
        places.push(served_by(&mut client, key).await);
    }
    places
}

/// Waits until nothing is in flight: a client may have its answer a moment before the balancer is done with it.
async fn quiet(balancer: &Balancer) {
    until("nothing is in flight", async || {
        let pool = balancer.pool().await;
        pool["replicas"].as_array().expect("rows").iter().all(|row| row["in_flight"] == 0)
    })
    .await;
}

fn counts(places: &[usize]) -> BTreeMap<usize, usize> {
    places.iter().fold(BTreeMap::new(), |mut counts, place| {
        *counts.entry(*place).or_default() += 1;
        counts
    })
}

#[tokio::test]
async fn each_policy_serves_and_those_by_key_keep_to_it() {
    let upstreams = Upstreams::start().await;
    for policy in POLICIES {
        let deployment = Deployment::of_upstreams();
        let balancer = upstreams.balancer(&deployment, &["--policy", policy]).await;
        assert_eq!(balancer.pool().await["policy"], policy);
        let seen = places(&balancer, 0..100).await;
        quiet(&balancer).await;
        match policy {
            "ring" | "bounded-ring" | "rendezvous" => {
                assert_eq!(places(&balancer, 0..100).await, seen, "{policy}");
                assert_eq!(counts(&seen).len(), 4, "{policy}: {seen:?}");
            }
            "round-robin" | "weighted-round-robin" | "least-requests" => {
                for window in seen.windows(4) {
                    assert_eq!(counts(window).len(), 4, "{policy}: {seen:?}");
                }
            }
            "power-of-two" | "random" => assert_eq!(counts(&seen).len(), 4, "{policy}: {seen:?}"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn turns_are_exact_over_all_connections_together() {
    let (upstreams, deployment) = (Upstreams::start().await, Deployment::of_upstreams());
    let balancer = upstreams.balancer(&deployment, &["--policy", "round-robin", "--threads", "2"]).await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(balancer.client().await);
    }
    let mut seen = Vec::new();
    for turn in 0..100 {
        seen.push(served_by(&mut clients[turn % 5], 7).await);
    }
    assert_eq!(counts(&seen), (0..4).map(|place| (place, 25)).collect());
}

#[tokio::test]
async fn who_is_busy_is_avoided() {
    let upstreams = Upstreams::start().await;
    for policy in ["least-requests", "power-of-two", "ewma"] {
        let deployment = Deployment::of_upstreams();
        let balancer = upstreams.balancer(&deployment, &["--policy", policy]).await;
        upstreams.gate.send_replace(false);
        let held = hold(&balancer, 1);
        let busy = upstreams.held(1).await;
        let seen = places(&balancer, 0..40).await;
        assert!(!seen.iter().any(|place| busy.contains(place)), "{policy}: {busy:?} in {seen:?}");
        upstreams.gate.send_replace(true);
        assert_eq!(held.await.expect("no panic").status, 200);
    }
}

#[tokio::test]
async fn a_key_whose_replica_has_enough_goes_to_one_other() {
    let upstreams = Upstreams::start().await;
    for settings in [&["--policy", "bounded-ring"][..], &["--max-in-flight", "1"]] {
        let deployment = Deployment::of_upstreams();
        let balancer = upstreams.balancer(&deployment, settings).await;
        let [first] = *places(&balancer, [5]).await else { unreachable!("one key") };
        quiet(&balancer).await;
        upstreams.gate.send_replace(false);
        let held = hold(&balancer, 5);
        assert_eq!(upstreams.held(1).await, BTreeSet::from([first]));
        let spilled = counts(&places(&balancer, [5; 20]).await);
        assert!(spilled.len() == 1 && !spilled.contains_key(&first), "{settings:?}: {spilled:?}");
        upstreams.gate.send_replace(true);
        assert_eq!(held.await.expect("no panic").status, 200);
        until("it has its key again", async || places(&balancer, [5]).await == [first]).await;
    }
}

#[tokio::test]
async fn where_all_have_what_they_may_have_a_client_is_told_to_come_again() {
    let (upstreams, deployment) = (Upstreams::start().await, Deployment::of_upstreams());
    let settings = ["--max-in-flight", "2", "--threads", "2"];
    let balancer = upstreams.balancer(&deployment, &settings).await;
    let mut held: Vec<_> = (0..8).map(|key| hold(&balancer, key)).collect();
    assert_eq!(upstreams.held(8).await.len(), 4, "two at each");
    let refused = balancer.call("GET", "/", "").await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert!(refused.body.contains("as many requests as it may have"), "{}", refused.body);
    held.extend((0..8).map(|key| hold(&balancer, key)));
    for late in held.split_off(8) {
        assert_eq!(late.await.expect("no panic").status, 503);
    }
    upstreams.gate.send_replace(true);
    for held in held {
        assert_eq!(held.await.expect("no panic").status, 200);
    }
    quiet(&balancer).await;
    assert_eq!(places(&balancer, 0..40).await.len(), 40);
}

/// Two cores share the connections that there may be: what one keeps for later, the other gets when it needs it.
#[tokio::test]
async fn connections_are_never_more_than_there_may_be_and_no_request_is_refused_for_it() {
    let (upstreams, deployment) = (Upstreams::start().await, Deployment::of_upstreams());
    let limit = ["--max-connections", "3", "--threads", "2", "--policy", "random"];
    let settings = [&limit[..], &["--heartbeat-interval", "60s", "--connect-timeout", "10s"]].concat();
    let balancer = upstreams.balancer(&deployment, &settings).await;
    let clients = (0..12).map(|key| {
        let address = balancer.traffic;
        tokio::spawn(async move {
            let mut client = Client::connect(address).await;
            for turn in 0..50 {
                served_by(&mut client, key * 100 + turn).await;
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.expect("each is answered");
    }
    until("what is kept is within the limit", async || {
        upstreams.counts.iter().all(|counts| counts.connections.load(SeqCst) <= 2)
    })
    .await;
    quiet(&balancer).await;
    let held: Vec<_> = (0..12).map(|key| hold(&balancer, key)).collect();
    upstreams.held(12).await;
    assert!(upstreams.counts.iter().all(|counts| counts.held.load(SeqCst) == 3));
    assert_eq!(balancer.call("GET", "/", "").await.status, 503);
    upstreams.gate.send_replace(true);
    for held in held {
        assert_eq!(held.await.expect("no panic").status, 200);
    }
}

#[tokio::test]
async fn weights_change_at_run_time_and_survive_a_restart() {
    let (upstreams, deployment) = (Upstreams::start().await, Deployment::of_upstreams());
    let settings = ["--policy", "weighted-round-robin"];
    let mut balancer = upstreams.balancer(&deployment, &settings).await;
    assert_eq!(counts(&places(&balancer, 0..40).await)[&2], 10);
    let path = format!("/v1/pools/default/replicas/{}/weight", upstreams.addresses[2]);
    let weigh = async |weight: u32| {
        let body = json!({ "weight": weight }).to_string();
        Client::connect(balancer.admin).await.call("PUT", &path, &body).await
    };
    assert_eq!(weigh(0).await.status, 400);
    let weighed = weigh(5).await;
    assert_eq!(weighed.status, 200, "{}", weighed.body);
    let expected = BTreeMap::from([(0, 5), (1, 5), (2, 25), (3, 5)]);
    assert_eq!(counts(&places(&balancer, 0..40).await), expected);
    balancer.kill();
    balancer = upstreams.balancer(&deployment, &settings).await;
    assert_eq!(counts(&places(&balancer, 0..40).await), expected);
}
