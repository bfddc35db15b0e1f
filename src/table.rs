//! What a request reads: one immutable value, published whole. Pure.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{
            AtomicU32, AtomicU64, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
};

use arc_swap::ArcSwap;
use crossbeam_utils::CachePadded;

use crate::{
    name::{InstanceId, Name, Number},
    ring::Ring,
};

/// Everything that the data plane goes by, at one moment.
#[derive(Debug)]
pub struct Snapshot {
    /// The pool that requests without a route of their own go to.
    pub default: Table,
}

/// Who serves a pool. The ring holds every desired replica that was ever ready; one that is away keeps its seat.
#[derive(Clone, Debug)]
pub struct Table {
    ring: Arc<Ring>,
    seats: Vec<Option<Arc<Replica>>>,
}

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
    traffic: CachePadded<Counters>,
    failed_connects: AtomicU32,
}

/// What every request changes, on one cache line.
#[derive(Debug, Default)]
struct Counters {
    in_flight: AtomicUsize,
    requests: AtomicU64,
}

/// A request's claim on a replica, from its choice to the response's last byte.
#[derive(Debug)]
pub struct InFlight(Arc<Replica>);

/// The one place where the fleet leaves a [`Snapshot`] and requests find it.
///
/// # Removing a replica without racing a request
/// A claim counts itself in flight and only then looks whether the epoch is still the one it chose by; publishing
/// advances the epoch and only then is the in-flight count read. Both sides are sequentially consistent, so either
/// the claim sees the new epoch and chooses again, or the reader sees the claim (Dekker's argument). A replica that
/// is in no published table and has nothing in flight therefore never gets a request again.
#[derive(Debug)]
pub struct Published {
    snapshot: ArcSwap<Snapshot>,
    epoch: AtomicU64,
}

impl Table {
    /// A table over `ring`; `seats[i]` is the instance that serves for `ring.members()[i]`, `None` while it is away.
    ///
    /// # Panics
    /// If there is not exactly one seat for each member.
    pub fn new(ring: Arc<Ring>, seats: Vec<Option<Arc<Replica>>>) -> Self {
        assert_eq!(ring.members().len(), seats.len(), "a seat for each member");
        Table { ring, seats }
    }

    /// The ring behind it.
    pub fn ring(&self) -> &Arc<Ring> {
        &self.ring
    }

    /// Who may serve the request with this id, first choice first.
    pub fn candidates(&self, id: u64) -> impl Iterator<Item = &Arc<Replica>> {
        self.ring.route(id).filter_map(|member| self.seats[member].as_ref())
    }

    /// Everyone who serves now.
    pub fn serving(&self) -> impl Iterator<Item = &Arc<Replica>> {
        self.seats.iter().flatten()
    }

    /// Whether requests would see no difference between the two.
    pub fn same_as(&self, other: &Table) -> bool {
        let same = |(a, b): (&Option<Arc<Replica>>, &Option<Arc<Replica>>)| match (a, b) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        Arc::ptr_eq(&self.ring, &other.ring) && self.seats.iter().zip(&other.seats).all(same)
    }
}

impl Replica {
    /// An instance that has served nothing yet.
    pub fn new(name: Name, number: Number, instance: InstanceId, address: SocketAddr) -> Self {
        let (traffic, failed_connects) = (CachePadded::default(), AtomicU32::default());
        Replica { name, number, instance, address, traffic, failed_connects }
    }

    /// Requests that chose it and whose response has not ended yet.
    pub fn in_flight(&self) -> usize {
        self.traffic.in_flight.load(SeqCst)
    }

    /// Requests that ever chose it, also those that moved on to another.
    pub fn requests(&self) -> u64 {
        self.traffic.requests.load(Relaxed)
    }

    /// Counts a connection that could not be opened.
    pub fn count_failed_connect(&self) {
        self.failed_connects.fetch_add(1, SeqCst);
    }

    /// The failed connects since this was last asked.
    pub fn take_failed_connects(&self) -> u32 {
        self.failed_connects.swap(0, SeqCst)
    }
}

impl InFlight {
    fn new(replica: &Arc<Replica>) -> Self {
        replica.traffic.in_flight.fetch_add(1, SeqCst);
        InFlight(replica.clone())
    }

    /// Whom the claim is on.
    pub fn replica(&self) -> &Arc<Replica> {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.traffic.in_flight.fetch_sub(1, SeqCst);
    }
}

impl Published {
    /// Starts at epoch 0.
    pub fn new(first: Snapshot) -> Self {
        Published { snapshot: ArcSwap::from_pointee(first), epoch: AtomicU64::new(0) }
    }

    /// Replaces the snapshot and returns the new epoch. One caller at a time: the fleet.
    pub fn publish(&self, snapshot: Snapshot) -> u64 {
        self.snapshot.store(Arc::new(snapshot));
        self.epoch.fetch_add(1, SeqCst) + 1
    }

    /// How many snapshots came after the first.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(SeqCst)
    }

    /// The snapshot of now.
    pub fn load(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        self.snapshot.load()
    }

    /// Claims the default pool's first candidate for this id that is none of `tried`.
    pub fn claim(&self, id: u64, tried: &[InstanceId]) -> Option<InFlight> {
        loop {
            let epoch = self.epoch();
            let snapshot = self.load();
            let chosen =
                snapshot.default.candidates(id).find(|replica| !tried.contains(&replica.instance))?;
            let claim = InFlight::new(chosen);
            if self.epoch() == epoch {
                claim.0.traffic.requests.fetch_add(1, Relaxed);
                return Some(claim);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::{Member, Spec, Weight};

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
        let published =
            Published::new(Snapshot { default: table(vec![Some(one.clone()), Some(two.clone())]) });
        let first = published.claim(7, &[]).unwrap();
        assert_eq!(first.replica().in_flight(), 1);
        let second = published.claim(7, &[first.replica().instance.clone()]).unwrap();
        assert_ne!(first.replica().instance, second.replica().instance);
        assert!(published.claim(7, &[one.instance.clone(), two.instance.clone()]).is_none());
        drop((first, second));
        assert_eq!((one.in_flight(), two.in_flight()), (0, 0));
        assert_eq!((one.requests(), two.requests()), (1, 1));
    }

    #[test]
    fn nothing_is_claimed_any_more_once_a_table_without_it_is_out_and_its_count_is_zero() {
        let (one, two) = (replica(1), replica(2));
        let with = table(vec![Some(one.clone()), Some(two.clone())]);
        let without = table(vec![None, Some(two)]);
        let published = Published::new(Snapshot { default: with.clone() });
        let gone = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let claimers: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        for id in 0..200_000u64 {
                            let was_gone = gone.load(SeqCst);
                            let claim = published.claim(id, &[]).unwrap();
                            assert!(!(was_gone && claim.replica().number == one.number && gone.load(SeqCst)));
                        }
                    })
                })
                .collect();
            while claimers.iter().any(|claimer| !claimer.is_finished()) {
                published.publish(Snapshot { default: without.clone() });
                while one.in_flight() > 0 {
                    std::hint::spin_loop();
                }
                gone.store(true, SeqCst);
                (0..200).for_each(|_| std::hint::spin_loop());
                gone.store(false, SeqCst);
                published.publish(Snapshot { default: with.clone() });
            }
        });
    }
}
