//! Containers that somebody else starts and that join by their labels.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bollard::{
    Docker,
    query_parameters::{ListContainersOptionsBuilder, RestartContainerOptionsBuilder},
};
use futures_util::future::{BoxFuture, FutureExt, ready};

use super::{
    answer::within,
    examine::{clock, version},
    logs::written,
    watch::Watch,
};
use crate::{
    engine::{
        ASK_TIMEOUT, Answer, Engine, EngineError, Finding, Instance, Kind, Launch, Logs, START_TIMEOUT, Stop,
        Trouble,
    },
    name::{Deployment, InstanceId},
};

mod container;
mod events;
mod memory;
mod reach;

use container::ENABLE;
use memory::Memory;
use reach::Reach;

/// Which containers join, and how they are reached.
#[derive(Clone, Debug)]
pub struct LabelsConfig {
    /// Whose containers these are, where they say so themselves; its network is the first choice.
    pub deployment: Deployment,
    /// The pool that they join.
    pub pool: Box<str>,
    /// The port of those that name none.
    pub port: Option<u16>,
    /// From the stop signal to SIGKILL, for one that is started again.
    pub stop_timeout: Duration,
}

/// Finds the containers whose labels say that they are of a pool. They are watched, and never stopped or removed; one
/// that allows it is restarted where it is dead.
pub struct LabelsEngine {
    docker: Docker,
    config: LabelsConfig,
    memory: Arc<Memory>,
    _watch: Arc<Watch>,
}

impl LabelsEngine {
    /// Works through this client from now on, watching the engine's events in the background. Call in a runtime.
    pub fn new(docker: Docker, config: LabelsConfig) -> Self {
        let memory = Arc::new(Memory::default());
        let watch = events::watch(docker.clone(), memory.clone());
        LabelsEngine { docker, config, memory, _watch: Arc::new(watch) }
    }

    /// The same engine, which goes on knowing what it has heard, with these settings.
    pub fn configured(&self, config: LabelsConfig) -> Self {
        let (docker, memory) = (self.docker.clone(), self.memory.clone());
        LabelsEngine { docker, config, memory, _watch: self._watch.clone() }
    }

    async fn list_all(&self) -> Result<Vec<Instance>, EngineError> {
        if let Some(known) = self.memory.recall() {
            return Ok(known);
        }
        let begun = self.memory.begin();
        let filters = HashMap::from([("label".to_owned(), vec![format!("{ENABLE}=true")])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let listed = self.docker.list_containers(Some(options));
        let listed = within(ASK_TIMEOUT, "list containers", listed).await?;
        let reach = Reach::of_system(&self.config.deployment);
        let read = listed.iter().filter_map(|summary| container::read(summary, &self.config, &reach));
        Ok(self.memory.take_in(read.collect(), begun))
    }

    /// Starts it where it has ended, if nobody else has done so meanwhile; else stops it before.
    async fn start_again(&self, instance: &InstanceId) -> Result<(), EngineError> {
        let id = instance.as_str();
        let inspected =
            within(ASK_TIMEOUT, "inspect a container", self.docker.inspect_container(id, None)).await?;
        let runs = inspected.state.and_then(|state| state.running).unwrap_or(false);
        let _ours = self.memory.restarting(instance);
        if runs && self.memory.is_away(instance) {
            return Ok(());
        }
        if !runs {
            return within(START_TIMEOUT, "start a container", self.docker.start_container(id, None)).await;
        }
        let seconds = self.config.stop_timeout.as_secs_f64().ceil() as i32;
        let options = RestartContainerOptionsBuilder::default().t(seconds).build();
        let restarted = self.docker.restart_container(id, Some(options));
        within(self.config.stop_timeout + START_TIMEOUT, "restart a container", restarted).await
    }
}

impl Engine for LabelsEngine {
    fn kind(&self) -> Kind {
        Kind::Labels
    }

    fn list(&self) -> Answer<'_, Vec<Instance>> {
        self.list_all().boxed()
    }

    fn start<'a>(&'a self, launch: &'a Launch) -> Answer<'a> {
        self.start_again(&launch.instance).boxed()
    }

    fn release<'a>(&'a self, _: &'a InstanceId) -> Answer<'a> {
        ready(Ok(())).boxed()
    }

    fn stop<'a>(&'a self, _: &'a InstanceId, _: Stop) -> Answer<'a> {
        ready(Ok(())).boxed()
    }

    fn logs<'a>(&'a self, instance: &'a InstanceId, tail: usize, follow: bool) -> Answer<'a, Logs> {
        ready(Ok(written(&self.docker, instance.as_str(), tail, follow))).boxed()
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        self.memory.changed.notified().boxed()
    }

    fn clear(&self) -> Answer<'_> {
        ready(Ok(())).boxed()
    }

    fn troubles(&self) -> Vec<Trouble> {
        self.memory.troubles()
    }
}

/// Looks at everything that finding containers needs, for `ringkeeper doctor`.
pub async fn examine_labels(config: &LabelsConfig) -> Vec<Finding> {
    let docker = match super::connect().await {
        Ok(docker) => docker,
        Err(error) => return vec![Finding { what: "engine", found: Err(error.to_string()) }],
    };
    let (engine, clock) = (version(&docker).await, clock(&docker).await);
    let engine_of_labels = LabelsEngine::new(docker, config.clone());
    let listed = engine_of_labels.list().await.map_err(|error| error.to_string());
    let (there, troubles) = (listed.map(|listed| listed.len()), engine_of_labels.troubles());
    let containers = there.and_then(|count| match troubles.first() {
        Some(Trouble { source, why, .. }) => Err(format!("'{source}': {why}")),
        None => Ok(format!("{count} are labelled for the pool '{}' and run", config.pool)),
    });
    vec![
        Finding { what: "engine", found: engine },
        Finding { what: "containers", found: containers },
        Finding { what: "clock", found: clock },
    ]
}

#[cfg(test)]
mod tests {
    use bollard::API_DEFAULT_VERSION;
    use tokio::task::yield_now;

    use super::*;

    /// New settings made an engine that knew nothing: one that was about to be started again was forgotten.
    #[tokio::test]
    async fn with_other_settings_what_was_heard_stays_known_and_is_listened_on() {
        let config = LabelsConfig {
            deployment: "ours".parse().unwrap(),
            pool: "default".into(),
            port: None,
            stop_timeout: Duration::ZERO,
        };
        let docker = Docker::connect_with_http("127.0.0.1:1", 1, API_DEFAULT_VERSION).unwrap();
        let engine = LabelsEngine::new(docker, config.clone());
        let configured = engine.configured(LabelsConfig { port: Some(80), ..config });
        assert!(Arc::ptr_eq(&engine.memory, &configured.memory));
        let memory = Arc::downgrade(&configured.memory);
        drop(engine);
        for _ in 0..100 {
            yield_now().await;
        }
        assert_eq!(memory.strong_count(), 2, "the engine and whoever listens for it");
        drop(configured);
        for _ in 0..100 {
            yield_now().await;
        }
        assert_eq!(memory.strong_count(), 0, "nobody listens any more");
    }
}
