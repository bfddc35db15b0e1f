//! The pools of a balancer: the door to each of their fleets, and to what makes and ends those.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};

use super::{CallError, Handle};

/// The pool that is always there.
pub const DEFAULT: &str = "default";

/// Settings as they were given, by their names.
pub type Sheet = BTreeMap<String, Given>;

/// The doors to the fleets, by the names of their pools.
pub type Handles = BTreeMap<Box<str>, Handle>;

/// What a setting is set to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Given {
    /// A text.
    One(String),
    /// Several.
    List(Vec<String>),
}

/// The only door to the pools.
#[derive(Clone, Debug)]
pub struct Pools {
    handles: watch::Receiver<Arc<Handles>>,
    routes: watch::Receiver<Arc<[Sheet]>>,
    calls: mpsc::Sender<PoolCall>,
}

/// What is asked of whoever keeps the pools.
#[derive(Debug)]
pub enum PoolCall {
    /// Makes the pool of this name, or changes it.
    Put(String, Sheet, oneshot::Sender<Result<(), PoolError>>),
    /// Ends it.
    Remove(String, oneshot::Sender<Result<(), PoolError>>),
    /// Has requests take these routes and no others.
    Route(Vec<Sheet>, oneshot::Sender<Result<(), PoolError>>),
    /// Takes everything down.
    Down(oneshot::Sender<Result<(), PoolError>>),
}

/// Why a call did not do what it was to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// There is no such pool.
    #[error("there is no pool '{0}'")]
    Unknown(String),
    /// The settings cannot be used; nothing has changed.
    #[error("{}", .0.join("\n"))]
    Invalid(Vec<String>),
    /// It cannot be done as things are; nothing has changed.
    #[error("{0}")]
    Conflict(String),
    /// The pool is there, and this is what it could not do.
    #[error(transparent)]
    Call(#[from] CallError),
    /// Something outside failed.
    #[error("{0}")]
    Failed(String),
}

impl Pools {
    /// A door to whoever publishes these and takes the calls at the other end.
    pub fn new(
        handles: watch::Receiver<Arc<Handles>>,
        routes: watch::Receiver<Arc<[Sheet]>>,
        calls: mpsc::Sender<PoolCall>,
    ) -> Self {
        Pools { handles, routes, calls }
    }

    /// The door to this pool's fleet.
    pub fn get(&self, name: &str) -> Result<Handle, PoolError> {
        self.handles.borrow().get(name).cloned().ok_or_else(|| PoolError::Unknown(name.to_owned()))
    }

    /// All of them.
    pub fn all(&self) -> Arc<Handles> {
        self.handles.borrow().clone()
    }

    /// The routes in force, as they were given.
    pub fn routes(&self) -> Arc<[Sheet]> {
        self.routes.borrow().clone()
    }

    /// Makes the pool of this name with these settings, or gives it these in place of what it has. Returns when requests go
    /// by them; the replicas may still be starting.
    pub async fn put(&self, name: String, settings: Sheet) -> Result<(), PoolError> {
        self.call(|reply| PoolCall::Put(name, settings, reply)).await
    }

    /// Has the pool get no more requests, and removes its replicas and the pool. Returns when they are gone.
    pub async fn remove(&self, name: String) -> Result<(), PoolError> {
        self.call(|reply| PoolCall::Remove(name, reply)).await
    }

    /// Has requests take these routes and no others.
    pub async fn route(&self, routes: Vec<Sheet>) -> Result<(), PoolError> {
        self.call(|reply| PoolCall::Route(routes, reply)).await
    }

    /// Removes every replica of every pool and forgets them. Returns when all are gone; the balancer ends then.
    pub async fn down(&self) -> Result<(), PoolError> {
        self.call(PoolCall::Down).await
    }

    async fn call(
        &self,
        call: impl FnOnce(oneshot::Sender<Result<(), PoolError>>) -> PoolCall,
    ) -> Result<(), PoolError> {
        let (reply, answer) = oneshot::channel();
        let gone = || PoolError::Call(CallError::Stopping);
        self.calls.send(call(reply)).await.map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}
