//! The load, on a thread of its own: no command of Docker's holds it up.

use std::{
    cell::RefCell,
    io,
    rc::Rc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::Context;
use ringkeeper_tools::{
    base::Base,
    ids::Unique,
    load::{self, Failure, Outcome, Steady, Stream},
};
use tokio::sync::oneshot;

use super::fault::Kind;

/// When a client gives up.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// What came of one request. Times are since the first was due.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    pub kind: Kind,
    pub id: u64,
    pub due: Duration,
    pub latency: Duration,
    pub failure: Option<Failure>,
}

/// Requests under way; they end when this is dropped.
pub struct Generator {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<io::Result<(Instant, Vec<Sent>)>>,
}

impl Generator {
    /// Sends these streams to `base` from now on, with ids of this seed.
    pub fn start(base: Base, streams: Vec<(Kind, Stream)>, seed: u64) -> anyhow::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (kinds, streams) = streams.into_iter().unzip();
        let steady = Steady { base, streams, timeout: PATIENCE };
        let send = move || runtime.block_on(send(&steady, kinds, seed, stopped));
        let thread = std::thread::Builder::new().name("generator".into()).spawn(send)?;
        Ok(Generator { stop, thread })
    }

    /// Sends no more, waits for what is in flight, and says when the first was due and what became of each.
    pub async fn end(self) -> anyhow::Result<(Instant, Vec<Sent>)> {
        drop(self.stop);
        let ended = tokio::task::spawn_blocking(move || self.thread.join()).await?;
        ended.map_err(|_| anyhow::anyhow!("the load generator panicked"))?.context("the load cannot be sent")
    }
}

async fn send(
    steady: &Steady,
    kinds: Vec<Kind>,
    seed: u64,
    stopped: oneshot::Receiver<()>,
) -> io::Result<(Instant, Vec<Sent>)> {
    let outcomes = Rc::new(RefCell::new(Vec::new()));
    let kept = outcomes.clone();
    let observe = move |stream: usize, outcome: &Outcome| {
        kept.borrow_mut().push(Sent {
            kind: kinds[stream],
            id: outcome.id,
            due: outcome.begun,
            latency: outcome.latency,
            failure: outcome.failure(),
        });
    };
    let until = async { drop(stopped.await) };
    let start = load::steadily(steady, Unique::new(seed), until, observe).await?;
    Ok((start, outcomes.take()))
}
