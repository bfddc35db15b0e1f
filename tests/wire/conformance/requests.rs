//! What of a client's request reaches the replica, and what of its connection goes on.

use super::{FORWARDED, GET, OK, Stage, Then};
use crate::support::{Deployment, raw::Raw};

/// A name, what the client sends, and what the replica gets: `+` is where the balancer says who the client is.
const CARRIED: &[(&str, &str, &str)] = &[
    (
        "a path byte for byte",
        "GET /%7Ea/./b//c?d=%zz&&e HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /%7Ea/./b//c?d=%zz&&e HTTP/1.1\r\nHost: a\r\n+\r\n",
    ),
    ("an empty query", "GET /? HTTP/1.1\r\nHost: a\r\n\r\n", "GET /? HTTP/1.1\r\nHost: a\r\n+\r\n"),
    (
        "a URL as a path, and its host as Host",
        "GET http://a/b?c HTTP/1.1\r\nHost: other\r\n\r\n",
        "GET /b?c HTTP/1.1\r\nHost: a\r\n+\r\n",
    ),
    ("OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: a\r\n+\r\n"),
    (
        "a method that nobody knows",
        "BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n",
        "BREW /pot HTTP/1.1\r\nHost: a\r\n+\r\n",
    ),
    (
        "a body of a GET",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n+\r\nhello",
    ),
    (
        "a length of zero",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n+\r\n",
    ),
    (
        "chunks as they came",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n+\r\n5;a=b\r\nhello\r\n0\r\n\r\n",
    ),
    (
        "trailers",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n+\r\n0\r\nX-Sum: 1\r\n\r\n",
    ),
    (
        "chunked in capitals",
        "POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: Chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: Chunked\r\n+\r\n0\r\n\r\n",
    ),
    (
        "values with their spaces inside",
        "GET / HTTP/1.1\r\nHost: a\r\nA:  b  c \r\nB:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nA:  b  c \r\nB:\r\n+\r\n",
    ),
    (
        "fields that come twice",
        "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nC: d\r\nA: e\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nC: d\r\nA: e\r\n+\r\n",
    ),
    (
        "fields that Connection names go no further",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: X-A, close\r\nX-A: 1\r\nX-B: 2\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX-B: 2\r\n+\r\n",
    ),
    (
        "Host stays, whatever Connection names",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: host\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n+\r\n",
    ),
    (
        "lengths stay, whatever Connection names",
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: content-length\r\nContent-Length: 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n+\r\nhello",
    ),
    (
        "h2c is not offered",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n+\r\n",
    ),
    (
        "what the client says about itself is not believed",
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\nx_forwarded_host: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n+\r\n",
    ),
    (
        "empty lines before a request",
        "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n+\r\n",
    ),
    ("HTTP/1.0 as HTTP/1.1", "GET / HTTP/1.0\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n+\r\n"),
];

/// A request without the name that was drawn for it.
fn masked(request: &str) -> String {
    let (before, id) = request.split_once("X-Request-Id: ").expect("a name");
    format!("{before}X-Request-Id: *{}", &id[32..])
}

#[tokio::test]
async fn a_request_reaches_the_replica_as_it_is_but_for_what_is_for_one_connection() {
    let deployment = Deployment::of_upstreams();
    let stage = Stage::set(&deployment, &[]).await;
    for (name, sent, arrives) in CARRIED {
        let got = stage.play(sent, OK, Then::Keep).await;
        assert_eq!(got.statuses(), ["200"], "{name}: {got:?}");
        let requests: Vec<String> = stage.origin.requests().iter().map(|request| masked(request)).collect();
        assert_eq!(requests, [arrives.replace("\r\n+\r\n", &format!("\r\n{FORWARDED}\r\n"))], "{name}");
    }
}

/// A name, two requests written at once, and how many answers there are.
const KEPT: &[(&str, &str, usize)] = &[
    ("HTTP/1.1", "GET /a HTTP/1.1\r\nHost: a\r\n\r\n", 2),
    ("close", "GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 1),
    ("close among others, in capitals", "GET /a HTTP/1.1\r\nHost: a\r\nConnection: x, CLOSE\r\n\r\n", 1),
    ("HTTP/1.0", "GET /a HTTP/1.0\r\nHost: a\r\n\r\n", 1),
    ("HTTP/1.0 that is kept", "GET /a HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", 2),
    ("with a body", "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 2),
    (
        "with chunks",
        "PUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        2,
    ),
];

#[tokio::test]
async fn a_connection_is_kept_as_the_client_says() {
    let deployment = Deployment::of_upstreams();
    let stage = Stage::set(&deployment, &[]).await;
    for (name, request, answers) in KEPT {
        let got = stage.play(&request.repeat(2), OK, Then::Keep).await;
        assert_eq!(got.statuses(), vec!["200"; *answers], "{name}: {got:?}");
        assert_eq!(got.text.contains("Connection: close"), *answers == 1, "{name}: {got:?}");
    }
}

#[tokio::test]
async fn a_client_that_waits_for_it_is_told_to_go_on() {
    let deployment = Deployment::of_upstreams();
    let stage = Stage::set(&deployment, &[]).await;
    stage.origin.script(OK, Then::Keep);
    let mut client = Raw::connect(stage.balancer.traffic).await;
    for _ in 0..2 {
        client.write("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").await;
        assert_eq!(client.read_to("\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
        client.write("hello").await;
        client.read_to("\r\n\r\nok").await;
    }
    let requests = stage.origin.requests();
    assert!(requests.iter().all(|request| !request.contains("Expect") && request.ends_with("hello")));
    let with_body = "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(stage.play(with_body, OK, Then::Keep).await.statuses(), ["200"], "it did not wait");
}

#[tokio::test]
async fn a_request_that_comes_byte_by_byte_is_the_same() {
    let deployment = Deployment::of_upstreams();
    let stage = Stage::set(&deployment, &[]).await;
    stage.origin.script(OK, Then::Keep);
    let mut client = Raw::connect(stage.balancer.traffic).await;
    let request = "PUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    for byte in 0..request.len() {
        client.write(&request[byte..=byte]).await;
    }
    client.read_to("\r\n\r\nok").await;
    assert!(stage.origin.requests()[0].ends_with("\r\n\r\n5\r\nhello\r\n0\r\n\r\n"));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_never_passed_on_as_whole() {
    let deployment = Deployment::of_upstreams();
    let stage = Stage::set(&deployment, &[]).await;
    for (framing, body) in [("Content-Length: 6", "hello"), ("Transfer-Encoding: chunked", "5\r\nhello\r\n")]
    {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n{body}");
        let got = stage.play(&request, OK, Then::Keep).await;
        assert_eq!(got.statuses(), ["400"], "{framing}: {got:?}");
        assert_eq!(stage.origin.requests(), [""; 0], "{framing}");
    }
}

#[tokio::test]
async fn another_protocol_goes_both_ways() {
    let deployment = Deployment::of_upstreams();
    let stage = Stage::set(&deployment, &[]).await;
    let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
    stage.origin.script(switch, Then::Echo);
    let mut client = Raw::connect(stage.balancer.traffic).await;
    client.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly").await;
    assert_eq!(client.read_to("\r\n\r\n").await, switch);
    client.read_to("early").await;
    for word in ["one", "two\0", &"x".repeat(100_000)] {
        client.write(word).await;
        client.read_to(word).await;
    }
    client.finish().await;
    assert_eq!(client.rest().await, (String::new(), false));
}

#[tokio::test]
async fn who_is_not_switched_goes_on() {
    let deployment = Deployment::of_upstreams();
    let stage = Stage::set(&deployment, &[]).await;
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
    let got = stage.play(&format!("{request}{GET}"), OK, Then::Keep).await;
    assert_eq!(got.statuses(), ["200", "200"]);
}
