//! A response as it is read: held, passed on, or kept until it is decided about.

use std::{pin::Pin, task::Context};

use http::StatusCode;
use tokio::time::{Sleep, sleep};

use super::{
    answering::Answering,
    asking::Asking,
    attempt::Failed,
    client::{Client, Downstream, Fault},
    flow::Cut,
};
use crate::{
    proxy::{
        framing::{Framing, Progress, Refusal, Response, Scratch, Version},
        thread::Core,
    },
    table::{InFlight, Replica},
};

/// What is needed to read a response.
pub(super) struct Reading<'a, S> {
    pub(super) core: &'a Core,
    pub(super) client: &'a mut Client<S>,
    pub(super) asking: &'a Asking,
    pub(super) hold: &'a mut Option<Hold>,
    /// On whom the request has a claim; the control API answers where there is none.
    pub(super) claim: Option<&'a InFlight>,
}

/// A response that is held until it is whole.
pub(super) struct Hold {
    /// The bytes that are waited for.
    whole: usize,
    timer: Pin<Box<Sleep>>,
    is_over: bool,
}

impl Hold {
    /// Whether it is over now and was not before. If not, the task is woken when it is.
    pub(super) fn is_over_now(&mut self, cx: &mut Context<'_>) -> bool {
        let was_over = self.is_over;
        self.is_over = was_over || self.timer.as_mut().poll(cx).is_ready();
        self.is_over != was_over
    }
}

/// What became of an open connection in place of a response.
pub(super) enum End {
    /// It broke, or nonsense came.
    Broke,
    Failed(Failed),
}

/// What was found in the bytes of a replica, and how many were used: a response, or `None` for interim ones.
type Found = Option<(usize, Option<Result<Answering, End>>)>;

impl<S: Downstream> Reading<'_, S> {
    /// Takes what is at the beginning of these bytes, and has it go to the client.
    pub(super) fn take(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        progress: &mut Progress,
        fields: &mut Scratch,
        output: &mut Vec<u8>,
    ) -> Result<Found, Refusal> {
        if self.hold.as_ref().is_some_and(|hold| !hold.is_over && bytes.len() < hold.whole) {
            return Ok(None);
        }
        let (limits, asked) = (&self.core.config.limits, self.asking.asked);
        let Some(response) = Response::parse(bytes, asked, progress, limits, fields)? else {
            return Ok(None);
        };
        if response.is_interim() {
            self.pass_on(&response, output)?;
            return Ok(Some((response.len, None)));
        }
        if let Some(whole) = self.to_hold(&response, bytes.len()) {
            let mut timer = Box::pin(sleep(self.asking.way.config.exchange.retry.hold));
            let is_over = timer.as_mut().poll(cx).is_ready();
            *self.hold = Some(Hold { whole, timer, is_over });
            *progress = Progress::default(); // to be read again
            return Ok(None);
        }
        output.clear();
        self.client.early.give_to(output);
        let (set_cookie, is_stopping) = (self.set_cookie(), self.core.is_stopping());
        let (asking, replica) = (self.asking, self.replica());
        let mut answering =
            Answering::begin(output, &response, asking, replica, set_cookie.as_deref(), is_stopping);
        let rest = &bytes[response.len..];
        let begun = match self.is_plain(response.status) {
            true => answering.download.begin(cx, &mut self.client.stream, output, rest),
            false => answering.download.wait(output, rest),
        };
        match begun {
            Ok(taken) => Ok(Some((response.len + taken, Some(Ok(answering))))),
            Err(Cut::Broken(refusal)) => Err(refusal),
            Err(_) => Ok(Some((bytes.len(), Some(Err(End::Failed(Failed::Client(Fault::Gone))))))),
        }
    }

    /// Has an interim response go to the client, unless it takes none of too many. 100 answers what was not asked of
    /// the replica.
    fn pass_on(&mut self, response: &Response<'_>, output: &mut Vec<u8>) -> Result<(), Refusal> {
        if response.status == 100 || self.asking.version == Version::Http10 {
            return Ok(());
        }
        output.clear();
        Answering::begin(output, response, self.asking, self.replica(), None, false);
        self.client.early.keep(output);
        if self.client.early.len() > self.core.config.limits.head {
            return Err(Refusal::HeadTooLong);
        }
        Ok(())
    }

    fn replica(&self) -> Option<&Replica> {
        self.claim.map(|claim| &**claim.replica())
    }

    /// What has the client stay with whoever answers.
    fn set_cookie(&self) -> Option<String> {
        let sticky = self.asking.way.config.exchange.sticky.as_ref()?;
        sticky.renewed(self.asking.preferred, self.claim?)
    }

    /// The length of a response that is to be held until it is whole.
    fn to_hold(&self, response: &Response<'_>, len: usize) -> Option<usize> {
        let Framing::Length(length) = response.framing else { return None };
        let holds = self.hold.is_none()
            && self.asking.can_repeat()
            && self.asking.way.config.exchange.retry.holds(Some(length));
        let whole = response.len + length as usize;
        (holds && len < whole).then_some(whole)
    }

    /// Whether a response with this status goes to the client in any case.
    fn is_plain(&self, status: u16) -> bool {
        let Ok(status) = StatusCode::from_u16(status) else { return true };
        let exchange = &self.asking.way.config.exchange;
        self.claim.is_none()
            || !(exchange.retry.asks_another(status)
                || self.asking.path.is_some() && status == StatusCode::NOT_FOUND)
    }
}
