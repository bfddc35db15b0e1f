//! The generator against servers of a few lines.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::ids::{Ids, Unique};

/// What a tiny server does with the request it has just read (its number on the connection, its text).
type Answer = fn(usize, &str) -> Reply;

enum Reply {
    /// Answer with this status and body.
    With(u16, String),
    /// The same, and close the connection, saying so or not.
    Last { said: bool, body: String },
    /// Close the connection in the middle of the answer's head, or of its body.
    Break { in_head: bool },
    /// Never answer.
    Never,
}

fn hello(_: usize, request: &str) -> Reply {
    let id = request.split("request_id").nth(1).expect("an id").trim_start_matches(['=', '"', ':', ' ']);
    let last = id.chars().nth(5).expect("six digits");
    Reply::With(200, format!(r#"{{"message":"Hello from Server: {last}","status":"successful"}}"#))
}

async fn serve(mut stream: TcpStream, answer: Answer) {
    let mut buffer = [0; 4096];
    for number in 0.. {
        let Ok(length @ 1..) = stream.read(&mut buffer).await else { return };
        let reply = answer(number, std::str::from_utf8(&buffer[..length]).unwrap());
        let text = match &reply {
            Reply::With(status, body) => whole(*status, "", body),
            Reply::Last { said: true, body } => whole(200, "connection: close\r\n", body),
            Reply::Last { said: false, body } => whole(200, "", body),
            Reply::Break { in_head: true } => "HTTP/1.1 200 OK\r\ncontent-le".to_owned(),
            Reply::Break { in_head: false } => "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nHel".to_owned(),
            Reply::Never => std::future::pending().await,
        };
        stream.write_all(text.as_bytes()).await.unwrap();
        if !matches!(reply, Reply::With(..)) {
            return;
        }
    }
}

fn whole(status: u16, field: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\n{field}content-length: {}\r\n\r\n{body}", body.len())
}

async fn origin(answer: Answer) -> Load {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = listener.local_addr().unwrap().to_string().parse().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, answer));
        }
    });
    let (path, timeout) = ("/home".to_owned(), Duration::from_secs(10));
    let (carry, reuse) = (Carry::Query, Reuse::Kept);
    let (protocol, requests) = (Protocol::Http1, 500);
    Load { base, path, protocol, requests, connections: 8, rate: None, carry, reuse, timeout }
}

async fn report(load: &Load) -> Report {
    run(load, Ids::new(1), |_| ()).await.expect("a run")
}

#[tokio::test]
async fn every_id_is_sent_once_and_counted_for_the_server_that_answered() {
    for carry in [Carry::Query, Carry::Body] {
        let load = Load { carry, ..origin(hello).await };
        let report = report(&load).await;
        assert_eq!((report.succeeded(), report.failed(), report.reconnects), (500, 0, 0));
        assert_eq!(report.latency.len(), 500);
        for (server, count) in &report.servers {
            let expected =
                Ids::new(1).take(500).filter(|id| id % 10 == server.parse::<u64>().unwrap()).count();
            assert_eq!(*count, expected as u64);
        }
    }
}

#[tokio::test]
async fn a_body_of_the_size_that_was_asked_for_follows_its_head() {
    const LENGTH: usize = 100_000;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = listener.local_addr().unwrap().to_string().parse().unwrap();
    let uploading = Load { base, requests: 1, carry: Carry::Upload(LENGTH), ..origin(hello).await };
    let served = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut read, mut head) = (Vec::new(), None);
        while head.is_none_or(|head| read.len() < head + LENGTH) {
            stream.read_buf(&mut read).await.unwrap();
            head = read.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
        }
        stream.write_all(whole(200, "", "").as_bytes()).await.unwrap();
        (String::from_utf8(read[..head.unwrap()].to_vec()).unwrap(), read.len() - head.unwrap())
    };
    let (report, (head, length)) = tokio::join!(report(&uploading), served);
    assert!(head.starts_with("POST /home?request_id=830450 ") && head.contains("content-length: 100000\r\n"));
    assert_eq!((length, report.succeeded()), (LENGTH, 1));
}

#[tokio::test]
async fn each_request_may_have_a_connection_of_its_own_which_the_server_is_asked_to_close() {
    let load = origin(|number, request| {
        assert!(number == 0 && request.contains("connection: close\r\n"));
        match hello(number, request) {
            Reply::With(_, body) => Reply::Last { said: true, body },
            reply => reply,
        }
    });
    let report = report(&Load { reuse: Reuse::Fresh, ..load.await }).await;
    assert_eq!(
        (report.succeeded(), report.failed(), report.reconnects),
        (500, 0, 0),
        "{:?}",
        report.failures
    );
}

#[tokio::test]
async fn connections_may_be_there_before_the_first_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = listener.local_addr().unwrap().to_string().parse().unwrap();
    let load = Load { base, reuse: Reuse::Ready, connections: 8, ..origin(hello).await };
    let served = async {
        let mut streams = Vec::new();
        for _ in 0..8 {
            streams.push(listener.accept().await.unwrap().0);
        }
        let served = streams.into_iter().map(|stream| serve(stream, hello));
        futures_util::future::join_all(served).await
    };
    let (report, _) = tokio::join!(report(&load), served);
    assert_eq!(
        (report.succeeded(), report.failed(), report.reconnects),
        (500, 0, 0),
        "{:?}",
        report.failures
    );
}

#[tokio::test]
async fn each_outcome_is_shown_as_it_comes() {
    let load = origin(hello).await;
    let seen = Rc::new(RefCell::new(BTreeSet::new()));
    let watched = seen.clone();
    let observe = move |outcome: &Outcome| {
        watched.borrow_mut().insert((outcome.id, outcome.begun));
    };
    run(&load, Ids::new(3), observe).await.expect("a run");
    let ids: BTreeSet<u64> = seen.borrow().iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, Ids::new(3).take(500).collect());
}

#[tokio::test]
async fn a_connection_that_the_server_ends_is_replaced() {
    let load = origin(|number, request| match hello(number, request) {
        Reply::With(_, body) if number == 9 => Reply::Last { said: true, body },
        reply => reply,
    });
    let report = report(&Load { requests: 100, connections: 1, ..load.await }).await;
    assert_eq!((report.succeeded(), report.failed()), (100, 0), "{:?}", report.failures);
    assert_eq!(report.reconnects, 9);
}

#[tokio::test]
async fn a_request_that_finds_its_connection_closed_is_handed_back_unsent() {
    let load = origin(|_, _| Reply::Last { said: false, body: String::new() }).await;
    let address = format!("{}:{}", load.base.host(), load.base.port()).parse().unwrap();
    let request = b"GET /home?request_id=123456 HTTP/1.1\r\nhost: h\r\n\r\n";
    let mut connection = Connection::open(&[address]).await.unwrap();
    assert!(connection.exchange(request, b"").await.is_ok());
    tokio::time::timeout(Duration::from_secs(10), connection.closed()).await.expect("the server closes it");
    assert!(matches!(connection.exchange(request, b"").await, Err(ExchangeError::Unsent)));
}

#[tokio::test]
async fn failures_are_told_apart() {
    async fn failures(answer: Answer, timeout: u64) -> Vec<String> {
        let load = Load { requests: 8, timeout: Duration::from_millis(timeout), ..origin(answer).await };
        report(&load).await.failures.iter().map(|(kind, count)| format!("{count} {kind}")).collect()
    }
    assert_eq!(failures(|_, _| Reply::With(503, String::new()), 10_000).await, ["8 status 503"]);
    assert_eq!(failures(|_, _| Reply::Break { in_head: true }, 10_000).await, ["8 broken"]);
    assert_eq!(failures(|_, _| Reply::Break { in_head: false }, 10_000).await, ["8 truncated"]);
    assert_eq!(failures(|_, _| Reply::Never, 50).await, ["8 late"]);
}

#[tokio::test]
async fn where_nobody_listens_every_request_fails_to_connect() {
    let base = "http://127.0.0.1:1".parse().unwrap();
    let load = Load { base, ..origin(hello).await };
    assert_eq!(report(&load).await.failures.into_iter().collect::<Vec<_>>(), [(Failure::Connect, 500)]);
}

#[tokio::test]
async fn an_open_loop_keeps_its_rate() {
    let load = Load { rate: Some(Rate(1000.0)), requests: 200, ..origin(hello).await };
    let report = report(&load).await;
    assert_eq!(report.succeeded(), 200);
    assert!(report.elapsed >= Duration::from_millis(199), "{:?}", report.elapsed);
}

#[tokio::test]
async fn in_an_open_loop_a_stall_counts_for_every_request_that_was_due_in_it() {
    thread_local!(static STALLED: Cell<bool> = const { Cell::new(false) });
    // The first answer takes 200 ms of the only thread: everyone due in that time is late.
    let load = origin(|number, request| {
        if !STALLED.replace(true) {
            let until = Instant::now() + Duration::from_millis(200);
            while Instant::now() < until {}
        }
        hello(number, request)
    });
    let load = Load { rate: Some(Rate(1000.0)), requests: 400, connections: 1, ..load.await };
    let report = report(&load).await;
    let late = report.latency.len() - report.latency.count_between(0, 50_000_000);
    assert!(late >= 120, "only {late} of 400 waited for more than 50 ms");
}

#[tokio::test]
async fn a_steady_load_sends_each_stream_at_its_rate_until_it_is_told_to_end() {
    let load = origin(|_, request| match request.split(' ').next() {
        Some("POST") if request.contains(r#"{"request_id": "#) => Reply::With(201, String::new()),
        Some("GET") => hello(0, request),
        _ => Reply::With(400, String::new()),
    });
    let stream = |method, path: &str, rate| Stream { method, path: path.to_owned(), rate: Rate(rate) };
    let streams = vec![stream(Method::Get, "/home?a=b", 1000.0), stream(Method::Post, "/order", 100.0)];
    let steady = Steady { base: load.await.base, streams, timeout: Duration::from_secs(10) };
    let seen = Rc::new(RefCell::new(Vec::new()));
    let watched = seen.clone();
    let observe = move |stream: usize, outcome: &Outcome| {
        watched.borrow_mut().push((stream, outcome.id, outcome.failure()));
    };
    let until = tokio::time::sleep(Duration::from_millis(250));
    steadily(&steady, Unique::new(1), until, observe).await.expect("a run");
    let seen = seen.borrow();
    let sent = |stream| seen.iter().filter(|(of, ..)| *of == stream).count();
    assert!((230..=270).contains(&sent(0)) && (23..=27).contains(&sent(1)), "{} {}", sent(0), sent(1));
    assert!(seen.iter().all(|(_, _, failure)| failure.is_none()), "{seen:?}");
    let ids: BTreeSet<u64> = seen.iter().map(|(_, id, _)| *id).collect();
    assert_eq!(ids.len(), seen.len(), "each id is sent once");
}

#[test]
fn a_rate_is_more_than_nothing() {
    assert_eq!("2500".parse::<Rate>().map(Rate::per_second), Ok(2500.0));
    for bad in ["", "0", "-1", "NaN", "inf", "2e6", "fast"] {
        assert!(bad.parse::<Rate>().is_err(), "{bad}");
    }
}
