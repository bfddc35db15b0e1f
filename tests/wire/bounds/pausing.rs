//! Clients that pause or go on sending when a response has begun.

use std::time::{Duration, Instant};

use super::{
    Origin, balance,
    origin::{DRIP, DRIPS},
    send,
};
use crate::support::Deployment;

/// More than is between two drips, less than all of them take.
const PATIENCE: Duration = Duration::from_millis(600);
const SETTINGS: [&str; 2] = ["--body-timeout", "600ms"];

fn half_of(path: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf")
}

/// The request rests for longer than a client may pause, but the response does not.
#[tokio::test]
async fn a_request_may_pause_while_its_response_goes_on() {
    let (deployment, origin) = (Deployment::of_upstreams(), Origin::start().await);
    let balancer = balance(&deployment, &[origin.address], &SETTINGS).await;
    assert!(DRIP < PATIENCE && PATIENCE < DRIP * DRIPS as u32 / 2);
    let mut client = send(balancer.traffic, &half_of("/drip")).await;
    let begun = Instant::now();
    let answer = client.response().await;
    assert!(answer.body == [b'x'; DRIPS] && begun.elapsed() > 2 * PATIENCE, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_client_that_pauses_while_nothing_else_moves_is_given_up() {
    let (deployment, origin) = (Deployment::of_upstreams(), Origin::start().await);
    let balancer = balance(&deployment, &[origin.address], &SETTINGS).await;
    let mut client = send(balancer.traffic, &half_of("/pause")).await;
    let head = client.head().await.unwrap().unwrap();
    let begun = Instant::now();
    assert!(client.body(&head).await.is_err(), "the body is not whole");
    let took = begun.elapsed();
    assert!(took > PATIENCE - Duration::from_millis(100) && took < 10 * PATIENCE, "{took:?}");
}

/// What is refused early is refused for a client, too, that reads only when it has sent everything.
#[tokio::test]
async fn an_answer_before_the_end_of_the_request_reaches_who_goes_on_sending() {
    let (deployment, origin) = (Deployment::of_upstreams(), Origin::start().await);
    let balancer = balance(&deployment, &[origin.address], &[]).await;
    let body = vec![b'x'; 8 * 1024 * 1024];
    for (method, path) in [("POST", "/refuse"), ("PUT", "/refuse"), ("POST", "/refuse-and-stay")] {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
        let mut client = send(balancer.traffic, &head).await;
        client.write(&body).await.expect("taken");
        let answer = client.response().await;
        assert!(
            answer.head.starts_with("HTTP/1.1 413 ") && answer.body == b"no",
            "{method} {path}: {answer:?}"
        );
        client.ends().await;
    }
}
