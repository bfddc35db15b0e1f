//! What of a replica's response reaches the client, and what does not.

use super::{GET, OK, Stage, Then};
use crate::support::{Deployment, raw::Raw, until};

const HEAD: &str = "HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n";
const OLD: &str = "GET /a HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n";

/// A name, the request, the reply, what the client gets, and what the replica does then.
const CARRIED: &[(&str, &str, &str, &str, Then)] = &[
    (
        "as it came",
        GET,
        "HTTP/1.1 200 Very well\r\nA:  b \r\nContent-Length: 2\r\nA: c\r\n\r\nok",
        "HTTP/1.1 200 Very well\r\nA:  b \r\nContent-Length: 2\r\nA: c\r\n\r\nok",
        Then::Keep,
    ),
    (
        "no words",
        GET,
        "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n",
        Then::Keep,
    ),
    (
        "a status that nobody knows",
        GET,
        "HTTP/1.1 299 x\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 299 x\r\nContent-Length: 0\r\n\r\n",
        Then::Keep,
    ),
    (
        "chunks as they came",
        GET,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n",
        Then::Keep,
    ),
    ("204", GET, "HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n", Then::Keep),
    (
        "304 with a length",
        GET,
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
        Then::Keep,
    ),
    (
        "HEAD with a length",
        HEAD,
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
        Then::Keep,
    ),
    (
        "HEAD with chunks",
        HEAD,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        Then::Keep,
    ),
    (
        "early hints",
        GET,
        "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 204 A\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 204 A\r\n\r\n",
        Then::Keep,
    ),
    (
        "two interim ones",
        GET,
        "HTTP/1.1 102 A\r\n\r\nHTTP/1.1 103 B\r\n\r\nHTTP/1.1 204 C\r\n\r\n",
        "HTTP/1.1 102 A\r\n\r\nHTTP/1.1 103 B\r\n\r\nHTTP/1.1 204 C\r\n\r\n",
        Then::Keep,
    ),
    (
        "100 that nobody waits for",
        GET,
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 A\r\n\r\n",
        "HTTP/1.1 204 A\r\n\r\n",
        Then::Keep,
    ),
    (
        "what is for one connection",
        GET,
        "HTTP/1.1 204 A\r\nConnection: X-A, keep-alive\r\nX-A: 1\r\nKeep-Alive: timeout=5\r\nUpgrade: h2c\r\nB: c\r\n\r\n",
        "HTTP/1.1 204 A\r\nB: c\r\n\r\n",
        Then::Keep,
    ),
    (
        "the replica closes, the client need not",
        GET,
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        Then::Close,
    ),
    (
        "until the end",
        GET,
        "HTTP/1.1 200 OK\r\nA: b\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nA: b\r\nConnection: close\r\n\r\nok",
        Then::Close,
    ),
    (
        "an old replica",
        GET,
        "HTTP/1.0 200 OK\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok",
        Then::Close,
    ),
    (
        "chunks for an old client",
        OLD,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n1\r\n!\r\n0\r\nA: b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok!",
        Then::Keep,
    ),
    (
        "hints for an old client",
        OLD,
        "HTTP/1.1 103 A\r\n\r\nHTTP/1.1 204 B\r\n\r\n",
        "HTTP/1.1 204 B\r\nConnection: keep-alive\r\n\r\n",
        Then::Keep,
    ),
    (
        "a length for an old client",
        OLD,
        OK,
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok",
        Then::Keep,
    ),
];

#[tokio::test]
async fn a_response_reaches_the_client_as_it_is_but_for_what_is_for_one_connection() {
    let deployment = Deployment::of_upstreams();
    let stage = Stage::set(&deployment, &[]).await;
    for (name, request, reply, expected, then) in CARRIED {
        let got = stage.play(request, reply, *then).await;
        assert_eq!((&*got.text, got.broke), (*expected, false), "{name}");
    }
}

/// A name, and a reply that is none.
const REFUSED: &[(&str, &str)] = &[
    ("nothing", ""),
    ("another protocol", "SSH-2.0-x\r\n\r\n"),
    ("an empty line", "\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ("half a head", "HTTP/1.1 200 OK\r\nContent-"),
    ("a version that is none", "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ("a status that is none", "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"),
    ("a status below 100", "HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n"),
    ("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!"),
    (
        "length and encoding",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    ("an odd length", "HTTP/1.1 200 OK\r\nContent-Length: 2x\r\n\r\nok"),
    ("an odd encoding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok"),
    ("a space before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok"),
    ("a folded line", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n"),
    ("LF alone", "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n"),
    ("a body of a 204", "HTTP/1.1 204 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("a switch that nobody asked for", "HTTP/1.1 101 A\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"),
    ("a chunk that is none", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"),
    ("too little, while it is held", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok"),
];

#[tokio::test]
async fn what_is_no_response_is_a_502() {
    let deployment = Deployment::of_upstreams();
    let stage = Stage::set(&deployment, &[]).await;
    for (name, reply) in REFUSED {
        let got = stage.play(&GET.repeat(2), reply, Then::Close).await;
        assert_eq!(got.statuses(), ["502", "502"], "{name}: {got:?}");
    }
}

/// A name, the request, a reply that breaks off, and whether only a break tells that.
const TRUNCATED: &[(&str, &str, &str, bool)] = &[
    (
        "a length",
        "POST / HTTP/1.1\r\nHost: a\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok",
        false,
    ),
    (
        "chunks",
        "POST / HTTP/1.1\r\nHost: a\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe",
        false,
    ),
    (
        "chunks without the last",
        GET,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
        false,
    ),
    ("trailers", GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n", false),
    (
        "chunks for an old client",
        OLD,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
        true,
    ),
];

#[tokio::test]
async fn a_response_that_breaks_off_is_never_passed_on_as_whole() {
    let deployment = Deployment::of_upstreams();
    let stage = Stage::set(&deployment, &[]).await;
    for (name, request, reply, breaks) in TRUNCATED {
        for then in [Then::Close, Then::Break] {
            let got = stage.play(request, reply, then).await;
            let is_whole = got.text.ends_with("\r\n0\r\n\r\n") || got.text.ends_with("\r\nA: b\r\n\r\n");
            assert!(!is_whole && (got.broke || !breaks), "{name}: {got:?}");
            assert!(got.statuses().len() <= 1, "{name}: {got:?}");
        }
    }
    // until the end: a break is all that tells it
    let got = stage.play(GET, "HTTP/1.1 200 OK\r\n\r\nok", Then::Break).await;
    assert!(got.broke || got.text.starts_with("HTTP/1.1 502"), "{got:?}");
}

#[tokio::test]
async fn what_comes_after_a_response_is_never_taken_for_the_next() {
    let deployment = Deployment::of_upstreams();
    let stage = Stage::set(&deployment, &[]).await;
    let two = format!("{OK}HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother");
    for _ in 0..3 {
        let got = stage.play(&GET.repeat(2), &two, Then::Keep).await;
        assert_eq!(got.statuses(), ["200", "200"], "{got:?}");
        assert!(!got.text.contains("other"), "{got:?}");
    }
}

/// A client goes away in the middle of its response; the rest of that is never somebody else's.
#[tokio::test]
async fn what_a_client_left_is_not_given_to_another() {
    let deployment = Deployment::of_upstreams();
    let stage = Stage::set(&deployment, &[]).await;
    let long = format!("HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n{}", "left".repeat(750_000));
    for _ in 0..5 {
        stage.origin.script(&long, Then::Keep);
        let mut client = Raw::connect(stage.balancer.traffic).await;
        client.write(GET).await;
        client.read_to("leftleft").await;
        drop(client);
        assert_eq!(stage.play(GET, OK, Then::Keep).await.text, OK);
    }
}

#[tokio::test]
async fn a_replica_that_closed_while_idle_is_asked_again_unseen() {
    let deployment = Deployment::of_upstreams();
    let stage = Stage::set(&deployment, &[]).await;
    for _ in 0..20 {
        let got = stage.play(GET, OK, Then::Close).await;
        assert_eq!((&*got.text, got.broke), (OK, false));
    }
}

/// The replica answers before the body has come: the client gets the answer though it is still sending.
#[tokio::test]
async fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let deployment = Deployment::of_upstreams();
    let stage = Stage::set(&deployment, &["--max-url-bytes", "100"]).await;
    let refused = format!("POST /{} HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000\r\n\r\n", "x".repeat(200));
    let mut client = Raw::connect(stage.balancer.traffic).await;
    client.write(&format!("{refused}{}", "y".repeat(500_000))).await;
    client.read_to("HTTP/1.1 414 URI Too Long\r\n").await;
}

/// More than sockets hold between the replica and a client that reads nothing: what is kept beyond that is bounded.
#[tokio::test]
async fn interim_responses_that_nobody_takes_are_not_kept_without_end() {
    let deployment = Deployment::of_upstreams();
    let stage = Stage::set(&deployment, &[]).await;
    let interim = format!("HTTP/1.1 103 A\r\nLink: {}\r\n\r\n", "a".repeat(1000));
    let flood = interim.repeat(30_000) + "HTTP/1.1 204 B\r\n\r\n";
    stage.origin.script(&flood, Then::Keep);
    let before = stage.balancer.resident_kib();
    let mut client = Raw::connect(stage.balancer.traffic).await;
    client.write(GET).await;
    until("the replica is left", async || {
        stage.balancer.pool().await["replicas"][0]["errors"].as_u64().is_some_and(|errors| errors > 0)
    })
    .await;
    let grown = stage.balancer.resident_kib().saturating_sub(before);
    assert!(grown < 8 * 1024, "{grown} KiB");
    client.finish().await;
    let (text, _) = client.rest().await;
    assert!(text.contains("HTTP/1.1 103 A") && text.contains("HTTP/1.1 502 "), "{}", text.len());
}
