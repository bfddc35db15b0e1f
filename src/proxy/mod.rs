//! The data plane: requests in, to a replica, and back. It reads snapshots and knows neither fleet nor engine.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::DuplexStream,
    sync::{Notify, mpsc, watch},
};

use crate::table::Published;

mod connections;
mod exchange;
mod h1;
mod key;
mod listen;

pub use exchange::Settings;
pub use key::{KeyError, KeySource};
pub use listen::{Listeners, Plane};

/// How requests are carried.
#[derive(Clone, Debug)]
pub struct Config {
    /// What is decided about each.
    pub exchange: Settings,
    /// How long opening a connection to a replica may take.
    pub connect_timeout: Duration,
    /// How long a replica may take until its response begins.
    pub response_timeout: Duration,
    /// How long an unused connection to a replica is kept.
    pub idle_timeout: Duration,
    /// How long requests in flight may go on after the balancer was told to stop.
    pub drain_timeout: Duration,
    /// Requests in a row that a replica fails before the fleet is told; 0 for never.
    pub eject_after: u32,
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
