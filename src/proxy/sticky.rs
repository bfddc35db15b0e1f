//! Clients that stay with their replica, by a cookie. Pure.
//!
//! The cookie's value is the replica's number, nothing else of it: neither its name, which may be its address, nor anything
//! that has to be kept secret. So whoever makes one up can choose among the replicas of the pool, and no more.

use std::str::FromStr;

use super::framing::{Request, cookie};
use crate::{name::Number, table::InFlight};

/// The cookie by which clients stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sticky {
    name: Box<str>,
}

/// Why a text is not a [`Sticky`] cookie's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a cookie's name is of letters, digits and !#$%&'*+-.^_`|~, and does not begin with __Host- or __Secure-, not '{0}'"
)]
pub struct StickyError(String);

/// How names begin that browsers take only of servers with TLS.
const SECURE: [&str; 2] = ["__host-", "__secure-"];

impl Sticky {
    /// The cookie's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Another one for this pool: pools that one host leads to do not overwrite each other's.
    pub fn of_pool(&self, pool: &str) -> Self {
        Sticky { name: format!("{}-{pool}", self.name).into() }
    }

    /// Whether the request has such a cookie, whatever it says.
    pub fn is_in(&self, request: &Request<'_>) -> bool {
        cookie::values(&request.fields, &self.name).next().is_some()
    }

    /// The number of the replica that the request's client stays with: the first that such a cookie has.
    pub fn number(&self, request: &Request<'_>) -> Option<Number> {
        cookie::values(&request.fields, &self.name).find_map(number)
    }

    /// What Set-Cookie tells a client that stayed with this number, if with any, when this claim's replica answers; `None`
    /// where the client's cookie is right, or is to stay as it is.
    pub fn renewed(&self, number: Option<Number>, claim: &InFlight) -> Option<String> {
        let answers = claim.replica().number;
        let stays = number == Some(answers) || number.is_some() && claim.is_stand_in();
        (!stays).then(|| format!("{}={answers}; Path=/; HttpOnly; SameSite=Lax", self.name))
    }
}

impl FromStr for Sticky {
    type Err = StickyError;

    fn from_str(text: &str) -> Result<Self, StickyError> {
        let begin = text.to_ascii_lowercase();
        let is_good = cookie::is_name(text) && !SECURE.iter().any(|secure| begin.starts_with(secure));
        if is_good { Ok(Sticky { name: text.into() }) } else { Err(StickyError(text.to_owned())) }
    }
}

fn number(value: &[u8]) -> Option<Number> {
    let text = std::str::from_utf8(value).ok()?;
    let is_plain = text.starts_with(|digit| matches!(digit, '1'..='9'));
    Number::new(text.parse().ok().filter(|_| is_plain)?)
}

#[cfg(test)]
mod tests {
    use super::{
        super::framing::{Limits, Progress, Scratch},
        *,
    };

    /// The number in the cookie `at` of a request with these lines, and whether there is such a cookie.
    fn found(lines: &str) -> (Option<u16>, bool) {
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        let mut scratch = Scratch::default();
        let (mut progress, limits) = (Progress::default(), Limits::default());
        let request = Request::parse(text.as_bytes(), &mut progress, &limits, &mut scratch).unwrap().unwrap();
        let sticky: Sticky = "at".parse().unwrap();
        (sticky.number(&request).map(Number::get), sticky.is_in(&request))
    }

    #[test]
    fn a_cookie_names_a_number_and_anything_else_names_nobody() {
        for (lines, expected) in [
            ("", (None, false)),
            ("Cookie: a=1; aat=2\r\n", (None, false)),
            ("Cookie: at=3\r\n", (Some(3), true)),
            ("Cookie: a=b; at=65535\r\n", (Some(65_535), true)),
            ("Cookie: at=x\r\nCookie: at=4\r\n", (Some(4), true)),
        ] {
            assert_eq!(found(lines), expected, "{lines}");
        }
        for forged in
            ["", "0", "00", "01", "+1", "-1", "65536", "1e1", "1 2", "\"1\"", "Server-1", "10.0.0.1:80", "١"]
        {
            assert_eq!(found(&format!("Cookie: at={forged}\r\n")), (None, true), "{forged}");
        }
    }

    #[test]
    fn a_name_that_browsers_would_not_send_back_is_refused() {
        for good in ["at", "ringkeeper", "A-b.c_1", "__Host", "x__Host-a"] {
            assert_eq!(good.parse::<Sticky>().unwrap().name(), good);
        }
        for bad in ["", "a b", "a=b", "a;b", "a,b", "\u{e4}", "__Host-a", "__secure-a"] {
            assert!(bad.parse::<Sticky>().is_err(), "{bad}");
        }
    }
}
