//! What proxies that are believed say of a request's client.
//!
//! Where they say it both ways, `X-Forwarded-*` counts and `Forwarded` begins anew: proxies that know the younger field
//! know the older ones, but not the other way round, so the younger one may be the client's own. What cannot be read is
//! dropped with everything before it, for whoever wrote it may have made that up as well.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Fields, fields::members, is_token, target::is_authority};
use crate::{caller::Caller, proxy::networks::Networks};

/// Which way proxies say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `X-Forwarded-For`, `-Proto` and `-Host`.
    XForwarded,
    /// `Forwarded`.
    Rfc7239,
}

/// What the proxies before this one say of a request.
#[derive(Clone, Copy, Debug)]
pub struct Before<'a> {
    fields: Fields<'a>,
    /// How they say it.
    pub(super) form: Form,
    /// Of how many of their links nothing is passed on.
    unreadable: usize,
    /// Of how many no address is.
    nameless: usize,
    /// The client's address: the last that is not a proxy's that is believed, or where all are, the first.
    client: Option<IpAddr>,
    /// How the client spoke to the first of them.
    pub(super) proto: Option<&'a str>,
    /// The host that it asked that one for.
    pub(super) host: Option<&'a str>,
}

/// What one proxy says: whom it was connected to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Link<'a> {
    /// As it says it; none where that cannot be read.
    text: Option<&'a [u8]>,
    address: Option<IpAddr>,
    proto: Option<&'a str>,
    host: Option<&'a str>,
}

/// What is left of a line of links.
struct Line<'a> {
    rest: &'a [u8],
    form: Form,
}

impl<'a> Before<'a> {
    /// What these fields of a request say that comes from a proxy that is believed; `None` if they say nothing.
    pub fn read(fields: Fields<'a>, trusted: &Networks) -> Option<Self> {
        let has = |name| fields.get(name).is_some();
        let form = match has("x-forwarded-for") || has("x-forwarded-proto") || has("x-forwarded-host") {
            true => Form::XForwarded,
            false if has("forwarded") => Form::Rfc7239,
            false => return None,
        };
        let first = |name| std::str::from_utf8(members(fields.get(name)?).next()?).ok();
        let (proto, host) = (first("x-forwarded-proto"), first("x-forwarded-host"));
        let mut before = Before {
            fields,
            form,
            unreadable: 0,
            nameless: 0,
            client: None,
            proto: proto.filter(|proto| is_scheme(proto)),
            host: host.filter(|host| is_authority(host)),
        };
        for (index, link) in links(fields, form).enumerate() {
            before.note(index, &link, trusted);
        }
        Some(before)
    }

    fn note(&mut self, index: usize, link: &Link<'a>, trusted: &Networks) {
        if link.text.is_none() {
            self.unreadable = index + 1;
        }
        match link.address {
            None => (self.nameless, self.client) = (index + 1, None),
            Some(address) if self.client.is_none() || !trusted.contains(address) => {
                self.client = Some(address)
            }
            Some(_) => {}
        }
        if self.form == Form::Rfc7239 && index <= self.unreadable {
            (self.proto, self.host) = (link.proto, link.host);
        }
    }

    /// Who asks by way of the proxy at the other end of a connection; the proxy itself where nobody knows.
    pub fn caller(&self, proxy: Caller) -> Caller {
        Caller { address: self.client.unwrap_or(proxy.address), is_direct: false }
    }

    /// The addresses that they say, the first one first, and how they write them.
    pub(super) fn clients(&self) -> impl Iterator<Item = (&'a [u8], IpAddr)> + use<'a> {
        let named = links(self.fields, self.form).skip(self.nameless);
        named.filter_map(|link| Some((link.text?, link.address?)))
    }

    /// The elements of `Forwarded`, the first one first.
    pub(super) fn elements(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        links(self.fields, self.form).skip(self.unreadable).filter_map(|link| link.text)
    }
}

fn links<'a>(fields: Fields<'a>, form: Form) -> impl Iterator<Item = Link<'a>> + use<'a> {
    let name = match form {
        Form::XForwarded => "x-forwarded-for",
        Form::Rfc7239 => "forwarded",
    };
    fields.all(name).flat_map(move |rest| Line { rest, form })
}

impl<'a> Iterator for Line<'a> {
    type Item = Link<'a>;

    fn next(&mut self) -> Option<Link<'a>> {
        loop {
            self.rest = self.rest.trim_ascii_start();
            match self.rest {
                [] => return None,
                [b',', rest @ ..] => self.rest = rest,
                rest => {
                    let (link, rest) = match self.form {
                        Form::XForwarded => entry(rest),
                        // after what is no element nobody knows where the next one begins
                        Form::Rfc7239 => element(rest).unwrap_or_default(),
                    };
                    self.rest = rest;
                    return Some(link);
                }
            }
        }
    }
}

/// The first entry of `X-Forwarded-For`, and what follows it.
fn entry(bytes: &[u8]) -> (Link<'_>, &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b',').unwrap_or(bytes.len());
    let text = bytes[..end].trim_ascii();
    let address = address(text);
    (Link { text: address.map(|_| text), address, ..Link::default() }, &bytes[end..])
}

/// The first element of `Forwarded` (RFC 7239, section 4), and what follows it.
fn element(bytes: &[u8]) -> Option<(Link<'_>, &[u8])> {
    let mut link = Link::default();
    let mut seen = [false; 3];
    let mut rest = bytes;
    loop {
        rest = rest.trim_ascii_start();
        match rest {
            [] | [b',', ..] => {
                let len = bytes.len() - rest.len();
                return Some((Link { text: Some(bytes[..len].trim_ascii_end()), ..link }, rest));
            }
            [b';', after @ ..] => rest = after,
            _ => {
                let (name, value, after) = pair(rest)?;
                rest = after.trim_ascii_start();
                if !matches!(rest, [] | [b',' | b';', ..]) || !link.take(name, value, &mut seen) {
                    return None;
                }
            }
        }
    }
}

impl<'a> Link<'a> {
    /// Takes a parameter over. Each may be there once; none means nothing if it is escaped.
    fn take(&mut self, name: &[u8], value: &'a [u8], seen: &mut [bool; 3]) -> bool {
        let known = [&b"for"[..], b"proto", b"host"];
        let Some(which) = known.iter().position(|known| name.eq_ignore_ascii_case(known)) else {
            return true;
        };
        let text = std::str::from_utf8(value).ok();
        match which {
            0 => self.address = address(value),
            1 => self.proto = text.filter(|proto| is_scheme(proto)),
            _ => self.host = text.filter(|host| is_authority(host)),
        }
        !std::mem::replace(&mut seen[which], true)
    }
}

/// A parameter, its value without quotes, and what follows it.
fn pair(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (name, value) = bytes.split_at_checked(bytes.iter().position(|byte| !is_token(*byte))?)?;
    let value = value.strip_prefix(b"=").filter(|_| !name.is_empty())?;
    let Some(quoted) = value.strip_prefix(b"\"") else {
        // many write a port without quotes
        let is_part = |byte: &u8| is_token(*byte) || b":[]".contains(byte);
        let end = value.iter().position(|byte| !is_part(byte)).unwrap_or(value.len());
        return (end > 0).then(|| (name, &value[..end], &value[end..]));
    };
    let mut at = 0;
    loop {
        match quoted.get(at)? {
            b'"' => return Some((name, &quoted[..at], &quoted[at + 1..])),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// An address, with or without a port.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let is_port = |port: &str| {
        !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    let address = match text.strip_prefix('[') {
        Some(literal) => {
            let (address, port) = literal.split_once(']')?;
            let is_good = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
            address.parse::<Ipv6Addr>().ok().filter(|_| is_good)?.into()
        }
        None => text.parse::<IpAddr>().ok().or_else(|| {
            let (address, port) = text.split_once(':')?;
            address.parse::<Ipv4Addr>().ok().filter(|_| is_port(port)).map(IpAddr::V4)
        })?,
    };
    Some(address.to_canonical())
}

/// Whether this could be a URL's scheme.
fn is_scheme(text: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    text.starts_with(|first: char| first.is_ascii_alphabetic()) && text.bytes().all(is_good)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::{Introduction, Limits, Progress, Request, Scratch, Tells},
        *,
    };

    /// What a replica is told of a request with these lines from a proxy that is believed, and who the client is.
    fn told(tells: Tells, lines: &str) -> (String, Option<IpAddr>) {
        let text = format!("GET / HTTP/1.1\r\nHost: own\r\n{lines}\r\n");
        let (mut progress, limits, mut scratch) =
            (Progress::default(), Limits::default(), Scratch::default());
        let request = Request::parse(text.as_bytes(), &mut progress, &limits, &mut scratch).unwrap().unwrap();
        let trusted: Vec<_> = ["10.0.0.0/8", "fd00::/8"].iter().map(|text| text.parse().unwrap()).collect();
        let caller = Caller { address: "10.0.0.9".parse().unwrap(), is_direct: true };
        let introduction = Introduction::new(caller, "http", tells);
        let before = Before::read(request.fields, &trusted.into());
        let mut out = Vec::new();
        match &before {
            Some(before) => introduction.write_after(&mut out, before, request.host),
            None => introduction.write(&mut out, request.host),
        }
        let client = before.map_or(Some(caller.address), |before| before.client);
        (String::from_utf8(out).unwrap().replace("\r\n", "|"), client)
    }

    fn check(cases: &[(&str, &str, &str)]) {
        for (lines, expected, client) in cases {
            let tells = if expected.starts_with("Forwarded") { Tells::Rfc7239 } else { Tells::XForwarded };
            let (fields, found) = told(tells, lines);
            assert_eq!((&*fields, found), (*expected, client.parse().ok()), "{lines}");
        }
    }

    #[test]
    fn what_is_said_in_the_older_fields_is_passed_on_with_ours_behind_it() {
        check(&[
            (
                "X-Forwarded-For: 192.0.2.7\r\n",
                "X-Forwarded-For: 192.0.2.7, 10.0.0.9|X-Forwarded-Proto: http|X-Forwarded-Host: own|",
                "192.0.2.7",
            ),
            (
                "X-Forwarded-For: 1.1.1.1,192.0.2.7\r\nX-Forwarded-For: 10.1.1.1, 10.2.2.2\r\nX-Forwarded-Proto: https, http\r\nX-Forwarded-Host: a:80, b\r\n",
                "X-Forwarded-For: 1.1.1.1, 192.0.2.7, 10.1.1.1, 10.2.2.2, 10.0.0.9|X-Forwarded-Proto: https|X-Forwarded-Host: a:80|",
                "192.0.2.7",
            ),
            (
                "X-Forwarded-For: 2001:db8::1, [fd00::1]:80\r\nForwarded: for=6.6.6.6\r\n",
                "X-Forwarded-For: 2001:db8::1, [fd00::1]:80, 10.0.0.9|X-Forwarded-Proto: http|X-Forwarded-Host: own|",
                "2001:db8::1",
            ),
            (
                "X-Forwarded-For: 192.0.2.7:4711\r\nX-Forwarded-Proto: https\r\n",
                "Forwarded: for=192.0.2.7;proto=https;host=own, for=10.0.0.9|",
                "192.0.2.7",
            ),
            (
                "X-Forwarded-For: 2001:db8::1, 10.1.1.1\r\nX-Forwarded-Host: a:80\r\nForwarded: for=6.6.6.6\r\n",
                "Forwarded: for=\"[2001:db8::1]\";proto=http;host=\"a:80\", for=10.1.1.1, for=10.0.0.9|",
                "2001:db8::1",
            ),
            ("X-Forwarded-Proto: https\r\n", "Forwarded: for=10.0.0.9;proto=https;host=own|", ""),
            (
                "X-Forwarded-For: 10.1.1.1, 10.2.2.2\r\n",
                "Forwarded: for=10.1.1.1;proto=http;host=own, for=10.2.2.2, for=10.0.0.9|",
                "10.1.1.1",
            ),
        ]);
    }

    #[test]
    fn what_is_said_in_the_younger_field_is_passed_on_with_ours_behind_it() {
        check(&[
            (
                "Forwarded: for=192.0.2.7;proto=https;host=a\r\n",
                "Forwarded: for=192.0.2.7;proto=https;host=a, for=10.0.0.9;proto=http;host=own|",
                "192.0.2.7",
            ),
            (
                "Forwarded: For=\"[2001:db8::1]:47\" ; by=_x ; Host=\"a:80\",for=10.1.1.1:80;secret=\"a,\\\"b\"\r\n",
                "Forwarded: For=\"[2001:db8::1]:47\" ; by=_x ; Host=\"a:80\", for=10.1.1.1:80;secret=\"a,\\\"b\", for=10.0.0.9;proto=http;host=own|",
                "2001:db8::1",
            ),
            (
                "Forwarded: for=\"[2001:db8::1]:47\";proto=https;host=\"a:80\", for=10.1.1.1\r\n",
                "X-Forwarded-For: 2001:db8::1, 10.1.1.1, 10.0.0.9|X-Forwarded-Proto: https|X-Forwarded-Host: a:80|",
                "2001:db8::1",
            ),
            (
                "Forwarded: for=unknown;proto=https, for=192.0.2.7\r\nForwarded: for=10.1.1.1\r\n",
                "X-Forwarded-For: 192.0.2.7, 10.1.1.1, 10.0.0.9|X-Forwarded-Proto: https|X-Forwarded-Host: own|",
                "192.0.2.7",
            ),
            (
                "Forwarded: for=192.0.2.7, for=_hidden\r\n",
                "Forwarded: for=192.0.2.7, for=_hidden, for=10.0.0.9;proto=http;host=own|",
                "",
            ),
        ]);
    }

    #[test]
    fn what_cannot_be_read_is_dropped_with_everything_before_it() {
        check(&[
            (
                "X-Forwarded-For: 127.0.0.1, garbage, 192.0.2.7, 10.1.1.1\r\n",
                "X-Forwarded-For: 192.0.2.7, 10.1.1.1, 10.0.0.9|X-Forwarded-Proto: http|X-Forwarded-Host: own|",
                "192.0.2.7",
            ),
            (
                "X-Forwarded-For: 127.0.0.1, unknown, 10.1.1.1\r\n",
                "X-Forwarded-For: 10.1.1.1, 10.0.0.9|X-Forwarded-Proto: http|X-Forwarded-Host: own|",
                "10.1.1.1",
            ),
            (
                "X-Forwarded-For: 127.0.0.1, \"\r\nX-Forwarded-Proto: ht tp\r\nX-Forwarded-Host: a/b\r\n",
                "X-Forwarded-For: 10.0.0.9|X-Forwarded-Proto: http|X-Forwarded-Host: own|",
                "",
            ),
            (
                "Forwarded: for=127.0.0.1;host=evil, for=\"a, for=1.1.1.1\r\n",
                "Forwarded: for=10.0.0.9;proto=http;host=own|",
                "",
            ),
            (
                "Forwarded: for=127.0.0.1;host=evil;for=1.1.1.1\r\nForwarded: for=192.0.2.7;proto=https\r\n",
                "Forwarded: for=192.0.2.7;proto=https, for=10.0.0.9;proto=http;host=own|",
                "192.0.2.7",
            ),
            (
                "Forwarded: for=127.0.0.1;host=evil;=x\r\nForwarded: for=192.0.2.7;proto=https\r\n",
                "X-Forwarded-For: 192.0.2.7, 10.0.0.9|X-Forwarded-Proto: https|X-Forwarded-Host: own|",
                "192.0.2.7",
            ),
        ]);
    }

    #[test]
    fn a_host_is_quoted_where_it_is_no_word() {
        let line = |host: &str| {
            let caller = Caller { address: "2001:db8::7".parse().unwrap(), is_direct: true };
            let mut out = Vec::new();
            Introduction::new(caller, "https", Tells::Both).write(&mut out, Some(host));
            String::from_utf8(out).unwrap()
        };
        for (host, quoted) in [("a.example", "a.example"), ("a:80", "\"a:80\""), ("[::1]", "\"[::1]\"")] {
            let expected = format!(
                "X-Forwarded-For: 2001:db8::7\r\nX-Forwarded-Proto: https\r\n\
                 Forwarded: for=\"[2001:db8::7]\";proto=https;host={quoted}\r\nX-Forwarded-Host: {host}\r\n"
            );
            assert_eq!(line(host), expected);
        }
    }

    proptest! {
        /// Whatever a proxy passes on, what goes on is well-formed, ends with the proxy, and is read back the same.
        #[test]
        fn whatever_is_said_what_goes_on_can_be_read(
            xff in proptest::option::of("[0-9a-f.:,\\[\\] \"]{0,30}"),
            rfc in proptest::option::of("(for=|proto=|host=|;|,|\"|\\\\| |[a-z0-9.:\\[\\]]){0,20}"),
        ) {
            let line = |name: &str, value: &Option<String>| {
                value.as_ref().map_or(String::new(), |value| format!("{name}: {value}\r\n"))
            };
            let lines = line("X-Forwarded-For", &xff) + &line("Forwarded", &rfc);
            for tells in [Tells::XForwarded, Tells::Rfc7239] {
                let (once, client) = told(tells, &lines);
                let (twice, again) = told(tells, &once.replace('|', "\r\n"));
                let chain = |text: &str| text.split('|').next().unwrap().matches(", ").count();
                prop_assert_eq!(chain(&twice), chain(&once) + 1, "{} {}", once, twice);
                prop_assert!(client.is_none() || again == client || again == Some("10.0.0.9".parse().unwrap()));
            }
        }
    }
}
