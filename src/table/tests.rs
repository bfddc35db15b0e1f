//! What holds of tables and of claims, by one thread and by several.

use std::{net::SocketAddr, sync::Barrier, thread};

use rand::{SeedableRng, rngs::StdRng};

use super::*;
use crate::{
    name::{InstanceId, Number},
    policy::{Kind, Request, Settings},
    ring::{Member, Spec, Weight},
};

const POOL: PoolId = PoolId(0);

fn published(table: Table, cores: usize) -> Published {
    let published = Published::new(cores);
    published.publish(POOL, table);
    published
}

fn replica(number: u16) -> Arc<Replica> {
    let name = format!("Server-{number}").parse().unwrap();
    let instance = InstanceId::from_bits(number.into());
    let address = SocketAddr::from(([127, 0, 0, 1], number));
    Arc::new(Replica::new(name, Number::new(number).unwrap(), instance, address))
}

fn table(seats: Vec<Option<Arc<Replica>>>) -> Table {
    let members: Vec<_> = (1..=seats.len() as u16)
        .map(|number| Member { number: Number::new(number).unwrap(), weight: Weight::ONE })
        .collect();
    Table::new(Arc::new(Ring::build(&members, &Spec::assignment()).unwrap()), seats)
}

fn claim(published: &Published, id: u64, tried: &[InstanceId]) -> Result<InFlight, Unclaimed> {
    let rng = &mut StdRng::seed_from_u64(id);
    published.claim(POOL, Request { id, now: Duration::ZERO, rng }, None, tried)
}

#[test]
fn one_that_is_away_is_skipped_and_the_others_keep_their_keys() {
    let (one, two, three) = (replica(1), replica(2), replica(3));
    let whole = table(vec![Some(one.clone()), Some(two.clone()), Some(three.clone())]);
    let without = table(vec![Some(one), Some(two), None]);
    for id in 100_000..101_000 {
        let before = whole.candidates(id).next().unwrap();
        let after = without.candidates(id).next().unwrap();
        assert!(before.number == after.number || before.number == three.number, "{id}");
    }
}

#[test]
fn a_claim_counts_until_it_is_dropped_and_skips_what_was_tried() {
    let (one, two) = (replica(1), replica(2));
    let published = published(table(vec![Some(one.clone()), Some(two.clone())]), 0);
    let first = claim(&published, 7, &[]).unwrap();
    assert_eq!(first.replica().in_flight(), 1);
    let second = claim(&published, 7, &[first.replica().instance.clone()]).unwrap();
    assert_ne!(first.replica().instance, second.replica().instance);
    assert!(claim(&published, 7, &[one.instance.clone(), two.instance.clone()]).is_err());
    drop((first, second));
    assert_eq!((one.in_flight(), two.in_flight()), (0, 0));
    assert_eq!([one, two].map(|replica| replica.counts().completed()), [1, 1]);
}

#[test]
fn what_something_speaks_against_comes_last_but_before_nobody() {
    let replicas = [replica(1), replica(2), replica(3)];
    let published = published(table(replicas.clone().map(Some).to_vec()), 0);
    let order = |id| {
        let mut tried = Vec::new();
        while let Ok(claim) = claim(&published, id, &tried) {
            tried.push(claim.replica().instance.clone());
        }
        tried
    };
    let [first, second, third] = order(7).try_into().unwrap();
    let of = |instance| replicas.iter().find(|replica| replica.instance == instance).unwrap();
    of(first.clone()).suspect();
    assert_eq!(order(7), [second.clone(), third.clone(), first.clone()]);
    of(second.clone()).set_ejected(true);
    assert_eq!(order(7), [third.clone(), second.clone(), first.clone()]);
    let seen = of(first.clone()).suspicions();
    of(first.clone()).suspect();
    of(first.clone()).clear(seen);
    assert_eq!(order(7), [third.clone(), second.clone(), first.clone()], "the second is not cleared");
    of(first.clone()).clear(seen + 1);
    assert_eq!(order(7), [first.clone(), third.clone(), second.clone()]);
    of(first).set_given_up(true);
    assert_eq!(order(7), [third, second]);
}

#[test]
fn one_that_warms_up_gets_its_share_of_its_keys_and_always_the_same() {
    let (one, two) = (replica(1), replica(2));
    let published = published(table(vec![Some(one.clone()), Some(two.clone())]), 0);
    let keys = || -> Vec<u64> {
        let its = |id: &u64| claim(&published, *id, &[]).unwrap().replica().number == one.number;
        (0..20_000).filter(its).collect()
    };
    let all = keys();
    let mut before = Vec::new();
    for part in [0.0, 0.1, 0.5, 1.0] {
        one.set_share(part);
        let now = keys();
        let expected = all.len() as f64 * part;
        assert!((now.len() as f64 - expected).abs() < 0.02 * all.len() as f64, "{part}: {}", now.len());
        assert!(before.iter().all(|id| now.contains(id)), "{part}");
        before = now;
    }
    assert_eq!(before, all);
}

#[test]
fn what_every_core_has_taken_note_of_is_acknowledged() {
    let published = published(table(vec![]), 2);
    published.acknowledge(0, 7);
    assert_eq!(published.acknowledged(), 0);
    published.acknowledge(1, 5);
    assert_eq!(published.acknowledged(), 5);
}

#[test]
fn a_pool_is_changed_and_removed_without_the_others() {
    let (one, two) = (replica(1), replica(2));
    let published = published(table(vec![Some(one.clone())]), 0);
    let other = PoolId(7);
    let of = |pool| {
        let rng = &mut StdRng::seed_from_u64(1);
        published.claim(pool, Request { id: 1, now: Duration::ZERO, rng }, None, &[])
    };
    assert_eq!(of(other).unwrap_err(), Unclaimed::Nobody);
    published.publish(other, table(vec![Some(two.clone())]));
    assert!(Arc::ptr_eq(of(POOL).unwrap().replica(), &one));
    assert!(Arc::ptr_eq(of(other).unwrap().replica(), &two));
    published.remove(POOL);
    assert_eq!(of(POOL).unwrap_err(), Unclaimed::Nobody);
    assert!(Arc::ptr_eq(of(other).unwrap().replica(), &two));
    assert_eq!(published.epoch(), 3);
}

#[test]
fn nothing_is_claimed_any_more_once_a_table_without_it_is_out_and_its_count_is_zero() {
    let (one, two) = (replica(1), replica(2));
    let with = table(vec![Some(one.clone()), Some(two.clone())]);
    let without = table(vec![None, Some(two)]);
    let published = published(with.clone(), 0);
    let gone = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        let claimers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    for id in 0..200_000u64 {
                        let was_gone = gone.load(SeqCst);
                        let claim = claim(&published, id, &[]).unwrap();
                        assert!(!(was_gone && claim.replica().number == one.number && gone.load(SeqCst)));
                    }
                })
            })
            .collect();
        while claimers.iter().any(|claimer| !claimer.is_finished()) {
            published.publish(POOL, without.clone());
            while one.in_flight() > 0 {
                std::hint::spin_loop();
            }
            gone.store(true, SeqCst);
            (0..200).for_each(|_| std::hint::spin_loop());
            gone.store(false, SeqCst);
            published.publish(POOL, with.clone());
        }
    });
}

#[test]
fn one_that_has_all_it_may_have_is_passed_over_and_where_all_have_that_is_said() {
    let seats = vec![Some(replica(1)), Some(replica(2))];
    let published = published(table(seats).shared(Policy::default(), 2), 0);
    let first = claim(&published, 7, &[]).unwrap();
    let (again, other) = (claim(&published, 7, &[]).unwrap(), claim(&published, 7, &[]).unwrap());
    assert!(Arc::ptr_eq(first.replica(), again.replica()));
    assert!(!Arc::ptr_eq(first.replica(), other.replica()));
    let last = claim(&published, 7, &[]).unwrap();
    assert_eq!(claim(&published, 7, &[]).unwrap_err(), Unclaimed::Full);
    let tried = [first.replica().instance.clone(), other.replica().instance.clone()];
    assert_eq!(claim(&published, 7, &tried).unwrap_err(), Unclaimed::Nobody);
    drop(first);
    assert!(Arc::ptr_eq(claim(&published, 7, &[]).unwrap().replica(), again.replica()));
    drop(last);
}

/// Claims for a request that prefers this number.
fn claim_preferring(published: &Published, number: u16, tried: &[InstanceId]) -> Result<InFlight, Unclaimed> {
    let rng = &mut StdRng::seed_from_u64(1);
    published.claim(POOL, Request { id: 7, now: Duration::ZERO, rng }, Number::new(number), tried)
}

#[test]
fn the_preferred_one_goes_first_by_every_policy_as_long_as_it_serves() {
    for kind in Kind::ALL {
        let (one, two, three) = (replica(1), replica(2), replica(3));
        let seats = [&one, &two, &three].map(|replica| Some(replica.clone())).to_vec();
        let policy = Policy::new(&Settings { kind: *kind, ..Settings::default() });
        let table = table(seats).shared(policy, usize::MAX);
        let published = published(table.clone(), 0);
        let goes_to = |number: u16| {
            let claim = claim_preferring(&published, number, &[]).unwrap();
            assert!(!claim.is_stand_in());
            claim.replica().number.get()
        };
        let stays = |number| (0..20).all(|_| goes_to(number) == number);
        assert!([1, 2, 3].into_iter().all(stays), "{kind}");
        two.set_share(0.0);
        assert!(stays(2), "{kind}: it warms up");
        two.set_share(1.0);
        two.set_ejected(true);
        assert!((0..20).all(|_| goes_to(2) != 2), "{kind}: it is ejected");
        two.set_ejected(false);
        two.suspect();
        assert!((0..20).all(|_| goes_to(2) != 2), "{kind}: it is suspected");
        two.clear(two.suspicions());
        assert!(stays(2), "{kind}");
        let other = claim_preferring(&published, 2, std::slice::from_ref(&two.instance)).unwrap();
        assert!(!Arc::ptr_eq(other.replica(), &two) && !other.is_stand_in(), "{kind}: it was tried");
        two.set_given_up(true);
        assert!((0..20).all(|_| goes_to(2) != 2), "{kind}: it is dead");
        let away = table.next(table.ring().clone(), vec![Some(one.clone()), None, Some(three.clone())]);
        published.publish(POOL, away);
        assert!((0..20).all(|_| goes_to(2) != 2), "{kind}: it is away");
        assert!([4, u16::MAX].into_iter().all(|number| goes_to(number) != 2), "{kind}: there is none");
    }
}

#[test]
fn another_stands_in_for_the_preferred_one_while_that_is_full() {
    let seats = vec![Some(replica(1)), Some(replica(2))];
    let published = published(table(seats).shared(Policy::default(), 1), 0);
    let first = claim_preferring(&published, 2, &[]).unwrap();
    assert_eq!((first.replica().number.get(), first.is_stand_in()), (2, false));
    let other = claim_preferring(&published, 2, &[]).unwrap();
    assert_eq!((other.replica().number.get(), other.is_stand_in()), (1, true));
    assert_eq!(claim_preferring(&published, 2, &[]).unwrap_err(), Unclaimed::Full);
    first.replica().set_ejected(true);
    drop(other);
    assert!(!claim_preferring(&published, 2, &[]).unwrap().is_stand_in(), "it would not be preferred");
}

#[test]
fn there_is_never_one_more_in_flight_than_there_may_be() {
    const MOST: usize = 3;
    let replicas = [replica(1), replica(2)];
    for kind in [Kind::Ring, Kind::LeastRequests, Kind::RoundRobin] {
        let policy = Policy::new(&Settings { kind, ..Settings::default() });
        let table = table(replicas.clone().map(Some).to_vec()).shared(policy, MOST);
        let published = published(table, 0);
        let (refused, start) = (AtomicU64::new(0), Barrier::new(4));
        thread::scope(|scope| {
            for core in 0..4 {
                let (published, replicas, refused, start) = (&published, &replicas, &refused, &start);
                scope.spawn(move || {
                    let mut held = Vec::new();
                    start.wait();
                    for id in 0..20_000 {
                        match claim(published, id * 4 + core, &[]) {
                            Ok(claim) => held.push(claim),
                            Err(why) => {
                                assert_eq!(why, Unclaimed::Full);
                                refused.fetch_add(1, SeqCst);
                                held.truncate(held.len() / 2);
                            }
                        }
                        assert!(replicas.iter().all(|replica| replica.in_flight() <= MOST));
                    }
                });
            }
        });
        assert!(replicas.iter().all(|replica| replica.in_flight() == 0), "{kind}");
        assert!(refused.into_inner() > 0, "{kind}: it was never full");
    }
}
