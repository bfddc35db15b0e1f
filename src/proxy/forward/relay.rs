//! The rest of both bodies, when a response has begun.

use std::{
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{io::AsyncWrite, time::timeout};

use super::{
    answering::Answering,
    asking::Asking,
    attempt::Attempt,
    client::{After, Client, Downstream},
    deadlines::{Moment, NEVER},
    flow::{Cut, Flow},
    upload::Upload,
};
use crate::proxy::{framing::Framing, thread::Core};

/// The longest response body that is read only to keep its connection, in bytes.
const UNWANTED_BODY: u64 = 64 * 1024;

/// How long such a body may take.
const UNWANTED: Duration = Duration::from_secs(10);

/// How a response ended.
enum End {
    Whole,
    /// The client is gone, or takes or sends nothing.
    Client,
    Replica,
}

/// Passes on what comes, to the end of the response.
pub(super) async fn pass_on<S: Downstream>(
    client: &mut Client<S>,
    core: &Core,
    asking: &mut Asking,
    mut answering: Answering,
    mut attempt: Attempt,
) -> After {
    if answering.switches {
        switch(client, asking, &mut answering, &mut attempt);
    }
    let end = match answering.download.is_ended() {
        true => End::Whole,
        false => {
            let mut moving = Moving { moved: (u64::MAX, false), at: NEVER };
            poll_fn(|cx| moving.poll(cx, core, client, asking, &mut answering, &mut attempt)).await
        }
    };
    match end {
        End::Whole => done(client, core, asking, &answering, attempt),
        End::Client => After::Break,
        End::Replica => {
            if let Some(replica) = attempt.replica() {
                replica.count_truncated();
                asking.way.note(replica, true);
                asking.way.suspect(replica);
            }
            if answering.until_close { After::Break } else { After::End }
        }
    }
}

/// Reads a response that nobody wants, to keep its connection.
pub(super) fn discard(core: &Rc<Core>, mut answering: Answering, mut attempt: Attempt) {
    let core = core.clone();
    tokio::task::spawn_local(async move {
        let mut sink = tokio::io::sink();
        let whole = poll_fn(|cx| {
            let buffers = &mut *core.buffers.borrow_mut();
            let (line, _, arrived) = attempt.line();
            match answering.download.poll(cx, line, &mut sink, buffers, arrived.rest()) {
                Poll::Pending if answering.download.moved() <= UNWANTED_BODY => Poll::Pending,
                Poll::Pending => Poll::Ready(false),
                Poll::Ready(outcome) => Poll::Ready(outcome.is_ok()),
            }
        });
        if timeout(UNWANTED, whole).await == Ok(true) && answering.keeps && attempt.arrived.is_empty() {
            attempt.give_back(&core);
        }
    });
}

/// What has come of another protocol goes ahead.
fn switch<S>(client: &mut Client<S>, asking: &mut Asking, answering: &mut Answering, attempt: &mut Attempt) {
    asking.upload = Upload::of_protocol(std::mem::take(client.arrived.rest()));
    attempt.sent = 0;
    let early = std::mem::take(attempt.arrived.rest());
    let head = std::mem::replace(&mut answering.download, Flow::new(Framing::UntilClose));
    answering.download.go_after(head, &early);
}

/// What becomes of both connections after a whole response.
fn done<S>(
    client: &Client<S>,
    core: &Core,
    asking: &Asking,
    answering: &Answering,
    attempt: Attempt,
) -> After {
    if answering.switches {
        return After::End;
    }
    let is_read = asking.upload.is_read();
    if answering.keeps && asking.upload.is_done(attempt.sent) && attempt.arrived.is_empty() {
        attempt.give_back(core);
    }
    match (answering.keep_alive, is_read) {
        (true, true) => After::Next,
        (false, true) if client.arrived.is_empty() => After::End,
        _ => After::Linger,
    }
}

/// What moves, and until when something has to. A client that pauses its request while the response moves, or takes none
/// of the response while its request moves, is not waited for in vain: both may be one conversation.
struct Moving {
    /// What has moved, and whether the client is waited for.
    moved: (u64, bool),
    at: Moment,
}

impl Moving {
    fn poll<S: Downstream>(
        &mut self,
        cx: &mut Context<'_>,
        core: &Core,
        client: &mut Client<S>,
        asking: &mut Asking,
        answering: &mut Answering,
        attempt: &mut Attempt,
    ) -> Poll<End> {
        let buffers = &mut *core.buffers.borrow_mut();
        let is_given_up = attempt.is_given_up();
        let mut is_deaf = attempt.is_deaf;
        let (line, sent, arrived) = attempt.line();
        if !is_deaf && !asking.upload.is_done(*sent) {
            match asking.upload.poll(cx, client, line, sent, buffers) {
                Poll::Ready(Ok(())) if answering.switches => {
                    // the client sends no more, but may still read
                    let _may_be_closed = Pin::new(&mut *line).poll_shutdown(cx);
                }
                Poll::Ready(Err(Cut::Sink(_))) => is_deaf = true,
                Poll::Ready(Err(_)) => return Poll::Ready(End::Client),
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
        }
        let waits_for_client = !is_deaf && asking.upload.waits_for_client(*sent);
        let rest = arrived.rest();
        let end = match answering.download.poll(cx, line, &mut client.stream, buffers, rest) {
            Poll::Ready(Ok(())) => End::Whole,
            Poll::Ready(Err(Cut::Sink(_))) => End::Client,
            Poll::Ready(Err(_)) => End::Replica,
            Poll::Pending if is_given_up => End::Replica,
            Poll::Pending => {
                attempt.is_deaf = is_deaf;
                let waits = !client.stream.is_grpc() && (waits_for_client || answering.download.waits());
                let moved = asking.upload.moved() + answering.download.moved();
                let goes_on = self.goes_on(cx, core, client, moved, waits && !answering.switches);
                return if goes_on { Poll::Pending } else { Poll::Ready(End::Client) };
            }
        };
        attempt.is_deaf = is_deaf;
        Poll::Ready(end)
    }

    /// Whether the client is there and was not waited for too long. Who waits for the replica has time.
    fn goes_on<S: Downstream>(
        &mut self,
        cx: &mut Context<'_>,
        core: &Core,
        client: &Client<S>,
        moved: u64,
        waits: bool,
    ) -> bool {
        if self.moved != (moved, waits) {
            self.moved = (moved, waits);
            self.at = core.deadlines.after(core.config.body_timeout);
        }
        let at = if waits { self.at } else { NEVER };
        client.watch(cx, core).is_ok_and(|look_at| !client.deadline.is_over_at(at.min(look_at), cx))
    }
}
