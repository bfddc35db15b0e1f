//! Bodies that are not what they should be.

use super::{Call, Port};

const ADD: (&str, &str) = ("POST", "/add");
const RM: (&str, &str) = ("DELETE", "/rm");
const LIMIT: usize = 64 * 1024;

pub(super) fn all() -> Vec<Call> {
    [counts(), hostnames(), lists(), fields(), texts(), truncated(), huge(), nested(), of_v1()].concat()
}

fn call((method, path): (&'static str, &str), body: impl Into<Vec<u8>>, says: &'static str) -> Call {
    Call::new(Port::Traffic, method, path, 400, says).body(body)
}

/// What `/v1` takes is one number in one field.
fn of_v1() -> Vec<Call> {
    let calls = [
        ("/v1/pools/default/scale", "replicas", "101"),
        ("/v1/pools/default/replicas/Server-1/weight", "weight", "101"),
    ];
    let of_one = |(path, field, too_many): (&str, &str, &str)| {
        let put = |body: String, says| Call::new(Port::Admin, "PUT", path, 400, says).body(body);
        let values = ["\"1\"", "null", "true", "[]", "{}", "1.5", "-1", "1e2", "18446744073709551616"];
        let wrong = values.map(|value| put(format!(r#"{{"{field}":{value}}}"#), "must be a whole number"));
        let others = [
            put(format!(r#"{{"{field}":{too_many}}}"#), ""),
            put(format!(r#"{{"{field}":4294967296}}"#), ""),
            put(format!(r#"{{"{field}":2,"{field}":2}}"#), "twice"),
            put(format!(r#"{{"{field}":2,"n":2}}"#), "a field 'n'"),
            put(format!(r#"{{"{field}":2}} x"#), "must be a JSON object"),
            put(format!(r#"{{"{field}":2"#), "must be a JSON object"),
            put("{}".into(), "is missing"),
            put("2".into(), "must be a JSON object"),
            put(String::new(), "must be a JSON object"),
        ];
        wrong.into_iter().chain(others)
    };
    calls.into_iter().flat_map(of_one).collect()
}

/// `n` of another type, out of range, or not even JSON.
fn counts() -> Vec<Call> {
    let digits = "9".repeat(1000);
    let whole = "'n' must be a whole number";
    let positive = "'n' must be more than 0";
    let json = "must be a JSON object";
    let table = [
        (r#""1""#, whole),
        ("null", whole),
        ("true", whole),
        ("[]", whole),
        ("[1]", whole),
        ("{}", whole),
        (r#"{"n":1}"#, whole),
        ("1.5", whole),
        ("1.0", whole),
        ("1e0", whole),
        ("1e99", whole),
        ("-0", whole),
        ("1e-400", whole),
        ("18446744073709551616", whole),
        ("-9223372036854775809", whole),
        ("0", positive),
        ("-1", positive),
        ("-9223372036854775808", positive),
        ("98", ""),
        ("65536", ""),
        ("4294967296", ""),
        ("18446744073709551615", ""),
        ("1e400", json),
        (&digits, json),
        ("01", json),
        ("+1", json),
        ("0x1", json),
        (".5", json),
        ("1.", json),
        ("1_0", json),
        ("NaN", json),
        ("Infinity", json),
        ("\u{661}", json),
        ("undefined", json),
        ("", json),
    ];
    let both = |(n, says)| [ADD, RM].map(|to| call(to, format!(r#"{{"n":{n}}}"#), says));
    table.into_iter().flat_map(both).collect()
}

/// Names that try to be something else.
fn hostnames() -> Vec<Call> {
    let (long, longer) = ("a".repeat(64), "a".repeat(30_000));
    let table = [
        "",
        "a",
        "-",
        "--",
        "-S4",
        "S4-",
        "-rm",
        "--privileged",
        &long,
        &longer, // lengths and hyphens
        "$(id)",
        "`id`",
        "S4;reboot",
        "S4|cat",
        "S4&&id",
        "S4>f",
        "$HOME",
        "${IFS}",
        "*",
        "~root",
        "S4'",
        "S4\"",
        "S4\\",
        "S4 S5",
        " S4",
        "S4 ",
        "S4\n",
        "S4\r\nX: y",
        "S4\t",
        "S4\0",
        "!!",
        "S4#", // shells
        "..",
        "../S4",
        "../../etc/passwd",
        "/etc/passwd",
        "C:\\S4",
        "%2e%2e%2f",
        "S4/",
        "S4%00",
        "file:///S4", // paths
        "<b>S4</b>",
        "<script>alert(1)</script>",
        "<img/src=x onerror=alert(1)>",
        "&lt;S4",
        "javascript:alert(1)",
        "' OR 1=1--",
        "{{7*7}}",
        "${jndi:ldap://x}",
        "%s%n",
        "S4,S5",
        "S4=S5",
        "S4:latest",
        "S4@sha256", // markup
        "S_4",
        "S.4",
        "S4.example.org",
        "127.0.0.1",
        "[::1]",
        "127.0.0.1:80", // other kinds of names
        "S\u{e9}",
        "\u{430}b",
        "\u{ff33}\u{ff14}",
        "S4\u{200b}",
        "\u{202e}4S",
        "S4\u{301}",
        "\u{1f600}\u{1f600}",
        "\u{feff}S4",
        "S\u{2010}4",
        "\u{130}4",
        "\u{212a}4",
        "S\u{ad}4",
        "S4\u{7f}",
        "S4\u{85}", // Unicode
    ];
    let both = |name: &str| {
        let body = serde_json::json!({ "n": 1, "hostnames": [name] }).to_string();
        [call(ADD, body.clone(), "cannot be a hostname"), call(RM, body, "There is no replica named")]
    };
    table.into_iter().flat_map(both).collect()
}

/// `hostnames` of another type, or names that do not go together.
fn lists() -> Vec<Call> {
    let strings = "'hostnames' must be a list of strings";
    let types = [
        "null",
        r#""S4""#,
        "1",
        "true",
        "{}",
        r#"{"0":"S4"}"#,
        "[1]",
        "[null]",
        "[true]",
        r#"[["S4"]]"#,
        "[{}]",
        r#"["S4",1]"#,
        r#"[{"name":"S4"}]"#,
    ];
    let both = |names| [ADD, RM].map(|to| call(to, format!(r#"{{"n":2,"hostnames":{names}}}"#), strings));
    let there = "already a replica named";
    let twice = "given twice";
    let more = "Length of hostname list is more than";
    let many = format!(r#"["S4"{}]"#, r#","S4""#.repeat(9000));
    let together = [
        (ADD, r#"["S4","S4"]"#, twice),
        (ADD, r#"["S4","s4"]"#, twice),
        (ADD, r#"["sERVER-9","Server-9"]"#, twice),
        (ADD, r#"["Server-1"]"#, there),
        (ADD, r#"["SERVER-1"]"#, there),
        (ADD, r#"["S4","server-3"]"#, there),
        (RM, r#"["Server-1","Server-1"]"#, twice),
        (RM, r#"["Server-1","sERVER-1"]"#, twice),
        (RM, r#"["Server-1","S9"]"#, "no replica named 'S9'"),
        (RM, r#"["Server-01"]"#, "no replica named"),
        (ADD, r#"["S4","S5","S6"]"#, more),
        (RM, r#"["Server-1","Server-2","Server-3"]"#, more),
        (ADD, &many, more),
        (RM, &many, more),
    ];
    let together =
        together.map(|(to, names, says)| call(to, format!(r#"{{"n":2,"hostnames":{names}}}"#), says));
    types.into_iter().flat_map(both).chain(together).collect()
}

/// Fields that are missing, unknown or repeated.
fn fields() -> Vec<Call> {
    let unknown = "has a field";
    let table = [
        (r#"{}"#, "'n' is missing"),
        (r#"{"hostnames":[]}"#, "'n' is missing"),
        (r#"{"n":1,"hostname":["S4"]}"#, "'hostname'"),
        (r#"{"n":1,"Hostnames":[]}"#, "'Hostnames'"),
        (r#"{"N":1}"#, "'N'"),
        (r#"{"n ":1}"#, unknown),
        (r#"{"":1,"n":1}"#, unknown),
        (r#"{"n":1,"n\u0000":1}"#, unknown),
        (r#"{"n":1,"__proto__":{"n":2}}"#, "'__proto__'"),
        (r#"{"n":1,"constructor":{}}"#, "'constructor'"),
        (r#"{"n":1,"image":"evil"}"#, "'image'"),
        (r#"{"n":1,"$ref":"file:///etc/passwd"}"#, "'$ref'"),
        (r#"{"n":1,"\ud83d\ude00":1}"#, unknown),
        (r#"{"n":1,"n":1}"#, "the field 'n' twice"),
        (r#"{"n":1,"\u006e":1}"#, "the field 'n' twice"),
        (r#"{"n":1,"n":null}"#, "the field 'n' twice"),
        (r#"{"hostnames":[],"n":1,"hostnames":[]}"#, "the field 'hostnames' twice"),
    ];
    table.into_iter().flat_map(|(body, says)| [ADD, RM].map(|to| call(to, body, says))).collect()
}

/// Bodies that are no JSON object, or more than one.
fn texts() -> Vec<Call> {
    let utf16: Vec<u8> = r#"{"n":1}"#.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let table: [&[u8]; 28] = [
        b"null",
        b"1",
        b"\"n\"",
        b"[]",
        b"[1,[\"S4\"]]",
        b"[{\"n\":1}]",
        b"n=1&hostnames=S4",
        b"n: 1",
        b"<n>1</n>",
        b"{\"n\":1}{\"n\":1}",
        b"{\"n\":1} x",
        b"{\"n\":1},",
        b"{\"n\":1}]",
        b"{\"n\":1}\0",
        b"{\"n\":1}\n{}",
        b"{\"n\":1,}",
        b"{,\"n\":1}",
        b"{'n':1}",
        b"{n:1}",
        b"{\"n\":1/**/}",
        b"//\n{\"n\":1}",
        b"{\"n\"=1}",
        b"\xef\xbb\xbf{\"n\":1}",
        b"{\"n\":1,\"hostnames\":[\"\xff\xfe\"]}",
        b"{\"n\":1,\"hostnames\":[\"\\ud800\"]}",
        b"{\"n\":1,\"hostnames\":[\"S4\n\"]}",
        b"\x1f\x8b\x08\x00",
        &utf16,
    ];
    table.into_iter().flat_map(|body| [ADD, RM].map(|to| call(to, body, "must be a JSON object"))).collect()
}

/// Every beginning of a good body.
fn truncated() -> Vec<Call> {
    let good = [
        (ADD, r#"{"n": 2, "hostnames": ["S5", "S4"]} "#.trim_end()),
        (RM, r#"{"hostnames":["Server-1"],"n":1}"#),
    ];
    let beginnings = |(to, body): ((&'static str, &'static str), &'static str)| {
        (1..body.len()).map(move |end| call(to, &body[..end], "must be a JSON object"))
    };
    good.into_iter().flat_map(beginnings).collect()
}

/// Bodies above the limit, in many ways; and one that is just within it.
fn huge() -> Vec<Call> {
    let spaces = |count| format!(r#"{{"n":1}}{}"#, " ".repeat(count));
    let of = |size: usize| {
        let mut body = spaces(size - r#"{"n":1}"#.len());
        body.replace_range(5..6, "0");
        body
    };
    let sizes = [LIMIT + 1, 2 * LIMIT, 1 << 20, 4 << 20];
    let targets = [(Port::Traffic, ADD), (Port::Traffic, RM), (Port::Admin, ADD), (Port::Admin, RM)];
    let too_long = targets.into_iter().flat_map(|(port, (method, path))| {
        sizes.map(|size| Call::new(port, method, path, 413, "64 KiB").body(of(size)))
    });
    let down = Call::new(Port::Admin, "POST", "/v1/down", 413, "64 KiB").body(of(LIMIT + 1));
    let within = call(ADD, of(LIMIT), "more than 0");
    too_long.chain([down, within]).collect()
}

/// Nesting deeper than any reader's stack.
fn nested() -> Vec<Call> {
    let depths = [200, 10_000];
    let shapes = |depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        [
            open.clone(),
            format!("{open}{close}"),
            r#"{"n":"#.repeat(depth),
            format!(r#"{{"n":{open}{close}}}"#),
            format!(r#"{{"n":1,"hostnames":{open}{close}}}"#),
            format!(r#"{{"n":1,"x":{open}{close}}}"#),
        ]
    };
    let bodies = depths.into_iter().flat_map(shapes);
    bodies.flat_map(|body| [ADD, RM].map(|to| call(to, body.clone(), "must be a JSON object"))).collect()
}
