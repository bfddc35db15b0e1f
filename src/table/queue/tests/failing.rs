//! Who gets a place at a replica that fails.

use super::*;

#[test]
fn a_replica_that_leaves_or_fails_serves_nobody_in_line() {
    for spoil in [
        (|replica| replica.suspect()) as fn(&Replica),
        |replica| replica.set_ejected(true),
        |replica| replica.set_given_up(true),
        |replica| replica.set_seated(false),
    ] {
        let (one, two) = (replica(1), replica(2));
        let published = pool(&[&one, &two], 1, SETTINGS);
        let held = [claim(&published, &[]).unwrap(), claim(&published, &[]).unwrap()];
        let (mut first, mut second) = (wait(&published, 1), wait(&published, 1));
        let [bad, good] = held;
        spoil(bad.replica());
        drop(bad);
        published.serve_waiting(POOL);
        assert!(claimed(&mut first).is_none());
        let good_one = good.replica().clone();
        drop(good);
        assert!(Arc::ptr_eq(claimed(&mut first).unwrap().replica(), &good_one));
        assert!(Arc::ptr_eq(claimed(&mut second).unwrap().replica(), &good_one));
    }
}

#[test]
fn who_is_cleared_serves_those_in_line_and_so_does_who_failed_where_all_have() {
    let (one, two) = (replica(1), replica(2));
    let published = pool(&[&one, &two], 1, SETTINGS);
    let [bad, good] = [claim(&published, &[]).unwrap(), claim(&published, &[]).unwrap()];
    let mut first = wait(&published, 1);
    let suspected = bad.replica().clone();
    suspected.suspect();
    drop(bad);
    assert_eq!(claim(&published, &[]).unwrap_err(), Unclaimed::Full);
    suspected.clear(1);
    published.serve_waiting(POOL);
    let held = claimed(&mut first).unwrap();
    assert!(Arc::ptr_eq(held.replica(), &suspected));
    let mut second = wait(&published, 1);
    one.suspect();
    two.suspect();
    drop(good);
    published.serve_waiting(POOL);
    assert!(claimed(&mut second).is_some(), "there is nobody better");
}

/// Who had a setback at the one that is sound waited for it all the time, beside an ejected one that had nothing to do.
#[test]
fn who_has_had_all_that_are_sound_gets_one_that_fails_and_nobody_else_does() {
    for is_busy in [true, false] {
        let (one, two) = (replica(1), replica(2));
        let published = pool(&[&one, &two], 1, SETTINGS);
        let [sound, ejected] = [claim(&published, &[]).unwrap(), claim(&published, &[]).unwrap()];
        let ejected_one = ejected.replica().clone();
        ejected_one.set_ejected(true);
        let mut busy = Some(ejected).filter(|_| is_busy);
        let mut other = wait(&published, 2);
        let tried = [sound.replica().instance.clone()];
        assert_eq!(claim(&published, &tried).unwrap_err(), Unclaimed::Full);
        let mut again = published.wait(POOL, &asker(1, 0), &tried, NOW).unwrap();
        drop(busy.take());
        let its = claimed(&mut again).unwrap();
        assert!(Arc::ptr_eq(its.replica(), &ejected_one), "{is_busy}");
        drop(its);
        published.serve_waiting(POOL);
        assert!(claimed(&mut other).is_none(), "{is_busy}: one that is sound is left to it");
        assert_eq!(ejected_one.in_flight(), 0);
        drop(sound);
        assert!(!Arc::ptr_eq(claimed(&mut other).unwrap().replica(), &ejected_one), "{is_busy}");
    }
}
