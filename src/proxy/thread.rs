//! What the connections of one core share: nothing of it is seen by another core.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{SeedableRng, rngs::StdRng};

use tokio::net::TcpStream;

use super::{
    Config, Links,
    exchange::Exchange,
    forward::{Buffers, Deadlines, Idle, MOST_AGE},
    h2::Calls,
    pool::Way,
    routing::Ways,
};
use crate::table::{
    InFlight, Place, Replica, Unclaimed,
    queue::{Asker, Wait},
};

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
    /// Where requests can go.
    ways: RefCell<Rc<Ways>>,
    pub(super) rng: RefCell<StdRng>,
    /// When the data plane began, the same for all cores.
    begun: Instant,
    /// The second since then that the last request came in.
    second: Cell<u32>,
    stopping: Cell<bool>,
}

impl Core {
    /// A core that has carried nothing yet, one of so many. Call on its thread.
    pub(super) fn new(index: usize, cores: usize, config: Config, links: Links, begun: Instant) -> Self {
        let ways = RefCell::new(Rc::new(Ways::new(links.routing.borrow().clone(), &[])));
        Core {
            index,
            config,
            links,
            idle: Idle::new(cores),
            calls: Calls::default(),
            deadlines: Deadlines::new(Instant::now()),
            buffers: RefCell::default(),
            ways,
            rng: RefCell::new(StdRng::from_rng(&mut rand::rng())),
            begun,
            second: Cell::default(),
            stopping: Cell::default(),
        }
    }

    /// Where requests can go now.
    pub(super) fn ways(&self) -> Rc<Ways> {
        self.ways.borrow().clone()
    }

    /// Counts a request that comes now.
    pub(super) fn count_request(&self, way: &Way) {
        self.second.set(u32::try_from(self.now().as_secs()).unwrap_or(u32::MAX));
        way.retries().count_request(self.index, self.second.get());
    }

    /// Claims the next candidate of an exchange.
    pub(super) fn claim(&self, exchange: &mut Exchange) -> Result<InFlight, Unclaimed> {
        exchange.next(&self.links.published, self.now(), &mut *self.rng.borrow_mut())
    }

    /// Has an exchange wait until somebody has less to do.
    pub(super) fn wait(&self, exchange: &mut Exchange, asker: &Asker) -> Result<Wait, Unclaimed> {
        exchange.wait(&self.links.published, self.now(), asker)
    }

    /// The time since the data plane began, at the last tick.
    pub(super) fn now(&self) -> Duration {
        self.deadlines.time().saturating_duration_since(self.begun)
    }

    /// How long the replica of this claim took for a request that was given to it then. The policy hears it if it asks.
    pub(super) fn measure(&self, claim: &InFlight, given: Instant) -> Duration {
        let took = given.elapsed();
        if claim.is_measured() {
            let now = given.saturating_duration_since(self.begun) + took;
            claim.replica().load().latency().note(took, now);
        }
        took
    }

    /// A place for another connection to a replica; where there is none, that of one that this core keeps.
    pub(super) fn place(&self, way: &Way, replica: &Arc<Replica>) -> Option<Place> {
        let most = way.config.max_connections;
        Place::take(replica, most).or_else(|| {
            self.idle.close_one(replica);
            Place::take(replica, most)
        })
    }

    /// Moves the time on, and closes what other cores wait for.
    pub(super) fn tick(&self, now: Instant) {
        if self.ways.borrow().bound_connections() {
            self.idle.make_room();
        }
        self.deadlines.tick(now);
    }

    /// Takes a retry from what there may be.
    pub(super) fn take_retry(&self, way: &Way) -> bool {
        way.retries().take(self.second.get())
    }

    /// Has connections end with what is in flight on them.
    pub(super) fn stop(&self) {
        self.stopping.set(true);
        self.deadlines.wake_all();
    }

    /// Which of the cores it is.
    pub(super) fn index(&self) -> usize {
        self.index
    }

    /// Whether connections end with what is in flight on them.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    /// Whether connections that came in at this listener do: all do, or it is gone.
    pub(super) fn is_closing(&self, listen: SocketAddr) -> bool {
        self.is_stopping() || !self.ways.borrow().routing.listens_at(listen)
    }

    /// Closes connections that nobody needs any more.
    pub(super) fn sweep(&self) {
        let now = Instant::now();
        self.idle.sweep(self.config.idle_timeout, MOST_AGE, now);
        self.calls.sweep(self.config.idle_timeout, MOST_AGE, now);
    }

    /// Follows the routing and the snapshot of now: lets go of whoever is not in them.
    pub(super) fn follow(&self) {
        self.reroute();
        self.sweep();
        self.deadlines.wake_busy();
    }

    /// Follows the routing of now. Connections of a listener that it has no more are to notice.
    pub(super) fn reroute(&self) {
        let (before, routing) = (self.ways(), self.links.routing.borrow().clone());
        if Arc::ptr_eq(&routing, &before.routing) {
            return;
        }
        let mut listeners = before.routing.listeners().iter();
        let one_is_gone = listeners.any(|listener| !routing.listens_at(listener.configured));
        self.ways.replace(Rc::new(Ways::new(routing, &before.ways)));
        if one_is_gone {
            self.deadlines.wake_all();
        }
    }

    /// Notes that it follows the snapshot of this epoch.
    pub(super) fn acknowledge(&self, epoch: u64) {
        self.links.published.acknowledge(self.index, epoch);
    }
}
