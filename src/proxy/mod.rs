//! The data plane: requests in, to a replica, and back. It reads snapshots and knows neither fleet nor engine.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::DuplexStream,
    sync::{Notify, mpsc, watch},
};

use crate::{caller::Caller, table::Published};

mod answer;
mod budget;
mod exchange;
mod forward;
mod framing;
mod h2;
mod key;
mod latency;
mod listen;
mod networks;
mod retry;
mod thread;

pub use exchange::Settings;
pub use framing::{Limits, MOST_FIELDS, Tells, TellsError};
pub use key::{KeyError, KeySource};
pub use listen::{Listeners, Plane};
pub use networks::{Network, NetworkError, Networks};
pub use retry::{Hedge, HedgeError, Rules};

/// What replicas speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2 without TLS, from the first byte (RFC 9113, section 3.3).
    H2c,
}

/// How requests are carried.
#[derive(Clone, Debug)]
pub struct Config {
    /// What is decided about each.
    pub exchange: Settings,
    /// What replicas speak.
    pub protocol: Protocol,
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
    /// How long a client may pause within a body, as it sends or takes it. When the response has begun, only what is a pause in
    /// both directions counts.
    pub body_timeout: Duration,
    /// How large heads may be.
    pub limits: Limits,
    /// The proxies that are believed what they say of a request's client.
    pub trusted_proxies: Networks,
    /// The proxies whose connections begin with a PROXY header.
    pub proxy_protocol_from: Networks,
    /// Which fields tell replicas about clients.
    pub forwarded: Tells,
    /// Whether responses tell how they came about.
    pub debug_headers: bool,
    /// Requests that may be under way at a time over one connection of HTTP/2.
    pub max_concurrent_streams: u32,
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
    /// The control API: one end of a pipe and who calls for each request that goes to it. That travels beside the bytes,
    /// so nothing in them can forge it.
    pub control: mpsc::Sender<(DuplexStream, Caller)>,
}
