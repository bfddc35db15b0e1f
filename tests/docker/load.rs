//! Ten thousand requests, each where the ring says.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::task::JoinSet;

use crate::{
    alone, say,
    support::{Balancer, Client, Deployment, predicted},
};

const REQUESTS: usize = 10_000;
const CONNECTIONS: usize = 64;

/// Sends a request for each id over kept-alive connections. Returns the number of the server that answered each, and
/// the time from the first to the last.
async fn send_all(balancer: &Balancer, ids: &[u64]) -> (Vec<u64>, Duration) {
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(balancer.client().await);
    }
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for (first, client) in clients.into_iter().enumerate() {
        tasks.spawn(send_some(client, first, ids.to_vec()));
    }
    let mut servers = vec![0; ids.len()];
    for (position, server) in tasks.join_all().await.into_iter().flatten() {
        servers[position] = server;
    }
    (servers, begun.elapsed())
}

/// Every 64th id from the first on: by the assignment's body and by the query in turn.
async fn send_some(mut client: Client, first: usize, ids: Vec<u64>) -> Vec<(usize, u64)> {
    let mut servers = Vec::new();
    for (position, id) in ids.iter().enumerate().skip(first).step_by(CONNECTIONS) {
        let answer = match position / CONNECTIONS % 2 {
            0 => client.call("GET", "/home", &format!(r#"{{"request_id":{id}}}"#)).await,
            _ => client.call("GET", &format!("/home?request_id={id}"), "").await,
        };
        servers.push((position, answer.server()));
    }
    servers
}

async fn goes_where_the_ring_says(seed: u64, spec: &[&str]) {
    let Some(_turn) = alone().await else { return };
    let mut rng = StdRng::seed_from_u64(seed);
    let ids: Vec<u64> = (0..REQUESTS).map(|_| rng.random_range(100_000..=999_999)).collect();
    let expected: Vec<u64> = predicted(&ids, spec).into_iter().map(|order| order[0]).collect();
    let deployment = Deployment::of_containers();
    let balancer = deployment.start(spec).await;
    let (servers, time) = send_all(&balancer, &ids).await;
    let mut counts = BTreeMap::new();
    servers.iter().for_each(|server| *counts.entry(server).or_insert(0) += 1);
    let rate = REQUESTS as f64 / time.as_secs_f64();
    say(&format!(
        "{REQUESTS} requests over {CONNECTIONS} connections {spec:?}: {time:.2?}, {rate:.0}/s, by server {counts:?}"
    ));
    assert_eq!(servers, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_requests_go_exactly_where_the_default_ring_says() {
    goes_where_the_ring_says(1, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_requests_go_exactly_where_the_assignments_ring_says() {
    goes_where_the_ring_says(2, &["--preset", "assignment", "--hash", "sha256"]).await;
}
