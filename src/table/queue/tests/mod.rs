use std::{net::SocketAddr, sync::atomic::AtomicBool, task::Wake};

use rand::{SeedableRng, rngs::StdRng};

use super::*;
use crate::{
    name::Number,
    policy::{Kind, Policy, Request, Settings as Sharing},
    ring::{Member, Ring, Spec, Weight},
    table::{PoolId, Published, Table},
};

mod crowd;
mod failing;

const SETTINGS: Settings = Settings { most: 4, timeout: Duration::from_secs(30) };
const NOW: Duration = Duration::from_secs(1000);
/// How long a test waits for another thread.
const PATIENCE: Duration = Duration::from_secs(20);

const POOL: PoolId = PoolId(0);

fn published_of(table: Table) -> Published {
    let published = Published::new(0);
    published.publish(POOL, table);
    published
}

fn replica(number: u16) -> Arc<Replica> {
    let name = format!("Server-{number}").parse().unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], number));
    Arc::new(Replica::new(name, Number::new(number).unwrap(), InstanceId::from_bits(number.into()), address))
}

fn table(replicas: &[&Arc<Replica>]) -> Table {
    let members: Vec<_> = (1..=replicas.len() as u16)
        .map(|number| Member { number: Number::new(number).unwrap(), weight: Weight::ONE })
        .collect();
    let ring = Arc::new(Ring::build(&members, &Spec::assignment()).unwrap());
    Table::new(ring, replicas.iter().map(|replica| Some((*replica).clone())).collect())
}

/// A pool of these, of which each may have so much in flight.
fn pool(replicas: &[&Arc<Replica>], most: usize, settings: Settings) -> Published {
    let default = table(replicas).shared(Policy::default(), most).queued(Some(settings));
    published_of(default)
}

/// Has these serve from now on.
fn publish(published: &Published, replicas: &[&Arc<Replica>]) {
    let next = table(replicas);
    let seats = replicas.iter().map(|replica| Some((*replica).clone())).collect();
    let default = published.load().table(POOL).unwrap().next(next.ring().clone(), seats);
    published.publish(POOL, default);
}

fn claim(published: &Published, tried: &[InstanceId]) -> Result<InFlight, Unclaimed> {
    published.claim(POOL, Request { id: 7, now: NOW, rng: &mut StdRng::seed_from_u64(1) }, None, tried)
}

fn asker(client: u8, priority: u8) -> Asker {
    Asker { client: IpAddr::from([127, 0, 0, client]), priority: Priority::of(&[b'0' + priority]) }
}

/// Gets in line.
fn wait(published: &Published, client: u8) -> Wait {
    published.wait(POOL, &asker(client, 0), &[], NOW).unwrap()
}

/// What has become of one who waits, if something has.
fn fate(wait: &mut Wait, now: Duration) -> Option<Result<InFlight, Unclaimed>> {
    match wait.poll(&Context::from_waker(Waker::noop()), now) {
        Poll::Ready(fate) => Some(fate),
        Poll::Pending => None,
    }
}

fn claimed(wait: &mut Wait) -> Option<InFlight> {
    fate(wait, NOW).map(Result::unwrap)
}

fn stats(published: &Published) -> Stats {
    published.load().table(POOL).unwrap().queue().unwrap().stats()
}

#[test]
fn a_place_goes_to_the_first_in_line_and_is_free_for_nobody_meanwhile() {
    let one = replica(1);
    let published = pool(&[&one], 1, SETTINGS);
    let held = claim(&published, &[]).unwrap();
    assert_eq!(claim(&published, &[]).unwrap_err(), Unclaimed::Full);
    let (mut first, mut second) = (wait(&published, 1), wait(&published, 1));
    assert!(claimed(&mut first).is_none() && claimed(&mut second).is_none());
    drop(held);
    assert_eq!(one.in_flight(), 1, "it was never free");
    assert_eq!(claim(&published, &[]).unwrap_err(), Unclaimed::Full);
    assert!(claimed(&mut second).is_none());
    let held = claimed(&mut first).unwrap();
    assert_eq!((one.counts().dispatched(), stats(&published).length), (2, 1));
    drop(held);
    drop(claimed(&mut second).unwrap());
    assert_eq!((one.in_flight(), stats(&published).length), (0, 0));
    assert!(claim(&published, &[]).is_ok());
}

#[test]
fn who_is_first_is_woken_and_nobody_else() {
    struct Flag(AtomicBool);
    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, SeqCst);
        }
    }
    let one = replica(1);
    let published = pool(&[&one], 1, SETTINGS);
    let held = claim(&published, &[]).unwrap();
    let flags: Vec<_> = (0..2).map(|_| Arc::new(Flag(AtomicBool::new(false)))).collect();
    let mut waits: Vec<_> = (1..3).map(|client| wait(&published, client)).collect();
    for (wait, flag) in waits.iter_mut().zip(&flags) {
        assert!(wait.poll(&Context::from_waker(&flag.clone().into()), NOW).is_pending());
    }
    let woken = || flags.iter().map(|flag| flag.0.load(SeqCst)).collect::<Vec<_>>();
    assert_eq!(woken(), [false, false]);
    drop(held);
    assert_eq!(woken(), [true, false]);
}

#[test]
fn who_leaves_makes_room_and_passes_on_what_was_handed_over() {
    let one = replica(1);
    let published = pool(&[&one], 1, SETTINGS);
    let held = claim(&published, &[]).unwrap();
    let (first, second, mut third) = (wait(&published, 1), wait(&published, 1), wait(&published, 1));
    drop(second);
    assert_eq!(stats(&published).length, 2);
    drop(held);
    drop(first); // it had the place already
    assert_eq!(one.in_flight(), 1);
    drop(claimed(&mut third).unwrap());
    assert_eq!(one.in_flight(), 0);
}

#[test]
fn clients_have_turns_and_the_urgent_go_first() {
    let one = replica(1);
    let published = pool(&[&one], 1, Settings { most: 10, ..SETTINGS });
    let mut held = claim(&published, &[]).unwrap();
    let mut waits: Vec<(&str, Wait)> = Vec::new();
    for (name, client, priority) in
        [("a1", 1, 0), ("a2", 1, 0), ("b1", 2, 0), ("b2", 2, 0), ("urgent", 1, 5), ("c1", 3, 0)]
    {
        waits.push((name, published.wait(POOL, &asker(client, priority), &[], NOW).unwrap()));
    }
    let mut order = Vec::new();
    while !waits.is_empty() {
        drop(held);
        let found = waits.iter_mut().enumerate().find_map(|(at, (_, wait))| Some((at, claimed(wait)?)));
        let (at, claim) = found.unwrap();
        held = claim;
        order.push(waits.remove(at).0);
    }
    assert_eq!(order, ["urgent", "a1", "b1", "c1", "a2", "b2"]);
}

#[test]
fn a_full_line_refuses_and_says_when_to_come_again() {
    let one = replica(1);
    let published = pool(&[&one], 1, SETTINGS);
    let mut held = claim(&published, &[]).unwrap();
    let mut waits: Vec<_> = (0..4).map(|_| wait(&published, 1)).collect();
    let refused = |now| published.wait(POOL, &asker(1, 0), &[], now).unwrap_err();
    assert_eq!(refused(NOW), Unclaimed::Crowded(30), "it does not move: then nobody waits any more");
    for second in 1..=4 {
        drop(held);
        let now = NOW + Duration::from_secs(2 * second);
        held = fate(&mut waits.remove(0), now).unwrap().unwrap();
        waits.push(published.wait(POOL, &asker(1, 0), &[], now).unwrap());
    }
    assert_eq!(refused(NOW + Duration::from_secs(8)), Unclaimed::Crowded(8), "four at two seconds each");
    assert_eq!((stats(&published).refused, stats(&published).length), (2, 4));
    assert!(stats(&published).waited > Duration::from_secs(1), "{:?}", stats(&published));
}

#[test]
fn who_fills_the_line_makes_room_for_another_client() {
    let one = replica(1);
    let published = pool(&[&one], 1, SETTINGS);
    let _held = claim(&published, &[]).unwrap();
    let mut greedy: Vec<_> = (0..4).map(|_| wait(&published, 1)).collect();
    let _others: Vec<_> = (0..2).map(|_| wait(&published, 2)).collect();
    assert!(published.wait(POOL, &asker(2, 0), &[], NOW).is_err(), "two each is fair");
    let fates: Vec<_> = greedy.iter_mut().map(|wait| fate(wait, NOW).map(Result::unwrap_err)).collect();
    assert!(matches!(fates[..], [None, None, Some(Unclaimed::Crowded(_)), Some(Unclaimed::Crowded(_))]));
    assert_eq!((stats(&published).refused, stats(&published).length), (3, 4));
    let _urgent = published.wait(POOL, &asker(1, 9), &[], NOW).unwrap();
    assert_eq!(stats(&published).length, 4);
}

#[test]
fn nobody_waits_for_longer_than_may_be() {
    let one = replica(1);
    let published = pool(&[&one], 1, SETTINGS);
    let held = claim(&published, &[]).unwrap();
    let (mut first, mut second) = (wait(&published, 1), wait(&published, 1));
    let over = NOW + SETTINGS.timeout;
    assert!(fate(&mut first, over - Duration::from_nanos(1)).is_none());
    assert_eq!(first.left(NOW), SETTINGS.timeout);
    assert_eq!(fate(&mut first, over).unwrap().unwrap_err(), Unclaimed::Late(30));
    assert_eq!((stats(&published).timeouts, stats(&published).length), (1, 1));
    drop(held);
    assert!(fate(&mut second, over).unwrap().is_ok(), "who got a place in time has it");
    assert_eq!(stats(&published).timeouts, 1);
}

#[test]
fn who_is_in_line_when_it_closes_is_told_and_what_is_in_flight_goes_on() {
    let one = replica(1);
    let published = pool(&[&one], 2, SETTINGS);
    let (ended, held) = (claim(&published, &[]).unwrap(), claim(&published, &[]).unwrap());
    let (mut served, mut first, left) = (wait(&published, 1), wait(&published, 2), wait(&published, 2));
    drop(ended);
    let mut again = published.wait(POOL, &asker(1, 0), &[InstanceId::from_bits(9)], NOW).unwrap();
    published.load().table(POOL).unwrap().queue().unwrap().close();
    let handed = claimed(&mut served).unwrap();
    for wait in [&mut first, &mut again] {
        assert_eq!(fate(wait, NOW).unwrap().unwrap_err(), Unclaimed::Nobody);
    }
    drop(left);
    assert_eq!((one.in_flight(), stats(&published).length), (2, 0));
    assert!(published.wait(POOL, &asker(1, 9), &[], NOW).is_err(), "nobody gets in line any more");
    drop((held, handed));
    assert_eq!(one.in_flight(), 0);
}

#[test]
fn who_comes_into_the_table_serves_those_in_line() {
    let (one, two) = (replica(1), replica(2));
    let published = pool(&[&one], 2, SETTINGS);
    let _held = [claim(&published, &[]).unwrap(), claim(&published, &[]).unwrap()];
    let mut waits: Vec<_> = (0..3).map(|_| wait(&published, 1)).collect();
    publish(&published, &[&one, &two]);
    let claims: Vec<_> = waits.iter_mut().filter_map(claimed).collect();
    assert!(claims.len() == 2 && claims.iter().all(|claim| Arc::ptr_eq(claim.replica(), &two)));
    drop(claims);
    assert!(claimed(&mut waits[2]).is_some());
    let _both = [claim(&published, &[]).unwrap()];
    assert_eq!((one.in_flight(), two.in_flight()), (2, 1));
}

#[test]
fn a_raised_limit_serves_those_in_line_and_a_lowered_one_keeps_them_there() {
    let one = replica(1);
    let published = pool(&[&one], 2, SETTINGS);
    let mut held = vec![claim(&published, &[]).unwrap(), claim(&published, &[]).unwrap()];
    let mut waits: Vec<_> = (0..3).map(|_| wait(&published, 1)).collect();
    let limited = |most| published.load().table(POOL).unwrap().clone().shared(Policy::default(), most);
    published.publish(POOL, limited(3));
    held.extend(claimed(&mut waits[0]));
    assert_eq!((held.len(), one.in_flight()), (3, 3));
    published.publish(POOL, limited(1));
    drop(held.split_off(1));
    assert!(one.in_flight() == 1 && claimed(&mut waits[1]).is_none());
    drop(held);
    assert!(claimed(&mut waits[1]).is_some());
}

#[test]
fn a_request_that_came_back_goes_first_and_to_somebody_else() {
    let (one, two) = (replica(1), replica(2));
    let published = pool(&[&one, &two], 1, SETTINGS);
    let held = [claim(&published, &[]).unwrap(), claim(&published, &[]).unwrap()];
    let mut other = wait(&published, 1);
    let tried = [held[0].replica().instance.clone()];
    let mut again = published.wait(POOL, &asker(1, 0), &tried, NOW).unwrap();
    let [its, elses] = held;
    drop(its);
    assert!(claimed(&mut again).is_none());
    let _others = claimed(&mut other).unwrap();
    drop(elses);
    let _its = claimed(&mut again).unwrap();
    // a place that is only not for those in line is for who comes
    let mut again = published.wait(POOL, &asker(1, 0), &[tried[0].clone()], NOW).unwrap();
    drop(_others);
    assert!(claimed(&mut again).is_none());
    let mut other = wait(&published, 2);
    assert!(Arc::ptr_eq(claimed(&mut other).unwrap().replica(), replica_of(&tried[0], [&one, &two])));
}

fn replica_of<'a>(instance: &InstanceId, among: [&'a Arc<Replica>; 2]) -> &'a Arc<Replica> {
    among.into_iter().find(|replica| replica.instance == *instance).unwrap()
}

#[test]
fn without_a_line_nobody_waits() {
    let one = replica(1);
    let default = table(&[&one]).shared(Policy::default(), 1);
    let published = published_of(default);
    let _held = claim(&published, &[]).unwrap();
    assert_eq!(published.wait(POOL, &asker(1, 0), &[], NOW).unwrap_err(), Unclaimed::Full);
}
