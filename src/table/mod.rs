//! What a request reads: one immutable value, published whole. Pure.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::SeqCst},
};

use arc_swap::ArcSwap;
use crossbeam_utils::CachePadded;
use rand::Rng;

mod place;
mod replica;

pub use place::{Place, Waiting};
pub use replica::{InFlight, Replica};

use crate::{
    name::InstanceId,
    policy::{Candidates, Load, Policy, Rank, Request},
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
    sharing: Arc<Sharing>,
}

/// How requests are shared out; the same in all tables of a pool.
#[derive(Debug)]
struct Sharing {
    policy: Policy,
    /// Whether that goes by how long answers take.
    is_measured: bool,
    /// What a replica may have in flight.
    most: usize,
}

/// Why nobody was claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unclaimed {
    /// Nobody serves who was not tried.
    Nobody,
    /// Each of those has as much in flight as it may have.
    Full,
}

/// The seats of a table as one request sees them.
struct Open<'a> {
    table: &'a Table,
    id: u64,
    tried: &'a [InstanceId],
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
    /// A table over `ring`; `seats[i]` is the instance that serves for `ring.members()[i]`, `None` while it is away. The
    /// ring alone decides who serves.
    ///
    /// # Panics
    /// If there is not exactly one seat for each member.
    pub fn new(ring: Arc<Ring>, seats: Vec<Option<Arc<Replica>>>) -> Self {
        assert_eq!(ring.members().len(), seats.len(), "a seat for each member");
        Table { ring, seats, sharing: Arc::new(Sharing::new(Policy::default(), usize::MAX)) }
    }

    /// The same, where this policy decides, and no replica has more than `most` in flight.
    pub fn shared(self, policy: Policy, most: usize) -> Self {
        Table { sharing: Arc::new(Sharing::new(policy, most)), ..self }
    }

    /// The table that comes after this one: requests are shared out in the same way, as if there had been no change.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    pub fn next(&self, ring: Arc<Ring>, seats: Vec<Option<Arc<Replica>>>) -> Self {
        Table { sharing: self.sharing.clone(), ..Table::new(ring, seats) }
    }

    /// What decides who serves.
    pub fn policy(&self) -> &Policy {
        &self.sharing.policy
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
        let alike = Arc::ptr_eq(&self.ring, &other.ring) && Arc::ptr_eq(&self.sharing, &other.sharing);
        alike && self.seats.iter().zip(&other.seats).all(same)
    }
}

impl Sharing {
    fn new(policy: Policy, most: usize) -> Self {
        Sharing { is_measured: policy.measures(), policy, most }
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

    /// Claims the candidate of the default pool that its policy chooses among those that are none of `tried` and may have
    /// one more in flight: one that nothing speaks against, else one that the least speaks against.
    pub fn claim<R: Rng>(
        &self,
        mut request: Request<'_, R>,
        tried: &[InstanceId],
    ) -> Result<InFlight, Unclaimed> {
        loop {
            let epoch = self.epoch();
            let snapshot = self.load();
            let open = Open { table: &snapshot.default, id: request.id, tried };
            let Some(chosen) = open.choose(&mut request) else { return Err(open.unclaimed()) };
            let Sharing { is_measured, most, .. } = *snapshot.default.sharing;
            // who has become full meanwhile is not chosen again
            let Some(claim) = InFlight::new(chosen, most, is_measured) else { continue };
            if self.epoch() == epoch {
                claim.count_request();
                return Ok(claim);
            }
        }
    }
}

impl<'a> Open<'a> {
    fn choose<R: Rng>(&self, request: &mut Request<'_, R>) -> Option<&'a Arc<Replica>> {
        let position = self.table.policy().choose(request, self)?;
        self.table.seats[position].as_ref()
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
        let (replica, most) = (self.untried(position)?, self.table.sharing.most);
        let has_room = most == usize::MAX || replica.in_flight() < most;
        has_room.then(|| replica.rank(self.id))
    }

    fn load(&self, position: usize) -> &Load {
        self.table.seats[position].as_ref().expect("asked only where someone sits").load()
    }
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, sync::Barrier, thread, time::Duration};

    use rand::{SeedableRng, rngs::StdRng};

    use super::*;
    use crate::{
        name::Number,
        policy::{Kind, Settings},
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

    fn claim(published: &Published, id: u64, tried: &[InstanceId]) -> Result<InFlight, Unclaimed> {
        let rng = &mut StdRng::seed_from_u64(id);
        published.claim(Request { id, now: Duration::ZERO, rng }, tried)
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
        let first = claim(&published, 7, &[]).unwrap();
        assert_eq!(first.replica().in_flight(), 1);
        let second = claim(&published, 7, &[first.replica().instance.clone()]).unwrap();
        assert_ne!(first.replica().instance, second.replica().instance);
        assert!(claim(&published, 7, &[one.instance.clone(), two.instance.clone()]).is_err());
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
        let published =
            Published::new(Snapshot { default: table(vec![Some(one.clone()), Some(two.clone())]) }, 0);
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

    #[test]
    fn one_that_has_all_it_may_have_is_passed_over_and_where_all_have_that_is_said() {
        let seats = vec![Some(replica(1)), Some(replica(2))];
        let published = Published::new(Snapshot { default: table(seats).shared(Policy::default(), 2) }, 0);
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

    #[test]
    fn there_is_never_one_more_in_flight_than_there_may_be() {
        const MOST: usize = 3;
        let replicas = [replica(1), replica(2)];
        for kind in [Kind::Ring, Kind::LeastRequests, Kind::RoundRobin] {
            let policy = Policy::new(&Settings { kind, ..Settings::default() });
            let table = table(replicas.clone().map(Some).to_vec()).shared(policy, MOST);
            let published = Published::new(Snapshot { default: table }, 0);
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
