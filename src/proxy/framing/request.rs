//! A client's head (RFC 9112, sections 3 and 6).

use std::mem::MaybeUninit;

use super::{
    Fields, Framing, Limits, MOST_FIELDS, Progress, Refusal, Scratch, Target, Version, empty_lines,
    fields::{self, Facts},
    is_token, target,
};

/// A request's head, in the bytes that it came in.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method, in its own letters.
    pub method: &'a str,
    /// What is asked for.
    pub target: Target<'a>,
    /// The client's version.
    pub version: Version,
    /// The host it is meant for: the target's, else Host's; HTTP/1.0 may do without.
    pub host: Option<&'a str>,
    /// Where its body ends; never [`UntilClose`](Framing::UntilClose).
    pub framing: Framing,
    /// Whether the client wants to send another one after this.
    pub keep_alive: bool,
    /// Whether the client waits for 100 before it sends the body.
    pub expects_continue: bool,
    /// Whether the client would go on in another protocol (RFC 9110, section 7.8); never in HTTP/2.
    pub upgrades: bool,
    /// Whether the client takes trailers.
    pub wants_trailers: bool,
    /// The client's own name for it, in `X-Request-Id`.
    pub request_id: Option<&'a str>,
    /// How many it may still be passed on by; only of OPTIONS and TRACE (RFC 9110, section 7.6.2).
    pub max_forwards: Option<u64>,
    /// Its fields, all of them.
    pub fields: Fields<'a>,
    /// Its length in bytes; where the body begins.
    pub len: usize,
}

impl<'a> Request<'a> {
    /// Reads the head at the beginning of `bytes`; `None` if it is not whole yet. What comes after it does not matter.
    /// However the bytes arrive in pieces, a whole head is read the same.
    pub fn parse(
        bytes: &'a [u8],
        progress: &mut Progress,
        limits: &Limits,
        scratch: &'a mut Scratch,
    ) -> Result<Option<Self>, Refusal> {
        let before = empty_lines(bytes)?;
        if !progress.is_due(bytes, limits.head) {
            return Ok(None);
        }
        let text = &bytes[before..bytes.len().min(limits.head)];
        let mut slots = [const { MaybeUninit::uninit() }; MOST_FIELDS];
        let mut parsed = httparse::Request::new(&mut []);
        let outcome = parsed.parse_with_uninit_headers(text, &mut slots[..limits.fields.min(MOST_FIELDS)]);
        if target_length(text, &parsed) > limits.target {
            return Err(Refusal::TargetTooLong);
        }
        match outcome {
            Ok(httparse::Status::Complete(len)) => {
                let (fields, facts) = fields::collect(&text[..len], parsed.headers, scratch)?;
                Request::new(&parsed, fields, &facts, before + len).map(Some)
            }
            Ok(httparse::Status::Partial) if bytes.len() < limits.head => Ok(None),
            Ok(httparse::Status::Partial) => Err(Refusal::HeadTooLong),
            Err(error) => Err(refusal(error, text, &parsed)),
        }
    }

    fn new(
        parsed: &httparse::Request<'_, 'a>,
        fields: Fields<'a>,
        facts: &Facts<'a>,
        len: usize,
    ) -> Result<Self, Refusal> {
        let (Some(method), Some(text), Some(minor)) = (parsed.method, parsed.path, parsed.version) else {
            unreachable!("a whole head has a request line");
        };
        let is_new = minor == 1;
        check_method(method)?;
        let target = Target::parse(method, text)?;
        let host = host(facts, is_new)?;
        if facts.is_chunked && !is_new {
            return Err(Refusal::OldTransferEncoding);
        }
        if facts.expects_else {
            return Err(Refusal::Expectation);
        }
        let framing = match facts.content_length {
            _ if facts.is_chunked => Framing::Chunked,
            Some(length) => Framing::Length(length),
            None => Framing::None,
        };
        Ok(Request {
            method,
            target,
            version: if is_new { Version::Http11 } else { Version::Http10 },
            host: target.authority.or(host),
            framing,
            keep_alive: !facts.closes && (is_new || facts.keeps_alive),
            expects_continue: facts.expects_continue && is_new,
            upgrades: facts.upgrades && is_new,
            wants_trailers: facts.wants_trailers && is_new,
            request_id: request_id(facts),
            max_forwards: max_forwards(method, facts)?,
            fields,
            len,
        })
    }
}

/// CONNECT is not for us; and a method that others may take for HEAD or CONNECT would leave open whether a body follows.
fn check_method(method: &str) -> Result<(), Refusal> {
    let is = |known: &str| method.eq_ignore_ascii_case(known);
    match method {
        "CONNECT" => Err(Refusal::Connect),
        "HEAD" => Ok(()),
        _ if is("HEAD") || is("CONNECT") => Err(Refusal::Method),
        _ => Ok(()),
    }
}

/// What Host says. It is checked even where a target that is a URL replaces it.
fn host<'a>(facts: &Facts<'a>, is_new: bool) -> Result<Option<&'a str>, Refusal> {
    match facts.host {
        _ if facts.has_hosts => Err(Refusal::Hosts),
        None if is_new => Err(Refusal::NoHost),
        None => Ok(None),
        Some(host) => {
            let text = std::str::from_utf8(host).ok().filter(|host| target::is_authority(host));
            text.map(Some).ok_or(Refusal::Host)
        }
    }
}

/// The longest name of a request that is kept.
const LONGEST_ID: usize = 128;

/// The client's name for the request, if it is one word and the only one.
fn request_id<'a>(facts: &Facts<'a>) -> Option<&'a str> {
    let id = facts.request_id.filter(|id| !facts.has_request_ids && (1..=LONGEST_ID).contains(&id.len()))?;
    let is_plain = id.iter().all(|byte| is_token(*byte) || b"/:=@".contains(byte));
    std::str::from_utf8(id).ok().filter(|_| is_plain)
}

fn max_forwards(method: &str, facts: &Facts<'_>) -> Result<Option<u64>, Refusal> {
    let Some(digits) = facts.max_forwards.filter(|_| matches!(method, "OPTIONS" | "TRACE")) else {
        return Ok(None);
    };
    if facts.has_max_forwards || digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Refusal::MaxForwards);
    }
    let add = |number: u64, digit: &u8| number.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    Ok(Some(digits.iter().fold(0, add)))
}

/// How long the target is so far.
fn target_length(text: &[u8], parsed: &httparse::Request<'_, '_>) -> usize {
    match (parsed.path, parsed.method) {
        (Some(path), _) => path.len(),
        (None, Some(method)) => {
            let target = &text[method.len() + 1..];
            target.iter().position(|byte| *byte <= b' ' || *byte == 0x7f).unwrap_or(target.len())
        }
        (None, None) => 0,
    }
}

/// Tells apart what httparse does not. It goes by the bytes up to the first wrong one, which do not depend on pieces.
fn refusal(error: httparse::Error, text: &[u8], parsed: &httparse::Request<'_, '_>) -> Refusal {
    match (error, parsed.method, parsed.path) {
        (httparse::Error::Token, None, _) => Refusal::Method,
        (httparse::Error::Token, ..) => Refusal::Target,
        (httparse::Error::Version, Some(method), Some(path)) => {
            let version = &text[method.len() + path.len() + 2..];
            let wrong = version.iter().zip(b"HTTP/1.").position(|(found, known)| found != known).unwrap_or(7);
            let is_number = (wrong == 5 || wrong == 7) && version.get(wrong).is_some_and(u8::is_ascii_digit);
            if is_number { Refusal::Version } else { Refusal::RequestLine }
        }
        (error, ..) => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a head with these lines, each ended by CR LF, is taken for.
    fn with(text: &str, check: impl FnOnce(Result<Option<Request<'_>>, Refusal>)) {
        check(Request::parse(
            text.as_bytes(),
            &mut Progress::default(),
            &Limits::default(),
            &mut Scratch::default(),
        ));
    }

    fn refused(text: &str) -> Refusal {
        let mut refused = None;
        with(text, |request| refused = request.err());
        refused.unwrap_or_else(|| panic!("accepted: {text:?}"))
    }

    fn accepted(text: &str, check: impl FnOnce(Request<'_>)) {
        with(text, |request| check(request.unwrap().unwrap()));
    }

    /// A request with these lines besides a good request line and Host.
    fn get(lines: &str) -> String {
        format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
    }

    #[test]
    fn a_head_is_read_as_it_came() {
        accepted(
            "PATCH /%7Ea/../b?x=1&y HTTP/1.1\r\nHost: a:80\r\nX-A:  b c \r\nContent-Length: 12\r\n\r\nbody",
            |it| {
                assert_eq!((it.method, it.version, it.len), ("PATCH", Version::Http11, 79));
                assert_eq!(it.target, Target { authority: None, path: "/%7Ea/../b", query: Some("x=1&y") });
                assert_eq!((it.host, it.framing, it.keep_alive), (Some("a:80"), Framing::Length(12), true));
                assert_eq!(it.fields.get("x-a"), Some(&b"b c"[..]));
                assert_eq!(it.fields.len(), 3);
            },
        );
    }

    #[test]
    fn a_head_that_is_not_whole_is_asked_for_again() {
        let whole = get("A: b\r\n");
        for end in 0..whole.len() {
            with(&whole[..end], |request| assert!(request.unwrap().is_none(), "{end}"));
        }
    }

    #[test]
    fn a_length_is_a_plain_number_once() {
        for value in [
            "+5",
            "-5",
            "5,5",
            "5, 5",
            "5 5",
            "0x5",
            "5;",
            "",
            "05",
            "00",
            "9223372036854775808",
            "99999999999999999999",
            "٥",
        ] {
            assert_eq!(
                refused(&get(&format!("Content-Length: {value}\r\n"))),
                Refusal::ContentLength,
                "{value}"
            );
        }
        assert_eq!(refused(&get("Content-Length: 5\r\ncontent-length: 5\r\n")), Refusal::ContentLengths);
        assert_eq!(refused(&get("Content_Length: 5\r\n")), Refusal::Lookalike);
        for (value, length) in [("0", 0), ("  5\t", 5), ("9223372036854775807", i64::MAX as u64)] {
            accepted(&get(&format!("Content-Length:{value}\r\n")), |it| {
                assert_eq!(it.framing, Framing::Length(length));
            });
        }
    }

    #[test]
    fn an_encoding_is_chunked_once_and_in_1_1() {
        for value in
            ["gzip", "gzip, chunked", "chunked, gzip", "chunked,", "xchunked", "chunked;q=1", "", "identity"]
        {
            let lines = format!("Transfer-Encoding: {value}\r\n");
            assert_eq!(refused(&get(&lines)), Refusal::TransferEncoding, "{value}");
        }
        let twice = get("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n");
        assert_eq!(refused(&twice), Refusal::TransferEncoding);
        assert_eq!(refused(&get("Transfer_Encoding: chunked\r\n")), Refusal::Lookalike);
        let old = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(refused(old), Refusal::OldTransferEncoding);
        for both in [
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
        ] {
            assert_eq!(refused(&get(both)), Refusal::LengthAndEncoding);
        }
        accepted(&get("transfer-encoding: Chunked\r\n"), |it| assert_eq!(it.framing, Framing::Chunked));
    }

    #[test]
    fn lines_end_in_cr_lf_alone() {
        for text in [
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\n\r\n",
            "GET / HTTP/1.1\r\nHost:\nA: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\n",
            "GET / HTTP/1.1\r\nHost: a\n\n",
            "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\rHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\rX",
        ] {
            assert_eq!(refused(text), Refusal::LineEnd, "{text:?}");
        }
        for value in ["a\rb", "a\r\rb", "\r"] {
            assert_eq!(refused(&get(&format!("A: {value}\r\n"))), Refusal::FieldValue, "{value:?}");
        }
    }

    #[test]
    fn names_and_values_are_plain() {
        for line in [" A: b", "\tA: b", "A : b", "A\t: b", ": b", "A", "A(: b", "Ä: b", "A\0: b"] {
            assert_eq!(refused(&get(&format!("{line}\r\n"))), Refusal::FieldName, "{line:?}");
        }
        assert_eq!(refused(&get("A: b\r\n c\r\n")), Refusal::FieldName); // a folded line
        for value in ["a\0b", "a\x01b", "a\x7fb", "\x0b"] {
            assert_eq!(refused(&get(&format!("A: {value}\r\n"))), Refusal::FieldValue, "{value:?}");
        }
        accepted(&get("A:\r\nB: ä\tb\r\n"), |it| assert_eq!(it.fields.get("a"), Some(&b""[..])));
    }

    #[test]
    fn a_host_is_there_once() {
        assert_eq!(refused("GET / HTTP/1.1\r\n\r\n"), Refusal::NoHost);
        assert_eq!(refused("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"), Refusal::Hosts);
        assert_eq!(refused("GET / HTTP/1.1\r\nHost: \r\n\r\n"), Refusal::Host);
        assert_eq!(refused("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"), Refusal::Host);
        assert_eq!(refused("GET http://a/ HTTP/1.1\r\n\r\n"), Refusal::NoHost);
        accepted("GET / HTTP/1.0\r\n\r\n", |it| assert_eq!(it.host, None));
    }

    #[test]
    fn a_url_replaces_the_host() {
        let url = |url: &str| format!("GET {url} HTTP/1.1\r\nHost: other\r\n\r\n");
        accepted(&url("HTTP://a:80/b?c"), |it| {
            assert_eq!((it.host, it.target.path, it.target.query), (Some("a:80"), "/b", Some("c")));
        });
        accepted(&url("https://a?"), |it| assert_eq!((it.target.path, it.target.query), ("/", Some(""))));
        accepted(&url("http://a"), |it| assert_eq!((it.target.path, it.target.query), ("/", None)));
        for bad in [
            "ftp://a/",
            "http:/a",
            "http://",
            "http:///",
            "http://u@a/",
            "http://a/#b",
            "a:80",
            "a",
            "*",
            "/a#b",
            "/\\",
        ] {
            assert_eq!(refused(&url(bad)), Refusal::Target, "{bad}");
        }
        accepted("OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n", |it| assert_eq!(it.target.path, "*"));
        accepted("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", |it| assert_eq!(it.target.path, "*"));
    }

    #[test]
    fn methods_are_words_and_none_is_nearly_another() {
        let line = |line: &str| refused(&format!("{line}\r\nHost: a\r\n\r\n"));
        for method in ["", " GET", "G\0T", "G(T", "{", "\x16\x03\x01"] {
            assert_eq!(line(&format!("{method} / HTTP/1.1")), Refusal::Method, "{method}");
        }
        assert_eq!(line("G T / HTTP/1.1"), Refusal::RequestLine);
        assert_eq!(line("CONNECT a:80 HTTP/1.1"), Refusal::Connect);
        assert_eq!(line("head / HTTP/1.1"), Refusal::Method);
        accepted("brew-it / HTTP/1.1\r\nHost: a\r\n\r\n", |it| assert_eq!(it.method, "brew-it"));
    }

    #[test]
    fn versions_are_two() {
        let version = |version: &str| refused(&format!("GET / {version}\r\nHost: a\r\n\r\n"));
        for other in ["HTTP/2.0", "HTTP/0.9", "HTTP/1.2", "HTTP/3", "HTTP/1.9999"] {
            assert_eq!(version(other), Refusal::Version, "{other}");
        }
        for odd in ["http/1.1", "HTTP/1", "HTTP/1.", "HTTP/A.1", "ICE/1.0", "HTTP 1.1"] {
            assert_eq!(version(odd), Refusal::RequestLine, "{odd}");
        }
        assert_eq!(refused("GET /\r\n\r\n"), Refusal::Target);
        assert_eq!(refused("GET  / HTTP/1.1\r\n\r\n"), Refusal::Target);
        assert_eq!(refused("GET / HTTP/1.1 \r\n\r\n"), Refusal::LineEnd);
    }

    #[test]
    fn the_preface_of_http_2_is_no_request() {
        assert_eq!(refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Refusal::Version);
    }

    #[test]
    fn a_connection_is_kept_as_the_version_and_the_client_say() {
        for (version, connection, kept) in [
            ("1.1", "", true),
            ("1.1", "Connection: close\r\n", false),
            ("1.1", "Connection: a, CLOSE\r\nConnection: keep-alive\r\n", false),
            ("1.0", "", false),
            ("1.0", "Connection: Keep-Alive\r\n", true),
            ("1.0", "Connection: keep-alive, close\r\n", false),
        ] {
            let text = format!("GET / HTTP/{version}\r\nHost: a\r\n{connection}\r\n");
            accepted(&text, |it| assert_eq!(it.keep_alive, kept, "{text}"));
        }
        assert_eq!(refused(&get("Connection: close foo\r\n")), Refusal::Connection);
        let many: String = (0..33).map(|number| format!("a{number},")).collect();
        assert_eq!(refused(&get(&format!("Connection: {many}\r\n"))), Refusal::Connection);
    }

    #[test]
    fn what_is_for_one_connection_only_is_marked() {
        let lines = "Connection: x-a, host, upgrade\r\nX-A: 1\r\nTE: trailers\r\nKeep-Alive: 5\r\nUpgrade: h2c, websocket\r\n\
                     X_Forwarded-For: 1\r\nForwarded: for=1\r\nB: 2\r\n";
        accepted(&get(lines), |it| {
            let kinds: Vec<_> = it.fields.iter().map(|(_, _, kind)| kind).collect();
            use super::super::Kind;
            use Kind::*;
            assert_eq!(kinds, [Host, Hop, Nominated, Hop, Hop, Hop, Forwarding, Forwarding, EndToEnd]);
            assert!(it.upgrades && it.wants_trailers);
        });
        accepted(&get("Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\n"), |it| assert!(!it.upgrades));
        accepted(&get("Upgrade: websocket\r\n"), |it| assert!(!it.upgrades));
    }

    #[test]
    fn only_100_continue_can_be_expected() {
        accepted(&get("Expect: 100-Continue\r\n"), |it| assert!(it.expects_continue));
        assert_eq!(refused(&get("Expect: 200-ok\r\n")), Refusal::Expectation);
        accepted("GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n", |it| assert!(!it.expects_continue));
    }

    #[test]
    fn a_request_keeps_the_name_that_the_client_gave_it_if_that_is_one_word() {
        let id = |lines: &str| {
            let mut id = None;
            accepted(&get(lines), |it| id = it.request_id.map(str::to_owned));
            id
        };
        let longest = "x".repeat(LONGEST_ID);
        for good in ["a", "7b9e3c2a-0000-4000-8000-000000000001", "Root=1-67/a+b:c@d", &longest] {
            assert_eq!(id(&format!("x-REQUEST-id: {good}\r\n")).as_deref(), Some(good));
        }
        for bad in ["", "a b", "a,b", "\"a\"", "a;b", "ä", "<script>", "a\tb", &format!("{longest}x")] {
            assert_eq!(id(&format!("X-Request-Id: {bad}\r\n")), None, "{bad}");
        }
        assert_eq!(id("X-Request-Id: a\r\nX-Request-Id: a\r\n"), None);
        assert_eq!(id("X-Request-Id: a\r\nX_Request_Id: b\r\n"), None);
    }

    #[test]
    fn max_forwards_counts_for_two_methods_only() {
        let left = |method: &str, value: &str| {
            let mut left = None;
            let text = format!("{method} / HTTP/1.1\r\nHost: a\r\nMax-Forwards: {value}\r\n\r\n");
            accepted(&text, |it| left = it.max_forwards);
            left
        };
        for (value, number) in [("0", 0), ("007", 7), ("99999999999999999999", u64::MAX)] {
            assert_eq!((left("OPTIONS", value), left("TRACE", value)), (Some(number), Some(number)));
            assert_eq!(left("GET", value), None);
        }
        for wrong in ["", "-1", "1.0", "1, 2", "x"] {
            assert_eq!(left("GET", wrong), None);
            let text = format!("TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: {wrong}\r\n\r\n");
            assert_eq!(refused(&text), Refusal::MaxForwards, "{wrong}");
        }
        let twice = "OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 1\r\nMax-Forwards: 1\r\n\r\n";
        assert_eq!(refused(twice), Refusal::MaxForwards);
    }

    #[test]
    fn everything_has_a_limit() {
        let limit = Limits::default();
        let fields = |count: usize| get(&"A: b\r\n".repeat(count - 1));
        accepted(&fields(limit.fields), |it| assert_eq!(it.fields.len(), limit.fields));
        assert_eq!(refused(&fields(limit.fields + 1)), Refusal::TooManyFields);
        let target = |length: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(length - 1));
        accepted(&target(limit.target), |it| assert_eq!(it.target.path.len(), limit.target));
        assert_eq!(refused(&target(limit.target + 1)), Refusal::TargetTooLong);
        let head = |length: usize| {
            let rest = length - get("A: \r\n").len();
            get(&format!("A: {}\r\n", "b".repeat(rest)))
        };
        accepted(&head(limit.head), |it| assert_eq!(it.len, limit.head));
        assert_eq!(refused(&head(limit.head + 1)), Refusal::HeadTooLong);
        assert_eq!(refused(&head(limit.head + 1)[..limit.head]), Refusal::HeadTooLong);
        accepted(&format!("{}{}", "\r\n".repeat(4), get("")), |it| assert_eq!(it.method, "GET"));
        assert_eq!(refused(&"\r\n".repeat(5)), Refusal::EmptyLines);
    }

    #[test]
    fn each_refusal_has_its_status() {
        let statuses = [
            (Refusal::Connect, 405),
            (Refusal::TargetTooLong, 414),
            (Refusal::Expectation, 417),
            (Refusal::HeadTooLong, 431),
            (Refusal::TooManyFields, 431),
            (Refusal::Version, 505),
            (Refusal::ChunkSize, 400),
        ];
        statuses.iter().for_each(|(refusal, status)| assert_eq!(refusal.status(), *status, "{refusal}"));
    }

    #[test]
    fn many_small_reads_cost_few_parses() {
        let text = get(&format!("A: {}\r\n", "b".repeat(60_000)));
        let mut progress = Progress::default();
        let limits = Limits::default();
        let parses =
            (1..=text.len()).filter(|end| progress.is_due(&text.as_bytes()[..*end], limits.head)).count();
        assert!(parses < 25, "{parses}");
    }
}
