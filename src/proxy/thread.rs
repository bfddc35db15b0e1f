//! What the connections of one core share: nothing of it is seen by another core.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::Instant,
};

use rand::{SeedableRng, rngs::StdRng};

use tokio::net::TcpStream;

use super::{
    Config, Links,
    budget::Budget,
    exchange::Exchange,
    forward::{Buffers, Deadlines, Idle, MOST_AGE},
    h2::Calls,
    latency::Latency,
};
use crate::table::{InFlight, Place, Replica};

/// Everything that the connections of one thread share.
pub(super) struct Core {
    /// Which of the cores it is.
    index: usize,
    pub(super) config: Config,
    pub(super) links: Links,
    /// Connections to replicas that nobody uses now.
    pub(super) idle: Idle<TcpStream>,
    /// Connections of HTTP/2 to replicas.
    pub(super) calls: Calls,
    /// What is waited for at most.
    pub(super) deadlines: Rc<Deadlines>,
    /// Where bytes pass through.
    pub(super) buffers: RefCell<Buffers>,
    retries: Arc<Budget>,
    /// How long answers took, where hedging goes by that.
    pub(super) latency: RefCell<Latency>,
    pub(super) rng: RefCell<StdRng>,
    /// When the data plane began, the same for all cores.
    begun: Instant,
    /// The second since then that the last request came in.
    second: Cell<u32>,
    stopping: Cell<bool>,
}

impl Core {
    /// A core that has carried nothing yet. Call on its thread.
    pub(super) fn new(
        index: usize,
        config: Config,
        links: Links,
        retries: Arc<Budget>,
        begun: Instant,
        idle: Idle<TcpStream>,
    ) -> Self {
        Core {
            index,
            config,
            links,
            idle,
            calls: Calls::default(),
            deadlines: Deadlines::new(Instant::now()),
            buffers: RefCell::default(),
            retries,
            latency: RefCell::default(),
            rng: RefCell::new(StdRng::from_rng(&mut rand::rng())),
            begun,
            second: Cell::default(),
            stopping: Cell::default(),
        }
    }

    /// Counts a request that comes now.
    pub(super) fn count_request(&self) {
        let now = self.deadlines.time().saturating_duration_since(self.begun);
        self.second.set(u32::try_from(now.as_secs()).unwrap_or(u32::MAX));
        self.retries.count_request(self.index, self.second.get());
    }

    /// Claims the next candidate of an exchange.
    pub(super) fn claim(&self, exchange: &mut Exchange) -> Option<InFlight> {
        let now = self.deadlines.time().saturating_duration_since(self.begun);
        exchange.next(&self.links.published, now, &mut *self.rng.borrow_mut())
    }

    /// Notes how long the replica of this claim took for a request that was given to it then, where the policy asks.
    pub(super) fn measure(&self, claim: &InFlight, given: Instant) {
        if claim.is_measured() {
            let took = given.elapsed();
            let now = given.saturating_duration_since(self.begun) + took;
            claim.replica().load().latency().note(took, now);
        }
    }

    /// A place for another connection to a replica; where there is none, that of one that this core keeps.
    pub(super) fn place(&self, replica: &Arc<Replica>) -> Option<Place> {
        let most = self.config.max_connections;
        Place::take(replica, most).or_else(|| {
            self.idle.close_one(replica);
            Place::take(replica, most)
        })
    }

    /// Moves the time on, and closes what other cores wait for.
    pub(super) fn tick(&self, now: Instant) {
        if self.config.max_connections < usize::MAX {
            self.idle.make_room();
        }
        self.deadlines.tick(now);
    }

    /// Takes a retry from what there may be.
    pub(super) fn take_retry(&self) -> bool {
        self.retries.take(self.second.get())
    }

    /// Has the fleet look at a replica that did not do its part.
    pub(super) fn suspect(&self, replica: &Replica) {
        replica.suspect();
        self.links.nudge.notify_one();
    }

    /// Notes how a replica answered. When it failed often enough in a row, the fleet looks at it.
    pub(super) fn note(&self, replica: &Replica, failed: bool) {
        let (failures, most) = (replica.note(failed), self.config.eject_after);
        if failures > 0 && most > 0 && failures.is_multiple_of(most) {
            self.links.nudge.notify_one();
        }
    }

    /// Has connections end with what is in flight on them.
    pub(super) fn stop(&self) {
        self.stopping.set(true);
        self.deadlines.wake_all();
    }

    /// Whether connections end with what is in flight on them.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    /// Closes connections that nobody needs any more.
    pub(super) fn sweep(&self) {
        let snapshot = self.links.published.load();
        let now = Instant::now();
        self.idle.sweep(&snapshot.default, self.config.idle_timeout, MOST_AGE, now);
        self.calls.sweep(&snapshot.default, self.config.idle_timeout, MOST_AGE, now);
    }

    /// Follows the snapshot of this epoch: lets go of whoever is not in it.
    pub(super) fn follow(&self, epoch: u64) {
        self.sweep();
        self.deadlines.wake_busy();
        self.links.published.acknowledge(self.index, epoch);
    }
}
