//! Where a balancer is reached.

use std::{fmt, str::FromStr};

use http::{Uri, uri::Scheme};

/// The address of an HTTP server: `http://HOST:PORT`, perhaps with a prefix before every path.
///
/// `http://` may be left out, and the port too where it is 80.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// As it stands in the URL: IPv6 in brackets.
    host: Box<str>,
    port: u16,
    /// Empty, or `/…` without a slash at its end.
    prefix: Box<str>,
}

/// Why a text is not a [`Base`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BaseError {
    /// Not a URL at all.
    #[error("not a URL such as http://127.0.0.1:5000")]
    NotUrl,
    /// Something other than plain HTTP.
    #[error("only http:// is spoken, not {0}://")]
    Scheme(String),
    /// A URL has more than a place.
    #[error("a URL up to the path is wanted, without a query")]
    Query,
}

impl Base {
    /// The same host's other port, without a prefix.
    pub fn with_port(&self, port: u16) -> Self {
        Base { host: self.host.clone(), port, prefix: "".into() }
    }

    /// The host as a resolver wants it: IPv6 without brackets.
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The value of the `Host` field.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The path on the server of a path behind this base; a slash at its start may be left out.
    pub fn path(&self, path: &str) -> String {
        format!("{}/{}", self.prefix, path.strip_prefix('/').unwrap_or(path))
    }
}

impl FromStr for Base {
    type Err = BaseError;

    fn from_str(text: &str) -> Result<Self, BaseError> {
        let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let uri: Uri = with_scheme.parse().map_err(|_| BaseError::NotUrl)?;
        if let Some(scheme) = uri.scheme().filter(|scheme| **scheme != Scheme::HTTP) {
            return Err(BaseError::Scheme(scheme.to_string()));
        }
        if uri.query().is_some() {
            return Err(BaseError::Query);
        }
        let authority = uri.authority().ok_or(BaseError::NotUrl)?;
        let port = match authority.as_str()[authority.host().len()..].strip_prefix(':') {
            None if authority.as_str() == authority.host() => 80,
            Some(port) => port.parse().map_err(|_| BaseError::NotUrl)?,
            None => return Err(BaseError::NotUrl), // a user
        };
        let prefix = uri.path().trim_end_matches('/').into();
        Ok(Base { host: authority.host().into(), port, prefix })
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}{}", self.host, self.port, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(text: &str) -> Base {
        text.parse().expect(text)
    }

    #[test]
    fn scheme_and_port_may_be_left_out() {
        assert_eq!(base("127.0.0.1:5000").to_string(), "http://127.0.0.1:5000");
        assert_eq!(base("localhost").to_string(), "http://localhost:80");
        assert_eq!(base("http://lb.example:81/ring/").to_string(), "http://lb.example:81/ring");
    }

    #[test]
    fn a_path_goes_behind_the_prefix() {
        assert_eq!(base("http://h/ring").path("/home"), "/ring/home");
        assert_eq!(base("http://h/").path("hello/world"), "/hello/world");
    }

    #[test]
    fn ipv6_is_resolved_without_its_brackets() {
        let base = base("http://[::1]:5000");
        assert_eq!((base.host(), base.port()), ("::1", 5000));
        assert_eq!(base.with_port(5001).to_string(), "http://[::1]:5001");
    }

    #[test]
    fn what_is_no_place_is_refused() {
        assert_eq!("https://h".parse::<Base>(), Err(BaseError::Scheme("https".into())));
        assert_eq!("http://h/?a=1".parse::<Base>(), Err(BaseError::Query));
        for bad in ["", "http://", "a b", "h:99999", "http://h:x", "http://user@h:80"] {
            assert!(bad.parse::<Base>().is_err(), "{bad}");
        }
    }
}
