//! `power-of-two`: two are drawn, and the less busy one of them is chosen (Mitzenmacher, "The power of two choices in
//! randomized load balancing", IEEE Transactions on Parallel and Distributed Systems 12(10), 2001).

use rand::Rng;

use super::{Candidates, Choose, Request, Settings, peers::Peers, random::draw};

/// Remembers nothing.
#[derive(Debug)]
pub(super) struct PowerOfTwo;

impl Choose for PowerOfTwo {
    fn new(_: &Settings) -> Self {
        PowerOfTwo
    }

    /// Both are drawn by weight, and of equally busy ones the first is chosen: so with little to do the weights hold, and
    /// with much each has in flight what its weight says.
    fn choose<C: Candidates, R: Rng>(&self, request: &mut Request<'_, R>, candidates: &C) -> Option<usize> {
        let peers = Peers::of(candidates)?;
        let one = draw(request.rng, &peers, |_| false)?;
        let Some(other) = draw(request.rng, &peers, |position| position == one) else { return Some(one) };
        Some(if peers.busyness(other) < peers.busyness(one) { other } else { one })
    }
}
