//! Rendezvous hashing: each member hashes the key with its number, and the greatest hash wins (Thaler and Ravishankar,
//! IEEE/ACM Transactions on Networking 6(1), 1998), weighted by the logarithm (Schindelhauer and Schomaker, SPAA 2005).

use xxhash_rust::xxh3::xxh3_64;

use super::Member;
use crate::name::Number;

/// What this member costs a request with this id: the one of the least cost has it, of equal ones that of the least number.
/// It is −ln u / w, where u is the hash as a number between 0 and 1, and w the weight.
pub fn rendezvous_cost(id: u64, member: &Member) -> f64 {
    -uniform(id, member.number).ln() / f64::from(member.weight.get())
}

/// A number between 0 and 1, neither of them: XXH3-64 (seed 0) of the id in 8 bytes and the number in 2, little-endian.
fn uniform(id: u64, number: Number) -> f64 {
    let mut bytes = [0; 10];
    bytes[..8].copy_from_slice(&id.to_le_bytes());
    bytes[8..].copy_from_slice(&number.get().to_le_bytes());
    const PLACES: u32 = 52; // so that a half more is exact
    ((xxh3_64(&bytes) >> (u64::BITS - PLACES)) as f64 + 0.5) / (1u64 << PLACES) as f64
}
