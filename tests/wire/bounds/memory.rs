//! How much memory clients cost, and whom they hold up.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{Origin, Wire, afford, balance, get, send, turn};
use crate::support::{Balancer, Deployment, PATIENCE, until};

/// Clients that take or send nothing.
const STALLED: usize = 200;
/// What the balancer may grow by for those, in KiB.
const GROWN: u64 = 64 * 1024;
/// What each client may cost that has a connection and no more, in KiB.
const EACH: f64 = 12.0;
/// What uploads are sent in.
const PIECE: &[u8] = &[b'x'; 1 << 16];
/// When others have to be answered, though the machine is busy with the test itself.
const PROMPT: Duration = Duration::from_secs(2);

/// Has others ask until `moved` rests, and looks at how long they wait.
async fn others_until_still(balancer: &Balancer, moved: impl Fn() -> u64) {
    let mut client = balancer.client().await;
    let (mut last, mut looks) = (moved(), 0);
    let asking = async {
        while looks < 20 {
            let begun = Instant::now();
            assert_eq!(client.call("GET", "/", "").await.body, "ok");
            assert!(begun.elapsed() < PROMPT, "{:?}", begun.elapsed());
            sleep(Duration::from_millis(10)).await;
            (last, looks) = if moved() == last { (last, looks + 1) } else { (moved(), 0) };
        }
    };
    timeout(PATIENCE, asking).await.expect("it rests");
}

/// Connections over which this was sent.
async fn connections(balancer: &Balancer, count: usize, text: &str) -> Vec<Wire> {
    let mut wires = Vec::new();
    for _ in 0..count {
        wires.push(send(balancer.traffic, text).await);
    }
    wires
}

/// Connections over which a request was answered, one after the other.
async fn idle(balancer: &Balancer, count: usize) -> Vec<Wire> {
    let mut wires = Vec::new();
    for _ in 0..count {
        let mut wire = send(balancer.traffic, &get("/")).await;
        assert_eq!(wire.response().await.body, b"ok");
        wires.push(wire);
    }
    wires
}

/// What of this growth each of so many costs, in KiB.
fn each(before: u64, after: u64, count: usize) -> f64 {
    after.saturating_sub(before) as f64 / count as f64
}

#[tokio::test]
async fn a_client_that_waits_costs_a_few_kib() {
    let _turn = turn().await;
    let (deployment, origin) = (Deployment::of_upstreams(), Origin::start().await);
    let balancer = balance(&deployment, &[origin.address], &[]).await;
    let count = afford(5000, 2);
    drop(idle(&balancer, 100).await); // what the threads need in any case
    let before = balancer.resident_kib();
    let _idle = idle(&balancer, count).await;
    let between = balancer.resident_kib();
    let half = format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}", "x".repeat(1000));
    let mut halves = connections(&balancer, count, &half).await;
    idle(&balancer, 10).await; // what was sent before has been read
    let after = balancer.resident_kib();
    let (idle, half) = (each(before, between, count), each(between, after, count));
    println!("{count} idle connections: {idle:.1} KiB each, {count} with 1 KiB of a head: {half:.1} KiB");
    assert!(idle <= EACH && half <= EACH + 1.0, "{idle} {half}");
    for wire in &mut halves {
        wire.write(b"\r\n\r\n").await.expect("nobody was given up");
        assert_eq!(wire.response().await.body, b"ok");
    }
}

#[tokio::test]
async fn who_takes_nothing_costs_little_and_holds_nobody_up() {
    let _turn = turn().await;
    let (deployment, origin) = (Deployment::of_upstreams(), Origin::start().await);
    let balancer = balance(&deployment, &[origin.address], &[]).await;
    drop(idle(&balancer, 10).await);
    let before = balancer.resident_kib();
    let mut stalled = connections(&balancer, STALLED, &get("/flood")).await;
    until("all responses have begun", async || origin.held() == STALLED).await;
    others_until_still(&balancer, || origin.flooded()).await;
    let grown = balancer.resident_kib().saturating_sub(before);
    println!("{STALLED} responses of 200 MiB that nobody takes: {grown} KiB");
    assert!(grown < GROWN, "{grown} KiB");
    let mut one = stalled.pop().expect("there are many");
    let head = one.head().await.unwrap().expect("a response");
    one.skip(&head).await.expect("all of it comes to who takes it");
}

#[tokio::test]
async fn stalled_uploads_cost_little_and_hold_nobody_up() {
    let _turn = turn().await;
    let (deployment, origin) = (Deployment::of_upstreams(), Origin::start().await);
    let balancer = balance(&deployment, &[origin.address], &[]).await;
    drop(idle(&balancer, 10).await);
    let before = balancer.resident_kib();
    let sent = Arc::<AtomicU64>::default();
    let mut stalled = JoinSet::new();
    for number in 0..STALLED {
        let method = if number.is_multiple_of(2) { "PUT" } else { "POST" };
        // half of them the origin does not take, the others rest after a tenth
        let (path, most) = if number % 4 < 2 { ("/deaf", 160) } else { ("/", 16) };
        let head = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", 10 << 20);
        let mut wire = send(balancer.traffic, &head).await;
        let sent = sent.clone();
        stalled.spawn(async move {
            for _ in 0..most {
                wire.write(PIECE).await.expect("nobody is given up");
                sent.fetch_add(1, Relaxed);
            }
            pending::<()>().await
        });
    }
    let slow = async {
        let mut slow =
            send(balancer.traffic, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\n").await;
        for _ in 0..50 {
            sleep(Duration::from_millis(5)).await;
            slow.write(b"x").await.expect("sent");
        }
        assert_eq!(slow.response().await.body, b"ok");
    };
    tokio::join!(slow, others_until_still(&balancer, || sent.load(Relaxed)));
    let grown = balancer.resident_kib().saturating_sub(before);
    println!("{STALLED} uploads of 10 MiB that rest: {grown} KiB");
    assert!(grown < GROWN, "{grown} KiB");
    assert!(stalled.try_join_next().is_none(), "none has failed");
    assert_eq!(origin.held(), STALLED / 2);
}

/// Within how long 99 of 100 requests were answered.
async fn p99(balancer: &Balancer) -> Duration {
    let mut clients = JoinSet::new();
    for _ in 0..16 {
        let mut wire = Wire::connect(balancer.traffic).await.expect("the balancer accepts");
        clients.spawn(async move {
            let mut took = Vec::new();
            for _ in 0..2000 {
                let begun = Instant::now();
                wire.write(get("/").as_bytes()).await.expect("sent");
                assert_eq!(wire.response().await.body, b"ok");
                took.push(begun.elapsed());
            }
            took
        });
    }
    let mut took = clients.join_all().await.concat();
    took.sort_unstable();
    took[took.len() * 99 / 100]
}

#[tokio::test]
#[ignore = "measures: make test-long"]
async fn others_are_as_fast_beside_who_takes_nothing() {
    let (deployment, origin) = (Deployment::of_upstreams(), Origin::start().await);
    let balancer = balance(&deployment, &[origin.address], &[]).await;
    let (mut without, mut with) = (Vec::new(), Vec::new());
    p99(&balancer).await;
    for round in 1..=5 {
        without.push(p99(&balancer).await);
        let stalled = connections(&balancer, STALLED, &get("/flood")).await;
        until("all responses have begun", async || origin.held() == STALLED * round).await;
        others_until_still(&balancer, || origin.flooded()).await;
        with.push(p99(&balancer).await);
        drop(stalled);
        others_until_still(&balancer, || origin.flooded()).await;
    }
    println!("p99 without {without:.1?}, beside {STALLED} who take nothing {with:.1?}");
    without.sort_unstable();
    with.sort_unstable();
    let ratio = with[2].as_secs_f64() / without[2].as_secs_f64();
    println!("{ratio:.2} times as long, by the medians");
    assert!(ratio < 2.0, "{ratio:.2}"); // what else the machine does is in it
}
