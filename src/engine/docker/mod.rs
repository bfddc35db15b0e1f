//! Replicas as Docker containers, through the Engine API (1.41 and later, negotiated).

use std::{collections::HashMap, sync::Arc, time::Duration};

use bollard::{
    Docker,
    errors::Error,
    models::ContainerSummary,
    query_parameters::{
        CreateContainerOptionsBuilder, ListContainersOptionsBuilder, RemoveContainerOptionsBuilder,
        RenameContainerOptions, StopContainerOptionsBuilder,
    },
};
use futures_util::future::{BoxFuture, FutureExt};
use tokio::{
    sync::{Notify, Semaphore},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use super::{ASK_TIMEOUT, Engine, EngineError, Instance, Kind, Launch, START_TIMEOUT, Stop};
use crate::name::{Deployment, InstanceId, Name};

mod advice;
mod answer;
mod connect;
mod container;
mod examine;
mod given;
mod images;
mod network;
mod registry;
mod tls;
mod watch;

use answer::{explain, gone_is_ok, is_missing, is_under_way, no_answer, refused, within};
pub use connect::{ConnectError, connect};
pub use container::Limits;
pub use examine::{Finding, examine};
pub use given::{Given, Gpus, Tmpfs, Volume};
use images::Images;
pub use images::{Pull, Pulling};
pub use registry::Login;

/// Between two looks at something that the engine is busy with.
const SETTLE: Duration = Duration::from_millis(20);

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
}

/// A Docker engine at its local socket (or `DOCKER_HOST`).
pub struct DockerEngine {
    docker: Docker,
    config: Config,
    images: Images,
    operations: Semaphore,
    /// Held while the network is made: the engine itself would make several of one name.
    network: tokio::sync::Mutex<()>,
    changed: Arc<Notify>,
    watch: JoinHandle<()>,
}

/// Who has a container's name.
enum Holder {
    /// Nobody any more.
    Gone,
    /// The launch's own container, which has this id.
    Launch(String),
    /// An earlier instance of this deployment.
    Older(String),
    /// A replica of another deployment.
    OtherDeployment,
    /// Something else: this.
    Foreign(String),
}

impl DockerEngine {
    /// Works through this client from now on, watching the engine's events in the background. Call in a runtime.
    pub fn new(docker: Docker, config: Config) -> Self {
        let changed = Arc::new(Notify::new());
        let watch = tokio::spawn(watch::watch(docker.clone(), config.deployment.clone(), changed.clone()));
        let operations = Semaphore::new(config.concurrency);
        let images = Images::new(docker.clone(), config.image.clone(), config.pulling.clone());
        let network = tokio::sync::Mutex::default();
        DockerEngine { docker, config, images, operations, network, changed, watch }
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
                    let _best_effort = self.end(&id, Stop::Kill).await;
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

    /// Creates the container: under its name where that is free or an older one of ours has it, as `NAME--ID` where
    /// another deployment's replica has it. Returns its id.
    async fn create(&self, launch: &Launch) -> Result<String, EngineError> {
        let mut name = launch.name.to_string();
        let port = match self.config.port {
            Some(port) => port,
            None => self.images.port().await?,
        };
        let body = container::body(launch, &self.config, port);
        let deadline = Instant::now() + ASK_TIMEOUT;
        while Instant::now() < deadline {
            let options = CreateContainerOptionsBuilder::default().name(&name).build();
            let created = self.docker.create_container(Some(options), body.clone());
            match timeout(START_TIMEOUT, created).await {
                Ok(Ok(created)) => return Ok(created.id),
                Ok(Err(Error::DockerResponseServerError { status_code: 409, .. })) => {
                    match self.holder(&name, launch).await? {
                        // the engine keeps a name from before it shows a container until after it has removed it
                        Holder::Gone => sleep(SETTLE).await,
                        Holder::Launch(id) => return Ok(id),
                        Holder::Older(instance) => self.rename(&name, &launch.name, &instance).await?,
                        Holder::OtherDeployment => name = format!("{}--{}", launch.name, launch.instance),
                        Holder::Foreign(holder) => {
                            return Err(EngineError::NameTaken { name: launch.name.clone(), holder });
                        }
                    }
                }
                Ok(Err(Error::DockerResponseServerError { status_code: 404, .. })) => {
                    return Err(self.images.missing(None));
                }
                Ok(Err(error)) => return Err(explain(&format!("create '{}'", launch.name), &error)),
                Err(_) => return Err(no_answer(START_TIMEOUT)),
            }
        }
        Err(refused(&format!("create '{}'", launch.name), "its name is taken again and again".into()))
    }

    /// Who has the name that this launch wants.
    async fn holder(&self, name: &str, launch: &Launch) -> Result<Holder, EngineError> {
        let inspected = match timeout(ASK_TIMEOUT, self.docker.inspect_container(name, None)).await {
            Ok(Ok(inspected)) => inspected,
            Ok(Err(Error::DockerResponseServerError { status_code: 404, .. })) => return Ok(Holder::Gone),
            Ok(Err(error)) => return Err(explain("inspect a container", &error)),
            Err(_) => return Err(no_answer(ASK_TIMEOUT)),
        };
        let id = inspected.id.unwrap_or_default();
        let config = inspected.config.unwrap_or_default();
        let labels = config.labels.unwrap_or_default();
        let label = |name: &str| labels.get(name).map(String::as_str);
        let short = id.get(..12).unwrap_or(&id);
        Ok(match (label(container::DEPLOYMENT), label(container::INSTANCE)) {
            (Some(deployment), Some(_)) if deployment != self.config.deployment.as_str() => {
                Holder::OtherDeployment
            }
            (Some(_), Some(_)) if label(container::OWNER) != Some(launch.owner.as_str()) => {
                Holder::Foreign(format!("the container {short} of another balancer"))
            }
            (Some(_), Some(instance)) if instance == launch.instance.as_str() => Holder::Launch(id),
            (Some(_), Some(instance)) => Holder::Older(instance.to_owned()),
            _ => {
                Holder::Foreign(format!("the container {short} (image {})", config.image.unwrap_or_default()))
            }
        })
    }

    /// Renames a container to `NAME--ID`. Ok if it is gone, or called that already.
    async fn rename(&self, container: &str, name: &Name, instance: &str) -> Result<(), EngineError> {
        let options = RenameContainerOptions { name: format!("{name}--{instance}") };
        gone_is_ok(
            within(ASK_TIMEOUT, "rename a container", self.docker.rename_container(container, options)).await,
        )
    }

    async fn release_one(&self, instance: &InstanceId) -> Result<(), EngineError> {
        let Some(summary) = self.find(instance).await? else { return Ok(()) };
        let Some(seen) = container::observe(&summary, &self.config) else { return Ok(()) };
        if !seen.holds_name {
            return Ok(());
        }
        self.rename(summary.id.as_deref().unwrap_or_default(), &seen.name, instance.as_str()).await
    }

    async fn stop_one(&self, instance: &InstanceId, how: Stop) -> Result<(), EngineError> {
        let _permit = self.operations.acquire().await.expect("the semaphore is never closed");
        if how == Stop::Kill {
            // First, since the engine renames nothing while it tears down: its successor would wait for that.
            self.release_one(instance).await?;
        }
        let deadline = Instant::now() + ASK_TIMEOUT;
        while let Some(id) = self.find(instance).await?.and_then(|summary| summary.id) {
            match self.end(&id, how).await {
                // an earlier call that was cut off is still making or removing it
                Err(error) if (is_under_way(&error) || is_missing(&error)) && Instant::now() < deadline => {
                    sleep(SETTLE).await;
                }
                other => return other,
            }
        }
        Ok(())
    }

    /// Ends the container and removes it.
    async fn end(&self, id: &str, how: Stop) -> Result<(), EngineError> {
        if how == Stop::Gracefully {
            let seconds = self.config.stop_timeout.as_secs_f64().ceil() as i32;
            let options = StopContainerOptionsBuilder::default().t(seconds).build();
            let deadline = self.config.stop_timeout + ASK_TIMEOUT;
            gone_is_ok(
                within(deadline, "stop a container", self.docker.stop_container(id, Some(options))).await,
            )?;
        }
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        within(START_TIMEOUT, "remove a container", self.docker.remove_container(id, Some(options))).await
    }
}

impl Drop for DockerEngine {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl Engine for DockerEngine {
    fn kind(&self) -> Kind {
        Kind::Docker
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Instance>, EngineError>> {
        self.list_all().boxed()
    }

    fn start<'a>(&'a self, launch: &'a Launch) -> BoxFuture<'a, Result<(), EngineError>> {
        self.start_one(launch).boxed()
    }

    fn release<'a>(&'a self, instance: &'a InstanceId) -> BoxFuture<'a, Result<(), EngineError>> {
        self.release_one(instance).boxed()
    }

    fn stop<'a>(&'a self, instance: &'a InstanceId, how: Stop) -> BoxFuture<'a, Result<(), EngineError>> {
        self.stop_one(instance, how).boxed()
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        self.changed.notified().boxed()
    }

    fn clear(&self) -> BoxFuture<'_, Result<(), EngineError>> {
        self.clear_all().boxed()
    }
}
