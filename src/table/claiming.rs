//! Claiming a replica for a request.

use std::sync::Arc;

use rand::Rng;

use super::{InFlight, PoolId, Published, Replica, Sharing, Table};
use crate::{
    name::{InstanceId, Number},
    policy::{Candidates, Load, Rank, Request},
    ring::Ring,
};

/// Why nobody was claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unclaimed {
    /// Nobody serves who was not tried.
    Nobody,
    /// Each of those has as much in flight as it may have, or others wait for them already.
    Full,
    /// So has each, and as many wait as may. After so many seconds the line should have moved.
    Crowded(u64),
    /// The request waited for as long as it may. The same.
    Late(u64),
}

/// The seats of a table as one request sees them.
struct Open<'a> {
    table: &'a Table,
    id: u64,
    tried: &'a [InstanceId],
}

/// The replica that a request prefers to all others.
enum Preferred<'a> {
    /// It may have the request.
    Free(&'a Arc<Replica>),
    /// It has as much in flight as it may have.
    Full,
    /// There is none, or something speaks against it.
    Nobody,
}

impl Published {
    /// Claims the candidate of this pool that its policy chooses among those that are none of `tried` and may have one more
    /// in flight: one that nothing speaks against, else one that the least speaks against. The replica of the `preferred`
    /// number goes first whatever the policy, unless it is suspected or ejected.
    pub fn claim<R: Rng>(
        &self,
        pool: PoolId,
        mut request: Request<'_, R>,
        preferred: Option<Number>,
        tried: &[InstanceId],
    ) -> Result<InFlight, Unclaimed> {
        loop {
            let epoch = self.epoch();
            let snapshot = self.load();
            let table = snapshot.table(pool).ok_or(Unclaimed::Nobody)?;
            let open = Open { table, id: request.id, tried };
            let preferred = open.preferred(preferred);
            let chosen = match preferred {
                Preferred::Free(replica) => Some(replica),
                Preferred::Full | Preferred::Nobody => open.choose(&mut request),
            };
            let Some(chosen) = chosen.filter(|chosen| open.is_for_us(chosen)) else {
                return Err(open.unclaimed());
            };
            let Sharing { is_measured, most, .. } = *table.sharing;
            let is_stand_in = matches!(preferred, Preferred::Full);
            let Some(mut claim) = InFlight::new(chosen, most, is_measured, is_stand_in) else {
                if most == usize::MAX {
                    return Err(Unclaimed::Full);
                }
                continue; // who has become full meanwhile is not chosen again
            };
            if self.epoch() == epoch {
                claim.prove();
                return Ok(claim);
            }
        }
    }
}

impl<'a> Open<'a> {
    /// Whether a request may have this one. Not where others wait for it already; nor where it is one to which others are
    /// preferred, and waiting for one of those spares the request a failure.
    fn is_for_us(&self, chosen: &Replica) -> bool {
        let Some(queue) = &self.table.queue else { return true };
        let mut all = 0..self.table.seats.len();
        let is_sound = |position| self.untried(position).is_some_and(|replica| !replica.is_shunned());
        !(queue.is_waited_in() || queue.is_open() && chosen.is_shunned() && all.any(is_sound))
    }

    fn choose<R: Rng>(&self, request: &mut Request<'_, R>) -> Option<&'a Arc<Replica>> {
        let position = self.table.policy().choose(request, self)?;
        self.table.seats[position].as_ref()
    }

    fn preferred(&self, number: Option<Number>) -> Preferred<'a> {
        let Some(number) = number else { return Preferred::Nobody };
        let position = self.table.ring.members().binary_search_by_key(&number, |member| member.number);
        let replica = position.ok().and_then(|position| self.untried(position));
        match replica.filter(|replica| replica.rank(self.id) <= Rank::Warming) {
            Some(replica) if self.has_room(replica) => Preferred::Free(replica),
            Some(_) => Preferred::Full,
            None => Preferred::Nobody,
        }
    }

    /// Whether it may have one more in flight.
    fn has_room(&self, replica: &Replica) -> bool {
        let most = self.table.sharing.most;
        most == usize::MAX || replica.in_flight() < most
    }

    /// The one who sits here and was not tried.
    fn untried(&self, position: usize) -> Option<&'a Arc<Replica>> {
        let replica = self.table.seats[position].as_ref();
        replica.filter(|replica| !self.tried.contains(&replica.instance) && !replica.is_given_up())
    }

    #[cold]
    fn unclaimed(&self) -> Unclaimed {
        let is_there = (0..self.table.seats.len()).any(|position| self.untried(position).is_some());
        if is_there { Unclaimed::Full } else { Unclaimed::Nobody }
    }
}

impl Candidates for Open<'_> {
    fn ring(&self) -> &Ring {
        &self.table.ring
    }

    fn rank(&self, position: usize) -> Option<Rank> {
        let replica = self.untried(position)?;
        self.has_room(replica).then(|| replica.rank(self.id))
    }

    fn load(&self, position: usize) -> &Load {
        self.table.seats[position].as_ref().expect("asked only where someone sits").load()
    }
}
