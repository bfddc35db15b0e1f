//! The Docker engine as its command line shows it.

use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

/// The image of the replicas.
pub fn image() -> String {
    std::env::var("RINGKEEPER_TEST_IMAGE").expect("RINGKEEPER_TEST_IMAGE is the image of the sample replica")
}

/// The socket on the engine's side.
pub fn socket() -> String {
    let named =
        std::env::var("DOCKER_HOST").ok().and_then(|host| host.strip_prefix("unix://").map(str::to_owned));
    named.unwrap_or_else(|| "/var/run/docker.sock".into())
}

/// What `docker ARGUMENTS…` prints, trimmed; fails where it fails.
pub fn docker(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "docker {arguments:?}: {}", super::stderr(&output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Builds an image of this name by these lines. Without what earlier builds left behind: another test may be about to
/// remove it.
pub fn build(name: &str, lines: &str) {
    let arguments = ["build", "--quiet", "--no-cache", "--force-rm", "--tag", name, "-"];
    let mut build = Command::new("docker");
    build.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut build = build.spawn().expect("there is a docker command");
    build.stdin.take().expect("piped").write_all(lines.as_bytes()).expect("it reads");
    assert!(build.wait().expect("a child").success(), "the image '{name}' is built");
}

/// A container of a deployment, as `docker ps` shows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Container {
    pub id: String,
    pub name: String,
    /// `running`, `paused`, `exited` …
    pub state: String,
    /// The label of that name.
    pub instance: String,
}

/// The containers of a deployment, in any state, in the order of their ids.
pub fn containers(deployment: &str) -> Vec<Container> {
    let filter = format!("--filter=label=ringkeeper.deployment={deployment}");
    let format = r#"{{.ID}} {{.Names}} {{.State}} {{.Label "ringkeeper.instance"}}"#;
    let shown = docker(&["ps", "--all", "--no-trunc", &filter, "--format", format]);
    let container = |line: &str| {
        let mut words = line.split(' ').map(str::to_owned);
        let mut word = || words.next().unwrap_or_default(); // what somebody else started has no instance
        Container { id: word(), name: word(), state: word(), instance: word() }
    };
    let mut containers: Vec<_> = shown.lines().map(container).collect();
    containers.sort();
    containers
}

/// The container that plays this instance.
pub fn container_of(deployment: &str, instance: &str) -> Container {
    let mut containers = containers(deployment).into_iter();
    containers
        .find(|container| container.instance == instance)
        .unwrap_or_else(|| panic!("no container of {instance}"))
}

/// Whether a network of exactly this name is there.
pub fn has_network(name: &str) -> bool {
    docker(&["network", "ls", "--format", "{{.Name}}"]).lines().any(|network| network == name)
}

/// Removes the containers, the network and the volume of a test's deployment.
pub fn remove_all_of(deployment: &str) {
    for label in ["ringkeeper.deployment", "ringkeeper.test"] {
        let filter = format!("--filter=label={label}={deployment}");
        let found = run(&["ps", "--all", "--quiet", &filter]);
        let found = String::from_utf8_lossy(&found.stdout).into_owned();
        let mut arguments = vec!["rm", "--force", "--volumes"];
        arguments.extend(found.lines());
        if found.lines().next().is_some() {
            run(&arguments);
        }
    }
    run(&["network", "rm", deployment]);
    run(&["volume", "rm", "--force", &format!("{deployment}-state")]);
}

fn run(arguments: &[&str]) -> Output {
    Command::new("docker").args(arguments).output().expect("there is a docker command")
}
