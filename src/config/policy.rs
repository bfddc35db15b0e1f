//! The settings of who serves a request.

use super::value::Most;
use crate::policy::{Bound, Kind, Settings};

/// The flags of a pool's policy, and of how much a replica may have.
#[derive(clap::Args, Clone, Debug)]
pub struct PolicyArgs {
    /// Who serves a request. By its key: ring, bounded-ring, rendezvous. By load: round-robin, weighted-round-robin,
    /// least-requests, power-of-two, ewma, random
    #[arg(long, default_value = "ring")]
    pub policy: Kind,
    /// With bounded-ring: how many times its share of the requests in flight a replica may have
    #[arg(long, value_name = "TIMES", default_value = "1.25")]
    pub bound: Bound,
    /// The most requests that a replica may have in flight, or 'none' for no limit; others are asked in its place
    #[arg(long, value_name = "N|none", default_value = "none")]
    pub max_in_flight: Most,
    /// The most connections that the balancer may have to a replica, unused ones among them, or 'none' for no limit. It has
    /// no more requests in flight than that either
    #[arg(long, value_name = "N|none", default_value = "none")]
    pub max_connections: Most,
}

impl PolicyArgs {
    /// The policy that these flags mean.
    pub fn settings(&self) -> Settings {
        Settings { kind: self.policy, bound: self.bound }
    }

    /// The most requests that a replica may have in flight: each needs a connection.
    pub fn most(&self) -> usize {
        self.max_in_flight.get().min(self.max_connections.get())
    }
}
