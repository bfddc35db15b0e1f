//! A-3: every endpoint is called, and what was sent, what came back and what the balancer said meanwhile is kept.

use std::time::{Duration, Instant};

use anyhow::Context;
use ringkeeper_tools::{
    base::Base,
    subject::{Settings, Subject},
};
use serde::Serialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// How long an answer may take; an addition answers when the replicas are ready.
const ANSWER: Duration = Duration::from_secs(60);

/// What is called: why, how, where, with which payload, and the status that is right.
const CALLS: [(&str, &str, &str, &str, u16); 11] = [
    ("the replicas", "GET", "/rep", "", 200),
    ("add two, one of them named", "POST", "/add", r#"{"n":2,"hostnames":["S4"]}"#, 200),
    ("add with more names than n", "POST", "/add", r#"{"n":1,"hostnames":["S5","S6"]}"#, 400),
    ("add a name that is there", "POST", "/add", r#"{"n":1,"hostnames":["S4"]}"#, 400),
    ("remove two, one of them named", "DELETE", "/rm", r#"{"n":2,"hostnames":["S4"]}"#, 200),
    ("remove with more names than n", "DELETE", "/rm", r#"{"n":1,"hostnames":["Server-1","Server-2"]}"#, 400),
    ("remove more than there are", "DELETE", "/rm", r#"{"n":99,"hostnames":[]}"#, 400),
    ("a replica's own answer", "GET", "/home", "", 200),
    ("the same with an id", "GET", "/home", r#"{"request_id":123456}"#, 200),
    ("a replica's heartbeat", "GET", "/heartbeat", "", 200),
    ("a path that no replica serves", "GET", "/other", "", 400),
];

/// The whole walk.
#[derive(Clone, Debug, Serialize)]
pub struct Endpoints {
    pub calls: Vec<Call>,
    /// The balancer's log.
    pub log: Vec<String>,
}

/// One call.
#[derive(Clone, Debug, Serialize)]
pub struct Call {
    pub why: &'static str,
    pub method: &'static str,
    pub path: &'static str,
    pub payload: &'static str,
    pub expected: u16,
    pub status: u16,
    pub body: String,
    pub millis: f64,
}

impl Call {
    /// Whether its status is the right one.
    pub fn is_as_expected(&self) -> bool {
        self.status == self.expected
    }
}

/// Calls everything, once, on a balancer with three replicas and the assignment's answer to unknown paths.
pub async fn walk(settings: &Settings) -> anyhow::Result<Endpoints> {
    let subject = Subject::start(settings, 3, &["--unknown-path", "assignment"]).await?;
    let mut calls = Vec::new();
    for (why, method, path, payload, expected) in CALLS {
        let begun = Instant::now();
        let (status, body) = timeout(ANSWER, call(&subject.url, method, path, payload))
            .await
            .with_context(|| format!("{method} {path}: no answer within {ANSWER:?}"))?
            .with_context(|| format!("{method} {path}"))?;
        let millis = begun.elapsed().as_secs_f64() * 1e3;
        calls.push(Call { why, method, path, payload, expected, status, body, millis });
    }
    let log = subject.log();
    subject.down()?;
    Ok(Endpoints { calls, log })
}

/// One call as the assignment's clients make it, on a connection of its own: status and body.
async fn call(base: &Base, method: &str, path: &str, payload: &str) -> anyhow::Result<(u16, String)> {
    let mut stream = TcpStream::connect((base.host(), base.port())).await?;
    let (host, length) = (base.authority(), payload.len());
    let json = if payload.is_empty() {
        String::new()
    } else {
        format!("content-type: application/json\r\ncontent-length: {length}\r\n")
    };
    let request =
        format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{json}\r\n{payload}");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").context("no whole answer")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no status")?;
    Ok((status, body.to_owned()))
}
