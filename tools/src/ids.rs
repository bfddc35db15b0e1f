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

/// Ids of up to 18 digits, of which none comes twice: the numbers below 2⁵⁹ in an order of the seed's.
#[derive(Clone, Debug)]
pub struct Unique(u64);

/// One more than the largest of them; below 10¹⁸.
const END: u64 = 1 << 59;

impl Unique {
    /// The ids of this seed.
    pub fn new(seed: u64) -> Self {
        Unique(Xoshiro256PlusPlus::seed_from_u64(seed).random_range(0..END))
    }
}

impl Iterator for Unique {
    type Item = u64;

    /// Each step can be undone on numbers of 59 bits, so that two never meet.
    fn next(&mut self) -> Option<u64> {
        self.0 = (self.0 + 1) % END;
        let mut id = self.0;
        for factor in [0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb] {
            id ^= id >> 30;
            id = id.wrapping_mul(factor) % END;
        }
        Some(id ^ (id >> 31))
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
    fn no_unique_id_comes_twice_and_all_are_numbers_to_the_balancer() {
        let ids: std::collections::BTreeSet<u64> = Unique::new(1).take(1_000_000).collect();
        assert_eq!(ids.len(), 1_000_000);
        assert!(ids.last().is_some_and(|id| id.to_string().len() <= 18));
        let low = ids.iter().filter(|id| **id < END / 2).count();
        assert!((495_000..505_000).contains(&low), "{low} of a million are in the lower half");
        assert_ne!(Unique::new(2).next(), Unique::new(1).next());
    }

    #[test]
    fn a_seed_always_gives_the_same_ids() {
        let ids: Vec<u64> = Ids::new(1).take(5).collect();
        assert_eq!(ids, [830_450, 772_394, 190_135, 771_595, 266_210], "published results name their seed");
        assert_ne!(ids, Ids::new(2).take(5).collect::<Vec<_>>());
    }
}
