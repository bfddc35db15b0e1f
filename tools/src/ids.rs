//! Request ids, the same for the same seed. Pure.

use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

/// Six-digit ids without end: the same sequence for a seed on every machine and in every version.
#[derive(Clone, Debug)]
pub struct Ids(Xoshiro256PlusPlus);

impl Ids {
    /// The ids of this seed.
    pub fn new(seed: u64) -> Self {
        Ids(Xoshiro256PlusPlus::seed_from_u64(seed))
    }
}

impl Iterator for Ids {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        Some(self.0.random_range(100_000..=999_999))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_six_digits_and_reach_both_ends() {
        let ids: Vec<u64> = Ids::new(7).take(5_000_000).collect();
        assert_eq!(ids.iter().min(), Some(&100_000));
        assert_eq!(ids.iter().max(), Some(&999_999));
    }

    #[test]
    fn a_seed_always_gives_the_same_ids() {
        let ids: Vec<u64> = Ids::new(1).take(5).collect();
        assert_eq!(ids, [830_450, 772_394, 190_135, 771_595, 266_210], "published results name their seed");
        assert_ne!(ids, Ids::new(2).take(5).collect::<Vec<_>>());
    }
}
