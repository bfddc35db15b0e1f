//! One core's connections of HTTP/2 to replicas, each shared by many requests.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    fmt,
    future::poll_fn,
    net::SocketAddr,
    pin::pin,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::watch;

use super::{
    CONNECTION_WINDOW, Local, SEND_BUFFER, STREAM_WINDOW,
    call::{Call, Upload},
    header_list, inner_limits,
};
use crate::{
    proxy::{
        forward::{Blame, Line, Opening, connect},
        framing::Limits,
        pool::Way,
        thread::Core,
    },
    table::Replica,
};

/// After which silence a connection with requests on it is asked whether it still is one, and how long that may take.
const PING: Duration = Duration::from_secs(10);

/// The requests that a replica takes at a time as long as it has not said how many.
const ROOM: usize = 100;

/// The way to a replica over a connection.
pub(super) type Sender = http2::SendRequest<Upload>;

/// What became of opening a connection; nothing yet.
type Opened = watch::Receiver<Option<Result<Sender, Blame>>>;

/// The connections of a core.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Links {
    replicas: RefCell<HashMap<*const Replica, Linked>>,
}

#[derive(Debug)]
struct Linked {
    replica: Arc<Replica>, // keeps the pointer that is its key from becoming another's
    links: Vec<Link>,
}

/// A connection. When it is dropped, what is under way over it still ends.
struct Link {
    opened: Opened,
    /// One for this and one for each request on it.
    requests: Rc<()>,
    /// The most requests that the replica takes on it at a time, as far as it has said.
    room: Rc<Cell<usize>>,
    begun: Instant,
    used: Instant,
}

/// Opens the way for a request to a replica, over a connection that has room or a new one; and whether it carried others
/// before.
pub(in crate::proxy) fn open(core: &Core, way: &Way, replica: &Arc<Replica>) -> (Opening, bool) {
    let (mut opened, request, is_used) = core.calls.join(core, way, replica);
    let limits = inner_limits(&core.config.limits);
    let opening = Box::pin(async move {
        let sender = match opened.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(opened)) => opened.clone()?,
            _ => return Err(Blame::Replica),
        };
        Ok(Line::Call(Box::new(Call::new(sender, request, limits))))
    });
    (opening, is_used)
}

impl Links {
    fn join(&self, core: &Core, way: &Way, replica: &Arc<Replica>) -> (Opened, Rc<()>, bool) {
        let (mut replicas, now) = (self.replicas.borrow_mut(), core.deadlines.time());
        let none = || Linked { replica: replica.clone(), links: Vec::new() };
        let links = &mut replicas.entry(Arc::as_ptr(replica)).or_insert_with(none).links;
        links.retain(|link| !link.is_closed());
        let found = links.iter_mut().find(|link| link.has_room());
        let is_used = found.is_some();
        let link = match found {
            Some(link) => link,
            None => {
                let deadline = way.config.connect_timeout;
                links.push(Link::open(replica.address, deadline, &core.config.limits, now));
                links.last_mut().expect("it was just put there")
            }
        };
        link.used = now;
        (link.opened.clone(), link.requests.clone(), is_used)
    }

    /// Closes connections that were idle or open for too long, and those to replicas that do not serve any more; with
    /// what is under way over them.
    pub(in crate::proxy) fn sweep(&self, idle_timeout: Duration, age: Duration, now: Instant) {
        let mut replicas = self.replicas.borrow_mut();
        replicas.retain(|_, linked| linked.replica.is_seated());
        for linked in replicas.values_mut() {
            linked.links.retain_mut(|link| {
                if link.requests() > 0 {
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
    fn open(address: SocketAddr, deadline: Duration, limits: &Limits, now: Instant) -> Self {
        let (tell, opened) = watch::channel(None);
        let builder = builder(limits);
        let room = Rc::new(Cell::new(ROOM));
        let said = room.clone();
        tokio::task::spawn_local(async move {
            let opened = match connect(address, deadline).await {
                Ok(stream) => builder.handshake(TokioIo::new(stream)).await.map_err(|_| Blame::Replica),
                Err(blame) => Err(blame),
            };
            match opened {
                Ok((sender, connection)) => {
                    tell.send_replace(Some(Ok(sender)));
                    drop(tell);
                    let mut connection = pin!(connection);
                    let _told_by_each_request = poll_fn(|cx| {
                        let ended = connection.as_mut().poll(cx);
                        said.set(connection.current_max_send_streams());
                        ended
                    })
                    .await;
                }
                Err(blame) => _ = tell.send_replace(Some(Err(blame))),
            }
        });
        Link { opened, requests: Rc::new(()), room, begun: now, used: now }
    }

    fn requests(&self) -> usize {
        Rc::strong_count(&self.requests) - 1
    }

    fn is_closed(&self) -> bool {
        match &*self.opened.borrow() {
            Some(Ok(sender)) => sender.is_closed(),
            Some(Err(_)) => true,
            None => self.opened.has_changed().is_err(),
        }
    }

    /// Whether the replica takes another request on it now.
    fn has_room(&self) -> bool {
        self.requests() < self.room.get()
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("requests", &self.requests()).field("begun", &self.begun).finish()
    }
}

fn builder(limits: &Limits) -> http2::Builder<Local> {
    let mut builder = http2::Builder::new(Local);
    builder
        .timer(TokioTimer::new())
        .max_header_list_size(header_list(limits))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    builder
}
