//! Replicas as Docker containers, through the Engine API (1.41 and later, negotiated).

use std::{collections::HashMap, sync::Arc, time::Duration};

use bollard::{
    Docker,
    models::ContainerSummary,
    query_parameters::{
        ListContainersOptionsBuilder, RemoveContainerOptionsBuilder, StopContainerOptionsBuilder,
    },
};
use futures_util::{
    future::{BoxFuture, FutureExt},
    stream::{self, StreamExt},
};
use tokio::{
    sync::{Notify, Semaphore},
    time::{Instant, sleep},
};

use super::{ASK_TIMEOUT, Answer, Engine, EngineError, Instance, Kind, Launch, Logs, START_TIMEOUT, Stop};
use crate::name::{Deployment, InstanceId, Name};

mod advice;
mod answer;
mod connect;
mod container;
mod creation;
mod examine;
mod given;
mod healthcheck;
mod images;
mod labels;
mod logs;
mod network;
mod registry;
mod tls;
mod watch;

use answer::{gone_is_ok, is_missing, is_under_way, within};
pub use connect::{ConnectError, connect};
pub use container::Limits;
pub use examine::examine;
pub use given::{Given, Gpus, Tmpfs, Volume};
pub use healthcheck::{CheckError, check_image};
use images::Images;
pub use images::{Pull, Pulling};
pub use labels::{LabelsConfig, LabelsEngine, examine_labels};
pub use registry::Login;
use watch::{Subscription, Watch};

/// Between two looks at something that the engine is busy with.
const SETTLE: Duration = Duration::from_millis(20);
/// The pauses between further nudges after an event. The engine tells of a death before it tears the network down, and
/// its list shows the death after that: 0.2 s later, or more where it has much to do.
const ECHOES_MS: [u64; 11] = [5, 10, 20, 30, 40, 50, 60, 80, 100, 150, 200];

/// How replicas are run.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whose containers these are; the network has the same name.
    pub deployment: Deployment,
    /// The image of the replicas.
    pub image: String,
    /// The port on which they listen, where it is not the one that the image exposes.
    pub port: Option<u16>,
    /// How the image gets there.
    pub pulling: Pulling,
    /// What else they are given.
    pub given: Given,
    /// What they may do and use.
    pub limits: Limits,
    /// From the stop signal to SIGKILL.
    pub stop_timeout: Duration,
    /// Calls that change something, at a time.
    pub concurrency: usize,
    /// Whether the image's HEALTHCHECK is what says how a replica is.
    pub needs_healthcheck: bool,
}

/// The way to a Docker engine, which the pools of a deployment share.
#[derive(Clone, Debug)]
pub struct Client {
    docker: Docker,
    /// Held while the network is made: the engine itself would make several of one name.
    network: Arc<tokio::sync::Mutex<()>>,
}

/// A Docker engine at its local socket (or `DOCKER_HOST`).
pub struct DockerEngine {
    docker: Docker,
    config: Config,
    images: Images,
    operations: Semaphore,
    network: Arc<tokio::sync::Mutex<()>>,
    changed: Arc<Notify>,
    _watch: Watch,
}

impl Client {
    /// The client alone.
    pub fn docker(&self) -> Docker {
        self.docker.clone()
    }
}

impl From<Docker> for Client {
    fn from(docker: Docker) -> Self {
        Client { docker, network: Arc::default() }
    }
}

impl DockerEngine {
    /// Works through this client from now on, watching the engine's events in the background. Call in a runtime.
    pub fn new(client: impl Into<Client>, config: Config) -> Self {
        let Client { docker, network } = client.into();
        let changed = Arc::new(Notify::new());
        let told = changed.clone();
        let watch = Watch::begin(docker.clone(), events_of(&config.deployment), move |_| told.notify_one());
        let operations = Semaphore::new(config.concurrency);
        let images = Images::new(docker.clone(), config.image.clone(), config.pulling.clone());
        DockerEngine { docker, config, images, operations, network, changed, _watch: watch }
    }

    async fn containers(&self, label: String) -> Result<Vec<ContainerSummary>, EngineError> {
        let filters = HashMap::from([("label".to_owned(), vec![label])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        within(ASK_TIMEOUT, "list containers", self.docker.list_containers(Some(options))).await
    }

    /// The container of this instance, if there is one.
    async fn find(&self, instance: &InstanceId) -> Result<Option<ContainerSummary>, EngineError> {
        let found = self.containers(format!("{}={instance}", container::INSTANCE)).await?;
        Ok(found.into_iter().find(|c| container::is_of(c, &self.config.deployment)))
    }

    async fn list_all(&self) -> Result<Vec<Instance>, EngineError> {
        let label = format!("{}={}", container::DEPLOYMENT, self.config.deployment);
        let containers = self.containers(label).await?;
        let mut instances = Vec::with_capacity(containers.len());
        for summary in &containers {
            let Some(mut instance) = container::observe(summary, &self.config) else { continue };
            if let super::State::Exited { .. } = instance.state {
                instance.state = self.exit(summary).await?;
            }
            instances.push(instance);
        }
        Ok(instances)
    }

    /// How an ended container ended: its list row does not tell.
    async fn exit(&self, summary: &ContainerSummary) -> Result<super::State, EngineError> {
        let unknown = super::State::Exited { code: None, out_of_memory: false };
        let Some(id) = &summary.id else { return Ok(unknown) };
        let inspected = self.docker.inspect_container(id, None);
        match within(ASK_TIMEOUT, "inspect a container", inspected).await {
            Ok(response) => Ok(response.state.as_ref().map_or(unknown, container::exit)),
            Err(error) if error.is_outage() => Err(error),
            Err(_) => Ok(unknown), // removed meanwhile
        }
    }

    async fn start_one(&self, launch: &Launch) -> Result<(), EngineError> {
        self.images.refresh().await?;
        match self.start_with_image(launch).await {
            Err(EngineError::ImageMissing { .. }) => {
                self.images.fetch().await?; // which takes its time, and no permit
                self.start_with_image(launch).await
            }
            other => other,
        }
    }

    async fn start_with_image(&self, launch: &Launch) -> Result<(), EngineError> {
        let _permit = self.operations.acquire().await.expect("the semaphore is never closed");
        let deadline = Instant::now() + ASK_TIMEOUT;
        loop {
            let id = match self.find(&launch.instance).await? {
                Some(summary) if container::has_ended(&summary) => return Ok(()),
                Some(summary) => summary.id.unwrap_or_default(),
                None => self.create(launch).await?,
            };
            match self.run(&id, &launch.name).await {
                // listed, and not made yet by the call that was cut off
                Err(error) if is_missing(&error) && Instant::now() < deadline => sleep(SETTLE).await,
                Err(error) if !error.is_outage() => {
                    // what cannot run is made anew the next time, from the image and the settings of then
                    let _best_effort = self.remove(&id).await;
                    return Err(error);
                }
                other => return other,
            }
        }
    }

    /// Runs the container, on a network that is made if it is missing.
    async fn run(&self, id: &str, name: &Name) -> Result<(), EngineError> {
        let attempt = format!("start '{name}'");
        match within(START_TIMEOUT, &attempt, self.docker.start_container(id, None)).await {
            Err(EngineError::Refused { why, .. }) if container::is_missing_network(&why) => {
                self.create_network().await?;
                within(START_TIMEOUT, &attempt, self.docker.start_container(id, None)).await
            }
            other => other,
        }
    }

    async fn release_one(&self, instance: &InstanceId) -> Result<(), EngineError> {
        let Some(summary) = self.find(instance).await? else { return Ok(()) };
        let Some(seen) = container::observe(&summary, &self.config) else { return Ok(()) };
        if !seen.holds_name {
            return Ok(());
        }
        self.rename(summary.id.as_deref().unwrap_or_default(), &seen.goes_by(), instance.as_str()).await
    }

    async fn stop_one(&self, instance: &InstanceId, how: Stop) -> Result<(), EngineError> {
        if how == Stop::Gracefully {
            self.wind_down(instance).await?;
        }
        let _permit = self.operations.acquire().await.expect("the semaphore is never closed");
        if how == Stop::Kill {
            // First, since the engine renames nothing while it tears down: its successor would wait for that.
            self.release_one(instance).await?;
        }
        let deadline = Instant::now() + ASK_TIMEOUT;
        while let Some(id) = self.find(instance).await?.and_then(|summary| summary.id) {
            match self.remove(&id).await {
                // an earlier call that was cut off is still making or removing it
                Err(error) if (is_under_way(&error) || is_missing(&error)) && Instant::now() < deadline => {
                    sleep(SETTLE).await;
                }
                other => return other,
            }
        }
        Ok(())
    }

    /// Has the container end by its stop signal, or by SIGKILL when its time is over. The engine only waits
    /// meanwhile, so this is not one of its operations: what leaves slowly does not keep others from being healed.
    async fn wind_down(&self, instance: &InstanceId) -> Result<(), EngineError> {
        let Some(id) = self.find(instance).await?.and_then(|summary| summary.id) else { return Ok(()) };
        let seconds = self.config.stop_timeout.as_secs_f64().ceil() as i32;
        let options = StopContainerOptionsBuilder::default().t(seconds).build();
        let deadline = self.config.stop_timeout + ASK_TIMEOUT;
        gone_is_ok(within(deadline, "stop a container", self.docker.stop_container(&id, Some(options))).await)
    }

    async fn remove(&self, id: &str) -> Result<(), EngineError> {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        within(START_TIMEOUT, "remove a container", self.docker.remove_container(id, Some(options))).await
    }

    async fn logs_of(&self, instance: &InstanceId, tail: usize, follow: bool) -> Result<Logs, EngineError> {
        let Some(id) = self.find(instance).await?.and_then(|summary| summary.id) else {
            return Ok(stream::empty().boxed());
        };
        Ok(logs::written(&self.docker, &id, tail, follow))
    }
}

impl Engine for DockerEngine {
    fn kind(&self) -> Kind {
        Kind::Docker
    }

    fn list(&self) -> Answer<'_, Vec<Instance>> {
        self.list_all().boxed()
    }

    fn start<'a>(&'a self, launch: &'a Launch) -> Answer<'a> {
        self.start_one(launch).boxed()
    }

    fn release<'a>(&'a self, instance: &'a InstanceId) -> Answer<'a> {
        self.release_one(instance).boxed()
    }

    fn stop<'a>(&'a self, instance: &'a InstanceId, how: Stop) -> Answer<'a> {
        self.stop_one(instance, how).boxed()
    }

    fn logs<'a>(&'a self, instance: &'a InstanceId, tail: usize, follow: bool) -> Answer<'a, Logs> {
        self.logs_of(instance, tail, follow).boxed()
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        self.changed.notified().boxed()
    }

    fn clear(&self) -> Answer<'_> {
        self.clear_all().boxed()
    }
}

/// What happens to the containers of a deployment. What was missed is seen in the list.
fn events_of(deployment: &Deployment) -> Subscription {
    Subscription {
        events: &["start", "die", "pause", "unpause", "destroy", "health_status"],
        label: format!("{}={deployment}", container::DEPLOYMENT),
        tells_again: false,
        echoes_of_start: &[],
        echoes_of_event: &ECHOES_MS,
    }
}
