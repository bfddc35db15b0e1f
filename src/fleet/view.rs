//! What an operator sees of a pool: values to read, published by the fleet.

use std::{net::SocketAddr, time::SystemTime};

use crate::{
    name::{InstanceId, Name, Number},
    ring::Spec,
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
    /// How the one before ended.
    pub last_exit: Option<LastExit>,
}

/// What a replica is up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowState {
    /// It is being started, or has not answered a heartbeat yet.
    Starting,
    /// It receives requests.
    Ready,
    /// Nothing runs, and this is why.
    Down(String),
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
