//! What of a request decides its place on the ring. Pure.

use std::{net::IpAddr, str::FromStr};

use http::{HeaderName, request::Parts};
use rand::{Rng, RngExt};

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
    pub fn needs_body(&self, head: &Parts) -> bool {
        let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
        let length = header(http::header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
        let media_type = header(http::header::CONTENT_TYPE).and_then(|value| value.split(';').next());
        *self == KeySource::RequestId
            && length.is_some_and(|length| (1..=BODY_LIMIT as u64).contains(&length))
            && media_type.is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case("application/json"))
    }

    /// The request's id on the ring. `body` is the whole body where [`needs_body`](Self::needs_body) asks for it.
    pub fn id(&self, head: &Parts, body: Option<&[u8]>, client: IpAddr, rng: &mut impl Rng) -> u64 {
        let in_query = |name| in_query(head, name).map(|value| id_of_key(value.as_bytes()));
        let found = match self {
            KeySource::RequestId => body.and_then(id_in_json).or_else(|| in_query("request_id")),
            KeySource::Random => None,
            KeySource::Path => Some(id_of_key(head.uri.path().as_bytes())),
            KeySource::Client => Some(id_of_key(client.to_string().as_bytes())),
            KeySource::Header(name) => head.headers.get(name).map(|value| id_of_key(value.as_bytes())),
            KeySource::Query(name) => in_query(name),
        };
        found.unwrap_or_else(|| rng.random_range(100_000..=999_999))
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

fn in_query<'a>(head: &'a Parts, name: &str) -> Option<&'a str> {
    let mut parameters = head.uri.query()?.split('&').filter_map(|parameter| parameter.split_once('='));
    parameters.find(|(key, _)| *key == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

    fn head(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn id(key: &str, head: &Parts, body: Option<&str>) -> u64 {
        let source: KeySource = key.parse().unwrap();
        source.id(head, body.map(str::as_bytes), CLIENT, &mut StdRng::seed_from_u64(1))
    }

    #[test]
    fn each_source_finds_its_key() {
        let head = head("/a/b?x=1&request_id=132574&y=22", &[("user", "77")]);
        assert_eq!(id("request_id", &head, None), 132_574);
        assert_eq!(id("request_id", &head, Some(r#"{"request_id": 999999}"#)), 999_999);
        assert_eq!(id("request_id", &head, Some(r#"{"request_id": "888888"}"#)), 888_888);
        assert_eq!(id("query:y", &head, None), 22);
        assert_eq!(id("header:User", &head, None), 77);
        assert_eq!(id("path", &head, None), id_of_key(b"/a/b"));
        assert_eq!(id("client", &head, None), id_of_key(b"192.0.2.7"));
    }

    #[test]
    fn a_request_without_a_key_gets_a_random_six_digit_id() {
        let bare = head("/", &[]);
        for key in ["request_id", "random", "header:user", "query:user"] {
            assert!((100_000..=999_999).contains(&id(key, &bare, None)), "{key}");
        }
        for body in ["", "[]", "{", r#"{"request_id":null}"#, r#"{"request_id":{"a":1}}"#] {
            assert!((100_000..=999_999).contains(&id("request_id", &bare, Some(body))), "{body}");
        }
    }

    #[test]
    fn only_small_json_bodies_of_known_length_are_waited_for() {
        let needs = |key: &str, headers: &[(&str, &str)]| {
            let source: KeySource = key.parse().unwrap();
            source.needs_body(&head("/", headers))
        };
        let json = ("content-type", "Application/JSON; charset=utf-8");
        assert!(needs("request_id", &[json, ("content-length", "4096")]));
        assert!(!needs("request_id", &[json, ("content-length", "4097")]));
        assert!(!needs("request_id", &[json, ("content-length", "0")]));
        assert!(!needs("request_id", &[json, ("transfer-encoding", "chunked")]));
        assert!(!needs("request_id", &[("content-type", "text/plain"), ("content-length", "9")]));
        assert!(!needs("path", &[json, ("content-length", "9")]));
    }

    #[test]
    fn what_is_not_a_key_is_refused() {
        for wrong in ["", "cookie", "header:", "header:a b", "query:", "header", "path:x"] {
            assert!(wrong.parse::<KeySource>().is_err(), "{wrong}");
        }
    }
}
