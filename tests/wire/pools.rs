//! Many pools in one balancer: routes to them, and how they come, change and go.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{
    h2::peer,
    origin,
    support::{Answer, Balancer, Client, Deployment, PATIENCE, raw::Raw, until, within},
};

/// A file of settings, which goes when this is dropped.
pub struct File(PathBuf);

impl File {
    pub fn of(deployment: &Deployment, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("{}.toml", deployment.name));
        std::fs::write(&path, text).expect("a new file");
        File(path)
    }

    pub fn path(&self) -> &str {
        self.0.to_str().expect("text")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _best_effort = std::fs::remove_file(&self.0);
    }
}

/// The settings of a pool whose replicas are processes that show what reaches them, in TOML.
fn pool(name: &str, settings: &str) -> String {
    format!("[pools.{name}]\nengine = \"process\"\ncommand = \"\"\"{}\"\"\"\n{settings}\n", origin::command())
}

pub async fn admin(balancer: &Balancer, method: &str, path: &str, body: &Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    Client::connect(balancer.admin).await.call(method, path, &body).await
}

pub async fn ready(balancer: &Balancer, pool: &str, count: usize) {
    until("the pool is ready", async || {
        let shown = admin(balancer, "GET", &format!("/v1/pools/{pool}"), &Value::Null).await;
        let rows = if shown.status == 200 { shown.json()["replicas"].as_array().cloned() } else { None };
        rows.is_some_and(|rows| rows.len() == count && rows.iter().all(|row| row["state"] == "ready"))
    })
    .await;
}

/// Where the listener is that is configured at this address with port 0.
async fn listener(balancer: &Balancer, ip: &str) -> SocketAddr {
    let words = format!("listening for routes address={ip}:");
    within(PATIENCE, "the listener is there", async || {
        let port =
            balancer.log().iter().rev().find_map(|line| Some(line.split_once(&words)?.1.trim().to_owned()));
        port.map(|port| format!("{ip}:{port}").parse().expect("an address"))
    })
    .await
}

/// What a replica that shows it has seen of a request.
async fn seen(at: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Value {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer =
        Client::connect(at).await.send(request.body(Full::<Bytes>::default()).expect("a request")).await;
    assert_eq!(answer.status, 200, "{path} {headers:?}: {}", answer.body);
    answer.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_file_makes_pools_with_routes_by_listener_host_path_header_and_method() {
    let deployment = Deployment::of_processes();
    let file = [
        pool("one", "replicas = 2"),
        pool(
            "two",
            "replicas = 1\npolicy = \"round-robin\"\nstats_path = \"/stats\"\nhealth_path = \"/health\"",
        ),
        "[[routes]]\npool = \"one\"\nlisten = \"127.0.0.2:0\"".into(),
        "[[routes]]\npool = \"two\"\nlisten = \"127.0.0.3:0\"".into(),
        "[[routes]]\npool = \"one\"\nhost = \"one.example.org\"".into(),
        "[[routes]]\npool = \"two\"\npath = \"/two\"\nstrip_prefix = true\nadd_prefix = \"/seen\"".into(),
        "[[routes]]\npool = \"two\"\nheader = [\"x-pool:two\"]\nmethod = \"GET\"".into(),
    ]
    .join("\n");
    let file = File::of(&deployment, &file);
    let balancer = deployment.launch(&["--config", file.path()]).await;
    ready(&balancer, "one", 2).await;
    ready(&balancer, "two", 1).await;
    let (one, two) = (listener(&balancer, "127.0.0.2").await, listener(&balancer, "127.0.0.3").await);

    let requests = |name: &'static str| {
        let balancer = &balancer;
        async move {
            let shown = admin(balancer, "GET", &format!("/v1/pools/{name}"), &Value::Null).await.json();
            let rows = shown["replicas"].as_array().unwrap().clone();
            rows.iter().map(|row| row["requests"].as_u64().unwrap()).sum::<u64>()
        }
    };
    seen(one, "/seen", &[]).await;
    seen(balancer.traffic, "/seen", &[("host", "ONE.example.org:80")]).await;
    assert_eq!((requests("one").await, requests("two").await), (2, 0));
    seen(two, "/seen", &[]).await;
    let stripped = seen(balancer.traffic, "/two?a=%2f", &[]).await;
    assert_eq!(stripped["uri"], "/seen?a=%2f");
    seen(balancer.traffic, "/seen", &[("x-pool", "two")]).await;
    assert_eq!((requests("one").await, requests("two").await), (2, 3));

    let nobody = balancer.call("GET", "/seen", "").await;
    assert_eq!(nobody.status, 503, "the default pool has no replicas");
    assert!(balancer.names().await.is_empty());
    let stats = Client::connect(two).await.call("GET", "/stats", "").await.json();
    assert_eq!(
        stats,
        json!({ "instances": ["Server-1"], "stats": { "Server-1": { "requests": 3, "errors": 0 } } })
    );
    let health = Client::connect(two).await.call("GET", "/health", "").await;
    assert_eq!((health.status, &health.json()["status"]), (200, &json!("healthy")));
    let rep = Client::connect(two).await.call("GET", "/rep", "").await;
    assert_eq!(rep.body, "", "control paths are at the main listener, so it went to a replica");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_route_takes_is_told_so_where_the_default_pool_has_no_replicas() {
    let deployment = Deployment::of_processes();
    let balancer = deployment.start(&["--replicas", "0"]).await;
    let refused = async |path: &str| {
        let answer = balancer.call("GET", path, "").await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{path}");
        answer.json()["message"].as_str().expect("a text").to_owned()
    };
    let nobody = "<Error> No server replica is ready, try again in a second";
    assert_eq!(refused("/home").await, nobody, "there are no routes");
    let routes = json!({ "routes": [{ "pool": "default", "path": "/by-route" }] });
    assert_eq!(admin(&balancer, "PUT", "/v1/routes", &routes).await.status, 200);
    let astray = "<Error> No route takes this request, and the default pool has no replicas";
    assert_eq!(refused("/home").await, format!("{astray}, try again in a second"));
    assert_eq!(refused("/by-route").await, nobody);
    assert_eq!(balancer.call("POST", "/add", r#"{"n":1}"#).await.status, 200);
    assert_eq!(balancer.call("GET", "/home", "").await.status, 200);
    assert_eq!(balancer.call("DELETE", "/rm", r#"{"n":1}"#).await.status, 200);
    assert!(refused("/home").await.starts_with(astray));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_comes_changes_and_goes_by_the_api_and_outlives_the_balancer() {
    let deployment = Deployment::of_processes();
    let mut balancer = deployment.start(&["--replicas", "1"]).await;
    let settings = json!({ "engine": "process", "replicas": 2, "policy": "round-robin" });
    let put = admin(&balancer, "PUT", "/v1/pools/extra", &settings).await;
    assert_eq!(put.status, 200, "{}", put.body);
    ready(&balancer, "extra", 2).await;
    let routes = json!({ "routes": [{ "pool": "extra", "path": "/extra", "strip_prefix": true }] });
    assert_eq!(admin(&balancer, "PUT", "/v1/routes", &routes).await.json(), routes);
    assert!((1..=2).contains(&balancer.call("GET", "/extra/home", "").await.server()));

    let mut fewer = settings.clone();
    fewer["replicas"] = json!(1);
    fewer["policy"] = json!("least-requests");
    let changed = admin(&balancer, "PUT", "/v1/pools/extra", &fewer).await.json();
    assert_eq!(changed["policy"], "least-requests");
    ready(&balancer, "extra", 1).await;
    let added =
        admin(&balancer, "POST", "/v1/pools/extra/add", &json!({ "n": 1, "hostnames": ["Server-1x"] })).await;
    assert_eq!(added.status, 200, "{}", added.body);

    balancer.kill();
    let balancer = deployment.start(&["--replicas", "1"]).await;
    ready(&balancer, "extra", 2).await;
    assert!((1..=2).contains(&balancer.call("GET", "/extra/home", "").await.server()));
    let refused = admin(&balancer, "DELETE", "/v1/pools/extra", &Value::Null).await;
    assert_eq!(refused.status, 409, "routes lead to it: {}", refused.body);
    assert_eq!(admin(&balancer, "PUT", "/v1/routes", &json!({ "routes": [] })).await.status, 200);
    let removed = delete(&balancer, "extra").await;
    assert_eq!(removed.status, 204, "{}", removed.body);
    assert_eq!(admin(&balancer, "GET", "/v1/pools/extra", &Value::Null).await.status, 404);
    let pools = admin(&balancer, "GET", "/v1/pools", &Value::Null).await.json();
    assert_eq!(pools["pools"].as_array().unwrap().len(), 1);
    assert!(!deployment.state.join("pools.json").exists(), "nothing is left of it");
    assert!(!deployment.state.join("pools/extra").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_pool_cannot_change_while_it_is_there_is_a_conflict() {
    let deployment = Deployment::of_processes();
    let balancer = deployment.start(&["--replicas", "1"]).await;
    let settings = json!({ "upstream": balancer.traffic.to_string(), "resolver": "127.0.0.1:53" });
    let put = |name: &'static str, value: &'static str| {
        let (balancer, mut settings) = (&balancer, settings.clone());
        settings[name] = json!(value);
        async move { admin(balancer, "PUT", "/v1/pools/extra", &settings).await }
    };
    for (name, value, status) in [
        ("resolver", "127.0.0.1:53", 200),
        ("rise", "2", 200),
        ("resolver", "127.0.0.2:53", 409),
        ("engine", "process", 400), // it has upstreams
        ("engine", "fixed", 200),
    ] {
        let answer = put(name, value).await;
        assert_eq!(answer.status, status, "{name} {value}: {}", answer.body);
        assert!(status != 409 || answer.body.contains("remove the pool first"), "{}", answer.body);
    }
    let other = admin(&balancer, "PUT", "/v1/pools/extra", &json!({ "engine": "process" })).await;
    assert!(other.status == 409 && other.body.contains("belong to the fixed engine"), "{}", other.body);
}

async fn delete(balancer: &Balancer, pool: &str) -> Answer {
    admin(balancer, "DELETE", &format!("/v1/pools/{pool}"), &Value::Null).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_pool_or_a_route_is_told_and_nothing_changes() {
    let deployment = Deployment::of_processes();
    let balancer = deployment.start(&["--replicas", "1"]).await;
    for (path, body, status, told) in [
        (
            "/v1/pools/extra",
            json!({ "polcy": "ring" }),
            400,
            "there is no setting 'polcy'; did you mean 'policy'?",
        ),
        ("/v1/pools/extra", json!({ "policy": "fair" }), 400, "'fair' is not a policy"),
        ("/v1/pools/extra", json!({ "rise": 0 }), 400, "rise = 0"),
        ("/v1/pools/extra", json!({ "listen": "127.0.0.1:1" }), 400, "there is no setting 'listen'"),
        ("/v1/pools/extra", json!({ "policy": null }), 400, "object of settings"),
        ("/v1/pools/extra", json!(["policy"]), 400, "object of settings"),
        (
            "/v1/pools/extra",
            json!({ "command": "true" }),
            403,
            "'command' is a setting that calls may give only",
        ),
        (
            "/v1/pools/extra",
            json!({ "engine": "process", "env": { "LD_PRELOAD": "/tmp/evil.so" } }),
            403,
            "'env' is a setting that calls may give only",
        ),
        ("/v1/pools/Extra", json!({}), 400, "'Extra' is no name of a pool"),
        ("/v1/pools/default", json!({}), 400, "the default pool's settings"),
        ("/v1/routes", json!({ "routes": [{ "pool": "nobody" }] }), 400, "there is no pool 'nobody'"),
        ("/v1/routes", json!({ "routes": [{ "path": "x" }] }), 400, "a path begins with '/'"),
        (
            "/v1/routes",
            json!({ "routes": [{ "listen": balancer.admin.to_string() }] }),
            409,
            "cannot listen on",
        ),
        ("/v1/routes", json!([]), 400, "the payload is"),
    ] {
        let refused = admin(&balancer, "PUT", path, &body).await;
        assert_eq!(refused.status, status, "{body}: {}", refused.body);
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(told), "{body}: {detail}");
    }
    assert_eq!(delete(&balancer, "extra").await.status, 404);
    assert_eq!(delete(&balancer, "default").await.status, 409);
    let pools = admin(&balancer, "GET", "/v1/pools", &Value::Null).await.json();
    assert_eq!(pools["pools"].as_array().unwrap().len(), 1);
    assert_eq!(admin(&balancer, "GET", "/v1/routes", &Value::Null).await.json(), json!({ "routes": [] }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_the_file_has_no_more_is_taken_down_and_others_stay() {
    let deployment = Deployment::of_processes();
    let file = File::of(&deployment, &[pool("one", "replicas = 1"), pool("two", "replicas = 1")].join("\n"));
    let mut balancer = deployment.launch(&["--config", file.path()]).await;
    ready(&balancer, "one", 1).await;
    ready(&balancer, "two", 1).await;
    balancer.kill();
    std::fs::write(&file.0, pool("two", "replicas = 2")).unwrap();
    let balancer = deployment.launch(&["--config", file.path()]).await;
    ready(&balancer, "two", 2).await;
    until("the other is gone", async || !deployment.state.join("pools/one").exists()).await;
    assert_eq!(admin(&balancer, "GET", "/v1/pools/one", &Value::Null).await.status, 404);
}

/// What comes over a connection of a listener that is gone would go by the routes of all, and to the default pool.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_does_not_outlive_its_listener() {
    const GET: &str = "GET /home HTTP/1.1\r\nHost: a\r\n";
    let deployment = Deployment::of_processes();
    let balancer = deployment.start(&["--replicas", "1"]).await;
    let settings = json!({ "engine": "process", "replicas": 1 });
    assert_eq!(admin(&balancer, "PUT", "/v1/pools/extra", &settings).await.status, 200);
    ready(&balancer, "extra", 1).await;
    let routes = json!({ "routes": [{ "pool": "extra", "listen": "127.0.0.2:0" }] });
    assert_eq!(admin(&balancer, "PUT", "/v1/routes", &routes).await.status, 200);
    let at = listener(&balancer, "127.0.0.2").await;
    let (mut idle, mut begun) = (Raw::connect(at).await, Raw::connect(at).await);
    for connection in [&mut idle, &mut begun] {
        connection.write(&format!("{GET}\r\n")).await;
        assert!(connection.read_to("successful\"}").await.starts_with("HTTP/1.1 200 "));
    }
    let mut streams = peer::Client::connect(at).await;
    assert_eq!(streams.call(peer::get("/home")).await.expect("an answer").status, 200);
    begun.write(GET).await;
    let mut stays = balancer.client().await;
    assert_eq!(stays.call("GET", "/home", "").await.status, 200);

    assert_eq!(admin(&balancer, "PUT", "/v1/routes", &json!({ "routes": [] })).await.status, 200);
    begun.write("\r\n").await;
    let refused = begun.read_to_end().await;
    assert!(refused.starts_with("HTTP/1.1 421 Misdirected Request\r\n"), "{refused}");
    assert_eq!(idle.read_to_end().await, "");
    let ended = tokio::time::timeout(PATIENCE, &mut streams.driver).await.expect("it is closed");
    assert!(ended.expect("no panic").is_ok());
    until("nobody listens", async || Client::open(at).await.is_err()).await;
    assert_eq!(stays.call("GET", "/home", "").await.status, 200, "others go on");
}

/// Clients that ask for this path again and again, and what they got.
fn clients(
    at: SocketAddr,
    path: &'static str,
    stop: &Arc<AtomicBool>,
) -> Vec<JoinHandle<BTreeMap<u16, usize>>> {
    let one = |_| {
        let stop = stop.clone();
        tokio::spawn(async move {
            let (mut client, mut statuses) = (Client::connect(at).await, BTreeMap::new());
            while !stop.load(SeqCst) {
                let answer = client.call("GET", path, "").await;
                *statuses.entry(answer.status).or_default() += 1;
            }
            statuses
        })
    };
    (0..8).map(one).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_fails_while_pools_and_routes_come_change_and_go() {
    let deployment = Deployment::of_processes();
    let balancer = deployment.start(&["--replicas", "2"]).await;
    let stop = Arc::<AtomicBool>::default();
    let clients = clients(balancer.traffic, "/home", &stop);
    for round in 0..3 {
        let mut settings = json!({ "engine": "process", "replicas": 2 });
        assert_eq!(admin(&balancer, "PUT", "/v1/pools/extra", &settings).await.status, 200);
        ready(&balancer, "extra", 2).await;
        let routes = json!({ "routes": [{ "pool": "extra", "path": "/home" }] });
        assert_eq!(admin(&balancer, "PUT", "/v1/routes", &routes).await.status, 200);
        for policy in ["round-robin", "least-requests", "bounded-ring"] {
            settings["policy"] = json!(policy);
            settings["key"] = json!("random");
            settings["max_in_flight"] = json!(100 + round);
            let put = admin(&balancer, "PUT", "/v1/pools/extra", &settings).await;
            assert_eq!(put.status, 200, "{}", put.body);
        }
        let shown = admin(&balancer, "GET", "/v1/pools/extra", &Value::Null).await.json();
        let requests = |row: &Value| row["requests"].as_u64().unwrap();
        until("the pool is asked", async || {
            let shown = admin(&balancer, "GET", "/v1/pools/extra", &Value::Null).await.json();
            shown["replicas"].as_array().unwrap().iter().all(|row| requests(row) > 0)
        })
        .await;
        assert_eq!(shown["policy"], "bounded-ring");
        assert_eq!(admin(&balancer, "PUT", "/v1/routes", &json!({ "routes": [] })).await.status, 200);
        assert_eq!(delete(&balancer, "extra").await.status, 204);
    }
    stop.store(true, SeqCst);
    let mut all = BTreeMap::new();
    for client in clients {
        for (status, count) in client.await.expect("a client") {
            *all.entry(status).or_insert(0) += count;
        }
    }
    assert_eq!(all.keys().collect::<Vec<_>>(), [&200], "{all:?}");
}
