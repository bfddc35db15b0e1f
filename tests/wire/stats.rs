//! What the balancer counts of its requests, and how it tells.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use http::Request;
use serde_json::Value;

use crate::{
    retry::{path_of, start, trouble},
    support::{
        Answer, Balancer, Client, Deployment, Load,
        process::{children, kill, variable},
        until,
    },
    trouble::Trouble,
};

fn number(of: &Value, field: &str) -> u64 {
    of[field].as_u64().unwrap_or_else(|| panic!("no number '{field}' in {of}"))
}

fn rows(pool: &Value) -> &[Value] {
    pool["replicas"].as_array().expect("rows")
}

/// The pool as it is when nothing is in flight: a client may have its answer a moment before the balancer is done with it.
async fn quiet(balancer: &Balancer) -> Value {
    until("nothing is in flight", async || number(&balancer.pool().await["totals"], "pending") == 0).await;
    balancer.pool().await
}

/// Fails where the requests of a reading do not come out even.
fn check(pool: &Value) {
    let even = |of: &Value| number(of, "dispatched") == number(of, "completed") + number(of, "pending");
    assert!(even(&pool["totals"]) && rows(pool).iter().all(even), "{pool}");
    for field in ["dispatched", "completed", "pending", "errors", "retries"] {
        let sum: u64 = rows(pool).iter().map(|row| number(row, field)).sum();
        assert!(sum <= number(&pool["totals"], field), "{field}: {pool}");
    }
}

async fn csv(balancer: &Balancer, path: &str) -> Answer {
    Client::connect(balancer.admin).await.call("GET", path, "").await
}

/// The lines of HAProxy's CSV as its readers have them: fields by their columns, without those that are empty.
async fn lines(balancer: &Balancer) -> Vec<BTreeMap<String, String>> {
    let text = csv(balancer, "/stats;csv").await.body;
    let mut lines = text.lines();
    let header = lines.next().and_then(|header| header.strip_prefix("# ")).expect("a header");
    let fields = |line: &str| {
        let named = header.split(',').map(str::to_owned).zip(line.split(',').map(str::to_owned));
        assert_eq!(header.matches(',').count(), line.matches(',').count(), "{line}");
        named.filter(|(_, value)| !value.is_empty()).collect()
    };
    lines.map(fields).collect()
}

#[tokio::test]
async fn requests_come_out_even_at_every_reading_while_replicas_are_killed() {
    let deployment = Deployment::of_processes();
    let balancer = deployment.start(&["--replicas", "3"]).await;
    let load = Load::start(balancer.traffic, 8, Duration::ZERO);
    let mut before: Option<Value> = None;
    let mut look = async || {
        let pool = balancer.pool().await;
        check(&pool);
        for field in ["dispatched", "completed", "errors", "unreached", "retries"] {
            let was = before.as_ref().map_or(0, |before| number(&before["totals"], field));
            assert!(number(&pool["totals"], field) >= was, "{field} fell from {was}: {pool}");
        }
        before.insert(pool).clone()
    };
    for _ in 0..3 {
        let row = balancer.row("Server-2").await;
        let port = row.address.expect("it runs").port().to_string();
        let pids = children(balancer.pid()).into_iter().map(|child| child.pid);
        let its = pids.into_iter().find(|pid| variable(*pid, "PORT").as_ref() == Some(&port));
        assert!(kill(its.expect("a process")));
        until("it is replaced, and gets requests", async || {
            let pool = look().await;
            let mut new =
                rows(&pool).iter().filter(|new| new["name"] == "Server-2" && new["state"] == "ready");
            new.any(|new| new["instance"] != *row.instance && number(new, "dispatched") > 0)
        })
        .await;
    }
    let tally = load.stop();
    let pool = quiet(&balancer).await;
    check(&pool);
    let totals = &pool["totals"];
    assert_eq!(
        number(totals, "dispatched") - number(totals, "retries"),
        tally.answered + tally.failed(),
        "{tally}"
    );
    assert!(number(totals, "errors") + number(totals, "unreached") > 0, "{pool}");
    let shown: u64 = rows(&pool).iter().map(|row| number(row, "dispatched")).sum();
    assert!(shown < number(totals, "dispatched"), "those of the killed ones count: {pool}");
}

/// An outer balancer that asks for `/health` has no token.
#[tokio::test]
async fn what_clients_are_told_is_open_where_rep_is_protected() {
    let deployment = Deployment::of_processes();
    let open = ["--health-path", "/health", "--stats-path", "/stats"];
    let closed = ["--protect-rep", "--admin-token", "a-token-of-thirty-two-characters"];
    let balancer = deployment.launch(&[&open[..], &closed].concat()).await;
    until("somebody serves", async || balancer.call("GET", "/health", "").await.status == 200).await;
    for (method, path, status) in
        [("GET", "/stats", 200), ("HEAD", "/health", 200), ("POST", "/health", 405), ("GET", "/rep", 401)]
    {
        assert_eq!(balancer.call(method, path, "").await.status, status, "{method} {path}");
    }
}

#[tokio::test]
async fn latencies_are_those_of_the_replica_and_of_the_pool() {
    const DELAY: Duration = Duration::from_millis(80);
    let deployment = Deployment::of_processes();
    let balancer = start(&deployment, "2", &["--eject-after", "0"]).await;
    assert_eq!(balancer.pool().await["totals"]["latency"], Value::Null);
    let paths = [path_of(&balancer, 1).await, path_of(&balancer, 2).await];
    trouble(&balancer, 1, Trouble::Delay(DELAY)).await;
    let (mut client, mut slowest) = (balancer.client().await, Duration::ZERO);
    for turn in 0..100 {
        let begun = Instant::now();
        // three of four go to the one that is slow
        assert_eq!(client.call("GET", &paths[usize::from(turn % 4 == 0)], "").await.status, 200);
        slowest = slowest.max(begun.elapsed());
    }
    let pool = quiet(&balancer).await;
    let ms = |of: &Value, quantile: &str| of["latency"][quantile].as_f64().expect("a number");
    let [delay, most] = [DELAY, slowest].map(|time| time.as_secs_f64() * 1e3);
    let most = most * 17.0 / 16.0;
    for quantile in ["p50_ms", "p90_ms", "p99_ms", "max_ms"] {
        let slow = ms(&rows(&pool)[0], quantile);
        assert!((delay..=most).contains(&slow), "{quantile} of {delay} to {most}: {pool}");
        assert!(ms(&rows(&pool)[1], "p50_ms") < delay, "{pool}");
        assert!((delay..=most).contains(&ms(&pool["totals"], quantile)), "{quantile}: {pool}");
    }
    let lines = lines(&balancer).await;
    let rtime: f64 = lines[0]["rtime"].parse().expect("a number");
    assert!(rtime > delay * 0.8 && rtime <= most, "{lines:?}");
}

#[tokio::test]
async fn each_kind_of_failure_is_counted_where_it_belongs() {
    let deployment = Deployment::of_processes();
    let balancer = start(&deployment, "3", &["--eject-after", "3", "--hold-response", "0s"]).await;
    let path = path_of(&balancer, 1).await;
    let sound = quiet(&balancer).await;
    trouble(&balancer, 1, Trouble::Status(500)).await;
    for method in ["POST", "GET"] {
        balancer.call(method, &path, "").await;
    }
    trouble(&balancer, 1, Trouble::Half(1000)).await;
    let request = Request::get(&path).body("".into()).expect("a request");
    assert!(balancer.client().await.attempt(request).await.is_err(), "its answer breaks off");
    // with its head it had begun to answer: those that count in a row begin again
    for _ in 0..2 {
        until("it answered a heartbeat", async || balancer.row("Server-1").await.state == "ready").await;
        trouble(&balancer, 1, Trouble::Break).await;
        assert_eq!(balancer.call("POST", &path, "").await.status, 502);
    }
    until("it is ejected", async || balancer.row("Server-1").await.state == "ejected").await;
    let pool = quiet(&balancer).await;
    for (field, count) in [
        ("errors", 5),
        ("truncated", 1),
        ("retries", 1),
        ("unreached", 0),
        ("ejections", 1),
        ("dispatched", 5),
    ] {
        let new = |of: &Value, sound: &Value| number(of, field) - number(sound, field);
        assert_eq!(new(&rows(&pool)[0], &rows(&sound)[0]), count, "{field}: {pool}");
        let all = if field == "dispatched" { count + 1 } else { count };
        assert_eq!(new(&pool["totals"], &sound["totals"]), all, "{field}: {pool}");
    }
    let lines = lines(&balancer).await;
    for (column, value) in
        [("status", "NOLB"), ("hrsp_5xx", "2"), ("eresp", "3"), ("wredis", "1"), ("econ", "0")]
    {
        assert_eq!(lines[0][column], value, "{column}: {lines:?}");
    }
}

#[tokio::test]
async fn what_reads_haproxy_reads_the_same_as_everybody_else() {
    let deployment = Deployment::of_processes();
    let balancer = deployment.start(&["--replicas", "2", "--policy", "round-robin"]).await;
    let mut client = balancer.client().await;
    for id in 0..20 {
        assert_eq!(client.call("GET", &format!("/home?request_id={id}"), "").await.status, 200);
    }
    let drained = "/v1/pools/default/replicas/Server-2/drain";
    assert_eq!(Client::connect(balancer.admin).await.call("POST", drained, "").await.status, 200);
    let pool = quiet(&balancer).await;
    let lines = lines(&balancer).await;
    assert_eq!(lines.len(), 3);
    for (line, of) in lines.iter().zip(rows(&pool).iter().chain([&pool["totals"]])) {
        for (column, field) in
            [("lbtot", "dispatched"), ("stot", "dispatched"), ("scur", "pending"), ("wredis", "retries")]
        {
            assert_eq!(line[column], number(of, field).to_string(), "{column}: {line:?}");
        }
        assert_eq!((&*line["pxname"], &*line["mode"], &*line["hrsp_5xx"]), ("default", "http", "0"));
        assert_eq!(line["hrsp_2xx"], line["stot"]);
    }
    let of = |column: &str| lines.iter().map(|line| line[column].clone()).collect::<Vec<_>>();
    assert_eq!(of("svname"), ["Server-1", "Server-2", "BACKEND"]);
    assert_eq!(of("type"), ["2", "2", "1"]);
    assert_eq!(of("status"), ["UP", "DRAIN", "UP"]);
    assert_eq!(of("stot"), ["10", "10", "20"]);
    for path in ["/stats;csv;norefresh", "/stats/;csv", "/stats/;csv;norefresh", "/;csv", "/;csv;norefresh"] {
        let answer = csv(&balancer, path).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/plain")), "{path}");
        assert!(answer.body.starts_with("# pxname,svname,"), "{path}: {}", answer.body);
    }
}
