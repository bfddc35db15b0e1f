//! Many requests at once.

use super::{Origin, afford, balance, get, send, turn};
use crate::support::{Deployment, until};

/// Connections that are opened at once.
const WAVE: usize = 250;

/// None is answered before all have come.
#[tokio::test]
async fn ten_thousand_requests_at_once_are_all_answered() {
    let _turn = turn().await;
    let (deployment, origin) = (Deployment::of_upstreams(), Origin::start().await);
    let count = afford(10_000, 2);
    let balancer = balance(&deployment, &[origin.address], &[]).await;
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
