//! What of a request decides its place on the ring. Pure.

use std::{net::IpAddr, str::FromStr};

use http::HeaderName;
use rand::{Rng, RngExt};

use super::framing::{Framing, Request};
use crate::ring::id_of_key;

/// Longer bodies are not waited for.
pub(super) const BODY_LIMIT: usize = 4096;

/// Where a request's key comes from. A request that has none gets a random id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// `request_id` in a small JSON body, else in the query: the assignment's.
    RequestId,
    /// Chance alone.
    Random,
    /// The path.
    Path,
    /// The client's address.
    Client,
    /// The first value of this header.
    Header(HeaderName),
    /// The first value of this parameter of the query, as it is written there.
    Query(Box<str>),
}

/// Why a text is not a [`KeySource`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key is request_id, random, path, client, header:NAME or query:NAME, not '{0}'")]
pub struct KeyError(String);

impl KeySource {
    /// Whether the request's body has to be read for its key: with `request_id` a JSON body of a known length of up to
    /// 4096 bytes.
    pub fn needs_body(&self, request: &Request<'_>) -> bool {
        let Framing::Length(length @ 1..) = request.framing else { return false };
        *self == KeySource::RequestId
            && length <= BODY_LIMIT as u64
            && request.fields.get("content-type").is_some_and(is_json)
    }

    /// The request's id on the ring, as far as its head tells.
    pub fn id(&self, request: &Request<'_>, client: IpAddr, rng: &mut impl Rng) -> u64 {
        let in_query = |name| in_query(request.target.query?, name).map(|value| id_of_key(value.as_bytes()));
        let found = match self {
            KeySource::RequestId => in_query("request_id"),
            KeySource::Random => None,
            KeySource::Path => Some(id_of_key(request.target.path.as_bytes())),
            KeySource::Client => Some(id_of_key(client.to_string().as_bytes())),
            KeySource::Header(name) => request.fields.get(name.as_str()).map(id_of_key),
            KeySource::Query(name) => in_query(name),
        };
        found.unwrap_or_else(|| rng.random_range(100_000..=999_999))
    }

    /// The id that a whole body tells, where [`needs_body`](Self::needs_body) asks for it: it goes before that of the head.
    pub fn id_in_body(&self, body: &[u8]) -> Option<u64> {
        id_in_json(body)
    }
}

impl FromStr for KeySource {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let wrong = || KeyError(text.to_owned());
        match text.split_once(':').unwrap_or((text, "")) {
            ("request_id", "") => Ok(KeySource::RequestId),
            ("random", "") => Ok(KeySource::Random),
            ("path", "") => Ok(KeySource::Path),
            ("client", "") => Ok(KeySource::Client),
            ("header", name) => name.parse().map(KeySource::Header).map_err(|_| wrong()),
            ("query", name) if !name.is_empty() => Ok(KeySource::Query(name.into())),
            _ => Err(wrong()),
        }
    }
}

/// The id that the member `request_id` of a JSON object gives, be it a number or a string.
fn id_in_json(body: &[u8]) -> Option<u64> {
    let value: serde_json::Value = serde_json::from_slice(body).ok()?;
    match value.get("request_id")? {
        serde_json::Value::Number(number) => Some(id_of_key(number.to_string().as_bytes())),
        serde_json::Value::String(text) => Some(id_of_key(text.as_bytes())),
        _ => None,
    }
}

fn in_query<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let mut parameters = query.split('&').filter_map(|parameter| parameter.split_once('='));
    parameters.find(|(key, _)| *key == name).map(|(_, value)| value)
}

fn is_json(media_type: &[u8]) -> bool {
    let essence = media_type.split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"application/json")
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::{
        super::framing::{Limits, Progress, Scratch},
        *,
    };

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

    /// What `ask` makes of a request with these header lines.
    fn with<T>(target: &str, lines: &str, ask: impl FnOnce(&Request<'_>) -> T) -> T {
        let text = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        let mut scratch = Scratch::default();
        let (mut progress, limits) = (Progress::default(), Limits::default());
        ask(&Request::parse(text.as_bytes(), &mut progress, &limits, &mut scratch).unwrap().unwrap())
    }

    fn id(key: &str, target: &str, lines: &str) -> u64 {
        let source: KeySource = key.parse().unwrap();
        with(target, lines, |request| source.id(request, CLIENT, &mut StdRng::seed_from_u64(1)))
    }

    #[test]
    fn each_source_finds_its_key() {
        let id = |key| id(key, "/a/b?x=1&request_id=132574&y=22", "user: 77\r\n");
        assert_eq!(id("request_id"), 132_574);
        assert_eq!(id("query:y"), 22);
        assert_eq!(id("header:User"), 77);
        assert_eq!(id("path"), id_of_key(b"/a/b"));
        assert_eq!(id("client"), id_of_key(b"192.0.2.7"));
        assert_eq!(KeySource::RequestId.id_in_body(br#"{"request_id": 999999}"#), Some(999_999));
        assert_eq!(KeySource::RequestId.id_in_body(br#"{"request_id": "888888"}"#), Some(888_888));
    }

    #[test]
    fn a_request_without_a_key_gets_a_random_six_digit_id() {
        for key in ["request_id", "random", "header:user", "query:user"] {
            assert!((100_000..=999_999).contains(&id(key, "/", "")), "{key}");
        }
        for body in ["", "[]", "{", r#"{"request_id":null}"#, r#"{"request_id":{"a":1}}"#] {
            assert_eq!(KeySource::RequestId.id_in_body(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn only_small_json_bodies_of_known_length_are_waited_for() {
        let needs = |key: &str, lines: &str| {
            let source: KeySource = key.parse().unwrap();
            with("/", lines, |request| source.needs_body(request))
        };
        let json = |line: &str| format!("Content-Type: Application/JSON; charset=utf-8\r\n{line}\r\n");
        assert!(needs("request_id", &json("Content-Length: 4096")));
        assert!(!needs("request_id", &json("Content-Length: 4097")));
        assert!(!needs("request_id", &json("Content-Length: 0")));
        assert!(!needs("request_id", &json("Transfer-Encoding: chunked")));
        assert!(!needs("request_id", "Content-Type: text/plain\r\nContent-Length: 9\r\n"));
        assert!(!needs("path", &json("Content-Length: 9")));
    }

    #[test]
    fn what_is_not_a_key_is_refused() {
        for wrong in ["", "cookie", "header:", "header:a b", "query:", "header", "path:x"] {
            assert!(wrong.parse::<KeySource>().is_err(), "{wrong}");
        }
    }
}
