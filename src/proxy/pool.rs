//! A pool as requests come to it: how they are carried, and what is remembered of them.

use std::{ops::Deref, rc::Rc, sync::Arc, time::Duration};

use tokio::sync::Notify;

use super::{Protocol, budget::Budget, exchange::Settings};
use crate::table::{PoolId, Replica};

/// How a pool's requests are carried.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// What is decided about each.
    pub exchange: Settings,
    /// What its replicas speak.
    pub protocol: Protocol,
    /// How long opening a connection to a replica may take.
    pub connect_timeout: Duration,
    /// How long it may take until a response begins, whoever gives it in the end.
    pub response_timeout: Duration,
    /// The most connections that there may be to a replica, of all cores together.
    pub max_connections: usize,
    /// How many requests in a row a replica may fail until the fleet is told; 0 for as many as it likes.
    pub eject_after: u32,
    /// How long requests in flight may go on after the balancer was told to stop.
    pub drain_timeout: Duration,
    /// The path at which clients find the pool's counters, if they do.
    pub stats_path: Option<Box<str>>,
    /// The path at which clients find whether anybody serves, if they do.
    pub health_path: Option<Box<str>>,
}

/// A pool that requests can go to, the same for all cores.
#[derive(Debug)]
pub struct Pool {
    /// Where its table is.
    pub id: PoolId,
    /// Its name.
    pub name: Box<str>,
    /// How its requests are carried.
    pub config: PoolConfig,
    /// Told when a replica has to be looked at.
    pub nudge: Arc<Notify>,
    retries: Budget,
    stats: Box<str>,
    health: Box<str>,
}

/// The way of a core's requests to a pool.
#[derive(Debug)]
pub(super) struct Way {
    pool: Arc<Pool>,
}

impl Pool {
    /// A pool that has had no request, for this many cores.
    pub fn new(id: PoolId, name: &str, config: PoolConfig, cores: usize) -> Self {
        let retries = Budget::new(config.exchange.retry.budget, cores);
        let (stats, health) = (format!("/pools/{name}/stats").into(), format!("/pools/{name}/health").into());
        Pool { id, name: name.into(), config, nudge: Arc::default(), retries, stats, health }
    }

    /// The same pool with other settings.
    pub fn with(&self, config: PoolConfig, cores: usize) -> Self {
        Pool { nudge: self.nudge.clone(), ..Pool::new(self.id, &self.name, config, cores) }
    }

    /// What counts its retries.
    pub(super) fn retries(&self) -> &Budget {
        &self.retries
    }

    /// Where the control API has its counters.
    pub(super) fn stats(&self) -> &str {
        &self.stats
    }

    /// Where the control API says whether anybody serves.
    pub(super) fn health(&self) -> &str {
        &self.health
    }
}

impl Way {
    /// The way to this pool.
    pub(super) fn new(pool: Arc<Pool>) -> Rc<Self> {
        Rc::new(Way { pool })
    }

    /// Has the fleet look at a replica that did not do its part.
    pub(super) fn suspect(&self, replica: &Replica) {
        replica.suspect();
        self.nudge.notify_one();
    }

    /// Notes how a replica answered. When it failed often enough in a row, the fleet looks at it.
    pub(super) fn note(&self, replica: &Replica, failed: bool) {
        let (failures, most) = (replica.note(failed), self.config.eject_after);
        if failures > 0 && most > 0 && failures.is_multiple_of(most) {
            self.nudge.notify_one();
        }
    }

    /// Whether it is the way to just this pool, with these settings.
    pub(super) fn is_to(&self, pool: &Arc<Pool>) -> bool {
        Arc::ptr_eq(&self.pool, pool)
    }
}

impl Deref for Way {
    type Target = Pool;

    fn deref(&self) -> &Pool {
        &self.pool
    }
}
