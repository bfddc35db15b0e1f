//! One single-threaded runtime for each core, each with its own listener on the same port.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use crossbeam_utils::CachePadded;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::TcpStream,
    sync::{mpsc, watch},
    task::{JoinSet, LocalSet},
    time::{MissedTickBehavior, interval, timeout},
};

use super::{
    Config, Links,
    budget::Budget,
    forward::{self, Idle},
    thread::Core,
};

/// Connections that the kernel may hold until they are accepted.
const BACKLOG: i32 = 4096;
/// How far a core may be ahead of the least loaded before it passes a new connection on.
const AHEAD: usize = 2;
/// Connections passed on to a core that it has not taken yet.
const INBOX: usize = 256;
/// Between two looks for idle connections to close.
const SWEEP: Duration = Duration::from_secs(5);
/// The pause after a failed accept, which mostly means that there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// One listener for each core, all on one address.
#[derive(Debug)]
pub struct Listeners {
    address: SocketAddr,
    sockets: Vec<TcpListener>,
}

/// The running data plane.
#[derive(Debug)]
pub struct Plane {
    threads: Vec<thread::JoinHandle<()>>,
    stopping: watch::Sender<bool>,
}

/// One core's place among all.
struct Place {
    index: usize,
    /// Each core's connections.
    loads: Arc<[CachePadded<AtomicUsize>]>,
    /// The way to each core for connections that another accepted.
    inboxes: Vec<mpsc::Sender<Passed>>,
    inbox: mpsc::Receiver<Passed>,
}

/// A new connection that a core passes on.
type Passed = (std::net::TcpStream, SocketAddr);

impl Listeners {
    /// Binds `address` for this many cores. Port 0 draws one.
    pub fn bind(address: SocketAddr, cores: usize) -> io::Result<Self> {
        // alone first: SO_REUSEPORT would let a second balancer take every other connection of a first one
        let address = socket(address, false)?.local_addr()?;
        let sockets = (0..cores).map(|_| socket(address, true)).collect::<io::Result<_>>()?;
        Ok(Listeners { address, sockets })
    }

    /// The address, with the port that was drawn.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A socket bound to `address`; it listens if it shares it.
fn socket(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    if shared {
        socket.listen(BACKLOG)?;
    }
    Ok(socket.into())
}

impl Plane {
    /// Starts a thread for each listener.
    pub fn start(listeners: Listeners, config: &Config, links: &Links) -> io::Result<Self> {
        let cores = listeners.sockets.len();
        let (inboxes, receivers): (Vec<_>, Vec<_>) = (0..cores).map(|_| mpsc::channel(INBOX)).unzip();
        let loads: Arc<[_]> = (0..cores).map(|_| CachePadded::default()).collect();
        let (stopping, stop) = watch::channel(false);
        let (retries, begun) = (Arc::new(Budget::new(config.exchange.retry.budget, cores)), Instant::now());
        let mut threads = Vec::with_capacity(cores);
        for (index, (listener, inbox)) in listeners.sockets.into_iter().zip(receivers).enumerate() {
            let (config, links, stop) = (config.clone(), links.clone(), stop.clone());
            let place = Place { index, loads: loads.clone(), inboxes: inboxes.clone(), inbox };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let retries = retries.clone();
            let work = move || {
                let idle = Idle::new(config.max_connections, cores);
                let core = Core::new(index, config, links, retries, begun, idle);
                LocalSet::new().block_on(&runtime, run(Rc::new(core), listener, place, stop));
            };
            threads.push(thread::Builder::new().name(format!("core-{index}")).spawn(work)?);
        }
        Ok(Plane { threads, stopping })
    }

    /// Accepts nothing more, and returns when what is in flight is done or the drain timeout is over. Blocks.
    pub fn stop(self) {
        self.stopping.send_replace(true);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a core panicked");
            }
        }
    }
}

/// A core's life.
async fn run(core: Rc<Core>, listener: TcpListener, mut place: Place, mut stop: watch::Receiver<bool>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "a core cannot listen"),
    };
    let mut clients = JoinSet::new();
    let (mut sweep, mut ticks) = (interval(SWEEP), interval(forward::TICK));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut epoch = core.links.epoch.clone();
    epoch.mark_changed();
    loop {
        let taken = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => place.keep_or_pass(stream, peer),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    None
                }
            },
            Some((stream, peer)) = place.inbox.recv() => place.take_over(stream, peer),
            Some(_ended) = clients.join_next() => {
                place.load().fetch_sub(1, Relaxed);
                None
            }
            now = ticks.tick() => {
                core.tick(now.into());
                None
            }
            _ = sweep.tick() => {
                core.sweep();
                None
            }
            Ok(()) = epoch.changed() => {
                core.follow(*epoch.borrow_and_update());
                None
            }
            _ = stop.wait_for(|stop| *stop) => break,
        };
        if let Some((stream, peer)) = taken {
            let _nagle_is_only_slow = stream.set_nodelay(true);
            clients.spawn_local(forward::serve(core.clone(), stream, peer));
        }
    }
    drop(listener);
    core.stop();
    let drained = async {
        loop {
            tokio::select! {
                ended = clients.join_next() => if ended.is_none() { break },
                now = ticks.tick() => core.tick(now.into()),
                Ok(()) = epoch.changed() => core.follow(*epoch.borrow_and_update()),
            }
        }
    };
    let drained = timeout(core.config.drain_timeout, drained).await;
    if drained.is_err() {
        tracing::warn!(connections = clients.len(), "the drain timeout is over: connections are cut off");
    }
}

impl Place {
    fn load(&self) -> &AtomicUsize {
        &self.loads[self.index]
    }

    /// Counts a new connection to this core and returns it, or passes it on to one that has fewer.
    fn keep_or_pass(&self, stream: TcpStream, peer: SocketAddr) -> Option<(TcpStream, SocketAddr)> {
        let load = |core: usize| self.loads[core].load(Relaxed);
        let least = (0..self.loads.len()).min_by_key(|core| load(*core)).unwrap_or(self.index);
        let room = match self.inboxes[least].try_reserve() {
            Ok(room) if load(self.index) > load(least) + AHEAD => room,
            _ => {
                self.load().fetch_add(1, Relaxed);
                return Some((stream, peer));
            }
        };
        if let Ok(stream) = stream.into_std() {
            self.loads[least].fetch_add(1, Relaxed);
            room.send((stream, peer));
        }
        None
    }

    /// A connection that another core accepted and counted.
    fn take_over(&self, stream: std::net::TcpStream, peer: SocketAddr) -> Option<(TcpStream, SocketAddr)> {
        let stream = TcpStream::from_std(stream);
        if stream.is_err() {
            self.load().fetch_sub(1, Relaxed);
        }
        stream.ok().map(|stream| (stream, peer))
    }
}
