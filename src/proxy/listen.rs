//! One single-threaded runtime for each core, each with a socket of its own at every address where clients connect.

use std::{
    collections::HashMap,
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
    runtime::{Builder, LocalOptions},
    sync::{Notify, mpsc, watch},
    task::{AbortHandle, spawn_local},
    time::{MissedTickBehavior, interval, timeout},
};

use super::{Config, Links, Listener, forward, routing::Routing, slice::run_soon, thread::Core};

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
    /// Told when the last connection has ended.
    emptied: Notify,
}

/// A new connection that a core passes on.
struct Passed {
    stream: std::net::TcpStream,
    peer: SocketAddr,
    listen: SocketAddr,
}

/// A connection that is counted as its core's.
struct Counted(Rc<Place>);

/// Where a core accepts connections: nowhere any more when this is dropped.
#[derive(Default)]
struct Doors(HashMap<SocketAddr, (Arc<Listener>, AbortHandle)>);

/// Binds `address` for this many cores. Port 0 draws one.
pub fn bind(address: SocketAddr, cores: usize) -> io::Result<Listener> {
    // alone first: SO_REUSEPORT would let a second balancer take every other connection of a first one
    let bound = socket(address, false)?.local_addr()?;
    let sockets = (0..cores).map(|_| socket(bound, true)).collect::<io::Result<_>>()?;
    Ok(Listener::new(address, bound, sockets))
}

/// A socket bound to `address`; it listens if it shares it.
fn socket(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    let _nagle_is_only_slow = socket.set_tcp_nodelay(true); // connections inherit it
    socket.bind(&address.into())?;
    if shared {
        socket.listen(BACKLOG)?;
    }
    Ok(socket.into())
}

impl Plane {
    /// Starts a thread for each of so many cores.
    pub fn start(cores: usize, config: &Config, links: &Links) -> io::Result<Self> {
        let (inboxes, receivers): (Vec<_>, Vec<_>) = (0..cores).map(|_| mpsc::channel(INBOX)).unzip();
        let loads: Arc<[_]> = (0..cores).map(|_| CachePadded::default()).collect();
        let (stopping, stop) = watch::channel(false);
        let begun = Instant::now();
        let mut threads = Vec::with_capacity(cores);
        for (index, inbox) in receivers.into_iter().enumerate() {
            let (config, links, stop) = (config.clone(), links.clone(), stop.clone());
            let (loads, inboxes) = (loads.clone(), inboxes.clone());
            let (tell, told) = std::sync::mpsc::channel();
            let work = move || {
                // a runtime of this thread alone: its tasks need no set of their own, which would look at `run` in every turn
                let built = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
                let runtime = match built {
                    Ok(runtime) => runtime,
                    Err(error) => return drop(tell.send(error)),
                };
                drop(tell);
                run_soon();
                let core = Rc::new(Core::new(index, cores, config, links, begun));
                let place = Rc::new(Place { index, loads, inboxes, emptied: Notify::new() });
                runtime.block_on(run(core, place, inbox, stop));
            };
            threads.push(thread::Builder::new().name(format!("core-{index}")).spawn(work)?);
            if let Ok(error) = told.recv() {
                return Err(error);
            }
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
async fn run(
    core: Rc<Core>,
    place: Rc<Place>,
    mut inbox: mpsc::Receiver<Passed>,
    mut stop: watch::Receiver<bool>,
) {
    let (mut sweep, mut ticks) = (interval(SWEEP), interval(forward::TICK));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut epoch = core.links.epoch.clone();
    epoch.mark_changed();
    let mut doors = Doors::default();
    loop {
        tokio::select! {
            Some(passed) = inbox.recv() => place.take_over(&core, passed),
            now = ticks.tick() => core.tick(now.into()),
            _ = sweep.tick() => core.sweep(),
            Ok(()) = epoch.changed() => {
                let epoch = *epoch.borrow_and_update();
                core.follow();
                doors.follow(&core.ways().routing, &core, &place);
                core.acknowledge(epoch);
            }
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    drop(doors);
    core.stop();
    let drained = async {
        while place.load().load(Relaxed) > 0 {
            tokio::select! {
                () = place.emptied.notified() => {}
                Some(passed) = inbox.recv() => place.take_over(&core, passed),
                now = ticks.tick() => core.tick(now.into()),
                Ok(()) = epoch.changed() => {
                    let epoch = *epoch.borrow_and_update();
                    core.follow();
                    core.acknowledge(epoch);
                }
            }
        }
    };
    if timeout(core.ways().drain_timeout(), drained).await.is_err() {
        let connections = place.load().load(Relaxed);
        tracing::warn!(connections, "the drain timeout is over: connections are cut off");
    }
}

/// Accepts connections to a listener.
async fn accept(core: Rc<Core>, place: Rc<Place>, listener: tokio::net::TcpListener, listen: SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                if let Some(stream) = place.keep_or_pass(stream, peer, listen) {
                    place.serve(&core, stream, peer, listen);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Place {
    fn load(&self) -> &AtomicUsize {
        &self.loads[self.index]
    }

    /// Counts a new connection to this core and returns it, or passes it on to one that has fewer.
    fn keep_or_pass(&self, stream: TcpStream, peer: SocketAddr, listen: SocketAddr) -> Option<TcpStream> {
        let load = |core: usize| self.loads[core].load(Relaxed);
        let least = (0..self.loads.len()).min_by_key(|core| load(*core)).unwrap_or(self.index);
        let room = match self.inboxes[least].try_reserve() {
            Ok(room) if load(self.index) > load(least) + AHEAD => room,
            _ => {
                self.load().fetch_add(1, Relaxed);
                return Some(stream);
            }
        };
        if let Ok(stream) = stream.into_std() {
            self.loads[least].fetch_add(1, Relaxed);
            room.send(Passed { stream, peer, listen });
        }
        None
    }

    /// Serves a connection that another core accepted and counted, maybe at a listener that this one has not heard of.
    fn take_over(self: &Rc<Self>, core: &Rc<Core>, passed: Passed) {
        core.reroute();
        match TcpStream::from_std(passed.stream) {
            Ok(stream) => self.serve(core, stream, passed.peer, passed.listen),
            Err(_) => drop(Counted(self.clone())),
        }
    }

    /// Serves a connection that is counted already.
    fn serve(self: &Rc<Self>, core: &Rc<Core>, stream: TcpStream, peer: SocketAddr, listen: SocketAddr) {
        let (core, counted) = (core.clone(), Counted(self.clone()));
        spawn_local(async move {
            let _until_its_end = counted;
            forward::serve(core, stream, peer, listen).await;
        });
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if self.0.load().fetch_sub(1, Relaxed) == 1 {
            self.0.emptied.notify_one();
        }
    }
}

impl Doors {
    /// Accepts connections just where this routing says.
    fn follow(&mut self, routing: &Routing, core: &Rc<Core>, place: &Rc<Place>) {
        let stays =
            |door: &Arc<Listener>| routing.listeners().iter().any(|listener| Arc::ptr_eq(listener, door));
        self.0.retain(|_, (door, task)| {
            let stays = stays(door);
            if !stays {
                task.abort();
            }
            stays
        });
        for listener in routing.listeners() {
            let Some(socket) = listener.take(core.index()) else { continue };
            match tokio::net::TcpListener::from_std(socket) {
                Ok(socket) => {
                    let listen = listener.configured;
                    let task = spawn_local(accept(core.clone(), place.clone(), socket, listen));
                    self.0.insert(listen, (listener.clone(), task.abort_handle()));
                }
                Err(error) => tracing::error!(%error, "a core cannot listen"),
            }
        }
    }
}

impl Drop for Doors {
    fn drop(&mut self) {
        self.0.values().for_each(|(_, task)| task.abort());
    }
}
