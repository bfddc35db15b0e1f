//! What a request reads: one immutable value, published whole. Pure.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{
            AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use crossbeam_utils::CachePadded;

mod claiming;
mod counts;
mod place;
pub mod queue;
mod replica;
mod times;
mod waiting;

pub use claiming::Unclaimed;
pub use counts::Counts;
pub use place::{Place, Waiting};
pub use replica::{InFlight, Replica};
pub use times::{Spread, Times};

use crate::{policy::Policy, ring::Ring};
use queue::Queue;

/// Which pool, for as long as the balancer runs: a later one has another, also under the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PoolId(pub u32);

/// Who serves which pool, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// In the order of their ids.
    tables: Vec<(PoolId, Table)>,
}

/// Who serves a pool. The ring holds every desired replica that was ever ready; one that is away keeps its seat.
#[derive(Clone, Debug)]
pub struct Table {
    ring: Arc<Ring>,
    seats: Vec<Option<Arc<Replica>>>,
    sharing: Arc<Sharing>,
    /// Where requests wait when all are full, where they may.
    queue: Option<Arc<Queue>>,
    /// Whether the pool is to have no replicas.
    is_bare: bool,
}

/// How requests are shared out; the same in all tables of a pool.
#[derive(Debug)]
struct Sharing {
    policy: Policy,
    /// Whether that goes by how long answers take.
    is_measured: bool,
    /// What a replica may have in flight.
    most: usize,
    /// What [`Table::slow`] says, in microseconds; 0 for nothing.
    slow: AtomicU64,
}

/// The one place where fleets leave a [`Snapshot`] and requests find it.
///
/// # Removing a replica without racing a request
/// A claim counts itself in flight and only then looks whether the epoch is still the one it chose by; publishing
/// advances the epoch and only then is the in-flight count read. Both sides are sequentially consistent, so either
/// the claim sees the new epoch and chooses again, or the reader sees the claim (Dekker's argument). A replica that
/// is in no published table and has nothing in flight therefore never gets a request again.
#[derive(Debug)]
pub struct Published {
    snapshot: ArcSwap<Snapshot>,
    /// Held while a new snapshot is made of the old one, as each fleet changes its own pool's part.
    writing: Mutex<()>,
    epoch: AtomicU64,
    /// The epoch that each core has taken note of.
    acknowledged: Box<[CachePadded<AtomicU64>]>,
}

impl Table {
    /// A table over `ring`; `seats[i]` is the instance that serves for `ring.members()[i]`, `None` while it is away. The
    /// ring alone decides who serves.
    ///
    /// # Panics
    /// If there is not exactly one seat for each member.
    pub fn new(ring: Arc<Ring>, seats: Vec<Option<Arc<Replica>>>) -> Self {
        assert_eq!(ring.members().len(), seats.len(), "a seat for each member");
        let sharing = Arc::new(Sharing::new(Policy::default(), usize::MAX));
        Table { ring, seats, sharing, queue: None, is_bare: false }
    }

    /// The same, which says whether the pool is to have no replicas, rather than none that serves yet.
    pub fn bare(self, is_bare: bool) -> Self {
        Table { is_bare, ..self }
    }

    /// The same, where this policy decides, and no replica has more than `most` in flight.
    pub fn shared(self, policy: Policy, most: usize) -> Self {
        Table { sharing: Arc::new(Sharing::new(policy, most)), ..self }
    }

    /// The same with a line in front of it: who finds all of them full waits there. Where there is one, it goes on with these
    /// settings.
    pub fn queued(self, settings: Option<queue::Settings>) -> Self {
        let queue = match (&self.queue, settings) {
            (None, None) => return self,
            (None, Some(settings)) => Queue::new(settings, self.sharing.most),
            (Some(queue), settings) => {
                queue.configure(settings);
                queue.clone()
            }
        };
        self.serving().for_each(|replica| replica.serve(&queue));
        Table { queue: Some(queue), ..self }
    }

    /// The table that comes after this one: requests are shared out in the same way, as if there had been no change.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    pub fn next(&self, ring: Arc<Ring>, seats: Vec<Option<Arc<Replica>>>) -> Self {
        let (sharing, queue) = (self.sharing.clone(), self.queue.clone());
        let table = Table { sharing, queue, ..Table::new(ring, seats) };
        if let Some(queue) = &table.queue {
            table.serving().for_each(|replica| replica.serve(queue));
        }
        table
    }

    /// Whether the pool is to have no replicas.
    pub fn is_bare(&self) -> bool {
        self.is_bare
    }

    /// What decides who serves.
    pub fn policy(&self) -> &Policy {
        &self.sharing.policy
    }

    /// Where requests wait when all are full, where they may.
    pub fn queue(&self) -> Option<&Arc<Queue>> {
        self.queue.as_ref()
    }

    /// After which time an answer counts as slow: what 95 of 100 of late did not take longer than. None while too few are
    /// known.
    pub fn slow(&self) -> Option<Duration> {
        let micros = self.sharing.slow.load(Relaxed);
        (micros > 0).then(|| Duration::from_micros(micros))
    }

    /// Says so, in all tables of the pool.
    pub fn set_slow(&self, slow: Option<Duration>) {
        let micros = slow.map_or(0, |slow| u64::try_from(slow.as_micros()).unwrap_or(u64::MAX));
        self.sharing.slow.store(micros, Relaxed);
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
    pub fn serving(&self) -> impl Iterator<Item = &Arc<Replica>> + Clone {
        self.seats.iter().flatten()
    }

    /// Hands what is free here to those who wait.
    fn serve_waiting(&self) {
        let Some(queue) = &self.queue else { return };
        let Sharing { is_measured, most, .. } = *self.sharing;
        if queue.is_waited_in() {
            queue.serve(self.serving(), most, is_measured);
        }
    }

    /// Whether requests would see no difference between the two.
    pub fn same_as(&self, other: &Table) -> bool {
        let same = |(a, b): (&Option<Arc<Replica>>, &Option<Arc<Replica>>)| match (a, b) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        let alike = self.is_bare == other.is_bare
            && Arc::ptr_eq(&self.ring, &other.ring)
            && Arc::ptr_eq(&self.sharing, &other.sharing)
            && self.queue.as_ref().map(Arc::as_ptr) == other.queue.as_ref().map(Arc::as_ptr);
        alike && self.seats.iter().zip(&other.seats).all(same)
    }
}

impl Sharing {
    fn new(policy: Policy, most: usize) -> Self {
        Sharing { is_measured: policy.measures(), policy, most, slow: AtomicU64::new(0) }
    }
}

impl Snapshot {
    /// Who serves this pool, if there is one.
    pub fn table(&self, pool: PoolId) -> Option<&Table> {
        let at = self.tables.binary_search_by_key(&pool, |(id, _)| *id).ok()?;
        Some(&self.tables[at].1)
    }

    /// The same with this table for this pool, or without the pool.
    fn with(&self, pool: PoolId, table: Option<Table>) -> Self {
        let others = self.tables.iter().filter(|(id, _)| *id != pool).cloned();
        let mut tables: Vec<_> = others.chain(table.map(|table| (pool, table))).collect();
        tables.sort_by_key(|(id, _)| *id);
        Snapshot { tables }
    }
}

impl Published {
    /// Starts at epoch 0 without a pool, to be read by this many cores.
    pub fn new(cores: usize) -> Self {
        let acknowledged = (0..cores).map(|_| CachePadded::default()).collect();
        Published {
            snapshot: ArcSwap::default(),
            writing: Mutex::default(),
            epoch: AtomicU64::new(0),
            acknowledged,
        }
    }

    /// Has this table be the pool's from now on. Returns the epoch that begins.
    pub fn publish(&self, pool: PoolId, table: Table) -> u64 {
        self.change(pool, Some(table))
    }

    /// Takes a pool out. Returns the epoch that begins.
    pub fn remove(&self, pool: PoolId) -> u64 {
        self.change(pool, None)
    }

    /// Begins an epoch in which all is as it was.
    pub fn renew(&self) -> u64 {
        self.epoch.fetch_add(1, SeqCst) + 1
    }

    fn change(&self, pool: PoolId, table: Option<Table>) -> u64 {
        let _alone = self.writing.lock().expect("nobody panics while holding it");
        self.snapshot.store(Arc::new(self.load().with(pool, table)));
        let epoch = self.renew();
        if let Some(table) = self.load().table(pool) {
            if let Some(queue) = &table.queue {
                queue.follow(table.serving(), table.sharing.most);
            }
            table.serve_waiting();
        }
        epoch
    }

    /// Hands what is free in a pool to those who wait there. To be called when it may have become free otherwise than by the
    /// end of a claim: when a replica that was not to be asked is asked again.
    pub fn serve_waiting(&self, pool: PoolId) {
        if let Some(table) = self.load().table(pool) {
            table.serve_waiting();
        }
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
}

#[cfg(test)]
mod tests;
