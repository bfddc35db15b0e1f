//! One core's connections of HTTP/2 to replicas, each shared by many requests.

use std::{
    cell::RefCell,
    collections::HashMap,
    fmt,
    future::poll_fn,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use h2::client;
use tokio::{net::TcpStream, sync::watch};

use super::{
    CONNECTION_WINDOW, SEND_BUFFER, STREAM_WINDOW,
    call::Call,
    header_list, inner_limits,
    pulse::Pulse,
    traffic::{Part, ROOM, Traffic},
};
use crate::{
    proxy::{
        forward::{Blame, Deadlines, Line, Opening, connect},
        framing::{Limits, Scratch},
        pool::Way,
        thread::Core,
    },
    table::Replica,
};

/// The way to a replica over a connection.
pub(super) type Sender = client::SendRequest<Bytes>;

/// What became of opening a connection; nothing yet.
type State = watch::Receiver<Option<Result<Sender, Blame>>>;

/// The connections of a core.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Links {
    replicas: RefCell<HashMap<*const Replica, Linked>>,
    /// Where the fields of a request's head are, while it is read.
    fields: Rc<RefCell<Scratch>>,
}

#[derive(Debug)]
struct Linked {
    replica: Arc<Replica>, // keeps the pointer that is its key from becoming another's
    links: Vec<Link>,
}

/// A connection. When it is dropped, what is under way over it still ends.
struct Link {
    state: State,
    /// The same, when it is open.
    sender: Option<Sender>,
    traffic: Rc<Traffic>,
    begun: Instant,
    used: Instant,
}

/// The way for a request to a replica, over a connection that has room or a new one: at once, or when that is open. And
/// whether it carried others before.
pub(in crate::proxy) fn open(
    core: &Core,
    way: &Way,
    replica: &Arc<Replica>,
) -> (Result<Line, Opening>, bool) {
    let (joined, part, is_used) = core.calls.join(core, way, replica);
    let (limits, fields) = (inner_limits(&core.config.limits), core.calls.fields.clone());
    let call = move |sender| Line::Call(Box::new(Call::new(sender, part, limits, fields)));
    let opened: Result<Line, Opening> = match joined {
        Ok(sender) => Ok(call(sender)),
        Err(mut state) => Err(Box::pin(async move {
            match state.wait_for(Option::is_some).await.as_deref() {
                Ok(Some(opened)) => opened.clone().map(call),
                _ => Err(Blame::Replica),
            }
        })),
    };
    (opened, is_used)
}

impl Links {
    /// A request's part in a connection: one that is open, or else what will become of it.
    fn join(&self, core: &Core, way: &Way, replica: &Arc<Replica>) -> (Result<Sender, State>, Part, bool) {
        let (mut replicas, now) = (self.replicas.borrow_mut(), core.deadlines.time());
        let none = || Linked { replica: replica.clone(), links: Vec::new() };
        let links = &mut replicas.entry(Arc::as_ptr(replica)).or_insert_with(none).links;
        links.retain_mut(|link| !link.is_closed());
        let found = links.iter_mut().find(|link| link.traffic.has_room());
        let is_used = found.is_some();
        let link = match found {
            Some(link) => link,
            None => {
                let deadline = way.config.connect_timeout;
                links.push(Link::open(replica.address, deadline, &core.config.limits, &core.deadlines));
                links.last_mut().expect("it was just put there")
            }
        };
        link.used = now;
        let joined = link.sender().cloned().ok_or_else(|| link.state.clone());
        (joined, link.traffic.join(), is_used)
    }

    /// Closes connections that were idle or open for too long, and those to replicas that do not serve any more; with
    /// what is under way over them.
    pub(in crate::proxy) fn sweep(&self, idle_timeout: Duration, age: Duration, now: Instant) {
        let mut replicas = self.replicas.borrow_mut();
        replicas.retain(|_, linked| linked.replica.is_seated());
        for linked in replicas.values_mut() {
            linked.links.retain_mut(|link| {
                if link.traffic.requests() > 0 {
                    link.used = now;
                }
                now.duration_since(link.used) < idle_timeout
                    && now.duration_since(link.begun) < age
                    && !link.is_closed()
            });
        }
    }
}

impl Link {
    fn open(address: SocketAddr, deadline: Duration, limits: &Limits, deadlines: &Rc<Deadlines>) -> Self {
        let (tell, state) = watch::channel(None);
        let (builder, traffic) = (builder(limits), Traffic::new());
        let (all, shared) = (deadlines.clone(), traffic.clone());
        tokio::task::spawn_local(async move {
            let opened = match connect(address, deadline).await {
                Ok(stream) => builder.handshake(stream).await.map_err(|_| Blame::Replica),
                Err(blame) => Err(blame),
            };
            match opened {
                Ok((sender, connection)) => {
                    tell.send_replace(Some(Ok(sender)));
                    drop(tell);
                    carry(connection, &all, &shared).await;
                }
                Err(blame) => _ = tell.send_replace(Some(Err(blame))),
            }
        });
        let now = deadlines.time();
        Link { state, sender: None, traffic, begun: now, used: now }
    }

    /// The way over it, if it is open.
    fn sender(&mut self) -> Option<&mut Sender> {
        if self.sender.is_none()
            && let Some(Ok(sender)) = &*self.state.borrow()
        {
            self.sender = Some(sender.clone());
        }
        self.sender.as_mut()
    }

    /// Whether it takes no more requests.
    fn is_closed(&mut self) -> bool {
        match self.sender() {
            // nobody is woken: with no request of its own it is ready, or never again
            Some(sender) => {
                matches!(sender.poll_ready(&mut Context::from_waker(Waker::noop())), Poll::Ready(Err(_)))
            }
            None => self.state.borrow().is_some() || self.state.has_changed().is_err(),
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("traffic", &self.traffic).field("begun", &self.begun).finish()
    }
}

/// Has a connection go on until it ends, or nobody is at its other end any more. Each request is told.
async fn carry(mut connection: client::Connection<TcpStream>, all: &Rc<Deadlines>, traffic: &Traffic) {
    let pings = connection.ping_pong().expect("it is asked for once");
    let mut pulse = Pulse::new(pings, all);
    poll_fn(|cx| {
        if Pin::new(&mut connection).poll(cx).is_ready() {
            return Poll::Ready(());
        }
        traffic.set_room(connection.max_concurrent_send_streams());
        pulse.poll(cx, traffic)
    })
    .await;
}

fn builder(limits: &Limits) -> client::Builder {
    let mut builder = client::Builder::new();
    builder
        .enable_push(false)
        .initial_max_send_streams(ROOM)
        .max_header_list_size(header_list(limits))
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER);
    builder
}
