//! Requests that wait in line for a replica.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Empty, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::{JoinHandle, JoinSet},
    time::sleep,
};

use crate::{
    pools::{admin, ready},
    support::{Answer, Balancer, Client, Deployment, until},
};

const ONE_AT_A_TIME: [&str; 4] = ["--max-in-flight", "1", "--queue", "20"];
const ME: [u8; 4] = [127, 0, 0, 1];
const ANNA: [u8; 4] = [127, 0, 0, 2];
const BERT: [u8; 4] = [127, 0, 0, 3];

/// A server that the test itself is: it answers a request when it is told to answer one more. Ends when this is dropped.
struct Clerk {
    address: String,
    counts: Arc<Counts>,
    work: JoinHandle<()>,
}

/// What it has.
struct Counts {
    /// The paths that came, in that order.
    seen: Mutex<Vec<String>>,
    answers: Semaphore,
    busy: AtomicUsize,
    most_busy: AtomicUsize,
}

impl Clerk {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let counts = Arc::new(Counts {
            seen: Mutex::default(),
            answers: Semaphore::new(0),
            busy: AtomicUsize::new(0),
            most_busy: AtomicUsize::new(0),
        });
        let work = tokio::spawn(listen(listener, counts.clone()));
        Clerk { address, counts, work }
    }

    /// Answers so many more.
    fn answer(&self, many: usize) {
        self.counts.answers.add_permits(many);
    }

    fn seen(&self) -> Vec<String> {
        self.counts.seen.lock().expect("nobody panics while holding it").clone()
    }

    /// Waits until so many requests have come.
    async fn has_seen(&self, many: usize) {
        until("so many have come", async || self.seen().len() >= many).await;
    }

    /// Is gone, and every connection with it.
    async fn die(&mut self) {
        self.work.abort();
        let _aborted = (&mut self.work).await;
    }
}

impl Drop for Clerk {
    fn drop(&mut self) {
        self.work.abort();
    }
}

async fn listen(listener: TcpListener, counts: Arc<Counts>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        connections.spawn(attend(stream, counts.clone()));
    }
}

async fn attend(stream: TcpStream, counts: Arc<Counts>) {
    let service = service_fn(|request: Request<Incoming>| {
        let counts = counts.clone();
        async move {
            counts.seen.lock().expect("nobody panics while holding it").push(request.uri().path().to_owned());
            let busy = counts.busy.fetch_add(1, SeqCst) + 1;
            counts.most_busy.fetch_max(busy, SeqCst);
            counts.answers.acquire().await.expect("never closed").forget();
            counts.busy.fetch_sub(1, SeqCst);
            Ok::<_, io::Error>(Response::new(Full::new(Bytes::from_static(b"done"))))
        }
    });
    let _broken_or_not = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// A balancer of these.
async fn before(deployment: &Deployment, clerks: &[&Clerk], settings: &[&str]) -> Balancer {
    let upstreams = clerks.iter().flat_map(|clerk| ["--upstream", &clerk.address]);
    let own = ["--probe", "tcp", "--threads", "2", "--heartbeat-interval", "100ms"];
    deployment.start(&upstreams.chain(own).chain(settings.iter().copied()).collect::<Vec<_>>()).await
}

/// A request of this client, on a connection of its own.
fn ask(balancer: &Balancer, client: [u8; 4], path: &str, priority: Option<&str>) -> JoinHandle<Answer> {
    let mut request = Request::get(path);
    if let Some(priority) = priority {
        request = request.header("x-priority", priority);
    }
    let (address, request) = (balancer.traffic, request.body(Full::default()).expect("a request"));
    tokio::spawn(async move { Client::connect_from(client, address).await.send(request).await })
}

/// What the balancer tells of the line.
async fn line(balancer: &Balancer) -> Value {
    balancer.pool().await["queue"].take()
}

/// Waits until so many are in line.
async fn waiting(balancer: &Balancer, many: usize) {
    until("so many wait", async || line(balancer).await["length"] == many).await;
}

/// A request that a replica has, and then these in line, in this order.
async fn busy(
    balancer: &Balancer,
    clerk: &Clerk,
    asked: &[([u8; 4], &str, Option<&str>)],
) -> Vec<JoinHandle<Answer>> {
    let mut asking = vec![ask(balancer, ME, "/first", None)];
    clerk.has_seen(1).await;
    for (client, path, priority) in asked {
        asking.push(ask(balancer, *client, path, *priority));
        waiting(balancer, asking.len() - 1).await;
    }
    asking
}

async fn statuses(asking: Vec<JoinHandle<Answer>>) -> Vec<u16> {
    let mut statuses = Vec::new();
    for answer in asking {
        statuses.push(answer.await.expect("no panic").status);
    }
    statuses
}

#[tokio::test]
async fn clients_have_their_turns_one_after_the_other_and_the_urgent_go_first() {
    let (clerk, deployment) = (Clerk::start().await, Deployment::of_upstreams());
    let settings = [&ONE_AT_A_TIME[..], &["--queue-priority", "X-Priority"]].concat();
    let balancer = before(&deployment, &[&clerk], &settings).await;
    let asked = [
        (ANNA, "/a1", None),
        (ANNA, "/a2", Some("nonsense")),
        (ANNA, "/a3", None),
        (BERT, "/b1", Some("0")),
        (BERT, "/b2", None),
        (ANNA, "/urgent", Some("3")),
    ];
    let asking = busy(&balancer, &clerk, &asked).await;
    for answered in 1..=asking.len() {
        clerk.answer(1);
        clerk.has_seen((answered + 1).min(asking.len())).await;
        assert!(clerk.seen().len() <= answered + 1, "one at a time");
    }
    assert_eq!(clerk.seen(), ["/first", "/urgent", "/a1", "/b1", "/a2", "/b2", "/a3"]);
    assert!(statuses(asking).await.iter().all(|status| *status == 200));
    let line = line(&balancer).await;
    assert_eq!((&line["length"], &line["most"], &line["refused"]), (&json!(0), &json!(20), &json!(0)));
}

#[tokio::test]
async fn a_full_line_refuses_who_has_most_in_it_and_says_when_to_come_again() {
    let (clerk, deployment) = (Clerk::start().await, Deployment::of_upstreams());
    let settings = ["--max-in-flight", "1", "--queue", "2", "--queue-timeout", "20s"];
    let balancer = before(&deployment, &[&clerk], &settings).await;
    let mut asking = busy(&balancer, &clerk, &[(ANNA, "/a1", None), (ANNA, "/a2", None)]).await;
    let check = |refused: Answer| {
        let after: u64 = refused.header("retry-after").expect("it says when").parse().expect("seconds");
        assert!(refused.status == 503 && (1..=20).contains(&after), "{refused:?}");
        assert!(refused.body.contains("as many wait as may, try again in"), "{}", refused.body);
    };
    check(ask(&balancer, ANNA, "/a3", None).await.expect("no panic"));
    let other = ask(&balancer, BERT, "/b1", None);
    check(asking.remove(2).await.expect("no panic"));
    let there = line(&balancer).await;
    assert_eq!((&there["length"], &there["refused"]), (&json!(2), &json!(2)));
    clerk.answer(3);
    asking.push(other);
    assert_eq!(statuses(asking).await, [200; 3]);
    assert_eq!(clerk.seen(), ["/first", "/a1", "/b1"]);
}

#[tokio::test]
async fn who_waits_for_too_long_is_told_and_costs_nobody_a_turn() {
    let (clerk, deployment) = (Clerk::start().await, Deployment::of_upstreams());
    let settings = [&ONE_AT_A_TIME[..], &["--queue-timeout", "500ms"]].concat();
    let balancer = before(&deployment, &[&clerk], &settings).await;
    let mut asking = busy(&balancer, &clerk, &[(ANNA, "/late", None)]).await;
    let late = asking.remove(1).await.expect("no panic");
    assert_eq!((late.status, late.header("retry-after")), (503, Some("1")));
    assert!(late.body.contains("for as long as a request may wait"), "{}", late.body);
    let there = line(&balancer).await;
    assert_eq!((&there["length"], &there["timeouts"], &there["refused"]), (&json!(0), &json!(1), &json!(0)));
    clerk.answer(2);
    assert_eq!(statuses(asking).await, [200]);
    assert_eq!(ask(&balancer, ANNA, "/next", None).await.expect("no panic").status, 200);
    assert_eq!(clerk.seen(), ["/first", "/next"]);
}

/// The times are what this tests: each part is shorter than the timeout, both together are longer.
#[tokio::test]
async fn the_time_in_line_is_no_part_of_the_time_for_the_response() {
    const PART: Duration = Duration::from_millis(2000);
    let (clerk, deployment) = (Clerk::start().await, Deployment::of_upstreams());
    let settings = [&ONE_AT_A_TIME[..], &["--response-timeout", "3s"]].concat();
    let balancer = before(&deployment, &[&clerk], &settings).await;
    let asking = busy(&balancer, &clerk, &[(ANNA, "/second", None)]).await;
    sleep(PART).await;
    clerk.answer(1);
    clerk.has_seen(2).await;
    sleep(PART).await;
    clerk.answer(1);
    assert_eq!(statuses(asking).await, [200, 200]);
    let waited = line(&balancer).await["waited_ms"].as_u64().expect("a number");
    assert!((1500..3000).contains(&waited), "{waited}");
}

#[tokio::test]
async fn who_leaves_while_it_waits_is_not_served() {
    let (clerk, deployment) = (Clerk::start().await, Deployment::of_upstreams());
    let balancer = before(&deployment, &[&clerk], &ONE_AT_A_TIME).await;
    let asking = busy(&balancer, &clerk, &[]).await;
    // its connection of HTTP/1.1 breaks
    let gone = TcpStream::connect(balancer.traffic).await.expect("the balancer accepts");
    for text in ["GET /gone HTTP/1.1\r\nHost: a\r\n\r\n", "GET /behind HTTP/1.1\r\nHost: a\r\n\r\n"] {
        gone.writable().await.expect("a socket");
        gone.try_write(text.as_bytes()).expect("sent");
    }
    waiting(&balancer, 1).await;
    socket2::SockRef::from(&gone).set_linger(Some(Duration::ZERO)).expect("a socket");
    drop(gone);
    waiting(&balancer, 0).await;
    // its stream of HTTP/2 is reset
    let stream = TcpStream::connect(balancer.traffic).await.expect("the balancer accepts");
    let executor = TokioExecutor::new();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(executor, TokioIo::new(stream)).await.expect("a connection");
    tokio::spawn(connection);
    let request = Request::get("http://a/gone").body(Empty::<Bytes>::new()).expect("a request");
    let request = tokio::spawn(sender.send_request(request));
    waiting(&balancer, 1).await;
    request.abort();
    waiting(&balancer, 0).await;
    clerk.answer(2);
    assert_eq!(statuses(asking).await, [200]);
    assert_eq!(ask(&balancer, ANNA, "/next", None).await.expect("no panic").status, 200);
    assert_eq!(clerk.seen(), ["/first", "/next"]);
    let there = line(&balancer).await;
    assert_eq!((&there["timeouts"], &there["refused"]), (&json!(0), &json!(0)));
}

#[tokio::test]
async fn a_replica_that_is_added_serves_those_in_line_at_once() {
    let (clerk, other, deployment) = (Clerk::start().await, Clerk::start().await, Deployment::of_upstreams());
    let balancer = before(&deployment, &[&clerk], &ONE_AT_A_TIME).await;
    let asking =
        busy(&balancer, &clerk, &[(ANNA, "/a1", None), (BERT, "/b1", None), (ANNA, "/a2", None)]).await;
    let body = json!({ "n": 1, "hostnames": [other.address] }).to_string();
    assert_eq!(balancer.call("POST", "/add", &body).await.status, 200);
    other.has_seen(1).await;
    waiting(&balancer, 2).await;
    other.answer(3);
    until("it serves one after the other", async || other.seen() == ["/a1", "/b1", "/a2"]).await;
    clerk.answer(1);
    assert_eq!(statuses(asking).await, [200; 4]);
    assert_eq!(clerk.seen(), ["/first"]);
}

#[tokio::test]
async fn nothing_is_lost_where_a_replica_dies_while_others_wait() {
    let (mut one, two, deployment) = (Clerk::start().await, Clerk::start().await, Deployment::of_upstreams());
    let settings = ["--max-in-flight", "2", "--queue", "20", "--policy", "least-requests"];
    let balancer = before(&deployment, &[&one, &two], &settings).await;
    let paths: Vec<String> = (0..12).map(|number| format!("/{number}")).collect();
    let asking: Vec<_> = paths.iter().map(|path| ask(&balancer, ANNA, path, None)).collect();
    waiting(&balancer, 8).await;
    until("both have two", async || one.seen().len() == 2 && two.seen().len() == 2).await;
    one.die().await;
    waiting(&balancer, 10).await;
    two.answer(12);
    assert_eq!(statuses(asking).await, [200; 12]);
    let mut seen = two.seen();
    // the ways there are not of one length: each may be overtaken on it by who got the next place
    assert!(one.seen().iter().all(|path| seen[2..6].contains(path)), "who had one goes first: {seen:?}");
    seen.sort_unstable();
    let mut all = paths;
    all.sort_unstable();
    assert_eq!(seen, all, "each was served once");
    assert_eq!(two.counts.most_busy.load(SeqCst), 2);
}

#[tokio::test]
async fn those_in_line_are_served_before_the_balancer_ends() {
    let (clerk, deployment) = (Clerk::start().await, Deployment::of_upstreams());
    let mut balancer = before(&deployment, &[&clerk], &ONE_AT_A_TIME).await;
    let asking = busy(&balancer, &clerk, &[(ANNA, "/a1", None), (BERT, "/b1", None)]).await;
    balancer.terminate();
    until("it accepts nobody", async || TcpStream::connect(balancer.traffic).await.is_err()).await;
    clerk.answer(3);
    assert_eq!(statuses(asking).await, [200; 3]);
    assert!(balancer.ends().await.success());
}

/// They waited for as long as they might, though nobody would ever serve them.
#[tokio::test]
async fn those_in_line_are_told_at_once_when_their_pool_is_removed() {
    let (clerk, deployment) = (Clerk::start().await, Deployment::of_processes());
    let balancer = deployment.start(&["--replicas", "0"]).await;
    let settings =
        json!({ "upstream": clerk.address, "max_in_flight": 1, "queue": 20, "queue_timeout": "10m" });
    let put = admin(&balancer, "PUT", "/v1/pools/extra", &settings).await;
    assert_eq!(put.status, 200, "{}", put.body);
    ready(&balancer, "extra", 1).await;
    let routes = json!({ "routes": [{ "pool": "extra" }] });
    assert_eq!(admin(&balancer, "PUT", "/v1/routes", &routes).await.status, 200);
    let served = ask(&balancer, ME, "/first", None);
    clerk.has_seen(1).await;
    let waits = [ask(&balancer, ANNA, "/a1", None), ask(&balancer, BERT, "/b1", None)];
    until("both wait", async || {
        let shown = admin(&balancer, "GET", "/v1/pools/extra", &Value::Null).await.json();
        shown["queue"]["length"] == 2
    })
    .await;
    assert_eq!(admin(&balancer, "PUT", "/v1/routes", &json!({ "routes": [] })).await.status, 200);
    let at = balancer.admin;
    let removal =
        tokio::spawn(async move { Client::connect(at).await.call("DELETE", "/v1/pools/extra", "").await });
    for wait in waits {
        let told = wait.await.expect("no panic");
        assert_eq!((told.status, told.header("retry-after")), (503, Some("1")));
        assert!(told.body.contains("No server replica is ready"), "{}", told.body);
    }
    clerk.answer(1);
    assert_eq!(served.await.expect("no panic").status, 200, "what is in flight goes on");
    assert_eq!(removal.await.expect("no panic").status, 204);
    assert_eq!(clerk.seen(), ["/first"]);
}

#[tokio::test]
async fn a_crowd_is_served_whole_and_replicas_never_have_more_than_they_may() {
    let (one, two, deployment) = (Clerk::start().await, Clerk::start().await, Deployment::of_upstreams());
    let settings = ["--max-in-flight", "3", "--queue", "100", "--policy", "least-requests"];
    let balancer = before(&deployment, &[&one, &two], &settings).await;
    [&one, &two].iter().for_each(|clerk| clerk.answer(10_000));
    let clients = (0..40u8).map(|client| {
        let address: SocketAddr = balancer.traffic;
        tokio::spawn(async move {
            let mut client = Client::connect_from([127, 0, 1, client + 1], address).await;
            for _ in 0..50 {
                let answer = client.call("GET", "/", "").await;
                assert_eq!(answer.status, 200, "{}", answer.body);
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.expect("each is answered");
    }
    assert!([&one, &two].iter().all(|clerk| clerk.counts.most_busy.load(SeqCst) <= 3));
    assert_eq!(one.seen().len() + two.seen().len(), 40 * 50);
    let there = line(&balancer).await;
    assert_eq!((&there["length"], &there["timeouts"], &there["refused"]), (&json!(0), &json!(0), &json!(0)));
}

#[tokio::test]
async fn a_line_needs_a_limit_and_is_shown_only_where_there_is_one() {
    let (clerk, deployment) = (Clerk::start().await, Deployment::of_upstreams());
    let refused = deployment.serve_in_vain(&["--upstream", &clerk.address, "--queue", "5"]);
    let said = crate::support::stderr(&refused);
    assert!(
        !refused.status.success() && said.contains("--queue") && said.contains("--max-in-flight"),
        "{said}"
    );
    let balancer = before(&deployment, &[&clerk], &["--max-in-flight", "1"]).await;
    assert!(balancer.pool().await.get("queue").is_none());
}
