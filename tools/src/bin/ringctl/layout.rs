//! Who has what of the ring, by name, and what a change would do to it; computed here, from what the pool says of itself. Pure.

use std::collections::BTreeMap;

use ringkeeper::{
    name::Number,
    ring::{Member, Ring, RingError, Weight},
};
use ringkeeper_tools::{
    client::{Pool, Replica},
    forecast::{self, ForecastError},
};

/// The ids that shares of keys are counted with: all of six digits, as requests without a key of their own draw them.
const IDS: std::ops::RangeInclusive<u64> = 100_000..=999_999;

/// The ring of a pool, and who is on it.
#[derive(Debug)]
pub struct Layout {
    ring: Ring,
    /// In the order of the ring's members.
    seats: Vec<Replica>,
    /// Desired, and not on the ring yet.
    waiting: Vec<Replica>,
}

/// A change of the set, as it could be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// So many more, with names as far as they are given.
    Add {
        /// How many.
        n: u64,
        /// Their names.
        names: Vec<String>,
    },
    /// Without these.
    Remove(Vec<String>),
}

/// Why a ring cannot be looked at, or not be changed like this.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// The pool's ring is not understood.
    #[error(transparent)]
    Forecast(#[from] ForecastError),
    /// There is no ring of these members.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// A name that is not on the ring.
    #[error("there is no '{0}' on the ring")]
    Unknown(String),
    /// Numbers are 16 bits wide.
    #[error("a ring has at most 65535 servers")]
    Numbers,
}

/// What a change would do.
#[derive(Clone, Debug, PartialEq)]
pub struct Moves {
    /// Each server that is there before or after, by number: its name, and its part of the keys before and after.
    pub shares: Vec<(String, f64, f64)>,
    /// The part of the keys that would change its server.
    pub moved: f64,
    /// The part that has to, whatever the ring, for these shares to become those.
    pub least: f64,
    /// What the busiest server gets afterwards, as a multiple of what its weight entitles it to.
    pub busiest: f64,
}

impl Layout {
    /// The ring of this pool: of who was ever ready, not of who starts for the first time, nor of who leaves.
    pub fn of(pool: &Pool) -> Result<Self, LayoutError> {
        let desired = pool.replicas.iter().filter(|replica| !replica.is_leaving());
        let (mut seats, waiting): (Vec<_>, Vec<_>) = desired.cloned().partition(Replica::is_on_ring);
        seats.sort_by_key(|replica| replica.number);
        let members = seats.iter().map(forecast::member).collect::<Result<Vec<_>, _>>()?;
        let ring = Ring::build(&members, &forecast::spec(&pool.ring)?)?;
        Ok(Layout { ring, seats, waiting })
    }

    /// The ring itself; its members stand in the order of [`seats`](Self::seats).
    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Who is on the ring, by number.
    pub fn seats(&self) -> &[Replica] {
        &self.seats
    }

    /// Who is wanted and not on the ring yet.
    pub fn waiting(&self) -> &[Replica] {
        &self.waiting
    }

    /// Who a request with this id tries, in that order.
    pub fn route(&self, id: u64) -> impl Iterator<Item = &Replica> {
        self.ring.route(id).map(|position| &self.seats[position])
    }

    /// The part of the slots that each owns, in the order of [`seats`](Self::seats).
    pub fn slots(&self) -> Vec<f64> {
        self.parts(|_| 1)
    }

    /// The part of the keys that each is the first choice of, in the order of [`seats`](Self::seats).
    pub fn keys(&self) -> Vec<f64> {
        let keys = self.keys_of_slots();
        self.parts(|slot| keys[slot as usize])
    }

    /// An id whose first choice is this seat; `None` if no slot that ids reach is its own.
    pub fn id_of(&self, seat: usize) -> Option<u64> {
        IDS.clone().find(|id| self.ring.owner(self.ring.slot(*id)) == Some(seat))
    }

    /// What this change would do, once everyone is ready.
    pub fn simulate(&self, change: &Change) -> Result<Moves, LayoutError> {
        let after = self.after(change)?;
        let keys = self.keys_of_slots();
        let owner = |layout: &Layout, slot| layout.ring.owner(slot).map(|seat| layout.seats[seat].number);
        let changed = (0..self.ring.spec().slots).filter(|slot| owner(self, *slot) != owner(&after, *slot));
        let all: u64 = keys.iter().sum();
        let moved = changed.map(|slot| keys[slot as usize]).sum::<u64>() as f64 / all as f64;
        let mut shares: BTreeMap<u16, (String, f64, f64)> = BTreeMap::new();
        for (seat, part) in self.seats.iter().zip(self.parts(|slot| keys[slot as usize])) {
            shares.insert(seat.number, (seat.name.clone(), part, 0.0));
        }
        let parts = after.parts(|slot| keys[slot as usize]);
        for (seat, part) in after.seats.iter().zip(&parts) {
            shares.entry(seat.number).or_insert_with(|| (seat.name.clone(), 0.0, 0.0)).2 = *part;
        }
        let shares: Vec<_> = shares.into_values().collect();
        let least = shares.iter().map(|(_, before, after)| (after - before).max(0.0)).sum();
        Ok(Moves { moved, least, busiest: after.busiest(&parts), shares })
    }

    /// The ring after this change. Who is added gets the lowest free numbers, as the balancer gives them.
    fn after(&self, change: &Change) -> Result<Layout, LayoutError> {
        let mut seats = self.seats.clone();
        match change {
            Change::Remove(names) => {
                for name in names {
                    let at = seats.iter().position(|seat| seat.name.eq_ignore_ascii_case(name));
                    seats.remove(at.ok_or_else(|| LayoutError::Unknown(name.clone()))?);
                }
            }
            Change::Add { n, names } => {
                for index in 0..*n {
                    let taken = seats.iter().chain(&self.waiting).filter_map(|seat| Number::new(seat.number));
                    let number = Number::lowest_free(taken).ok_or(LayoutError::Numbers)?.get();
                    let name = names.get(index as usize).cloned().unwrap_or_else(|| format!("new {number}"));
                    seats.push(Replica { name, number, on_ring: Some(true), ..Replica::default() });
                }
            }
        }
        seats.sort_by_key(|seat| seat.number);
        let members = seats.iter().map(forecast::member).collect::<Result<Vec<Member>, _>>()?;
        let ring = Ring::build(&members, self.ring.spec())?;
        Ok(Layout { ring, seats, waiting: self.waiting.clone() })
    }

    /// How many of the ids each slot has.
    fn keys_of_slots(&self) -> Vec<u64> {
        let mut keys = vec![0; self.ring.spec().slots as usize];
        IDS.for_each(|id| keys[self.ring.slot(id) as usize] += 1);
        keys
    }

    /// The part of all slots' weight that each owns.
    fn parts(&self, weight: impl Fn(u32) -> u64) -> Vec<f64> {
        let mut owned = vec![0; self.seats.len()];
        for slot in 0..self.ring.spec().slots {
            if let Some(seat) = self.ring.owner(slot) {
                owned[seat] += weight(slot);
            }
        }
        let all: u64 = owned.iter().sum::<u64>().max(1);
        owned.into_iter().map(|part| part as f64 / all as f64).collect()
    }

    fn busiest(&self, parts: &[f64]) -> f64 {
        let weight = |seat: &Replica| f64::from(seat.weight.unwrap_or(Weight::ONE.get()));
        let all: f64 = self.seats.iter().map(weight).sum();
        let ratios = self.seats.iter().zip(parts).map(|(seat, part)| part * all / weight(seat));
        ratios.fold(0.0, f64::max)
    }
}

#[cfg(test)]
pub mod tests {
    use ringkeeper_tools::client::{RingSpec, Totals};

    use super::*;

    /// A pool of replicas `Server-1` … in these states, on the default ring or on the assignment's.
    pub fn pool(hash: &str, states: &[&str]) -> Pool {
        let replica = |(index, state): (usize, &&str)| Replica {
            name: format!("Server-{}", index + 1),
            number: index as u16 + 1,
            state: (*state).to_owned(),
            since: "2024-01-01T00:00:00Z".into(),
            instance: format!("{index:02x}"),
            on_ring: Some(*state != "starting"),
            ..Replica::default()
        };
        let (slots, placement) = if hash == "xxh3" { (262_147, "full") } else { (512, "9") };
        let ring = RingSpec {
            slots,
            placement: placement.into(),
            probing: "linear".into(),
            hash: hash.into(),
            slack: 0.01,
        };
        let replicas = states.iter().enumerate().map(replica).collect();
        let totals = Totals::default();
        let (pool, policy) = ("default".into(), "ring".into());
        Pool { pool, epoch: 1, ring, policy, queue: None, problem: None, replicas, totals }
    }

    fn layout(hash: &str, states: &[&str]) -> Layout {
        Layout::of(&pool(hash, states)).expect("a ring")
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn parts_add_up_to_the_whole() {
        let layout = layout("sha256", &["ready", "down", "ready", "starting"]);
        for parts in [layout.slots(), layout.keys()] {
            assert_eq!(parts.len(), 3, "who was never ready has no place");
            assert!((parts.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{parts:?}");
        }
        assert_eq!(layout.waiting().len(), 1);
    }

    #[test]
    fn the_quadratic_hash_gives_slots_and_keys_apart() {
        let layout = layout("quadratic", &["ready"; 3]);
        assert!(layout.keys()[0] > 0.8, "{:?}", layout.keys());
        let apart = layout.slots()[2] - layout.keys()[2];
        assert!(apart.abs() > 0.03, "{:?} {:?}", layout.slots(), layout.keys());
    }

    #[test]
    fn a_member_more_moves_little_more_than_its_part_on_the_default_ring() {
        let moves = layout("xxh3", &["ready"; 3])
            .simulate(&Change::Add { n: 1, names: names(&["s4"]) })
            .expect("a ring");
        assert_eq!(moves.shares[3].0, "s4");
        assert!((moves.least - 0.25).abs() < 0.01 && moves.moved >= moves.least, "{moves:?}");
        assert!(moves.moved < 0.27 && moves.busiest < 1.02, "{moves:?}");
    }

    #[test]
    fn a_member_less_frees_its_own() {
        let layout = layout("prime", &["ready"; 3]);
        let moves = layout.simulate(&Change::Remove(names(&["server-2"]))).expect("a ring");
        assert!((moves.moved - layout.keys()[1]).abs() < 1e-9, "{moves:?}");
        assert!((moves.least - moves.moved).abs() < 1e-9, "a ring of virtual servers moves no more");
        assert_eq!(moves.shares[1].2, 0.0);
    }

    #[test]
    fn what_is_not_there_cannot_be_removed_and_too_many_do_not_fit() {
        let layout = layout("prime", &["ready"; 3]);
        let error = layout.simulate(&Change::Remove(names(&["x9"]))).expect_err("nobody");
        assert_eq!(error.to_string(), "there is no 'x9' on the ring");
        let error = layout.simulate(&Change::Add { n: 60, names: vec![] }).expect_err("no room");
        assert!(error.to_string().contains("full"), "{error}");
    }

    #[test]
    fn for_each_seat_there_is_a_key() {
        let layout = layout("xxh3", &["ready"; 5]);
        for seat in 0..5 {
            let id = layout.id_of(seat).expect("an id");
            assert_eq!(layout.route(id).next().map(|r| r.number), Some(seat as u16 + 1));
        }
    }
}
