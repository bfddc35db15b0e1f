//! What the balancer answers in a replica's stead. Pure.

use http::StatusCode;

/// The methods that CONNECT's 405 names.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Why the balancer answers in a replica's stead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No replica could be connected to.
    NoCandidate,
    /// Each replica has as many requests as it may have.
    Full,
    /// The replica broke off before its response began.
    Broken,
    /// The replica's response did not begin in time.
    Late,
}

/// An answer of the balancer's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Seconds after which to try again.
    pub retry_after: Option<u64>,
    /// The methods that may be tried instead.
    pub allow: Option<&'static str>,
    /// Its JSON body.
    pub body: String,
}

impl Failure {
    /// What the client is told.
    pub fn answer(self) -> Answer {
        let unavailable = |message| Answer::new(StatusCode::SERVICE_UNAVAILABLE, Some(1), message);
        let (status, message) = match self {
            Failure::NoCandidate => {
                return unavailable("<Error> No server replica is ready, try again in a second");
            }
            Failure::Full => {
                let message =
                    "<Error> Every server replica has as many requests as it may have, try again in a second";
                return unavailable(message);
            }
            Failure::Broken => {
                (StatusCode::BAD_GATEWAY, "<Error> The server replica broke off before it answered")
            }
            Failure::Late => {
                (StatusCode::GATEWAY_TIMEOUT, "<Error> The server replica did not answer in time")
            }
        };
        Answer::new(status, None, message)
    }
}

impl Answer {
    pub(super) fn new(status: StatusCode, retry_after: Option<u64>, message: &str) -> Self {
        let body = serde_json::json!({ "message": message, "status": "failure" }).to_string();
        Answer { status, retry_after, allow: None, body }
    }

    /// To a request that is refused with this status.
    pub fn refusal(status: u16, message: &str) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
        let allow = (status == StatusCode::METHOD_NOT_ALLOWED).then_some(METHODS);
        Answer { allow, ..Answer::new(status, None, &format!("<Error> {message}")) }
    }

    /// To a request that does not come to its end.
    pub fn late_request() -> Self {
        Answer::new(StatusCode::REQUEST_TIMEOUT, None, "<Error> The request did not come in time")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_candidate_is_a_503_that_says_when_to_try_again() {
        for failure in [Failure::NoCandidate, Failure::Full] {
            let answer = failure.answer();
            assert_eq!((answer.status.as_u16(), answer.retry_after), (503, Some(1)));
        }
    }
}
