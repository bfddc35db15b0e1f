//! The engine's event stream, as a nudge.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bollard::{Docker, query_parameters::EventsOptions};
use futures_util::StreamExt;
use tokio::{sync::Notify, time::sleep};

use crate::name::Deployment;

/// Between two attempts to subscribe.
const RECONNECT: Duration = Duration::from_millis(500);
/// After an event, when to nudge again. The engine tells of a death some milliseconds before its list shows it.
const ECHOES: [Duration; 4] = [
    Duration::from_millis(5),
    Duration::from_millis(20),
    Duration::from_millis(100),
    Duration::from_millis(500),
];

/// Nudges at every event of the deployment's containers, and whenever events may have been missed. Never returns.
pub(super) async fn watch(docker: Docker, deployment: Deployment, changed: Arc<Notify>) {
    loop {
        let mut events = Box::pin(docker.events(Some(options(&deployment))));
        changed.notify_one();
        let mut echoes = [].iter();
        loop {
            let echo = async {
                match echoes.next() {
                    Some(after) => sleep(*after).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(_)) => echoes = ECHOES.iter(),
                    Some(Err(_)) | None => break,
                },
                () = echo => {}
            }
            changed.notify_one();
        }
        tracing::debug!("the engine's event stream broke off");
        changed.notify_one();
        sleep(RECONNECT).await;
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
