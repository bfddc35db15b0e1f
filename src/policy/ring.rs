//! `ring`: the first on the ring that is as good as any.

use rand::Rng;

use super::{Candidates, Choose, Rank, Request, Settings};

/// Remembers nothing.
#[derive(Debug)]
pub(super) struct Clockwise;

impl Choose for Clockwise {
    fn new(_: &Settings) -> Self {
        Clockwise
    }

    fn choose<C: Candidates, R: Rng>(&self, request: &mut Request<'_, R>, candidates: &C) -> Option<usize> {
        first(request.id, candidates, |_| true)
    }
}

/// The first on the ring that nothing speaks against and that `has_room`, else the first of those that the least speaks
/// against. Where the first on the ring is sound, this is one read of a table.
pub(super) fn first<C: Candidates>(
    id: u64,
    candidates: &C,
    has_room: impl Fn(usize) -> bool,
) -> Option<usize> {
    let mut best: Option<(Rank, usize)> = None;
    for position in candidates.ring().route(id) {
        let Some(rank) = candidates.rank(position) else { continue };
        if rank == Rank::Sound && has_room(position) {
            return Some(position);
        }
        if best.is_none_or(|(least, _)| rank < least) {
            best = Some((rank, position));
        }
    }
    best.map(|(_, position)| position)
}
