//! Requests that two parsers could read differently, or that are none: refused, and nothing of them reaches a replica.

use super::{OK, Stage, Then};
use crate::support::Deployment;

/// What is behind each of these, and must never be taken for a request.
const BEHIND: &str = "GET /behind HTTP/1.1\r\nHost: a\r\n\r\n";

/// A name, the status, and the request.
const REFUSED: &[(&str, &str, &str)] = &[
    (
        "length and encoding",
        "400",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "encoding and length",
        "400",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    ),
    (
        "two lengths",
        "400",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    ),
    (
        "two equal lengths",
        "400",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    ),
    ("a list of lengths", "400", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello"),
    ("a length with a sign", "400", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello"),
    ("a negative length", "400", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\nhello"),
    ("a length with a leading zero", "400", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 05\r\n\r\nhello"),
    ("a hexadecimal length", "400", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello"),
    ("a length with a point", "400", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5.0\r\n\r\nhello"),
    ("a length with a space inside", "400", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 5\r\n\r\nhello"),
    ("an empty length", "400", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nhello"),
    (
        "a huge length",
        "400",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\nhello",
    ),
    ("a length with an underscore", "400", "POST / HTTP/1.1\r\nHost: a\r\nContent_Length: 5\r\n\r\nhello"),
    (
        "an encoding with an underscore",
        "400",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    ("identity", "400", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n"),
    (
        "gzip and chunked",
        "400",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunked twice",
        "400",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunked in two fields",
        "400",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunked and then something",
        "400",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunked with a tab in it",
        "400",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chun\tked\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunked in quotes",
        "400",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
    ),
    ("xchunked", "400", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    ("an empty encoding", "400", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n"),
    (
        "chunked in HTTP/1.0",
        "400",
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    ("a space before the colon", "400", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello"),
    (
        "a tab before the colon",
        "400",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
    ),
    ("a space before the name", "400", "GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
    ("a folded line", "400", "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n"),
    ("a field without a colon", "400", "GET / HTTP/1.1\r\nHost: a\r\nfield\r\n\r\n"),
    ("a field without a name", "400", "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n"),
    ("LF alone after a field", "400", "GET / HTTP/1.1\r\nHost: a\nA: b\r\n\r\n"),
    ("LF alone after the first line", "400", "GET / HTTP/1.1\nHost: a\r\n\r\n"),
    ("LF alone at the end", "400", "GET / HTTP/1.1\r\nHost: a\r\n\n"),
    ("CR alone in a value", "400", "GET / HTTP/1.1\r\nHost: a\r\nA: b\rc\r\n\r\n"),
    ("NUL in a value", "400", "GET / HTTP/1.1\r\nHost: a\r\nA: b\0c\r\n\r\n"),
    ("NUL in a name", "400", "GET / HTTP/1.1\r\nHost: a\r\nA\0: b\r\n\r\n"),
    ("no Host", "400", "GET / HTTP/1.1\r\n\r\n"),
    ("two Hosts", "400", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    ("a list of Hosts", "400", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
    ("a Host with a user", "400", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
    ("a Host with a path", "400", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    ("an empty Host", "400", "GET / HTTP/1.1\r\nHost:\r\n\r\n"),
    ("a Host with a port that is none", "400", "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n"),
    ("a URL with a user", "400", "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a fragment", "400", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a relative path", "400", "GET a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a star for another method", "400", "GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a backslash", "400", "GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("two spaces after the method", "400", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a tab after the method", "400", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("no version", "400", "GET /\r\nHost: a\r\n\r\n"),
    ("a version in small letters", "400", "GET / http/1.1\r\nHost: a\r\n\r\n"),
    ("an old version", "505", "GET / HTTP/0.9\r\nHost: a\r\n\r\n"),
    ("a new version", "505", "GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
    ("a minor version that is none", "505", "GET / HTTP/1.2\r\nHost: a\r\n\r\n"),
    ("CONNECT", "405", "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n"),
    ("connect in small letters", "400", "connect a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n"),
    ("head in small letters", "400", "head / HTTP/1.1\r\nHost: a\r\n\r\n"),
    (
        "another expectation",
        "417",
        "POST / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\nContent-Length: 5\r\n\r\nhello",
    ),
    ("Connection with no words", "400", "GET / HTTP/1.1\r\nHost: a\r\nConnection: a b\r\n\r\n"),
    (
        "a chunk's size that is none",
        "400",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
    ),
    (
        "a chunk's size with 0x",
        "400",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
    ),
    (
        "a chunk's size with a space",
        "400",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1 \r\na\r\n0\r\n\r\n",
    ),
    (
        "a chunk's size that overflows",
        "400",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000001\r\na\r\n0\r\n\r\n",
    ),
    (
        "a chunk's size that ends in LF",
        "400",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n",
    ),
    (
        "a chunk that is longer than its size",
        "400",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
    ),
    (
        "an extension with LF",
        "400",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;a\nb\r\na\r\n0\r\n\r\n",
    ),
    (
        "a trailer that says where the body ends",
        "400",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\n",
    ),
    (
        "a trailer with a space before the colon",
        "400",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA : b\r\n\r\n",
    ),
];

#[tokio::test]
async fn what_could_be_read_in_two_ways_is_refused_and_ends_the_connection() {
    let deployment = Deployment::of_upstreams();
    let stage = Stage::set(&deployment, &[]).await;
    for (name, status, request) in REFUSED {
        let got = stage.play(&format!("{request}{BEHIND}"), OK, Then::Keep).await;
        assert_eq!(got.statuses(), [*status], "{name}: {got:?}");
        assert!(got.text.contains("\r\nConnection: close\r\n") && !got.broke, "{name}: {got:?}");
        assert_eq!(stage.origin.requests(), [""; 0], "{name}");
    }
}

/// The same after a good request, whose response is whole all the same.
#[tokio::test]
async fn what_is_refused_does_not_harm_what_was_before_it() {
    let deployment = Deployment::of_upstreams();
    let stage = Stage::set(&deployment, &[]).await;
    for (name, status, request) in REFUSED {
        let got = stage.play(&format!("{}{request}{BEHIND}", super::GET), OK, Then::Keep).await;
        assert_eq!(got.statuses(), ["200", *status], "{name}: {got:?}");
        assert_eq!(stage.origin.requests().len(), 1, "{name}");
    }
}
