//! One core's open connections to replicas that nobody uses now: the last one used is used first.

use std::{
    cell::RefCell,
    collections::HashMap,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::net::TcpStream;

use crate::table::{Place, Replica};

/// Idle connections of a core to one replica, above which more are closed, however many there may be.
const MOST_IDLE: usize = 1024;
/// Connections older than this are not used again: whatever balances below them gets its turn.
pub(in crate::proxy) const MOST_AGE: Duration = Duration::from_secs(3600);

/// A connection to a replica.
pub(in crate::proxy) trait Upstream {
    /// Whether it cannot be used again: it was closed, or something came that nobody asked for. Must cost nothing
    /// where neither is so.
    fn is_stale(&self) -> bool;
}

impl Upstream for TcpStream {
    fn is_stale(&self) -> bool {
        // no system call, unless the socket became readable since it was last read empty
        !matches!(self.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// The idle connections of a core.
#[derive(Debug)]
pub(in crate::proxy) struct Idle<S> {
    /// How many cores there are.
    cores: usize,
    replicas: RefCell<HashMap<*const Replica, Parked<S>>>,
}

#[derive(Debug)]
struct Parked<S> {
    replica: Arc<Replica>, // keeps the pointer that is its key from becoming another's
    connections: Vec<Connection<S>>,
}

#[derive(Debug)]
struct Connection<S> {
    stream: S,
    place: Place, // given back when the stream is closed
    opened: Instant,
    parked: Instant,
}

impl<S: Upstream> Idle<S> {
    /// None yet, of a core that is one of so many.
    pub(in crate::proxy) fn new(cores: usize) -> Self {
        Idle { cores, replicas: RefCell::default() }
    }

    /// A connection that is still open, and when it was opened.
    pub(in crate::proxy) fn take(&self, replica: &Arc<Replica>) -> Option<(S, Place, Instant)> {
        let mut replicas = self.replicas.borrow_mut();
        let connections = &mut replicas.get_mut(&Arc::as_ptr(replica))?.connections;
        let newest_first = std::iter::from_fn(|| connections.pop());
        let mut open = newest_first.filter(|connection| !connection.stream.is_stale());
        open.next().map(|connection| (connection.stream, connection.place, connection.opened))
    }

    /// Keeps a connection whose last response has ended, if the replica still serves and nobody waits for its place. Where
    /// there may be `most` of all cores together, each core keeps its part of them at most, so that the others have theirs.
    pub(in crate::proxy) fn give_back(
        &self,
        stream: S,
        place: Place,
        most: usize,
        opened: Instant,
        now: Instant,
    ) {
        let replica = place.replica();
        if !replica.is_seated() || replica.is_waited_for() {
            return;
        }
        let mut replicas = self.replicas.borrow_mut();
        let empty = || Parked { replica: replica.clone(), connections: Vec::new() };
        let connections = &mut replicas.entry(Arc::as_ptr(replica)).or_insert_with(empty).connections;
        if connections.len() < MOST_IDLE.min(most / self.cores) {
            connections.push(Connection { stream, place, opened, parked: now });
        }
    }

    /// Closes a connection to a replica, if there is one.
    pub(in crate::proxy) fn close_one(&self, replica: &Arc<Replica>) {
        if let Some(parked) = self.replicas.borrow_mut().get_mut(&Arc::as_ptr(replica)) {
            parked.connections.pop();
        }
    }

    /// Closes a connection to each replica whose connections another core waits for.
    pub(in crate::proxy) fn make_room(&self) {
        let mut replicas = self.replicas.borrow_mut();
        let waited_for = replicas.values_mut().filter(|parked| parked.replica.is_waited_for());
        waited_for.for_each(|parked| _ = parked.connections.pop());
    }

    /// Closes connections that were idle or open for too long, those that the replica closed, and those to replicas
    /// that do not serve any more.
    pub(in crate::proxy) fn sweep(&self, idle_timeout: Duration, age: Duration, now: Instant) {
        let mut replicas = self.replicas.borrow_mut();
        replicas.retain(|_, parked| parked.replica.is_seated());
        for parked in replicas.values_mut() {
            parked.connections.retain(|connection| {
                now.duration_since(connection.parked) < idle_timeout
                    && now.duration_since(connection.opened) < age
                    && !connection.stream.is_stale()
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::RefCell,
        net::{Ipv4Addr, SocketAddr},
        rc::Rc,
    };

    use super::*;
    use crate::{
        name::{InstanceId, Number},
        table::Waiting,
    };

    const MOST: usize = usize::MAX;
    const MINUTE: Duration = Duration::from_secs(60);

    /// A connection with a number, and those that the replica has closed.
    #[derive(Debug)]
    struct Wire(u32, Rc<RefCell<Vec<u32>>>);

    impl Upstream for Wire {
        fn is_stale(&self) -> bool {
            self.1.borrow().contains(&self.0)
        }
    }

    fn replica() -> Arc<Replica> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let name = "Server-1".parse().unwrap();
        Arc::new(Replica::new(name, Number::new(1).unwrap(), InstanceId::from_bits(1), address))
    }

    fn place(replica: &Arc<Replica>) -> Place {
        Place::take(replica, usize::MAX).unwrap()
    }

    fn number(taken: Option<(Wire, Place, Instant)>) -> Option<u32> {
        taken.map(|(wire, ..)| wire.0)
    }

    #[test]
    fn the_last_one_used_is_used_first_and_closed_ones_never() {
        let (idle, replica, closed, now) = (Idle::new(1), replica(), Rc::default(), Instant::now());
        for number in 1..=4 {
            idle.give_back(Wire(number, Rc::clone(&closed)), place(&replica), MOST, now, now);
        }
        closed.borrow_mut().push(3);
        assert_eq!(number(idle.take(&replica)), Some(4));
        assert_eq!(number(idle.take(&replica)), Some(2));
        closed.borrow_mut().push(1);
        assert_eq!(number(idle.take(&replica)), None);
    }

    #[test]
    fn connections_grow_neither_old_nor_idle_for_long() {
        let (idle, replica, closed, now) = (Idle::new(1), replica(), Rc::default(), Instant::now());
        idle.give_back(Wire(1, Rc::clone(&closed)), place(&replica), MOST, now, now);
        idle.give_back(Wire(2, Rc::clone(&closed)), place(&replica), MOST, now, now + 3 * MINUTE);
        idle.give_back(Wire(3, Rc::clone(&closed)), place(&replica), MOST, now + MINUTE, now + 3 * MINUTE);
        idle.sweep(2 * MINUTE, 4 * MINUTE, now + 4 * MINUTE);
        assert_eq!(number(idle.take(&replica)), Some(3));
        assert_eq!(number(idle.take(&replica)), None);
    }

    #[test]
    fn nothing_is_kept_of_who_does_not_serve() {
        let (idle, replica, closed, now) = (Idle::new(1), replica(), Rc::default(), Instant::now());
        idle.give_back(Wire(1, Rc::clone(&closed)), place(&replica), MOST, now, now);
        idle.sweep(MINUTE, MINUTE, now);
        assert_eq!(number(idle.take(&replica)), Some(1));
        idle.give_back(Wire(1, Rc::clone(&closed)), place(&replica), MOST, now, now);
        replica.set_seated(false);
        idle.sweep(MINUTE, MINUTE, now);
        assert_eq!(number(idle.take(&replica)), None);
        idle.give_back(Wire(2, Rc::clone(&closed)), place(&replica), MOST, now, now);
        assert_eq!(number(idle.take(&replica)), None);
    }

    #[test]
    fn a_core_keeps_its_part_of_what_there_may_be_and_closes_what_another_waits_for() {
        let (idle, replica, closed, now) = (Idle::new(2), replica(), Rc::default(), Instant::now());
        for number in 1..=5 {
            idle.give_back(Wire(number, Rc::clone(&closed)), place(&replica), 7, now, now);
        }
        assert_eq!(replica.connections(), 3);
        idle.make_room();
        assert_eq!(replica.connections(), 3, "nobody waits");
        let waiting = Waiting::begin(&replica);
        idle.make_room();
        assert_eq!(replica.connections(), 2);
        idle.give_back(Wire(6, Rc::clone(&closed)), place(&replica), 7, now, now);
        assert_eq!(replica.connections(), 2, "not kept");
        drop(waiting);
        idle.close_one(&replica);
        assert_eq!(replica.connections(), 1);
        assert_eq!(number(idle.take(&replica)), Some(1));
        assert_eq!(replica.connections(), 0);
    }
}
