//! Replicas that speak HTTP/2, for clients that speak either.

use std::sync::atomic::Ordering::SeqCst;

use bytes::Bytes;
use h2::Reason;
use http::HeaderMap;

use super::peer::{Client, Origin, get, rest, upload, with_method};
use crate::support::{Balancer, Deployment, raw::Raw, until};

/// A balancer before these origins.
async fn before(origins: &[&Origin], deployment: &Deployment, settings: &[&str]) -> Balancer {
    let addresses: Vec<_> = origins.iter().map(|origin| origin.address.to_string()).collect();
    let own = ["--probe", "tcp", "--protocol", "h2c", "--threads", "1", "--control-paths", "off"];
    let mut all = [&own[..], settings].concat();
    addresses.iter().for_each(|address| all.extend(["--upstream", address.as_str()]));
    deployment.start(&all).await
}

/// What a client of HTTP/1.1 gets that sends this and then no more.
async fn sent(balancer: &Balancer, text: &str) -> (String, bool) {
    let mut client = Raw::connect(balancer.traffic).await;
    client.write(text).await;
    client.finish().await;
    client.rest().await
}

#[tokio::test]
async fn a_request_of_http_1_1_reaches_the_replica_as_http_2() {
    let (origin, deployment) = (Origin::start().await, Deployment::of_upstreams());
    let balancer = before(&[&origin], &deployment, &[]).await;
    let (text, _) = sent(
        &balancer,
        "GET /%7Ea?b=%2F HTTP/1.1\r\nHost: a:80\r\nConnection: upgrade, x-hop, te\r\nUpgrade: websocket\r\nX-Hop: 1\r\n\
         TE: trailers\r\nX-A: b\r\n\r\n",
    )
    .await;
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    let expected = "GET http://a:80/%7Ea?b=%2F\nx-a: b\nx-forwarded-for: 127.0.0.1\nx-forwarded-proto: http\n\
                    forwarded: for=127.0.0.1;proto=http;host=\"a:80\"\nx-forwarded-host: a:80\nx-request-id: ";
    let asked = origin.asked();
    assert!(
        asked.len() == 1 && asked[0].starts_with(expected) && asked[0].ends_with("\nte: trailers"),
        "{asked:?}"
    );
}

#[tokio::test]
async fn responses_end_as_they_did_there() {
    let (origin, deployment) = (Origin::start().await, Deployment::of_upstreams());
    let balancer = before(&[&origin], &deployment, &[]).await;
    for (request, reply) in [
        ("GET /length", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"),
        ("HEAD /length", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"),
        ("GET /head", "HTTP/1.1 200 OK\r\ngrpc-status: 7\r\nx-a: b\r\ncontent-length: 0\r\n\r\n"),
        ("GET /last", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nlast\r\n0\r\n\r\n"),
    ] {
        let (mut text, broke) = sent(&balancer, &format!("{request} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        if let Some(at) = text.find("date: ") {
            text.replace_range(at..at + text[at..].find('\n').unwrap() + 1, "");
        }
        assert_eq!((&*text, broke), (reply, false), "{request}");
    }
}

#[tokio::test]
async fn bodies_and_trailers_go_both_ways() {
    let (origin, deployment) = (Origin::start().await, Deployment::of_upstreams());
    let balancer = before(&[&origin], &deployment, &[]).await;
    let post = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n";
    let (text, _) = sent(&balancer, post).await;
    assert!(text.ends_with("\r\n5\r\nhello\r\n0\r\nx-sum: 7\r\n\r\n"), "{text}");
    let (text, _) = sent(&balancer, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello").await;
    assert!(text.contains("content-length: 5\r\n") && text.ends_with("\r\n\r\nhello"), "{text}");
    let body: Vec<u8> = (0..4_000_000_u32).map(|at| (at % 251) as u8).collect();
    let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), "8".parse().unwrap())]);
    let mut client = Client::connect(balancer.traffic).await;
    let got = client.send(with_method("POST", "/echo"), &body, Some(trailers)).await.unwrap();
    assert!(got.body == body, "{}", got.body.len());
    assert_eq!(got.trailers.unwrap()["x-sum"], "8");
}

#[tokio::test]
async fn requests_share_a_connection_until_the_replica_wants_no_more_on_it() {
    let (origin, deployment) = (Origin::start().await, Deployment::of_upstreams());
    let balancer = before(&[&origin], &deployment, &[]).await;
    // heartbeats are connections, too, which end at once; what is open is what carries requests
    let open = async |count: usize| origin.state.open.load(SeqCst) == count;
    let mut client = Client::connect(balancer.traffic).await;
    for _ in 0..20 {
        assert_eq!(client.call(get("/")).await.unwrap().status, 200);
    }
    let mut streams = Vec::new();
    for _ in 0..50 {
        let (response, _) = client.open(get("/stream"), true).await;
        streams.push(response.await.unwrap());
    }
    until("one carries all of them", async || open(1).await).await;
    assert_eq!(client.call(get("/last")).await.unwrap().text(), "last");
    for _ in 0..20 {
        let got = client.send(with_method("POST", "/echo"), b"whole", None).await.unwrap();
        assert_eq!((got.status, got.text()), (200, "whole"), "what is not repeated is not lost either");
    }
    until("another carries what came then", async || open(2).await).await;
    let mut body = streams.pop().unwrap().into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "begun", "what was under way goes on");
    drop((streams, body));
    until("and the old one ends with that", async || open(1).await).await;
}

#[tokio::test]
async fn what_a_replica_refuses_is_done_by_another_even_if_it_may_not_be_done_twice() {
    let (refusing, other) = (Origin::start().await, Origin::start().await);
    refusing.state.refuses.store(true, SeqCst);
    let deployment = Deployment::of_upstreams();
    let balancer = before(&[&refusing, &other], &deployment, &["--key", "path"]).await;
    let mut client = Client::connect(balancer.traffic).await;
    for number in 0..30 {
        let request = with_method("POST", &format!("/echo/{number}"));
        let got = client.send(request, b"body", None).await.unwrap();
        assert_eq!((got.status, got.text()), (200, "body"), "{number}");
    }
    assert!(!refusing.asked().is_empty());
    other.state.refuses.store(true, SeqCst);
    let got = client.send(with_method("POST", "/echo"), b"body", None).await.unwrap();
    assert_eq!(got.status, 503, "{}", got.text());
}

#[tokio::test]
async fn a_replica_that_is_gone_is_passed_over() {
    let (one, gone) = (Origin::start().await, Origin::start().await);
    let deployment = Deployment::of_upstreams();
    let balancer =
        before(&[&one, &gone], &deployment, &["--key", "path", "--heartbeat-interval", "1h"]).await;
    let mut client = Client::connect(balancer.traffic).await;
    let address = gone.address;
    drop(gone);
    until("nobody listens", async || tokio::net::TcpStream::connect(address).await.is_err()).await;
    for number in 0..30 {
        let got = client.send(with_method("POST", &format!("/echo/{number}")), b"body", None).await.unwrap();
        assert_eq!((got.status, got.text()), (200, "body"), "{number}");
    }
}

#[tokio::test]
async fn a_response_that_is_reset_is_never_whole() {
    let (origin, deployment) = (Origin::start().await, Deployment::of_upstreams());
    let balancer = before(&[&origin], &deployment, &[]).await;
    let mut raw = Raw::connect(balancer.traffic).await;
    raw.write("POST /cut HTTP/1.1\r\nHost: a\r\n\r\n").await;
    raw.read_to("some\r\n").await;
    origin.state.cut.notify_one();
    assert_eq!(raw.read_to_end().await, "", "no last chunk");
    let mut client = Client::connect(balancer.traffic).await;
    let (response, _) = client.open(with_method("POST", "/cut"), true).await;
    let mut body = response.await.unwrap().into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "some");
    origin.state.cut.notify_one();
    assert_eq!(rest(&mut body).await.unwrap_err().reason(), Some(Reason::INTERNAL_ERROR));
}

#[tokio::test]
async fn a_request_that_is_given_up_is_given_up_there() {
    let (origin, deployment) = (Origin::start().await, Deployment::of_upstreams());
    let balancer = before(&[&origin], &deployment, &[]).await;
    let mut client = Client::connect(balancer.traffic).await;
    let (response, stream) = client.open(get("/hang"), true).await;
    until("it is there", async || origin.asked().len() == 1).await;
    drop((response, stream));
    until("it is cancelled", async || origin.state.cancelled.load(SeqCst) == 1).await;
    let (response, mut stream) = client.open(with_method("POST", "/stream"), false).await;
    upload(&mut stream, b"some").await.unwrap();
    let mut body = response.await.unwrap().into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "begun", "what has no length comes at once");
    stream.send_reset(Reason::CANCEL);
    until("so is that", async || origin.state.cancelled.load(SeqCst) == 2).await;
}

#[tokio::test]
async fn connections_that_nobody_uses_are_closed() {
    let (origin, deployment) = (Origin::start().await, Deployment::of_upstreams());
    let balancer = before(&[&origin], &deployment, &["--idle-timeout", "200ms"]).await;
    assert_eq!(balancer.call("GET", "/", "").await.status, 200);
    until("it is closed", async || origin.state.open.load(SeqCst) == 0).await;
    assert_eq!(balancer.call("GET", "/", "").await.status, 200);
}

#[tokio::test]
async fn a_heartbeat_is_asked_for_in_http_2() {
    let (origin, deployment) = (Origin::start().await, Deployment::of_upstreams());
    let address = origin.address.to_string();
    let settings = ["--upstream", &address, "--protocol", "h2c", "--heartbeat-path", "/health"];
    let _balancer = deployment.start(&settings).await;
    assert!(!origin.asked().is_empty());
    assert!(origin.asked().iter().all(|asked| asked.starts_with(&format!("GET http://{address}/health"))));
}

/// A connection on which nothing is heard any more: the replica is frozen with it, and the request waits no longer than
/// others do.
#[tokio::test]
async fn a_replica_that_says_nothing_is_late() {
    let (origin, deployment) = (Origin::start().await, Deployment::of_upstreams());
    let balancer = before(&[&origin], &deployment, &["--response-timeout", "300ms"]).await;
    let mut client = Client::connect(balancer.traffic).await;
    assert_eq!(client.call(with_method("POST", "/hang")).await.unwrap().status, 504);
    until("it is given up", async || origin.state.cancelled.load(SeqCst) == 1).await;
    let (response, mut stream) = client.open(with_method("POST", "/echo"), false).await;
    upload(&mut stream, b"on").await.unwrap();
    stream.send_data(Bytes::new(), true).unwrap();
    assert_eq!(super::peer::got(response).await.unwrap().text(), "on");
}
