//! What replicas and clients are told about a request, who is believed about it, and which paths it takes.

use super::{GET, OK, Stage, Then};
use crate::support::{Deployment, raw::Raw, until};

/// The lines of a head that tell about its client, parted by `|`.
fn told(head: &str) -> String {
    let tells = |line: &&str| {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase().replace('_', "-");
        name.starts_with("x-forwarded-") || name == "forwarded"
    };
    head.lines().filter(tells).collect::<Vec<_>>().join("|")
}

/// The value of a field in a head.
fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let named = |line: &'a str| line.split_once(": ").filter(|(found, _)| found.eq_ignore_ascii_case(name));
    head.lines().find_map(named).map(|(_, value)| value)
}

/// A request with these lines.
fn get(lines: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

impl Stage {
    /// The only request that the origin gets of a client that sends this.
    async fn arrives(&self, name: &str, sent: &str) -> String {
        let got = self.play(sent, OK, Then::Keep).await;
        assert_eq!(got.statuses(), ["200"], "{name}: {got:?}");
        let mut requests = self.origin.requests();
        assert_eq!(requests.len(), 1, "{name}: {requests:?}");
        requests.remove(0)
    }
}

const DIRECT: &str = "X-Forwarded-For: 127.0.0.1|X-Forwarded-Proto: http|Forwarded: for=127.0.0.1;proto=http;host=a|X-Forwarded-Host: a";

/// A name, and lines that a client adds which nobody believes.
const SPOOFED: &[(&str, &str)] = &[
    ("an address", "X-Forwarded-For: 10.0.0.1\r\n"),
    ("this machine", "X-Forwarded-For: 127.0.0.1, ::1\r\nForwarded: for=127.0.0.1\r\n"),
    (
        "everything in capitals",
        "X-FORWARDED-FOR: 1.1.1.1\r\nX-FORWARDED-PROTO: https\r\nX-FORWARDED-HOST: b\r\nFORWARDED: for=b\r\n",
    ),
    ("underscores", "X_Forwarded_For: 1.1.1.1\r\nx-forwarded_proto: https\r\nX_FORWARDED-Host: b\r\n"),
    (
        "fields that Connection names",
        "Connection: X-Forwarded-For, Forwarded\r\nX-Forwarded-For: 1.1.1.1\r\nForwarded: for=1.1.1.1\r\n",
    ),
    ("nonsense", "X-Forwarded-For: \"\r\nForwarded: \"\r\n"),
];

#[tokio::test]
async fn what_a_client_says_about_itself_is_replaced() {
    let deployment = Deployment::of_upstreams();
    let stage = Stage::set(&deployment, &["--trusted-proxies", "10.0.0.0/8,::1"]).await;
    for (name, lines) in SPOOFED {
        assert_eq!(told(&stage.arrives(name, &get(lines)).await), DIRECT, "{name}");
    }
}

/// A name, what a proxy that is believed adds, and what the replica is told.
const BELIEVED: &[(&str, &str, &str)] = &[
    ("nothing", "", DIRECT),
    (
        "a client",
        "X-Forwarded-For: 192.0.2.7\r\n",
        "X-Forwarded-For: 192.0.2.7, 127.0.0.1|X-Forwarded-Proto: http|X-Forwarded-Host: a|Forwarded: for=192.0.2.7;proto=http;host=a, for=127.0.0.1",
    ),
    (
        "what it was asked for",
        "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example:8443\r\n",
        "X-Forwarded-For: 192.0.2.7, 127.0.0.1|X-Forwarded-Proto: https|X-Forwarded-Host: shop.example:8443|Forwarded: for=192.0.2.7;proto=https;host=\"shop.example:8443\", for=127.0.0.1",
    ),
    (
        "several hops in several lines",
        "X-Forwarded-For: 6.6.6.6, 192.0.2.7\r\nx-forwarded-for: 10.1.1.1\r\nX-Forwarded-Proto: https, http\r\n",
        "X-Forwarded-For: 6.6.6.6, 192.0.2.7, 10.1.1.1, 127.0.0.1|X-Forwarded-Proto: https|X-Forwarded-Host: a|Forwarded: for=6.6.6.6;proto=https;host=a, for=192.0.2.7, for=10.1.1.1, for=127.0.0.1",
    ),
    (
        "IPv6",
        "X-Forwarded-For: 2001:db8::7\r\n",
        "X-Forwarded-For: 2001:db8::7, 127.0.0.1|X-Forwarded-Proto: http|X-Forwarded-Host: a|Forwarded: for=\"[2001:db8::7]\";proto=http;host=a, for=127.0.0.1",
    ),
    (
        "Forwarded",
        "Forwarded: for=\"[2001:db8::7]:47\";proto=https;host=\"b:80\";by=_x, for=10.1.1.1\r\n",
        "X-Forwarded-For: 2001:db8::7, 10.1.1.1, 127.0.0.1|X-Forwarded-Proto: https|X-Forwarded-Host: b:80|Forwarded: for=\"[2001:db8::7]:47\";proto=https;host=\"b:80\";by=_x, for=10.1.1.1, for=127.0.0.1;proto=http;host=a",
    ),
    (
        "both, which disagree",
        "X-Forwarded-For: 192.0.2.7\r\nForwarded: for=6.6.6.6;proto=https;host=evil\r\n",
        "X-Forwarded-For: 192.0.2.7, 127.0.0.1|X-Forwarded-Proto: http|X-Forwarded-Host: a|Forwarded: for=192.0.2.7;proto=http;host=a, for=127.0.0.1",
    ),
    (
        "nonsense of the client before the client",
        "X-Forwarded-For: 127.0.0.1, <script>, 192.0.2.7\r\n",
        "X-Forwarded-For: 192.0.2.7, 127.0.0.1|X-Forwarded-Proto: http|X-Forwarded-Host: a|Forwarded: for=192.0.2.7;proto=http;host=a, for=127.0.0.1",
    ),
    (
        "nothing but nonsense",
        "X-Forwarded-For: ,a,\r\nX-Forwarded-Proto: ://\r\nX-Forwarded-Host: a/b\r\n",
        "X-Forwarded-For: 127.0.0.1|X-Forwarded-Proto: http|X-Forwarded-Host: a|Forwarded: for=127.0.0.1;proto=http;host=a",
    ),
    (
        "a quote that is not closed",
        "Forwarded: for=\"evil, for=192.0.2.7\r\n",
        "X-Forwarded-For: 127.0.0.1|X-Forwarded-Proto: http|X-Forwarded-Host: a|Forwarded: for=127.0.0.1;proto=http;host=a",
    ),
    (
        "underscores, which are the client's",
        "X-Forwarded-For: 192.0.2.7\r\nX_Forwarded_For: 6.6.6.6\r\nX_Forwarded_Proto: https\r\n",
        "X-Forwarded-For: 192.0.2.7, 127.0.0.1|X-Forwarded-Proto: http|X-Forwarded-Host: a|Forwarded: for=192.0.2.7;proto=http;host=a, for=127.0.0.1",
    ),
];

#[tokio::test]
async fn what_a_proxy_says_is_believed_where_it_is_trusted() {
    let deployment = Deployment::of_upstreams();
    let stage = Stage::set(&deployment, &["--trusted-proxies", "127.0.0.1,10.0.0.0/8"]).await;
    for (name, lines, expected) in BELIEVED {
        assert_eq!(told(&stage.arrives(name, &get(lines)).await), *expected, "{name}");
    }
}

#[tokio::test]
async fn replicas_are_told_in_the_fields_that_are_set() {
    for (forwarded, expected) in [
        ("x-forwarded", "X-Forwarded-For: 127.0.0.1|X-Forwarded-Proto: http|X-Forwarded-Host: a"),
        ("rfc7239", "Forwarded: for=127.0.0.1;proto=http;host=a"),
    ] {
        let deployment = Deployment::of_upstreams();
        let stage = Stage::set(&deployment, &["--forwarded", forwarded]).await;
        let lines = "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Host: b\r\nForwarded: for=b\r\n";
        assert_eq!(told(&stage.arrives(forwarded, &get(lines)).await), expected);
    }
}

/// The id on the ring that a request with these lines has.
async fn key(stage: &Stage, sent: &str) -> String {
    let got = stage.play(sent, OK, Then::Keep).await;
    field(&got.text, "X-Ringkeeper-Key").unwrap_or_else(|| panic!("{got:?}")).to_owned()
}

#[tokio::test]
async fn the_key_is_the_address_of_the_client_and_of_no_proxy_that_is_believed() {
    let deployment = Deployment::of_upstreams();
    let own = ["--key", "client", "--debug-headers", "--trusted-proxies"];
    let stage = Stage::set(&deployment, &[&own[..], &["127.0.0.1,10.0.0.0/8"]].concat()).await;
    let one = key(&stage, &get("X-Forwarded-For: 192.0.2.7\r\n")).await;
    for same in [
        "X-Forwarded-For: 192.0.2.8, 192.0.2.7\r\n",
        "X-Forwarded-For: x, 192.0.2.7, 10.1.1.1\r\n",
        "X-Forwarded-For: [::ffff:192.0.2.7]:80\r\nForwarded: for=192.0.2.8\r\n",
        "Forwarded: for=192.0.2.8, for=\"192.0.2.7:80\", for=10.1.1.1\r\n",
    ] {
        assert_eq!(key(&stage, &get(same)).await, one, "{same}");
    }
    let direct = key(&stage, GET).await;
    for other in ["X-Forwarded-For: 192.0.2.8\r\n", "X-Forwarded-For: 192.0.2.7, 192.0.2.8\r\n"] {
        let other = key(&stage, &get(other)).await;
        assert!(other != one && other != direct);
    }
    let deployment = Deployment::of_upstreams();
    let strict = Stage::set(&deployment, &[&own[..], &["10.0.0.0/8"]].concat()).await;
    assert_eq!(key(&strict, &get("X-Forwarded-For: 192.0.2.7\r\n")).await, direct);
}

#[tokio::test]
async fn a_request_has_a_name() {
    let deployment = Deployment::of_upstreams();
    let stage = Stage::set(&deployment, &[]).await;
    let mut names = Vec::new();
    for (name, lines, kept) in [
        ("none", "", None),
        ("another time none", "", None),
        ("a good one", "X-Request-ID: Root=1-a/b+c\r\n", Some("Root=1-a/b+c")),
        ("an empty one", "X-Request-Id:\r\n", None),
        ("one with a space", "X-Request-Id: a b\r\n", None),
        ("two", "X-Request-Id: a\r\nX-Request-Id: b\r\n", None),
        ("an underscore", "X_Request_Id: a\r\n", None),
        ("one that Connection names", "Connection: X-Request-Id\r\nX-Request-Id: a\r\n", Some("a")),
    ] {
        let request = stage.arrives(name, &get(lines)).await;
        let id = field(&request, "X-Request-Id").unwrap_or_else(|| panic!("{name}: {request}"));
        match kept {
            Some(kept) => assert_eq!(id, kept, "{name}"),
            None => {
                assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}: {id}");
                assert!(!names.contains(&id.to_owned()), "{name}: {id} again");
                names.push(id.to_owned());
            }
        }
        let is_one = request.to_ascii_lowercase().replace('_', "-").matches("x-request-id").count() == 1;
        assert!(is_one, "{name}: {request}");
    }
    let long = format!("X-Request-Id: {}\r\n", "x".repeat(129));
    assert_eq!(field(&stage.arrives("too long", &get(&long)).await, "X-Request-Id").map(str::len), Some(32));
}

#[tokio::test]
async fn a_request_that_is_sent_again_keeps_its_name_and_responses_tell_how_often() {
    let deployment = Deployment::of_upstreams();
    let second = super::Origin::start();
    let address = second.address.to_string();
    let stage = Stage::set(&deployment, &["--upstream", &address, "--debug-headers"]).await;
    let reply = "HTTP/1.1 503 A\r\nContent-Length: 0\r\n\r\n";
    second.script(reply, Then::Keep);
    let got = stage.play(GET, reply, Then::Keep).await;
    assert_eq!(got.statuses(), ["503"]);
    let ids = [stage.origin.requests(), second.requests()].map(|requests| {
        assert_eq!(requests.len(), 1, "{requests:?}");
        field(&requests[0], "X-Request-Id").expect("a name").to_owned()
    });
    assert_eq!(ids[0], ids[1]);
    assert_eq!(field(&got.text, "X-Request-Id"), Some(&*ids[0]));
    assert_eq!(field(&got.text, "X-Ringkeeper-Attempts"), Some("2"), "{got:?}");
}

#[tokio::test]
async fn responses_tell_how_they_came_about_where_that_is_set() {
    let deployment = Deployment::of_upstreams();
    let reply = "HTTP/1.1 200 OK\r\nX-Ringkeeper-Key: own\r\nx-ringkeeper-replica: own\r\nX-Request-Id: own\r\nContent-Length: 0\r\n\r\n";
    let sent = "GET /?request_id=132574 HTTP/1.1\r\nHost: a\r\nX-Request-Id: a-1\r\n\r\n";
    let silent = Stage::set(&deployment, &[]).await;
    assert_eq!(silent.play(sent, reply, Then::Keep).await.text, reply);

    let deployment = Deployment::of_upstreams();
    let stage = Stage::set(&deployment, &["--debug-headers"]).await;
    let name = stage.origin.address.to_string();
    let got = stage.play(sent, reply, Then::Keep).await;
    let expected = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Request-Id: a-1\r\nX-Ringkeeper-Attempts: 1\r\nX-Ringkeeper-Key: 132574\r\n\
         X-Ringkeeper-Replica: {name}\r\n\r\n"
    );
    assert_eq!(got.text, expected);
    let got = stage.play(sent, "", Then::Break).await;
    assert_eq!(got.statuses(), ["502"], "{got:?}");
    for (name, value) in
        [("X-Request-Id", "a-1"), ("X-Ringkeeper-Attempts", "1"), ("X-Ringkeeper-Key", "132574")]
    {
        assert_eq!(field(&got.text, name), Some(value), "{got:?}");
    }
    assert_eq!(field(&got.text, "X-Ringkeeper-Replica"), None, "nobody answered");
}

#[tokio::test]
async fn max_forwards_is_counted_for_options_and_trace() {
    let deployment = Deployment::of_upstreams();
    let stage = Stage::set(&deployment, &[]).await;
    let sent = |method: &str, left: &str| {
        format!(
            "{method} /a HTTP/1.1\r\nHost: a\r\nMax-Forwards: {left}\r\nCookie: c\r\nAuthorization: b\r\n\r\n"
        )
    };
    for (name, method, left, arrives) in [
        ("OPTIONS that goes on", "OPTIONS", "1", "0"),
        ("TRACE that goes on", "TRACE", "10", "9"),
        ("any number", "OPTIONS", "99999999999999999999999", "18446744073709551614"),
        ("another method", "GET", "0", "0"),
        ("nonsense for another method", "GET", "x", "x"),
    ] {
        let request = stage.arrives(name, &sent(method, left)).await;
        assert_eq!(field(&request, "Max-Forwards"), Some(arrives), "{name}");
    }
    let got = stage.play(&format!("{}{GET}", sent("OPTIONS", "0")), OK, Then::Keep).await;
    assert_eq!((got.statuses(), stage.origin.requests().len()), (vec!["200", "200"], 1), "{got:?}");
    assert!(got.text.starts_with("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nAllow: GET, "), "{got:?}");
    let got = stage.play(&sent("TRACE", "0"), OK, Then::Keep).await;
    let echo = "TRACE /a HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n";
    assert_eq!(got.text.split_once("\r\n\r\n").expect("a head").1, echo);
    assert_eq!(field(&got.text, "Content-Type"), Some("message/http"));
    for wrong in ["", "-1", "one"] {
        let got = stage.play(&sent("TRACE", wrong), OK, Then::Keep).await;
        assert_eq!((got.statuses(), stage.origin.requests().len()), (vec!["400"], 0), "{wrong}");
    }
}

const TOKEN: &str = "a-token-of-thirty-two-characters";

#[tokio::test]
async fn no_spelling_of_a_control_path_goes_round_its_rules() {
    let deployment = Deployment::of_upstreams();
    let settings = ["--control-paths", "/", "--protect-rep", "--admin-token", TOKEN];
    let stage = Stage::set(&deployment, &settings).await;
    let sent = |path: &str, lines: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    let right = format!("Authorization: Bearer {TOKEN}\r\n");
    until("it is ready", async || stage.play(&sent("/", ""), OK, Then::Keep).await.statuses() == ["200"])
        .await;
    for path in ["/rep", "/%72ep", "/r%65%70", "http://a/%72ep", "/%72ep?a"] {
        for (lines, status) in [("", "401"), (&*right, "200")] {
            let got = stage.play(&sent(path, lines), OK, Then::Keep).await;
            assert_eq!((got.statuses(), stage.origin.requests().len()), (vec![status], 0), "{path}: {got:?}");
        }
    }
    for path in ["/x/../rep", "/./rep", "/%2e/rep", "/x/%2E%2e/%72ep", "/rep/../add", "/../rm"] {
        let got = stage.play(&sent(path, &right), OK, Then::Keep).await;
        assert_eq!((got.statuses(), stage.origin.requests().len()), (vec!["400"], 0), "{path}: {got:?}");
        assert!(got.text.contains("lead to another path"), "{got:?}");
    }
    for path in ["/rep%2F", "/rep/", "/%2572ep", "/a/../b", "/rep/../y", "/REP", "/%"] {
        let request = stage.arrives(path, &sent(path, "")).await;
        assert!(request.starts_with(&format!("GET {path} HTTP/1.1\r\n")), "{request}");
    }
}

/// Adds a replica that cannot be, so that only who may call gets so far.
const ADD: &str =
    "POST /add HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n";

#[tokio::test]
async fn who_calls_through_a_proxy_is_never_this_machine() {
    let deployment = Deployment::of_upstreams();
    let stage = Stage::set(&deployment, &["--control-paths", "/", "--trusted-proxies", "127.0.0.1"]).await;
    for (name, lines, status) in [
        ("this machine itself", "", "400"),
        ("another", "X-Forwarded-For: 192.0.2.7\r\n", "403"),
        ("what says to be this machine", "X-Forwarded-For: 127.0.0.1\r\n", "403"),
        ("nobody knows who", "Forwarded: for=\"\r\n", "403"),
    ] {
        let got = stage.play(&format!("{ADD}{lines}\r\n{{}}"), OK, Then::Keep).await;
        assert_eq!(got.statuses(), [status], "{name}: {got:?}");
    }
}

/// Version 2, TCP over IPv4, from 10.1.2.3.
const BINARY: &str = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x0a\x01\x02\x03\x0a\0\0\x01\x12\x34\0\x50";
/// Version 2, TCP over IPv6, from 2001:d68::7, and a TLV.
const BINARY_6: &str = "\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x28\x20\x01\x0d\x68\0\0\0\0\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x12\x34\0\x50\x04\0\x01\0";
/// Version 2, of the proxy itself.
const LOCAL: &str = "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
const TEXT: &str = "PROXY TCP4 10.1.2.3 10.0.0.1 56324 443\r\n";

#[tokio::test]
async fn a_proxy_header_says_who_the_client_is() {
    let deployment = Deployment::of_upstreams();
    let settings =
        ["--proxy-protocol-from", "127.0.0.0/8", "--trusted-proxies", "10.1.0.0/16", "--control-paths", "/"];
    let stage = Stage::set(&deployment, &settings).await;
    for (name, header, client) in [
        ("version 1", TEXT, "10.1.2.3"),
        ("version 1, IPv6", "PROXY TCP6 2001:db8::7 ::1 1 2\r\n", "2001:db8::7"),
        ("version 1, nobody knows who", "PROXY UNKNOWN\r\n", "127.0.0.1"),
        ("version 2", BINARY, "10.1.2.3"),
        ("version 2, IPv6, and a TLV", BINARY_6, "2001:d68::7"),
        ("version 2, the proxy itself", LOCAL, "127.0.0.1"),
    ] {
        let request = stage.arrives(name, &format!("{header}{GET}")).await;
        assert_eq!(field(&request, "X-Forwarded-For"), Some(client), "{name}");
        let got = stage.play(&format!("{header}{GET}{GET}"), OK, Then::Keep).await;
        assert_eq!(got.statuses(), ["200", "200"], "{name}, and two requests at once");
        let got = stage.play(&format!("{header}{ADD}\r\n{{}}"), OK, Then::Keep).await;
        assert_eq!(got.statuses(), ["403"], "{name}, and a call of whoever it is: {got:?}");
    }
    let believed = get("X-Forwarded-For: 192.0.2.7\r\n");
    let request = stage.arrives("a proxy behind a proxy", &format!("{TEXT}{believed}")).await;
    assert_eq!(field(&request, "X-Forwarded-For"), Some("192.0.2.7, 10.1.2.3"));
}

#[tokio::test]
async fn a_proxy_header_may_come_byte_by_byte() {
    let deployment = Deployment::of_upstreams();
    let stage = Stage::set(&deployment, &["--proxy-protocol-from", "127.0.0.1"]).await;
    for header in [TEXT, BINARY, BINARY_6] {
        stage.origin.script(OK, Then::Keep);
        let mut client = Raw::connect(stage.balancer.traffic).await;
        for byte in format!("{header}{GET}").chars() {
            client.write(&byte.to_string()).await;
        }
        client.read_to("\r\n\r\nok").await;
        client.write(GET).await;
        client.read_to("\r\n\r\nok").await;
        let requests = stage.origin.requests();
        assert_eq!(field(&requests[0], "X-Forwarded-For"), field(&requests[1], "X-Forwarded-For"));
    }
}

#[tokio::test]
async fn where_a_proxy_header_is_expected_nothing_else_gets_an_answer() {
    let deployment = Deployment::of_upstreams();
    let settings = ["--proxy-protocol-from", "127.0.0.1", "--header-timeout", "300ms"];
    let stage = Stage::set(&deployment, &settings).await;
    for (name, sent) in [
        ("a request", GET),
        ("a header of no version", "PROXY TCP5 10.1.2.3 10.0.0.1 1 2\r\n"),
        ("a header with a bad address", "PROXY TCP4 10.1.2.300 10.0.0.1 1 2\r\n"),
        (
            "a header without an end",
            "PROXY UNKNOWN xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        ),
        ("version 2 with no addresses", "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\0"),
        ("version 2 that is too long", "\r\n\r\n\0\r\nQUIT\n\x21\x11\x7f\x7f"),
        ("a second header", "PROXY UNKNOWN\r\nPROXY UNKNOWN\r\n"),
    ] {
        stage.origin.script(OK, Then::Keep);
        let mut client = Raw::connect(stage.balancer.traffic).await;
        client.write(sent).await;
        let (text, _) = client.rest().await;
        let expected = if name == "a second header" { "HTTP/1.1 400 " } else { "" };
        assert!(text.starts_with(expected) && text.is_empty() == expected.is_empty(), "{name}: {text}");
        assert_eq!(stage.origin.requests(), [""; 0], "{name}");
    }
    for part in ["", "PROXY TCP4 10.1"] {
        let mut client = Raw::connect(stage.balancer.traffic).await;
        client.write(part).await;
        assert_eq!(client.rest().await.0, "", "{part}: it is not waited for without end");
    }
}

#[tokio::test]
async fn from_nobody_else_is_a_proxy_header_taken() {
    let deployment = Deployment::of_upstreams();
    let stage = Stage::set(&deployment, &["--proxy-protocol-from", "10.0.0.0/8,::1"]).await;
    for header in [TEXT, BINARY, LOCAL] {
        let got = stage.play(&format!("{header}{GET}"), OK, Then::Keep).await;
        assert_eq!((got.statuses(), stage.origin.requests().len()), (vec!["400"], 0), "{got:?}");
    }
    assert_eq!(told(&stage.arrives("without one", GET).await), DIRECT);
}
