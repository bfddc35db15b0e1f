//! The data plane: requests in, to a replica, and back. It reads snapshots and knows neither fleet nor engine.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::DuplexStream,
    sync::{mpsc, watch},
};

use crate::{caller::Caller, table::Published};

mod answer;
mod budget;
mod exchange;
mod forward;
mod framing;
mod h2;
mod key;
mod listen;
mod networks;
mod pool;
mod retry;
mod route;
mod routing;
mod slice;
mod sticky;
mod thread;

pub use exchange::Settings;
pub use framing::{Limits, MOST_FIELDS, Tells, TellsError};
pub use key::{Key, KeyError, KeySource, SourceError};
pub use listen::{Plane, bind};
pub use networks::{Network, NetworkError, Networks};
pub use pool::{Pool, PoolConfig};
pub use retry::{Hedge, HedgeError, Rules};
pub use route::{Header, Host, Prefix, Route, RouteError};
pub use routing::{Listener, Routing};
pub use sticky::{Sticky, StickyError};

/// What replicas speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2 without TLS, from the first byte (RFC 9113, section 3.3).
    H2c,
}

/// How requests are carried, whatever their pool.
#[derive(Clone, Debug)]
pub struct Config {
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
}

/// What the data plane works with.
#[derive(Clone, Debug)]
pub struct Links {
    /// Where the snapshots are.
    pub published: Arc<Published>,
    /// The epoch of the snapshot in force: each core takes note of it.
    pub epoch: watch::Receiver<u64>,
    /// Where requests can go: each core follows it before it takes note of an epoch.
    pub routing: watch::Receiver<Arc<Routing>>,
    /// The control API: one end of a pipe and who calls for each request that goes to it. That travels beside the bytes,
    /// so nothing in them can forge it.
    pub control: mpsc::Sender<(DuplexStream, Caller)>,
}
