//! The requests of replicas that are there no more: a pool's totals outlive its instances.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{Ordering::Acquire, fence},
    },
};

use crate::{
    name::Name,
    table::{Counts, Replica},
};

/// The replicas that a fleet has let go of, in one count for each name that somebody has after them and one for the rest,
/// and those of them that somebody still uses: a request that ends, a connection that is not closed yet. Each counts once.
#[derive(Debug, Default)]
pub(super) struct Departed {
    named: HashMap<Name, Counts>,
    rest: Counts,
    used: Vec<Arc<Replica>>,
}

impl Departed {
    /// These, and `gone` too, which no request gets any more, where these names are still somebody's.
    pub(super) fn and(
        &self,
        gone: impl IntoIterator<Item = Arc<Replica>>,
        is_desired: impl Fn(&Name) -> bool,
    ) -> Self {
        let mut departed = Departed { rest: self.rest, ..Departed::default() };
        for (name, counts) in &self.named {
            departed.add(name, *counts, &is_desired);
        }
        for replica in &self.used {
            match is_final(replica) {
                true => departed.add(&replica.name, replica.counts(), &is_desired),
                false => departed.used.push(replica.clone()),
            }
        }
        departed.used.extend(gone);
        departed
    }

    fn add(&mut self, name: &Name, counts: Counts, is_desired: impl Fn(&Name) -> bool) {
        if is_desired(name) {
            *self.named.entry(name.clone()).or_default() += counts;
        } else {
            self.rest += counts;
        }
    }

    /// Whether nobody uses one of them any more that is not in the one count yet.
    pub(super) fn has_final(&self) -> bool {
        self.used.iter().any(is_final)
    }

    /// Their requests, in one reading.
    pub(super) fn counts(&self) -> Counts {
        let mut counts = self.rest;
        self.named.values().for_each(|named| counts += *named);
        self.used.iter().for_each(|replica| counts += replica.counts());
        counts
    }

    /// Those of them that were sent to one of this name.
    pub(super) fn counts_of(&self, name: &Name) -> Counts {
        let mut counts = self.named.get(name).copied().unwrap_or_default();
        let used = self.used.iter().filter(|replica| replica.name == *name);
        used.for_each(|replica| counts += replica.counts());
        counts
    }
}

/// Whether nobody counts anything there any more: whoever does so has it.
fn is_final(replica: &Arc<Replica>) -> bool {
    let alone = Arc::strong_count(replica) == 1;
    fence(Acquire); // what the last of the others counted is seen
    alone
}

impl PartialEq for Departed {
    /// Whether it is the same replicas.
    fn eq(&self, other: &Self) -> bool {
        let same = |(one, other): (&Arc<Replica>, &Arc<Replica>)| Arc::ptr_eq(one, other);
        let sums = self.rest == other.rest && self.named == other.named;
        let alike = sums && self.used.len() == other.used.len();
        alike && self.used.iter().zip(&other.used).all(same)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::SocketAddr,
        sync::{
            Mutex,
            atomic::{AtomicBool, Ordering::SeqCst},
        },
        thread,
        time::Duration,
    };

    use rand::{RngExt, SeedableRng, rngs::StdRng};

    use super::*;
    use crate::{
        name::{InstanceId, Number},
        policy::{Kind, Policy, Request, Settings},
        ring::{Member, Ring, Spec, Weight},
        table::{InFlight, PoolId, Published, Table},
    };

    const CLAIMS: u64 = 20_000;
    const WORKERS: u64 = 3;

    fn replica(life: u64) -> Arc<Replica> {
        let (name, address) = ("Server-1".parse().unwrap(), SocketAddr::from(([127, 0, 0, 1], 1)));
        Arc::new(Replica::new(name, Number::new(1).unwrap(), InstanceId::from_bits(life), address))
    }

    const POOL: PoolId = PoolId(0);

    /// A table with this replica alone.
    fn table(replica: &Arc<Replica>) -> Table {
        let member = Member { number: replica.number, weight: Weight::ONE };
        let ring = Arc::new(Ring::build(&[member], &Spec::assignment()).unwrap());
        let policy = Policy::new(&Settings { kind: Kind::Ring, ..Settings::default() });
        Table::new(ring, vec![Some(replica.clone())]).shared(policy, usize::MAX)
    }

    /// Claims and lets go, some at once and some much later, and counts what comes of it.
    fn work(published: &Published, seed: u64) -> u64 {
        let (mut rng, mut held, mut retries) = (StdRng::seed_from_u64(seed), Vec::<InFlight>::new(), 0);
        for id in 0..CLAIMS {
            let request = Request { id, now: Duration::ZERO, rng: &mut StdRng::seed_from_u64(id) };
            held.push(published.claim(POOL, request, None, &[]).expect("one serves"));
            if rng.random_bool(0.5) {
                let ended = held.swap_remove(rng.random_range(0..held.len()));
                let left = ended.replica().clone();
                drop(ended);
                if rng.random_bool(0.2) {
                    left.count_retry(); // as the forwarder does: when the claim is gone already
                    retries += 1;
                }
            }
            held.truncate(20);
        }
        retries
    }

    /// Replicas come and go while requests choose them and are held beyond their end; whoever looks sees each claim
    /// once, and never one less than before.
    #[test]
    fn whoever_departs_counts_once_at_every_reading() {
        let mut present = replica(0);
        let published = Published::new(0);
        published.publish(POOL, table(&present));
        let seen = Mutex::new((Arc::new(Departed::default()), present.clone()));
        let done = AtomicBool::new(false);
        let read = || {
            let (departed, present) = seen.lock().unwrap().clone();
            let mut counts = departed.counts();
            counts += present.counts();
            counts
        };
        let retries = thread::scope(|scope| {
            let watcher = scope.spawn(|| {
                let mut before = Counts::default();
                while !done.load(SeqCst) {
                    let now = read();
                    assert_eq!(now.dispatched(), now.completed() + now.pending());
                    assert!(now.completed() >= before.completed(), "{now:?} after {before:?}");
                    assert!(now.retries >= before.retries, "{now:?} after {before:?}");
                    before = now;
                }
            });
            let published = &published;
            let workers: Vec<_> =
                (0..WORKERS).map(|seed| scope.spawn(move || work(published, seed))).collect();
            let mut life = 0;
            while workers.iter().any(|worker| !worker.is_finished()) {
                life += 1;
                let next = replica(life);
                published.publish(POOL, table(&next));
                let gone = std::mem::replace(&mut present, next.clone());
                let mut seen = seen.lock().unwrap();
                *seen = (Arc::new(seen.0.and([gone], |_| true)), next);
            }
            done.store(true, SeqCst);
            watcher.join().unwrap();
            assert!(life > 10, "it was only replaced {life} times");
            workers.into_iter().map(|worker| worker.join().unwrap()).sum::<u64>()
        });
        let counts = read();
        assert_eq!((counts.dispatched(), counts.pending()), (WORKERS * CLAIMS, 0));
        assert_eq!(counts.retries, retries);
        let mut last = (*seen.into_inner().unwrap().0).and([], |_| true);
        while last.has_final() {
            last = last.and([], |_| true);
        }
        assert!(last.used.is_empty(), "{} are kept for ever", last.used.len());
    }

    #[test]
    fn one_that_is_used_is_not_taken_into_the_one_count_before_its_time() {
        let one = replica(1);
        let departed = Departed::default().and([one.clone()], |_| true);
        one.count_retry();
        assert!(!departed.has_final());
        assert_eq!(
            (departed.and([], |_| true).used.len(), departed.and([], |_| true).counts().retries),
            (1, 1)
        );
        drop(one);
        assert!(departed.has_final());
        let all = departed.and([], |_| true);
        assert_eq!((all.used.len(), all.counts().retries, departed.counts().retries), (0, 1, 1));
        assert_ne!(all, departed);
    }

    #[test]
    fn a_name_keeps_its_counts_for_as_long_as_it_is_somebodys() {
        let (one, name) = (replica(1), "Server-1".parse().unwrap());
        one.count_retry();
        let departed = Departed::default().and([one], |_| true);
        let retries = |departed: &Departed| (departed.counts_of(&name).retries, departed.counts().retries);
        assert_eq!(retries(&departed), (1, 1));
        let kept = departed.and([], |_| true);
        assert_eq!((retries(&kept), kept.used.len()), ((1, 1), 0), "nobody else has it");
        drop(departed);
        let kept = kept.and([], |_| true);
        assert_eq!((retries(&kept), kept.used.len()), ((1, 1), 0));
        assert_eq!(retries(&kept.and([], |_| false)), (0, 1));
    }
}
