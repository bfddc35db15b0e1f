//! Streams of requests at fixed rates, each request at its time whatever became of those before, until the end is told.
//!
//! A request is a task of its own, so that any number of them may hang; a connection that is free again is the next one
//! used, so that there are as many as requests hang.

use std::{
    cell::RefCell,
    io::{self, Write},
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::task::{JoinSet, LocalSet};

use super::{
    Rate,
    alarm::Alarm,
    connection::{Connection, ExchangeError},
    report::{Answered, Failure, Outcome},
};
use crate::base::Base;

/// What to send.
#[derive(Clone, Debug)]
pub struct Steady {
    /// Where to.
    pub base: Base,
    /// What is sent side by side.
    pub streams: Vec<Stream>,
    /// When an answer is given up, after the request was due.
    pub timeout: Duration,
}

/// Requests of one kind.
#[derive(Clone, Debug)]
pub struct Stream {
    /// How.
    pub method: Method,
    /// The path; its query, if any, gets the id as `request_id`.
    pub path: String,
    /// How many a second.
    pub rate: Rate,
}

/// A method, and whether there is a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// A GET without a body.
    Get,
    /// A POST of `{"request_id": ID}`.
    Post,
}

/// Sends the streams until `until` ends, and waits for what is in flight then. `observe` gets the index of each request's
/// stream, and its outcome. Returns when the first request was due, which every outcome's `begun` is counted from.
///
/// Call on a current-thread runtime; anything else there competes with the generator.
pub async fn steadily(
    steady: &Steady,
    mut ids: impl Iterator<Item = u64>,
    until: impl Future<Output = ()>,
    observe: impl FnMut(usize, &Outcome) + 'static,
) -> io::Result<Instant> {
    let addresses = tokio::net::lookup_host((steady.base.host(), steady.base.port())).await?.collect();
    let mut alarm = Alarm::new()?;
    let start = Instant::now();
    let run = Rc::new(Run {
        steady: steady.clone(),
        addresses,
        start,
        idle: RefCell::default(),
        observe: RefCell::new(Box::new(observe)),
    });
    let local = LocalSet::new();
    let mut requests = JoinSet::new();
    let sending = async {
        let mut sent = vec![0; steady.streams.len()];
        let mut until = std::pin::pin!(until);
        while let Some((due, stream)) = next(steady, &sent) {
            tokio::select! {
                biased;
                () = &mut until => break,
                () = alarm.wait(start + due) => {}
            }
            let Some(id) = ids.next() else { break };
            sent[stream] += 1;
            requests.spawn_local(run.clone().request(stream, id, due));
            while requests.try_join_next().is_some() {}
        }
        while requests.join_next().await.is_some() {}
    };
    local.run_until(sending).await;
    Ok(start)
}

/// When the next request is due, and of which stream it is.
fn next(steady: &Steady, sent: &[u64]) -> Option<(Duration, usize)> {
    let dues = steady.streams.iter().zip(sent).map(|(stream, sent)| stream.rate.due(*sent));
    dues.zip(0..).min()
}

/// What the requests share; all of them are on one thread.
struct Run {
    steady: Steady,
    addresses: Vec<SocketAddr>,
    start: Instant,
    /// Free connections, the one that was used last at the end. Never borrowed across an await.
    idle: RefCell<Vec<Connection>>,
    observe: RefCell<Observe>,
}

type Observe = Box<dyn FnMut(usize, &Outcome)>;

impl Run {
    async fn request(self: Rc<Self>, stream: usize, id: u64, due: Duration) {
        let request = self.text(stream, id);
        let begun = self.start + due;
        let deadline = begun + self.steady.timeout;
        let answered = tokio::time::timeout_at(deadline.into(), self.exchange(&request)).await;
        let result = answered.unwrap_or(Err(Failure::Late));
        let outcome = Outcome { id, begun: due, latency: begun.elapsed(), result };
        (self.observe.borrow_mut())(stream, &outcome);
    }

    /// One request, on the first free connection that is still open, or on a new one.
    async fn exchange(&self, request: &[u8]) -> Result<Answered, Failure> {
        loop {
            let kept = self.idle.borrow_mut().pop();
            let (mut connection, is_new) = match kept {
                Some(kept) => (kept, false),
                None => (Connection::open(&self.addresses).await.map_err(|_| Failure::Connect)?, true),
            };
            match connection.exchange(request, b"").await {
                Ok(answered) => {
                    self.idle.borrow_mut().push(connection);
                    return Ok(answered);
                }
                Err(ExchangeError::Unsent) if !is_new => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn text(&self, stream: usize, id: u64) -> Vec<u8> {
        let Stream { method, path, .. } = &self.steady.streams[stream];
        let (host, path) = (self.steady.base.authority(), self.steady.base.path(path));
        let mark = if path.contains('?') { '&' } else { '?' };
        let (method, end) = match method {
            Method::Get => ("GET", "\r\n".to_owned()),
            Method::Post => ("POST", body(id)),
        };
        let mut text = Vec::new();
        write!(text, "{method} {path}{mark}request_id={id} HTTP/1.1\r\nhost: {host}\r\n{end}")
            .expect("a vector takes everything");
        text
    }
}

/// The end of a head, and the body.
fn body(id: u64) -> String {
    let body = format!(r#"{{"request_id": {id}}}"#);
    format!("content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}
