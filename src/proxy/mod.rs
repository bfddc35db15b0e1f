//! The data plane: requests in, to a replica, and back. It reads snapshots and knows neither fleet nor engine.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::DuplexStream,
    sync::{Notify, mpsc, watch},
};

use crate::table::Published;

mod answer;
mod budget;
mod exchange;
mod forward;
mod framing;
mod key;
mod latency;
mod listen;
mod retry;
mod thread;

pub use exchange::Settings;
pub use framing::{Limits, MOST_FIELDS};
pub use key::{KeyError, KeySource};
pub use listen::{Listeners, Plane};
pub use retry::{Hedge, HedgeError, Rules};

/// How requests are carried.
#[derive(Clone, Debug)]
pub struct Config {
    /// What is decided about each.
    pub exchange: Settings,
    /// How long opening a connection to a replica may take.
    pub connect_timeout: Duration,
    /// How long it may take until a response begins, whoever gives it in the end.
    pub response_timeout: Duration,
    /// The most connections that there may be to a replica, of all cores together.
    pub max_connections: usize,
    /// How many requests in a row a replica may fail until the fleet is told; 0 for as many as it likes.
    pub eject_after: u32,
    /// How long an unused connection is kept, to a replica or to a client.
    pub idle_timeout: Duration,
    /// How long a client may take for a request's head.
    pub header_timeout: Duration,
    /// How long a client may pause within a body, as it sends or takes it.
    pub body_timeout: Duration,
    /// How large heads may be.
    pub limits: Limits,
    /// How long requests in flight may go on after the balancer was told to stop.
    pub drain_timeout: Duration,
}

/// What the data plane works with.
#[derive(Clone, Debug)]
pub struct Links {
    /// Where the snapshots are.
    pub published: Arc<Published>,
    /// The epoch of the snapshot in force: each core takes note of it.
    pub epoch: watch::Receiver<u64>,
    /// Told when a connection to a replica failed.
    pub nudge: Arc<Notify>,
    /// The control API: one end of a pipe and the client's address for each request that goes to it. The address
    /// travels beside the bytes, so nothing in them can forge it.
    pub control: mpsc::Sender<(DuplexStream, SocketAddr)>,
}
