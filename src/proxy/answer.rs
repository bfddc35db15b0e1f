//! What the balancer answers in a replica's stead. Pure.

use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};

/// Why the balancer answers in a replica's stead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No replica could be connected to.
    NoCandidate,
    /// The replica broke off before its response began.
    Broken,
    /// The replica's response did not begin in time.
    Late,
    /// The request's body broke off or could not be read.
    BadBody,
}

/// An answer of the balancer's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Seconds after which to try again.
    pub retry_after: Option<u64>,
    /// Its JSON body.
    pub body: String,
}

impl Failure {
    /// What the client is told.
    pub fn answer(self) -> Answer {
        let (status, message) = match self {
            Failure::NoCandidate => {
                let message = "<Error> No server replica is ready, try again in a second";
                return Answer::new(StatusCode::SERVICE_UNAVAILABLE, Some(1), message);
            }
            Failure::Broken => {
                (StatusCode::BAD_GATEWAY, "<Error> The server replica broke off before it answered")
            }
            Failure::Late => {
                (StatusCode::GATEWAY_TIMEOUT, "<Error> The server replica did not answer in time")
            }
            Failure::BadBody => (StatusCode::BAD_REQUEST, "<Error> The request's body broke off"),
        };
        Answer::new(status, None, message)
    }
}

impl Answer {
    pub(super) fn new(status: StatusCode, retry_after: Option<u64>, message: &str) -> Self {
        let body = serde_json::json!({ "message": message, "status": "failure" }).to_string();
        Answer { status, retry_after, body }
    }

    /// Its header fields.
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_candidate_is_a_503_that_says_when_to_try_again() {
        let answer = Failure::NoCandidate.answer();
        assert_eq!((answer.status.as_u16(), answer.headers()[RETRY_AFTER].to_str().unwrap()), (503, "1"));
    }
}
