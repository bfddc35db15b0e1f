//! Many requests at once.

use super::{Origin, afford, balance, get, send, turn};
use crate::support::{Deployment, until};

/// Connections that are opened at once.
const WAVE: usize = 250;

#[tokio::test]
async fn ten_thousand_requests_at_once_are_all_answered() {
    let _turn = turn().await;
    all_at_once(&Origin::start().await, &[], afford(10_000, 2)).await;
}

/// Each is a stream of one of few connections there, so that half as many descriptors do.
#[tokio::test]
async fn ten_thousand_requests_at_once_are_all_answered_by_a_replica_of_http2() {
    let _turn = turn().await;
    all_at_once(&Origin::start_in_http2().await, &["--protocol", "h2c"], afford(10_000, 1)).await;
}

/// None of so many is answered before all have come.
async fn all_at_once(origin: &Origin, settings: &[&str], count: usize) {
    let deployment = Deployment::of_upstreams();
    let balancer = balance(&deployment, &[origin.address], settings).await;
    let (ask, mut clients) = (get("/hold"), Vec::new());
    while clients.len() < count {
        let wave = (0..WAVE.min(count - clients.len())).map(|_| send(balancer.traffic, &ask));
        clients.extend(futures_util::future::join_all(wave).await);
        until("all have come", async || origin.held() == clients.len()).await;
    }
    println!("{count} requests at once: {} KiB", balancer.resident_kib());
    origin.release();
    for client in &mut clients {
        let answer = client.response().await;
        assert!(answer.head.starts_with("HTTP/1.1 200 ") && answer.body == b"ok", "{answer:?}");
    }
}
