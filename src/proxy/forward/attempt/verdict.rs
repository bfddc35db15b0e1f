//! What an attempt tells of its replica.

use std::time::Duration;

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
        let Some(claim) = &self.claim else { return };
        claim.answered(status, self.measure(core));
        self.way.note(claim.replica(), StatusCode::from_u16(status).is_ok_and(is_failure));
    }

    /// Notes that there is none in time.
    pub(super) fn unanswered(&self, core: &Core) {
        if let Some(replica) = self.replica() {
            replica.count_unanswered();
            self.way.note(replica, true);
            self.measure(core);
        }
    }

    fn measure(&self, core: &Core) -> Option<Duration> {
        Some(core.measure(self.claim.as_ref()?, self.begun?))
    }

    pub(super) fn unreached(&self, blame: Blame) -> Failed {
        if let Some(replica) = self.replica().filter(|_| blame == Blame::Replica) {
            replica.count_unreached();
            self.way.suspect(replica);
        }
        Failed::Setback(Setback::Unsent)
    }

    pub(super) fn broken(&self, asking: &Asking) -> Failed {
        let is_unsent = asking.upload.is_unsent(self.sent) || self.is_refused(asking);
        if let Some(replica) = self.replica() {
            self.way.suspect(replica);
            if is_unsent {
                replica.count_unreached();
            } else {
                replica.count_unanswered();
                self.way.note(replica, true);
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
