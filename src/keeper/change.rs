//! How pools and routes change and end.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Keeper, Kept, Removed, Reply, begin::of_call};
use crate::{
    config::{Pool, Section},
    fleet::{self, DEFAULT, FleetError, PoolError, Sheet, tell},
    policy::Policy,
    proxy::{self, Listener, Route, Routing},
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
        let before = self.memory.clone();
        self.memory.put(name, sheet);
        self.remember()?;
        let done = match self.kept.get(name).map(|kept| kept.is_leaving) {
            Some(true) => Err(PoolError::Conflict(format!("the pool '{name}' is being removed"))),
            Some(false) => self.change(&config).await,
            None => self.make(&config).await,
        };
        if done.is_err() {
            self.memory = before;
            self.remember()?;
            return done;
        }
        let epoch = self.reroute();
        followed(&self.published, epoch).await;
        Ok(())
    }

    async fn make(&mut self, config: &Pool) -> Result<(), PoolError> {
        self.begin(config).await.map_err(|error| PoolError::Conflict(format!("{error:#}")))?;
        if let Some(kept) = self.kept.get_mut(&config.name) {
            kept.is_vital = false;
        }
        Ok(())
    }

    async fn change(&mut self, config: &Pool) -> Result<(), PoolError> {
        let Some(kept) = self.kept.get_mut(&config.name) else { return Ok(()) };
        if let Some(why) = kept.opened.refusal(config) {
            return Err(PoolError::Conflict(why));
        }
        let probe =
            config.probe(kept.opened.kind()).map_err(|error| PoolError::Invalid(vec![error.to_string()]))?;
        let engine = kept.opened.engine(config);
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
        kept.engine = engine;
        kept.pool = Arc::new(kept.pool.with(config.proxy.clone(), self.cores));
        Ok(())
    }

    /// Has a pool get no more requests, and ends it in the background.
    pub(super) fn remove(&mut self, name: &str, reply: Option<Reply>) {
        let refused = match self.kept.get(name) {
            None => Some(PoolError::Unknown(name.to_owned())),
            Some(_) if name == DEFAULT => Some(PoolError::Conflict("the default pool stays".to_owned())),
            Some(kept) if kept.is_leaving => {
                Some(PoolError::Conflict(format!("the pool '{name}' is being removed already")))
            }
            Some(_) if self.routes.iter().any(|route| *route.pool == *name) => Some(PoolError::Conflict(
                format!("routes lead to the pool '{name}': take them out first (PUT /v1/routes)"),
            )),
            Some(_) => None,
        };
        let before = self.memory.clone();
        self.memory.remove(name);
        let result = match refused {
            Some(error) => Err(error),
            None => self.remember(),
        };
        let (Ok(()), Some(kept)) = (&result, self.kept.get_mut(name)) else {
            self.memory = before;
            return tell_caller(reply, result);
        };
        kept.is_leaving = true;
        let (handle, published, name) = (kept.handle.clone(), self.published.clone(), name.into());
        let epoch = self.reroute();
        self.removals.spawn(async move {
            followed(&published, epoch).await;
            let result = handle.down().await.map(drop).map_err(PoolError::from);
            Removed { name, result, reply }
        });
    }

    /// Takes note that a pool is gone.
    pub(super) fn removed(&mut self, removed: Removed) {
        if let Some(Kept { pool, .. }) = self.kept.remove(&removed.name) {
            self.published.remove(pool.id);
        }
        self.store.forget_pool(&removed.name);
        tracing::info!(pool = %removed.name, "removed");
        tell_caller(removed.reply, removed.result);
    }

    /// Takes note that a fleet has ended. An error of one that was there from the start is the balancer's.
    pub(super) fn ended(&mut self, name: &str, ended: Result<(), FleetError>) -> anyhow::Result<()> {
        let Err(error) = ended else { return Ok(()) };
        if self.kept.get(name).is_none_or(|kept| kept.is_vital) {
            return Err(error.into());
        }
        tracing::error!(pool = name, %error, "a pool has ended");
        if let Some(Kept { pool, .. }) = self.kept.remove(name) {
            self.reroute();
            self.published.remove(pool.id);
        }
        Ok(())
    }

    /// Has requests take these routes and no others.
    pub(super) async fn route(&mut self, sheets: Vec<Sheet>) -> Result<(), PoolError> {
        let epoch = self.take_routes(sheets)?;
        followed(&self.published, epoch).await;
        Ok(())
    }

    /// The same without waiting until the cores follow. Returns the epoch with which that begins.
    pub(super) fn take_routes(&mut self, sheets: Vec<Sheet>) -> Result<u64, PoolError> {
        let mut routes = Vec::with_capacity(sheets.len());
        for (at, sheet) in sheets.iter().enumerate() {
            let section = Section::of_sheet(&format!("route {}", at + 1), "", sheet);
            let route = section.route().map_err(PoolError::Invalid)?;
            let serves = self.kept.get(&route.pool).is_some_and(|kept| !kept.is_leaving);
            if !serves {
                let what = format!("there is no pool '{}'", route.pool);
                return Err(PoolError::Invalid(vec![section.says(&what)]));
            }
            routes.push(route);
        }
        let listeners = self.listeners_of(&routes)?;
        let before = self.memory.clone();
        self.memory.route(sheets.clone());
        if let Err(error) = self.remember() {
            self.memory = before;
            return Err(error);
        }
        (self.routes, self.listeners) = (routes, listeners);
        self.told.send_replace(sheets.into());
        Ok(self.reroute())
    }

    /// The listeners that these routes need, beside the main one: those that are there, and new ones.
    fn listeners_of(&self, routes: &[Route]) -> Result<Vec<Arc<Listener>>, PoolError> {
        let mut listeners = vec![self.listeners[0].clone()];
        for address in routes.iter().filter_map(|route| route.listen) {
            if listeners.iter().any(|listener| listener.configured == address) {
                continue;
            }
            let there = self.listeners.iter().find(|listener| listener.configured == address).cloned();
            listeners.push(there.map_or_else(|| self.bind(address), Ok)?);
        }
        Ok(listeners)
    }

    fn bind(&self, address: SocketAddr) -> Result<Arc<Listener>, PoolError> {
        if self.cores == 0 {
            return Ok(Arc::new(Listener::nowhere(address)));
        }
        let failed = |error| PoolError::Conflict(format!("cannot listen on {address}: {error}"));
        let listener = proxy::bind(address, self.cores).map_err(failed)?;
        tracing::info!(address = %listener.address, "listening for routes");
        Ok(Arc::new(listener))
    }

    /// Has requests go to the pools as they are now. Returns the epoch with which that begins.
    pub(super) fn reroute(&self) -> u64 {
        let serving = || self.kept.iter().filter(|(_, kept)| !kept.is_leaving);
        let (default, others): (Vec<_>, Vec<_>) = serving().partition(|(name, _)| &***name == DEFAULT);
        let pools = default.into_iter().chain(others).map(|(_, kept)| kept.pool.clone()).collect();
        let (listeners, mut routes) = (self.listeners.clone(), self.routes.clone());
        routes.extend(serving().flat_map(|(_, kept)| kept.handle.routes()).filter_map(asked));
        self.routing.send_replace(Arc::new(Routing::new(
            listeners,
            self.control_paths.clone(),
            routes,
            pools,
        )));
        let handles = serving().map(|(name, kept)| (name.clone(), kept.handle.clone())).collect();
        self.handles.send_replace(Arc::new(handles));
        let epoch = self.published.renew();
        tell(&self.epochs, epoch);
        epoch
    }

    fn remember(&self) -> Result<(), PoolError> {
        let directory = self.store.directory();
        let failed =
            |error| PoolError::Failed(format!("cannot write pools.json in {}: {error}", directory.display()));
        self.memory.save(directory).map_err(failed)
    }
}

/// A route that replicas ask for; none where what they ask for is no route.
fn asked(sheet: Sheet) -> Option<Route> {
    let route = Section::of_sheet("a label", "", &sheet).route();
    route.inspect_err(|problems| tracing::warn!("no route: {}", problems.join("; "))).ok()
}

/// Returns when every core follows this epoch; or, as one may be busy, after a while.
async fn followed(published: &Published, epoch: u64) {
    let deadline = Instant::now() + FOLLOW_TIMEOUT;
    while published.acknowledged() < epoch && Instant::now() < deadline {
        tokio::time::sleep(FOLLOW_LOOK).await;
    }
}

fn tell_caller(reply: Option<Reply>, result: Result<(), PoolError>) {
    match (reply, result) {
        (Some(reply), result) => _ = reply.send(result),
        (None, Err(error)) => tracing::error!(%error, "a pool is not removed"),
        (None, Ok(())) => {}
    }
}
