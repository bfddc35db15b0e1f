//! The deployment's network.

use std::collections::HashMap;

use bollard::models::NetworkCreateRequest;

use super::{
    DockerEngine,
    answer::{gone_is_ok, within},
    container,
};
use crate::engine::{ASK_TIMEOUT, EngineError, START_TIMEOUT};

impl DockerEngine {
    /// Outside of compose the network is ours to make, and to label.
    pub(super) async fn create_network(&self) -> Result<(), EngineError> {
        let _one_at_a_time = self.network.lock().await;
        let name = self.config.deployment.as_str().to_owned();
        if within(ASK_TIMEOUT, "inspect the network", self.docker.inspect_network(&name, None)).await.is_ok()
        {
            return Ok(());
        }
        let labels = HashMap::from([(container::DEPLOYMENT.to_owned(), name.clone())]);
        let request = NetworkCreateRequest {
            name,
            driver: Some("bridge".into()),
            attachable: Some(true),
            labels: Some(labels),
            ..Default::default()
        };
        within(START_TIMEOUT, "create the network", self.docker.create_network(request)).await.map(drop)
    }

    /// Removes the network, where it is ours.
    pub(super) async fn clear_all(&self) -> Result<(), EngineError> {
        let name = self.config.deployment.as_str();
        let inspected =
            within(ASK_TIMEOUT, "inspect the network", self.docker.inspect_network(name, None)).await;
        let ours = match inspected {
            Ok(network) => {
                network.labels.is_some_and(|l| l.get(container::DEPLOYMENT).is_some_and(|d| d == name))
            }
            Err(error) if error.is_outage() => return Err(error),
            Err(_) => false,
        };
        if !ours {
            return Ok(());
        }
        gone_is_ok(within(ASK_TIMEOUT, "remove the network", self.docker.remove_network(name)).await)
    }
}
