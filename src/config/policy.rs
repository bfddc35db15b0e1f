//! The settings of who serves a request.

use std::time::Duration;

use anyhow::ensure;
use http::HeaderName;

use super::{args::duration, value::Most};
use crate::{
    policy::{Bound, Kind, Settings},
    proxy::Sticky,
    table::queue,
};

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
    /// Have clients stay with the replica that served them, by a cookie of this name; whoever has none goes where the policy
    /// says [default: nobody stays]
    #[arg(long, value_name = "COOKIE")]
    pub sticky: Option<Sticky>,
    /// The most requests that a replica may have in flight, or 'none' for no limit; others are asked in its place
    #[arg(long, value_name = "N|none", default_value = "none")]
    pub max_in_flight: Most,
    /// The most connections that the balancer may have to a replica, unused ones among them, or 'none' for no limit. It has
    /// no more requests in flight than that either
    #[arg(long, value_name = "N|none", default_value = "none")]
    pub max_connections: Most,
    /// The most requests that may wait where every replica has as many in flight as it may have; 0 for none. Clients have
    /// their turns one after the other
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub queue: usize,
    /// How long a request may wait there, which is no part of --response-timeout
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "30s")]
    pub queue_timeout: Duration,
    /// The header field that says how urgent a request is that waits there: from 0, as without one, to 9; the higher go first
    /// [default: all are alike]
    #[arg(long, value_name = "NAME")]
    pub queue_priority: Option<HeaderName>,
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

    /// Where requests wait when all replicas have that many, where they may.
    pub fn queue(&self) -> anyhow::Result<Option<queue::Settings>> {
        ensure!(!self.queue_timeout.is_zero(), "--queue-timeout: a time above 0; --queue 0 lets nobody wait");
        ensure!(
            self.queue == 0 || self.most() < usize::MAX,
            "--queue: nobody waits where a replica may have any number of requests in flight; set --max-in-flight too"
        );
        ensure!(
            self.queue > 0 || self.queue_priority.is_none(),
            "--queue-priority: is of requests that wait, and none does; set --queue too"
        );
        let settings = queue::Settings { most: self.queue, timeout: self.queue_timeout };
        Ok((self.queue > 0).then_some(settings))
    }
}
