//! One place where a request's key may be.

use std::{borrow::Cow, fmt, net::IpAddr, num::NonZeroU16, str::FromStr};

use http::HeaderName;

use super::client::Prefix;
use crate::{
    proxy::framing::{Request, cookie, path},
    ring::id_of_key,
};

/// Where a key may be. What is there but empty is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// `request_id` in a small JSON body, else in the query: the assignment's.
    RequestId,
    /// Nowhere: chance decides.
    Random,
    /// The path, however it is spelled (RFC 3986, section 6.2.2).
    Path,
    /// A segment of that, counted from 1.
    Segment(NonZeroU16),
    /// The host that is asked for, without its port, in small letters.
    Host,
    /// The client's address, as far as it counts.
    Client(Prefix),
    /// The first value of this header.
    Header(HeaderName),
    /// The first value of this cookie, as it is written there.
    Cookie(Box<str>),
    /// The first value of this parameter of the query, as it is written there.
    Query(Box<str>),
    /// A member of a small JSON body, a number or a string; dots part the names on the way there.
    Json(Box<str>),
}

/// Why a text is not a [`KeySource`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is no key: {accepted}")]
pub struct SourceError {
    text: String,
    accepted: &'static str,
}

const ALL: &str = "accepted are request_id, random, path, segment:N, host, client, client/BITS (of IPv4) or client/BITS/BITS \
                   (of IPv4 and IPv6), header:NAME, cookie:NAME, query:NAME and json:MEMBER";
const BITS: &str = "of an address of IPv4 the first 1 to 32 bits count, of IPv6 the first 1 to 128, as in client/24 and \
                    client/24/64";
const SEGMENT: &str = "the segments of a path are counted from 1, as in segment:2";
const HEADER: &str = "that is no header's name";
const COOKIE: &str = "that is no cookie's name";
const QUERY: &str = "that is no parameter's name";
const JSON: &str = "a member is named like user, or like user.id where it is a member of a member";

impl KeySource {
    /// The id that this gives a request, as far as its head tells; `None` where it is not there.
    pub(super) fn id(&self, request: &Request<'_>, client: IpAddr) -> Option<u64> {
        let path = || path::normal(request.target.path);
        match self {
            KeySource::Random | KeySource::Json(_) => None,
            KeySource::RequestId => id_of(in_query(request, "request_id")?.as_bytes()),
            KeySource::Path => id_of(path().as_bytes()),
            KeySource::Segment(at) => id_of(path().split('/').nth(at.get().into())?.as_bytes()),
            KeySource::Host => id_of(host(request.host?).as_bytes()),
            KeySource::Client(prefix) => id_of(prefix.of(client).to_string().as_bytes()),
            KeySource::Header(name) => id_of(request.fields.get(name.as_str())?),
            KeySource::Cookie(name) => id_of(cookie::values(&request.fields, name).next()?),
            KeySource::Query(name) => id_of(in_query(request, name)?.as_bytes()),
        }
    }

    /// The member of a JSON body where it may be.
    pub(super) fn member(&self) -> Option<&str> {
        match self {
            KeySource::RequestId => Some("request_id"),
            KeySource::Json(member) => Some(member),
            _ => None,
        }
    }

    /// Whether it is there in every request, or nothing else is asked for.
    pub(super) fn is_last(&self) -> bool {
        matches!(self, KeySource::Random | KeySource::Path | KeySource::Client(_))
    }
}

/// The id of what is there.
pub(super) fn id_of(key: &[u8]) -> Option<u64> {
    (!key.is_empty()).then(|| id_of_key(key))
}

fn in_query<'a>(request: &Request<'a>, name: &str) -> Option<&'a str> {
    let mut parameters = request.target.query?.split('&').filter_map(|parameter| parameter.split_once('='));
    parameters.find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// An authority's host: no port, no capitals, no final dot.
fn host(authority: &str) -> Cow<'_, str> {
    let port = authority.rfind(':').filter(|at| !authority[*at..].contains(']'));
    let host = &authority[..port.unwrap_or(authority.len())];
    let host = host.strip_suffix('.').unwrap_or(host);
    match host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => host.to_ascii_lowercase().into(),
        false => host.into(),
    }
}

impl FromStr for KeySource {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        let or = |source: Option<KeySource>, accepted| {
            source.ok_or_else(|| SourceError { text: text.to_owned(), accepted })
        };
        let Some((kind, name)) = text.split_once(':') else {
            return match text {
                "request_id" => Ok(KeySource::RequestId),
                "random" => Ok(KeySource::Random),
                "path" => Ok(KeySource::Path),
                "host" => Ok(KeySource::Host),
                "client" => Ok(KeySource::Client(Prefix::WHOLE)),
                _ => match text.strip_prefix("client/") {
                    Some(bits) => or(Prefix::parse(bits).map(KeySource::Client), BITS),
                    None => or(None, ALL),
                },
            };
        };
        let named = |is_good: bool| is_good.then(|| name.into());
        match kind {
            "segment" => or(place(name).map(KeySource::Segment), SEGMENT),
            "header" => or(name.parse().ok().map(KeySource::Header), HEADER),
            "cookie" => or(named(cookie::is_name(name)).map(KeySource::Cookie), COOKIE),
            "query" => {
                or(named(!name.is_empty() && !name.contains(['&', '=', '#'])).map(KeySource::Query), QUERY)
            }
            "json" => or(named(!name.split('.').any(str::is_empty)).map(KeySource::Json), JSON),
            _ => or(None, ALL),
        }
    }
}

fn place(digits: &str) -> Option<NonZeroU16> {
    digits.parse().ok().filter(|_| digits.starts_with(|digit: char| digit.is_ascii_digit()))
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeySource::RequestId => f.write_str("request_id"),
            KeySource::Random => f.write_str("random"),
            KeySource::Path => f.write_str("path"),
            KeySource::Segment(at) => write!(f, "segment:{at}"),
            KeySource::Host => f.write_str("host"),
            KeySource::Client(prefix) => match prefix.lengths() {
                _ if *prefix == Prefix::WHOLE => f.write_str("client"),
                (v4, 128) => write!(f, "client/{v4}"),
                (v4, v6) => write!(f, "client/{v4}/{v6}"),
            },
            KeySource::Header(name) => write!(f, "header:{name}"),
            KeySource::Cookie(name) => write!(f, "cookie:{name}"),
            KeySource::Query(name) => write!(f, "query:{name}"),
            KeySource::Json(member) => write!(f, "json:{member}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_the_same_in_any_letters_and_with_any_port() {
        for (authority, expected) in [
            ("example.org", "example.org"),
            ("Example.ORG:8080", "example.org"),
            ("example.org.:80", "example.org"),
            ("example.org:", "example.org"),
            ("10.0.0.1:80", "10.0.0.1"),
            ("[2001:DB8::1]:80", "[2001:db8::1]"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(host(authority), expected);
        }
    }

    #[test]
    fn a_source_is_written_as_it_is_read() {
        for text in [
            "request_id",
            "random",
            "path",
            "segment:2",
            "host",
            "client",
            "client/24",
            "client/24/64",
            "header:x-user",
            "cookie:sid",
            "query:user",
            "json:user.id",
        ] {
            assert_eq!(text.parse::<KeySource>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_source_is_refused_with_what_is_accepted() {
        for (wrong, accepted) in [
            ("", "accepted are request_id, random"),
            ("Path", "accepted are"),
            ("path:x", "accepted are"),
            ("cookie", "accepted are"),
            ("header", "accepted are"),
            ("body:x", "accepted are"),
            ("clients/24", "accepted are"),
            ("client/33", "1 to 32 bits"),
            ("client/24/129", "1 to 128"),
            ("client/0", "1 to 32 bits"),
            ("segment:0", "counted from 1"),
            ("segment:-1", "counted from 1"),
            ("segment:+1", "counted from 1"),
            ("segment:", "counted from 1"),
            ("segment:65536", "counted from 1"),
            ("header:", "no header's name"),
            ("header:a b", "no header's name"),
            ("cookie:", "no cookie's name"),
            ("cookie:a;b", "no cookie's name"),
            ("cookie:a=b", "no cookie's name"),
            ("query:", "no parameter's name"),
            ("query:a=b", "no parameter's name"),
            ("json:", "a member is named like"),
            ("json:a..b", "a member is named like"),
            ("json:.a", "a member is named like"),
        ] {
            let error = wrong.parse::<KeySource>().unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("'{wrong}' is no key: ")) && error.contains(accepted),
                "{error}"
            );
        }
    }
}
