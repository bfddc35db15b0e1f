//! `bounded-ring`: consistent hashing with bounded loads (Mirrokni, Thorup and Zadimoghaddam, SODA 2018).

use std::{fmt, str::FromStr};

use rand::Rng;

use super::{Candidates, Choose, Rank, Request, Settings, ring::first};

/// How many times its share of what is in flight a replica may have, from 1 to 100: a decimal, kept as millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound(u64);

/// Why a text is not a [`Bound`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a bound is a decimal from 1 to 100, such as 1.25: how many times its share a replica may have in flight"
)]
pub struct BoundError;

/// Millionths of one.
const MILLION: u64 = 1_000_000;

/// Remembers nothing: the loads are those of now.
#[derive(Debug)]
pub(super) struct Bounded {
    bound: Bound,
}

/// What all who may be chosen have together.
struct Pool {
    in_flight: u64,
    weight: u64,
}

impl Choose for Bounded {
    fn new(settings: &Settings) -> Self {
        Bounded { bound: settings.bound }
    }

    /// The first on the ring that has less than its capacity, ⌈bound · (m + 1) · share⌉, where m are in flight at all who
    /// are sound, of whose weight it has this share. One of them always has room: their capacities come to m + 1 at least.
    ///
    /// m is added up at each choice, which reads as many cache lines as there are replicas; a count of its own for it would
    /// be a line that all cores write, twice a request, for every policy, and would count in those that nobody may choose.
    fn choose<C: Candidates, R: Rng>(&self, request: &mut Request<'_, R>, candidates: &C) -> Option<usize> {
        let pool = Pool::of(candidates);
        first(request.id, candidates, |position| {
            let weight = candidates.ring().members()[position].weight.get();
            (candidates.load(position).in_flight() as u64) < self.bound.capacity(&pool, weight.into())
        })
    }
}

impl Pool {
    fn of<C: Candidates>(candidates: &C) -> Self {
        let members = candidates.ring().members().iter().enumerate();
        let sound = members.filter(|(position, _)| candidates.rank(*position) == Some(Rank::Sound));
        sound.fold(Pool { in_flight: 0, weight: 0 }, |pool, (position, member)| Pool {
            in_flight: pool.in_flight + candidates.load(position).in_flight() as u64,
            weight: pool.weight + u64::from(member.weight.get()),
        })
    }
}

impl Bound {
    /// What one of this weight may have when one more is in flight.
    fn capacity(self, pool: &Pool, weight: u64) -> u64 {
        (self.0 * (pool.in_flight + 1) * weight).div_ceil(MILLION * pool.weight.max(1))
    }
}

impl Default for Bound {
    /// A quarter more than its share.
    fn default() -> Self {
        Bound(1_250_000)
    }
}

impl FromStr for Bound {
    type Err = BoundError;

    fn from_str(text: &str) -> Result<Self, BoundError> {
        let bound = text.parse::<f64>().ok().filter(|bound| (1.0..=100.0).contains(bound));
        bound.map(|bound| Bound((bound * MILLION as f64).round() as u64)).ok_or(BoundError)
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.0 as f64 / MILLION as f64).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_a_decimal_from_1_to_100() {
        for text in ["1", "1.25", "1.000001", "100"] {
            assert_eq!(text.parse::<Bound>().expect(text).to_string(), text);
        }
        for wrong in ["", "0.99", "101", "nan", "inf", "-2", "x"] {
            assert_eq!(wrong.parse::<Bound>(), Err(BoundError), "{wrong}");
        }
    }

    #[test]
    fn a_capacity_is_rounded_up_and_only_then() {
        let capacity =
            |in_flight, pool, weight| Bound::default().capacity(&Pool { in_flight, weight: pool }, weight);
        assert_eq!([capacity(0, 10, 1), capacity(7, 10, 1), capacity(8, 10, 1)], [1, 1, 2]);
        assert_eq!([capacity(199, 10, 1), capacity(200, 10, 1)], [25, 26]);
        assert_eq!(capacity(199, 20, 5), 63, "62.5 of 250");
    }
}
