//! Keeps the pools: makes, changes and ends them, each with a fleet of its own, and says where requests go.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Context;
use futures_util::future::join_all;
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    task::JoinSet,
};

use crate::{
    config::{Common, Config, Section},
    engine::{Engine, docker},
    fleet::{CallError, FleetError, Handle, Handles, PoolCall, PoolError, Pools, Sheet, Store},
    proxy::{self, Listener, Route, Routing},
    table::{PoolId, Published},
};

mod begin;
mod change;
mod memory;
mod open;

use memory::Memory;
use open::Opened;

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
    docker: Option<docker::Client>,
    listeners: Vec<Arc<Listener>>,
    routes: Vec<Route>,
    /// Told when replicas ask for other routes.
    rerouted: Arc<Notify>,
    kept: BTreeMap<Box<str>, Kept>,
    fleets: JoinSet<(Box<str>, Result<(), FleetError>)>,
    removals: JoinSet<Removed>,
    next: PoolId,
    published: Arc<Published>,
    epochs: watch::Sender<u64>,
    routing: watch::Sender<Arc<Routing>>,
    handles: watch::Sender<Arc<Handles>>,
    told: watch::Sender<Arc<[Sheet]>>,
    calls: mpsc::Receiver<PoolCall>,
}

/// A pool.
struct Kept {
    opened: Opened,
    engine: Arc<dyn Engine>,
    handle: Handle,
    pool: Arc<proxy::Pool>,
    /// Whether it was there from the start: then the balancer ends where its fleet cannot begin.
    is_vital: bool,
    /// Whether it is being removed: no request goes to it any more.
    is_leaving: bool,
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
        let gone = memory.follow(&configured, &sheets(&config.sections.routes));
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
            docker: None,
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
            calls,
        };
        keeper.begin_all(config, gone).await?;
        Ok((keeper, Doors { published, epoch, routing: followed, pools: Pools::new(seen, routes, door) }))
    }

    /// Keeps them until everything is taken down, or a fleet that was there from the start ends with an error.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let rerouted = self.rerouted.clone();
        loop {
            tokio::select! {
                Some(ended) = self.fleets.join_next() => {
                    let (name, ended) = ended.context("a fleet's task failed")?;
                    self.ended(&name, ended)?;
                }
                () = rerouted.notified() => {
                    self.reroute();
                }
                Some(removed) = self.removals.join_next() => self.removed(removed.context("a pool's end failed")?),
                Some(call) = self.calls.recv() => match call {
                    PoolCall::Put(name, sheet, reply) => _ = reply.send(self.put(&name, sheet).await),
                    PoolCall::Remove(name, reply) => self.remove(&name, Some(reply)),
                    PoolCall::Route(sheets, reply) => _ = reply.send(self.route(sheets).await),
                    PoolCall::Down(reply) => {
                        let _caller_left = reply.send(self.down().await);
                        return Ok(());
                    }
                },
            }
        }
    }

    /// Removes every replica of every pool, and what the engines made beside them.
    pub async fn down(&mut self) -> Result<(), PoolError> {
        let downs = self.kept.values().map(|kept| kept.handle.down());
        let failed: Vec<_> = join_all(downs).await.into_iter().filter_map(Result::err).collect();
        let engines: Vec<_> = self.kept.values().map(|kept| kept.engine.clone()).collect();
        let cleared = join_all(engines.iter().map(|engine| engine.clear())).await;
        let left = cleared.into_iter().filter_map(Result::err).map(|error| error.to_string());
        let forgotten = Memory::clear(self.store.directory()).err().map(|error| error.to_string());
        match (failed.into_iter().next(), left.chain(forgotten).next()) {
            (Some(error), _) => Err(error.into()),
            (None, Some(left)) => Err(CallError::Left(left).into()),
            (None, None) => Ok(()),
        }
    }
}
