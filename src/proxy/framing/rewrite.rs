//! The heads that go on: appended to what is already to be sent, nothing allocated besides.

use super::{Before, Fields, Framing, Introduction, Kind, Request, Response, Version, cookie};

/// What a replica is told about a client.
#[derive(Clone, Copy, Debug)]
pub struct Forwarding<'a> {
    /// What we say.
    pub introduction: &'a Introduction,
    /// What proxies before us say, where that is believed.
    pub before: Option<&'a Before<'a>>,
    /// The Host of a request that has none.
    pub default_host: &'a str,
    /// The cookie that is only between us and the client.
    pub own_cookie: Option<&'a str>,
}

/// How a response goes to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The client's version.
    pub version: Version,
    /// Whether the client's connection stays open after it.
    pub keep_alive: bool,
    /// How its end is marked: as it came, or, where chunks are taken apart for HTTP/1.0, the end of the connection.
    pub framing: Framing,
}

/// A field of ours: its name and its value.
pub type Extra<'a> = (&'a str, &'a [u8]);

/// Writes the head with which a request goes to a replica, always in HTTP/1.1: the target as a path, nothing of the
/// client's connection, who the client is. What the client says about that is not believed, unless it is a proxy that is.
/// Expect is answered here.
pub fn request(out: &mut Vec<u8>, request: &Request<'_>, forwarding: &Forwarding<'_>, extra: &[Extra<'_>]) {
    out.extend_from_slice(request.method.as_bytes());
    out.push(b' ');
    request.target.write(out);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let host_stays = request.target.authority.is_none();
    if !host_stays || request.host.is_none() {
        field(out, "Host", request.host.unwrap_or(forwarding.default_host).as_bytes());
    }
    let keeps = |kind| match kind {
        Kind::EndToEnd | Kind::Framing | Kind::Own => true,
        Kind::Host => host_stays,
        Kind::RequestId => request.request_id.is_some(),
        Kind::MaxForwards => request.max_forwards.is_none(),
        Kind::Expect | Kind::Forwarding | Kind::Hop | Kind::Nominated => false,
    };
    match forwarding.own_cookie {
        Some(name) => cookie::copy_without(&request.fields, name, out, keeps),
        None => request.fields.copy(out, keeps),
    }
    match forwarding.before {
        Some(before) => forwarding.introduction.write_after(out, before, request.host),
        None => forwarding.introduction.write(out, request.host),
    }
    if let Some(left) = request.max_forwards {
        field(out, "Max-Forwards", decimal(left.saturating_sub(1), &mut [0; 20]));
    }
    match (request.upgrades, request.wants_trailers) {
        (true, false) => field(out, "Connection", b"upgrade"),
        (false, true) => field(out, "Connection", b"te"),
        (true, true) => field(out, "Connection", b"upgrade, te"),
        (false, false) => {}
    }
    if request.upgrades {
        protocols(out, &request.fields);
    }
    if request.wants_trailers {
        field(out, "TE", b"trailers");
    }
    end(out, extra);
}

/// Writes the head with which a response goes to a client: nothing of the replica's connection. Where there are fields of
/// ours about how it came about, the replica's of those names are left out. `set_cookie` is a cookie of ours.
pub fn response(
    out: &mut Vec<u8>,
    response: &Response<'_>,
    delivery: &Delivery,
    extra: &[Extra<'_>],
    set_cookie: Option<&str>,
) {
    status_line(out, response.status, response.reason);
    let has_body = response.status >= 200 && response.status != 204;
    let framing_stays = has_body && delivery.framing == response.framing
        // HTTP/1.0 would not understand even the announcement of chunks that HEAD gets
        && (delivery.version == Version::Http11 || response.fields.get("transfer-encoding").is_none());
    response.fields.copy(out, |kind| match kind {
        Kind::EndToEnd | Kind::Host | Kind::Expect | Kind::Forwarding | Kind::MaxForwards => true,
        Kind::RequestId | Kind::Own => extra.is_empty(),
        Kind::Framing => framing_stays,
        Kind::Hop | Kind::Nominated => false,
    });
    if has_body && !framing_stays {
        framing(out, delivery.framing);
    }
    if response.switches() {
        field(out, "Connection", b"upgrade");
        protocols(out, &response.fields);
    } else if !response.is_interim() {
        connection(out, delivery);
    }
    if let Some(cookie) = set_cookie {
        field(out, "Set-Cookie", cookie.as_bytes());
    }
    end(out, extra);
}

/// Writes a whole response of our own. To HEAD only its head goes, as if it had the body.
pub fn own(
    out: &mut Vec<u8>,
    status: u16,
    reason: &str,
    delivery: &Delivery,
    fields: &[Extra<'_>],
    body: &[u8],
    is_head: bool,
) {
    status_line(out, status, reason.as_bytes());
    framing(out, Framing::Length(body.len() as u64));
    connection(out, delivery);
    end(out, fields);
    if !is_head {
        out.extend_from_slice(body);
    }
}

/// The head of a request as it came, without what may be secret: what TRACE shows (RFC 9110, section 9.3.8).
pub fn echo(request: &Request<'_>) -> Vec<u8> {
    const SECRET: [&[u8]; 3] = [b"authorization", b"cookie", b"proxy-authorization"];
    let mut out = request.fields.first_line().to_vec();
    for (name, value, _) in request.fields.iter() {
        if !SECRET.iter().any(|secret| name.eq_ignore_ascii_case(secret)) {
            [name, b": ", value, b"\r\n"].iter().for_each(|part| out.extend_from_slice(part));
        }
    }
    out.extend_from_slice(b"\r\n");
    out
}

fn status_line(out: &mut Vec<u8>, status: u16, reason: &[u8]) {
    out.extend_from_slice(b"HTTP/1.1 ");
    let digit = |value: u16| b'0' + (value % 10) as u8;
    out.extend_from_slice(&[digit(status / 100), digit(status / 10), digit(status), b' ']);
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
}

/// What becomes of the client's connection, where it is not what the client's version takes for granted.
fn connection(out: &mut Vec<u8>, delivery: &Delivery) {
    match (delivery.keep_alive, delivery.version) {
        (false, _) => field(out, "Connection", b"close"),
        (true, Version::Http10) => field(out, "Connection", b"keep-alive"),
        (true, Version::Http11) => {}
    }
}

fn framing(out: &mut Vec<u8>, framing: Framing) {
    match framing {
        Framing::Chunked => field(out, "Transfer-Encoding", b"chunked"),
        Framing::Length(length) => {
            let mut digits = [0; 20];
            field(out, "Content-Length", decimal(length, &mut digits));
        }
        Framing::None | Framing::UntilClose => {}
    }
}

/// The digits of a number.
fn decimal(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &digits[at..];
        }
    }
}

fn protocols(out: &mut Vec<u8>, fields: &Fields<'_>) {
    out.extend_from_slice(b"Upgrade: ");
    for (index, protocol) in fields.protocols().enumerate() {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(protocol);
    }
    out.extend_from_slice(b"\r\n");
}

fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn end(out: &mut Vec<u8>, extra: &[Extra<'_>]) {
    extra.iter().for_each(|(name, value)| field(out, name, value));
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Asked, Limits, Progress, Scratch, Tells},
        *,
    };
    use crate::caller::Caller;

    const KEPT: Delivery = Delivery { version: Version::Http11, keep_alive: true, framing: Framing::None };

    fn to_replica(text: &str) -> String {
        without_cookie(text, None)
    }

    fn without_cookie(text: &str, own_cookie: Option<&str>) -> String {
        let mut scratch = Scratch::default();
        let parsed =
            Request::parse(text.as_bytes(), &mut Progress::default(), &Limits::default(), &mut scratch);
        let mut out = Vec::new();
        let caller = Caller { address: [192, 0, 2, 7].into(), is_direct: true };
        let introduction = &Introduction::new(caller, "http", Tells::XForwarded);
        let forwarding = Forwarding { introduction, before: None, default_host: "pool", own_cookie };
        request(&mut out, &parsed.unwrap().unwrap(), &forwarding, &[]);
        String::from_utf8(out).unwrap()
    }

    fn to_client(text: &str, asked: Asked, change: impl FnOnce(Delivery) -> Delivery) -> String {
        let mut scratch = Scratch::default();
        let mut progress = Progress::default();
        let parsed = Response::parse(text.as_bytes(), asked, &mut progress, &Limits::default(), &mut scratch);
        let parsed = parsed.unwrap().unwrap();
        let mut out = Vec::new();
        response(
            &mut out,
            &parsed,
            &change(Delivery { framing: parsed.framing, ..KEPT }),
            &[("X-Own", b"1")],
            None,
        );
        String::from_utf8(out).unwrap()
    }

    const OURS: &str = "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\n";

    #[test]
    fn nothing_of_the_connection_goes_on_and_forwarding_fields_are_not_believed() {
        let text = "POST /a?b HTTP/1.1\r\nhost:  example.org\r\nConnection: close, X-Secret\r\nX-Secret: 1\r\nKeep-Alive: 5\r\n\
                    Proxy-Connection: a\r\nHTTP2-Settings: a\r\nUpgrade: h2c\r\nX-Forwarded-For: 10.0.0.1\r\nX_Forwarded_Host: evil\r\n\
                    Forwarded: for=1\r\nExpect: 100-continue\r\nAccept: */*\r\ncontent-length: 5\r\nA: b \r\n\r\nhello";
        let expected = format!(
            "POST /a?b HTTP/1.1\r\nhost:  example.org\r\nAccept: */*\r\ncontent-length: 5\r\nA: b \r\n{OURS}\
             X-Forwarded-Host: example.org\r\n\r\n"
        );
        assert_eq!(to_replica(text), expected);
    }

    #[test]
    fn a_url_goes_on_as_a_path_with_its_host() {
        let text = "GET http://a:80?b HTTP/1.1\r\nHost: other\r\nA: b\r\n\r\n";
        let expected =
            format!("GET /?b HTTP/1.1\r\nHost: a:80\r\nA: b\r\n{OURS}X-Forwarded-Host: a:80\r\n\r\n");
        assert_eq!(to_replica(text), expected);
    }

    #[test]
    fn http_1_0_goes_on_as_1_1_with_a_host() {
        let expected = format!("GET / HTTP/1.1\r\nHost: pool\r\n{OURS}\r\n");
        assert_eq!(to_replica("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), expected);
    }

    #[test]
    fn an_upgrade_and_the_wish_for_trailers_are_passed_on_as_our_own() {
        let text = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, TE\r\nTE: trailers, gzip\r\nUpgrade: h2c, websocket, b\r\n\r\n";
        let expected = format!(
            "GET / HTTP/1.1\r\nHost: a\r\n{OURS}X-Forwarded-Host: a\r\nConnection: upgrade, te\r\n\
             Upgrade: websocket, b\r\nTE: trailers\r\n\r\n"
        );
        assert_eq!(to_replica(text), expected);
    }

    #[test]
    fn names_of_requests_and_how_far_they_may_go_are_passed_on_or_corrected() {
        let ours = format!("{OURS}X-Forwarded-Host: a\r\n");
        for (method, came, kept, added) in [
            ("GET", "X-Request-Id: a-1\r\n", "X-Request-Id: a-1\r\n", ""),
            ("GET", "X-Request-Id: a b\r\n", "", ""),
            ("TRACE", "max-forwards: 10\r\n", "", "Max-Forwards: 9\r\n"),
            ("GET", "Max-Forwards: ten\r\n", "Max-Forwards: ten\r\n", ""),
        ] {
            let head = |lines: &str| format!("{method} / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
            assert_eq!(to_replica(&head(came)), head(&format!("{kept}{ours}{added}")));
        }
    }

    #[test]
    fn a_cookie_of_ours_goes_no_further_and_the_others_do() {
        let head = |cookies: &str| format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {cookies}\r\nA:  b\r\n\r\n");
        let got = without_cookie(&head("a=1; at=2; b=3"), Some("at"));
        assert!(got.starts_with("GET / HTTP/1.1\r\nHost: a\r\nCookie: a=1; b=3\r\nA:  b\r\nX-Forw"), "{got}");
        let nominated = "GET / HTTP/1.1\r\nHost: a\r\nConnection: cookie\r\nCookie: a=1; at=2\r\n\r\n";
        assert!(!without_cookie(nominated, Some("at")).contains("ookie"));
        assert!(to_replica(&head("a=1; at=2;b=3")).contains("\r\nCookie: a=1; at=2;b=3\r\n"));
    }

    #[test]
    fn a_response_gets_our_cookie_beside_the_replicas_and_keeps_its_own_names() {
        let text = "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nX-Request-Id: 7\r\nContent-Length: 0\r\n\r\n";
        let (mut progress, mut scratch) = (Progress::default(), Scratch::default());
        let limits = Limits::default();
        let parsed = Response::parse(text.as_bytes(), Asked::default(), &mut progress, &limits, &mut scratch);
        let mut out = Vec::new();
        let delivery = Delivery { framing: Framing::Length(0), ..KEPT };
        response(&mut out, &parsed.unwrap().unwrap(), &delivery, &[], Some("at=2; Path=/"));
        let expected = format!("{}Set-Cookie: at=2; Path=/\r\n\r\n", text.strip_suffix("\r\n").unwrap());
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn an_echo_has_no_secrets() {
        let text = "\r\nTRACE http://a/b HTTP/1.1\r\nHost: a\r\nAUTHORIZATION: b\r\nX:  \u{fc} \r\nCookie: c\r\nProxy-Authorization: d\r\n\r\n";
        let (mut progress, mut scratch) = (Progress::default(), Scratch::default());
        let parsed = Request::parse(text.as_bytes(), &mut progress, &Limits::default(), &mut scratch);
        let echo = String::from_utf8(echo(&parsed.unwrap().unwrap())).unwrap();
        assert_eq!(echo, "TRACE http://a/b HTTP/1.1\r\nHost: a\r\nX: \u{fc}\r\n\r\n");
    }

    #[test]
    fn a_response_loses_what_is_of_the_replicas_connection() {
        let text = "HTTP/1.0 200 Fine\r\nConnection: keep-alive, x\r\nX: 1\r\nContent-Length: 5\r\nA: b\r\nExpect: c\r\n\r\nhello";
        let expected = "HTTP/1.1 200 Fine\r\nContent-Length: 5\r\nA: b\r\nExpect: c\r\nX-Own: 1\r\n\r\n";
        assert_eq!(to_client(text, Asked::default(), |it| it), expected);
    }

    #[test]
    fn clients_are_told_what_becomes_of_their_connection() {
        let text = "HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n";
        let closed = to_client(text, Asked::default(), |it| Delivery { keep_alive: false, ..it });
        assert_eq!(
            closed,
            "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\nConnection: close\r\nX-Own: 1\r\n\r\n"
        );
        let old = Delivery { version: Version::Http10, keep_alive: false, framing: Framing::UntilClose };
        let taken_apart = to_client(text, Asked::default(), |_| old);
        assert_eq!(taken_apart, "HTTP/1.1 200 \r\nConnection: close\r\nX-Own: 1\r\n\r\n");
        let kept = to_client("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", Asked::default(), |it| Delivery {
            version: Version::Http10,
            ..it
        });
        assert_eq!(kept, "HTTP/1.1 200 \r\nContent-Length: 0\r\nConnection: keep-alive\r\nX-Own: 1\r\n\r\n");
    }

    #[test]
    fn responses_without_a_body_announce_none_but_to_head_and_304() {
        let length = "Content-Length: 5\r\n";
        let head = Asked { is_head: true, ..Asked::default() };
        let kept = to_client(&format!("HTTP/1.1 200 OK\r\n{length}\r\n"), head, |it| it);
        assert_eq!(kept, format!("HTTP/1.1 200 OK\r\n{length}X-Own: 1\r\n\r\n"));
        let unchanged = to_client(&format!("HTTP/1.1 304 A\r\n{length}\r\n"), Asked::default(), |it| it);
        assert_eq!(unchanged, format!("HTTP/1.1 304 A\r\n{length}X-Own: 1\r\n\r\n"));
        let empty = to_client("HTTP/1.1 204 A\r\nContent-Length: 0\r\n\r\n", Asked::default(), |it| it);
        assert_eq!(empty, "HTTP/1.1 204 A\r\nX-Own: 1\r\n\r\n");
    }

    #[test]
    fn a_switch_names_its_protocol() {
        let text =
            "HTTP/1.1 101 A\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: b\r\n\r\n";
        let asked = Asked { upgrades: true, ..Asked::default() };
        let expected = "HTTP/1.1 101 A\r\nSec-WebSocket-Accept: b\r\nConnection: upgrade\r\nUpgrade: websocket\r\nX-Own: 1\r\n\r\n";
        assert_eq!(to_client(text, asked, |it| it), expected);
    }

    #[test]
    fn an_answer_of_our_own_is_whole() {
        let mut out = Vec::new();
        let closing = Delivery { keep_alive: false, ..KEPT };
        own(&mut out, 503, "Service Unavailable", &closing, &[("Retry-After", b"1")], b"sorry", false);
        let expected = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\nConnection: close\r\nRetry-After: 1\r\n\r\nsorry";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
