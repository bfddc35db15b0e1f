//! The ring against `golden/vectors.json`, which `golden/make.py` works out from the formulas alone.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Vectors {
    ids: Vec<u64>,
    keys: Vec<(String, u64)>,
    /// Hash, slots, and for each of `ids` its slot.
    requests: Vec<(String, u32, Vec<u32>)>,
    /// Hash, slots, and values modulo the slots.
    servers: Vec<(String, u32, Vec<Phi>)>,
    /// Number, k, slot, and what they rank.
    ranks: Vec<(u16, u32, u32, u64)>,
    r#virtual: Vec<VirtualTable>,
    full: Vec<FullTable>,
}

/// i, j and Φ(i, j).
type Phi = (u16, u32, u32);

#[derive(Deserialize)]
struct VirtualTable {
    hash: String,
    probing: String,
    slots: u32,
    r#virtual: u32,
    members: Vec<(u16, u8)>,
    occupied: Vec<(u32, u16)>,
    /// For each number, how many of the ids 100000 to 999999 it gets.
    counts: Vec<(u16, u32)>,
    /// For each of `ids` its slot, then the numbers in order.
    routes: Vec<Vec<u32>>,
}

#[derive(Deserialize)]
struct FullTable {
    slots: u32,
    slack: String,
    members: Vec<(u16, u8)>,
    owners: Vec<u16>,
    routes: Vec<Vec<u32>>,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("golden/vectors.json")).expect("make.py writes what is read here")
}

fn number(number: u16) -> Number {
    Number::new(number).expect("not 0")
}

fn ring(members: &[(u16, u8)], spec: &Spec) -> Ring {
    let member = |&(n, weight)| Member { number: number(n), weight: Weight::new(weight).expect("1 to 100") };
    let members: Vec<Member> = members.iter().map(member).collect();
    Ring::build(&members, spec).expect("fits")
}

fn number_at(ring: &Ring, position: usize) -> u16 {
    ring.members()[position].number.get()
}

fn assert_routes(ring: &Ring, ids: &[u64], expected: &[Vec<u32>]) {
    for (&id, expected) in ids.iter().zip(expected) {
        let order = ring.route(id).map(|position| number_at(ring, position).into());
        let found: Vec<u32> = std::iter::once(ring.slot(id)).chain(order).collect();
        assert_eq!(&found, expected, "the route of {id} by {:?}", ring.spec());
    }
}

#[test]
fn keys_have_the_golden_ids() {
    for (key, id) in vectors().keys {
        assert_eq!(id_of_key(key.as_bytes()), id, "{key}");
    }
}

#[test]
fn the_hash_functions_give_the_golden_values() {
    let vectors = vectors();
    for (hash, slots, expected) in &vectors.requests {
        let hash: Hash = hash.parse().expect(hash);
        let found: Vec<u32> = vectors.ids.iter().map(|&id| hash.request(id, *slots)).collect();
        assert_eq!(&found, expected, "H by {hash} modulo {slots}");
    }
    for (hash, slots, values) in vectors.servers {
        let hash: Hash = hash.parse().expect(&hash);
        for (i, j, expected) in values {
            assert_eq!(hash.server(number(i), j, slots), expected, "Φ({i}, {j}) by {hash} modulo {slots}");
        }
    }
}

#[test]
fn ranks_are_the_golden_hashes_of_number_k_and_slot() {
    for (n, k, slot, expected) in vectors().ranks {
        let member = Member { number: number(n), weight: Weight::ONE };
        assert_eq!(quota::value(quota::ticket(&member, k), slot), expected, "{n}, {k}, {slot}");
    }
}

#[test]
fn virtual_servers_sit_in_the_golden_slots_and_routes_are_the_golden_ones() {
    let vectors = vectors();
    for table in &vectors.r#virtual {
        let spec = Spec {
            slots: table.slots,
            placement: Virtual::Count(table.r#virtual),
            probing: table.probing.parse().expect("a probing"),
            hash: table.hash.parse().expect("a hash"),
            slack: Slack::ZERO,
        };
        let ring = ring(&table.members, &spec);
        let sits = |slot| Some((slot, number_at(&ring, ring.placed(slot)?)));
        let occupied: Vec<(u32, u16)> = (0..table.slots).filter_map(sits).collect();
        assert_eq!(occupied, table.occupied, "{spec:?}");
        assert_routes(&ring, &vectors.ids, &table.routes);
        let mut counts = BTreeMap::<u16, u32>::new();
        for first in (100_000..=999_999).filter_map(|id| ring.route(id).next()) {
            *counts.entry(number_at(&ring, first)).or_default() += 1;
        }
        assert!(counts.into_iter().eq(table.counts.iter().copied()), "{spec:?}");
    }
}

#[test]
fn full_rings_are_those_of_naive_deferred_acceptance() {
    let vectors = vectors();
    for table in &vectors.full {
        let slack = table.slack.parse().expect("a slack");
        let spec = Spec { slots: table.slots, slack, ..Spec::default() };
        let ring = ring(&table.members, &spec);
        let owner = |slot| number_at(&ring, ring.owner(slot).expect("not empty"));
        let owners: Vec<u16> = (0..table.slots).map(owner).collect();
        assert_eq!(owners, table.owners, "{:?} with slack {slack}", table.members);
        assert!((0..table.slots).all(|slot| ring.placed(slot) == ring.owner(slot)));
        assert_routes(&ring, &vectors.ids, &table.routes);
    }
}
