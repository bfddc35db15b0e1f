//! The members in the order in which a request tries them.

use std::{collections::BinaryHeap, iter::FusedIterator};

use super::{Ring, Virtual, quota};

/// The members of a ring in the order in which one request tries them: positions in [`Ring::members`], each exactly
/// once. With virtual servers they come clockwise from the request's slot; with `full` the owner comes first, then
/// the others as the slot ranks them.
///
/// The first is one read of a table. Who asks for a second pays for the rest: an allocation, and time in proportion
/// to the members (with `full`) or to the virtual servers passed.
#[derive(Clone, Debug)]
pub struct Route<'a> {
    ring: &'a Ring,
    slot: u32,
    left: usize,
    rest: Option<Rest>,
}

/// Who comes after the owner.
#[derive(Clone, Debug)]
enum Rest {
    /// The occupied slots clockwise from index `at`; members that were seen are passed over.
    Clockwise { at: usize, seen: Vec<bool> },
    /// The slot's ranking; the owner is passed over.
    Ranked { owner: usize, ranking: BinaryHeap<quota::Pair> },
}

impl<'a> Route<'a> {
    pub(super) fn new(ring: &'a Ring, slot: u32) -> Self {
        Route { ring, slot, left: ring.members.len(), rest: None }
    }
}

impl Iterator for Route<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let first = self.left == self.ring.members.len();
        self.left = self.left.checked_sub(1)?;
        let owner = self.ring.owner(self.slot)?;
        if first {
            return Some(owner);
        }
        self.rest.get_or_insert_with(|| Rest::after(owner, self.slot, self.ring)).next(self.ring)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Route<'_> {}

impl FusedIterator for Route<'_> {}

impl Rest {
    fn after(owner: usize, slot: u32, ring: &Ring) -> Self {
        match ring.spec.placement {
            Virtual::Full => Rest::Ranked { owner, ranking: quota::ranking(&ring.members, slot) },
            Virtual::Count(_) => {
                let mut seen = vec![false; ring.members.len()];
                seen[owner] = true;
                Rest::Clockwise { at: ring.occupied.partition_point(|(taken, _)| *taken < slot), seen }
            }
        }
    }

    fn next(&mut self, ring: &Ring) -> Option<usize> {
        match self {
            Rest::Ranked { owner, ranking } => {
                let next = ranking.pop()?.position();
                if next == *owner { ranking.pop().map(|pair| pair.position()) } else { Some(next) }
            }
            Rest::Clockwise { at, seen } => loop {
                let (_, position) = *ring.occupied.get(*at % ring.occupied.len())?;
                *at += 1;
                if !std::mem::replace(&mut seen[usize::from(position)], true) {
                    return Some(position.into());
                }
            },
        }
    }
}
