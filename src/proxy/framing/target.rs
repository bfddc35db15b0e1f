//! What a request asks for (RFC 9112, section 3.2).

use super::Refusal;

/// A request's target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// The host and port of a target that is a whole URL; it then replaces Host.
    pub authority: Option<&'a str>,
    /// The path as it came, or `*`.
    pub path: &'a str,
    /// What follows the `?`, as it came.
    pub query: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// Reads the target of a request with this method (never CONNECT).
    pub(super) fn parse(method: &str, text: &'a str) -> Result<Self, Refusal> {
        match text.as_bytes() {
            [b'/', ..] => Target::local(None, text),
            b"*" if method == "OPTIONS" => Ok(Target { authority: None, path: "*", query: None }),
            _ => Target::absolute(method, text),
        }
    }

    /// A URL. Its fragment, which is never sent, and its user, which is only there to deceive, are refused.
    fn absolute(method: &str, text: &'a str) -> Result<Self, Refusal> {
        let (scheme, rest) = text.split_once("://").ok_or(Refusal::Target)?;
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            return Err(Refusal::Target);
        }
        let (authority, local) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if !is_authority(authority) {
            return Err(Refusal::Target);
        }
        let authority = Some(authority);
        match local.as_bytes() {
            [] if method == "OPTIONS" => Ok(Target { authority, path: "*", query: None }),
            [] => Ok(Target { authority, path: "/", query: None }),
            _ => Target::local(authority, local),
        }
    }

    /// A path and a query.
    fn local(authority: Option<&'a str>, text: &'a str) -> Result<Self, Refusal> {
        let end = text.bytes().position(|byte| CLASSES[byte as usize] & IN_PATH == 0).unwrap_or(text.len());
        let (path, query) = text.split_at(end);
        let path = if path.is_empty() { "/" } else { path };
        let query = match query.as_bytes() {
            [] => None,
            [b'?', query_bytes @ ..]
                if query_bytes.iter().all(|byte| CLASSES[*byte as usize] & IN_QUERY != 0) =>
            {
                Some(&query[1..])
            }
            _ => return Err(Refusal::Target),
        };
        Ok(Target { authority, path, query })
    }

    /// Appends it as a replica reads it: path and query.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.path.as_bytes());
        if let Some(query) = self.query {
            out.push(b'?');
            out.extend_from_slice(query.as_bytes());
        }
    }
}

const IN_PATH: u8 = 1;
const IN_QUERY: u8 = 2;
/// Of what nearly all hosts consist.
const IN_NAME: u8 = 4;

/// Where bytes may stand: what RFC 3986 allows, and what browsers send besides, but a backslash in the path, which some
/// take for a slash. Bytes beyond ASCII have to be escaped.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0x21;
    while byte < 0x7f {
        classes[byte] = match byte as u8 {
            b'"' | b'#' | b'<' | b'>' => 0,
            b'`' | b'\\' | b'?' => IN_QUERY,
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' => IN_PATH | IN_QUERY | IN_NAME,
            _ => IN_PATH | IN_QUERY,
        };
        byte += 1;
    }
    classes
};

/// Whether this consists of what a word may consist of, too, as nearly all hosts without a port do.
pub(super) fn is_plain_name(text: &str) -> bool {
    text.bytes().all(|byte| CLASSES[byte as usize] & IN_NAME != 0)
}

/// Whether this is a host with or without a port, and no user (RFC 3986, section 3.2, without the comma in names: it
/// separates the values of fields).
pub(super) fn is_authority(text: &str) -> bool {
    let plain = text.bytes().position(|byte| CLASSES[byte as usize] & IN_NAME == 0);
    match plain {
        None => return !text.is_empty(),
        Some(end @ 1..) if text.as_bytes()[end] == b':' => return is_port(&text[end..]),
        Some(_) => {}
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(literal) => match literal.split_once(']') {
            Some((address, port)) => return is_address(address) && (port.is_empty() || is_port(port)),
            None => return false,
        },
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    is_name(host) && (port.is_empty() || is_port(port))
}

/// `:` and a port; the number may be missing.
fn is_port(text: &str) -> bool {
    let Some(digits) = text.strip_prefix(':') else { return false };
    digits.is_empty() || digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok()
}

/// An address of IPv6.
fn is_address(text: &str) -> bool {
    text.parse::<std::net::Ipv6Addr>().is_ok()
}

/// A name or an address of IPv4.
fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let good = match byte {
            b'%' => [bytes.next(), bytes.next()]
                .iter()
                .all(|digit| digit.is_some_and(|it| it.is_ascii_hexdigit())),
            _ => byte.is_ascii_alphanumeric() || b"-._~!$&'()*+;=".contains(&byte),
        };
        if !good {
            return false;
        }
    }
    !text.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
        for good in [
            "a",
            "example.org",
            "example.org:80",
            "a:",
            "10.0.0.1:8080",
            "[::1]",
            "[fe80::1]:443",
            "a_b",
            "a%20b",
        ] {
            assert!(is_authority(good), "{good}");
        }
        for bad in [
            "", ":80", "a b", "a,b", "a/b", "a@b", "a:b", "a:80:80", "a:65536", "a:+1", "[::1", "[::1]80",
            "[a]", "::1", "a%2", "ä",
        ] {
            assert!(!is_authority(bad), "{bad}");
        }
    }
}
