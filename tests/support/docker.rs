//! The Docker engine as its command line shows it.

use std::process::{Command, Output};

/// The image of the replicas.
pub fn image() -> String {
    std::env::var("RINGKEEPER_TEST_IMAGE").expect("RINGKEEPER_TEST_IMAGE is the image of the sample replica")
}

/// What `docker ARGUMENTS…` prints, trimmed; fails where it fails.
pub fn docker(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "docker {arguments:?}: {}", super::stderr(&output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Ids of the containers, in any state, that have all these labels.
pub fn containers(labels: &[String]) -> Vec<String> {
    let filters: Vec<String> = labels.iter().map(|label| format!("--filter=label={label}")).collect();
    let mut arguments = vec!["ps", "--all", "--quiet", "--no-trunc"];
    arguments.extend(filters.iter().map(String::as_str));
    docker(&arguments).lines().map(str::to_owned).collect()
}

/// Removes the containers and the network of a test's deployment.
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
}

fn run(arguments: &[&str]) -> Output {
    Command::new("docker").args(arguments).output().expect("there is a docker command")
}
