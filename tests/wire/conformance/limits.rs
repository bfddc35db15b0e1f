//! How much there may be, and how long it may take.

use std::time::{Duration, Instant};

use super::{GET, OK, Stage, Then};
use crate::support::{Deployment, raw::Raw};

const SMALL: [&str; 6] = ["--max-header-bytes", "2k", "--max-header-fields", "10", "--max-url-bytes", "1000"];

#[tokio::test]
async fn a_request_is_as_large_as_the_limits_allow() {
    let deployment = Deployment::of_upstreams();
    let stage = Stage::set(&deployment, &SMALL).await;
    let url = |length: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(length - 1));
    let fields = |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(count - 1));
    let bytes = |length: usize| {
        let around = "GET / HTTP/1.1\r\nHost: a\r\nA: \r\n\r\n".len();
        format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n", "x".repeat(length - around))
    };
    for (name, request, status) in [
        ("a URL", url(1000), "200"),
        ("a longer URL", url(1001), "414"),
        ("a URL without an end", "GET /".to_owned() + &"x".repeat(5000), "414"),
        ("fields", fields(10), "200"),
        ("more fields", fields(11), "431"),
        ("a header", bytes(2048), "200"),
        ("a longer header", bytes(2049), "431"),
        ("a header without an end", "GET / HTTP/1.1\r\nA: ".to_owned() + &"x".repeat(5000), "431"),
    ] {
        let got = stage.play(&request, OK, Then::Keep).await;
        assert_eq!(got.statuses(), [status], "{name}: {got:?}");
    }
    let long = format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "x".repeat(3000));
    assert_eq!(stage.play(GET, &long, Then::Close).await.statuses(), ["502"]);
}

/// What a client gets that sends this, and then nothing though it could.
async fn waiting(stage: &Stage, sent: &[&str]) -> (String, Duration) {
    stage.origin.script(OK, Then::Keep);
    let begun = Instant::now();
    let mut client = Raw::connect(stage.balancer.traffic).await;
    for part in sent {
        client.write(part).await;
    }
    (client.rest().await.0, begun.elapsed())
}

#[tokio::test]
async fn nobody_is_waited_for_without_end() {
    let deployment = Deployment::of_upstreams();
    let settings = ["--header-timeout", "300ms", "--body-timeout", "300ms", "--idle-timeout", "300ms"];
    let stage = Stage::set(&deployment, &settings).await;
    for (name, sent, statuses) in [
        ("nothing", &[][..], &[][..]),
        ("half a head", &["GET / HTTP/1.1\r\nHost"], &["408"]),
        ("half a head after a request", &[GET, "GET"], &["200", "408"]),
        ("an idle connection", &[GET], &["200"]),
        ("half a body", &["PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n", "half"], &["408"]),
        (
            "half a chunk",
            &["POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nha"],
            &["408"],
        ),
        (
            "half a body that has the key",
            &["POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"],
            &["408"],
        ),
    ] {
        let (text, took) = waiting(&stage, sent).await;
        let got = super::Got { text, broke: false };
        assert_eq!(got.statuses(), statuses, "{name}: {got:?}");
        assert!(took >= Duration::from_millis(300), "{name}: {took:?}");
    }
}

/// A body may take longer than a response may, as long as it goes on.
#[tokio::test]
async fn a_slow_body_that_goes_on_is_not_cut() {
    let deployment = Deployment::of_upstreams();
    let settings = ["--response-timeout", "500ms", "--body-timeout", "5s"];
    let stage = Stage::set(&deployment, &settings).await;
    stage.origin.script(OK, Then::Keep);
    let mut client = Raw::connect(stage.balancer.traffic).await;
    client.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n").await;
    let begun = Instant::now();
    let mut pace = tokio::time::interval(Duration::from_millis(100));
    for _ in 0..12 {
        pace.tick().await;
        client.write("x").await;
    }
    client.read_to("\r\n\r\nok").await;
    assert!(begun.elapsed() > Duration::from_secs(1));
}

#[tokio::test]
async fn who_is_told_to_stop_finishes_what_is_in_flight_and_closes_the_rest() {
    let deployment = Deployment::of_upstreams();
    let stage = Stage::set(&deployment, &[]).await;
    stage.origin.script(OK, Then::Keep);
    let (mut idle, mut busy) =
        (Raw::connect(stage.balancer.traffic).await, Raw::connect(stage.balancer.traffic).await);
    idle.write(GET).await;
    idle.read_to("\r\n\r\nok").await;
    busy.write("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n").await;
    busy.read_to("100 Continue\r\n\r\n").await;
    stage.balancer.terminate();
    assert_eq!(idle.rest().await, (String::new(), false));
    busy.write("ab").await;
    let (text, broke) = busy.rest().await;
    assert!(text.contains("\r\nConnection: close\r\n") && text.ends_with("ok") && !broke, "{text}");
}
