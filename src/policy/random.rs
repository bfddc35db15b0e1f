//! `random`: any, each as often as its weight says.

use rand::{Rng, RngExt};

use super::{Candidates, Choose, Request, Settings, peers::Peers};

/// Remembers nothing.
#[derive(Debug)]
pub(super) struct Random;

impl Choose for Random {
    fn new(_: &Settings) -> Self {
        Random
    }

    fn choose<C: Candidates, R: Rng>(&self, request: &mut Request<'_, R>, candidates: &C) -> Option<usize> {
        draw(request.rng, &Peers::of(candidates)?, |_| false)
    }
}

/// Draws one by weight from those that are not left out.
pub(super) fn draw<C: Candidates>(
    rng: &mut impl Rng,
    peers: &Peers<'_, C>,
    is_left_out: impl Fn(usize) -> bool,
) -> Option<usize> {
    peers.by_weight(|length| rng.random_range(0..length), is_left_out)
}
