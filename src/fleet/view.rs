//! What an operator sees of a pool: values to read, published by the fleet.

use std::{net::SocketAddr, sync::Arc, time::SystemTime};

use crate::{
    name::{InstanceId, Name, Number},
    policy,
    ring::{Spec, Weight},
    table::Replica,
};

/// A pool at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// The pool's name.
    pub pool: Box<str>,
    /// The epoch of the table in force.
    pub epoch: u64,
    /// The spec of its ring.
    pub ring: Spec,
    /// What shares its requests out.
    pub policy: policy::Kind,
    /// What keeps the fleet from doing its work, if something does.
    pub problem: Option<String>,
    /// The desired replicas in the order of joining, then the leaving instances.
    pub rows: Vec<Row>,
}

/// A replica, or an instance that leaves.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its name.
    pub name: Name,
    /// Its number on the ring.
    pub number: Number,
    /// What it is up to.
    pub state: RowState,
    /// Since when.
    pub since: SystemTime,
    /// The instance.
    pub instance: InstanceId,
    /// Where it listens, once it runs.
    pub address: Option<SocketAddr>,
    /// How many instances came before this one.
    pub restarts: u32,
    /// Its share of the ring, in comparison with the others.
    pub weight: Weight,
    /// Whether it has a place on the ring: from its first readiness until it leaves.
    pub on_ring: bool,
    /// Whether it is to get no requests, as an operator wants it.
    pub drained: bool,
    /// What it has to do, once requests were sent to it.
    pub traffic: Option<Traffic>,
    /// How the one before ended.
    pub last_exit: Option<LastExit>,
}

/// The requests of an instance, counted as they come: two readings need not be the same.
#[derive(Clone, Debug)]
pub struct Traffic(Arc<Replica>);

/// What a replica is up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowState {
    /// It is being started, or has not answered a heartbeat yet.
    Starting,
    /// It receives requests.
    Ready,
    /// It receives requests where nobody else can: a connection to it failed, and it has not answered since.
    Suspected,
    /// It receives requests where nobody else can, and this is why.
    Ejected(String),
    /// It is well and receives no new requests, as an operator wants it.
    Drained,
    /// It receives nothing, and this is why.
    Down(String),
    /// It keeps dying, and waits for its next start.
    CrashLooping(String),
    /// Not desired any more: it finishes what it has.
    Leaving,
}

/// How an instance ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastExit {
    /// In words.
    pub reason: String,
    /// Its exit code, where one is known.
    pub code: Option<i32>,
    /// Whether the kernel ended it for want of memory.
    pub out_of_memory: bool,
    /// When it was noticed.
    pub at: SystemTime,
    /// The instance that ended.
    pub instance: InstanceId,
    /// The last lines that it wrote, as soon as they are known.
    pub log: Arc<[String]>,
}

impl RowState {
    /// Whether it is in the table.
    pub fn serves(&self) -> bool {
        matches!(self, RowState::Ready | RowState::Suspected | RowState::Ejected(_))
    }

    /// Whether it answers its heartbeats, so that nothing more is waited for.
    pub fn is_up(&self) -> bool {
        self.serves() || *self == RowState::Drained
    }
}

impl Traffic {
    pub(super) fn of(replica: &Arc<Replica>) -> Self {
        Traffic(replica.clone())
    }

    /// Requests that chose it and whose response has not ended yet.
    pub fn in_flight(&self) -> usize {
        self.0.in_flight()
    }

    /// Requests that ever chose it.
    pub fn requests(&self) -> u64 {
        self.0.requests()
    }

    /// Requests that it failed.
    pub fn errors(&self) -> u64 {
        self.0.errors()
    }

    /// Requests that moved on from it to another.
    pub fn retries(&self) -> u64 {
        self.0.retries()
    }

    /// Responses that broke off when their head had gone to the client.
    pub fn truncated(&self) -> u64 {
        self.0.truncated()
    }
}

impl PartialEq for Traffic {
    /// Whether it is the traffic of one instance.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl View {
    /// The names of the desired replicas, in the order of joining.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.desired().map(|row| &row.name)
    }

    /// The rows of the desired replicas.
    pub fn desired(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.state != RowState::Leaving)
    }
}
