//! Which pool a request is for. Pure.

use std::{borrow::Cow, cmp::Reverse, net::SocketAddr, str::FromStr};

use http::{HeaderName, Method};

use super::framing::{Fields, path};

/// One way to a pool: requests that meet all of its conditions take it. Of several that a request could take it takes the
/// most specific one: that of its listener before one for all, that of its host before a wildcard's before one without,
/// then that of the longer path, with a method, with more headers (as Gateway API orders its rules); else the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The pool.
    pub pool: Box<str>,
    /// Where the request has to come in.
    pub listen: Option<SocketAddr>,
    /// The host that it has to be for.
    pub host: Option<Host>,
    /// What its path has to begin with.
    pub path: Option<Prefix>,
    /// Headers that it has to have.
    pub headers: Vec<Header>,
    /// The methods of which it has to have one; any where there is none.
    pub methods: Vec<Method>,
    /// Whether what its path begins with is taken away.
    pub strip_prefix: bool,
    /// What is put before its path.
    pub add_prefix: Option<Prefix>,
}

/// A host, or with `*.` before it all hosts below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    name: Box<str>,
    is_wild: bool,
}

/// The beginning of a path, by whole segments: `/api` is that of `/api` and `/api/x`, not of `/apis`. Without escapes that
/// need not be, and without a slash at its end; the empty one is that of all paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prefix(Box<str>);

/// A header that a request has to have, with this value if there is one here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    name: HeaderName,
    value: Option<Box<str>>,
}

/// Why a text is not a condition of a route.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// Not a [`Host`].
    #[error("a host is a name such as shop.example.org, or *.example.org, without a port")]
    Host,
    /// Not a [`Prefix`].
    #[error("a path begins with '/' and has no '.' or '..' segment, no '?' and no '#'")]
    Path,
    /// Not a [`Header`].
    #[error("a header is NAME or NAME:VALUE")]
    Header,
}

/// What routes look at of a request.
#[derive(Clone, Copy, Debug)]
pub struct Sought<'a> {
    /// The listener that it came in at.
    pub listen: SocketAddr,
    /// The host that it is for, perhaps with a port.
    pub host: Option<&'a str>,
    /// Its method.
    pub method: &'a str,
    /// Its fields.
    pub fields: &'a Fields<'a>,
}

impl Route {
    /// Whether a request for this path, without needless escapes, may take it.
    pub fn takes(&self, sought: &Sought<'_>, path: &str) -> bool {
        self.listen.is_none_or(|listen| listen == sought.listen)
            && self.path.as_ref().is_none_or(|prefix| prefix.begins(path))
            && self.host.as_ref().is_none_or(|host| sought.host.is_some_and(|name| host.is_of(name)))
            && (self.methods.is_empty() || self.methods.iter().any(|method| method == sought.method))
            && self.headers.iter().all(|header| header.is_in(sought.fields))
    }

    /// Whether another path than the one that came may go on.
    pub fn rewrites(&self) -> bool {
        self.stripped().into_iter().chain(&self.add_prefix).any(|prefix| !prefix.0.is_empty())
    }

    /// The path that goes on in place of this one, in which nothing else is changed; none where it is the same.
    pub fn rewritten(&self, path: &str) -> Option<String> {
        if !self.rewrites() || !path.starts_with('/') {
            return None;
        }
        let rest = self.stripped().map_or(path, |prefix| prefix.rest(path));
        let before = self.add_prefix.as_ref().map_or("", |prefix| &prefix.0);
        let slash = if before.is_empty() && !rest.starts_with('/') { "/" } else { "" };
        Some([before, slash, rest].concat())
    }

    fn stripped(&self) -> Option<&Prefix> {
        self.path.as_ref().filter(|_| self.strip_prefix)
    }

    /// What [specific](Route) ones come first by.
    pub fn rank(&self) -> impl Ord + use<> {
        let host = self.host.as_ref();
        let path = self.path.as_ref().map_or(0, |path| path.0.len());
        Reverse((
            self.listen.is_some(),
            host.is_some_and(|host| !host.is_wild),
            host.map_or(0, |host| host.name.len()),
            path,
            !self.methods.is_empty(),
            self.headers.len(),
        ))
    }
}

impl Host {
    fn is_of(&self, host: &str) -> bool {
        let name = host_name(host);
        if !self.is_wild {
            return name.eq_ignore_ascii_case(&self.name);
        }
        let Some(at) = name.len().checked_sub(self.name.len() + 1).filter(|at| *at > 0) else { return false };
        name.as_bytes()[at] == b'.'
            && name.get(at + 1..).is_some_and(|end| end.eq_ignore_ascii_case(&self.name))
    }
}

/// The host without its port, and without the dot that may end it.
fn host_name(host: &str) -> &str {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    name.strip_suffix('.').unwrap_or(name)
}

impl FromStr for Host {
    type Err = RouteError;

    fn from_str(text: &str) -> Result<Self, RouteError> {
        let (name, is_wild) = text.strip_prefix("*.").map_or((text, false), |name| (name, true));
        let is_address = name.starts_with('[') && name.ends_with(']') && !is_wild;
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        match !name.is_empty() && !name.starts_with('.') && (is_address || name.bytes().all(is_part)) {
            true => Ok(Host { name: name.strip_suffix('.').unwrap_or(name).into(), is_wild }),
            false => Err(RouteError::Host),
        }
    }
}

impl Prefix {
    fn begins(&self, path: &str) -> bool {
        path.strip_prefix(&*self.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// What follows it in a path that it begins, however that is spelled.
    fn rest<'a>(&self, path: &'a str) -> &'a str {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        let ends = ends.take_while(|at| *at <= 3 * self.0.len()); // an escape has three bytes for one
        let mut rests = ends.filter(|at| path::unescaped(&path[..*at]) == *self.0).map(|at| &path[at..]);
        rests.next().unwrap_or(path)
    }
}

impl FromStr for Prefix {
    type Err = RouteError;

    fn from_str(text: &str) -> Result<Self, RouteError> {
        let path = path::unescaped(text);
        let is_path = path.starts_with('/') && path::resolved(&path) == path;
        let is_written = |byte: u8| byte.is_ascii_graphic() && !b"?#\\\"<>".contains(&byte);
        match is_path && path.bytes().all(is_written) {
            true => Ok(Prefix(path.trim_end_matches('/').into())),
            false => Err(RouteError::Path),
        }
    }
}

impl Header {
    fn is_in(&self, fields: &Fields<'_>) -> bool {
        let found = fields.get(self.name.as_str());
        match &self.value {
            Some(value) => found == Some(value.as_bytes()),
            None => found.is_some(),
        }
    }
}

impl FromStr for Header {
    type Err = RouteError;

    fn from_str(text: &str) -> Result<Self, RouteError> {
        let (name, value) = match text.split_once(':') {
            Some((name, value)) => (name, Some(value.trim().into())),
            None => (text, None),
        };
        Ok(Header { name: name.parse().map_err(|_| RouteError::Header)?, value })
    }
}

/// The path as routes see it, and whether `..` in it changes that.
pub fn normal(path: &str) -> (Cow<'_, str>, Option<String>) {
    if path::is_plain(path) {
        return (Cow::Borrowed(path), None);
    }
    let path = path::unescaped(path);
    let resolved = path::resolved(&path).into_owned();
    let differs = (resolved != path).then_some(resolved);
    (path, differs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(lines: &[(&str, &str)]) -> Route {
        let mut route = Route {
            pool: "p".into(),
            listen: None,
            host: None,
            path: None,
            headers: Vec::new(),
            methods: Vec::new(),
            strip_prefix: false,
            add_prefix: None,
        };
        for (name, value) in lines {
            match *name {
                "listen" => route.listen = Some(value.parse().unwrap()),
                "host" => route.host = Some(value.parse().unwrap()),
                "path" => route.path = Some(value.parse().unwrap()),
                "method" => route.methods.push(value.parse().unwrap()),
                "strip" => route.strip_prefix = true,
                "add" => route.add_prefix = Some(value.parse().unwrap()),
                other => panic!("{other}"),
            }
        }
        route
    }

    #[test]
    fn a_path_is_matched_by_whole_segments() {
        let api: Prefix = "/api/".parse().unwrap();
        for (path, is_its) in
            [("/api", true), ("/api/", true), ("/api/x", true), ("/apis", false), ("/", false), ("*", false)]
        {
            assert_eq!(api.begins(path), is_its, "{path}");
        }
        assert!("/".parse::<Prefix>().unwrap().begins("/anything"));
        for wrong in ["", "api", "/a/../b", "/a?b", "/a b"] {
            assert!(wrong.parse::<Prefix>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_host_is_matched_in_any_letters_without_its_port() {
        for (pattern, host, is_its) in [
            ("shop.example.org", "Shop.Example.ORG:8080", true),
            ("shop.example.org", "shop.example.org.", true),
            ("shop.example.org", "example.org", false),
            ("*.example.org", "a.b.example.org", true),
            ("*.example.org", "example.org", false),
            ("*.example.org", "badexample.org", false),
            ("*.example.org", ".example.org", false),
            ("[::1]", "[::1]:80", true),
        ] {
            assert_eq!(pattern.parse::<Host>().unwrap().is_of(host), is_its, "{pattern} {host}");
        }
        for wrong in ["", "*", "a:80", "*.", "http://a", "a/b"] {
            assert!(wrong.parse::<Host>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_prefix_is_taken_away_and_put_before_and_the_rest_stays_byte_for_byte() {
        let strip = route(&[("path", "/api"), ("strip", "")]);
        for (path, goes_on) in [
            ("/api", "/"),
            ("/api/", "/"),
            ("/api/x%2fy/%7E", "/x%2fy/%7E"),
            ("/%61pi/x", "/x"),
            ("/api//x", "//x"),
        ] {
            assert_eq!(strip.rewritten(path).unwrap(), goes_on, "{path}");
        }
        let both = route(&[("path", "/api"), ("strip", ""), ("add", "/v2/")]);
        assert_eq!(both.rewritten("/api/x").unwrap(), "/v2/x");
        assert_eq!(both.rewritten("/api").unwrap(), "/v2");
        assert_eq!(route(&[("add", "/v2")]).rewritten("/x").unwrap(), "/v2/x");
        assert_eq!(route(&[("path", "/api")]).rewritten("/api/x"), None);
        assert_eq!(strip.rewritten("*"), None);
        assert_eq!(route(&[("path", "/"), ("strip", ""), ("add", "/")]).rewritten("/x"), None);
    }

    #[test]
    fn the_most_specific_comes_first() {
        let mut routes = vec![
            route(&[]),
            route(&[("path", "/a")]),
            route(&[("path", "/a/b")]),
            route(&[("host", "*.b.c")]),
            route(&[("host", "a.b.c")]),
            route(&[("host", "a.b.c"), ("method", "GET")]),
            route(&[("listen", "127.0.0.1:1")]),
        ];
        let expected = [6, 5, 4, 3, 2, 1, 0].map(|at: usize| routes[at].clone());
        routes.sort_by_key(Route::rank);
        assert_eq!(routes, expected);
    }
}
