//! Creating a replica's container under a name that others may have.

use bollard::{
    errors::Error,
    query_parameters::{CreateContainerOptionsBuilder, RenameContainerOptions},
};
use tokio::time::{Instant, sleep, timeout};

use super::{
    DockerEngine, SETTLE,
    answer::{explain, gone_is_ok, no_answer, refused, within},
    container, healthcheck,
};
use crate::engine::{ASK_TIMEOUT, EngineError, Launch, START_TIMEOUT};

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
    /// Creates the container: under its name where that is free or an older one of ours has it, as `NAME--ID` where
    /// another deployment's replica has it. Returns its id.
    pub(super) async fn create(&self, launch: &Launch) -> Result<String, EngineError> {
        healthcheck::require(&self.docker, &self.config).await?;
        let wanted = launch.goes_by();
        let mut name = wanted.clone();
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
                        Holder::Older(instance) => self.rename(&name, &wanted, &instance).await?,
                        Holder::OtherDeployment => name = format!("{wanted}--{}", launch.instance),
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
    pub(super) async fn rename(
        &self,
        container: &str,
        name: &str,
        instance: &str,
    ) -> Result<(), EngineError> {
        let options = RenameContainerOptions { name: format!("{name}--{instance}") };
        gone_is_ok(
            within(ASK_TIMEOUT, "rename a container", self.docker.rename_container(container, options)).await,
        )
    }
}
