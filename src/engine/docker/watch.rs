//! The engine's events of containers, heard in the background.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bollard::{Docker, models::EventMessage, query_parameters::EventsOptions};
use futures_util::StreamExt;
use tokio::{task::JoinHandle, time::sleep};

/// Between two attempts to subscribe.
const RECONNECT: Duration = Duration::from_millis(500);

/// What is listened to.
pub(super) struct Subscription {
    /// The events of containers.
    pub(super) events: &'static [&'static str],
    /// The label that these containers have.
    pub(super) label: String,
    /// Whether the engine is to tell again what happened while the stream was broken.
    pub(super) tells_again: bool,
    /// The pauses in milliseconds between further hints after a stream began, since lists show later what events tell.
    pub(super) echoes_of_start: &'static [u64],
    /// The same after an event.
    pub(super) echoes_of_event: &'static [u64],
}

/// The task that listens, for as long as somebody has this.
pub(super) struct Watch(JoinHandle<()>);

impl Watch {
    /// Has every event be heard from now on, and `None` whenever one may be late or was missed. Call in a runtime.
    pub(super) fn begin(
        docker: Docker,
        subscription: Subscription,
        hear: impl Fn(Option<&EventMessage>) + Send + 'static,
    ) -> Self {
        Watch(tokio::spawn(listen(docker, subscription, hear)))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn listen(docker: Docker, subscription: Subscription, hear: impl Fn(Option<&EventMessage>)) {
    let mut since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    loop {
        let mut events = Box::pin(docker.events(Some(subscription.options(since))));
        hear(None);
        let mut echoes = subscription.echoes_of_start.iter();
        loop {
            let echo = async {
                match echoes.next() {
                    Some(after) => sleep(Duration::from_millis(*after)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(message)) => {
                        echoes = subscription.echoes_of_event.iter();
                        since = after(&message).unwrap_or(since);
                        hear(Some(&message));
                    }
                    Some(Err(_)) | None => break,
                },
                () = echo => hear(None),
            }
        }
        tracing::debug!("the engine's event stream broke off");
        hear(None);
        sleep(RECONNECT).await;
    }
}

/// The time just after an event, by the engine's clock, since 1970.
fn after(message: &EventMessage) -> Option<Duration> {
    let nanoseconds = u64::try_from(message.time_nano?).ok()?;
    Some(Duration::from_nanos(nanoseconds.saturating_add(1)))
}

impl Subscription {
    /// What is asked for: where they are told again, events since this time after 1970.
    fn options(&self, since: Duration) -> EventsOptions {
        let filters = HashMap::from([
            ("type".to_owned(), vec!["container".to_owned()]),
            ("event".to_owned(), self.events.iter().map(|&event| event.to_owned()).collect()),
            ("label".to_owned(), vec![self.label.clone()]),
        ]);
        let since = self.tells_again.then(|| format!("{}.{:09}", since.as_secs(), since.subsec_nanos()));
        EventsOptions { since, filters: Some(filters), ..Default::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_missed_is_asked_for_from_after_the_last_event() {
        let message = EventMessage { time_nano: Some(1_700_000_000_000_000_999), ..Default::default() };
        let since = after(&message).unwrap();
        let asked = |tells_again| {
            let label = "a=b".to_owned();
            let (events, echoes): (&[&str], &[u64]) = (&["die"], &[]);
            Subscription { events, label, tells_again, echoes_of_start: echoes, echoes_of_event: echoes }
                .options(since)
                .since
        };
        assert_eq!(asked(true).as_deref(), Some("1700000000.000001000"));
        assert_eq!(asked(false), None);
        assert_eq!(after(&EventMessage::default()), None);
    }
}
