//! Keeps the pools: makes, changes and ends them, each with a fleet of its own, and says where requests go.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Context;
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    task::JoinSet,
};

use crate::{
    config::{Common, Config, Section},
    engine::Engine,
    fleet::{FleetError, Handle, Handles, Journal, PoolCall, PoolError, Pools, Sheet, Store},
    proxy::{self, Listener, Route, Routing},
    table::{PoolId, Published},
};

mod begin;
mod change;
mod end;
mod memory;
mod open;
mod routes;
mod strays;
#[cfg(test)]
mod tests;

use memory::Memory;
use open::{Opened, Shared};

/// Calls that are not taken yet.
const WAITING: usize = 64;

type Reply = oneshot::Sender<Result<(), PoolError>>;

/// The one owner of the pools.
pub struct Keeper {
    common: Common,
    cores: usize,
    control_paths: Option<Box<str>>,
    store: Store,
    memory: Memory,
    docker: Shared,
    listeners: Vec<Arc<Listener>>,
    routes: Vec<Route>,
    /// Told when replicas ask for other routes.
    rerouted: Arc<Notify>,
    kept: BTreeMap<Box<str>, Kept>,
    fleets: JoinSet<Ended>,
    removals: JoinSet<Removed>,
    next: PoolId,
    published: Arc<Published>,
    epochs: watch::Sender<u64>,
    routing: watch::Sender<Arc<Routing>>,
    handles: watch::Sender<Arc<Handles>>,
    told: watch::Sender<Arc<[Sheet]>>,
    /// What is told of pools without a fleet.
    silence: watch::Sender<Journal>,
    calls: mpsc::Receiver<PoolCall>,
}

/// A pool.
struct Kept {
    care: Care,
    handle: Handle,
    pool: Arc<proxy::Pool>,
    /// Whether it is just as the file has it: then the balancer ends where its fleet cannot begin.
    is_vital: bool,
    /// Whether it is being removed: no request goes to it any more.
    is_leaving: bool,
}

/// Who looks after a pool's replicas. Where that is nobody, its requests get 503.
enum Care {
    /// A fleet.
    Fleet { opened: Opened, engine: Arc<dyn Engine> },
    /// Nobody, as it could not begin or go on. Something of the pool may be there.
    Nobody,
    /// Nobody, as nothing of the pool is there, or all of it is another balancer's.
    NoNeed,
}

/// How a fleet ended.
struct Ended {
    name: Box<str>,
    pool: PoolId,
    result: Result<(), FleetError>,
}

/// A pool that is gone, or why not.
struct Removed {
    name: Box<str>,
    result: Result<(), PoolError>,
    reply: Option<Reply>,
}

/// What the data plane and the control API work with.
pub struct Doors {
    /// Who serves which pool.
    pub published: Arc<Published>,
    /// The epoch of the snapshot in force.
    pub epoch: watch::Receiver<u64>,
    /// Where requests go.
    pub routing: watch::Receiver<Arc<Routing>>,
    /// The way to the pools.
    pub pools: Pools,
}

impl Keeper {
    /// One of the pools that are configured and of those that an earlier balancer left in this directory. `main` is where
    /// clients connect to the default pool.
    pub async fn new(config: &Config, store: Store, main: Arc<Listener>) -> anyhow::Result<(Self, Doors)> {
        let cores = if main.is_bound() { config.threads } else { 0 };
        let mut memory = Memory::load(store.directory())
            .with_context(|| format!("cannot read pools.json in {}", store.directory().display()))?;
        let sheets = |sections: &[Section]| sections.iter().map(Section::sheet).collect::<Vec<_>>();
        let names = config.sections.pools.iter().map(|section| section.name.to_string());
        let configured = names.zip(sheets(&config.sections.pools)).collect();
        memory.follow(&configured, &sheets(&config.sections.routes));
        memory.save(store.directory()).context("cannot store which pools there are")?;

        let published = Arc::new(Published::new(cores));
        let (epochs, epoch) = watch::channel(0);
        let (door, calls) = mpsc::channel(WAITING);
        let (handles, seen) = watch::channel(Arc::default());
        let (told, routes) = watch::channel(Arc::from([]));
        let pool = proxy::Pool::new(PoolId(0), &config.default.name, config.default.proxy.clone(), cores);
        let control_paths = config.control_paths.clone();
        let first = Routing::new(vec![main.clone()], control_paths.clone(), Vec::new(), vec![Arc::new(pool)]);
        let (routing, followed) = watch::channel(Arc::new(first));
        let mut keeper = Keeper {
            common: config.common.clone(),
            cores,
            control_paths,
            store,
            memory,
            docker: Shared::default(),
            listeners: vec![main],
            routes: Vec::new(),
            rerouted: Arc::default(),
            kept: BTreeMap::new(),
            fleets: JoinSet::new(),
            removals: JoinSet::new(),
            next: PoolId(0),
            published: published.clone(),
            epochs,
            routing,
            handles,
            told,
            silence: watch::Sender::new(Journal::default()),
            calls,
        };
        keeper.begin_all(config).await?;
        Ok((keeper, Doors { published, epoch, routing: followed, pools: Pools::new(seen, routes, door) }))
    }

    /// Keeps them until everything is taken down, or the fleet of one that the file has ends with an error.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let rerouted = self.rerouted.clone();
        loop {
            tokio::select! {
                Some(ended) = self.fleets.join_next() => self.ended(ended.context("a fleet's task failed")?)?,
                () = rerouted.notified() => {
                    self.reroute();
                }
                Some(removed) = self.removals.join_next() => {
                    self.removed(removed.context("a pool's end failed")?).await?;
                }
                Some(call) = self.calls.recv() => match call {
                    PoolCall::Put(name, sheet, reply) => _ = reply.send(self.put(&name, sheet).await),
                    PoolCall::Remove(name, reply) => self.remove(&name, Some(reply)).await,
                    PoolCall::Route(sheets, reply) => _ = reply.send(self.route(sheets).await),
                    PoolCall::Down(reply) => {
                        let _caller_left = reply.send(self.down().await);
                        return Ok(());
                    }
                },
            }
        }
    }
}

impl Kept {
    fn has_fleet(&self) -> bool {
        matches!(self.care, Care::Fleet { .. })
    }
}
