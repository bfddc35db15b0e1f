//! The load generator: so many requests over so many connections, on one thread.
//!
//! Closed loop: each connection sends its next request when the last one was answered, as fast as the server lets it.
//! Open loop: requests are due at a fixed rate whatever the server does, and latency counts from when a request was
//! due, so that a server that stalls cannot hide it by holding up the generator (coordinated omission).
//!
//! In HTTP/2 several requests share a connection, each as if it had one of its own.
//!
//! `steady` is an open loop of several kinds of requests that goes on until it is told to end.

mod alarm;
mod connection;
mod message;
mod multiplexed;
mod report;
mod steady;
#[cfg(test)]
mod tests;

use std::{
    cell::RefCell,
    io::{self, Write},
    net::SocketAddr,
    rc::Rc,
    str::FromStr,
    time::{Duration, Instant},
};

use tokio::task::{JoinSet, LocalSet};

use self::{
    alarm::Alarm,
    connection::{Connection, ExchangeError},
    multiplexed::Multiplexed,
};
pub use self::{
    report::{Answered, Failure, Outcome, Report},
    steady::{Method, Steady, Stream, steadily},
};
use crate::base::Base;

/// What to send.
#[derive(Clone, Debug)]
pub struct Load {
    /// Where to.
    pub base: Base,
    /// The path, without a query.
    pub path: String,
    /// How it is asked for.
    pub protocol: Protocol,
    /// How many requests in all.
    pub requests: u64,
    /// How many connections at a time; at least one is opened.
    pub connections: usize,
    /// At which rate; `None` for a closed loop.
    pub rate: Option<Rate>,
    /// Where a request has its id.
    pub carry: Carry,
    /// How requests come by their connections.
    pub reuse: Reuse,
    /// When an answer is given up.
    pub timeout: Duration,
}

/// How requests are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// GET in HTTP/2, so many at a time over each connection, which is kept; the id is in the query.
    Http2(usize),
    /// The same with unary calls of gRPC in place of GET.
    Grpc(usize),
}

/// Where a request has its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carry {
    /// `?request_id=132574`.
    Query,
    /// `{"request_id": 132574}`, the assignment's.
    Body,
    /// `?request_id=132574` of a POST with a body of so many bytes.
    Upload(usize),
}

/// How requests come by their connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// Each connection is opened for the first request that needs it, and kept.
    Kept,
    /// All are opened before the first request is due, and kept.
    Ready,
    /// Each request has a connection of its own and asks the server to close it; its answer ends with the connection.
    Fresh,
}

/// Requests per second, more than 0 and at most a million.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Rate(f64);

/// Why a text is not a [`Rate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a rate is a number of requests per second, more than 0 and at most 1000000")]
pub struct RateError;

impl Protocol {
    /// How many requests a connection carries at a time.
    pub fn streams(self) -> usize {
        match self {
            Protocol::Http1 => 1,
            Protocol::Http2(streams) | Protocol::Grpc(streams) => streams.max(1),
        }
    }
}

impl Rate {
    /// The requests per second.
    pub fn per_second(self) -> f64 {
        self.0
    }

    /// How long after the first request this one is due; the first is number 0.
    fn due(self, number: u64) -> Duration {
        Duration::from_secs_f64(number as f64 / self.0)
    }
}

impl TryFrom<f64> for Rate {
    type Error = RateError;

    fn try_from(per_second: f64) -> Result<Self, RateError> {
        if (1e-6..=1e6).contains(&per_second) { Ok(Rate(per_second)) } else { Err(RateError) }
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        text.parse::<f64>().map_err(|_| RateError)?.try_into()
    }
}

/// Sends the load with the first of these ids, in order, and says what came of it. `observe` gets each request's
/// outcome as it comes. An error only where the host's name leads nowhere or timers are missing: all else is in the report.
///
/// Call on a current-thread runtime; anything else there competes with the generator.
pub async fn run(
    load: &Load,
    ids: impl Iterator<Item = u64> + 'static,
    observe: impl FnMut(&Outcome) + 'static,
) -> io::Result<Report> {
    let addresses: Vec<SocketAddr> =
        tokio::net::lookup_host((load.base.host(), load.base.port())).await?.collect();
    let connections = load.connections.clamp(1, usize::try_from(load.requests.max(1)).unwrap_or(usize::MAX));
    let streams = load.protocol.streams();
    let alarms = (0..connections * streams).map(|_| load.rate.map(|_| Alarm::new()).transpose());
    let alarms: Vec<Option<Alarm>> = alarms.collect::<io::Result<_>>()?;
    let opened = open(load, &addresses, connections * streams).await;
    let state = State { ids: Box::new(ids), sent: 0, report: Report::new(), observe: Box::new(observe) };
    let run = Rc::new(Run {
        host: load.base.authority(),
        path: load.base.path(&load.path),
        body: if let Carry::Upload(length) = load.carry { vec![b'x'; length] } else { Vec::new() },
        load: load.clone(),
        addresses,
        shared: (0..connections).map(|_| Multiplexed::default()).collect(),
        start: Instant::now(),
        state: RefCell::new(state),
    });
    let local = LocalSet::new();
    let mut workers = JoinSet::new();
    for (number, (alarm, connection)) in alarms.into_iter().zip(opened).enumerate() {
        workers.spawn_local_on(work(run.clone(), number / streams, alarm, connection), &local);
    }
    local.run_until(async { while workers.join_next().await.is_some() {} }).await;
    let mut report = std::mem::replace(&mut run.state.borrow_mut().report, Report::new());
    report.elapsed = run.start.elapsed();
    Ok(report)
}

/// The connections that are there before the first request. One that can't be opened is tried again when it is needed.
async fn open(load: &Load, addresses: &[SocketAddr], connections: usize) -> Vec<Option<Connection>> {
    let mut opened = Vec::new();
    for _ in 0..connections {
        opened.push(match (load.reuse, load.protocol) {
            (Reuse::Ready, Protocol::Http1) => Connection::open(addresses).await.ok(),
            _ => None,
        });
    }
    opened
}

/// What the workers share; all of them are on one thread.
struct Run {
    load: Load,
    addresses: Vec<SocketAddr>,
    host: String,
    path: String,
    /// The connections that several workers have.
    shared: Vec<Multiplexed>,
    /// What follows every request.
    body: Vec<u8>,
    start: Instant,
    /// Never borrowed across an await.
    state: RefCell<State>,
}

struct State {
    ids: Box<dyn Iterator<Item = u64>>,
    sent: u64,
    report: Report,
    observe: Box<dyn FnMut(&Outcome)>,
}

/// One worker: turn after turn until all requests were sent, over a connection of its own or this shared one.
async fn work(run: Rc<Run>, shared: usize, mut alarm: Option<Alarm>, mut connection: Option<Connection>) {
    let mut request = Vec::new();
    while let Some((id, due)) = run.next() {
        if let (Some(alarm), Some(due)) = (&mut alarm, due) {
            alarm.wait(due).await;
        }
        let begun = due.unwrap_or_else(Instant::now);
        let exchange = async {
            match run.load.protocol {
                Protocol::Http1 => {
                    run.write(id, &mut request);
                    run.exchange(&request, &mut connection).await
                }
                protocol => run.share(shared, id, matches!(protocol, Protocol::Grpc(_))).await,
            }
        };
        let result = match tokio::time::timeout(run.load.timeout, exchange).await {
            Ok(result) => result,
            Err(_) => Err(Failure::Late),
        };
        if matches!(result, Err(Failure::Late | Failure::Broken | Failure::Truncated)) {
            connection = None;
            run.state.borrow_mut().report.reconnects += 1;
        }
        run.enter(&Outcome { id, begun: begun - run.start, latency: begun.elapsed(), result });
    }
}

impl Run {
    /// The next request's id and, in an open loop, when it is due.
    fn next(&self) -> Option<(u64, Option<Instant>)> {
        let mut state = self.state.borrow_mut();
        if state.sent == self.load.requests {
            return None;
        }
        let id = state.ids.next()?;
        let due = self.load.rate.map(|rate| self.start + rate.due(state.sent));
        state.sent += 1;
        Some((id, due))
    }

    /// One request, on the connection there is or a new one. Where the server had closed it before anything was sent, on a new one.
    async fn exchange(
        &self,
        request: &[u8],
        connection: &mut Option<Connection>,
    ) -> Result<Answered, Failure> {
        if let Some(kept) = connection {
            match kept.exchange(request, &self.body).await {
                Ok(answered) => return Ok(answered),
                Err(ExchangeError::Unsent) => {}
                Err(error) => return Err(error.into()),
            }
            *connection = None;
            self.state.borrow_mut().report.reconnects += 1;
        }
        let mut opened = Connection::open(&self.addresses).await.map_err(|_| Failure::Connect)?;
        let answered = opened.exchange(request, &self.body).await?;
        match self.load.reuse {
            Reuse::Fresh => opened.end().await.map_err(|_| Failure::Broken)?,
            Reuse::Kept | Reuse::Ready => *connection = Some(opened),
        }
        Ok(answered)
    }

    /// One request over a shared connection.
    async fn share(&self, shared: usize, id: u64, calls: bool) -> Result<Answered, Failure> {
        let Run { host, path, .. } = self;
        let url = format!("http://{host}{path}?request_id={id}");
        self.shared[shared].exchange(&self.addresses, &url, calls).await
    }

    /// The request with this id, in the place of the last one.
    fn write(&self, id: u64, request: &mut Vec<u8>) {
        let Run { host, path, .. } = self;
        let last = if self.load.reuse == Reuse::Fresh { "connection: close\r\n" } else { "" };
        request.clear();
        let written = match self.load.carry {
            Carry::Query => {
                write!(request, "GET {path}?request_id={id} HTTP/1.1\r\nhost: {host}\r\n{last}\r\n")
            }
            Carry::Upload(length) => write!(
                request,
                "POST {path}?request_id={id} HTTP/1.1\r\nhost: {host}\r\n{last}content-length: {length}\r\n\r\n"
            ),
            Carry::Body => {
                let (body, kind) = (format!(r#"{{"request_id": {id}}}"#), "content-type: application/json");
                let length = body.len();
                write!(
                    request,
                    "GET {path} HTTP/1.1\r\nhost: {host}\r\n{last}{kind}\r\ncontent-length: {length}\r\n\r\n{body}"
                )
            }
        };
        written.expect("a vector takes everything");
    }

    fn enter(&self, outcome: &Outcome) {
        let mut state = self.state.borrow_mut();
        state.report.enter(outcome);
        (state.observe)(outcome);
    }
}
