//! Replicas that come and go while others have their names.

use std::net::{IpAddr, SocketAddr};

use serde_json::Value;

use crate::{
    beside_others,
    support::{
        Deployment,
        docker::{container_of, containers, docker, image},
        predicted, until,
    },
};

#[tokio::test]
async fn a_name_that_a_foreign_container_has_is_an_error_and_that_container_is_left_alone() {
    let Some(_turn) = beside_others().await else { return };
    let deployment = Deployment::of_containers();
    let balancer = deployment.start(&["--replicas", "1"]).await;
    let (rep, before) = (balancer.rep().await, containers(&deployment.name));
    let name = format!("{}-foreign", deployment.name);
    let label = format!("ringkeeper.test={}", deployment.name);
    let foreign = docker(&["create", "--name", &name, "--label", &label, &image()]);
    let shown = || docker(&["inspect", "--format", "{{.Id}} {{.Name}} {{.State.Status}}", &foreign]);
    let as_made = shown();

    let answer = balancer.call("POST", "/add", &format!(r#"{{"n":3,"hostnames":["S4","{name}"]}}"#)).await;
    assert_eq!(answer.status, 500);
    let message = answer.json()["message"].to_string();
    assert!(
        message.contains(&name) && message.contains("taken") && message.contains(&foreign[..12]),
        "{message}"
    );
    assert_eq!(balancer.rep().await, rep);
    until("the other two are gone again", async || destroyed(&deployment.name) == 2).await;
    assert_eq!(containers(&deployment.name), before);
    assert_eq!(shown(), as_made);
}

/// How many containers of the deployment there were that are gone.
fn destroyed(deployment: &str) -> usize {
    let label = format!("--filter=label=ringkeeper.deployment={deployment}");
    docker(&["events", "--since=10m", "--until=0s", "--filter=event=destroy", &label]).lines().count()
}

#[tokio::test]
async fn a_missing_image_is_an_error_that_says_what_to_do() {
    let Some(_turn) = beside_others().await else { return };
    let deployment = Deployment::of_containers();
    let image = "ringkeeper-is-not-there:none";
    let balancer = deployment.start(&["--replicas", "0", "--image", image]).await;
    let answer = balancer.call("POST", "/add", r#"{"n":2}"#).await;
    assert_eq!(answer.status, 500);
    let message = answer.json()["message"].to_string();
    for says in [image, "docker pull", "--image"] {
        assert!(message.contains(says), "{says}: {message}");
    }
    assert_eq!(balancer.rep().await, r#"{"message":{"N":0,"replicas":[]},"status":"successful"}"#);
    assert_eq!(containers(&deployment.name), []);
}

/// Whether this machine has an established connection to the address.
fn is_connected_to(address: SocketAddr) -> bool {
    let IpAddr::V4(ip) = address.ip() else { panic!("an address of version 6") };
    let remote = format!("{:08X}:{:04X}", u32::from_le_bytes(ip.octets()), address.port());
    let connections = std::fs::read_to_string("/proc/net/tcp").expect("connections");
    let mut connections = connections.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    connections.any(|fields| fields[2] == remote && fields[3] == "01")
}

/// The old instance is paused, so a request in flight keeps it; the new one has its name meanwhile.
#[tokio::test]
async fn a_name_is_free_while_its_older_instance_still_leaves() {
    let Some(_turn) = beside_others().await else { return };
    let deployment = Deployment::of_containers();
    let balancer = deployment.start(&["--heartbeat-interval", "1h"]).await;
    let old = balancer.row("Server-2").await;
    let container = container_of(&deployment.name, &old.instance);
    let id = (100_000..).find(|id| predicted(&[*id], &[])[0][0] == 2).unwrap();
    let path = format!("/home?request_id={id}");
    docker(&["pause", &container.id]);
    let mut client = balancer.client().await;
    let held = path.clone();
    let in_flight = tokio::spawn(async move { client.call("GET", &held, "").await });
    until("the request is at the old one", async || is_connected_to(old.address.unwrap())).await;

    let removed = balancer.call("DELETE", "/rm", r#"{"n":1,"hostnames":["Server-2"]}"#).await;
    assert_eq!(removed.status, 200);
    let added = balancer.call("POST", "/add", r#"{"n":1,"hostnames":["Server-2"]}"#).await;
    assert_eq!(added.status, 200, "{}", added.body);
    let new = balancer.row("Server-2").await;
    assert_eq!((new.number, new.state.as_str()), (2, "ready"));
    assert_ne!(new.instance, old.instance);
    assert_eq!(balancer.call("GET", &path, "").await.server(), 2);
    let leaving: Vec<_> = balancer.rows().await.into_iter().filter(|row| row.state == "leaving").collect();
    assert_eq!(leaving.iter().map(|row| &row.instance).collect::<Vec<_>>(), [&old.instance]);
    assert_eq!(
        container_of(&deployment.name, &old.instance).name,
        format!("{}--{}", "Server-2", old.instance)
    );

    docker(&["unpause", &container.id]);
    assert_eq!(in_flight.await.unwrap().server(), 2, "what was in flight is answered");
    until("the old one is gone", async || containers(&deployment.name).len() == 3).await;
}

#[tokio::test]
async fn a_replica_has_its_name_in_the_network_and_no_more_rights_than_it_needs() {
    let Some(_turn) = beside_others().await else { return };
    let deployment = Deployment::of_containers();
    let balancer = deployment.start(&["--replicas", "1"]).await;
    let row = balancer.row("Server-1").await;
    let container = container_of(&deployment.name, &row.instance).id;
    let shown: Value =
        serde_json::from_str(&docker(&["inspect", "--format", "{{json .}}", &container])).unwrap();
    let (config, host) = (&shown["Config"], &shown["HostConfig"]);
    let network = &shown["NetworkSettings"]["Networks"][&deployment.name];
    assert_eq!(config["Hostname"], "Server-1");
    assert!(network["Aliases"].as_array().unwrap().contains(&"Server-1".into()), "{network}");
    for (label, value) in [
        ("deployment", &*deployment.name),
        ("name", "Server-1"),
        ("number", "1"),
        ("pool", "default"),
        ("instance", &row.instance),
    ] {
        assert_eq!(config["Labels"][format!("ringkeeper.{label}")], value, "{label}");
    }
    assert!(config["Env"].as_array().unwrap().contains(&"SERVER_ID=1".into()));
    assert_eq!(host["CapDrop"], serde_json::json!(["ALL"]));
    assert_eq!(host["SecurityOpt"], serde_json::json!(["no-new-privileges"]));
    assert_eq!((&host["ReadonlyRootfs"], &host["Privileged"]), (&true.into(), &false.into()));
    assert!(host["Tmpfs"]["/tmp"].is_string());
    for limit in ["PidsLimit", "Memory", "NanoCpus"] {
        assert!(host[limit].as_i64().unwrap() > 0, "{limit}");
    }
}
