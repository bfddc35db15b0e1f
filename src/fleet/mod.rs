//! Keeps the desired replicas alive: one task that owns everything about them, and a door to it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

use crate::{
    engine::Engine,
    name::Name,
    policy::Policy,
    ring::{Spec, Virtual, Weight},
    table::queue,
};

/// What the weights of a pool may come to, however few its replicas.
const MOST_WEIGHT: usize = 1000;

mod actions;
mod calls;
mod claim;
mod care;
mod clock;
mod configure;
mod departed;
mod desired;
mod discovery;
mod health;
mod journal;
mod last_words;
mod lives;
mod making;
mod members;
mod mend;
mod outlier;
mod pace;
mod pause;
mod plan;
mod pools;
mod probe;
mod publish;
mod reconcile;
mod refusal;
#[cfg(test)]
mod simulation;
mod standing;
mod store;
mod victim;
mod view;

pub use claim::ClaimError;
pub use desired::{Configured, Desired};
pub use health::Rules;
pub use journal::{Entry, Journal};
pub use members::Room;
pub use outlier::Outliers;
pub use pools::{DEFAULT, Given, Handles, PoolCall, PoolError, Pools, Sheet};
pub use probe::{GrpcProbe, HttpProbe, ImageProbe, Probe, ProbeSpec, TcpProbe};
pub use publish::tell;
pub use reconcile::{Fleet, FleetError, Parts};
pub use refusal::ChangeError;
pub use store::{Store, StoreError, Stored};
pub use victim::Victim;
pub use view::{LastExit, Line, Others, Reading, Readings, Row, RowState, Traffic, View};

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
    /// How many that run and do not answer are replaced at a time.
    pub heal_at_once: usize,
    /// The first pause before a replica that keeps dying is started again.
    pub restart_pause: Duration,
    /// When those that fail requests are ejected.
    pub outliers: Outliers,
    /// Who leaves where nobody is named.
    pub victim: Victim,
    /// How long one that became ready gets a growing part of its keys.
    pub slow_start: Duration,
    /// Whether to take over the instances of another owner.
    pub adopt: bool,
}

impl Config {
    /// How many replicas there may be.
    pub fn room(&self) -> usize {
        self.ring.capacity().min(self.max_replicas)
    }

    /// How much their weights may come to. With `full` that is no matter of slots, but of the time that building the
    /// ring takes.
    pub fn weight_room(&self) -> usize {
        match self.ring.placement {
            Virtual::Count(_) => self.ring.capacity(),
            Virtual::Full => self.max_replicas.max(MOST_WEIGHT),
        }
    }

    /// How many replicas of weight 1 there may be beside these.
    fn room_beside(&self, desired: &Desired) -> usize {
        let replicas = self.room().saturating_sub(desired.wants().len());
        replicas.min(self.weight_room().saturating_sub(desired.weight()))
    }
}

/// The only door to a fleet.
#[derive(Clone, Debug)]
pub struct Handle {
    /// None where there is no fleet.
    calls: Option<mpsc::Sender<Call>>,
    view: watch::Receiver<Arc<View>>,
    journal: watch::Receiver<Journal>,
    routes: watch::Receiver<Vec<Sheet>>,
}

/// What a replica has written, in pieces that need not be lines.
pub type Logs = BoxStream<'static, Result<Bytes, std::io::Error>>;

type Reply<T = Arc<View>> = oneshot::Sender<Result<T, CallError>>;

enum Call {
    Add(usize, Vec<String>, Reply),
    Remove(usize, Vec<String>, Reply),
    Scale(usize, Reply),
    Weigh(String, Weight, Reply),
    Drain { name: String, drained: bool, reply: Reply },
    Restart(String, Reply),
    Logs { name: String, tail: usize, follow: bool, reply: Reply<Logs> },
    Configure(Box<Change>, Reply),
    Down(Reply),
}

/// What becomes different about a pool.
pub struct Change {
    /// How it is kept.
    pub config: Config,
    /// Runs the replicas, those that are there too; of the same kind as before.
    pub engine: Arc<dyn Engine>,
    /// Asks them whether they live.
    pub probe: Arc<dyn Probe>,
    /// Who serves a request.
    pub policy: Policy,
    /// The most requests that a replica may have in flight.
    pub max_in_flight: usize,
    /// Where requests wait when all have that many, where they may.
    pub queue: Option<queue::Settings>,
    /// The replicas that are started elsewhere, where some are configured.
    pub addresses: Vec<Name>,
}

/// Why a call did not do what it was to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// It cannot be done; nothing has changed.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The engine would not. What was to be added is not there; what was to be restarted is tried again.
    #[error("{0}")]
    Refused(String),
    /// The state directory cannot be written; nothing has changed.
    #[error("{0}")]
    Store(String),
    /// The added or restarted ones are not ready yet; they stay desired and go on starting.
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
    /// There is no fleet.
    #[error(
        "nobody keeps the pool '{pool}': {why}; give it settings that it can begin with (PUT /v1/pools/{pool}), or remove it \
         (DELETE /v1/pools/{pool})"
    )]
    Nobody {
        /// The pool.
        pool: Box<str>,
        /// Why there is none.
        why: String,
    },
    /// The balancer is stopping.
    #[error("the balancer is stopping")]
    Stopping,
}

impl Handle {
    /// That of a pool without a fleet: this is shown of it, and no call is taken, for the problem that it says.
    pub fn of_nobody(view: View, journal: watch::Receiver<Journal>) -> Self {
        let (_, view) = watch::channel(Arc::new(view));
        let (_, routes) = watch::channel(Vec::new());
        Handle { calls: None, view, journal, routes }
    }

    /// The pool as it is now.
    pub fn view(&self) -> Arc<View> {
        self.view.borrow().clone()
    }

    /// The routes that its replicas ask for.
    pub fn routes(&self) -> Vec<Sheet> {
        self.routes.borrow().clone()
    }

    /// Adds `count` replicas, the first ones with these names. Returns when they are ready.
    pub async fn add(&self, count: usize, names: Vec<String>) -> Result<Arc<View>, CallError> {
        self.call(|reply| Call::Add(count, names, reply)).await
    }

    /// Removes `count` replicas, these and whoever is [`Victim`]. Returns when they get no more requests.
    pub async fn remove(&self, count: usize, names: Vec<String>) -> Result<Arc<View>, CallError> {
        self.call(|reply| Call::Remove(count, names, reply)).await
    }

    /// Adds fresh replicas or removes whoever is [`Victim`] until there are `count`. Returns when those that came are ready, or
    /// those that left get no more requests.
    pub async fn scale(&self, count: usize) -> Result<Arc<View>, CallError> {
        self.call(|reply| Call::Scale(count, reply)).await
    }

    /// Gives a replica this weight. Returns when requests are shared out by it.
    pub async fn weigh(&self, name: String, weight: Weight) -> Result<Arc<View>, CallError> {
        self.call(|reply| Call::Weigh(name, weight, reply)).await
    }

    /// Has a replica get no new requests, and whoever replaces it, until it is restored. Returns when no table has it.
    pub async fn drain(&self, name: String) -> Result<Arc<View>, CallError> {
        self.call(|reply| Call::Drain { name, drained: true, reply }).await
    }

    /// Undoes [`drain`](Self::drain). Returns when the table has it again, if it is well.
    pub async fn restore(&self, name: String) -> Result<Arc<View>, CallError> {
        self.call(|reply| Call::Drain { name, drained: false, reply }).await
    }

    /// Lets a replica's instance leave, and starts a fresh one under its name and number. Returns when that is ready; the
    /// old one may still finish what it has.
    pub async fn restart(&self, name: String) -> Result<Arc<View>, CallError> {
        self.call(|reply| Call::Restart(name, reply)).await
    }

    /// The last `tail` lines that the replica's present instance has written, and with `follow` what it writes until
    /// it ends.
    pub async fn logs(&self, name: String, tail: usize, follow: bool) -> Result<Logs, CallError> {
        self.call(|reply| Call::Logs { name, tail, follow, reply }).await
    }

    /// What happened after this place in the journal, and its last place; where that is nothing, what comes within
    /// `wait`.
    pub async fn events(&self, after: u64, wait: Duration) -> (Vec<Entry>, u64) {
        let mut journal = self.journal.clone();
        let _or_nothing_came =
            timeout(wait, journal.wait_for(|journal| journal.last() != after)).await.is_ok();
        let journal = journal.borrow();
        (journal.after(after).cloned().collect(), journal.last())
    }

    /// Goes on with these settings. Returns when requests go by them; those that come may still be starting, and what runs
    /// already runs as it was started.
    pub async fn configure(&self, change: Change) -> Result<Arc<View>, CallError> {
        self.call(|reply| Call::Configure(Box::new(change), reply)).await
    }

    /// Removes every replica and forgets the set. Returns when all are gone; the fleet has ended then.
    pub async fn down(&self) -> Result<Arc<View>, CallError> {
        self.call(Call::Down).await
    }

    async fn call<T>(&self, call: impl FnOnce(Reply<T>) -> Call) -> Result<T, CallError> {
        let Some(calls) = &self.calls else {
            let view = self.view();
            let why = view.problem.clone().unwrap_or_default();
            return Err(CallError::Nobody { pool: view.pool.clone(), why });
        };
        let (reply, answer) = oneshot::channel();
        calls.send(call(reply)).await.map_err(|_| CallError::Stopping)?;
        answer.await.unwrap_or(Err(CallError::Stopping))
    }
}

fn join(names: &[Name]) -> String {
    names.iter().map(Name::as_str).collect::<Vec<_>>().join(", ")
}
