//! What the balancer answers in a replica's stead. Pure.

use http::StatusCode;

/// The methods that CONNECT's 405 names, and OPTIONS that goes no further.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE";

/// Why the balancer answers in a replica's stead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No replica could be connected to.
    NoCandidate,
    /// No route takes the request, and where it goes then there are no replicas.
    Astray,
    /// Each replica has as many requests as it may have.
    Full,
    /// So has each, and as many requests wait as may; after so many seconds to be tried again.
    Crowded(u64),
    /// So had each for as long as the request may wait. The same.
    Waited(u64),
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
    /// What is said.
    pub content: Content,
}

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// What went wrong.
    Failure(String),
    /// Nothing.
    Nothing,
    /// The request's head as it came.
    Head(Vec<u8>),
}

/// An answer as it goes to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The status.
    pub status: StatusCode,
    /// The fields beside those that say where it ends.
    pub fields: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Failure {
    /// What the client is told.
    pub fn answer(self) -> Answer {
        let unavailable = |after, what: &str| {
            let again = if after == 1 { "a second".to_owned() } else { format!("{after} seconds") };
            let message = format!("<Error> {what}, try again in {again}");
            Answer::new(StatusCode::SERVICE_UNAVAILABLE, Some(after), &message)
        };
        let full = "Every server replica has as many requests as it may have";
        let (status, message) = match self {
            Failure::NoCandidate => return unavailable(1, "No server replica is ready"),
            Failure::Astray => {
                return unavailable(1, "No route takes this request, and the default pool has no replicas");
            }
            Failure::Full => return unavailable(1, full),
            Failure::Crowded(after) => {
                return unavailable(after, &format!("{full}, and as many wait as may"));
            }
            Failure::Waited(after) => {
                return unavailable(after, &format!("{full}, and had so for as long as a request may wait"));
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
        Answer { status, retry_after, allow: None, content: Content::Failure(message.to_owned()) }
    }

    /// To OPTIONS that goes no further.
    pub fn options() -> Self {
        Answer { status: StatusCode::OK, retry_after: None, allow: Some(METHODS), content: Content::Nothing }
    }

    /// To TRACE that goes no further: what came.
    pub fn trace(head: Vec<u8>) -> Self {
        Answer { allow: None, content: Content::Head(head), ..Answer::options() }
    }

    /// To whoever speaks HTTP.
    pub fn in_http(&self) -> Told {
        let (media_type, body) = match &self.content {
            Content::Failure(message) => {
                let body = serde_json::json!({ "message": message, "status": "failure" });
                (Some("application/json"), body.to_string().into())
            }
            Content::Nothing => (None, Vec::new()),
            Content::Head(head) => (Some("message/http"), head.clone()),
        };
        let mut fields = Vec::new();
        fields.extend(media_type.map(|media_type| ("Content-Type", media_type.to_owned())));
        fields.extend(self.retry_after.map(|seconds| ("Retry-After", seconds.to_string())));
        fields.extend(self.allow.map(|methods| ("Allow", methods.to_owned())));
        Told { status: self.status, fields, body }
    }

    /// To a call of gRPC: a response that is nothing but a header with the status (Trailers-Only of gRPC over HTTP/2).
    pub fn in_grpc(&self) -> Told {
        let mut fields = vec![
            ("Content-Type", "application/grpc".to_owned()),
            ("Grpc-Status", grpc_status(self.status).to_string()),
        ];
        if let Content::Failure(message) = &self.content {
            fields.push(("Grpc-Message", percent_encoded(message)));
        }
        Told { status: StatusCode::OK, fields, body: Vec::new() }
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

/// What gRPC calls a failure that HTTP gives this status. Where gRPC's own table for clients that get the bare status
/// (`http-grpc-status-mapping`) would say UNKNOWN, what is known of it here.
fn grpc_status(status: StatusCode) -> u8 {
    const UNKNOWN: u8 = 2;
    const DEADLINE_EXCEEDED: u8 = 4;
    const RESOURCE_EXHAUSTED: u8 = 8;
    const UNIMPLEMENTED: u8 = 12;
    const INTERNAL: u8 = 13;
    const UNAVAILABLE: u8 = 14;
    match status.as_u16() {
        400 => INTERNAL,
        404 | 405 => UNIMPLEMENTED,
        408 | 504 => DEADLINE_EXCEEDED,
        413 | 414 | 431 => RESOURCE_EXHAUSTED,
        429 | 502 | 503 => UNAVAILABLE,
        _ => UNKNOWN,
    }
}

/// A message as `grpc-message` holds it: what is not printable ASCII, and the percent sign, escaped.
fn percent_encoded(message: &str) -> String {
    let mut encoded = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(byte.into()),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_candidate_is_a_503_that_says_when_to_try_again() {
        for (failure, after, again) in [
            (Failure::NoCandidate, 1, "in a second"),
            (Failure::Astray, 1, "and the default pool has no replicas, try again in a second"),
            (Failure::Full, 1, "in a second"),
            (Failure::Crowded(7), 7, "as many wait as may, try again in 7 seconds"),
            (Failure::Waited(1), 1, "as long as a request may wait, try again in a second"),
        ] {
            let answer = failure.answer();
            assert_eq!((answer.status.as_u16(), answer.retry_after), (503, Some(after)));
            assert!(matches!(&answer.content, Content::Failure(text) if text.ends_with(again)), "{answer:?}");
        }
    }

    #[test]
    fn a_call_of_grpc_is_told_the_status_in_the_header() {
        for (answer, status) in [
            (Failure::NoCandidate.answer(), "14"),
            (Failure::Crowded(3).answer(), "14"),
            (Failure::Waited(3).answer(), "14"),
            (Failure::Broken.answer(), "14"),
            (Failure::Late.answer(), "4"),
            (Answer::refusal(431, "too long"), "8"),
            (Answer::refusal(400, "nonsense"), "13"),
        ] {
            let told = answer.in_grpc();
            assert_eq!((told.status, &*told.body), (StatusCode::OK, &b""[..]));
            assert_eq!(told.fields[1], ("Grpc-Status", status.to_owned()), "{answer:?}");
        }
        assert_eq!(percent_encoded("100 % \u{e4}\n"), "100 %25 %C3%A4%0A");
    }
}
