//! How the replicas stand: what the pool says, the shares that follow from its ring, the rates that follow from two looks. Pure.

use std::time::Instant;

use ringkeeper_tools::client::{By, Pool, Replica, RingSpec};
use serde::Serialize;

use super::layout::Layout;

/// A pool and when it was looked at.
#[derive(Clone, Debug)]
pub struct Look {
    /// What was seen.
    pub pool: Pool,
    /// When.
    pub at: Instant,
}

/// How the replicas of a pool stand.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// What the pool says.
    pub pool: Pool,
    /// For each of the pool's replicas, in their order, what does not stand there.
    pub derived: Vec<Derived>,
}

/// What follows from what a pool says of a replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Derived {
    /// The part of the ring's slots that it owns; `None` where it is not on the ring, or requests do not go by that.
    pub share: Option<f64>,
    /// Since the look before; `None` where there was none, or its instance is another.
    pub requests_per_second: Option<f64>,
}

/// The shares of the last ring, which takes long to build and seldom changes.
#[derive(Debug, Default)]
pub struct Shares(Option<Known>);

#[derive(Debug)]
struct Known {
    spec: RingSpec,
    /// The numbers and weights of the members, by number.
    members: Vec<(u16, Option<u8>)>,
    /// Empty for a ring that is not understood.
    parts: Vec<f64>,
}

impl Standing {
    /// Of a look and the one before it.
    pub fn of(look: &Look, before: Option<&Look>, shares: &mut Shares) -> Self {
        let owned = shares.of(&look.pool);
        let derived = look.pool.replicas.iter().map(|replica| Derived {
            share: owned
                .iter()
                .find(|(number, _)| *number == replica.number && replica.is_on_ring())
                .map(|(_, part)| *part),
            requests_per_second: before.and_then(|before| rate(replica, before, look.at)),
        });
        Standing { derived: derived.collect(), pool: look.pool.clone() }
    }

    /// Each replica with what follows.
    pub fn rows(&self) -> impl Iterator<Item = (&Replica, &Derived)> {
        self.pool.replicas.iter().zip(&self.derived)
    }
}

impl Shares {
    /// The number of each member and the part that it owns; empty for a ring that is not understood, or that nothing goes by.
    fn of(&mut self, pool: &Pool) -> Vec<(u16, f64)> {
        if pool.shares_by() != By::Ring {
            return Vec::new();
        }
        let on_ring = pool.replicas.iter().filter(|replica| replica.is_on_ring());
        let mut members: Vec<_> = on_ring.map(|replica| (replica.number, replica.weight)).collect();
        members.sort_unstable();
        if !self.0.as_ref().is_some_and(|known| known.spec == pool.ring && known.members == members) {
            let parts = Layout::of(pool).map(|layout| layout.slots()).unwrap_or_default();
            self.0 = Some(Known { spec: pool.ring.clone(), members, parts });
        }
        let known = self.0.as_ref().expect("just put there");
        known.members.iter().map(|(number, _)| *number).zip(known.parts.iter().copied()).collect()
    }
}

fn rate(replica: &Replica, before: &Look, now: Instant) -> Option<f64> {
    let earlier = before.pool.replicas.iter().find(|earlier| earlier.instance == replica.instance)?;
    let more = replica.requests?.checked_sub(earlier.requests?)?;
    let seconds = now.duration_since(before.at).as_secs_f64();
    (seconds > 0.0).then(|| more as f64 / seconds)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::layout::tests::pool;

    #[test]
    fn a_rate_needs_two_looks_at_one_instance() {
        let at = Instant::now();
        let look = |requests: u64, instance: &str, at| {
            let mut pool = pool("prime", &["ready"]);
            pool.replicas[0].requests = Some(requests);
            pool.replicas[0].instance = instance.into();
            Look { pool, at }
        };
        let before = look(100, "a", at);
        let rate = |now: &Look, before| {
            Standing::of(now, before, &mut Shares::default()).derived[0].requests_per_second
        };
        let later = at + Duration::from_millis(500);
        assert_eq!(rate(&look(150, "a", later), Some(&before)), Some(100.0));
        assert_eq!(rate(&look(150, "b", later), Some(&before)), None, "another instance counts from 0");
        assert_eq!(rate(&look(150, "a", later), None), None);
    }

    #[test]
    fn who_is_not_on_the_ring_has_no_share() {
        let look = Look { pool: pool("xxh3", &["ready", "starting", "leaving", "down"]), at: Instant::now() };
        let standing = Standing::of(&look, None, &mut Shares::default());
        let shares: Vec<_> = standing.derived.iter().map(|derived| derived.share.is_some()).collect();
        assert_eq!(shares, [true, false, false, true]);
    }

    #[test]
    fn shares_are_computed_anew_when_a_weight_changes() {
        let mut shares = Shares::default();
        let mut look = Look { pool: pool("xxh3", &["ready", "ready"]), at: Instant::now() };
        assert!(
            (Standing::of(&look, None, &mut shares).derived[0].share.expect("a share") - 0.5).abs() < 0.01
        );
        look.pool.replicas[0].weight = Some(3);
        assert!(
            (Standing::of(&look, None, &mut shares).derived[0].share.expect("a share") - 0.75).abs() < 0.01
        );
    }
}
