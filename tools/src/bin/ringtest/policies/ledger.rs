//! What is in flight at each origin, and how uneven that is whenever a request comes. Pure.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};
use ringkeeper_tools::stats::percentile;

/// How long the work of a request takes on average.
pub const WORK: Duration = Duration::from_millis(400);

/// How many times that at the first origin, the slow one.
pub const SLOWER: u32 = 5;

/// The origins' books.
#[derive(Debug)]
pub struct Ledger {
    in_flight: Vec<u32>,
    /// What draws how long work takes; `None` while there is no work, and every answer comes at once.
    chance: Option<Xoshiro256PlusPlus>,
    /// Whether dispatches are noted.
    notes: bool,
    /// At each of them, the most in flight at one origin as a multiple of the mean.
    ratios: Vec<f64>,
    /// At all of them together, how many were in flight.
    sum: u64,
}

/// How uneven it was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unevenness {
    /// The most in flight at one origin as a multiple of the mean, at the worst of all dispatches.
    pub worst: f64,
    /// What 99 of 100 dispatches stay within.
    pub p99: f64,
    /// On average.
    pub average: f64,
    /// How many were in flight at an origin on average.
    pub in_flight: f64,
    /// How many dispatches there were.
    pub dispatches: usize,
}

impl Ledger {
    /// Of so many origins, which answer at once.
    pub fn new(origins: usize) -> Self {
        Ledger { in_flight: vec![0; origins], chance: None, notes: false, ratios: Vec::new(), sum: 0 }
    }

    /// From now on a request is work; how much is drawn.
    pub fn work(&mut self, seed: u64) {
        self.chance = Some(Xoshiro256PlusPlus::seed_from_u64(seed));
    }

    /// From now on dispatches count.
    pub fn note(&mut self) {
        self.notes = true;
    }

    /// A request has come to this origin, counted from 0; it is work of this length.
    pub fn came(&mut self, origin: usize) -> Duration {
        self.in_flight[origin] += 1;
        if self.notes {
            let (most, all) =
                (self.in_flight.iter().max().copied().unwrap_or(0), self.in_flight.iter().sum::<u32>());
            self.ratios.push(f64::from(most) * self.in_flight.len() as f64 / f64::from(all));
            self.sum += u64::from(all);
        }
        let Some(chance) = &mut self.chance else { return Duration::ZERO };
        let times = -(1.0 - chance.random::<f64>()).ln(); // exponentially distributed
        WORK.mul_f64(times) * if origin == 0 { SLOWER } else { 1 }
    }

    /// Its answer begins to be written.
    pub fn went(&mut self, origin: usize) {
        self.in_flight[origin] -= 1;
    }

    /// What was noted.
    pub fn unevenness(&self) -> Unevenness {
        let count = self.ratios.len().max(1) as f64;
        Unevenness {
            worst: self.ratios.iter().copied().fold(0.0, f64::max),
            p99: percentile(&self.ratios, 99.0),
            average: self.ratios.iter().sum::<f64>() / count,
            in_flight: self.sum as f64 / count / self.in_flight.len() as f64,
            dispatches: self.ratios.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dispatch_is_as_uneven_as_the_origins_are_then() {
        let mut ledger = Ledger::new(4);
        (0..4).for_each(|origin| assert_eq!(ledger.came(origin), Duration::ZERO));
        ledger.note();
        ledger.came(2); // 1 1 2 1
        ledger.went(0);
        ledger.came(2); // 0 1 3 1
        let found = ledger.unevenness();
        assert_eq!((found.worst, found.p99, found.average), (2.4, 2.4, 2.0));
        assert_eq!((found.in_flight, found.dispatches), (1.25, 2));
    }

    #[test]
    fn the_first_origin_takes_five_times_as_long() {
        let mut ledger = Ledger::new(2);
        ledger.work(1);
        let mean = |ledger: &mut Ledger, origin| {
            (0..100_000).map(|_| ledger.came(origin).as_secs_f64()).sum::<f64>() / 100_000.0
        };
        let (slow, other) = (mean(&mut ledger, 0), mean(&mut ledger, 1));
        assert!((1.96..2.04).contains(&slow) && (0.392..0.408).contains(&other), "{slow}, {other}");
    }
}
