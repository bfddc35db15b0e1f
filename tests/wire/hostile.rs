//! Calls that mean harm, or are merely broken: each is refused in words, and nothing comes of it.

use std::{collections::BTreeSet, net::UdpSocket};

use http::Request;
use serde_json::Value;

use crate::support::{Answer, Balancer, Client, Deployment, balancer::names};

mod callers;
mod payloads;

/// How much the balancer's memory may differ after a second round of the same calls, in KiB.
const FLAT: u64 = 4 * 1024;
const TOKEN: &str = "s3cret-0123456789";
/// What a caller may claim about where it calls from.
const FORGED: [(&str, &str); 8] = [
    ("x-forwarded-for", "127.0.0.1"),
    ("x-forwarded-for", "127.0.0.1, ::1"),
    ("forwarded", "for=127.0.0.1;host=localhost;proto=http"),
    ("x-real-ip", "127.0.0.1"),
    ("x-client-ip", "127.0.0.1"),
    ("true-client-ip", "::1"),
    ("x-forwarded-host", "localhost"),
    ("x-original-url", "/rep"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Port {
    Traffic,
    Admin,
}

/// One call, and what it has to be answered with: this status, with words that have `says` in them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Call {
    port: Port,
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, Vec<u8>)>,
    body: Vec<u8>,
    status: u16,
    says: &'static str,
}

impl Call {
    fn new(port: Port, method: &'static str, path: &str, status: u16, says: &'static str) -> Self {
        let headers = vec![("content-type", b"application/json".to_vec())];
        Call { port, method, path: path.to_owned(), headers, body: Vec::new(), status, says }
    }

    fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Call { body: body.into(), ..self }
    }

    fn has(&self, name: &str, value: &str) -> bool {
        self.headers.iter().any(|(there, found)| *there == name && found == value.as_bytes())
    }

    fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(there, _)| *there != name);
        self
    }

    fn and(mut self, name: &'static str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name, value.as_ref().to_vec()));
        self
    }

    fn with(self, name: &'static str, value: impl AsRef<[u8]>) -> Self {
        self.without(name).and(name, value)
    }

    /// In a line; of a long body only the beginning.
    fn shown(&self) -> String {
        let start = String::from_utf8_lossy(&self.body[..self.body.len().min(120)]);
        let headers: Vec<String> =
            self.headers.iter().map(|(name, value)| format!("{name}: {}", value.escape_ascii())).collect();
        format!(
            "{:?} {} {} {headers:?} {start:?} ({} bytes)",
            self.port,
            self.method,
            self.path,
            self.body.len()
        )
    }

    async fn made(&self, balancer: &Balancer) -> Answer {
        let address = match self.port {
            Port::Traffic => balancer.traffic,
            Port::Admin => balancer.admin,
        };
        let mut request = Request::builder().method(self.method).uri(&self.path);
        for (name, value) in &self.headers {
            let value = String::from_utf8_lossy(value).replace("PORT", &address.port().to_string());
            request = request.header(*name, value);
        }
        let request = request.body(self.body.clone().into()).expect("a request");
        Client::connect(address).await.send(request).await
    }

    /// What is wrong with this answer to it.
    fn complaint(&self, answer: &Answer) -> Option<&'static str> {
        if answer.status != self.status {
            return Some("another status");
        }
        let told: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        let (media_type, status, words) = match self.path.as_str() {
            "/rep" | "/add" | "/rm" => {
                let words = told["message"].as_str().and_then(|message| message.strip_prefix("<Error> "));
                ("application/json", told["status"] == "failure", words)
            }
            _ => ("application/problem+json", told["status"] == self.status, told["detail"].as_str()),
        };
        let allow = answer.header("allow");
        let faults = [
            (answer.header("content-type") != Some(media_type) || !status, "another shape"),
            (!words.is_some_and(|words| !words.is_empty() && words.contains(self.says)), "other words"),
            (
                self.status == 401 && answer.header("www-authenticate") != Some("Bearer"),
                "no WWW-Authenticate",
            ),
            (self.status == 405 && allow.is_none_or(|allow| allow.contains(self.method)), "no right Allow"),
        ];
        faults.into_iter().find_map(|(found, fault)| found.then_some(fault))
    }
}

/// Makes all of the calls, and returns how many there were; none of them twice.
async fn all_refused(balancer: &Balancer, calls: &[Call]) -> usize {
    assert_eq!(calls.iter().collect::<BTreeSet<_>>().len(), calls.len(), "a call is there twice");
    let mut complaints = Vec::new();
    for call in calls {
        let answer = call.made(balancer).await;
        if let Some(complaint) = call.complaint(&answer) {
            let Answer { status, body, .. } = answer;
            complaints.push(format!("{complaint}: {}\n  -> {status} {body}", call.shown()));
        }
    }
    assert!(complaints.is_empty(), "{} of {}:\n{}", complaints.len(), calls.len(), complaints.join("\n"));
    calls.len()
}

#[tokio::test]
async fn hostile_calls_are_refused_in_words_and_change_nothing() {
    let deployment = Deployment::of_processes();
    let balancer = deployment.start(&[]).await;
    let before = (balancer.rep().await, balancer.rows().await);
    let calls: Vec<Call> = payloads::all().into_iter().chain(callers::all()).collect();
    let made = all_refused(&balancer, &calls).await;
    assert!(made >= 200, "only {made} calls");
    assert_eq!((balancer.rep().await, balancer.rows().await), before);

    let once = balancer.resident_kib();
    all_refused(&balancer, &calls).await;
    let twice = balancer.resident_kib();
    eprintln!("{made} hostile calls; resident {once} KiB, after a second round {twice} KiB");
    assert!(twice <= once + FLAT, "{made} calls took {once} KiB, and again as many {twice} KiB");
    assert_eq!((balancer.rep().await, balancer.rows().await), before);
}

#[tokio::test]
async fn without_the_token_hostile_calls_get_nowhere_and_with_it_a_call_works() {
    let deployment = Deployment::of_processes();
    let balancer = deployment.launch(&["--admin-token", TOKEN, "--protect-rep"]).await;
    let right = format!("Bearer {TOKEN}");
    let rep = |port| Call::new(port, "GET", "/rep", 200, "").and("authorization", &right);
    let before = rep(Port::Traffic).made(&balancer).await.body;
    assert_eq!(names(&before), ["Server-1", "Server-2", "Server-3"]);

    let made = all_refused(&balancer, &callers::without_the_token(TOKEN)).await;
    eprintln!("{made} hostile calls with wrong tokens");
    for port in [Port::Traffic, Port::Admin] {
        let answer = rep(port).made(&balancer).await;
        assert_eq!((answer.status, &answer.body), (200, &before), "{port:?}");
    }
    let add = Call::new(Port::Traffic, "POST", "/add", 200, "").body(r#"{"n":1,"hostnames":["S4"]}"#);
    let answer = add.and("authorization", &right).made(&balancer).await;
    assert_eq!(names(&answer.body), ["Server-1", "Server-2", "Server-3", "S4"]);
}

#[tokio::test]
async fn a_hostile_caller_from_elsewhere_is_told_what_to_set() {
    let Some(own) = own_address() else {
        eprintln!("SKIPPED: this machine has no address but loopback, so nobody calls from elsewhere");
        return;
    };
    let deployment = Deployment::of_processes();
    let everywhere = ["--listen", "0.0.0.0:0", "--admin-listen", "0.0.0.0:0"];
    let mut balancer = deployment.start(&everywhere).await;
    let before = balancer.rep().await;
    let here = (balancer.traffic, balancer.admin);
    balancer.traffic.set_ip(own); // calls to an address of this machine come from that address
    balancer.admin.set_ip(own);
    let made = all_refused(&balancer, &callers::from_elsewhere()).await;
    eprintln!("{made} hostile calls from {own}");
    assert_eq!(balancer.rep().await, before, "which is open to read");
    (balancer.traffic, balancer.admin) = here;
    assert_eq!(balancer.rep().await, before);
}

/// An address of this machine that is not loopback, by which others would see it; nothing is sent.
fn own_address() -> Option<std::net::IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("198.51.100.1:9").ok()?;
    let own = socket.local_addr().ok()?.ip();
    (!own.is_loopback() && !own.is_unspecified()).then_some(own)
}
