//! Keeps the desired replicas alive: one task that owns everything about them, and a door to it.

use std::{sync::Arc, time::Duration};

use tokio::sync::{mpsc, oneshot, watch};

use crate::{name::Name, ring::Spec};

mod calls;
mod claim;
mod clock;
mod desired;
mod health;
mod lives;
mod pause;
mod plan;
mod probe;
mod publish;
mod reconcile;
#[cfg(test)]
mod simulation;
mod store;
mod view;

pub use claim::ClaimError;
pub use desired::{ChangeError, Configured, Desired};
pub use health::Rules;
pub use probe::{GrpcProbe, HttpProbe, ImageProbe, Probe, ProbeSpec, TcpProbe};
pub use reconcile::{Fleet, FleetError, Parts};
pub use store::{Store, StoreError, Stored};
pub use view::{LastExit, Row, RowState, View};

/// How a pool's replicas are kept.
#[derive(Clone, Debug)]
pub struct Config {
    /// The pool's name.
    pub pool: Box<str>,
    /// How many replicas to start with.
    pub replicas: usize,
    /// The most that there may be, if the ring has room for them.
    pub max_replicas: usize,
    /// The ring that they are put on.
    pub ring: Spec,
    /// When they are ready and when dead.
    pub heartbeat: Rules,
    /// Heartbeats at a time; `None` for no bound but the number of replicas.
    pub heartbeat_concurrency: Option<usize>,
    /// How long an addition waits for readiness.
    pub add_timeout: Duration,
    /// How long one that leaves may finish what it has.
    pub drain_timeout: Duration,
    /// The first pause before a replica that keeps dying is started again.
    pub restart_pause: Duration,
    /// Whether to take over the instances of another owner.
    pub adopt: bool,
}

impl Config {
    /// How many replicas there may be.
    pub fn room(&self) -> usize {
        self.ring.capacity().min(self.max_replicas)
    }
}

/// The only door to a fleet.
#[derive(Clone, Debug)]
pub struct Handle {
    calls: mpsc::Sender<Call>,
    view: watch::Receiver<Arc<View>>,
}

type Reply = oneshot::Sender<Result<Arc<View>, CallError>>;

#[derive(Debug)]
enum Call {
    Add(usize, Vec<String>, Reply),
    Remove(usize, Vec<String>, Reply),
    Down(Reply),
}

/// Why a call did not do what it was to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// It cannot be done; nothing has changed.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The engine would not; everything is as before.
    #[error("{0}")]
    Refused(String),
    /// The state directory cannot be written; nothing has changed.
    #[error("{0}")]
    Store(String),
    /// The added ones are not ready yet; they stay desired and go on starting.
    #[error("not ready after {}: {}", humantime::format_duration(*after), join(names))]
    Slow {
        /// Those that are not ready.
        names: Vec<Name>,
        /// How long was waited.
        after: Duration,
    },
    /// The replicas are gone, but something else could not be removed.
    #[error("the replicas are gone, but something is left: {0}")]
    Left(String),
    /// The balancer is stopping.
    #[error("the balancer is stopping")]
    Stopping,
}

impl Handle {
    /// The pool as it is now.
    pub fn view(&self) -> Arc<View> {
        self.view.borrow().clone()
    }

    /// Adds `count` replicas, the first ones with these names. Returns when they are ready.
    pub async fn add(&self, count: usize, names: Vec<String>) -> Result<Arc<View>, CallError> {
        self.call(|reply| Call::Add(count, names, reply)).await
    }

    /// Removes `count` replicas, these and others. Returns when they get no more requests.
    pub async fn remove(&self, count: usize, names: Vec<String>) -> Result<Arc<View>, CallError> {
        self.call(|reply| Call::Remove(count, names, reply)).await
    }

    /// Removes every replica and forgets the set. Returns when all are gone; the fleet has ended then.
    pub async fn down(&self) -> Result<Arc<View>, CallError> {
        self.call(Call::Down).await
    }

    async fn call(&self, call: impl FnOnce(Reply) -> Call) -> Result<Arc<View>, CallError> {
        let (reply, answer) = oneshot::channel();
        self.calls.send(call(reply)).await.map_err(|_| CallError::Stopping)?;
        answer.await.unwrap_or(Err(CallError::Stopping))
    }
}

fn join(names: &[Name]) -> String {
    names.iter().map(Name::as_str).collect::<Vec<_>>().join(", ")
}
