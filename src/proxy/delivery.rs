//! Has a request answered: attempt after attempt, as [`exchange`](super::exchange) decides.

use std::{pin::pin, rc::Rc, sync::Arc, time::Instant};

use futures_util::future::{Either, select};
use http::{Request, Response, request, response};
use hyper::body::Incoming;
use tokio::time::{timeout, timeout_at};

use super::{
    answer::Failure,
    connections::{Blame, Sender, connect},
    exchange::Exchange,
    kept::Kept,
    relay::Relayed,
    retry::{Hedge, Setback, is_failure},
    thread::Core,
};
use crate::table::{InFlight, Replica};

/// A replica's answer.
pub(super) type Answered = (response::Parts, Relayed);

/// A request that is to be answered.
pub(super) struct Delivery {
    pub(super) core: Rc<Core>,
    /// As it goes to a replica.
    pub(super) head: request::Parts,
    pub(super) body: Kept,
    /// Whether it may be executed twice.
    pub(super) repeatable: bool,
    /// When the response has to begin.
    pub(super) deadline: Instant,
}

/// Why a request that was given to a connection got no response.
enum SendError {
    /// Nothing of it was sent.
    Unsent,
    /// It may have been executed.
    Broken,
}

impl Delivery {
    /// The answer of the first candidate that gives a good one; a bad one, if others were asked in vain.
    pub(super) async fn answer(&self, mut exchange: Exchange) -> Result<Answered, Failure> {
        let core = &*self.core;
        let mut bad = None;
        let mut left: Option<Arc<Replica>> = None;
        while let Some(claim) = exchange.next(&core.links.published) {
            let tried = claim.replica().clone();
            if let Some(left) = left.replace(tried) {
                left.count_retry();
            }
            let setback = match self.hedged(claim, &mut exchange).await {
                Ok(answered) if core.config.exchange.retry.asks_another(answered.0.status) => {
                    bad = Some(answered);
                    Setback::Status
                }
                Ok(answered) => return Ok(answered),
                Err(setback) => setback,
            };
            if self.body.is_broken() {
                return Err(Failure::BadBody);
            }
            if !exchange.goes_on(setback, self.can_repeat(), || core.take_retry()) {
                break;
            }
        }
        bad.ok_or(exchange.failure())
    }

    fn can_repeat(&self) -> bool {
        self.repeatable && self.body.can_be_sent_again()
    }

    /// One attempt; where hedging is set and the first is slow, two, of which the first answer counts.
    async fn hedged(&self, claim: InFlight, exchange: &mut Exchange) -> Result<Answered, Setback> {
        let core = &*self.core;
        let after = match core.config.exchange.retry.hedge {
            Some(Hedge::After(after)) if self.repeatable => Some(after),
            Some(Hedge::P95) if self.repeatable => core.latency.borrow().p95(),
            _ => None,
        };
        let Some(after) = after else { return self.attempt(claim).await };
        let mut first = pin!(self.attempt(claim));
        if let Ok(done) = timeout(after, first.as_mut()).await {
            return done;
        }
        if !self.body.is_whole() || !core.take_retry() {
            return first.await;
        }
        let Some(claim) = exchange.next(&core.links.published) else { return first.await };
        match select(first, pin!(self.attempt(claim))).await {
            Either::Left((Err(_), second)) => second.await,
            Either::Right((Err(_), first)) => first.await,
            Either::Left((answered, _)) | Either::Right((answered, _)) => answered,
        }
    }

    /// Sends the request to this replica: over an idle connection, or over a new one where that proves closed.
    async fn attempt(&self, claim: InFlight) -> Result<Answered, Setback> {
        let (core, replica) = (&self.core, claim.replica().clone());
        let begun = Instant::now();
        let mut only_new = false;
        loop {
            let idle = if only_new { None } else { core.connections.take(&replica) };
            let is_new = idle.is_none();
            let mut sender = match idle {
                Some(sender) => sender,
                None => self.connect(&replica).await?,
            };
            let response = timeout_at(self.limit(begun), self.send(&mut sender));
            match core.waiters.unless_given_up(&replica, response).await {
                None => return Err(Setback::GivenUp),
                Some(Err(_)) => return Err(self.late(&replica)),
                Some(Ok(Ok(response))) => return self.received(response, sender, claim, begun).await,
                Some(Ok(Err(SendError::Unsent))) if !is_new => {}
                // what looked idle had been closed: no fault of anybody's
                Some(Ok(Err(SendError::Broken)))
                    if !is_new && self.can_repeat() && !replica.is_suspected() =>
                {
                    only_new = true;
                }
                Some(Ok(Err(error))) => return Err(self.broken(&replica, &error)),
            }
        }
    }

    async fn connect(&self, replica: &Arc<Replica>) -> Result<Sender, Setback> {
        let core = &self.core;
        let connected =
            core.waiters.unless_given_up(replica, connect(replica, core.config.connect_timeout)).await;
        let Some(connected) = connected else { return Err(Setback::Unsent) };
        connected.map_err(|blame| {
            if blame == Blame::Replica {
                core.suspect(replica);
            }
            Setback::Unsent
        })
    }

    /// When the response to an attempt that began then has to begin.
    fn limit(&self, begun: Instant) -> tokio::time::Instant {
        let one = self.core.config.exchange.retry.try_timeout.map(|most| begun + most);
        one.map_or(self.deadline, |one| one.min(self.deadline)).into()
    }

    async fn send(&self, sender: &mut Sender) -> Result<Response<Incoming>, SendError> {
        let request = Request::from_parts(self.head.clone(), self.body.send());
        sender.try_send_request(request).await.map_err(|mut error| match error.take_message() {
            Some(_) => SendError::Unsent,
            None => SendError::Broken,
        })
    }

    fn late(&self, replica: &Replica) -> Setback {
        if self.body.is_whole() {
            self.core.note(replica, true); // else it is the client who is late
        }
        Setback::Late
    }

    fn broken(&self, replica: &Replica, error: &SendError) -> Setback {
        if self.body.is_broken() {
            return Setback::Broken; // by the client
        }
        self.core.suspect(replica);
        match error {
            SendError::Unsent => Setback::Unsent,
            SendError::Broken => {
                self.core.note(replica, true);
                Setback::Broken
            }
        }
    }

    /// Takes over a response, and holds it for as long as that is wanted.
    async fn received(
        &self,
        response: Response<Incoming>,
        sender: Sender,
        claim: InFlight,
        begun: Instant,
    ) -> Result<Answered, Setback> {
        let (core, retry) = (&self.core, &self.core.config.exchange.retry);
        let replica = claim.replica().clone();
        let (head, body) = response.into_parts();
        if retry.hedge == Some(Hedge::P95) {
            core.latency.borrow_mut().note(begun.elapsed());
        }
        let mut relayed = Relayed::new(body, core, sender, claim);
        if self.can_repeat()
            && retry.holds(relayed.length())
            && let Err(setback) = relayed.hold(retry.hold).await
        {
            return Err(match setback {
                Setback::Broken => self.broken(&replica, &SendError::Broken),
                setback => setback,
            });
        }
        core.note(&replica, is_failure(head.status));
        Ok((head, relayed))
    }
}
