//! Everything that is decided about a request and its response. Pure: whoever moves the bytes asks here.

use std::time::Duration;

use http::{Method, StatusCode};
use rand::Rng;

use super::{
    answer::{Answer, Failure},
    framing::{Refusal, path},
    key::KeySource,
    retry::{Progress, Rules, Setback},
};
use crate::{
    name::InstanceId,
    policy::Request,
    table::{InFlight, Published, Unclaimed},
};

/// What is decided about each request.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where its key comes from.
    pub key: KeySource,
    /// Behind which prefix `/rep`, `/add` and `/rm` are the control API's; `None` for nowhere.
    pub control_paths: Option<Box<str>>,
    /// Whether a replica's 404 to a GET becomes the assignment's 400.
    pub unknown_path_is_400: bool,
    /// What is sent again, and when.
    pub retry: Rules,
}

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// To the control API, as this path.
    Control(&'static str),
    /// To a replica of the default pool.
    Pool,
}

/// One request's way through the candidates.
#[derive(Debug)]
pub struct Exchange {
    id: u64,
    tried: Vec<InstanceId>,
    progress: Progress,
    failure: Failure,
}

impl Settings {
    /// Where a request for this path goes, however it is spelled (RFC 3986, section 6.2.2). One that comes there only by
    /// way of another path is refused: who goes by the path before us or behind us may take it for another.
    pub fn target(&self, path: &str) -> Result<Target, Refusal> {
        if path::is_plain(path) {
            return Ok(self.route(path));
        }
        let path = path::unescaped(path);
        let target = self.route(&path);
        if self.route(&path::resolved(&path)) == target { Ok(target) } else { Err(Refusal::DotSegments) }
    }

    fn route(&self, path: &str) -> Target {
        let rest = self.control_paths.as_deref().and_then(|prefix| path.strip_prefix(prefix));
        match rest {
            Some("/rep") => Target::Control("/rep"),
            Some("/add") => Target::Control("/add"),
            Some("/rm") => Target::Control("/rm"),
            _ => Target::Pool,
        }
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
    /// A request with this id on the ring; `repeatable` where it may be executed twice.
    pub fn new(id: u64, repeatable: bool) -> Self {
        let progress = Progress::new(repeatable);
        Exchange { id, tried: Vec::new(), progress, failure: Failure::NoCandidate }
    }

    /// Claims the next candidate, by the table of now; `None` when all were tried or have enough to do.
    pub fn next(&mut self, published: &Published, now: Duration, rng: &mut impl Rng) -> Option<InFlight> {
        match published.claim(Request { id: self.id, now, rng }, &self.tried) {
            Ok(claim) => {
                self.tried.push(claim.replica().instance.clone());
                Some(claim)
            }
            Err(Unclaimed::Full) if self.failure == Failure::NoCandidate => {
                self.failure = Failure::Full;
                None
            }
            Err(_) => None,
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

    fn settings(control_paths: Option<&str>) -> Settings {
        Settings {
            key: KeySource::RequestId,
            control_paths: control_paths.map(Into::into),
            unknown_path_is_400: true,
            retry: Rules::default(),
        }
    }

    fn target(control_paths: Option<&str>, path: &str) -> Target {
        settings(control_paths).target(path).unwrap()
    }

    #[test]
    fn control_paths_are_the_three_under_their_prefix_and_nothing_else() {
        let control = Target::Control;
        assert_eq!(target(Some(""), "/rep"), control("/rep"));
        assert_eq!(target(Some(""), "/add"), control("/add"));
        assert_eq!(target(Some("/lb"), "/lb/rm"), control("/rm"));
        for (prefix, path) in [(Some(""), "/rep/"), (Some(""), "/REP"), (Some("/lb"), "/rm"), (None, "/rep")]
        {
            assert_eq!(target(prefix, path), Target::Pool, "{path}");
        }
    }

    #[test]
    fn a_control_path_is_the_same_in_any_spelling_but_not_by_way_of_another() {
        for path in ["/%72ep", "/re%70", "/%72%65%70"] {
            assert_eq!(target(Some(""), path), Target::Control("/rep"), "{path}");
        }
        assert_eq!(target(Some("/lb"), "/%6cb/r%6D"), Target::Control("/rm"));
        for path in
            ["/x/../rep", "/./rep", "/x/%2e%2E/rep", "/../add", "/%2e/%72m", "/rep/../rep", "/rep/./../rm"]
        {
            assert_eq!(settings(Some("")).target(path), Err(Refusal::DotSegments), "{path}");
            assert_eq!(target(None, path), Target::Pool, "{path}");
        }
        for path in
            ["/%2Frep", "/rep%2f", "/%2572ep", "/rep/.", "/rep/../y", "/a/../b", "/%52ep", "/rep%00", "*"]
        {
            assert_eq!(target(Some(""), path), Target::Pool, "{path}");
        }
    }

    #[test]
    fn only_a_404_to_a_get_becomes_the_assignments_400() {
        let settings = settings(None);
        let answer = settings.instead_of(StatusCode::NOT_FOUND, &Method::GET, "/o\"ther").unwrap();
        assert_eq!(answer.status, 400);
        let body: serde_json::Value = serde_json::from_slice(&answer.in_http().body).unwrap();
        assert_eq!(body["message"], "<Error> '/o\"ther' endpoint does not exist in server replicas");
        assert_eq!(settings.instead_of(StatusCode::NOT_FOUND, &Method::POST, "/other"), None);
        assert_eq!(settings.instead_of(StatusCode::OK, &Method::GET, "/other"), None);
    }
}
