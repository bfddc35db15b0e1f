//! Many keys, as the slots see them: a key is nothing to a ring but the slot that it falls on. Pure.

use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};
use ringkeeper::ring::{Hash, Ring, Spec, SpecError, Virtual};

use crate::ids::Ids;

/// How many keys are drawn from one seed; the next ones from the next.
pub(super) const CHUNK: u64 = 1 << 20;

/// Which ids are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Any id below 2⁶³, as the keys of names and addresses have.
    #[default]
    Any,
    /// The assignment's, of six digits: there are 900,000 of them.
    SixDigits,
}

/// How many of the keys of chunk `chunk`, of which there are `count`, fall on each slot.
pub(super) fn tally(
    hash: Hash,
    slots: u32,
    kind: Kind,
    seed: u64,
    chunk: u64,
    count: u64,
) -> Result<Vec<u32>, SpecError> {
    let spec = Spec { slots, hash, placement: Virtual::Full, ..Spec::default() };
    spec.validate()?;
    let nobody = Ring::build(&[], &spec).expect("a sound spec makes a ring of nobody");
    let mut counts = vec![0; slots as usize];
    let mut enter = |id: u64| counts[nobody.slot(id) as usize] += 1;
    let seed = seed.wrapping_add(chunk.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let count = usize::try_from(count).expect("a chunk is small");
    match kind {
        Kind::SixDigits => Ids::new(seed).take(count).for_each(&mut enter),
        Kind::Any => {
            let mut draws = Xoshiro256PlusPlus::seed_from_u64(seed);
            for _ in 0..count {
                enter(draws.random::<u64>() >> 1);
            }
        }
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_falls_on_a_slot_and_the_quadratic_hash_reaches_few_of_them() {
        let tally = |hash| tally(hash, 512, Kind::SixDigits, 1, 0, 100_000).expect("a sound spec");
        for hash in [Hash::QUADRATIC, Hash::PRIME, Hash::Sha256, Hash::Xxh3] {
            assert_eq!(tally(hash).iter().sum::<u32>(), 100_000);
        }
        let reached = |hash| tally(hash).iter().filter(|count| **count > 0).count();
        assert_eq!(reached(Hash::Xxh3), 512);
        assert!(reached(Hash::QUADRATIC) < 100, "{}", reached(Hash::QUADRATIC));
    }

    #[test]
    fn the_first_chunk_of_six_digits_is_the_seeds_own_ids() {
        let nobody = Ring::build(&[], &Spec::assignment()).expect("a ring");
        let mut counts = vec![0_u32; 512];
        Ids::new(9).take(1000).for_each(|id| counts[nobody.slot(id) as usize] += 1);
        assert_eq!(tally(Hash::QUADRATIC, 512, Kind::SixDigits, 9, 0, 1000), Ok(counts));
    }
}
