//! The engine's event stream, as a nudge.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bollard::{Docker, query_parameters::EventsOptions};
use futures_util::StreamExt;
use tokio::{sync::Notify, time::sleep};

use crate::name::Deployment;

/// Between two attempts to subscribe.
const RECONNECT: Duration = Duration::from_millis(500);
/// The pauses between further nudges after an event. The engine tells of a death before it tears the network down, and
/// its list shows the death after that: 0.2 s later, or more where it has much to do.
const ECHOES_MS: [u64; 11] = [5, 10, 20, 30, 40, 50, 60, 80, 100, 150, 200];

/// Nudges at every event of the deployment's containers, and whenever events may have been missed. Never returns.
pub(super) async fn watch(docker: Docker, deployment: Deployment, changed: Arc<Notify>) {
    loop {
        let mut events = Box::pin(docker.events(Some(options(&deployment))));
        changed.notify_one();
        let mut echoes = ECHOES_MS[..0].iter();
        loop {
            let echo = async {
                match echoes.next() {
                    Some(after) => sleep(Duration::from_millis(*after)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(_)) => echoes = ECHOES_MS.iter(),
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
        ("event".to_owned(), words(&["start", "die", "pause", "unpause", "destroy", "health_status"])),
        ("label".to_owned(), vec![format!("{}={deployment}", super::container::DEPLOYMENT)]),
    ]);
    EventsOptions { filters: Some(filters), ..Default::default() }
}
