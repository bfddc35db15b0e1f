//! The path as routes see it, so that one path cannot be spelled as another (RFC 3986, sections 5.2.4 and 6.2.2). What
//! goes to a replica is what came.

use std::borrow::Cow;

/// Whether there is nothing to do about a path: no escape, and no segment that begins with a dot.
pub fn is_plain(path: &str) -> bool {
    let pairs = path.as_bytes().iter().zip(path.as_bytes().iter().skip(1));
    !pairs.fold(false, |odd, (byte, next)| odd | (*next == b'%') | ((*byte == b'/') & (*next == b'.')))
}

/// The path in the one spelling that stands for all: without needless escapes and without its segments `.` and `..`.
pub fn normal(path: &str) -> Cow<'_, str> {
    if is_plain(path) { Cow::Borrowed(path) } else { Cow::Owned(resolved(&unescaped(path)).into_owned()) }
}

/// The path without escapes of what need not be escaped; those that remain are in capitals.
pub fn unescaped(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let mut plain = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        plain.push_str(&rest[..at]);
        let escape = rest.get(at..at + 3).unwrap_or("%");
        match u8::from_str_radix(&escape[1..], 16).map(char::from) {
            Ok(byte) if byte.is_ascii_alphanumeric() || "-._~".contains(byte) => plain.push(byte),
            _ => plain.push_str(&escape.to_ascii_uppercase()),
        }
        rest = &rest[at + escape.len()..];
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

/// A path that begins with `/`, without its segments `.` and `..`.
pub fn resolved(path: &str) -> Cow<'_, str> {
    if !path.contains("/.") {
        return Cow::Borrowed(path);
    }
    let mut resolved = String::with_capacity(path.len());
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." => {}
            ".." => resolved.truncate(resolved.rfind('/').unwrap_or_default()),
            _ => {
                resolved.push('/');
                resolved.push_str(segment);
                continue;
            }
        }
        if segments.peek().is_none() {
            resolved.push('/');
        }
    }
    Cow::Owned(resolved)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes_of_what_needs_none_are_taken_away() {
        for (path, plain) in [
            ("/rep", "/rep"),
            ("/%72ep", "/rep"),
            ("/%7Ea%2d%5F", "/~a-_"),
            ("/a%2fb%c3%bc", "/a%2Fb%C3%BC"),
            ("/%252e", "/%252e"),
            ("/%", "/%"),
            ("/%7", "/%7"),
            ("/%zz%+1%72", "/%ZZ%+1r"),
            ("*", "*"),
        ] {
            assert_eq!(unescaped(path), plain, "{path}");
        }
    }

    #[test]
    fn dot_segments_are_resolved() {
        for (path, resolved_path) in [
            ("/a/b/c/./../../g", "/a/g"), // the example of the RFC
            ("/a/..", "/"),
            ("/..", "/"),
            ("/../../a", "/a"),
            ("/a/.", "/a/"),
            ("/a/./b/", "/a/b/"),
            ("/a//../b", "/a/b"),
            ("/.a/..b/c..", "/.a/..b/c.."),
            ("/a.b", "/a.b"),
        ] {
            assert_eq!(resolved(path), resolved_path, "{path}");
        }
    }

    proptest! {
        #[test]
        fn a_plain_path_is_the_same_either_way_and_others_need_no_second_pass(path in "/[a/.%2eE7\u{fc}]{0,12}") {
            let plain = unescaped(&path);
            let whole = resolved(&plain);
            if is_plain(&path) {
                prop_assert_eq!((&*plain, &*whole), (&*path, &*path));
            }
            prop_assert_eq!(&*normal(&path), &*whole);
            prop_assert!(whole.starts_with('/'));
            prop_assert!(!whole.split('/').any(|segment| segment == "." || segment == ".."), "{}", whole);
            prop_assert_eq!(&*resolved(&whole), &*whole);
        }
    }
}
