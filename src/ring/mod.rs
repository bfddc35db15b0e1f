//! The hash ring: which members may serve a request, in order of preference. Pure.
//!
//! `spec` says what a ring is made by, `hash` has the pluggable hash functions, `place` seats virtual servers, `quota`
//! shares the slots out evenly (`full`), and `route` is what a lookup answers. `rendezvous` does without slots.

#[cfg(test)]
mod golden;
mod hash;
mod place;
mod quota;
mod rendezvous;
mod route;
mod spec;
#[cfg(test)]
mod tests;

use std::fmt;

use xxhash_rust::xxh3::xxh3_64;

pub use self::{
    hash::{Hash, HashError, Polynomial},
    rendezvous::rendezvous_cost,
    route::Route,
    spec::{MOST_SLOTS, Probing, Slack, Spec, SpecError, Virtual, WordError},
};
use crate::name::Number;

/// Where a member stands in [`Ring::members`].
type Position = u16;

/// No position: numbers start at 1, so there are at most 65,535 members.
const NOBODY: Position = Position::MAX;

/// One server as the ring sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    /// The i of Φ(i, j); no other member of the ring has it.
    pub number: Number,
    /// How much of the ring it gets, in comparison with the others.
    pub weight: Weight,
}

/// A whole number from 1 to 100. A member of weight w gets w times as much as one of weight 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(u8);

/// M slots, each of which leads to one member. A function of the set of members and the [`Spec`] alone: whatever the
/// order in which members came, and on whatever machine, the ring is the same. It is never edited.
#[derive(Clone, PartialEq, Eq)]
pub struct Ring {
    spec: Spec,
    /// Sorted by number.
    members: Box<[Member]>,
    /// For each slot the first choice, [`NOBODY`] on an empty ring.
    owners: Box<[Position]>,
    /// The slots in which someone sits, ascending; empty with `full`, where everyone owns where he sits.
    occupied: Box<[(u32, Position)]>,
}

/// Why there is no ring of these members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// The spec makes no ring at all.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// Two members have one number.
    #[error("two members of the ring have the number {0}")]
    Duplicate(Number),
    /// The members need more slots than there are.
    #[error("the ring is full: its members need {needed} slots, it has {slots}")]
    Full {
        /// The virtual servers of all members; with `full` a slot for each member.
        needed: u64,
        /// The slots of the ring.
        slots: u32,
    },
}

impl Ring {
    /// The ring of these members; their order does not matter, and there may be none.
    ///
    /// With `full` it takes slots × the sum of the weights hashes, so 10 ms for a few members at 262,147 slots, 60 ms for
    /// 100 and half a second for 1,000: not for the path of a request.
    pub fn build(members: &[Member], spec: &Spec) -> Result<Ring, RingError> {
        spec.validate()?;
        let mut members: Box<[Member]> = members.into();
        members.sort_unstable();
        if let Some(pair) = members.windows(2).find(|pair| pair[0].number == pair[1].number) {
            return Err(RingError::Duplicate(pair[0].number));
        }
        let needed = needed(&members, spec.placement);
        if needed > spec.slots.into() {
            return Err(RingError::Full { needed, slots: spec.slots });
        }
        let (owners, occupied) = match spec.placement {
            Virtual::Count(count) => place::place(&members, count, spec),
            Virtual::Full => (quota::fill(&members, spec), Box::default()),
        };
        Ok(Ring { spec: spec.clone(), members, owners, occupied })
    }

    /// The members, sorted by number. Positions in this slice are what the ring answers with.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// What the ring was made by.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// H(id) modulo the number of slots.
    pub fn slot(&self, id: u64) -> u32 {
        self.spec.hash.request(id, self.spec.slots)
    }

    /// The first choice of a slot below [`Spec::slots`]: with virtual servers, the first one clockwise. `None` only
    /// on an empty ring. One read of a table.
    ///
    /// # Panics
    /// If there is no such slot.
    pub fn owner(&self, slot: u32) -> Option<usize> {
        position(self.owners[slot as usize])
    }

    /// Who sits in exactly this slot: with `full` its owner, else the server of the virtual server there, if any.
    pub fn placed(&self, slot: u32) -> Option<usize> {
        match self.spec.placement {
            Virtual::Full => self.owner(slot),
            Virtual::Count(_) => {
                let at = self.occupied.binary_search_by_key(&slot, |(taken, _)| *taken).ok()?;
                position(self.occupied[at].1)
            }
        }
    }

    /// The members in the order in which a request with this id tries them: each exactly once.
    pub fn route(&self, id: u64) -> Route<'_> {
        Route::new(self, self.slot(id))
    }
}

impl fmt::Debug for Ring {
    /// Without the tables.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring")
            .field("spec", &self.spec)
            .field("members", &self.members)
            .finish_non_exhaustive()
    }
}

impl Weight {
    /// The weight of a server of which nothing else is said.
    pub const ONE: Weight = Weight(1);

    /// `None` unless the weight is 1 to 100.
    pub const fn new(weight: u8) -> Option<Self> {
        if weight >= 1 && weight <= 100 { Some(Weight(weight)) } else { None }
    }

    /// The weight, 1 to 100.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl Default for Weight {
    fn default() -> Self {
        Weight::ONE
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A request's id, below 2⁶³, of a key: 1 to 18 decimal digits are that number, anything else is XXH3-64 (seed 0) of
/// its bytes, shifted right by one.
pub fn id_of_key(key: &[u8]) -> u64 {
    if (1..=18).contains(&key.len()) && key.iter().all(u8::is_ascii_digit) {
        return key.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
    }
    xxh3_64(key) >> 1
}

/// How many slots the members must have for themselves.
fn needed(members: &[Member], placement: Virtual) -> u64 {
    match placement {
        Virtual::Count(count) => members.iter().map(|m| u64::from(count) * u64::from(m.weight.get())).sum(),
        Virtual::Full => members.len() as u64,
    }
}

fn position(position: Position) -> Option<usize> {
    (position != NOBODY).then(|| position.into())
}
