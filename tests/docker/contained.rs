//! The balancer's own image, with nothing but the engine's socket and its group.

use std::{net::SocketAddr, process::Command};

use serde_json::Value;

use crate::{
    alone,
    support::{
        Client, Deployment, PATIENCE,
        docker::{containers, docker, image, socket},
        within,
    },
};

/// A balancer in a container, started as compose would. It goes with its deployment.
struct Contained {
    id: String,
}

impl Contained {
    fn start(deployment: &Deployment) -> Self {
        docker(&["network", "create", &deployment.name]);
        let mut arguments = vec!["run", "--detach", "--publish=127.0.0.1::5000", "--publish=127.0.0.1::5001"];
        let settings = settings(deployment);
        arguments.extend(settings.iter().map(String::as_str));
        let image = balancer_image();
        arguments.push(&image);
        Contained { id: docker(&arguments) }
    }

    fn published(&self, port: &str) -> SocketAddr {
        docker(&["port", &self.id, port])
            .lines()
            .next()
            .expect("it is published")
            .parse()
            .expect("an address")
    }

    /// The replicas' rows once each is ready.
    async fn ready(&self) -> Vec<(String, u64, String)> {
        within(PATIENCE, "every replica is ready", async || {
            let status = self.says(&["status", "--json"])?;
            let pool: Value = serde_json::from_str(&status).expect("JSON");
            let rows = pool["replicas"].as_array().expect("rows");
            let text = |value: &Value| value.as_str().expect("text").to_owned();
            let row = |row: &Value| {
                (text(&row["name"]), row["number"].as_u64().expect("a number"), text(&row["instance"]))
            };
            rows.iter().all(|row| row["state"] == "ready").then(|| rows.iter().map(row).collect())
        })
        .await
    }

    /// What the program in the container prints; none where it fails.
    fn says(&self, arguments: &[&str]) -> Option<String> {
        let output = Command::new("docker").args(["exec", &self.id, "/ringkeeper"]).args(arguments).output();
        let output = output.expect("there is a docker command");
        output.status.success().then(|| String::from_utf8(output.stdout).expect("text"))
    }
}

impl Drop for Contained {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log =
                Command::new("docker").args(["logs", &self.id]).output().expect("there is a docker command");
            eprintln!("--- the balancer's log:\n{}---", String::from_utf8_lossy(&log.stderr));
        }
    }
}

fn balancer_image() -> String {
    std::env::var("RINGKEEPER_TEST_BALANCER").expect("RINGKEEPER_TEST_BALANCER is the balancer's image")
}

/// What the balancer and a `down` in its place share.
fn settings(deployment: &Deployment) -> Vec<String> {
    let name = &deployment.name;
    let mount = format!("--volume={}:/var/run/docker.sock", socket());
    let group = docker(&["run", "--rm", "--network=none", &mount, &balancer_image(), "socket-group"]);
    vec![
        format!("--label=ringkeeper.test={name}"),
        format!("--network={name}"),
        mount,
        format!("--group-add={group}"),
        format!("--volume={name}-state:/var/lib/ringkeeper"),
        format!("--env=RINGKEEPER_DEPLOYMENT={name}"),
        format!("--env=RINGKEEPER_IMAGE={}", image()),
        "--env=RINGKEEPER_ENGINE=docker".into(),
        "--cap-drop=ALL".into(),
        "--security-opt=no-new-privileges".into(),
        "--read-only".into(),
        "--tmpfs=/tmp".into(),
        "--pids-limit=256".into(),
        "--memory=512m".into(),
    ]
}

#[tokio::test]
async fn the_balancers_image_keeps_replicas_and_finds_them_again() {
    let Some(_turn) = alone().await else { return };
    let deployment = Deployment::of_containers();
    let balancer = Contained::start(&deployment);
    let before = balancer.ready().await;
    let traffic = balancer.published("5000");
    let mut client = Client::connect(traffic).await;
    assert_eq!(
        client.call("GET", "/rep", "").await.body,
        r#"{"message":{"N":3,"replicas":["Server-1","Server-2","Server-3"]},"status":"successful"}"#
    );
    assert!((1..=3).contains(&client.call("GET", "/home", "").await.server()));
    assert_eq!(client.call("POST", "/add", r#"{"n":1,"hostnames":["S4"]}"#).await.status, 200);

    docker(&["kill", &balancer.id]);
    let there = containers(&deployment.name);
    assert_eq!(there.len(), 4);
    let lost = there.iter().find(|container| container.instance == before[1].2).unwrap();
    docker(&["rm", "--force", &lost.id]);
    docker(&["start", &balancer.id]);
    let after = balancer.ready().await;
    let seats: Vec<_> = after.iter().map(|(name, number, _)| (name.as_str(), *number)).collect();
    assert_eq!(seats, [("Server-1", 1), ("Server-2", 2), ("Server-3", 3), ("S4", 4)]);
    assert!(after[0] == before[0] && after[1] != before[1] && after[2] == before[2]);
    assert_eq!(containers(&deployment.name).len(), 4);

    docker(&["stop", &balancer.id]);
    let (settings, image) = (settings(&deployment), balancer_image());
    let mut down = vec!["run", "--rm"];
    down.extend(settings.iter().map(String::as_str));
    docker(&[&down[..], &[&image, "down"]].concat());
    assert_eq!(containers(&deployment.name), []);
}
