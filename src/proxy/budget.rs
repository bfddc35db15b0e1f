//! How many retries there may be: a part of the requests of the last ten seconds, so that a pool that fails does not get
//! twice the load for it. Pure.
//!
//! As in Finagle (`RetryBudget`): a share of the traffic, with a floor for when there is little of it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crossbeam_utils::CachePadded;

/// How far back is counted, in seconds.
const SECONDS: u32 = 10;
/// The retries that there may always be, for each of those seconds.
const LEAST: u64 = 10;
/// The places of a window; a power of two above [`SECONDS`].
const PLACES: usize = 16;

/// The retries of a pool, over all cores. Exact for one core; cores that ask in the same moment may together go over it
/// by one each.
#[derive(Debug)]
pub struct Budget {
    /// The part of the requests, in percent.
    percent: u64,
    requests: Box<[CachePadded<Window>]>,
    retries: Window,
}

/// Counts of the last seconds: in each place the second that it is of (upper half) and its count (lower half).
#[derive(Debug, Default)]
struct Window([AtomicU64; PLACES]);

impl Budget {
    /// A budget of this part of the requests, in percent, that this many cores count.
    pub fn new(percent: u32, cores: usize) -> Self {
        let requests = (0..cores).map(|_| CachePadded::default()).collect();
        Budget { percent: percent.into(), requests, retries: Window::default() }
    }

    /// Counts a request of this core in this second. Only that core may say so.
    pub fn count_request(&self, core: usize, second: u32) {
        self.requests[core].count_alone(second);
    }

    /// Takes one retry in this second, if there is one left.
    pub fn take(&self, second: u32) -> bool {
        let requests: u64 = self.requests.iter().map(|window| window.sum(second)).sum();
        let most = (requests * self.percent / 100).max(LEAST * u64::from(SECONDS));
        let left = self.percent > 0 && self.retries.sum(second) < most;
        if left {
            self.retries.count(second);
        }
        left
    }
}

impl Window {
    /// Counts one, where nobody else counts here.
    fn count_alone(&self, second: u32) {
        let place = self.place(second);
        place.store(next(place.load(Relaxed), second), Relaxed);
    }

    /// Counts one beside others.
    fn count(&self, second: u32) {
        let counted = |old| Some(next(old, second));
        let _always_some = self.place(second).fetch_update(Relaxed, Relaxed, counted);
    }

    /// What was counted in the seconds up to this one.
    fn sum(&self, second: u32) -> u64 {
        let counts = self.0.iter().map(|place| place.load(Relaxed));
        let recent = |value: &u64| second.wrapping_sub((value >> 32) as u32) < SECONDS;
        counts.filter(recent).map(|value| value & u64::from(u32::MAX)).sum()
    }

    fn place(&self, second: u32) -> &AtomicU64 {
        &self.0[second as usize % PLACES]
    }
}

fn next(old: u64, second: u32) -> u64 {
    if (old >> 32) as u32 == second { old + 1 } else { u64::from(second) << 32 | 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(budget: &Budget, second: u32) -> usize {
        (0..100_000).take_while(|_| budget.take(second)).count()
    }

    #[test]
    fn there_are_always_ten_a_second() {
        assert_eq!(taken(&Budget::new(20, 1), 0), 100);
        let spread = Budget::new(20, 1);
        for second in 0..100 {
            assert!((0..10).all(|_| spread.take(second)), "{second}");
        }
        assert_eq!(taken(&spread, 99), 0);
    }

    #[test]
    fn with_many_requests_there_is_a_part_of_them_over_all_cores() {
        let budget = Budget::new(20, 2);
        for second in 100..110 {
            (0..300).for_each(|_| budget.count_request(0, second));
            (0..100).for_each(|_| budget.count_request(1, second));
        }
        assert_eq!(taken(&budget, 109), 800);
    }

    #[test]
    fn what_is_older_than_ten_seconds_does_not_count() {
        let budget = Budget::new(20, 1);
        (0..10_000).for_each(|_| budget.count_request(0, 50));
        assert_eq!(taken(&budget, 59), 2000);
        assert_eq!(taken(&budget, 60), 0, "the retries are younger than the requests");
        assert_eq!(taken(&budget, 69), 100);
    }

    #[test]
    fn a_budget_of_nothing_is_nothing() {
        let budget = Budget::new(0, 1);
        budget.count_request(0, 1);
        assert!(!budget.take(1));
    }
}
