//! The `full` placement: every slot has an owner, by rendezvous hashing with quotas.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::{Member, NOBODY, Position, Slack, Spec};

/// A slot and one member that it might belong to. The greatest is the one that both like most: the highest value,
/// then the smaller position (and so the smaller number), then the smaller slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pair {
    value: u64,
    position: Reverse<Position>,
    slot: Reverse<u32>,
}

/// One of a member's chances at every slot; a member has as many as its weight.
struct Chance {
    /// The number and k, as they stand in the hashed bytes.
    ticket: u64,
    position: Position,
}

/// The owner of every slot. Members are sorted by number.
///
/// Each slot ranks the members by hash, highest first (rendezvous hashing: Thaler and Ravishankar, IEEE/ACM
/// Transactions on Networking 6(1), 1998), each member ranks the slots by the same hash, and owns at most its quota.
/// The result is what deferred acceptance (Gale and Shapley, American Mathematical Monthly 69, 1962) ends with.
/// Because both sides rank by one order of pairs, there is only one such result, and it needs no refusals after an
/// acceptance: whichever remaining pair is the greatest, neither half can do better, so it is final.
///
/// Takes slots × the sum of the weights hashes, and few more: a slot is ranked again only when its choice is full. So
/// nearly all pairs are there at the beginning, and sorting them is cheaper than a heap of all.
pub(super) fn fill(members: &[Member], spec: &Spec) -> Box<[Position]> {
    let mut owners = vec![NOBODY; spec.slots as usize];
    let mut room = quotas(members, spec.slots, spec.slack);
    let mut open = chances(members);
    open.retain(|chance| room[usize::from(chance.position)] > 0);
    let mut first: Vec<Pair> = (0..spec.slots).filter_map(|slot| choice(&open, slot)).collect();
    first.sort_unstable();
    let mut later: BinaryHeap<Pair> = BinaryHeap::new();
    while let Some(pair) = if later.peek() > first.last() { later.pop() } else { first.pop() } {
        let room = &mut room[pair.position()];
        if *room == 0 {
            later.push(choice(&open, pair.slot.0).expect("the quotas add up to the slots at least"));
            continue;
        }
        owners[pair.slot.0 as usize] = pair.position.0;
        *room -= 1;
        if *room == 0 {
            open.retain(|chance| chance.position != pair.position.0);
        }
    }
    owners.into()
}

/// How a slot ranks all members, its owner among them, quotas aside: the greatest is the first choice.
pub(super) fn ranking(members: &[Member], slot: u32) -> BinaryHeap<Pair> {
    let rank = |(position, member): (Position, &Member)| {
        let values = (1..=member.weight.get().into()).map(|k| value(ticket(member, k), slot));
        let value = values.max().expect("a weight is at least 1");
        Pair { value, position: Reverse(position), slot: Reverse(slot) }
    };
    (0..).zip(members).map(rank).collect()
}

impl Pair {
    /// The member's position.
    pub(super) fn position(&self) -> usize {
        self.position.0.into()
    }
}

/// How many slots each member may own: its weight's part of the slots, times 1 + slack, rounded up. Without slack by
/// largest remainder, ties to the smaller number. They add up to the number of slots at least.
fn quotas(members: &[Member], slots: u32, slack: Slack) -> Vec<u32> {
    let total: u64 = members.iter().map(|member| u64::from(member.weight.get())).sum();
    let shares = members.iter().map(|member| u64::from(slots) * u64::from(member.weight.get()));
    if slack == Slack::ZERO {
        return by_largest_remainder(shares.collect(), total, slots);
    }
    let million = 1_000_000;
    let stretched =
        |share: u64| (share * (million + u64::from(slack.millionths()))).div_ceil(total * million);
    shares.map(|share| stretched(share) as u32).collect()
}

/// Divides the slots in the proportion of `shares`, which are `total` times too large.
fn by_largest_remainder(shares: Vec<u64>, total: u64, slots: u32) -> Vec<u32> {
    let mut quotas: Vec<u32> = shares.iter().map(|share| (share / total) as u32).collect();
    let mut order: Vec<usize> = (0..shares.len()).collect();
    order.sort_by_key(|&position| Reverse(shares[position] % total)); // stable, so ties stay in order
    let left = slots - quotas.iter().sum::<u32>();
    for &position in order.iter().take(left as usize) {
        quotas[position] += 1;
    }
    quotas
}

fn chances(members: &[Member]) -> Vec<Chance> {
    let of_one = |(position, member): (Position, &Member)| {
        let member = *member;
        (1..=member.weight.get().into()).map(move |k| Chance { ticket: ticket(&member, k), position })
    };
    (0..).zip(members).flat_map(of_one).collect()
}

pub(super) fn ticket(member: &Member, k: u32) -> u64 {
    u64::from(member.number.get()) | u64::from(k) << 32
}

/// The slot's highest chance; of equal ones the first.
fn choice(open: &[Chance], slot: u32) -> Option<Pair> {
    let (first, rest) = open.split_first()?;
    let (mut best, mut highest) = (first, value(first.ticket, slot));
    for chance in rest {
        let value = value(chance.ticket, slot);
        if value > highest {
            (best, highest) = (chance, value);
        }
    }
    Some(Pair { value: highest, position: Reverse(best.position), slot: Reverse(slot) })
}

/// XXH3-64 with seed 0 of 12 bytes: the number, k and the slot, each in 4, little-endian; k runs from 1 to the weight.
///
/// That function's case of 9 to 16 bytes (xxHash, doc/xxhash_spec.md), written out since a ring takes millions of them:
/// four times as fast as the general one.
#[inline]
pub(super) fn value(ticket: u64, slot: u32) -> u64 {
    /// The algorithm's secret, of which it combines four words.
    const SECRET: [u64; 4] =
        [0x1f67_b3b7_a4a4_4072, 0x78e5_c0cc_4ee6_79cb, 0x2172_ffcc_7dd0_5a82, 0x8e24_43f7_7446_08b8];
    const LENGTH: u64 = 12;
    const PRIME: u64 = 0x1656_6791_9e37_79f9;
    let (first, last) = (ticket, ticket >> 32 | u64::from(slot) << 32); // the first eight bytes, the last eight
    let low = first ^ SECRET[0] ^ SECRET[1];
    let high = last ^ SECRET[2] ^ SECRET[3];
    let product = u128::from(low) * u128::from(high);
    let folded = product as u64 ^ (product >> 64) as u64;
    let sum = LENGTH.wrapping_add(low.swap_bytes()).wrapping_add(high).wrapping_add(folded);
    let mixed = (sum ^ sum >> 37).wrapping_mul(PRIME);
    mixed ^ mixed >> 32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use xxhash_rust::xxh3::xxh3_64;

    use super::*;

    proptest! {
        #[test]
        fn a_value_is_xxh3_64_of_its_twelve_bytes(ticket: u64, slot: u32) {
            let bytes = [&ticket.to_le_bytes()[..], &slot.to_le_bytes()].concat();
            prop_assert_eq!(value(ticket, slot), xxh3_64(&bytes));
        }
    }
}
