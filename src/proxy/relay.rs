//! A response's body on its way from a replica to the client.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::timeout;

use super::{connections::Sender, retry::Setback, thread::Core, waiters::Waiter};
use crate::table::InFlight;

/// A response's body. It holds the claim on the replica, and gives the connection back when the replica has sent the last
/// byte; dropped before that, it closes the connection.
pub(super) struct Relayed {
    body: Incoming,
    /// What was held back, to be sent first.
    held: VecDeque<Frame<Bytes>>,
    source: Option<Source>,
}

/// Where it comes from, until it ends.
struct Source {
    core: Rc<Core>,
    sender: Option<Sender>,
    claim: InFlight,
    waiter: Waiter,
}

impl Relayed {
    /// What a replica sends over this connection.
    pub(super) fn new(body: Incoming, core: &Rc<Core>, sender: Sender, claim: InFlight) -> Self {
        let waiter = Waiter::new(&core.waiters, claim.replica());
        let source = Source { core: core.clone(), sender: Some(sender), claim, waiter };
        let mut relayed = Relayed { body, held: VecDeque::new(), source: Some(source) };
        if relayed.body.is_end_stream() {
            relayed.give_back();
        }
        relayed
    }

    /// What the control API sends.
    pub(super) fn of_control(body: Incoming) -> Self {
        Relayed { body, held: VecDeque::new(), source: None }
    }

    /// Its length, where that is known.
    pub(super) fn length(&self) -> Option<u64> {
        self.body.size_hint().exact()
    }

    /// Holds the body until it is whole, but no longer than this.
    pub(super) async fn hold(&mut self, most: Duration) -> Result<(), Setback> {
        let whole = async {
            while let Some(frame) = std::future::poll_fn(|cx| self.pull(cx)).await {
                match frame {
                    Ok(frame) => self.held.push_back(frame),
                    Err(error) if error.kind() == io::ErrorKind::HostUnreachable => {
                        return Err(Setback::GivenUp);
                    }
                    Err(_) => return Err(Setback::Broken),
                }
                if self.body.is_end_stream() {
                    break;
                }
            }
            Ok(())
        };
        timeout(most, whole).await.unwrap_or(Ok(()))
    }

    /// The next frame from the replica.
    fn pull(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let frame = match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                let given_up = self.source.as_mut().is_some_and(|source| source.waiter.is_given_up(cx));
                if !given_up {
                    return Poll::Pending;
                }
                self.drop_connection();
                return Poll::Ready(Some(Err(io::ErrorKind::HostUnreachable.into())));
            }
        };
        match &frame {
            Some(Err(_)) => self.drop_connection(),
            None => self.give_back(),
            Some(Ok(_)) if self.body.is_end_stream() => self.give_back(),
            Some(Ok(_)) => {}
        }
        Poll::Ready(frame.map(|frame| frame.map_err(io::Error::other)))
    }

    fn give_back(&mut self) {
        if let Some(source) = &mut self.source
            && let Some(sender) = source.sender.take()
        {
            source.core.connections.give_back(source.claim.replica(), sender);
        }
    }

    fn drop_connection(&mut self) {
        if let Some(source) = &mut self.source {
            source.sender = None;
        }
    }
}

impl Body for Relayed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(frame) = self.held.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        let frame = ready!(self.pull(cx));
        if let (Some(Err(_)), Some(source)) = (&frame, &self.source) {
            let replica = source.claim.replica();
            replica.count_truncated();
            source.core.note(replica, true);
            source.core.suspect(replica);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let held = self.held.iter().filter_map(Frame::data_ref).map(|data| data.len() as u64).sum::<u64>();
        let rest = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + held);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + held);
        }
        hint
    }
}
