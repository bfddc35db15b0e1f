//! One instance, as requests and the fleet see it. Pure.

use std::{
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{
            AtomicBool, AtomicU16, AtomicU32, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::Duration,
};

use super::{counts::Counts, place::Places, queue::Queue, times::Times};
use crate::{
    name::{InstanceId, Name, Number},
    policy::{Load, Rank},
};

/// One instance as the data plane knows it, with what the data plane learns about it.
#[derive(Debug)]
pub struct Replica {
    /// Its name.
    pub name: Name,
    /// Its number on the ring.
    pub number: Number,
    /// Which life of it this is.
    pub instance: InstanceId,
    /// Where it listens.
    pub address: SocketAddr,
    load: Load,
    pub(super) places: Places,
    standing: Standing,
    /// The line in front of its pool, where there is one.
    queue: OnceLock<Arc<Queue>>,
    times: Times,
}

/// What requests and the fleet tell each other about a replica between two tables. Requests only read most of it.
#[derive(Debug)]
struct Standing {
    /// How often it came under suspicion, and how many of those were cleared.
    suspicions: AtomicU32,
    cleared: AtomicU32,
    /// Requests in a row that it failed.
    failures: AtomicU32,
    ejected: AtomicBool,
    given_up: AtomicBool,
    seated: AtomicBool,
    /// The part of its keys that it gets, of `u16::MAX`.
    share: AtomicU16,
    errors: AtomicU64,
    unanswered: AtomicU64,
    truncated: AtomicU64,
    unreached: AtomicU64,
    retries: AtomicU64,
    ejections: AtomicU64,
}

/// A request's claim on a replica, from its choice to the response's last byte.
#[derive(Debug)]
pub struct InFlight {
    replica: Arc<Replica>,
    is_measured: bool,
    is_stand_in: bool,
    /// For how many requests its time stands; 0 where it is not timed.
    stands_for: u32,
    /// Whether it proved good: else it is taken back.
    is_good: bool,
}

impl Replica {
    /// An instance that has served nothing yet.
    pub fn new(name: Name, number: Number, instance: InstanceId, address: SocketAddr) -> Self {
        let standing = Standing {
            suspicions: AtomicU32::new(0),
            cleared: AtomicU32::new(0),
            failures: AtomicU32::new(0),
            ejected: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
            seated: AtomicBool::new(true),
            share: AtomicU16::new(u16::MAX),
            errors: AtomicU64::new(0),
            unanswered: AtomicU64::new(0),
            truncated: AtomicU64::new(0),
            unreached: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            ejections: AtomicU64::new(0),
        };
        Replica {
            name,
            number,
            instance,
            address,
            load: Load::default(),
            places: Places::default(),
            standing,
            queue: OnceLock::new(),
            times: Times::default(),
        }
    }

    /// Requests that chose it and whose response has not ended yet.
    pub fn in_flight(&self) -> usize {
        self.load.in_flight()
    }

    /// What was counted of its requests, at one moment.
    pub fn counts(&self) -> Counts {
        let Standing { errors, unanswered, truncated, unreached, retries, ejections, .. } = &self.standing;
        let mut counts = Counts::of(self.load.flow());
        (counts.peak, counts.answers) = (self.load.peak() as u64, self.load.answers());
        for (count, counted) in [
            (&mut counts.errors, errors),
            (&mut counts.unanswered, unanswered),
            (&mut counts.truncated, truncated),
            (&mut counts.unreached, unreached),
            (&mut counts.retries, retries),
            (&mut counts.ejections, ejections),
        ] {
            *count = counted.load(Relaxed);
        }
        counts
    }

    /// How long its answers took of late.
    pub fn times(&self) -> &Times {
        &self.times
    }

    /// Connections that the balancer has to it, those that nobody uses now among them.
    pub fn connections(&self) -> usize {
        self.places.taken()
    }

    /// Whether somebody waits for one of those to be closed.
    pub fn is_waited_for(&self) -> bool {
        self.waiting() > 0
    }

    /// How many wait for that.
    pub fn waiting(&self) -> usize {
        self.places.wanted()
    }

    /// What it has to do, as policies see it.
    pub fn load(&self) -> &Load {
        &self.load
    }

    /// A connection to it failed: others are preferred until [`clear`](Self::clear).
    pub fn suspect(&self) {
        self.standing.suspicions.fetch_add(1, SeqCst);
    }

    /// How often it came under suspicion so far, to be given to [`clear`](Self::clear).
    pub fn suspicions(&self) -> u32 {
        self.standing.suspicions.load(SeqCst)
    }

    /// It answered a heartbeat that was sent after so many suspicions: those are cleared, later ones are not.
    pub fn clear(&self, suspicions: u32) {
        self.standing.cleared.store(suspicions, SeqCst);
    }

    /// Whether it is under suspicion.
    pub fn is_suspected(&self) -> bool {
        self.standing.suspicions.load(Relaxed) != self.standing.cleared.load(Relaxed)
    }

    /// Notes how it answered a request. Returns how many it failed in a row.
    pub fn note(&self, failed: bool) -> u32 {
        let failures = &self.standing.failures;
        if failed {
            self.standing.errors.fetch_add(1, Relaxed);
            return failures.fetch_add(1, Relaxed) + 1;
        }
        if failures.load(Relaxed) != 0 {
            failures.store(0, Relaxed);
        }
        0
    }

    /// The requests in a row that it failed.
    pub fn failures(&self) -> u32 {
        self.standing.failures.load(Relaxed)
    }

    /// Forgets the failures so far.
    pub fn forgive(&self) {
        self.standing.failures.store(0, Relaxed);
    }

    /// Has others be preferred to it, or not any more.
    pub fn set_ejected(&self, ejected: bool) {
        self.standing.ejected.store(ejected, SeqCst);
    }

    /// Whether others are preferred to it for what it fails.
    pub fn is_ejected(&self) -> bool {
        self.standing.ejected.load(Relaxed)
    }

    /// Whether it counts as dead: what it has in flight is not waited for then. Publish the table after this.
    pub fn set_given_up(&self, given_up: bool) {
        self.standing.given_up.store(given_up, SeqCst);
    }

    /// Whether it counts as dead.
    pub fn is_given_up(&self) -> bool {
        self.standing.given_up.load(SeqCst)
    }

    /// Says whether the next table has it. Publish that after this.
    pub fn set_seated(&self, seated: bool) {
        self.standing.seated.store(seated, SeqCst);
    }

    /// Whether the table in force has it: else no connection to it is kept.
    pub fn is_seated(&self) -> bool {
        self.standing.seated.load(SeqCst)
    }

    /// Has it get this part of its keys, from 0 to 1: always the same keys, and with a larger part those and more.
    pub fn set_share(&self, part: f64) {
        self.standing.share.store((part.clamp(0.0, 1.0) * f64::from(u16::MAX)) as u16, Relaxed);
    }

    /// Counts a request of which nothing could be sent to it.
    pub fn count_unreached(&self) {
        self.standing.unreached.fetch_add(1, Relaxed);
    }

    /// Counts a request that it broke off, or did not answer in time, before there was a response.
    pub fn count_unanswered(&self) {
        self.standing.unanswered.fetch_add(1, Relaxed);
    }

    /// Counts a response that broke off when its head had gone to the client.
    pub fn count_truncated(&self) {
        self.standing.truncated.fetch_add(1, Relaxed);
    }

    /// Counts a request that moves on to another.
    pub fn count_retry(&self) {
        self.standing.retries.fetch_add(1, Relaxed);
    }

    /// Counts that others come to be preferred to it for what it fails.
    pub fn count_ejection(&self) {
        self.standing.ejections.fetch_add(1, Relaxed);
    }

    /// Has those in this line get what becomes free here. It is the same line for good.
    pub(super) fn serve(&self, queue: &Arc<Queue>) {
        self.queue.get_or_init(|| queue.clone());
    }

    /// Whether the table in force has it and it lives.
    pub(super) fn is_there(&self) -> bool {
        self.is_seated() && !self.is_given_up()
    }

    /// Whether others are preferred to it for what it failed.
    pub(super) fn is_shunned(&self) -> bool {
        self.is_suspected() || self.is_ejected()
    }

    /// Whether there is nothing against it that waiting for another may spare a request.
    pub(super) fn is_sound(&self) -> bool {
        self.is_there() && !self.is_shunned()
    }

    /// How good a candidate it is for this id.
    pub(super) fn rank(&self, id: u64) -> Rank {
        let share = self.standing.share.load(Relaxed);
        if self.is_suspected() {
            Rank::Suspected
        } else if self.is_ejected() {
            Rank::Ejected
        } else if share < u16::MAX && warmth(id) >= share {
            Rank::Warming
        } else {
            Rank::Sound
        }
    }
}

/// A second hash of a key, independent of its place on the ring (the finaliser of SplitMix64: Steele, Lea and Flood,
/// "Fast splittable pseudorandom number generators", OOPSLA 2014).
fn warmth(id: u64) -> u16 {
    let mixed = (id ^ (id >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) >> 48) as u16
}

impl InFlight {
    /// Counts it in flight, if there are then `most` at most, until it is dropped. Then it is taken back unless
    /// [`prove`](Self::prove) was called.
    pub(super) fn new(
        replica: &Arc<Replica>,
        most: usize,
        is_measured: bool,
        is_stand_in: bool,
    ) -> Option<Self> {
        let number = replica.load.begin(most)?;
        let mut claim = InFlight::waited(replica, is_measured, number);
        (claim.is_stand_in, claim.is_good) = (is_stand_in, false);
        Some(claim)
    }

    /// The same for a request that waited for any replica, and has this one for good if it is still fit when that is counted.
    pub(super) fn after_wait(
        replica: &Arc<Replica>,
        most: usize,
        is_measured: bool,
        is_fit: impl Fn(&Replica) -> bool,
    ) -> Option<Self> {
        let number = replica.load.begin(most)?;
        if !is_fit(replica) {
            replica.load.withdraw();
            return None;
        }
        Some(InFlight::waited(replica, is_measured, number))
    }

    /// One that follows another, which has just ended, in its place.
    pub(super) fn in_place(replica: &Arc<Replica>, is_measured: bool) -> Self {
        InFlight::waited(replica, is_measured, replica.load.pass_on())
    }

    fn waited(replica: &Arc<Replica>, is_measured: bool, number: u64) -> Self {
        let stands_for = if is_measured { 1 } else { replica.times.stands_for(number) };
        InFlight { replica: replica.clone(), is_measured, is_stand_in: true, stands_for, is_good: true }
    }

    /// Says that the request goes by it.
    pub(super) fn prove(&mut self) {
        self.is_good = true;
    }

    /// Whom the claim is on.
    pub fn replica(&self) -> &Arc<Replica> {
        &self.replica
    }

    /// Whether the pool's policy goes by how long the answer takes.
    pub fn is_measured(&self) -> bool {
        self.is_measured
    }

    /// Whether the replica stands in for the one that the request prefers, only because that one has as much in flight as
    /// it may have.
    pub fn is_stand_in(&self) -> bool {
        self.is_stand_in
    }

    /// Whether it is to be timed: always where it [is measured](Self::is_measured).
    pub fn is_timed(&self) -> bool {
        self.stands_for > 0
    }

    /// Notes that the response has begun: with this status and, where it is timed, after this time.
    pub fn answered(&self, status: u16, took: Option<Duration>) {
        self.replica.load.count_answer(status);
        if let Some(took) = took {
            self.replica.times.note(took, self.stands_for);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        match (self.is_good, self.replica.queue.get()) {
            (true, None) => self.replica.load.end(),
            (false, None) => self.replica.load.withdraw(),
            (is_good, Some(queue)) => queue.end(&self.replica, self.is_measured, is_good),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_are_counted_until_one_is_answered() {
        let (name, number) = ("Server-1".parse().unwrap(), Number::new(1).unwrap());
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let one = Replica::new(name, number, InstanceId::from_bits(1), address);
        assert_eq!([one.note(true), one.note(true), one.note(false), one.note(true)], [1, 2, 0, 1]);
        assert_eq!((one.failures(), one.counts().errors), (1, 3));
        one.forgive();
        assert_eq!(one.failures(), 0);
    }
}
