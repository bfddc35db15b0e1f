//! Containers keep the contract of an engine. Needs `RINGKEEPER_TEST_DOCKER=1` and the image of the sample replica in
//! `RINGKEEPER_TEST_IMAGE`, as `make test` sets them where a Docker engine answers.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::{
    net::SocketAddr,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use contract::{Harness, contract, find, one};
use futures_util::future::{BoxFuture, FutureExt, ready};
use ringkeeper::{
    engine::{
        Engine, EngineError, Instance, Launch,
        docker::{Config, DockerEngine, Given, Limits, Pulling, connect},
    },
    fleet::HttpProbe,
};

mod contract;

contract!(run);

const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// A deployment of its own and one beside it; what they have on the engine goes when this is dropped.
struct Containers {
    deployment: String,
    engine: Arc<DockerEngine>,
    neighbour: Arc<DockerEngine>,
}

fn run(fact: &str, check: impl AsyncFnOnce(&dyn Harness)) {
    with_docker(fact, async |containers| check(containers).await);
}

/// Does this with a deployment of its own, where the tests are to use Docker.
fn with_docker(fact: &str, check: impl AsyncFnOnce(&Containers)) {
    if std::env::var("RINGKEEPER_TEST_DOCKER").as_deref() != Ok("1") {
        eprintln!(
            "*** SKIPPED: {fact}: RINGKEEPER_TEST_DOCKER is not 1, so nothing is said about Docker ***"
        );
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { check(&Containers::new().await).await });
}

impl Containers {
    async fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let deployment = format!("contract-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let neighbour = format!("{deployment}-neighbour");
        let (engine, neighbour) = (engine(&deployment, &image()).await, engine(&neighbour, &image()).await);
        Containers { deployment, engine, neighbour }
    }
}

impl Drop for Containers {
    fn drop(&mut self) {
        for deployment in [self.deployment.clone(), format!("{}-neighbour", self.deployment)] {
            for label in ["ringkeeper.deployment", "contract.of"] {
                remove_all(&format!("label={label}={deployment}"));
            }
            let _not_made = try_docker(&["network", "rm", &deployment]);
        }
    }
}

/// Removes what has this label, until nothing has: what was half made when a test failed cannot be removed at once.
fn remove_all(label: &str) {
    for _ in 0..20 {
        let found = try_docker(&["ps", "-aq", "--filter", label]).unwrap_or_default();
        let ids: Vec<&str> = found.split_whitespace().collect();
        if ids.is_empty() {
            return;
        }
        let _best_effort = try_docker(&[&["rm", "-f", "-v"], &ids[..]].concat());
    }
}

async fn engine(deployment: &str, image: &str) -> Arc<DockerEngine> {
    let config = Config {
        deployment: deployment.parse().unwrap(),
        image: image.to_owned(),
        port: Some(5000),
        pulling: Pulling::default(),
        given: Given::default(),
        limits: Limits {
            drop_capabilities: true,
            no_new_privileges: true,
            read_only: true,
            pids: Some(64),
            memory: Some(64 << 20),
            cpus: Some(0.5),
        },
        stop_timeout: STOP_TIMEOUT,
        concurrency: 10,
        needs_healthcheck: false,
    };
    Arc::new(DockerEngine::new(connect().await.unwrap(), config))
}

fn image() -> String {
    std::env::var("RINGKEEPER_TEST_IMAGE").expect("RINGKEEPER_TEST_IMAGE names the sample replica's image")
}

fn docker(arguments: &[&str]) -> String {
    try_docker(arguments).unwrap_or_else(|said| panic!("docker {arguments:?}: {said}"))
}

fn try_docker(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("docker").args(arguments).output().map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

impl Containers {
    fn launch(&self, number: u16) -> Launch {
        <dyn Harness>::launch(self, number)
    }

    /// The container of this instance.
    fn container(&self, instance: &ringkeeper::name::InstanceId) -> String {
        let deployment = format!("label=ringkeeper.deployment={}", self.deployment);
        docker(&[
            "ps",
            "-aq",
            "--filter",
            &deployment,
            "--filter",
            &format!("label=ringkeeper.instance={instance}"),
        ])
    }

    /// What `docker inspect` says of it.
    fn inspect(&self, launch: &Launch) -> serde_json::Value {
        let inspected = docker(&["inspect", "--format", "{{json .}}", &self.container(&launch.instance)]);
        serde_json::from_str(&inspected).unwrap()
    }

    /// How many networks have the deployment's name.
    fn networks(&self) -> usize {
        let named = format!("name=^{}$", self.deployment);
        docker(&["network", "ls", "-q", "--filter", &named]).lines().count()
    }
}

impl Harness for Containers {
    fn word(&self) -> &str {
        &self.deployment
    }

    fn engine(&self) -> Arc<dyn Engine> {
        self.engine.clone()
    }

    fn neighbour(&self) -> Arc<dyn Engine> {
        self.neighbour.clone()
    }

    fn shares_names(&self) -> bool {
        true
    }

    fn stop_timeout(&self) -> Duration {
        STOP_TIMEOUT
    }

    fn kill<'a>(&'a self, instance: &'a Instance) -> BoxFuture<'a, ()> {
        docker(&["kill", &self.container(&instance.id)]);
        ready(()).boxed()
    }

    fn freeze<'a>(&'a self, instance: &'a Instance) -> BoxFuture<'a, ()> {
        docker(&["kill", "-s", "STOP", &self.container(&instance.id)]);
        ready(()).boxed()
    }

    fn answers(&self, address: SocketAddr) -> BoxFuture<'_, bool> {
        async move { HttpProbe::new("/heartbeat").asks(address, Duration::from_secs(1)).await == Some(true) }
            .boxed()
    }

    fn create_only<'a>(&'a self, launch: &'a Launch) -> BoxFuture<'a, bool> {
        let labels = [
            ("deployment", self.deployment.clone()),
            ("owner", launch.owner.to_string()),
            ("pool", launch.pool.to_string()),
            ("name", launch.name.to_string()),
            ("number", launch.number.to_string()),
            ("instance", launch.instance.to_string()),
        ];
        let labels: Vec<String> =
            labels.iter().map(|(key, value)| format!("--label=ringkeeper.{key}={value}")).collect();
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        let (name, image) = (launch.name.as_str(), image());
        docker(
            &[&["create", "--name", name, "--network", &self.deployment], &labels[..], &[&image]].concat(),
        );
        ready(true).boxed()
    }
}

#[test]
fn many_starts_make_one_network_and_clearing_removes_it() {
    with_docker("one network", async |containers| {
        let launches: Vec<_> = (1..=5).map(|number| containers.launch(number)).collect();
        assert_eq!(containers.networks(), 0);
        let started =
            futures_util::future::join_all(launches.iter().map(|launch| containers.engine.start(launch)));
        started.await.into_iter().for_each(|started| started.unwrap());
        assert_eq!(containers.networks(), 1);
        for launch in &launches {
            containers.engine.stop(&launch.instance, ringkeeper::engine::Stop::Kill).await.unwrap();
        }
        containers.engine.clear().await.unwrap();
        assert_eq!(containers.networks(), 0);
    });
}

#[test]
fn a_network_that_another_made_is_used_and_not_removed() {
    with_docker("another's network", async |containers| {
        docker(&["network", "create", &containers.deployment]);
        let launch = containers.launch(1);
        containers.engine.start(&launch).await.unwrap();
        containers.engine.stop(&launch.instance, ringkeeper::engine::Stop::Kill).await.unwrap();
        containers.engine.clear().await.unwrap();
        assert_eq!(containers.networks(), 1);
    });
}

#[test]
fn a_name_that_something_foreign_has_is_an_error_that_names_it_and_touches_nothing() {
    with_docker("foreign", async |containers| {
        let (launch, image) = (containers.launch(1), image());
        let label = format!("--label=contract.of={}", containers.deployment);
        let foreign =
            docker(&["run", "-d", "--network=none", &label, "--name", launch.name.as_str(), &image]);
        let refused = containers.engine.start(&launch).await.unwrap_err();
        let EngineError::NameTaken { name, holder } = refused else { panic!("{refused}") };
        assert_eq!(name, launch.name);
        assert!(holder.contains(&foreign[..12]), "{holder}");
        let format = "{{.Name}} {{.State.Running}} {{.RestartCount}}";
        assert_eq!(docker(&["inspect", "--format", format, &foreign]), format!("/{name} true 0"));
        assert!(find(&*containers.engine, &launch).await.is_none());
    });
}

#[test]
fn where_a_neighbour_has_the_name_hostname_and_alias_are_still_the_name() {
    with_docker("neighbour's name", async |containers| {
        let (theirs, ours) = (containers.launch(1), containers.launch(1));
        containers.neighbour.start(&theirs).await.unwrap();
        containers.engine.start(&ours).await.unwrap();
        let inspected = containers.inspect(&ours);
        assert_eq!(inspected["Name"], format!("/{}--{}", ours.name, ours.instance));
        assert_eq!(inspected["Config"]["Hostname"], ours.name.as_str());
        let aliases = &inspected["NetworkSettings"]["Networks"][&containers.deployment]["Aliases"];
        assert!(aliases.as_array().unwrap().iter().any(|alias| alias == ours.name.as_str()), "{aliases}");
        assert!(!one(&*containers.engine, &ours).await.holds_name);
    });
}

#[test]
fn a_missing_image_is_an_error_that_names_it() {
    with_docker("missing image", async |containers| {
        let engine = engine(&containers.deployment, "no-such-image-here:at-all").await;
        let refused = engine.start(&containers.launch(1)).await.unwrap_err();
        assert!(
            matches!(&refused, EngineError::ImageMissing { image, .. } if image == "no-such-image-here:at-all"),
            "{refused}"
        );
    });
}

#[test]
fn a_replica_has_the_least_rights_and_the_limits_that_were_configured() {
    with_docker("least rights", async |containers| {
        let launch = containers.launch(1);
        containers.engine.start(&launch).await.unwrap();
        let inspected = containers.inspect(&launch);
        let host = &inspected["HostConfig"];
        assert_eq!(host["CapDrop"], serde_json::json!(["ALL"]));
        assert_eq!(host["SecurityOpt"], serde_json::json!(["no-new-privileges"]));
        assert_eq!((&host["ReadonlyRootfs"], &host["Privileged"]), (&true.into(), &false.into()));
        assert!(host["Tmpfs"]["/tmp"].as_str().is_some_and(|options| options.contains("noexec")), "{host}");
        assert_eq!((&host["PidsLimit"], &host["Memory"]), (&64.into(), &(64 << 20).into()));
        assert_eq!(host["NanoCpus"], 500_000_000);
        let status = std::fs::read_to_string(format!("/proc/{}/status", inspected["State"]["Pid"]));
        if let Ok(status) = status {
            // the engine shares this machine: then the kernel itself is asked
            let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
            let (effective, bounding) = (field("CapEff:"), field("CapBnd:"));
            assert_eq!((effective, bounding), (Some("0000000000000000"), Some("0000000000000000")));
            assert_eq!(field("NoNewPrivs:"), Some("1"));
        }
    });
}
