//! What of a request decides its place on the ring. Pure.

use std::net::IpAddr;

use rand::{Rng, RngExt};

use super::framing::{Framing, Request};

mod client;
mod json;
mod source;

pub use source::{KeySource, SourceError};

/// Longer bodies are not waited for.
pub(super) const BODY_LIMIT: usize = 4096;

/// Where the keys of requests come from: the first of these that a request has. One that has none gets a random id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key(Box<[KeySource]>);

/// Why sources are no [`Key`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There is none.
    #[error("at least one source is needed, such as 'random'")]
    Empty,
    /// Some are never asked.
    #[error("'{after}' comes after '{last}', so no request ever goes by it")]
    Idle {
        /// What every request has.
        last: KeySource,
        /// What comes after it.
        after: KeySource,
    },
}

/// What a request's head tells of its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The id, unless the body tells another.
    pub id: u64,
    /// How many of the sources come before that, in order, for which the body has to be read; 0 where it has not.
    pub in_body: usize,
}

impl Key {
    /// Of these sources, in this order.
    pub fn new(sources: Vec<KeySource>) -> Result<Self, KeyError> {
        if sources.is_empty() {
            return Err(KeyError::Empty);
        }
        match sources.windows(2).find(|pair| pair[0].is_last()) {
            Some(pair) => Err(KeyError::Idle { last: pair[0].clone(), after: pair[1].clone() }),
            None => Ok(Key(sources.into())),
        }
    }

    /// The request's id on the ring, as far as its head tells. Its body has to be read, too, where a source that goes
    /// before may be there: in a JSON body of a known length of up to 4096 bytes.
    pub fn find(&self, request: &Request<'_>, client: IpAddr, rng: &mut impl Rng) -> Found {
        let mut sources = self.0.iter().enumerate();
        let found = sources.find_map(|(at, source)| Some((at + 1, source.id(request, client)?)));
        let (before, id) = found.unwrap_or_else(|| (self.0.len(), rng.random_range(100_000..=999_999)));
        let is_asked = self.0[..before].iter().any(|source| source.member().is_some());
        Found { id, in_body: if is_asked && has_small_json(request) { before } else { 0 } }
    }

    /// The id that a whole body tells by one of so many sources, as [`find`](Self::find) asks for it: it goes before that
    /// of the head.
    pub fn id_in_body(&self, sources: usize, body: &[u8]) -> Option<u64> {
        let body = serde_json::from_slice(body).ok()?;
        let text = |source: &KeySource| json::text(&body, source.member()?);
        self.0[..sources].iter().find_map(text).and_then(|text| source::id_of(text.as_bytes()))
    }
}

impl Default for Key {
    /// The assignment's.
    fn default() -> Self {
        Key([KeySource::RequestId].into())
    }
}

fn has_small_json(request: &Request<'_>) -> bool {
    let Framing::Length(length @ 1..) = request.framing else { return false };
    length <= BODY_LIMIT as u64 && json::is_json(request)
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::{
        super::framing::{Limits, Progress, Scratch},
        *,
    };
    use crate::ring::id_of_key;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

    fn key(list: &str) -> Result<Key, KeyError> {
        Key::new(list.split(',').map(|source| source.parse().unwrap()).collect())
    }

    /// What is found in a request with these header lines.
    fn find(list: &str, target: &str, lines: &str) -> Found {
        let text = format!("GET {target} HTTP/1.1\r\nHost: Example.org:80\r\n{lines}\r\n");
        let mut scratch = Scratch::default();
        let (mut progress, limits) = (Progress::default(), Limits::default());
        let request = Request::parse(text.as_bytes(), &mut progress, &limits, &mut scratch).unwrap().unwrap();
        key(list).unwrap().find(&request, CLIENT, &mut StdRng::seed_from_u64(1))
    }

    fn id(list: &str, target: &str, lines: &str) -> u64 {
        find(list, target, lines).id
    }

    fn json(length: &str) -> String {
        format!("Content-Type: Application/JSON; charset=utf-8\r\n{length}\r\n")
    }

    #[test]
    fn each_source_finds_its_key() {
        let id = |list| {
            id(
                list,
                "/a/b%2f/7?x=1&request_id=132574&y=22",
                "user: 77\r\nCookie: a=1; sid=5\r\nCookie: t=%20\r\n",
            )
        };
        assert_eq!(id("request_id"), 132_574);
        assert_eq!(id("query:y"), 22);
        assert_eq!(id("header:User"), 77);
        assert_eq!(id("cookie:sid"), 5);
        assert_eq!(id("cookie:t"), id_of_key(b"%20"));
        assert_eq!(id("path"), id_of_key(b"/a/b%2F/7"));
        assert_eq!(id("segment:1"), id_of_key(b"a"));
        assert_eq!(id("segment:2"), id_of_key(b"b%2F"));
        assert_eq!(id("segment:3"), 7);
        assert_eq!(id("host"), id_of_key(b"example.org"));
        assert_eq!(id("client"), id_of_key(b"192.0.2.7"));
        assert_eq!(id("client/24/64"), id_of_key(b"192.0.2.0"));
    }

    #[test]
    fn one_path_is_one_key_however_it_is_spelled() {
        for other in ["/%61/b", "/x/../a/b", "/./a/%62", "/a/b?c"] {
            assert_eq!(id("path", other, ""), id_of_key(b"/a/b"), "{other}");
            assert_eq!(id("segment:2", other, ""), id_of_key(b"b"), "{other}");
        }
        for another in ["/a/b/", "/a//b", "/a%2Fb", "/A/b"] {
            assert_ne!(id("path", another, ""), id_of_key(b"/a/b"), "{another}");
        }
    }

    #[test]
    fn a_request_without_a_key_gets_a_random_six_digit_id() {
        for list in [
            "request_id",
            "random",
            "header:user",
            "header:empty",
            "query:user",
            "query:empty",
            "cookie:sid",
            "cookie:empty",
            "segment:2",
            "segment:3",
            "json:user",
            "header:user,cookie:sid,json:user",
        ] {
            let found = find(list, "/a/?empty=&y=1", "Empty:\r\nCookie: empty=; a=b\r\n");
            assert!((100_000..=999_999).contains(&found.id) && found.in_body == 0, "{list}: {found:?}");
        }
    }

    #[test]
    fn of_several_sources_the_first_that_is_there_counts() {
        let list = "header:x-user,cookie:sid,query:user,client";
        for (target, lines, expected) in [
            ("/?user=3", "X-User: 1\r\nCookie: sid=2\r\n", 1),
            ("/?user=3", "X-User:\r\nCookie: sid=2\r\n", 2),
            ("/?user=3", "", 3),
            ("/?user=", "", id_of_key(b"192.0.2.7")),
        ] {
            assert_eq!(id(list, target, lines), expected, "{target} {lines}");
        }
    }

    #[test]
    fn a_body_is_read_only_where_what_is_there_goes_before_what_the_head_has() {
        let list = "header:x-user,json:user.id,cookie:sid,request_id,json:last";
        let (length, key) = (json("Content-Length: 9"), key(list).unwrap());
        let body = |more: &str, target: &str| find(list, target, &format!("{length}{more}"));
        assert_eq!(body("X-User: 1\r\n", "/"), Found { id: 1, in_body: 0 });
        assert_eq!(body("Cookie: sid=2\r\n", "/"), Found { id: 2, in_body: 3 });
        assert_eq!(body("", "/?request_id=3"), Found { id: 3, in_body: 4 });
        assert_eq!(body("", "/").in_body, 5);
        let whole = br#"{"last":4,"request_id":"5","user":{"id":6}}"#;
        assert_eq!([3, 4, 5].map(|sources| key.id_in_body(sources, whole)), [Some(6); 3]);
        let part = br#"{"last":4,"request_id":"5"}"#;
        assert_eq!([3, 4, 5].map(|sources| key.id_in_body(sources, part)), [None, Some(5), Some(5)]);
        assert_eq!(key.id_in_body(5, br#"{"last":4}"#), Some(4));
        for broken in ["", "{", "[]", "nonsense", r#"{"last":null}"#, r#"{"request_id":{"a":1}}"#] {
            assert_eq!(key.id_in_body(5, broken.as_bytes()), None, "{broken}");
        }
    }

    #[test]
    fn a_number_and_its_text_are_one_key() {
        let key = Key::default();
        assert_eq!(key.id_in_body(1, br#"{"request_id": 999999}"#), Some(999_999));
        assert_eq!(key.id_in_body(1, br#"{"request_id": "999999"}"#), Some(999_999));
    }

    #[test]
    fn only_small_json_bodies_of_known_length_are_waited_for() {
        let waits = |list: &str, lines: &str| find(list, "/", lines).in_body > 0;
        for list in ["request_id", "json:user", "header:x-user,json:user"] {
            assert!(waits(list, &json("Content-Length: 4096")));
            assert!(waits(list, "Content-Type: application/vnd.api+JSON\r\nContent-Length: 9\r\n"));
            assert!(!waits(list, &json("Content-Length: 4097")));
            assert!(!waits(list, &json("Content-Length: 0")));
            assert!(!waits(list, &json("Transfer-Encoding: chunked")));
            assert!(!waits(list, "Content-Type: text/plain\r\nContent-Length: 9\r\n"));
            assert!(!waits(list, "Content-Length: 9\r\n"));
        }
        assert!(!waits("path", &json("Content-Length: 9")));
    }

    #[test]
    fn what_comes_after_a_key_that_every_request_has_is_refused() {
        assert_eq!(Key::new(Vec::new()), Err(KeyError::Empty));
        for list in ["random,path", "header:x,client/24,cookie:sid", "path,path"] {
            assert!(matches!(key(list), Err(KeyError::Idle { .. })), "{list}");
        }
        let error = key("header:x,client/24,cookie:sid").unwrap_err().to_string();
        assert_eq!(error, "'cookie:sid' comes after 'client/24', so no request ever goes by it");
        for list in ["header:x,random", "host,client", "segment:1,path", "request_id,json:a"] {
            assert!(key(list).is_ok(), "{list}");
        }
    }
}
