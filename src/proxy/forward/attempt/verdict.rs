//! What an attempt tells of its replica.

use http::StatusCode;

use super::{Attempt, Failed, Stage};
use crate::proxy::{
    forward::{
        asking::Asking,
        line::{Blame, Line},
    },
    retry::{Setback, is_failure},
    thread::Core,
};

impl Attempt {
    /// Notes that there is a response.
    pub(super) fn answered(&self, core: &Core, status: u16) {
        if let Some(begun) = self.begun {
            core.latency.borrow_mut().note(begun.elapsed());
        }
        self.measure(core);
        if let Some(replica) = self.replica() {
            core.note(replica, StatusCode::from_u16(status).is_ok_and(is_failure));
        }
    }

    pub(super) fn measure(&self, core: &Core) {
        if let (Some(claim), Some(begun)) = (&self.claim, self.begun) {
            core.measure(claim, begun);
        }
    }

    pub(super) fn unreached(&self, core: &Core, blame: Blame) -> Failed {
        if let Some(replica) = self.replica().filter(|_| blame == Blame::Replica) {
            core.suspect(replica);
        }
        Failed::Setback(Setback::Unsent)
    }

    pub(super) fn broken(&self, core: &Core, asking: &Asking) -> Failed {
        let is_unsent = asking.upload.is_unsent(self.sent) || self.is_refused(asking);
        if let Some(replica) = self.replica() {
            core.suspect(replica);
            if !is_unsent {
                core.note(replica, true);
            }
        }
        Failed::Setback(if is_unsent { Setback::Unsent } else { Setback::Broken })
    }

    /// Whether the replica says that it did nothing of the request, which can be sent again.
    pub(super) fn is_refused(&self, asking: &Asking) -> bool {
        let is_refused = matches!(&self.stage, Stage::Open(Line::Call(call)) if call.is_refused());
        is_refused && asking.upload.is_kept()
    }

    pub(super) fn is_suspected(&self) -> bool {
        self.replica().is_some_and(|replica| replica.is_suspected())
    }
}
