//! What the suites share: real balancers in deployments of their own, and clients of them.

#![allow(dead_code, reason = "each suite uses a part of it")]

use std::{
    path::PathBuf,
    process::{Command, Output},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

pub mod balancer;
pub mod client;
pub mod dns;
pub mod docker;
pub mod load;
pub mod process;
pub mod raw;

pub use balancer::Balancer;
pub use client::{Answer, Client};
pub use load::Load;

/// The program under test.
pub const RINGKEEPER: &str = env!("CARGO_BIN_EXE_ringkeeper");

/// The deadline of whatever a test waits for, unless the time is what it tests.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(5);

/// A deployment of one test: a name and a directory of its own. Whatever there is of it goes when this is dropped.
pub struct Deployment {
    pub name: String,
    pub state: PathBuf,
    engine: &'static str,
    /// The Docker engine, where it is not the machine's.
    docker_host: Option<String>,
}

impl Deployment {
    /// One whose replicas are processes.
    pub fn of_processes() -> Self {
        let server = PathBuf::from(RINGKEEPER).with_file_name("ringkeeper-server");
        assert!(server.exists(), "the sample replica is not built: cargo test --workspace builds it");
        Deployment::new("process")
    }

    /// One whose replicas are run by the test.
    pub fn of_upstreams() -> Self {
        Deployment::new("fixed")
    }

    /// One whose replicas are containers that the test starts.
    pub fn of_labels() -> Self {
        Deployment::new("labels")
    }

    /// One whose replicas are containers.
    pub fn of_containers() -> Self {
        Deployment::new("docker")
    }

    /// One whose replicas are containers of a test's own engine, with which they go.
    pub fn of_containers_on(docker_host: String) -> Self {
        let mut deployment = Deployment::new("docker");
        deployment.docker_host = Some(docker_host);
        deployment
    }

    fn new(engine: &'static str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").subsec_nanos();
        let name = format!("rktest-{}-{}-{nanos:x}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let state = std::env::temp_dir().join(&name);
        Deployment { name, state, engine, docker_host: None }
    }

    /// `ringkeeper SUBCOMMAND ARGUMENTS…`, with the settings of this deployment where the arguments have none, and
    /// none of the environment's.
    pub fn command(&self, subcommand: &str, arguments: &[&str]) -> Command {
        let state = self.state.to_str().expect("text");
        let mut settings = vec![
            ("--engine", self.engine.to_owned()),
            ("--deployment", self.name.clone()),
            ("--listen", "127.0.0.1:0".to_owned()),
            ("--admin-listen", "127.0.0.1:0".to_owned()),
            ("--state-dir", state.to_owned()),
        ];
        if self.engine == "docker" {
            settings.push(("--image", docker::image()));
        }
        let mut command = ringkeeper();
        command.arg(subcommand).args(arguments);
        if let Some(host) = &self.docker_host {
            command.env("DOCKER_HOST", host);
        }
        for (flag, value) in settings.iter().filter(|(flag, _)| !arguments.contains(flag)) {
            command.args([flag, &value.as_str()]);
        }
        command
    }

    /// Runs `ringkeeper serve` that is expected not to get far.
    pub fn serve_in_vain(&self, arguments: &[&str]) -> Output {
        self.command("serve", arguments).output().expect("the balancer starts")
    }

    /// A balancer that listens; its replicas may not be ready yet.
    pub async fn launch(&self, arguments: &[&str]) -> Balancer {
        Balancer::launch(self.command("serve", arguments)).await
    }

    /// The same with these variables in its environment.
    pub async fn launch_in(&self, environment: &[(&str, String)], arguments: &[&str]) -> Balancer {
        let mut command = self.command("serve", arguments);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        Balancer::launch(command).await
    }

    /// A balancer whose replicas are ready.
    pub async fn start(&self, arguments: &[&str]) -> Balancer {
        let balancer = self.launch(arguments).await;
        balancer.all_ready().await;
        balancer
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        if ["docker", "labels"].contains(&self.engine) && self.docker_host.is_none() {
            docker::remove_all_of(&self.name);
        }
        let _may_never_have_been = std::fs::remove_dir_all(&self.state);
    }
}

/// `ringkeeper` without settings from the environment.
pub fn ringkeeper() -> Command {
    let mut command = Command::new(RINGKEEPER);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("RINGKEEPER_") {
            command.env_remove(name);
        }
    }
    command.current_dir(std::env::temp_dir()); // where there is no ringkeeper.toml
    command
}

/// The first `Some` that `look` returns; fails where none comes within `patience`.
pub async fn within<T>(patience: Duration, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {patience:?}: {what}");
        tokio::time::sleep(LOOK).await;
    }
}

/// Waits until `holds`; fails where it does not in time.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    within(PATIENCE, what, async || holds().await.then_some(())).await;
}

/// What a program said on stderr.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Where `ringkeeper ring` says that these ids go, of three servers.
pub fn predicted(ids: &[u64], spec: &[&str]) -> Vec<Vec<u64>> {
    let ids: Vec<String> = ids.iter().map(u64::to_string).collect();
    let mut command = ringkeeper();
    command.args(["ring", "--servers", "3", "--json", "--route", &ids.join(",")]).args(spec);
    let output = command.output().expect("ringkeeper ring runs");
    assert!(output.status.success(), "{}", stderr(&output));
    let ring: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let routes = ring["routes"].as_array().expect("routes").iter();
    let numbers = |order: &serde_json::Value| {
        let order = order.as_array().expect("an order").iter();
        order.map(|number| number.as_u64().expect("a number")).collect()
    };
    routes.map(|route| numbers(&route["order"])).collect()
}
