//! `rendezvous`: each replica hashes the key with its number, and the greatest hash wins (Thaler and Ravishankar, IEEE/ACM
//! Transactions on Networking 6(1), 1998), weighted by the logarithm (Schindelhauer and Schomaker, SPAA 2005).

use rand::Rng;
use xxhash_rust::xxh3::xxh3_64;

use super::{Candidates, Choose, Request, Settings, peers::Peers};
use crate::name::Number;

/// Remembers nothing.
#[derive(Debug)]
pub(super) struct Rendezvous;

impl Choose for Rendezvous {
    fn new(_: &Settings) -> Self {
        Rendezvous
    }

    /// The one of the greatest −w / ln u, where u is the hash as a number between 0 and 1.
    fn choose<C: Candidates, R: Rng>(&self, request: &mut Request<'_, R>, candidates: &C) -> Option<usize> {
        let peers = Peers::of(candidates)?;
        let members = candidates.ring().members();
        let cost =
            |position: usize| -uniform(request.id, members[position].number).ln() / peers.weight(position);
        Some(peers.least(cost))
    }
}

/// A number between 0 and 1, neither of them: XXH3-64 (seed 0) of the id in 8 bytes and the number in 2, little-endian.
fn uniform(id: u64, number: Number) -> f64 {
    let mut bytes = [0; 10];
    bytes[..8].copy_from_slice(&id.to_le_bytes());
    bytes[8..].copy_from_slice(&number.get().to_le_bytes());
    const PLACES: u32 = 52; // so that a half more is exact
    ((xxh3_64(&bytes) >> (u64::BITS - PLACES)) as f64 + 0.5) / (1u64 << PLACES) as f64
}
