//! Everything that is decided about a request and its response. Pure: whoever moves the bytes asks here.

use std::time::Duration;

use http::{HeaderName, Method, StatusCode};
use rand::Rng;

use super::{
    answer::{Answer, Failure},
    framing,
    key::Key,
    retry::{Progress, Rules, Setback},
    sticky::Sticky,
};
use crate::{
    name::{InstanceId, Number},
    policy::Request,
    table::{
        InFlight, PoolId, Published, Unclaimed,
        queue::{Asker, Priority, Wait},
    },
};

/// What is decided about each request.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where its key comes from.
    pub key: Key,
    /// How clients stay with a replica, where they do.
    pub sticky: Option<Sticky>,
    /// Whether a replica's 404 to a GET becomes the assignment's 400.
    pub unknown_path_is_400: bool,
    /// What is sent again, and when.
    pub retry: Rules,
    /// The header field that says how urgent a request is that waits for a replica, where one does.
    pub priority: Option<HeaderName>,
}

/// One request's way through the candidates.
#[derive(Debug)]
pub struct Exchange {
    pool: PoolId,
    id: u64,
    preferred: Option<Number>,
    tried: Vec<InstanceId>,
    progress: Progress,
    failure: Failure,
}

impl Settings {
    /// How urgent a request is.
    pub fn priority(&self, request: &framing::Request<'_>) -> Priority {
        let value = self.priority.as_ref().and_then(|name| request.fields.get(name.as_str()));
        value.map(Priority::of).unwrap_or_default()
    }

    /// Whether [`instead_of`](Self::instead_of) may give an answer to such a request.
    pub fn may_replace(&self, method: &Method) -> bool {
        self.unknown_path_is_400 && *method == Method::GET
    }

    /// The answer that goes to the client in place of the replica's, if one does.
    pub fn instead_of(&self, status: StatusCode, method: &Method, path: &str) -> Option<Answer> {
        let replaced = self.may_replace(method) && status == StatusCode::NOT_FOUND;
        let message = || format!("<Error> '{path}' endpoint does not exist in server replicas");
        replaced.then(|| Answer::new(StatusCode::BAD_REQUEST, None, &message()))
    }
}

impl Exchange {
    /// A request to this pool with this id on the ring, whose client stays with this number, if with any; `repeatable` where
    /// it may be executed twice.
    pub fn new(pool: PoolId, id: u64, preferred: Option<Number>, repeatable: bool) -> Self {
        let progress = Progress::new(repeatable);
        Exchange { pool, id, preferred, tried: Vec::new(), progress, failure: Failure::NoCandidate }
    }

    /// Claims the next candidate, by the table of now; fails when all were tried or have enough to do.
    pub fn next(
        &mut self,
        published: &Published,
        now: Duration,
        rng: &mut impl Rng,
    ) -> Result<InFlight, Unclaimed> {
        let request = Request { id: self.id, now, rng };
        let claimed = published.claim(self.pool, request, self.preferred, &self.tried);
        self.claimed(claimed)
    }

    /// Has the request wait until somebody has less to do; fails where it may not.
    pub fn wait(&mut self, published: &Published, now: Duration, asker: &Asker) -> Result<Wait, Unclaimed> {
        published.wait(self.pool, asker, &self.tried, now).inspect_err(|why| self.note(*why))
    }

    /// Takes note of a candidate, or of why there is none.
    pub fn claimed(&mut self, claimed: Result<InFlight, Unclaimed>) -> Result<InFlight, Unclaimed> {
        match &claimed {
            Ok(claim) => {
                self.tried.push(claim.replica().instance.clone());
                self.failure =
                    if self.failure == Failure::Full { Failure::NoCandidate } else { self.failure };
            }
            Err(why) => self.note(*why),
        }
        claimed
    }

    /// Takes note of why there is no candidate: what the client is told, unless one has failed it before.
    fn note(&mut self, why: Unclaimed) {
        if matches!(self.failure, Failure::NoCandidate | Failure::Full) {
            self.failure = match why {
                Unclaimed::Nobody => Failure::NoCandidate,
                Unclaimed::Full => Failure::Full,
                Unclaimed::Crowded(after) => Failure::Crowded(after),
                Unclaimed::Late(after) => Failure::Waited(after),
            };
        }
    }

    /// Whether the next candidate is to be tried after this. `kept` says whether the body can be sent again, `budget`
    /// takes a retry from what there may be.
    pub fn goes_on(&mut self, setback: Setback, kept: bool, budget: impl FnOnce() -> bool) -> bool {
        if let Some(failure) = setback.failure() {
            self.failure = failure;
        }
        self.progress.goes_on(setback, kept, budget)
    }

    /// What the client is told when nobody answered.
    pub fn failure(&self) -> Failure {
        self.failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_404_to_a_get_becomes_the_assignments_400() {
        let (key, retry) = (Key::default(), Rules::default());
        let settings = Settings { key, sticky: None, unknown_path_is_400: true, retry, priority: None };
        let answer = settings.instead_of(StatusCode::NOT_FOUND, &Method::GET, "/o\"ther").unwrap();
        assert_eq!(answer.status, 400);
        let body: serde_json::Value = serde_json::from_slice(&answer.in_http().body).unwrap();
        assert_eq!(body["message"], "<Error> '/o\"ther' endpoint does not exist in server replicas");
        assert_eq!(settings.instead_of(StatusCode::NOT_FOUND, &Method::POST, "/other"), None);
        assert_eq!(settings.instead_of(StatusCode::OK, &Method::GET, "/other"), None);
    }
}
