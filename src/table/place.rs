//! The connections that the whole balancer has to one replica. Pure.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use super::Replica;

/// How many connections there are, and how many more are wanted at once.
#[derive(Debug, Default)]
pub(super) struct Places {
    taken: AtomicUsize,
    wanted: AtomicUsize,
}

/// A connection's place among those to its replica, from before it is opened until it is closed.
#[derive(Debug)]
pub struct Place(Arc<Replica>);

/// Somebody waits for a [`Place`]: who keeps a connection for later closes it.
#[derive(Debug)]
pub struct Waiting(Arc<Replica>);

impl Place {
    /// Takes one, if there are then `most` at most. There are never more, not for a moment.
    pub fn take(replica: &Arc<Replica>, most: usize) -> Option<Self> {
        let more = |taken| (taken < most).then_some(taken + 1);
        let taken = replica.places.taken.fetch_update(SeqCst, SeqCst, more);
        taken.is_ok().then(|| Place(replica.clone()))
    }

    /// Whose it is.
    pub fn replica(&self) -> &Arc<Replica> {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.places.taken.fetch_sub(1, SeqCst);
    }
}

impl Waiting {
    /// Says so until this is dropped.
    pub fn begin(replica: &Arc<Replica>) -> Self {
        replica.places.wanted.fetch_add(1, SeqCst);
        Waiting(replica.clone())
    }

    /// Whose place is waited for.
    pub fn replica(&self) -> &Arc<Replica> {
        &self.0
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.places.wanted.fetch_sub(1, SeqCst);
    }
}

impl Places {
    pub(super) fn taken(&self) -> usize {
        self.taken.load(SeqCst)
    }

    pub(super) fn wanted(&self) -> usize {
        self.wanted.load(SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, thread};

    use super::*;
    use crate::name::{InstanceId, Number};

    fn replica() -> Arc<Replica> {
        let (name, address) = ("Server-1".parse().unwrap(), SocketAddr::from(([127, 0, 0, 1], 1)));
        Arc::new(Replica::new(name, Number::new(1).unwrap(), InstanceId::from_bits(1), address))
    }

    #[test]
    fn there_is_never_one_more_than_there_may_be() {
        let replica = replica();
        let take = || {
            let places: Vec<_> = (0..3).map_while(|_| Place::take(&replica, 5)).collect();
            assert!(replica.connections() <= 5);
            places.len() < 3
        };
        let refused = thread::scope(|scope| {
            let cores: Vec<_> =
                (0..4).map(|_| scope.spawn(|| (0..50_000).filter(|_| take()).count())).collect();
            cores.into_iter().map(|core| core.join().unwrap()).sum::<usize>()
        });
        assert_eq!(replica.connections(), 0);
        let all: Vec<_> = (0..5).map_while(|_| Place::take(&replica, 5)).collect();
        assert_eq!((all.len(), replica.connections()), (5, 5), "{refused} were refused before");
        assert!(Place::take(&replica, 5).is_none());
    }

    #[test]
    fn who_waits_is_known_until_the_wait_is_over() {
        let replica = replica();
        let waiting = Waiting::begin(&replica);
        assert!(replica.is_waited_for());
        drop(waiting);
        assert!(!replica.is_waited_for());
    }
}
