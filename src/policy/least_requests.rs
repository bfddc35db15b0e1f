//! `least-requests`: the one that has the fewest in flight, for its weight.

use rand::Rng;

use super::{Candidates, Choose, Request, Settings, Turns, peers::Peers};

/// Whose turn it is among those that have equally few.
#[derive(Debug)]
pub(super) struct LeastRequests {
    turns: Turns,
}

impl Choose for LeastRequests {
    fn new(_: &Settings) -> Self {
        LeastRequests { turns: Turns::default() }
    }

    /// Of equally busy ones each has as many turns as its weight says.
    fn choose<C: Candidates, R: Rng>(&self, _: &mut Request<'_, R>, candidates: &C) -> Option<usize> {
        let peers = Peers::of(candidates)?;
        let least = peers.least(|position| peers.busyness(position));
        let most = peers.busyness(least);
        let turn = peers.by_weight(|length| self.turns.next() % length, |at| peers.busyness(at) > most);
        Some(turn.unwrap_or(least))
    }
}
