//! Who of a pool serves a request: for every policy, candidates and their loads in, one of them out. Pure.
//!
//! A policy is a file here and a line in the table that `policies!` makes them of. There are two kinds: by key (`ring`,
//! `bounded-ring`, `rendezvous`), where requests of one key go to one replica as far as that is possible, and by load.
//! Whatever the policy, the best [`Rank`] goes first: it chooses among those that the least speaks against. A request that
//! goes on asks again without those it has tried, so it comes to each candidate once.
//!
//! All of it is called by all cores at once and takes no lock: what a policy has to remember is in atomics.

mod bounded_ring;
mod ewma;
mod least_requests;
mod load;
mod peers;
mod power_of_two;
mod random;
mod rendezvous;
mod ring;
mod round_robin;
mod weighted_round_robin;

use std::{
    fmt,
    str::FromStr,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crossbeam_utils::CachePadded;
use rand::Rng;

pub use self::{
    bounded_ring::{Bound, BoundError},
    ewma::Latency,
    load::{Flow, Load},
    weighted_round_robin::Credit,
};
use crate::ring::Ring;

/// How good a candidate is; a worse one is chosen only where there is no better one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Nothing speaks against it.
    Sound,
    /// It warms up, and this key is not among those that it gets already.
    Warming,
    /// It fails requests though it answers heartbeats.
    Ejected,
    /// A connection to it failed, and it has not answered since.
    Suspected,
}

/// What a policy may know of a request and of its moment.
#[derive(Debug)]
pub struct Request<'a, R> {
    /// Its id on the ring.
    pub id: u64,
    /// The time since some moment that is the same for all requests and measurements.
    pub now: Duration,
    /// Chance.
    pub rng: &'a mut R,
}

/// Those who may be chosen, by their positions in [`Ring::members`]. What is asked twice may be answered differently:
/// other cores go on meanwhile.
pub trait Candidates {
    /// The ring that they are on, which also says their weights.
    fn ring(&self) -> &Ring;
    /// How good the one at this position is; `None` where nobody is to be chosen.
    fn rank(&self, position: usize) -> Option<Rank>;
    /// What the one at this position has to do. Asked only where there is one.
    fn load(&self, position: usize) -> &Load;
}

/// How a pool's requests are shared out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// By which policy.
    pub kind: Kind,
    /// How uneven `bounded-ring` may be.
    pub bound: Bound,
}

/// Why a text is not a [`Kind`]; it names what is accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a policy; accepted are {}", Kind::NAMES.join(", "))]
pub struct KindError {
    text: String,
}

/// One way to choose.
trait Choose: fmt::Debug {
    /// Whether it goes by [`Latency`].
    const MEASURES: bool = false;

    fn new(settings: &Settings) -> Self;

    /// One of the best rank that there is; `None` only where nobody may be chosen.
    fn choose<C: Candidates, R: Rng>(&self, request: &mut Request<'_, R>, candidates: &C) -> Option<usize>;
}

/// A counter of requests, on a cache line of its own.
#[derive(Debug, Default)]
struct Turns(CachePadded<AtomicU64>);

macro_rules! policies {
    ($($(#[$doc:meta])* $kind:ident $name:literal $policy:ty,)*) => {
        /// The policies.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub enum Kind { $($(#[$doc])* $kind),* }

        impl Kind {
            /// All of them.
            pub const ALL: &[Kind] = &[$(Kind::$kind),*];
            const NAMES: &[&str] = &[$($name),*];
        }

        #[derive(Debug)]
        enum Chooser { $($kind($policy)),* }

        impl Policy {
            /// The policy that these settings say. It has seen no request yet.
            pub fn new(settings: &Settings) -> Self {
                let chooser = match settings.kind {
                    $(Kind::$kind => Chooser::$kind(<$policy>::new(settings)),)*
                };
                Policy { kind: settings.kind, chooser }
            }

            /// Whether it goes by the candidates' [`Latency`], so that somebody has to measure that.
            pub fn measures(&self) -> bool {
                match self.kind { $(Kind::$kind => <$policy>::MEASURES),* }
            }

            /// The candidate that this request goes to: one of the best rank. `None` where nobody may be chosen.
            pub fn choose<C: Candidates, R: Rng>(
                &self,
                request: &mut Request<'_, R>,
                candidates: &C,
            ) -> Option<usize> {
                match &self.chooser { $(Chooser::$kind(policy) => policy.choose(request, candidates)),* }
            }
        }
    };
}

/// What shares a pool's requests out, with what it remembers of them.
#[derive(Debug)]
pub struct Policy {
    kind: Kind,
    chooser: Chooser,
}

policies! {
    /// To the first on the ring.
    #[default]
    Ring "ring" ring::Clockwise,
    /// To the first on the ring that has not much more than its share in flight.
    BoundedRing "bounded-ring" bounded_ring::Bounded,
    /// To the one whose hash with the key is the greatest.
    Rendezvous "rendezvous" rendezvous::Rendezvous,
    /// To one after the other, whatever their weights.
    RoundRobin "round-robin" round_robin::RoundRobin,
    /// To one after the other, to each as often as its weight says.
    WeightedRoundRobin "weighted-round-robin" weighted_round_robin::Smooth,
    /// To the one that has the fewest in flight.
    LeastRequests "least-requests" least_requests::LeastRequests,
    /// To the one of two drawn that has fewer in flight.
    PowerOfTwo "power-of-two" power_of_two::PowerOfTwo,
    /// To the one that is expected to answer first.
    Ewma "ewma" ewma::Ewma,
    /// To any.
    Random "random" random::Random,
}

impl Policy {
    /// Which one it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }
}

impl Default for Policy {
    fn default() -> Self {
        Policy::new(&Settings::default())
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Kind::NAMES[*self as usize])
    }
}

impl FromStr for Kind {
    type Err = KindError;

    fn from_str(text: &str) -> Result<Self, KindError> {
        let at = Kind::NAMES.iter().position(|name| *name == text);
        at.map(|at| Kind::ALL[at]).ok_or_else(|| KindError { text: text.to_owned() })
    }
}

impl Turns {
    fn next(&self) -> u64 {
        self.0.fetch_add(1, Relaxed)
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
