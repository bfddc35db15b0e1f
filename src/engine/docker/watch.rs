//! The engine's event stream, as a nudge.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bollard::{Docker, query_parameters::EventsOptions};
use futures_util::StreamExt;
use tokio::sync::Notify;

use crate::name::Deployment;

/// Between two attempts to subscribe.
const RECONNECT: Duration = Duration::from_millis(500);

/// Nudges at every event of the deployment's containers, and whenever events may have been missed. Never returns.
pub(super) async fn watch(docker: Docker, deployment: Deployment, changed: Arc<Notify>) {
    loop {
        let mut events = Box::pin(docker.events(Some(options(&deployment))));
        changed.notify_one();
        loop {
            match events.next().await {
                Some(Ok(_)) => changed.notify_one(),
                Some(Err(error)) => {
                    tracing::debug!(%error, "the engine's event stream broke off");
                    break;
                }
                None => break,
            }
        }
        changed.notify_one();
        tokio::time::sleep(RECONNECT).await;
    }
}

fn options(deployment: &Deployment) -> EventsOptions {
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let filters = HashMap::from([
        ("type".to_owned(), words(&["container"])),
        ("event".to_owned(), words(&["start", "die", "pause", "unpause", "destroy"])),
        ("label".to_owned(), vec![format!("{}={deployment}", super::container::DEPLOYMENT)]),
    ]);
    EventsOptions { filters: Some(filters), ..Default::default() }
}
