//! What holds of the policies, each and all.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{Bound, Candidates, Kind, Load, Policy, Rank, Request, Settings, peers::Peers, random::draw};
use crate::{
    name::Number,
    ring::{Member, Ring, Spec, Weight},
};

/// Candidates that are as a test says.
#[derive(Debug)]
struct Scene {
    ring: Ring,
    ranks: Vec<Option<Rank>>,
    loads: Vec<Load>,
}

impl Candidates for Scene {
    fn ring(&self) -> &Ring {
        &self.ring
    }

    fn rank(&self, position: usize) -> Option<Rank> {
        self.ranks[position]
    }

    fn load(&self, position: usize) -> &Load {
        assert!(self.ranks[position].is_some(), "asked only where there is one");
        &self.loads[position]
    }
}

impl Scene {
    /// As many sound and idle candidates as there are weights.
    fn of(weights: &[u8]) -> Self {
        Scene::on(weights, &Spec { slots: 4099, ..Spec::default() })
    }

    fn on(weights: &[u8], spec: &Spec) -> Self {
        let member = |(number, weight): (u16, &u8)| Member {
            number: Number::new(number).unwrap(),
            weight: Weight::new(*weight).unwrap(),
        };
        let members: Vec<Member> = (1..).zip(weights).map(member).collect();
        let ring = Ring::build(&members, spec).unwrap();
        let loads = weights.iter().map(|_| Load::default()).collect();
        Scene { ring, ranks: vec![Some(Rank::Sound); weights.len()], loads }
    }

    fn busy(self, in_flight: &[usize]) -> Self {
        for (load, count) in self.loads.iter().zip(in_flight) {
            (0..*count).for_each(|_| assert!(load.begin(usize::MAX).is_some()));
        }
        self
    }

    /// What is in flight, by position.
    fn in_flight(&self) -> Vec<usize> {
        self.loads.iter().map(Load::in_flight).collect()
    }
}

fn policy(kind: Kind) -> Policy {
    Policy::new(&Settings { kind, ..Settings::default() })
}

fn choose(policy: &Policy, id: u64, scene: &Scene, rng: &mut StdRng) -> Option<usize> {
    policy.choose(&mut Request { id, now: Duration::ZERO, rng }, scene)
}

/// Who is chosen for each of so many requests of different keys, one after the other.
fn chosen(kind: Kind, scene: &Scene, requests: u64) -> Vec<usize> {
    let (policy, mut rng) = (policy(kind), StdRng::seed_from_u64(1));
    (0..requests)
        .map(|_| rng.random())
        .map(|id| choose(&policy, id, scene, &mut StdRng::seed_from_u64(id)).unwrap())
        .collect()
}

fn counts(chosen: &[usize]) -> BTreeMap<usize, usize> {
    chosen.iter().fold(BTreeMap::new(), |mut counts, position| {
        *counts.entry(*position).or_default() += 1;
        counts
    })
}

fn rank() -> impl Strategy<Value = Option<Rank>> {
    prop_oneof![
        4 => Just(Some(Rank::Sound)),
        1 => Just(Some(Rank::Warming)),
        1 => Just(Some(Rank::Ejected)),
        1 => Just(Some(Rank::Suspected)),
        1 => Just(None),
    ]
}

/// Candidates in any state: weight, rank and load of each.
fn scenes() -> impl Strategy<Value = Scene> {
    prop::collection::vec((1u8..6, rank(), 0usize..5), 0..9).prop_map(|rows| {
        let weights: Vec<u8> = rows.iter().map(|(weight, ..)| *weight).collect();
        let loads: Vec<usize> = rows.iter().map(|(.., load)| *load).collect();
        let mut scene = Scene::on(&weights, &Spec { slots: 101, ..Spec::default() }).busy(&loads);
        scene.ranks = rows.iter().map(|(_, rank, _)| *rank).collect();
        scene
    })
}

proptest! {
    #[test]
    fn whoever_goes_on_comes_to_each_candidate_once_the_best_ranks_first(
        mut scene in scenes(), id: u64, seed: u64, at in 0..Kind::ALL.len(),
    ) {
        let (policy, mut rng) = (policy(Kind::ALL[at]), StdRng::seed_from_u64(seed));
        let mut expected: Vec<Rank> = scene.ranks.iter().flatten().copied().collect();
        expected.sort_unstable();
        let mut order = Vec::new();
        while let Some(position) = choose(&policy, id, &scene, &mut rng) {
            order.push(scene.ranks[position].take().expect("one who may be chosen"));
        }
        prop_assert_eq!(order, expected);
    }

    #[test]
    fn of_two_drawn_the_worse_is_never_chosen(scene in scenes(), seed: u64) {
        let Some(peers) = Peers::of(&scene) else { return Ok(()) };
        let mut rng = StdRng::seed_from_u64(seed);
        let one = draw(&mut rng, &peers, |_| false).unwrap();
        let other = draw(&mut rng, &peers, |position| position == one);
        let chosen = choose(&policy(Kind::PowerOfTwo), 0, &scene, &mut StdRng::seed_from_u64(seed)).unwrap();
        prop_assert!(chosen == one || Some(chosen) == other);
        prop_assert!(peers.busyness(chosen) <= peers.busyness(one));
        prop_assert!(other.is_none_or(|other| other != one && peers.busyness(chosen) <= peers.busyness(other)));
    }

    #[test]
    fn with_bounded_loads_nobody_has_more_than_the_bound_says_and_a_first_with_room_is_chosen(
        weights in prop::collection::vec(1u8..6, 1..9), bound in 100u32..300, seed: u64,
    ) {
        let text = format!("{}.{:02}", bound / 100, bound % 100);
        let settings = Settings { kind: Kind::BoundedRing, bound: text.parse::<Bound>().unwrap() };
        let (policy, mut rng) = (Policy::new(&settings), StdRng::seed_from_u64(seed));
        let scene = Scene::on(&weights, &Spec { slots: 101, ..Spec::default() });
        let all: u64 = weights.iter().copied().map(u64::from).sum();
        for _ in 0..200 {
            let (id, before) = (rng.random_range(0..20), scene.in_flight());
            let total = before.iter().sum::<usize>() as u64 + 1;
            let room = |at: usize| {
                // load + 1 ≤ ⌈bound · total · weight / all⌉, which is load < bound · total · weight / all
                (before[at] as u64) * 100 * all < u64::from(bound) * total * u64::from(weights[at])
            };
            let first = scene.ring.route(id).find(|at| room(*at));
            let position = choose(&policy, id, &scene, &mut rng);
            prop_assert_eq!(position, first);
            assert!(scene.loads[position.expect("one has room")].begin(usize::MAX).is_some());
            if let Some(busy) = (0..weights.len()).find(|at| scene.loads[*at].in_flight() > 0).filter(|_| rng.random_bool(0.3)) {
                scene.loads[busy].end();
            }
        }
    }

    #[test]
    fn credits_come_out_even_in_every_window(weights in prop::collection::vec(1u8..8, 1..7)) {
        let (scene, length) = (Scene::of(&weights), weights.iter().copied().map(usize::from).sum::<usize>());
        let chosen = chosen(Kind::WeightedRoundRobin, &scene, 3 * length as u64);
        let expected: BTreeMap<usize, usize> = weights.iter().copied().map(usize::from).enumerate().collect();
        for window in chosen.windows(length) {
            prop_assert_eq!(&counts(window), &expected);
        }
    }
}

#[test]
fn a_policy_has_a_name_and_any_other_is_refused() {
    for kind in Kind::ALL {
        assert_eq!(kind.to_string().parse(), Ok(*kind));
        assert_eq!(policy(*kind).kind(), *kind);
    }
    let error = "fair".parse::<Kind>().unwrap_err().to_string();
    assert!(
        error.contains("'fair' is not a policy") && error.contains("bounded-ring, rendezvous"),
        "{error}"
    );
    let measured: Vec<_> = Kind::ALL.iter().filter(|kind| policy(**kind).measures()).collect();
    assert_eq!(measured, [&Kind::Ewma]);
}

#[test]
fn with_little_to_do_bounded_loads_are_the_ring_and_both_are_its_route() {
    let scene = Scene::of(&[1, 1, 1, 1]);
    for id in 0..2000 {
        let rng = &mut StdRng::seed_from_u64(id);
        let first = scene.ring.route(id).next();
        assert_eq!(choose(&policy(Kind::Ring), id, &scene, rng), first);
        assert_eq!(choose(&policy(Kind::BoundedRing), id, &scene, rng), first);
    }
}

#[test]
fn turns_are_exact_whoever_is_away() {
    let mut scene = Scene::of(&[1, 7, 1, 3]);
    let all = chosen(Kind::RoundRobin, &scene, 4000);
    assert_eq!(all[..5], [0, 1, 2, 3, 0]);
    assert!(counts(&all).values().all(|count| *count == 1000));
    scene.ranks[1] = None;
    scene.ranks[2] = Some(Rank::Suspected);
    assert_eq!(counts(&chosen(Kind::RoundRobin, &scene, 4000)), BTreeMap::from([(0, 2000), (3, 2000)]));
}

#[test]
fn turns_are_taken_by_all_cores_together() {
    let (scene, policy) = (Scene::of(&[1; 5]), policy(Kind::RoundRobin));
    let of_a_core = || {
        (0..10_000).map(|id| choose(&policy, id, &scene, &mut StdRng::seed_from_u64(id)).unwrap()).collect()
    };
    let chosen: Vec<Vec<usize>> = std::thread::scope(|scope| {
        let cores: Vec<_> = (0..4).map(|_| scope.spawn(of_a_core)).collect();
        cores.into_iter().map(|core| core.join().unwrap()).collect()
    });
    assert!(counts(&chosen.concat()).values().all(|count| *count == 8000));
}

#[test]
fn credits_are_paid_also_where_cores_choose_at_once() {
    let (scene, policy) = (Scene::of(&[5, 1, 2]), policy(Kind::WeightedRoundRobin));
    let of_a_core = || {
        (0..16_000).map(|id| choose(&policy, id, &scene, &mut StdRng::seed_from_u64(id)).unwrap()).collect()
    };
    let chosen: Vec<Vec<usize>> = std::thread::scope(|scope| {
        let cores: Vec<_> = (0..4).map(|_| scope.spawn(of_a_core)).collect();
        cores.into_iter().map(|core| core.join().unwrap()).collect()
    });
    for (position, expected) in [(0, 40_000), (1, 8_000), (2, 16_000)] {
        let count = counts(&chosen.concat())[&position];
        assert!(count.abs_diff(expected) <= 40, "{position}: {count}");
    }
}

#[test]
fn who_weighs_more_comes_often_and_not_in_a_row() {
    let scene = Scene::of(&[5, 1, 1]);
    assert_eq!(chosen(Kind::WeightedRoundRobin, &scene, 7), [0, 0, 1, 0, 2, 0, 0]);
}

#[test]
fn the_least_busy_is_chosen_and_of_equals_each_in_turn() {
    let scene = Scene::of(&[1, 1, 2, 1]).busy(&[3, 1, 2, 1]);
    let counts = counts(&chosen(Kind::LeastRequests, &scene, 4000));
    assert_eq!(counts, BTreeMap::from([(1, 1000), (2, 2000), (3, 1000)]), "2 for a weight of 2 is 1");
}

#[test]
fn who_answers_fast_is_chosen_until_enough_wait_there() {
    let scene = Scene::of(&[1, 1]);
    let ms = Duration::from_millis;
    let (policy, mut rng) = (policy(Kind::Ewma), StdRng::seed_from_u64(1));
    let mut next = || {
        let position = policy.choose(&mut Request { id: 0, now: ms(0), rng: &mut rng }, &scene).unwrap();
        assert!(scene.loads[position].begin(usize::MAX).is_some());
        position
    };
    assert_eq!([next(), next(), next(), next()], [0, 1, 0, 1], "nothing is known yet: one each");
    scene.loads[1].latency().note(ms(10), ms(0));
    assert_eq!([next(), next()], [1, 1], "who is known goes before who is not");
    scene.loads[0].latency().note(ms(40), ms(0));
    let chosen: Vec<usize> = (0..20).map(|_| next()).collect();
    assert_eq!(counts(&chosen)[&1], 17, "five times as many at a quarter of the time, with what was there");
}

#[test]
fn when_one_leaves_only_its_keys_move() {
    let mut scene = Scene::of(&[1, 2, 1, 3]);
    let owners = |scene: &Scene| chosen(Kind::Rendezvous, scene, 5000);
    let before = owners(&scene);
    scene.ranks[1] = None;
    let after = owners(&scene);
    let moved = before.iter().zip(&after).filter(|(before, after)| before != after);
    assert!(moved.clone().all(|(before, _)| *before == 1));
    let to: Vec<usize> = moved.map(|(_, after)| *after).collect();
    assert!(counts(&to).len() == 3, "and to all that stay");
}

#[test]
fn weights_hold_for_every_policy_that_goes_by_them() {
    const REQUESTS: u64 = 40_000;
    let weights = [1, 2, 3, 4];
    let scene = Scene::of(&weights);
    for kind in Kind::ALL.iter().filter(|kind| ![Kind::RoundRobin, Kind::Ewma].contains(kind)) {
        let counts = counts(&chosen(*kind, &scene, REQUESTS));
        for (position, weight) in weights.iter().enumerate() {
            let share = f64::from(*weight) / 10.0;
            let expected = REQUESTS as f64 * share;
            let sampling = 4.0 * (expected * (1.0 - share)).sqrt();
            let slack = 0.01 * expected; // what the ring may give one beyond its share, or take from another
            let count = counts[&position] as f64;
            assert!((count - expected).abs() <= sampling + 4.0 * slack, "{kind} {position}: {count}");
        }
    }
}
