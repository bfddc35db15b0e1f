//! One core's open connections to replicas that nobody uses now: the last one used is used first.

use std::{
    cell::RefCell,
    collections::HashMap,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::net::TcpStream;

use crate::table::{Replica, Table};

/// Idle connections to one replica, above which more are closed.
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
    opened: Instant,
    parked: Instant,
}

impl<S> Default for Idle<S> {
    fn default() -> Self {
        Idle { replicas: RefCell::default() }
    }
}

impl<S: Upstream> Idle<S> {
    /// A connection that is still open, and when it was opened.
    pub(in crate::proxy) fn take(&self, replica: &Arc<Replica>) -> Option<(S, Instant)> {
        let mut replicas = self.replicas.borrow_mut();
        let connections = &mut replicas.get_mut(&Arc::as_ptr(replica))?.connections;
        let newest_first = std::iter::from_fn(|| connections.pop());
        let mut open = newest_first.filter(|connection| !connection.stream.is_stale());
        open.next().map(|connection| (connection.stream, connection.opened))
    }

    /// Keeps a connection whose last response has ended, if the replica still serves.
    pub(in crate::proxy) fn give_back(
        &self,
        replica: &Arc<Replica>,
        stream: S,
        opened: Instant,
        now: Instant,
    ) {
        if !replica.is_seated() {
            return;
        }
        let mut replicas = self.replicas.borrow_mut();
        let empty = || Parked { replica: replica.clone(), connections: Vec::new() };
        let connections = &mut replicas.entry(Arc::as_ptr(replica)).or_insert_with(empty).connections;
        if connections.len() < MOST_IDLE {
            connections.push(Connection { stream, opened, parked: now });
        }
    }

    /// Closes connections that were idle or open for too long, those that the replica closed, and those to replicas
    /// that do not serve any more.
    pub(in crate::proxy) fn sweep(&self, table: &Table, idle_timeout: Duration, age: Duration, now: Instant) {
        let mut replicas = self.replicas.borrow_mut();
        replicas.retain(|_, parked| table.serving().any(|serving| Arc::ptr_eq(serving, &parked.replica)));
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
        ring::{Member, Ring, Spec, Weight},
    };

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

    fn table(replica: Option<Arc<Replica>>) -> Table {
        let members = [Member { number: Number::new(1).unwrap(), weight: Weight::ONE }];
        Table::new(Arc::new(Ring::build(&members, &Spec::assignment()).unwrap()), vec![replica])
    }

    fn number(taken: Option<(Wire, Instant)>) -> Option<u32> {
        taken.map(|(wire, _)| wire.0)
    }

    #[test]
    fn the_last_one_used_is_used_first_and_closed_ones_never() {
        let (idle, replica, closed, now) = (Idle::default(), replica(), Rc::default(), Instant::now());
        for number in 1..=4 {
            idle.give_back(&replica, Wire(number, Rc::clone(&closed)), now, now);
        }
        closed.borrow_mut().push(3);
        assert_eq!(number(idle.take(&replica)), Some(4));
        assert_eq!(number(idle.take(&replica)), Some(2));
        closed.borrow_mut().push(1);
        assert_eq!(number(idle.take(&replica)), None);
    }

    #[test]
    fn connections_grow_neither_old_nor_idle_for_long() {
        let (idle, replica, closed, now) = (Idle::default(), replica(), Rc::default(), Instant::now());
        let table = table(Some(replica.clone()));
        idle.give_back(&replica, Wire(1, Rc::clone(&closed)), now, now);
        idle.give_back(&replica, Wire(2, Rc::clone(&closed)), now, now + 3 * MINUTE);
        idle.give_back(&replica, Wire(3, Rc::clone(&closed)), now + MINUTE, now + 3 * MINUTE);
        idle.sweep(&table, 2 * MINUTE, 4 * MINUTE, now + 4 * MINUTE);
        assert_eq!(number(idle.take(&replica)), Some(3));
        assert_eq!(number(idle.take(&replica)), None);
    }

    #[test]
    fn nothing_is_kept_of_who_does_not_serve() {
        let (idle, replica, closed, now) = (Idle::default(), replica(), Rc::default(), Instant::now());
        idle.give_back(&replica, Wire(1, Rc::clone(&closed)), now, now);
        idle.sweep(&table(None), MINUTE, MINUTE, now);
        assert_eq!(number(idle.take(&replica)), None);
        replica.set_seated(false);
        idle.give_back(&replica, Wire(2, Rc::clone(&closed)), now, now);
        assert_eq!(number(idle.take(&replica)), None);
    }
}
