//! `rendezvous`: the one of the least cost by rendezvous hashing, without the ring's slots.

use rand::Rng;

use super::{Candidates, Choose, Request, Settings, peers::Peers};
use crate::ring::rendezvous_cost;

/// Remembers nothing.
#[derive(Debug)]
pub(super) struct Rendezvous;

impl Choose for Rendezvous {
    fn new(_: &Settings) -> Self {
        Rendezvous
    }

    fn choose<C: Candidates, R: Rng>(&self, request: &mut Request<'_, R>, candidates: &C) -> Option<usize> {
        let peers = Peers::of(candidates)?;
        let members = candidates.ring().members();
        Some(peers.least(|position| rendezvous_cost(request.id, &members[position])))
    }
}
