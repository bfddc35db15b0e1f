//! Those among whom a policy chooses by itself: the candidates of the best rank that there is.

use super::{Candidates, Rank};

/// The candidates of one rank, of which none is better. There was one at least when they were looked for; should all be
/// gone the next moment, that one is chosen all the same.
pub(super) struct Peers<'a, C> {
    candidates: &'a C,
    rank: Rank,
    first: usize,
}

impl<'a, C: Candidates> Peers<'a, C> {
    /// `None` where nobody may be chosen.
    pub(super) fn of(candidates: &'a C) -> Option<Self> {
        let mut best: Option<(Rank, usize)> = None;
        for position in 0..candidates.ring().members().len() {
            let Some(rank) = candidates.rank(position) else { continue };
            if best.is_none_or(|(least, _)| rank < least) {
                best = Some((rank, position));
            }
            if rank == Rank::Sound {
                break;
            }
        }
        best.map(|(rank, first)| Peers { candidates, rank, first })
    }

    /// Their positions, ascending.
    pub(super) fn positions(&self) -> impl Iterator<Item = usize> {
        let all = self.first..self.candidates.ring().members().len();
        all.filter(|position| self.candidates.rank(*position) == Some(self.rank))
    }

    /// The weight of the one at this position.
    pub(super) fn weight(&self, position: usize) -> f64 {
        self.candidates.ring().members()[position].weight.get().into()
    }

    /// What the one at this position has in flight, for its weight.
    pub(super) fn busyness(&self, position: usize) -> f64 {
        self.candidates.load(position).in_flight() as f64 / self.weight(position)
    }

    /// The one of this turn, where each has one turn in so many as they are.
    pub(super) fn at(&self, turn: u64) -> usize {
        let count = self.positions().count().max(1);
        self.positions().nth((turn % count as u64) as usize).unwrap_or(self.first)
    }

    /// Their weights laid end to end, the one at `place`, which is told how long that is. Those that `is_left_out` says
    /// are not among them; `None` where it says all.
    pub(super) fn by_weight(
        &self,
        place: impl FnOnce(u64) -> u64,
        is_left_out: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let shares =
            || self.positions().filter(|at| !is_left_out(*at)).map(|at| (at, self.weight(at) as u64));
        let length: u64 = shares().map(|(_, share)| share).sum();
        let mut place = if length > 0 { place(length) } else { return None };
        let mut last = None;
        for (position, share) in shares() {
            last = Some(position);
            match place.checked_sub(share) {
                Some(beyond) => place = beyond,
                None => break,
            }
        }
        last
    }

    /// The one of the least cost; of equal ones the first.
    pub(super) fn least(&self, cost: impl Fn(usize) -> f64) -> usize {
        let costs = self.positions().map(|position| (cost(position), position));
        let least = costs.reduce(|least, next| if next.0 < least.0 { next } else { least });
        least.map_or(self.first, |(_, position)| position)
    }
}
