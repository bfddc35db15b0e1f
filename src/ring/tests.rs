//! Properties of the ring.

use proptest::{prelude::*, sample::subsequence};

use super::*;

fn fleet(numbers: impl IntoIterator<Item = u16>) -> Vec<Member> {
    numbers.into_iter().filter_map(Number::new).map(|number| Member { number, weight: Weight::ONE }).collect()
}

fn build(members: &[Member], spec: &Spec) -> Ring {
    Ring::build(members, spec).expect("the members fit")
}

/// For each slot the number of its owner.
fn owners(ring: &Ring) -> Vec<u16> {
    let owner = |slot| ring.members()[ring.owner(slot).expect("not empty")].number.get();
    (0..ring.spec().slots).map(owner).collect()
}

/// How many slots each member owns.
fn owned(ring: &Ring) -> Vec<u32> {
    let mut counts = vec![0; ring.members().len()];
    for owner in (0..ring.spec().slots).filter_map(|slot| ring.owner(slot)) {
        counts[owner] += 1;
    }
    counts
}

fn specs() -> impl Strategy<Value = Spec> {
    let hash = prop_oneof![
        Just(Hash::QUADRATIC),
        Just(Hash::PRIME),
        Just(Hash::Sha256),
        Just(Hash::Xxh3),
        any::<([u32; 3], [u32; 4])>()
            .prop_map(|(request, server)| Hash::Polynomial(Polynomial { request, server })),
    ];
    let placement = prop_oneof![(1_u32..12).prop_map(Virtual::Count), Just(Virtual::Full)];
    let probing = prop_oneof![Just(Probing::Linear), Just(Probing::Quadratic)];
    let slack = (0..=1_000_000_u32).prop_filter_map("at most 1", Slack::from_millionths);
    (12_u32..700, placement, probing, hash, prop_oneof![Just(Slack::ZERO), slack])
        .prop_map(|(slots, placement, probing, hash, slack)| Spec { slots, placement, probing, hash, slack })
}

/// Members of different numbers and of any weights, in any order.
fn members() -> impl Strategy<Value = Vec<Member>> {
    let weighted = (1_u16.., prop_oneof![Just(1_u8), 1_u8..=100]);
    proptest::collection::btree_map(weighted.0, weighted.1, 0..20)
        .prop_map(|map| {
            let member = |(n, w)| Some(Member { number: Number::new(n)?, weight: Weight::new(w)? });
            map.into_iter().filter_map(member).collect::<Vec<_>>()
        })
        .prop_shuffle()
}

proptest! {
    #[test]
    fn the_order_of_joining_does_not_matter(
        (some, again) in members().prop_flat_map(|some| (Just(some.clone()), Just(some).prop_shuffle())),
        spec in specs(),
    ) {
        prop_assert_eq!(Ring::build(&some, &spec), Ring::build(&again, &spec));
    }

    #[test]
    fn a_route_names_every_member_once_and_the_owner_first(some in members(), spec in specs(), id: u64) {
        let Ok(ring) = Ring::build(&some, &spec) else { return Ok(()) };
        let route = ring.route(id);
        prop_assert_eq!(route.len(), some.len());
        let mut order: Vec<usize> = route.collect();
        prop_assert_eq!(order.first().copied(), ring.owner(ring.slot(id)));
        order.sort_unstable();
        prop_assert!(order.into_iter().eq(0..some.len()));
    }

    #[test]
    fn members_are_refused_exactly_if_they_need_more_slots_than_there_are(some in members(), spec in specs()) {
        let weights: u64 = some.iter().map(|member| u64::from(member.weight.get())).sum();
        let needed = match spec.placement {
            Virtual::Count(count) => u64::from(count) * weights,
            Virtual::Full => some.len() as u64,
        };
        let full = Err(RingError::Full { needed, slots: spec.slots });
        let built = Ring::build(&some, &spec);
        prop_assert_eq!(built == full, needed > spec.slots.into());
        prop_assert_eq!(built.is_ok(), needed <= spec.slots.into());
    }

    #[test]
    fn the_route_of_a_ring_without_slack_or_quotas_is_what_is_left_when_members_go(
        (all, left) in members().prop_flat_map(|all| {
            let count = 0..=all.len();
            (Just(all.clone()), subsequence(all, count))
        }),
        slot in 0_u32..1000,
    ) {
        let order = |members: &[Member]| {
            let mut ranking = quota::ranking(members, slot);
            std::iter::from_fn(move || Some(members[ranking.pop()?.position()])).collect::<Vec<_>>()
        };
        let mut kept = order(&all);
        kept.retain(|member| left.contains(member));
        prop_assert_eq!(order(&left), kept);
    }

    #[test]
    fn without_slack_the_shares_of_equal_members_differ_by_one_slot_at_most(count in 1_u16..60, slots in 60_u32..3000) {
        let counts = owned(&build(&fleet(1..=count), &Spec { slots, slack: Slack::ZERO, ..Spec::default() }));
        let (least, most) = (counts.iter().min().expect("not empty"), counts.iter().max().expect("not empty"));
        prop_assert!(most - least <= 1, "{:?}", counts);
    }

    #[test]
    fn without_slack_a_share_is_within_one_slot_of_the_weight_s_part(some in members(), slots in 20_u32..3000) {
        let ring = build(&some, &Spec { slots, slack: Slack::ZERO, ..Spec::default() });
        let total: u64 = some.iter().map(|member| u64::from(member.weight.get())).sum();
        for (member, owned) in ring.members().iter().zip(owned(&ring)) {
            let exact = u64::from(slots) * u64::from(member.weight.get());
            prop_assert!((u64::from(owned) * total).abs_diff(exact) < total, "{:?} owns {}", member, owned);
        }
    }
}

#[test]
fn an_empty_ring_leads_nowhere() {
    for spec in [Spec::default(), Spec::assignment()] {
        let ring = build(&[], &spec);
        assert_eq!(ring.route(132_574).next(), None);
        assert_eq!((ring.owner(0), ring.placed(0)), (None, None));
    }
}

#[test]
fn two_members_of_one_number_are_refused() {
    let heavy = Member { number: fleet([2])[0].number, weight: Weight::new(9).expect("1 to 100") };
    let twice = [fleet([1, 2]), vec![heavy]].concat();
    assert_eq!(Ring::build(&twice, &Spec::default()), Err(RingError::Duplicate(heavy.number)));
}

#[test]
fn a_ring_takes_its_capacity_and_says_so_when_it_is_full() {
    for probing in [Probing::Linear, Probing::Quadratic] {
        for slots in [500, 504, 512] {
            let spec = Spec { slots, probing, ..Spec::assignment() };
            let fit = spec.capacity() as u16;
            assert_eq!(build(&fleet(1..=fit), &spec).members().len(), usize::from(fit));
            let error = Ring::build(&fleet(1..=fit + 1), &spec).expect_err("one too many").to_string();
            let needed = 9 * (fit + 1);
            assert_eq!(error, format!("the ring is full: its members need {needed} slots, it has {slots}"));
        }
    }
}

/// 1 to 10, 16, 32, 64 and 100 members.
fn sizes() -> impl Iterator<Item = u16> {
    (1..=10).chain([16, 32, 64, 100])
}

#[test]
fn by_default_the_busiest_of_a_hundred_gets_at_most_1_1_per_cent_more_than_the_mean() {
    for count in sizes() {
        let ring = build(&fleet(1..=count), &Spec::default());
        let busiest = f64::from(*owned(&ring).iter().max().expect("not empty"));
        let ratio = busiest * f64::from(count) / f64::from(ring.spec().slots);
        println!("{count} members: busiest over mean {ratio:.5}");
        assert!(ratio <= 1.011, "{count} members: {ratio}");
    }
}

/// Over the twelve sets of numbers 1 to 100, 1001 to 1100, … 11001 to 11100 the mean is 1.065.
#[test]
fn by_default_a_join_or_a_leave_moves_little_more_than_the_share_of_that_one() {
    let bound = |count| {
        if count <= 10 {
            1.005
        } else if count <= 32 {
            1.02
        } else {
            1.07
        }
    };
    for count in sizes().filter(|count| *count > 1) {
        let ratio = moved_over_share(count);
        println!("{count} members: moved over share {ratio:.5}");
        assert!(ratio <= bound(count), "{count} members: {ratio}");
    }
}

/// The slots that change their owner when one of `count` members leaves, over those that it owned; of ten who may
/// leave, or of all if there are fewer. A join is a leave read backwards.
fn moved_over_share(count: u16) -> f64 {
    let before = owners(&build(&fleet(1..=count), &Spec::default()));
    let (mut moved, mut share) = (0, 0);
    for gone in (1..=count).step_by(usize::from(count).div_ceil(10)) {
        let after = owners(&build(&fleet((1..=count).filter(|n| *n != gone)), &Spec::default()));
        moved += before.iter().zip(&after).filter(|(before, after)| before != after).count();
        share += before.iter().filter(|owner| **owner == gone).count();
    }
    f64::from(moved as u32) / f64::from(share as u32)
}
