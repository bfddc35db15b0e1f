//! `weighted-round-robin`: one after the other, each as often as its weight says, and not in a row.
//!
//! The idea is nginx's "smooth weighted round-robin": at each choice everyone is credited with his weight; who has the most
//! is chosen, and pays for all.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use rand::Rng;

use super::{Candidates, Choose, Request, Settings, peers::Peers};

/// What one has been credited with and has not paid: how far it is behind what its weight entitles it to.
#[derive(Debug, Default)]
pub struct Credit(AtomicI64);

/// Remembers nothing: the credits are the candidates'.
#[derive(Debug)]
pub(super) struct Smooth;

impl Choose for Smooth {
    fn new(_: &Settings) -> Self {
        Smooth
    }

    /// Cores that choose in the same moment may choose the same one; that is paid for, so the next are others.
    fn choose<C: Candidates, R: Rng>(&self, _: &mut Request<'_, R>, candidates: &C) -> Option<usize> {
        let peers = Peers::of(candidates)?;
        let (mut price, mut richest): (i64, Option<(i64, usize)>) = (0, None);
        for position in peers.positions() {
            let weight = peers.weight(position) as i64;
            price += weight;
            let credit = candidates.load(position).credit().add(weight);
            if richest.is_none_or(|(most, _)| credit > most) {
                richest = Some((credit, position));
            }
        }
        let chosen = richest.map_or_else(|| peers.at(0), |(_, position)| position);
        candidates.load(chosen).credit().add(-price);
        Some(chosen)
    }
}

impl Credit {
    fn add(&self, credit: i64) -> i64 {
        self.0.fetch_add(credit, Relaxed) + credit
    }
}
