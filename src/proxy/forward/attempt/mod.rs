//! One attempt to have a replica answer.

mod verdict;

use std::{
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use tokio::io::DuplexStream;

use super::{
    answering::Answering,
    arrived::Arrived,
    asking::Asking,
    buffers::Buffers,
    client::{Client, Downstream, Fault},
    deadlines::{Moment, NEVER},
    flow::Cut,
    line::{Line, Opening, open},
    reading::{End, Hold, Reading},
};
use crate::{
    proxy::{Protocol, h2, pool::Way, retry::Setback, thread::Core},
    table::{InFlight, Place, Replica, Waiting},
};

/// A request given to a replica (or to the control API, which needs no claim).
pub(super) struct Attempt {
    way: Rc<Way>,
    stage: Stage,
    /// Its connection's among those to the replica.
    place: Option<Place>,
    /// Whether the connection carried others before.
    is_used: bool,
    opened: Instant,
    /// How much of the request was sent.
    pub(super) sent: usize,
    /// Whether it takes no more of the request; it may answer all the same.
    pub(super) is_deaf: bool,
    pub(super) arrived: Arrived,
    hold: Option<Hold>,
    /// When its response has to begin.
    try_at: Moment,
    /// When more of the request's body has to come.
    client_at: Moment,
    /// How much of that had come when those were set.
    moved: u64,
    /// When it began, if it is timed.
    begun: Option<Instant>,
    /// The last to be dropped: who claims after this finds the connection's place free.
    claim: Option<InFlight>,
}

enum Stage {
    /// The replica has as many connections as it may have, and there is one for this only when another core has closed one
    /// that it does not use. Not for longer than until then.
    Waiting(Waiting, Moment),
    Opening(Opening),
    Open(Line),
}

/// Why there is no response.
#[derive(Debug)]
pub(super) enum Failed {
    /// The replica is to blame, or nobody.
    Setback(Setback),
    /// The client is.
    Client(Fault),
}

impl Attempt {
    /// An attempt with whom this claim is on, over an idle connection if there is one.
    pub(super) fn new(core: &Core, way: &Rc<Way>, claim: InFlight) -> Self {
        let retry = &way.config.exchange.retry;
        let try_at = retry.try_timeout.map_or(NEVER, |most| core.deadlines.after(most));
        let begun = claim.is_timed().then(Instant::now);
        let (stage, place, opened, is_used) = connection(core, way, claim.replica(), false);
        Attempt { claim: Some(claim), place, is_used, try_at, begun, ..Attempt::over(way, stage, opened) }
    }

    /// An attempt with the control API at the other end of this.
    pub(super) fn with_control(core: &Core, way: &Rc<Way>, line: DuplexStream) -> Self {
        Attempt::over(way, Stage::Open(Line::Control(line)), core.deadlines.time())
    }

    fn over(way: &Rc<Way>, stage: Stage, opened: Instant) -> Self {
        Attempt {
            way: way.clone(),
            stage,
            place: None,
            is_used: false,
            opened,
            sent: 0,
            is_deaf: false,
            arrived: Arrived::default(),
            hold: None,
            try_at: NEVER,
            client_at: NEVER,
            moved: 0,
            begun: None,
            claim: None,
        }
    }

    /// Whom it is with, if it is a replica.
    pub(super) fn replica(&self) -> Option<&Arc<Replica>> {
        self.claim.as_ref().map(InFlight::replica)
    }

    /// Whether the replica was given up.
    pub(super) fn is_given_up(&self) -> bool {
        self.replica().is_some_and(|replica| replica.is_given_up())
    }

    /// The connection. There must have been a response.
    pub(super) fn line(&mut self) -> (&mut Line, &mut usize, &mut Arrived) {
        match &mut self.stage {
            Stage::Open(line) => (line, &mut self.sent, &mut self.arrived),
            Stage::Waiting(..) | Stage::Opening(_) => unreachable!("a response comes over a connection"),
        }
    }

    /// Keeps the connection for others.
    pub(super) fn give_back(self, core: &Core) {
        if let (Stage::Open(Line::Replica(stream)), Some(place)) = (self.stage, self.place) {
            let most = self.way.config.max_connections;
            core.idle.give_back(stream, place, most, self.opened, core.deadlines.time());
        }
    }

    /// Begins again over another connection.
    fn connect(&mut self, core: &Core, only_new: bool) {
        let Some(claim) = &self.claim else { return };
        self.place = None; // the connection goes with the stage, before another is begun
        (self.stage, self.place, self.opened, self.is_used) =
            connection(core, &self.way, claim.replica(), only_new);
        (self.sent, self.is_deaf, self.arrived, self.hold) = (0, false, Arrived::default(), None);
    }

    /// Sends the request until a response begins. One that goes to the client as it is has gone there as far as it has
    /// come; any other waits in what this returns.
    pub(super) fn poll<S: Downstream>(
        &mut self,
        cx: &mut Context<'_>,
        core: &Core,
        client: &mut Client<S>,
        asking: &mut Asking,
    ) -> Poll<Result<Answering, Failed>> {
        loop {
            if let Err(failed) = ready!(self.poll_place(cx, core, client)) {
                return Poll::Ready(Err(failed));
            }
            if let Stage::Opening(opening) = &mut self.stage {
                match opening.as_mut().poll(cx) {
                    Poll::Ready(Ok(line)) => {
                        self.opened = core.deadlines.time();
                        self.stage = Stage::Open(line);
                    }
                    Poll::Ready(Err(blame)) => return Poll::Ready(Err(self.unreached(blame))),
                    Poll::Pending => {
                        let failed = self.waits_in_vain(cx, core, client);
                        return failed.map_or(Poll::Pending, |failed| Poll::Ready(Err(failed)));
                    }
                }
            }
            match ready!(self.poll_open(cx, core, client, asking)) {
                Ok(answering) => {
                    self.answered(core, answering.status);
                    return Poll::Ready(Ok(answering));
                }
                Err(End::Failed(failed)) => return Poll::Ready(Err(failed)),
                // what looked idle had been closed: no fault of anybody's
                Err(End::Broke) if self.is_used && asking.upload.is_unsent(self.sent) => {
                    self.connect(core, false);
                }
                Err(End::Broke) if self.is_used && self.is_refused(asking) => self.connect(core, true),
                Err(End::Broke) if self.is_used && asking.can_repeat() && !self.is_suspected() => {
                    self.connect(core, true);
                }
                Err(End::Broke) => return Poll::Ready(Err(self.broken(asking))),
            }
        }
    }

    /// Begins the connection that there was no place for, when there is one.
    fn poll_place<S: Downstream>(
        &mut self,
        cx: &mut Context<'_>,
        core: &Core,
        client: &Client<S>,
    ) -> Poll<Result<(), Failed>> {
        let Stage::Waiting(waiting, until) = &self.stage else { return Poll::Ready(Ok(())) };
        let replica = waiting.replica();
        if let Some(place) = core.place(&self.way, replica) {
            let opening = open(replica.address, self.way.config.connect_timeout);
            (self.stage, self.place) = (Stage::Opening(opening), Some(place));
            return Poll::Ready(Ok(()));
        }
        let until = *until;
        if let Some(failed) = self.waits_in_vain(cx, core, client) {
            return Poll::Ready(Err(failed));
        }
        if client.deadline.is_over_at(until, cx) {
            return Poll::Ready(Err(Failed::Setback(Setback::Unsent)));
        }
        // the other cores look at every tick whether they are waited for
        client.deadline.is_over_at(core.deadlines.after(Duration::ZERO), cx);
        Poll::Pending
    }

    /// Why it is not to be waited for a connection any more. If it is, the task is woken when it is not.
    fn waits_in_vain<S: Downstream>(
        &self,
        cx: &mut Context<'_>,
        core: &Core,
        client: &Client<S>,
    ) -> Option<Failed> {
        match client.watch(cx, core) {
            Ok(look_at) => _ = client.deadline.is_over_at(look_at, cx),
            Err(fault) => return Some(Failed::Client(fault)),
        }
        self.is_given_up().then_some(Failed::Setback(Setback::Unsent))
    }

    fn poll_open<S: Downstream>(
        &mut self,
        cx: &mut Context<'_>,
        core: &Core,
        client: &mut Client<S>,
        asking: &mut Asking,
    ) -> Poll<Result<Answering, End>> {
        let Stage::Open(line) = &mut self.stage else { unreachable!("it is open") };
        if !self.is_deaf && !asking.upload.is_done(self.sent) {
            let buffers = &mut *core.buffers.borrow_mut();
            match asking.upload.poll(cx, client, line, &mut self.sent, buffers) {
                Poll::Ready(Err(Cut::Sink(_))) if asking.upload.is_unsent(self.sent) => {
                    return Poll::Ready(Err(End::Broke));
                }
                Poll::Ready(Err(Cut::Sink(_))) => self.is_deaf = true,
                Poll::Ready(Err(cut)) => {
                    return Poll::Ready(Err(End::Failed(Failed::Client(Fault::of(cut)))));
                }
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
        }
        if let Poll::Ready(response) = self.poll_response(cx, core, client, asking) {
            return Poll::Ready(response);
        }
        if self.is_given_up() {
            return Poll::Ready(Err(End::Failed(Failed::Setback(Setback::GivenUp))));
        }
        match self.is_late(cx, core, client, asking) {
            Some(failed) => Poll::Ready(Err(End::Failed(failed))),
            None => Poll::Pending,
        }
    }

    /// Waits for the response's head.
    fn poll_response<S: Downstream>(
        &mut self,
        cx: &mut Context<'_>,
        core: &Core,
        client: &mut Client<S>,
        asking: &Asking,
    ) -> Poll<Result<Answering, End>> {
        if self.hold.as_mut().is_some_and(|hold| hold.is_over_now(cx)) {
            self.arrived.look_again();
        }
        let Stage::Open(line) = &mut self.stage else { unreachable!("it is open") };
        let Buffers { input, output, fields, .. } = &mut *core.buffers.borrow_mut();
        let mut reading = Reading { core, client, asking, hold: &mut self.hold, claim: self.claim.as_ref() };
        loop {
            let found = self.arrived.poll_head(cx, line, input, |cx, bytes, progress| {
                reading.take(cx, bytes, progress, fields, output)
            });
            match ready!(found) {
                Ok(Some(response)) => return Poll::Ready(response),
                Ok(None) => {
                    // interim responses; what the client does not take of them goes with the final one
                    let _ = reading.client.poll_early(cx);
                }
                Err(_) => return Poll::Ready(Err(End::Broke)),
            }
        }
    }

    /// Who is to blame if the client is gone or the time is over. A request's body that is coming moves the time on.
    fn is_late<S: Downstream>(
        &mut self,
        cx: &mut Context<'_>,
        core: &Core,
        client: &Client<S>,
        asking: &mut Asking,
    ) -> Option<Failed> {
        let (config, upload) = (&self.way.config, &asking.upload);
        let waits_for_client = upload.waits_for_client(self.sent) && !self.is_deaf;
        if self.claim.is_some()
            && (upload.moved() != self.moved || waits_for_client && self.client_at == NEVER)
        {
            self.moved = upload.moved();
            self.client_at = core.deadlines.after(core.config.body_timeout);
            asking.response_at = core.deadlines.after(config.response_timeout);
            self.try_at = config.exchange.retry.try_timeout.map_or(NEVER, |most| core.deadlines.after(most));
        }
        let look_at = match client.watch(cx, core) {
            Ok(look_at) => look_at,
            Err(fault) => return Some(Failed::Client(fault)),
        };
        let at = match waits_for_client {
            true if client.stream.is_grpc() => NEVER,
            true => asking.response_at.min(self.client_at),
            false => asking.response_at.min(self.try_at),
        };
        if !client.deadline.is_over_at(at.min(look_at), cx) {
            return None;
        }
        if waits_for_client {
            return Some(Failed::Client(Fault::Slow));
        }
        if upload.is_read() {
            self.unanswered(core);
        }
        Some(Failed::Setback(Setback::Late))
    }
}

/// A connection to a replica, its place, when it was opened, and whether it carried others before.
fn connection(
    core: &Core,
    way: &Way,
    replica: &Arc<Replica>,
    only_new: bool,
) -> (Stage, Option<Place>, Instant, bool) {
    let idle = if only_new { None } else { core.idle.take(replica) };
    if let Some((stream, place, opened)) = idle {
        return (Stage::Open(Line::Replica(stream)), Some(place), opened, true);
    }
    if way.config.protocol == Protocol::H2c {
        let (opened, is_used) = h2::open(core, way, replica);
        let stage = opened.map_or_else(Stage::Opening, Stage::Open);
        return (stage, None, core.deadlines.time(), is_used && !only_new);
    }
    let (place, deadline) = (core.place(way, replica), way.config.connect_timeout);
    let stage = match place {
        Some(_) => Stage::Opening(open(replica.address, deadline)),
        None => Stage::Waiting(Waiting::begin(replica), core.deadlines.after(deadline)),
    };
    (stage, place, core.deadlines.time(), false)
}
