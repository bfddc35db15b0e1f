//! Replicas that are found by name: hosts of several addresses, and services, which change while requests come.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use crate::{
    fixed::{ADD, QUICK, RM, Upstream, answered_by, call, has},
    pools::{File, ready},
    support::{
        Balancer, Client, Deployment, Load,
        dns::{NameServer, Record},
        stderr, until,
    },
};

/// A balancer of these that asks this name server; they may not be ready yet.
async fn launch(deployment: &Deployment, server: &NameServer, upstreams: &[&str]) -> Balancer {
    let resolver = server.address.to_string();
    let upstreams = upstreams.iter().flat_map(|upstream| ["--upstream", upstream]);
    let arguments: Vec<&str> = upstreams.chain(QUICK).chain(["--resolver", &resolver]).collect();
    deployment.launch(&arguments).await
}

async fn until_ready(balancer: &Balancer, names: &[&str]) {
    until("just these are ready", async || {
        let rows = balancer.rows().await;
        rows.iter().map(|row| row.name.as_str()).eq(names.iter().copied())
            && rows.iter().all(|row| row.state == "ready")
    })
    .await;
}

fn ip(upstream: &Upstream) -> String {
    upstream.address.ip().to_string()
}

#[tokio::test]
async fn each_address_of_a_host_is_a_replica_and_who_stays_keeps_its_keys() {
    let [one, two, three] = Upstream::together(["one", "two", "three"]).await;
    let (server, deployment) = (NameServer::start().await, Deployment::of_upstreams());
    let say = |upstreams: &[&Upstream]| {
        let ips: Vec<String> = upstreams.iter().map(|upstream| ip(upstream)).collect();
        server.host("shop.test", 1, &ips.iter().map(String::as_str).collect::<Vec<_>>());
    };
    say(&[&one, &two]);
    let host = format!("shop.test:{}", one.address.port());
    let (second, third) = (format!("{host}-2"), format!("{host}-3"));
    let balancer = launch(&deployment, &server, &[&host]).await;
    until_ready(&balancer, &[&host, &second]).await;
    assert_eq!(balancer.row(&second).await.address, Some(two.address));
    let before = answered_by(&balancer, 60).await;
    assert!(has(&before, "one") && has(&before, "two"));

    let load = Load::start(balancer.traffic, 4, Duration::from_millis(2));
    say(&[&three, &two, &one]);
    let begun = Instant::now();
    until_ready(&balancer, &[&host, &second, &third]).await;
    assert!(begun.elapsed() < Duration::from_secs(4), "its TTL is a second: {:?}", begun.elapsed());
    let among_three = answered_by(&balancer, 60).await;
    assert!(has(&among_three, "three"));
    let moved = before.iter().zip(&among_three).filter(|(was, is)| was != is);
    assert!(moved.into_iter().all(|(_, is)| is == "three"), "a new one only takes keys");

    say(&[&three, &one]);
    until_ready(&balancer, &[&host, &third]).await;
    assert!(!has(&answered_by(&balancer, 60).await, "two"));
    say(&[&one, &two, &three]);
    until("it has its place again", async || {
        balancer.seats().await.contains(&(second.clone(), 2)) && has(&answered_by(&balancer, 60).await, "two")
    })
    .await;
    assert_eq!(answered_by(&balancer, 60).await, among_three, "and its keys");
    let tally = load.stop();
    assert_eq!(tally.failed(), 0, "{tally}");
}

#[tokio::test]
async fn a_name_server_that_is_away_changes_nothing_not_even_at_the_next_start() {
    let [one, two] = Upstream::together(["one", "two"]).await;
    let (server, deployment) = (NameServer::start().await, Deployment::of_upstreams());
    server.host("shop.test", 1, &[&ip(&one), &ip(&two)]);
    let host = format!("shop.test:{}", one.address.port());
    let second = format!("{host}-2");
    let mut balancer = launch(&deployment, &server, &[&host]).await;
    until_ready(&balancer, &[&host, &second]).await;
    let (seats, keys) = (balancer.seats().await, answered_by(&balancer, 60).await);
    server.be_silent(true);
    until("the trouble is told", async || {
        balancer.pool().await["problem"].as_str().is_some_and(|problem| problem.contains("shop.test"))
    })
    .await;
    assert_eq!(answered_by(&balancer, 60).await, keys);
    balancer.kill();
    let balancer = launch(&deployment, &server, &[&host]).await;
    until_ready(&balancer, &[&host, &second]).await;
    assert_eq!((balancer.seats().await, answered_by(&balancer, 60).await), (seats, keys));
    server.host("shop.test", 1, &[&ip(&two)]);
    server.be_silent(false);
    until_ready(&balancer, &[&second]).await;
    assert!(balancer.pool().await["problem"].is_null(), "{:?}", balancer.pool().await);
}

#[tokio::test]
async fn services_and_hosts_are_added_and_removed_by_their_names() {
    let (one, [two, three]) = (Upstream::start("one").await, Upstream::together(["two", "three"]).await);
    let (server, deployment) = (NameServer::start().await, Deployment::of_upstreams());
    server.host("a.test", 1, &[&ip(&two)]);
    server.host("b.test", 1, &[&ip(&two), &ip(&three)]);
    let port = two.address.port();
    let provider = |weight, host: &str| Record::Provider(1, weight, port, host.to_owned());
    server.set("_http._tcp.shop.test", 1, &[provider(10, "a.test"), provider(10, "b.test")]);
    let balancer = launch(&deployment, &server, &[&one.name()]).await;
    until_ready(&balancer, &[&one.name()]).await;

    let added = call(&balancer, ADD, 1, &["_http._tcp.shop.test"]).await;
    assert_eq!(added.status, 200, "{}", added.body);
    let (a, b) = (format!("a.test:{port}"), format!("b.test:{port}"));
    assert_eq!(
        balancer.names().await,
        [one.name(), a.clone(), b.clone()],
        "all are ready when the answer comes"
    );
    let unknown = call(&balancer, ADD, 2, &["no-such-host.test:80", "10.1.2.3:80"]).await;
    assert_eq!(unknown.status, 500, "{}", unknown.body);
    assert!(
        unknown.body.contains("'no-such-host.test:80'") && unknown.body.contains("none was added"),
        "{}",
        unknown.body
    );
    let nobody = call(&balancer, ADD, 1, &["_http._tcp.nobody.test"]).await;
    assert_eq!(nobody.status, 500, "those that are there are not its own: {}", nobody.body);
    assert!(
        nobody.body.contains("'_http._tcp.nobody.test'") && nobody.body.contains("none was added"),
        "{}",
        nobody.body
    );
    assert_eq!(balancer.names().await, [one.name(), a.clone(), b.clone()]);
    let part = call(&balancer, RM, 1, &[&a]).await;
    assert_eq!(part.status, 400);
    assert!(part.body.contains("it is found by '_http._tcp.shop.test'"), "{}", part.body);
    let path = format!("/v1/pools/default/replicas/{b}/drain");
    let drained = Client::connect(balancer.admin).await.call("POST", &path, "").await;
    assert_eq!(drained.status, 200, "{}", drained.body);
    assert!(!has(&answered_by(&balancer, 60).await, "three"));
    let removed = call(&balancer, RM, 1, &["_http._tcp.shop.test"]).await;
    assert_eq!((removed.status, balancer.names().await), (200, vec![one.name()]), "{}", removed.body);
    assert!(answered_by(&balancer, 60).await.iter().all(|word| word == "one"));
    tokio::time::sleep(Duration::from_millis(1500)).await; // its TTL
    assert_eq!(balancer.names().await, [one.name()]);
}

/// Each start set the weights of a service back and followed them anew: keys moved twice, and what operators had said was
/// lost.
#[tokio::test]
async fn the_weights_of_a_service_survive_a_restart_and_so_do_those_of_operators() {
    let [one, two] = Upstream::together(["one", "two"]).await;
    let (server, deployment) = (NameServer::start().await, Deployment::of_upstreams());
    server.host("a.test", 1, &[&ip(&one)]);
    server.host("b.test", 1, &[&ip(&two)]);
    let (service, port) = ("_http._tcp.shop.test", one.address.port());
    let provider = |weight, host: &str| Record::Provider(1, weight, port, host.to_owned());
    server.set(service, 1, &[provider(10, "a.test"), provider(20, "b.test")]);
    let (a, b) = (format!("a.test:{port}"), format!("b.test:{port}"));
    let weights = async |balancer: &Balancer| {
        let pool = balancer.pool().await;
        [0, 1].map(|row: usize| pool["replicas"][row]["weight"].as_u64())
    };
    let mut balancer = launch(&deployment, &server, &[service]).await;
    until_ready(&balancer, &[&a, &b]).await;
    assert_eq!(weights(&balancer).await, [Some(1), Some(2)]);
    let path = format!("/v1/pools/default/replicas/{b}/weight");
    let weighed = Client::connect(balancer.admin).await.call("PUT", &path, r#"{"weight":7}"#).await;
    assert_eq!(weighed.status, 200, "{}", weighed.body);
    balancer.kill();
    let balancer = launch(&deployment, &server, &[service]).await;
    until_ready(&balancer, &[&a, &b]).await;
    assert_eq!(weights(&balancer).await, [Some(1), Some(7)]);
    tokio::time::sleep(Duration::from_millis(1500)).await; // its TTL
    assert_eq!(weights(&balancer).await, [Some(1), Some(7)]);
}

/// Until both were looked up again, the first of two services had whom the second had found: to remove that one removed
/// nobody.
#[tokio::test]
async fn who_a_service_found_leaves_with_it_at_a_start_without_a_name_server_too() {
    let [one, two] = Upstream::together(["one", "two"]).await;
    let (server, deployment) = (NameServer::start().await, Deployment::of_upstreams());
    server.host("a.test", 1, &[&ip(&one)]);
    server.host("b.test", 1, &[&ip(&two)]);
    let (port, [first, second]) = (one.address.port(), ["_http._tcp.first.test", "_http._tcp.second.test"]);
    let provider = |host: &str| Record::Provider(1, 1, port, host.to_owned());
    server.set(first, 1, &[provider("a.test")]);
    server.set(second, 1, &[provider("b.test")]);
    let (a, b) = (format!("a.test:{port}"), format!("b.test:{port}"));
    let mut balancer = launch(&deployment, &server, &[first, second]).await;
    until_ready(&balancer, &[&a, &b]).await;
    server.be_silent(true);
    balancer.kill();
    let balancer = launch(&deployment, &server, &[first, second]).await;
    until_ready(&balancer, &[&a, &b]).await;
    let removed = call(&balancer, RM, 1, &[second]).await;
    assert_eq!((removed.status, balancer.names().await), (200, vec![a]), "{}", removed.body);
}

/// `localhost` has an address of each family, and a server listens on one of them.
#[tokio::test]
async fn a_host_with_addresses_of_both_families_is_one_replica() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let host = format!("localhost:{}", listener.local_addr().expect("bound").port());
    let deployment = Deployment::of_upstreams();
    let arguments: Vec<&str> = ["--upstream", &host].into_iter().chain(QUICK).collect();
    let balancer = deployment.launch(&arguments).await;
    until_ready(&balancer, &[&host]).await;
    assert_eq!(balancer.row(&host).await.address, listener.local_addr().ok());
}

#[tokio::test]
async fn a_variable_of_the_environment_may_have_the_upstreams() {
    let (one, two) = (Upstream::start("one").await, Upstream::start("two").await);
    let deployment = Deployment::of_upstreams();
    let arguments: Vec<&str> = ["--upstreams-env", "RESIZE_SERVICE_HOSTS"].into_iter().chain(QUICK).collect();
    let mut command = deployment.command("serve", &arguments);
    let empty = command.env("RESIZE_SERVICE_HOSTS", "").output().expect("it runs");
    assert!(!empty.status.success());
    assert!(stderr(&empty).contains("RESIZE_SERVICE_HOSTS: it is empty"), "{}", stderr(&empty));
    let hosts = [("RESIZE_SERVICE_HOSTS", format!("{},{}", one.name(), two.name()))];
    let balancer = deployment.launch_in(&hosts, &arguments).await;
    until_ready(&balancer, &[&one.name(), &two.name()]).await;
    let words = answered_by(&balancer, 60).await;
    assert!(has(&words, "one") && has(&words, "two"));
}

/// It was to be told where replicas are that it leaves alone.
#[tokio::test]
async fn down_needs_no_variable_that_has_upstreams() {
    let (one, two) = (Upstream::start("one").await, Upstream::start("two").await);
    let deployment = Deployment::of_upstreams();
    let file = File::of(&deployment, "[pools.web]\nupstreams_env = \"WEB_HOSTS\"\n");
    let own = ["--upstreams-env", "OWN_HOSTS", "--config", file.path()];
    let arguments: Vec<&str> = own.into_iter().chain(QUICK).collect();
    let hosts = [("OWN_HOSTS", one.name()), ("WEB_HOSTS", two.name())];
    let mut balancer = deployment.launch_in(&hosts, &arguments).await;
    until_ready(&balancer, &[&one.name()]).await;
    ready(&balancer, "web", 1).await;
    balancer.kill();
    let vain = deployment.serve_in_vain(&arguments);
    assert_eq!(vain.status.code(), Some(1));
    assert!(stderr(&vain).contains("OWN_HOSTS: the environment has no such variable"), "{}", stderr(&vain));
    let down = deployment.command("down", &arguments).output().expect("it runs");
    assert!(down.status.success(), "{}", stderr(&down));
    assert!(!deployment.state.join("state.json").exists() && !deployment.state.join("pools").exists());
    let again = deployment.command("down", &arguments).output().expect("it runs");
    assert!(again.status.success(), "there is nothing, which is no error: {}", stderr(&again));
}
