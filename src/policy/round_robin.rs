//! `round-robin`: one after the other.

use rand::Rng;

use super::{Candidates, Choose, Request, Settings, Turns, peers::Peers};

/// Whose turn it is. Each choice takes one, on whatever core.
#[derive(Debug)]
pub(super) struct RoundRobin {
    turns: Turns,
}

impl Choose for RoundRobin {
    fn new(_: &Settings) -> Self {
        RoundRobin { turns: Turns::default() }
    }

    fn choose<C: Candidates, R: Rng>(&self, _: &mut Request<'_, R>, candidates: &C) -> Option<usize> {
        let peers = Peers::of(candidates)?;
        Some(peers.at(self.turns.next()))
    }
}
