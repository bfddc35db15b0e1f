//! Clients that speak HTTP/2, before replicas that speak HTTP/1.1.

use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, Request};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::{
    peer::{Client, get, got, rest, upload, with_method},
    raw::{self, Frames},
};
use crate::{
    conformance::scripted::{Origin, Then},
    origin,
    support::{Balancer, Deployment, PATIENCE, raw::Raw, until},
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A balancer before an origin that follows a script.
async fn before(origin: &Origin, deployment: &Deployment, settings: &[&str]) -> Balancer {
    let address = origin.address.to_string();
    let own = ["--upstream", &address, "--probe", "tcp", "--threads", "1", "--control-paths", "off"];
    deployment.start(&[&own[..], settings].concat()).await
}

/// A balancer with replicas that echo.
async fn echoing(deployment: &Deployment, settings: &[&str]) -> Balancer {
    let command = origin::command();
    let own = ["--command", &command, "--replicas", "1", "--threads", "1"];
    deployment.start(&[&own[..], settings].concat()).await
}

#[tokio::test]
async fn a_request_reaches_the_replica_as_http_1_1_and_its_response_comes_back() {
    let (origin, deployment) = (Origin::start(), Deployment::of_upstreams());
    let balancer = before(&origin, &deployment, &[]).await;
    let reply =
        "HTTP/1.1 201 Made\r\nX-A: b\r\nContent-Length: 2\r\nConnection: keep-alive, x-b\r\nX-B: 1\r\n\r\nok";
    origin.script(reply, Then::Keep);
    let mut client = Client::connect(balancer.traffic).await;
    let mut request = get("/%7Ea/../b?c=%2F");
    request.headers_mut().append("cookie", "a=1".parse().unwrap());
    request.headers_mut().append("x-forwarded-for", "192.0.2.1".parse().unwrap());
    request.headers_mut().append("cookie", "b=2".parse().unwrap());
    let got = client.call(request).await.unwrap();
    assert_eq!((got.status, got.text()), (201, "ok"));
    let headers: Vec<_> = got.headers.iter().map(|(name, value)| (name.as_str(), value)).collect();
    assert_eq!(headers, [("x-a", &"b".parse().unwrap()), ("content-length", &"2".parse().unwrap())]);
    let expected = "GET /%7Ea/../b?c=%2F HTTP/1.1\r\nhost: a\r\ncookie: a=1; b=2\r\nX-Forwarded-For: 127.0.0.1\r\n\
                    X-Forwarded-Proto: http\r\nForwarded: for=127.0.0.1;proto=http;host=a\r\nX-Forwarded-Host: a\r\n\
                    X-Request-Id: ";
    let requests = origin.requests();
    assert!(requests.len() == 1 && requests[0].starts_with(expected), "{requests:?}");
}

#[tokio::test]
async fn head_has_a_length_and_no_body() {
    let (origin, deployment) = (Origin::start(), Deployment::of_upstreams());
    let balancer = before(&origin, &deployment, &[]).await;
    origin.script("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", Then::Keep);
    let mut client = Client::connect(balancer.traffic).await;
    let got = client.call(with_method("HEAD", "/")).await.unwrap();
    assert_eq!((got.status, got.text(), &got.headers["content-length"]), (200, "", &"1000".parse().unwrap()));
    origin.script("HTTP/1.1 304 Not Modified\r\nEtag: a\r\n\r\n", Then::Keep);
    assert_eq!(client.call(get("/")).await.unwrap().status, 304);
}

#[tokio::test]
async fn bodies_and_trailers_go_both_ways() {
    let (origin, deployment) = (Origin::start(), Deployment::of_upstreams());
    let balancer = before(&origin, &deployment, &[]).await;
    let reply = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n";
    origin.script(reply, Then::Keep);
    let mut client = Client::connect(balancer.traffic).await;
    let trailers = HeaderMap::from_iter([("x-last".parse().unwrap(), "1".parse().unwrap())]);
    let mut request = with_method("POST", "/");
    request.headers_mut().append("te", "trailers".parse().unwrap());
    let got = client.send(request, b"body", Some(trailers)).await.unwrap();
    assert_eq!((got.status, got.text()), (200, "hello"));
    assert_eq!(got.trailers.unwrap()["x-sum"], "7");
    let asked = &origin.requests()[0];
    assert!(asked.contains("\r\nTE: trailers\r\n"), "{asked}");
    assert!(asked.ends_with("\r\n\r\n4\r\nbody\r\n0\r\nx-last: 1\r\n\r\n"), "{asked}");
    let mut request = with_method("PUT", "/");
    request.headers_mut().append("content-length", "4".parse().unwrap());
    client.send(request, b"body", None).await.unwrap();
    assert!(origin.requests()[1].ends_with("\r\n\r\nbody"), "a length stays: {:?}", origin.requests());
}

#[tokio::test]
async fn interim_responses_are_passed_over() {
    let (origin, deployment) = (Origin::start(), Deployment::of_upstreams());
    let balancer = before(&origin, &deployment, &[]).await;
    origin.script(&format!("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n{OK}"), Then::Keep);
    let got = Client::connect(balancer.traffic).await.call(get("/")).await.unwrap();
    assert_eq!((got.status, got.text()), (200, "ok"));
}

/// What nobody takes waits where it comes from, and nothing of it is lost.
#[tokio::test]
async fn large_bodies_go_both_ways_no_faster_than_they_are_taken() {
    const ALL: usize = 64 << 20;
    let deployment = Deployment::of_processes();
    let balancer = echoing(&deployment, &[]).await;
    let mut client = Client::connect(balancer.traffic).await;
    let (response, mut stream) = client.open(with_method("POST", "/echo"), false).await;
    let piece = Bytes::from(vec![b'x'; 16 << 10]);
    let mut sent = 0;
    let mut last = Instant::now();
    while last.elapsed() < Duration::from_millis(500) {
        stream.reserve_capacity(piece.len());
        let room = std::future::poll_fn(|cx| stream.poll_capacity(cx));
        if let Ok(room) = tokio::time::timeout(Duration::from_millis(100), room).await {
            let room = room.expect("it is open").expect("it is open").min(piece.len());
            stream.send_data(piece.slice(..room), false).unwrap();
            sent += room;
            last = Instant::now();
        }
        assert!(sent < ALL, "all was taken, though nothing was taken of the response");
    }
    let mut body = response.await.unwrap().into_body();
    let upload = async {
        upload(&mut stream, &vec![b'x'; ALL - sent]).await.unwrap();
        stream.send_data(Bytes::new(), true).unwrap();
    };
    let ((), came) = tokio::join!(upload, rest(&mut body));
    let came = came.unwrap();
    assert!(came.len() == ALL && came.iter().all(|byte| *byte == b'x'), "{}", came.len());
}

#[tokio::test]
async fn a_hundred_requests_go_at_once_over_one_connection() {
    let deployment = Deployment::of_processes();
    let balancer = echoing(&deployment, &["--max-concurrent-streams", "70"]).await;
    let mut client = Client::connect(balancer.traffic).await;
    assert_eq!(client.call(get("/")).await.unwrap().status, 200);
    assert_eq!(client.sender.current_max_send_streams(), 70);
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..100 {
        let mut sender = client.sender.clone();
        calls.spawn(async move {
            sender = sender.ready().await.unwrap();
            let request = with_method("POST", &format!("/echo?request_id={number}"));
            let (response, mut stream) = sender.send_request(request, false).unwrap();
            upload(&mut stream, &vec![number; 20_000]).await.unwrap();
            stream.send_data(Bytes::new(), true).unwrap();
            let got = got(response).await.unwrap();
            assert!(got.status == 200 && got.body == vec![number; 20_000], "{number}");
        });
    }
    while let Some(call) = calls.join_next().await {
        call.unwrap();
    }
}

#[tokio::test]
async fn a_stream_that_is_reset_ends_its_exchange_and_no_other() {
    let deployment = Deployment::of_processes();
    let balancer = echoing(&deployment, &[]).await;
    let mut client = Client::connect(balancer.traffic).await;
    let (kept_response, mut kept) = client.open(with_method("POST", "/echo"), false).await;
    let (response, mut stream) = client.open(with_method("POST", "/echo"), false).await;
    upload(&mut kept, b"kept").await.unwrap();
    upload(&mut stream, b"reset").await.unwrap();
    let mut body = response.await.unwrap().into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "reset");
    let in_flight = async || balancer.pool().await["replicas"][0]["in_flight"].as_u64().unwrap();
    until("both are under way", async || in_flight().await == 2).await;
    stream.send_reset(Reason::CANCEL);
    drop((body, stream));
    until("its exchange has ended", async || in_flight().await == 1).await;
    // one connection that was left in the middle of a response would give this an answer that is another's
    for _ in 0..5 {
        assert_eq!(client.send(with_method("POST", "/echo"), b"next", None).await.unwrap().text(), "next");
    }
    upload(&mut kept, b", too").await.unwrap();
    kept.send_data(Bytes::new(), true).unwrap();
    assert_eq!(got(kept_response).await.unwrap().text(), "kept, too");
}

#[tokio::test]
async fn a_response_that_breaks_off_is_reset_and_never_ended() {
    let (origin, deployment) = (Origin::start(), Deployment::of_upstreams());
    let balancer = before(&origin, &deployment, &["--hold-response", "0s"]).await;
    for (reply, then) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsome", Then::Close),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n", Then::Close),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n0\r\nA: b\r\n", Then::Close),
    ] {
        origin.script(reply, then);
        let mut client = Client::connect(balancer.traffic).await;
        let (response, _) = client.open(with_method("POST", "/"), true).await;
        assert_eq!(got(response).await.unwrap_err().reason(), Some(Reason::INTERNAL_ERROR), "{reply}");
    }
    origin.script("HTTP/1.1 200 OK\r\n\r\nall", Then::Close);
    let got = Client::connect(balancer.traffic).await.call(with_method("POST", "/")).await.unwrap();
    assert_eq!(got.text(), "all", "what ends with the connection is whole");
}

#[tokio::test]
async fn the_control_api_is_found_and_what_is_wrong_is_told() {
    let deployment = Deployment::of_processes();
    let balancer = echoing(&deployment, &[]).await;
    let mut client = Client::connect(balancer.traffic).await;
    let rep = client.call(get("/rep")).await.unwrap();
    assert_eq!((rep.status, rep.text()), (200, &*balancer.rep().await));
    let wrong = client.send(with_method("POST", "/add"), b"{}", None).await.unwrap();
    assert_eq!(wrong.status, 400, "{}", wrong.text());
    assert_eq!(client.call(get("/a\\b")).await.unwrap().status, 400);
    let mut hosts = get("/");
    hosts.headers_mut().append("host", "b".parse().unwrap());
    let refused = client.call(hosts).await.unwrap();
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(refused.text().contains("Host comes more than once"), "{}", refused.text());
    let tunnel = Request::connect("a:443").body(()).unwrap();
    let refused = client.call(tunnel).await.unwrap();
    assert_eq!(refused.status, 405);
    assert!(refused.headers.contains_key("allow"));
    assert_eq!(client.call(get("/")).await.unwrap().status, 200, "the connection is kept");
}

#[tokio::test]
async fn a_request_whose_replica_breaks_off_is_answered_by_another() {
    let (good, bad) = (Origin::start(), Origin::start());
    good.script(OK, Then::Keep);
    bad.script("", Then::Break);
    let deployment = Deployment::of_upstreams();
    let (one, two) = (good.address.to_string(), bad.address.to_string());
    let upstreams = ["--upstream", &one, "--upstream", &two, "--probe", "tcp", "--key", "path"];
    let balancer = deployment.start(&upstreams).await;
    let mut client = Client::connect(balancer.traffic).await;
    for number in 0..50 {
        let got = client.call(get(&format!("/{number}"))).await.unwrap();
        assert_eq!((got.status, got.text()), (200, "ok"), "{number}");
    }
    assert!(!bad.requests().is_empty());
}

#[tokio::test]
async fn a_preface_is_known_however_it_comes() {
    let (origin, deployment) = (Origin::start(), Deployment::of_upstreams());
    let balancer = before(&origin, &deployment, &[]).await;
    origin.script(OK, Then::Keep);
    let mut stream = TcpStream::connect(balancer.traffic).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for byte in [&raw::opening()[..], &raw::request(1, &raw::GET)[..]].concat() {
        stream.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let frames = Frames::until(&mut stream, |frame| frame.kind == raw::DATA).await;
    assert_eq!(frames.status(1), Some(200));
    let mut together = TcpStream::connect(balancer.traffic).await.unwrap();
    together.write_all(&[&raw::opening()[..], &raw::request(1, &raw::GET)[..]].concat()).await.unwrap();
    let frames = Frames::until(&mut together, |frame| frame.kind == raw::DATA).await;
    assert_eq!(frames.status(1), Some(200));
}

#[tokio::test]
async fn what_only_begins_like_a_preface_or_comes_late_is_refused() {
    let (origin, deployment) = (Origin::start(), Deployment::of_upstreams());
    let balancer = before(&origin, &deployment, &["--header-timeout", "300ms"]).await;
    origin.script(OK, Then::Keep);
    for (sent, before) in [
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\rX", 0),
        ("PRI * HTTP/2.0\r\n\r\nsm\r\n\r\n", 0),
        ("PRI * HTTP/2.0\r\nHost: a\r\n\r\n", 0),
        ("PRI / HTTP/2.0\r\n\r\nSM\r\n\r\n", 0),
        ("\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 0),
        ("PRI * HTTP/2.0\r\n\r\nSM", 0),
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 1),
    ] {
        let mut client = Raw::connect(balancer.traffic).await;
        client.write(sent).await;
        let text = client.read_to_end().await;
        let answered = ["200", "505"].map(|status| text.matches(&format!("HTTP/1.1 {status} ")).count());
        assert_eq!(answered, [before, 1], "{sent:?}: {text:?}");
    }
}

/// Streams that are opened and reset at once cost the client its connection, and nobody else anything (CVE-2023-44487).
#[tokio::test]
async fn a_flood_of_resets_ends_the_connection() {
    let (origin, deployment) = (Origin::start(), Deployment::of_upstreams());
    let balancer = before(&origin, &deployment, &[]).await;
    origin.script(OK, Then::Keep);
    let mut flood = raw::opening().to_vec();
    for number in 0..5000 {
        flood.extend(raw::request(2 * number + 1, &raw::GET));
        flood.extend(raw::frame(raw::RST_STREAM, 0, 2 * number + 1, &8_u32.to_be_bytes()));
    }
    let mut stream = TcpStream::connect(balancer.traffic).await.unwrap();
    let _it_may_be_cut_off = stream.write_all(&flood).await;
    let frames = Frames::to_end(&mut stream).await;
    for end in frames.0.iter().filter(|frame| frame.kind == raw::GOAWAY) {
        assert_eq!(end.payload[4..8], 11_u32.to_be_bytes(), "ENHANCE_YOUR_CALM");
    }
    assert!(origin.requests().len() < 1000, "{}", origin.requests().len());
    assert_eq!(Client::connect(balancer.traffic).await.call(get("/")).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_header_that_is_too_large_is_refused_and_its_connection_is_kept() {
    let (origin, deployment) = (Origin::start(), Deployment::of_upstreams());
    let settings = ["--max-header-bytes", "4k", "--max-header-fields", "20", "--max-url-bytes", "1k"];
    let balancer = before(&origin, &deployment, &settings).await;
    origin.script(OK, Then::Keep);
    let mut client = Client::connect(balancer.traffic).await;
    for length in [4 << 10, 8 << 10] {
        let mut request = get("/");
        request.headers_mut().append("x-a", "x".repeat(length).parse().unwrap());
        match client.call(request).await {
            Ok(got) => assert_eq!(got.status, 431, "{length}"),
            // above the size that was announced it may be that
            Err(error) => {
                assert!(error.reason() == Some(Reason::REFUSED_STREAM) && length > 4 << 10, "{error}")
            }
        }
    }
    let mut request = get("/");
    (0..20).for_each(|_| _ = request.headers_mut().append("x-a", "1".parse().unwrap()));
    assert_eq!(client.call(request).await.unwrap().status, 431);
    assert_eq!(client.call(get(&format!("/{}", "a".repeat(1024)))).await.unwrap().status, 414);
    assert_eq!(client.call(get("/")).await.unwrap().status, 200);
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn what_http_2_calls_malformed_reaches_nobody() {
    let (origin, deployment) = (Origin::start(), Deployment::of_upstreams());
    let balancer = before(&origin, &deployment, &[]).await;
    origin.script(OK, Then::Keep);
    for field in [
        ("connection", "close"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("keep-alive", "a"),
        ("te", "gzip"),
        ("Upper", "a"),
        (":odd", "a"),
        ("x-a", "a\r\nb: c"),
    ] {
        let mut stream = TcpStream::connect(balancer.traffic).await.unwrap();
        let request = raw::request(1, &[&raw::GET[..], &[field]].concat());
        stream.write_all(&[&raw::opening()[..], &request].concat()).await.unwrap();
        let ends = |frame: &raw::Frame| frame.kind == raw::RST_STREAM || frame.kind == raw::GOAWAY;
        Frames::until(&mut stream, ends).await;
    }
    let mut stream = TcpStream::connect(balancer.traffic).await.unwrap();
    let request = raw::request(1, &raw::GET[..3]);
    stream.write_all(&[&raw::opening()[..], &request].concat()).await.unwrap();
    let frames = Frames::until(&mut stream, |frame| frame.kind == raw::DATA).await;
    assert_eq!(frames.status(1), Some(400), "there is no authority and no host");
    assert!(origin.requests().is_empty(), "{:?}", origin.requests());
}

#[tokio::test]
async fn connections_without_requests_are_closed_in_time() {
    let (origin, deployment) = (Origin::start(), Deployment::of_upstreams());
    let times = ["--header-timeout", "300ms", "--idle-timeout", "600ms", "--body-timeout", "500ms"];
    let balancer = before(&origin, &deployment, &times).await;
    origin.script(OK, Then::Keep);
    let begun = Instant::now();
    let mut client = Client::connect(balancer.traffic).await;
    let ended = tokio::time::timeout(PATIENCE, &mut client.driver).await.expect("it is closed");
    assert!(ended.unwrap().is_ok() && begun.elapsed() >= Duration::from_millis(300));
    let mut client = Client::connect(balancer.traffic).await;
    assert_eq!(client.call(get("/")).await.unwrap().status, 200);
    let begun = Instant::now();
    let ended = tokio::time::timeout(PATIENCE, &mut client.driver).await.expect("it is closed");
    assert!(ended.unwrap().is_ok() && begun.elapsed() >= Duration::from_millis(500), "{:?}", begun.elapsed());
    // one that answers nothing, not even the end
    let mut silent = TcpStream::connect(balancer.traffic).await.unwrap();
    silent.write_all(&raw::opening()).await.unwrap();
    Frames::to_end(&mut silent).await;
}

#[tokio::test]
async fn a_request_that_stops_coming_is_told_so() {
    let (origin, deployment) = (Origin::start(), Deployment::of_upstreams());
    let balancer = before(&origin, &deployment, &["--body-timeout", "300ms"]).await;
    origin.script(OK, Then::Keep);
    let mut client = Client::connect(balancer.traffic).await;
    let (response, mut stream) = client.open(with_method("POST", "/"), false).await;
    upload(&mut stream, b"some").await.unwrap();
    assert_eq!(got(response).await.unwrap().status, 408);
    assert_eq!(client.call(get("/")).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_stop_lets_what_is_under_way_finish() {
    let deployment = Deployment::of_processes();
    let mut balancer = echoing(&deployment, &["--drain-timeout", "20s"]).await;
    let mut idle = Client::connect(balancer.traffic).await;
    assert_eq!(idle.call(get("/")).await.unwrap().status, 200);
    let mut client = Client::connect(balancer.traffic).await;
    let (response, mut stream) = client.open(with_method("POST", "/echo"), false).await;
    upload(&mut stream, b"begun").await.unwrap();
    let mut body = response.await.unwrap().into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "begun");
    balancer.terminate();
    let ended = tokio::time::timeout(PATIENCE, &mut idle.driver).await.expect("it is closed");
    assert!(ended.unwrap().is_ok(), "what is idle ends at once");
    upload(&mut stream, b", ended").await.unwrap();
    stream.send_data(Bytes::new(), true).unwrap();
    assert_eq!(rest(&mut body).await.unwrap(), b", ended");
    assert!(balancer.ends().await.success());
}
