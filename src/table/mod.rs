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
use rand::Rng;

mod counts;
mod place;
pub mod queue;
mod replica;
mod times;
mod waiting;

pub use counts::Counts;
pub use place::{Place, Waiting};
pub use replica::{InFlight, Replica};
pub use times::{Spread, Times};

use crate::{
    name::{InstanceId, Number},
    policy::{Candidates, Load, Policy, Rank, Request},
    ring::Ring,
};
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

/// Why nobody was claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unclaimed {
    /// Nobody serves who was not tried.
    Nobody,
    /// Each of those has as much in flight as it may have, or others wait for them already.
    Full,
    /// So has each, and as many wait as may. After so many seconds the line should have moved.
    Crowded(u64),
    /// The request waited for as long as it may. The same.
    Late(u64),
}

/// The seats of a table as one request sees them.
struct Open<'a> {
    table: &'a Table,
    id: u64,
    tried: &'a [InstanceId],
}

/// The replica that a request prefers to all others.
enum Preferred<'a> {
    /// It may have the request.
    Free(&'a Arc<Replica>),
    /// It has as much in flight as it may have.
    Full,
    /// There is none, or something speaks against it.
    Nobody,
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

    /// Claims the candidate of this pool that its policy chooses among those that are none of `tried` and may have one more
    /// in flight: one that nothing speaks against, else one that the least speaks against. The replica of the `preferred`
    /// number goes first whatever the policy, unless it is suspected or ejected.
    pub fn claim<R: Rng>(
        &self,
        pool: PoolId,
        mut request: Request<'_, R>,
        preferred: Option<Number>,
        tried: &[InstanceId],
    ) -> Result<InFlight, Unclaimed> {
        loop {
            let epoch = self.epoch();
            let snapshot = self.load();
            let table = snapshot.table(pool).ok_or(Unclaimed::Nobody)?;
            let open = Open { table, id: request.id, tried };
            let preferred = open.preferred(preferred);
            let chosen = match preferred {
                Preferred::Free(replica) => Some(replica),
                Preferred::Full | Preferred::Nobody => open.choose(&mut request),
            };
            let Some(chosen) = chosen.filter(|chosen| open.is_for_us(chosen)) else {
                return Err(open.unclaimed());
            };
            let Sharing { is_measured, most, .. } = *table.sharing;
            let is_stand_in = matches!(preferred, Preferred::Full);
            let Some(mut claim) = InFlight::new(chosen, most, is_measured, is_stand_in) else {
                if most == usize::MAX {
                    return Err(Unclaimed::Full);
                }
                continue; // who has become full meanwhile is not chosen again
            };
            if self.epoch() == epoch {
                claim.prove();
                return Ok(claim);
            }
        }
    }
}

impl<'a> Open<'a> {
    /// Whether a request may have this one. Not where others wait for it already; nor where it is one to which others are
    /// preferred, and waiting for one of those spares the request a failure.
    fn is_for_us(&self, chosen: &Replica) -> bool {
        let Some(queue) = &self.table.queue else { return true };
        let mut all = 0..self.table.seats.len();
        let is_sound = |position| self.untried(position).is_some_and(|replica| !replica.is_shunned());
        !(queue.is_waited_in() || queue.is_open() && chosen.is_shunned() && all.any(is_sound))
    }

    fn choose<R: Rng>(&self, request: &mut Request<'_, R>) -> Option<&'a Arc<Replica>> {
        let position = self.table.policy().choose(request, self)?;
        self.table.seats[position].as_ref()
    }

    fn preferred(&self, number: Option<Number>) -> Preferred<'a> {
        let Some(number) = number else { return Preferred::Nobody };
        let position = self.table.ring.members().binary_search_by_key(&number, |member| member.number);
        let replica = position.ok().and_then(|position| self.untried(position));
        match replica.filter(|replica| replica.rank(self.id) <= Rank::Warming) {
            Some(replica) if self.has_room(replica) => Preferred::Free(replica),
            Some(_) => Preferred::Full,
            None => Preferred::Nobody,
        }
    }

    /// Whether it may have one more in flight.
    fn has_room(&self, replica: &Replica) -> bool {
        let most = self.table.sharing.most;
        most == usize::MAX || replica.in_flight() < most
    }

    /// The one who sits here and was not tried.
    fn untried(&self, position: usize) -> Option<&'a Arc<Replica>> {
        let replica = self.table.seats[position].as_ref();
        replica.filter(|replica| !self.tried.contains(&replica.instance) && !replica.is_given_up())
    }

    #[cold]
    fn unclaimed(&self) -> Unclaimed {
        let is_there = (0..self.table.seats.len()).any(|position| self.untried(position).is_some());
        if is_there { Unclaimed::Full } else { Unclaimed::Nobody }
    }
}

impl Candidates for Open<'_> {
    fn ring(&self) -> &Ring {
        &self.table.ring
    }

    fn rank(&self, position: usize) -> Option<Rank> {
        let replica = self.untried(position)?;
        self.has_room(replica).then(|| replica.rank(self.id))
    }

    fn load(&self, position: usize) -> &Load {
        self.table.seats[position].as_ref().expect("asked only where someone sits").load()
    }
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, sync::Barrier, thread};

    use rand::{SeedableRng, rngs::StdRng};

    use super::*;
    use crate::{
        name::Number,
        policy::{Kind, Settings},
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
    fn claim_preferring(
        published: &Published,
        number: u16,
        tried: &[InstanceId],
    ) -> Result<InFlight, Unclaimed> {
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
}
