//! What a request reads: one immutable value, published whole. Pure.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::SeqCst},
};

use arc_swap::ArcSwap;
use crossbeam_utils::CachePadded;

mod replica;

use replica::Rank;
pub use replica::{InFlight, Replica};

use crate::{name::InstanceId, ring::Ring};

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
    /// The epoch that each core has taken note of.
    acknowledged: Box<[CachePadded<AtomicU64>]>,
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

impl Published {
    /// Starts at epoch 0, to be read by this many cores.
    pub fn new(first: Snapshot, cores: usize) -> Self {
        let acknowledged = (0..cores).map(|_| CachePadded::default()).collect();
        Published { snapshot: ArcSwap::from_pointee(first), epoch: AtomicU64::new(0), acknowledged }
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

    /// Notes that a core has let go of what no table from this epoch on has.
    pub fn acknowledge(&self, core: usize, epoch: u64) {
        self.acknowledged[core].store(epoch, SeqCst);
    }

    /// The epoch that every core has taken note of.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.iter().map(|core| core.load(SeqCst)).min().unwrap_or(u64::MAX)
    }

    /// Claims the default pool's best candidate for this id that is none of `tried`: the first on the ring that nothing
    /// speaks against, else the first of those that the least speaks against.
    pub fn claim(&self, id: u64, tried: &[InstanceId]) -> Option<InFlight> {
        loop {
            let epoch = self.epoch();
            let snapshot = self.load();
            let claim = InFlight::new(best(&snapshot.default, id, tried)?);
            if self.epoch() == epoch {
                claim.count_request();
                return Some(claim);
            }
        }
    }
}

fn best<'a>(table: &'a Table, id: u64, tried: &[InstanceId]) -> Option<&'a Arc<Replica>> {
    let mut best: Option<(Rank, &Arc<Replica>)> = None;
    let open = |replica: &&Arc<Replica>| !tried.contains(&replica.instance) && !replica.is_given_up();
    for replica in table.candidates(id).filter(open) {
        let rank = replica.rank(id);
        if rank == Rank::Sound {
            return Some(replica);
        }
        if best.is_none_or(|(least, _)| rank < least) {
            best = Some((rank, replica));
        }
    }
    best.map(|(_, replica)| replica)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::{
        name::Number,
        ring::{Member, Spec, Weight},
    };

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
            Published::new(Snapshot { default: table(vec![Some(one.clone()), Some(two.clone())]) }, 0);
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
    fn what_something_speaks_against_comes_last_but_before_nobody() {
        let replicas = [replica(1), replica(2), replica(3)];
        let published = Published::new(Snapshot { default: table(replicas.clone().map(Some).to_vec()) }, 0);
        let order = |id| {
            let mut tried = Vec::new();
            while let Some(claim) = published.claim(id, &tried) {
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
        let published =
            Published::new(Snapshot { default: table(vec![Some(one.clone()), Some(two.clone())]) }, 0);
        let keys = || -> Vec<u64> {
            let its = |id: &u64| published.claim(*id, &[]).unwrap().replica().number == one.number;
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
        let published = Published::new(Snapshot { default: table(vec![]) }, 2);
        published.acknowledge(0, 7);
        assert_eq!(published.acknowledged(), 0);
        published.acknowledge(1, 5);
        assert_eq!(published.acknowledged(), 5);
    }

    #[test]
    fn nothing_is_claimed_any_more_once_a_table_without_it_is_out_and_its_count_is_zero() {
        let (one, two) = (replica(1), replica(2));
        let with = table(vec![Some(one.clone()), Some(two.clone())]);
        let without = table(vec![None, Some(two)]);
        let published = Published::new(Snapshot { default: with.clone() }, 0);
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
