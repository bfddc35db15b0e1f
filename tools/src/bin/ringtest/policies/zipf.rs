//! Keys of which some are wanted far more than others (Zipf's law). Pure.

use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

/// How many keys there are.
pub const KEYS: usize = 10_000;

/// The smallest key.
const FIRST: u64 = 100_000;

/// Keys without end: the first is wanted n times as often as the n-th.
#[derive(Clone, Debug)]
pub struct Zipf {
    chance: Xoshiro256PlusPlus,
    /// The sums of the keys' parts.
    sums: Vec<f64>,
}

impl Zipf {
    /// The keys of this seed.
    pub fn new(seed: u64) -> Self {
        let sums = (1..=KEYS).scan(0.0, |sum, n| {
            *sum += 1.0 / n as f64;
            Some(*sum)
        });
        Zipf { chance: Xoshiro256PlusPlus::seed_from_u64(seed), sums: sums.collect() }
    }
}

impl Iterator for Zipf {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let wanted = self.chance.random_range(0.0..self.sums[KEYS - 1]);
        Some(FIRST + self.sums.partition_point(|sum| *sum <= wanted) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_key_is_wanted_ten_times_as_often_as_the_tenth() {
        let keys: Vec<u64> = Zipf::new(1).take(1_000_000).collect();
        let count = |key: u64| keys.iter().filter(|wanted| **wanted == key).count() as f64;
        let share = count(FIRST) / 1e6;
        assert!((0.101..0.103).contains(&share), "{share} of 1 / (1 + 1/2 + 1/3 + …) = 0.102");
        let times = count(FIRST) / count(FIRST + 9);
        assert!((9.5..10.5).contains(&times), "{times}");
        assert!(keys.iter().all(|key| (FIRST..FIRST + KEYS as u64).contains(key)));
    }
}
