//! What a candidate has to do, and what policies remember of it.

use std::sync::atomic::{
    AtomicU64, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};

use crossbeam_utils::CachePadded;

use super::{Credit, Latency};

/// What one candidate has to do, and what policies remember of it. Every request changes it, so it has cache lines of its
/// own. The numbers are those of the whole balancer, not of a core.
#[derive(Debug, Default)]
pub struct Load(CachePadded<Counts>);

#[derive(Debug, Default)]
struct Counts {
    in_flight: AtomicUsize,
    requests: AtomicU64,
    credit: Credit,
    latency: Latency,
}

impl Load {
    /// Requests that chose it and have not ended yet.
    pub fn in_flight(&self) -> usize {
        self.0.in_flight.load(SeqCst)
    }

    /// Counts one in flight, if there are then `most` at most. Never counts more, not for a moment.
    pub fn begin(&self, most: usize) -> bool {
        let in_flight = &self.0.in_flight;
        if most == usize::MAX {
            in_flight.fetch_add(1, SeqCst);
            return true;
        }
        in_flight.fetch_update(SeqCst, SeqCst, |now| (now < most).then_some(now + 1)).is_ok()
    }

    /// Counts one in flight less.
    pub fn end(&self) {
        self.0.in_flight.fetch_sub(1, SeqCst);
    }

    /// Requests that ever chose it.
    pub fn requests(&self) -> u64 {
        self.0.requests.load(Relaxed)
    }

    /// Counts a request that chose it.
    pub fn count_request(&self) {
        self.0.requests.fetch_add(1, Relaxed);
    }

    /// What `weighted-round-robin` owes it.
    pub fn credit(&self) -> &Credit {
        &self.0.credit
    }

    /// How fast it answers, where somebody measures that.
    pub fn latency(&self) -> &Latency {
        &self.0.latency
    }
}
