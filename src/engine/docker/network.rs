//! The deployment's network.

use std::{collections::HashMap, time::Duration};

use bollard::models::NetworkCreateRequest;
use tokio::time::{Instant, sleep};

use super::{
    DockerEngine,
    answer::{gone_is_ok, within},
    container,
};
use crate::engine::{ASK_TIMEOUT, EngineError, START_TIMEOUT};

/// How long a network is waited for that containers are said to be in.
const ENDPOINTS_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two attempts to remove it.
const ENDPOINTS_LOOK: Duration = Duration::from_millis(100);

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
        let deadline = Instant::now() + ENDPOINTS_TIMEOUT;
        loop {
            let removing = within(ASK_TIMEOUT, "remove the network", self.docker.remove_network(name));
            match gone_is_ok(removing.await) {
                Err(error) if is_in_use(&error) && Instant::now() < deadline => {
                    sleep(ENDPOINTS_LOOK).await;
                }
                removed => return removed,
            }
        }
    }
}

/// Whether containers are said to be in it: a busy engine says so for a moment of those that it has removed.
fn is_in_use(error: &EngineError) -> bool {
    matches!(error, EngineError::Refused { why, .. } if why.contains("active endpoints"))
}
