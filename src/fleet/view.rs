//! What an operator sees of a pool: values to read, published by the fleet.

use std::{net::SocketAddr, sync::Arc, time::SystemTime};

use super::departed::Departed;
use crate::{
    name::{InstanceId, Name, Number},
    policy,
    ring::{Spec, Weight},
    table::{
        Counts, Replica, Spread,
        queue::{Queue, Stats},
    },
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
    /// Where requests wait that find all replicas full, where they may.
    pub queue: Option<Line>,
    /// What keeps the fleet from doing its work, if something does.
    pub problem: Option<String>,
    /// The desired replicas in the order of joining, then the leaving instances.
    pub rows: Vec<Row>,
    /// Those that have no row any more: what they did counts.
    pub others: Others,
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

/// Those who wait for a replica, counted as they come.
#[derive(Clone, Debug)]
pub struct Line(Arc<Queue>);

/// Replicas that had a row once, and whose requests are the pool's all the same.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Others {
    departed: Arc<Departed>,
    hidden: Vec<Traffic>,
}

/// What was counted, and how long answers took in the last minute or two.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// Since the instance began, or the balancer.
    pub counts: Counts,
    /// Of those that have a row.
    pub times: Spread,
}

/// The requests of a pool at one moment.
#[derive(Clone, Debug, Default)]
pub struct Readings {
    /// Of each row in its order.
    pub rows: Vec<Reading>,
    /// Of all instances that the pool ever had under this balancer.
    pub total: Reading,
}

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
    /// The traffic of this one.
    pub fn of(replica: &Arc<Replica>) -> Self {
        Traffic(replica.clone())
    }

    /// What was counted so far, and how long answers took of late.
    pub fn read(&self) -> Reading {
        Reading { counts: self.0.counts(), times: self.0.times().read() }
    }

    /// How many requests wait for a connection to it.
    pub fn waiting(&self) -> usize {
        self.0.waiting()
    }

    /// The requests of the last second, and the most of any second.
    pub fn rates(&self) -> (u32, u32) {
        self.0.times().rates()
    }
}

impl Line {
    pub(super) fn of(queue: &Arc<Queue>) -> Self {
        Line(queue.clone())
    }

    /// What there is to tell of them now.
    pub fn stats(&self) -> Stats {
        self.0.stats()
    }
}

impl PartialEq for Line {
    /// Whether it is the same line.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl PartialEq for Traffic {
    /// Whether it is the traffic of one instance.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Others {
    pub(super) fn new(departed: Arc<Departed>, hidden: Vec<Traffic>) -> Self {
        Others { departed, hidden }
    }
}

impl View {
    /// What all have done so far. The rows and the others come to the total.
    pub fn read(&self) -> Readings {
        let read = |row: &Row| row.traffic.as_ref().map(Traffic::read).unwrap_or_default();
        let rows: Vec<Reading> = self.rows.iter().map(read).collect();
        let mut total = Reading { counts: self.others.departed.counts(), ..Reading::default() };
        for counts in self.others.hidden.iter().map(|traffic| traffic.0.counts()) {
            total.counts += counts;
        }
        for row in &rows {
            total.counts += row.counts;
            total.times += &row.times;
        }
        Readings { rows, total }
    }

    /// What those of this name have done so far: the desired one, those that leave and those that departed.
    pub fn counts_of(&self, name: &Name) -> Counts {
        let mut counts = self.others.departed.counts_of(name);
        let rows = self.rows.iter().filter(|row| row.name == *name).filter_map(|row| row.traffic.as_ref());
        let hidden = self.others.hidden.iter().filter(|traffic| traffic.0.name == *name);
        rows.chain(hidden).for_each(|traffic| counts += traffic.0.counts());
        counts
    }

    /// The names of the desired replicas, in the order of joining.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.desired().map(|row| &row.name)
    }

    /// The rows of the desired replicas.
    pub fn desired(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.state != RowState::Leaving)
    }
}
