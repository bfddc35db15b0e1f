//! How pools change, and what is remembered of it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Care, Keeper, Kept, begin::of_call, memory::Memory};
use crate::{
    config::Pool,
    fleet::{self, PoolError, Sheet},
    policy::Policy,
    table::Published,
};

/// How long the cores may take to follow a routing.
const FOLLOW_TIMEOUT: Duration = Duration::from_secs(2);
/// Between two looks at whether they do.
const FOLLOW_LOOK: Duration = Duration::from_millis(1);

impl Keeper {
    /// Makes a pool with these settings, or gives it these in place of what it has.
    pub(super) async fn put(&mut self, name: &str, sheet: Sheet) -> Result<(), PoolError> {
        let config = of_call(name, &sheet).pool(&self.common).map_err(PoolError::Invalid)?;
        if self.kept.get(name).is_some_and(|kept| kept.is_leaving) {
            return Err(PoolError::Conflict(format!("the pool '{name}' is being removed")));
        }
        let before = self.remember(|memory| memory.put(name, sheet))?;
        let done = if self.kept.get(name).is_some_and(Kept::has_fleet) {
            self.change(&config).await
        } else {
            self.begin(&config, false).await.map_err(|error| PoolError::Conflict(format!("{error:#}")))
        };
        if done.is_err() {
            self.restore(before);
            return done;
        }
        let epoch = self.reroute();
        followed(&self.published, epoch).await;
        Ok(())
    }

    async fn change(&mut self, config: &Pool) -> Result<(), PoolError> {
        let Some(kept) = self.kept.get_mut(&config.name) else { return Ok(()) };
        let Care::Fleet { opened, engine: present } = &mut kept.care else { return Ok(()) };
        if let Some(why) = opened.refusal(config) {
            return Err(PoolError::Conflict(why));
        }
        let probe =
            config.probe(opened.kind()).map_err(|error| PoolError::Invalid(vec![error.to_string()]))?;
        let engine = opened.engine(config);
        let change = fleet::Change {
            config: config.fleet.clone(),
            engine: engine.clone(),
            probe: probe.probe(),
            policy: Policy::new(&config.policy),
            max_in_flight: config.max_in_flight,
            queue: config.queue,
            addresses: config.upstreams.clone(),
        };
        kept.handle.configure(change).await?;
        *present = engine;
        kept.pool = Arc::new(kept.pool.with(config.proxy.clone(), self.cores));
        Ok(())
    }

    /// Changes what outlives the balancer; where that cannot be stored, nothing changes. Returns what it was before.
    pub(super) fn remember(&mut self, change: impl FnOnce(&mut Memory)) -> Result<Memory, PoolError> {
        let before = self.memory.clone();
        change(&mut self.memory);
        match self.store_memory() {
            Ok(()) => Ok(before),
            Err(error) => {
                self.memory = before;
                Err(error)
            }
        }
    }

    /// Has what outlives the balancer be what it was before.
    pub(super) fn restore(&mut self, before: Memory) {
        self.memory = before;
        if let Err(error) = self.store_memory() {
            tracing::error!(%error, "what was refused is still stored");
        }
    }

    fn store_memory(&self) -> Result<(), PoolError> {
        let directory = self.store.directory();
        let failed =
            |error| PoolError::Failed(format!("cannot write pools.json in {}: {error}", directory.display()));
        self.memory.save(directory).map_err(failed)
    }
}

/// Returns when every core follows this epoch; or, as one may be busy, after a while.
pub(super) async fn followed(published: &Published, epoch: u64) {
    let deadline = Instant::now() + FOLLOW_TIMEOUT;
    while published.acknowledged() < epoch && Instant::now() < deadline {
        tokio::time::sleep(FOLLOW_LOOK).await;
    }
}
