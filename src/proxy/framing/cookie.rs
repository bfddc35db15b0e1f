//! The cookies of a request (RFC 6265, section 4.2).

use super::{Fields, Kind, is_token};

/// Whether a cookie can be called that.
pub fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token)
}

/// The values of the cookies of this name, as they were sent. They may come in several fields (RFC 9113, section 8.2.3).
pub fn values<'a, 'n>(fields: &Fields<'a>, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
    fields.all("cookie").flat_map(pairs).filter_map(move |pair| value(pair, name))
}

/// Appends the lines of the fields that are kept, without the cookies of this name.
pub(super) fn copy_without(fields: &Fields<'_>, name: &str, out: &mut Vec<u8>, keeps: impl Fn(Kind) -> bool) {
    for (line, field, value_of_field, _) in fields.lines().filter(|(.., kind)| keeps(*kind)) {
        if !field.eq_ignore_ascii_case(b"cookie") {
            out.extend_from_slice(line);
            continue;
        }
        let begin = out.len();
        out.extend_from_slice(field);
        out.extend_from_slice(b": ");
        let empty = out.len();
        for pair in pairs(value_of_field).filter(|pair| value(pair, name).is_none()) {
            if out.len() > empty {
                out.extend_from_slice(b"; ");
            }
            out.extend_from_slice(pair);
        }
        match out.len() == empty {
            true => out.truncate(begin),
            false => out.extend_from_slice(b"\r\n"),
        }
    }
}

fn pairs(field: &[u8]) -> impl Iterator<Item = &[u8]> {
    field.split(|byte| *byte == b';').map(<[u8]>::trim_ascii).filter(|pair| !pair.is_empty())
}

/// What follows this name in a cookie.
fn value<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Limits, Progress, Request, Scratch},
        *,
    };

    fn with<T>(lines: &str, ask: impl FnOnce(&Fields<'_>) -> T) -> T {
        let text = format!("GET / HTTP/1.1\r\nHost:  a\r\n{lines}\r\n");
        let mut scratch = Scratch::default();
        let (mut progress, limits) = (Progress::default(), Limits::default());
        ask(&Request::parse(text.as_bytes(), &mut progress, &limits, &mut scratch).unwrap().unwrap().fields)
    }

    fn found(lines: &str) -> Vec<String> {
        with(lines, |fields| {
            values(fields, "sid").map(|value| String::from_utf8_lossy(value).into_owned()).collect()
        })
    }

    #[test]
    fn cookies_are_found_by_their_whole_names_in_all_fields() {
        for (lines, values) in [
            ("Cookie: sid=1\r\n", &["1"][..]),
            ("Cookie: a=b; sid=1; c\r\n", &["1"]),
            ("cookie: a=sid=2;sid=1=2\r\nX: y\r\nCOOKIE: ;; sid=\"3\" ;sid=\r\n", &["1=2", "\"3\"", ""]),
            ("Cookie: Sid=1; xsid=2; sidx=3; sid; sid =4; =sid\r\n", &[]),
            ("Set-Cookie: sid=1\r\nCookie:\r\n", &[]),
        ] {
            assert_eq!(found(lines), values, "{lines}");
        }
    }

    #[test]
    fn one_cookie_is_left_out_and_the_rest_is_as_it_came() {
        let copied = |lines: &str| {
            let mut out = Vec::new();
            with(lines, |fields| copy_without(fields, "sid", &mut out, |kind| kind != Kind::Hop));
            String::from_utf8(out).unwrap()
        };
        for (lines, left) in [
            ("Cookie: sid=1\r\nA:  b \r\n", "A:  b \r\n"),
            ("cookie: a=b;sid=1;  c=d\r\nTE: x\r\n", "cookie: a=b; c=d\r\n"),
            ("Cookie: sid=1; sid=2\r\nCookie: a\r\nCookie: xsid=1\r\n", "Cookie: a\r\nCookie: xsid=1\r\n"),
        ] {
            assert_eq!(copied(lines), format!("Host:  a\r\n{left}"), "{lines}");
        }
    }
}
