//! One core's open connections to replicas: the last one used is used first.

use std::{
    cell::RefCell,
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};

use super::kept::Sending;
use crate::{
    limits::is_own_want,
    table::{Replica, Table},
};

/// The sending half of a connection.
pub(super) type Sender = http1::SendRequest<Sending>;

/// Idle connections to one replica, above which more are closed.
const MOST_IDLE: usize = 1024;

/// The idle connections of a core.
#[derive(Debug, Default)]
pub(super) struct Connections {
    idle: RefCell<HashMap<*const Replica, Idle>>,
}

#[derive(Debug)]
struct Idle {
    replica: Arc<Replica>, // keeps the pointer that is its key from becoming another's
    senders: Vec<(Sender, Instant)>,
}

impl Connections {
    /// An idle connection that is still open.
    pub(super) fn take(&self, replica: &Arc<Replica>) -> Option<Sender> {
        let mut idle = self.idle.borrow_mut();
        let senders = &mut idle.get_mut(&Arc::as_ptr(replica))?.senders;
        std::iter::from_fn(|| senders.pop()).map(|(sender, _)| sender).find(Sender::is_ready)
    }

    /// Keeps a connection whose last response has ended.
    pub(super) fn give_back(&self, replica: &Arc<Replica>, sender: Sender) {
        if sender.is_closed() || !replica.is_seated() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        let entry = idle.entry(Arc::as_ptr(replica));
        let senders =
            &mut entry.or_insert_with(|| Idle { replica: replica.clone(), senders: Vec::new() }).senders;
        if senders.len() < MOST_IDLE {
            senders.push((sender, Instant::now()));
        }
    }

    /// Closes connections that were idle for too long, and those to replicas that do not serve any more.
    pub(super) fn sweep(&self, table: &Table, idle_timeout: Duration, now: Instant) {
        let mut idle = self.idle.borrow_mut();
        idle.retain(|_, entry| table.serving().any(|serving| Arc::ptr_eq(serving, &entry.replica)));
        for entry in idle.values_mut() {
            entry
                .senders
                .retain(|(sender, since)| !sender.is_closed() && now.duration_since(*since) < idle_timeout);
        }
    }
}

/// Why there is no connection to a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// The replica did not take it.
    Replica,
    /// There is no descriptor or no port left for it here, which says nothing about the replica.
    Own,
}

/// A new connection to the replica.
pub(super) async fn connect(replica: &Replica, deadline: Duration) -> Result<Sender, Blame> {
    let connected =
        timeout(deadline, TcpStream::connect(replica.address)).await.map_err(|_| Blame::Replica)?;
    let stream = connected.map_err(|error| if is_own_want(&error) { Blame::Own } else { Blame::Replica })?;
    let _nagle_is_only_slow = stream.set_nodelay(true);
    handshake(stream).await.ok_or(Blame::Replica)
}

/// HTTP/1.1 over this stream. Call on a core's thread.
pub(super) async fn handshake(stream: impl AsyncRead + AsyncWrite + Unpin + 'static) -> Option<Sender> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    tokio::task::spawn_local(async move {
        let _its_request_was_told = connection.await;
    });
    Some(sender)
}
