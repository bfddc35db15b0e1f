//! Where virtual servers sit: each at Φ(i, j), or at the next free slot by probing.

use super::{Member, NOBODY, Position, Probing, Spec};

/// The owner of every slot, and the occupied slots with who sits there, ascending.
type Placed = (Box<[Position]>, Box<[(u32, Position)]>);

/// Places `count` virtual servers for each unit of weight: members in the order given, j ascending. There must be a
/// slot for each. (Consistent hashing: Karger, Lehman, Leighton, Panigrahy, Levine and Lewin, STOC 1997.)
///
/// Takes nearly linear time with linear probing. With quadratic probing a ring that is nearly full, or a hash with few
/// values, costs up to `slots` tries for each virtual server.
pub(super) fn place(members: &[Member], count: u32, spec: &Spec) -> Placed {
    let mut slots = Slots::new(spec.slots);
    for (position, member) in (0..).zip(members) {
        for j in 1..=count * u32::from(member.weight.get()) {
            let first = spec.hash.server(member.number, j, spec.slots);
            let slot = match spec.probing {
                Probing::Linear => slots.free_from(first),
                Probing::Quadratic => slots.free_by_squares(first).unwrap_or_else(|| slots.free_from(first)),
            };
            slots.seat(slot, position);
        }
    }
    slots.finish()
}

/// The slots while they fill. `onward[s]` leads from a taken slot towards the next free one, by way of taken slots
/// only, and from a free slot to itself: a union-find with path halving.
struct Slots {
    seated: Vec<Position>,
    onward: Vec<u32>,
}

impl Slots {
    fn new(slots: u32) -> Self {
        Slots { seated: vec![NOBODY; slots as usize], onward: (0..slots).collect() }
    }

    /// The first free slot clockwise from `first`, itself included.
    fn free_from(&mut self, first: u32) -> u32 {
        let mut slot = first as usize;
        while self.seated[slot] != NOBODY {
            let next = self.onward[slot] as usize;
            self.onward[slot] = self.onward[next];
            slot = self.onward[slot] as usize;
        }
        slot as u32
    }

    /// The first free slot among `first` + 0², + 1², … up to the square of the number of slots.
    fn free_by_squares(&self, first: u32) -> Option<u32> {
        let slots = self.seated.len();
        let mut slot = first as usize;
        for i in 0..=slots {
            if self.seated[slot] == NOBODY {
                return Some(slot as u32);
            }
            slot = (slot + 2 * i + 1) % slots; // (i + 1)² − i²
        }
        None
    }

    fn seat(&mut self, slot: u32, position: Position) {
        let at = slot as usize;
        assert_eq!(self.seated[at], NOBODY, "a slot seats one virtual server");
        self.seated[at] = position;
        self.onward[at] = (slot + 1) % self.seated.len() as u32;
    }

    fn finish(self) -> Placed {
        let seats = (0..).zip(&self.seated);
        let occupied: Box<[_]> =
            seats.filter(|(_, who)| **who != NOBODY).map(|(slot, who)| (slot, *who)).collect();
        let mut next = occupied.first().map_or(NOBODY, |(_, position)| *position);
        let mut owners = self.seated;
        for owner in owners.iter_mut().rev() {
            if *owner == NOBODY {
                *owner = next;
            }
            next = *owner;
        }
        (owners.into(), occupied)
    }
}
