//! Many who wait at once.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicBool, AtomicU64},
    },
    task::Wake,
    thread,
    time::Instant,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::*;

/// Waits for a claim as a core does.
struct Parked(thread::Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn get(published: &Published, client: u8, rng: &mut StdRng) -> Option<InFlight> {
    match published.claim(POOL, Request { id: rng.random(), now: NOW, rng }, None, &[]) {
        Ok(claim) => return Some(claim),
        Err(why) => assert_eq!(why, Unclaimed::Full),
    }
    let mut wait = published.wait(POOL, &asker(client, rng.random_range(0..3)), &[], NOW).ok()?;
    let waker = Waker::from(Arc::new(Parked(thread::current())));
    let until = Instant::now() + PATIENCE;
    loop {
        if let Poll::Ready(claim) = wait.poll(&Context::from_waker(&waker), NOW) {
            return claim.ok();
        }
        if rng.random_ratio(1, 20) {
            return None; // the client is gone
        }
        assert!(Instant::now() < until, "nobody is forgotten");
        thread::park_timeout(PATIENCE);
    }
}

#[test]
fn limits_hold_and_nobody_is_forgotten_whatever_the_cores_do_at_once() {
    const MOST: usize = 2;
    let replicas = [replica(1), replica(2), replica(3)];
    let all = [&replicas[0], &replicas[1], &replicas[2]];
    for kind in [Kind::Ring, Kind::LeastRequests] {
        let policy = Policy::new(&Sharing { kind, ..Sharing::default() });
        let settings = Settings { most: 1000, ..SETTINGS };
        let published = published_of(table(&all).shared(policy, MOST).queued(Some(settings)));
        let (served, done, start) = (AtomicU64::new(0), AtomicBool::new(false), Barrier::new(13));
        let gone = AtomicBool::new(false);
        thread::scope(|scope| {
            let cores: Vec<_> = (0..12)
                .map(|core| {
                    let (published, served, start, replicas) = (&published, &served, &start, &replicas);
                    let gone = &gone;
                    scope.spawn(move || {
                        let rng = &mut StdRng::seed_from_u64(core);
                        start.wait();
                        for _ in 0..500 {
                            let was_gone = gone.load(SeqCst);
                            let Some(claim) = get(published, core as u8 % 4, rng) else { continue };
                            let is_its = Arc::ptr_eq(claim.replica(), &replicas[2]);
                            assert!(!(was_gone && is_its && gone.load(SeqCst)), "it has left");
                            assert!(replicas.iter().all(|replica| replica.in_flight() <= MOST));
                            if rng.random_ratio(1, 8) {
                                thread::yield_now();
                            }
                            drop(claim);
                            served.fetch_add(1, SeqCst);
                        }
                    })
                })
                .collect();
            let (published, done) = (&published, &done);
            scope.spawn(|| {
                start.wait();
                while !done.load(SeqCst) {
                    // one leaves, and is back when it has nothing left
                    replicas[2].set_seated(false);
                    publish(published, &all[..2]);
                    let until = Instant::now() + PATIENCE;
                    while replicas[2].in_flight() > 0 {
                        assert!(Instant::now() < until, "who has left gets nothing more");
                        thread::yield_now();
                    }
                    gone.store(true, SeqCst);
                    (0..20).for_each(|_| thread::yield_now());
                    gone.store(false, SeqCst);
                    replicas[2].set_seated(true);
                    publish(published, &all);
                    (0..200).for_each(|_| thread::yield_now());
                }
            });
            let ended: Vec<_> = cores.into_iter().map(thread::ScopedJoinHandle::join).collect();
            done.store(true, SeqCst);
            assert!(ended.iter().all(Result::is_ok), "{kind}");
        });
        assert!(replicas.iter().all(|replica| replica.in_flight() == 0), "{kind}");
        let stats = stats(&published);
        assert_eq!((stats.length, stats.timeouts, stats.refused), (0, 0, 0), "{kind}");
        assert!(published.load().table(POOL).unwrap().queue().unwrap().inside().fates.is_empty(), "{kind}");
        assert!(served.into_inner() > 12 * 300, "{kind}");
    }
}

/// Whatever happens, in whatever order: there is never one more in flight than there may be, no place is free that somebody
/// in line may have, and all that got in line got a place, were told why not, or left.
#[test]
fn places_and_those_who_wait_always_match() {
    for seed in 0..300 {
        let mut rng = StdRng::seed_from_u64(seed);
        let most = rng.random_range(1..4);
        let replicas: Vec<_> = (1..=4).map(replica).collect();
        let published = pool(&[&replicas[0]], most, Settings { most: 6, ..SETTINGS });
        replicas[1..].iter().for_each(|replica| replica.set_seated(false));
        let mut serving = vec![&replicas[0]];
        let (mut held, mut waits): (Vec<InFlight>, Vec<(Wait, Option<InstanceId>)>) = Default::default();
        let mut now = NOW;
        for _ in 0..300 {
            match rng.random_range(0..12) {
                0..4 => match claim(&published, &[]) {
                    Ok(claim) => held.push(claim),
                    Err(Unclaimed::Full) => {
                        let asker = asker(rng.random_range(1..4), rng.random_range(0..3));
                        waits.extend(published.wait(POOL, &asker, &[], now).ok().map(|wait| (wait, None)));
                    }
                    Err(_) => {}
                },
                4 if !held.is_empty() => {
                    let tried = held.swap_remove(rng.random_range(0..held.len())).replica().instance.clone();
                    match claim(&published, std::slice::from_ref(&tried)) {
                        Ok(claim) => held.push(claim),
                        Err(Unclaimed::Full) => {
                            let wait = published.wait(POOL, &asker(1, 0), std::slice::from_ref(&tried), now);
                            waits.extend(wait.ok().map(|wait| (wait, Some(tried))));
                        }
                        Err(_) => {}
                    }
                }
                5 if !waits.is_empty() => _ = waits.swap_remove(rng.random_range(0..waits.len())),
                6 => now += Duration::from_secs(rng.random_range(0..10)),
                7 => {
                    let at = rng.random_range(0..4);
                    match serving.iter().position(|replica| Arc::ptr_eq(replica, &replicas[at])) {
                        Some(there) if serving.len() > 1 => {
                            serving.remove(there).set_seated(false);
                        }
                        None => {
                            replicas[at].set_seated(true);
                            serving.push(&replicas[at]);
                        }
                        _ => {}
                    }
                    publish(&published, &serving);
                }
                8 => {
                    let replica = &replicas[rng.random_range(0..4)];
                    match replica.is_suspected() {
                        true => replica.clear(replica.suspicions()),
                        false => replica.suspect(),
                    }
                    published.serve_waiting(POOL);
                }
                _ if !held.is_empty() => _ = held.swap_remove(rng.random_range(0..held.len())),
                _ => {}
            }
            waits.retain_mut(|(wait, tried)| match fate(wait, now) {
                Some(Ok(claim)) => {
                    assert_ne!(Some(&claim.replica().instance), tried.as_ref(), "{seed}");
                    held.push(claim);
                    false
                }
                Some(Err(why)) => {
                    assert!(matches!(why, Unclaimed::Late(_) | Unclaimed::Crowded(_)), "{seed}");
                    false
                }
                None => true,
            });
            assert_eq!(stats(&published).length, waits.len(), "{seed}");
            for replica in &replicas {
                let its = held.iter().filter(|claim| Arc::ptr_eq(claim.replica(), replica)).count();
                assert!(replica.in_flight() == its && its <= most, "{seed}: {its} of {most}");
                let has_room = its < most && replica.is_there();
                let is_for = |tried: Option<&InstanceId>| {
                    let is_better = |other: &Replica| other.is_sound() && tried != Some(&other.instance);
                    let is_left = replica.is_sound() || !serving.iter().any(|other| is_better(other));
                    tried != Some(&replica.instance) && is_left
                };
                let is_wanted = waits.iter().any(|(_, tried)| is_for(tried.as_ref()));
                assert!(!(has_room && is_wanted), "{seed}: a place is free that is waited for");
            }
        }
        drop((held, waits));
        assert!(replicas.iter().all(|replica| replica.in_flight() == 0), "{seed}");
        assert_eq!(stats(&published).length, 0, "{seed}");
    }
}
