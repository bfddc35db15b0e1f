//! Everything that is decided about a request and its response. Pure: whoever moves the bytes asks here.

use std::net::SocketAddr;

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{CONNECTION, CONTENT_TYPE, EXPECT, HOST, RETRY_AFTER, TE, TRANSFER_ENCODING, UPGRADE},
    uri::PathAndQuery,
};

use super::key::KeySource;
use crate::{
    name::InstanceId,
    table::{InFlight, Published},
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
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// To the control API, as this path.
    Control(PathAndQuery),
    /// To a replica of the default pool.
    Pool,
}

/// One request's way through the candidates.
#[derive(Debug)]
pub struct Exchange {
    id: u64,
    tried: Vec<InstanceId>,
}

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

/// Fields that are for one connection only (RFC 9110, section 7.6.1), beside those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 6] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

impl Settings {
    /// Where a request for this path goes.
    pub fn target(&self, path: &PathAndQuery) -> Target {
        let rest = self.control_paths.as_deref().and_then(|prefix| path.path().strip_prefix(prefix));
        match rest {
            Some("/rep") => Target::Control(PathAndQuery::from_static("/rep")),
            Some("/add") => Target::Control(PathAndQuery::from_static("/add")),
            Some("/rm") => Target::Control(PathAndQuery::from_static("/rm")),
            _ => Target::Pool,
        }
    }

    /// The answer that goes to the client in place of the replica's, if one does.
    pub fn instead_of(&self, status: StatusCode, method: &Method, path: &str) -> Option<Answer> {
        let replaced = self.unknown_path_is_400 && status == StatusCode::NOT_FOUND && *method == Method::GET;
        let message = || format!("<Error> '{path}' endpoint does not exist in server replicas");
        replaced.then(|| Answer::new(StatusCode::BAD_REQUEST, None, &message()))
    }
}

impl Exchange {
    /// A request with this id on the ring.
    pub fn new(id: u64) -> Self {
        Exchange { id, tried: Vec::new() }
    }

    /// Claims the next candidate, by the table of now; `None` when all were tried.
    pub fn next(&mut self, published: &Published) -> Option<InFlight> {
        let claim = published.claim(self.id, &self.tried)?;
        self.tried.push(claim.replica().instance.clone());
        Some(claim)
    }
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
    fn new(status: StatusCode, retry_after: Option<u64>, message: &str) -> Self {
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

/// Makes a client's header fields those that go to a replica: nothing of the connection, and who the client is. What
/// the client itself says about that is not believed.
pub fn to_replica(headers: &mut HeaderMap, peer: SocketAddr) {
    strip(headers);
    headers.remove(EXPECT); // answered here
    let address = HeaderValue::try_from(peer.ip().to_string()).expect("an address is a field value");
    headers.insert(FORWARDED_FOR, address);
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    match headers.get(HOST).cloned() {
        Some(host) => headers.insert(FORWARDED_HOST, host),
        None => headers.remove(FORWARDED_HOST),
    };
}

/// Makes a replica's header fields those that go to the client.
pub fn to_client(headers: &mut HeaderMap) {
    strip(headers);
}

fn strip(headers: &mut HeaderMap) {
    let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named: Vec<HeaderName> =
        values.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok()).collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
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
        }
    }

    fn target(control_paths: Option<&str>, path: &'static str) -> Target {
        settings(control_paths).target(&PathAndQuery::from_static(path))
    }

    #[test]
    fn control_paths_are_the_three_under_their_prefix_and_nothing_else() {
        let control = |path| Target::Control(PathAndQuery::from_static(path));
        assert_eq!(target(Some(""), "/rep"), control("/rep"));
        assert_eq!(target(Some(""), "/add?x"), control("/add"));
        assert_eq!(target(Some("/lb"), "/lb/rm"), control("/rm"));
        for (prefix, path) in [(Some(""), "/rep/"), (Some(""), "/REP"), (Some("/lb"), "/rm"), (None, "/rep")]
        {
            assert_eq!(target(prefix, path), Target::Pool, "{path}");
        }
    }

    #[test]
    fn only_a_404_to_a_get_becomes_the_assignments_400() {
        let settings = settings(None);
        let answer = settings.instead_of(StatusCode::NOT_FOUND, &Method::GET, "/o\"ther").unwrap();
        assert_eq!(answer.status, 400);
        let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(body["message"], "<Error> '/o\"ther' endpoint does not exist in server replicas");
        assert_eq!(settings.instead_of(StatusCode::NOT_FOUND, &Method::POST, "/other"), None);
        assert_eq!(settings.instead_of(StatusCode::OK, &Method::GET, "/other"), None);
    }

    #[test]
    fn nothing_of_the_connection_goes_on_and_forwarding_fields_are_not_believed() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("host", "example.org"),
            ("connection", "close, X-Secret"),
            ("x-secret", "1"),
            ("keep-alive", "5"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("transfer-encoding", "chunked"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-host", "evil"),
            ("accept", "*/*"),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        to_replica(&mut headers, "192.0.2.7:1234".parse().unwrap());
        let mut left: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        left.sort_unstable();
        let expected = [
            ("accept", "*/*"),
            ("host", "example.org"),
            ("x-forwarded-for", "192.0.2.7"),
            ("x-forwarded-host", "example.org"),
            ("x-forwarded-proto", "http"),
        ];
        assert_eq!(left, expected);
    }

    #[test]
    fn no_candidate_is_a_503_that_says_when_to_try_again() {
        let answer = Failure::NoCandidate.answer();
        assert_eq!((answer.status.as_u16(), answer.headers()[RETRY_AFTER].to_str().unwrap()), (503, "1"));
    }
}
