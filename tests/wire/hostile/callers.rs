//! Callers that have no business here, and calls that no path knows.

use super::{Call, FORGED, Port};

/// Calls that would change something, and would be fine without what a table adds to them.
const CHANGES: [(Port, &str, &str, &str); 10] = [
    (Port::Traffic, "POST", "/add", r#"{"n":1,"hostnames":["S4"]}"#),
    (Port::Traffic, "DELETE", "/rm", r#"{"n":1}"#),
    (Port::Admin, "POST", "/add", r#"{"n":1,"hostnames":["S4"]}"#),
    (Port::Admin, "DELETE", "/rm", r#"{"n":1}"#),
    (Port::Admin, "PUT", "/v1/pools/default/scale", r#"{"replicas":1}"#),
    (Port::Admin, "PUT", "/v1/pools/default/replicas/Server-1/weight", r#"{"weight":2}"#),
    (Port::Admin, "POST", "/v1/pools/default/replicas/Server-1/drain", ""),
    (Port::Admin, "POST", "/v1/pools/default/replicas/Server-1/restore", ""),
    (Port::Admin, "POST", "/v1/pools/default/replicas/Server-1/restart", ""),
    (Port::Admin, "POST", "/v1/down", ""),
];
/// The calls that say all in their path.
const BARE: [&str; 4] = [
    "/v1/pools/default/replicas/Server-1/drain",
    "/v1/pools/default/replicas/Server-1/restore",
    "/v1/pools/default/replicas/Server-1/restart",
    "/v1/down",
];

pub(super) fn all() -> Vec<Call> {
    [methods(), paths(), content_types(), pages(), hosts(), forged(), payloads_of_bare_calls(), nobodies()]
        .concat()
}

fn changes(status: u16, says: &'static str) -> impl Iterator<Item = Call> + Clone {
    CHANGES
        .into_iter()
        .map(move |(port, method, path, body)| Call::new(port, method, path, status, says).body(body))
}

/// Methods that a path does not know, on both ports.
fn methods() -> Vec<Call> {
    let methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get", "BREW"];
    let known = [("/rep", "GET"), ("/add", "POST"), ("/rm", "DELETE")];
    let own = [
        ("/v1/pools", "GET"),
        ("/v1/pools/default", "GET PUT DELETE"),
        ("/v1/pools/none", "GET PUT DELETE"),
        ("/v1/pools/default/add", "POST"),
        ("/v1/pools/default/rm", "POST"),
        ("/v1/routes", "GET PUT"),
        ("/v1/pools/default/scale", "PUT"),
        ("/v1/pools/default/events", "GET"),
        ("/v1/pools/default/replicas/Server-1/weight", "PUT"),
        ("/v1/pools/default/replicas/Server-1/logs", "GET"),
    ];
    let own = own.into_iter().chain(BARE.map(|path| (path, "POST")));
    let traffic = known.map(|known| (Port::Traffic, known));
    let admin = known.into_iter().chain(own).map(|known| (Port::Admin, known));
    let wrong = |(port, (path, known)): (Port, (&'static str, &'static str))| {
        let wrong = methods.into_iter().filter(move |method| known.split(' ').all(|known| known != *method));
        wrong.map(move |method| {
            let call = Call::new(port, method, path, 405, "does not know that method");
            call.body(r#"{"n":1}"#).and("x-http-method-override", known.split(' ').next().expect("one"))
        })
    };
    traffic.into_iter().chain(admin).flat_map(wrong).collect()
}

/// Paths of the admin port that there are not.
fn paths() -> Vec<Call> {
    let table = [
        ("/", 404),
        ("/add/", 404),
        ("//add", 404),
        ("/ADD", 404),
        ("/v1/", 404),
        ("/v1/pools/", 404),
        ("/%61dd", 404),
        ("/v1/pools/none", 404),
        ("/v1/pools/none/events", 404),
        ("/v1/pools/none/replicas/Server-1/logs", 404),
        ("/v1/pools/default/replicas/S9/logs", 404),
        ("/v1/pools/default/replicas/..%2f..%2fdown/logs", 404),
        ("/v1/pools/default/replicas/%00/logs", 404),
        ("/v1/pools/default/replicas/%3Cscript%3E/logs", 404),
        ("/v1/pools/default/replicas/%ff/logs", 400),
        ("/v1/pools/default/replicas/Server-1/logs?tail=-1", 400),
        ("/v1/pools/default/replicas/Server-1/logs?tail=99999999999999999999", 400),
        ("/v1/pools/default/replicas/Server-1/logs?tail=1&tail=2", 400),
        ("/v1/pools/default/replicas/Server-1/logs?follow=yes", 400),
        ("/v1/pools/default/events?after=-1", 400),
        ("/v1/pools/default/events?wait=1e3", 400),
        ("/v1/pools/default/events?wait=600", 400),
        ("/v1/pools/default/events?after=1&after=2", 400),
        ("/v1/pools/default/events?x=%00", 400),
        ("/v1/pools/..%2fdown", 404),
        ("/v1/pools/../down", 404),
        ("/v1/down/", 404),
        ("/v1/pools/%3Cscript%3E", 404),
        ("/v1/pools/%00", 404),
        ("/v1/pools/%ff", 400),
        ("/v1/pools/%c3%28", 400),
        ("/.git/config", 404),
        ("/metrics/../v1/down", 404),
    ];
    table.map(|(path, status)| Call::new(Port::Admin, "GET", path, status, "")).into()
}

/// What a web page's form or script can send without asking first.
fn content_types() -> Vec<Call> {
    let table = [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/json",
        "application/jsonx",
        "application/json-patch+json",
        "application/ json",
        "application/json,text/plain",
        "text/plain; application/json",
        "*/*",
    ];
    let wrong = table.into_iter().flat_map(|media_type| {
        changes(400, "application/json").map(move |call| call.with("content-type", media_type))
    });
    let none = changes(400, "application/json").map(|call| call.without("content-type"));
    let two = changes(400, "application/json").map(|call| call.and("content-type", "text/plain"));
    wrong.chain(none).chain(two).collect()
}

/// Calls that a browser marks as another site's.
fn pages() -> Vec<Call> {
    let table = [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("origin", ""),
        ("origin", "http://127.0.0.1"),
        ("origin", "http://127.0.0.1:1"),
        ("origin", "http://127.0.0.1:PORT.evil.example"),
        ("origin", "http://evil.example@127.0.0.1:PORT"),
        ("origin", "http://evil.example#127.0.0.1:PORT"),
        ("origin", "127.0.0.1:PORT"),
        ("origin", "file://"),
        ("origin", "chrome-extension://abcdef"),
        ("origin", "http://[::1]:PORT"),
        ("sec-fetch-site", "cross-site"),
    ];
    let says = "web pages of other sites";
    let marked =
        table.into_iter().flat_map(|(name, value)| changes(403, says).map(move |call| call.and(name, value)));
    let two = [
        [("origin", "http://127.0.0.1:PORT"), ("origin", "https://evil.example")],
        [("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")],
        [("origin", "http://127.0.0.1:PORT"), ("sec-fetch-site", "cross-site")],
    ];
    let two = two.into_iter().flat_map(|[one, other]| {
        changes(403, says).map(move |call| call.and(one.0, one.1).and(other.0, other.1))
    });
    marked.chain(two).collect()
}

/// Names that somebody else's DNS may turn into this machine's address.
fn hosts() -> Vec<Call> {
    let table = [
        "",
        "evil.example",
        "evil.example:PORT",
        "127.0.0.1.evil.example:PORT",
        "localhost.evil.example",
        "2130706433",
        "evil-localhost",
        "0x7f000001:PORT",
        "127.1:PORT",
        "evil.example@127.0.0.1:PORT",
        "[::1",
        "127.0.0.1, evil",
        "http://127.0.0.1",
        "ringkeeper",
    ];
    let foreign = table
        .into_iter()
        .flat_map(|host| changes(403, "the Host of a call").map(move |call| call.and("host", host)))
        .map(
            |call| if MALFORMED.iter().any(|host| call.has("host", host)) { before_all(call) } else { call },
        );
    let two = changes(403, "the Host of a call")
        .map(|call| before_all(call.and("host", "127.0.0.1:PORT").and("host", "evil.example")));
    foreign.chain(two).collect()
}

/// Those of them that are no hosts at all.
const MALFORMED: [&str; 5] =
    ["", "evil.example@127.0.0.1:PORT", "[::1", "127.0.0.1, evil", "http://127.0.0.1"];

/// What no request may have is refused, where clients connect, before it is known where the request goes.
fn before_all(call: Call) -> Call {
    match call.port {
        Port::Traffic => Call { status: 400, says: "Host", ..call },
        Port::Admin => call,
    }
}

/// A forged origin of the call makes nothing of it better.
fn forged() -> Vec<Call> {
    let of_a_page = |(name, value)| {
        changes(403, "web pages of other sites")
            .map(move |call| call.and("origin", "https://evil.example").and(name, value))
    };
    FORGED.into_iter().flat_map(of_a_page).collect()
}

/// Calls that say all in their path have no payload; whoever sends one meant something else.
fn payloads_of_bare_calls() -> Vec<Call> {
    let bodies = [r#"{"n":1}"#, r#"{"pool":"other"}"#, "[]", "null", "{", "x", r#"{"dry_run":true}"#];
    let of_one = |path| bodies.map(|body| Call::new(Port::Admin, "POST", path, 400, "payload").body(body));
    BARE.into_iter().flat_map(of_one).collect()
}

/// Calls about a replica or a pool that there is not.
fn nobodies() -> Vec<Call> {
    let names = ["S9", "..%2f..%2fdown", "%00", "%3Cscript%3E", "Server-1%20"];
    let of_one = |verb| {
        let of = move |path: String, says| Call::new(Port::Admin, "POST", &path, 404, says);
        let names = names
            .map(|name| of(format!("/v1/pools/default/replicas/{name}/{verb}"), "There is no replica named"));
        names.into_iter().chain([of(format!("/v1/pools/none/replicas/Server-1/{verb}"), "no pool")])
    };
    ["drain", "restore", "restart"].into_iter().flat_map(of_one).collect()
}

/// Calls with every token but the right one.
pub(super) fn without_the_token(right: &str) -> Vec<Call> {
    let reads = [
        Call::new(Port::Traffic, "GET", "/rep", 401, "token"),
        Call::new(Port::Admin, "GET", "/rep", 401, "token"),
        Call::new(Port::Admin, "GET", "/v1/pools/default", 401, "token"),
        Call::new(Port::Admin, "GET", "/nothing", 401, "token"),
    ];
    let calls: Vec<Call> = changes(401, "token").chain(reads).collect();
    let wrong = [
        String::new(),
        "Bearer".into(),
        "Bearer x".into(),
        format!("Bearer {right}x"),
        format!("Bearer x{right}"),
        format!("Bearer  {right}"),
        format!("Bearer {right},{right}"),
        format!("Bearer {}", right.to_uppercase()),
        format!("Bearer \"{right}\""),
        format!("Basic {right}"),
        format!("Token {right}"),
        right.to_owned(),
        format!("Basic OnMz, Bearer {right}"),
        format!("Digest username=\"{right}\""),
    ];
    let cut = (1..right.len()).map(|end| format!("Bearer {}", &right[..end]));
    let tokens: Vec<String> = wrong.into_iter().chain(cut).collect();
    let with_wrong = tokens
        .iter()
        .flat_map(|token| calls.iter().map(move |call| call.clone().and("authorization", token)));
    let elsewhere = [("x-api-key", right), ("cookie", right), ("proxy-authorization", right)];
    let forged = FORGED.into_iter().chain(elsewhere);
    let with_forged =
        forged.flat_map(|(name, value)| calls.iter().map(move |call| call.clone().and(name, value)));
    with_wrong.chain(with_forged).chain(calls.iter().cloned()).collect()
}

/// Calls from another machine where no token is set.
pub(super) fn from_elsewhere() -> Vec<Call> {
    let reads = ["/rep", "/v1/pools/default", "/nothing"];
    let reads = reads.map(|path| Call::new(Port::Admin, "GET", path, 403, "--admin-token"));
    let calls: Vec<Call> = changes(403, "--admin-token").chain(reads).collect();
    let more =
        FORGED.into_iter().chain([("authorization", "Bearer x"), ("host", "localhost"), ("origin", "null")]);
    let more = more.flat_map(|(name, value)| calls.iter().map(move |call| call.clone().and(name, value)));
    more.chain(calls.iter().cloned()).collect()
}
