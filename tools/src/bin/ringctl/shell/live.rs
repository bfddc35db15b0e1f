//! The names that the balancer knows at this moment.

use std::{
    cell::RefCell,
    rc::Rc,
    time::{Duration, Instant},
};

use ringkeeper_tools::client::{Client, Pool};
use tokio::{runtime::Runtime, time::timeout};

use super::completion::Names;

/// Who presses Tab does not wait longer.
const PATIENCE: Duration = Duration::from_millis(500);

/// Names that were just asked for are not asked for again.
const FRESH: Duration = Duration::from_secs(2);

/// Asks the balancer for names, when they are needed.
pub struct Live {
    runtime: Rc<Runtime>,
    client: Client,
    known: RefCell<Option<(Instant, Names)>>,
}

impl Live {
    /// Of this client's balancer.
    pub fn new(runtime: Rc<Runtime>, client: Client) -> Self {
        Live { runtime, client, known: RefCell::default() }
    }

    /// From now on about the pool of this client.
    pub fn turn_to(&mut self, client: Client) {
        self.client = client;
        self.known.take();
    }

    /// The names; none, or those of before, where the balancer does not answer at once.
    pub fn names(&self) -> Names {
        let mut known = self.known.borrow_mut();
        if let Some((at, names)) = &*known
            && at.elapsed() < FRESH
        {
            return names.clone();
        }
        let asked = self.runtime.block_on(async { timeout(PATIENCE, self.ask()).await.ok().flatten() });
        if let Some(names) = asked {
            *known = Some((Instant::now(), names));
        }
        known.as_ref().map(|(_, names)| names.clone()).unwrap_or_default()
    }

    async fn ask(&self) -> Option<Names> {
        if let Ok(pools) = self.client.pools().await {
            let of_pool = |pool: &&Pool| pool.pool == self.client.pool_name();
            return Some(Names {
                replicas: pools.iter().find(of_pool).map(|pool| pool.desired().replicas).unwrap_or_default(),
                pools: pools.into_iter().map(|pool| pool.pool).collect(),
            });
        }
        let replicas = self.client.rep().await.ok()?.replicas; // where the admin port is out of reach, or knows one pool
        Some(Names { replicas, pools: Vec::new() })
    }
}
