//! The engine's events of labelled containers.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bollard::{Docker, models::EventMessage, query_parameters::EventsOptions};
use futures_util::StreamExt;
use tokio::time::sleep;

use super::{
    container::{ENABLE, short},
    memory::{Event, Memory},
};
use crate::name::InstanceId;

/// Between two attempts to subscribe.
const RECONNECT: Duration = Duration::from_millis(500);
/// The pauses between further hints after an event or a new subscription: the list shows what events tell of a while
/// later, and what no event tells of is certain after 2 s.
const ECHOES_MS: [u64; 8] = [10, 30, 60, 100, 200, 300, 500, 1000];
/// Signals that do not end a container: they have it read its settings again, or the like. SIGHUP, SIGUSR1, SIGUSR2,
/// SIGCHLD, SIGCONT.
const HARMLESS: [u8; 5] = [1, 10, 12, 17, 18];

/// Tells of every event of labelled containers from now on, and hints whenever one may be late. What happens while the
/// stream is broken off the engine tells again. Never returns.
pub(super) async fn watch(docker: Docker, memory: Arc<Memory>) {
    let mut since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    loop {
        let mut events = Box::pin(docker.events(Some(options(since))));
        memory.changed.notify_one();
        let mut echoes = ECHOES_MS.iter();
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
                        echoes = ECHOES_MS.iter();
                        since = after(&message).unwrap_or(since);
                        if let Some((instance, event)) = heard(&message) {
                            memory.hear(&instance, event);
                        }
                    }
                    Some(Err(_)) | None => break,
                },
                () = echo => memory.changed.notify_one(),
            }
        }
        tracing::debug!("the engine's event stream broke off");
        memory.changed.notify_one();
        sleep(RECONNECT).await;
    }
}

/// The time just after an event, by the engine's clock, since 1970.
fn after(message: &EventMessage) -> Option<Duration> {
    let nanoseconds = u64::try_from(message.time_nano?).ok()?;
    Some(Duration::from_nanos(nanoseconds.saturating_add(1)))
}

/// What is asked for: events since this time after 1970.
fn options(since: Duration) -> EventsOptions {
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let told_of = ["start", "kill", "oom", "die", "pause", "unpause", "destroy", "health_status", "connect"];
    let filters = HashMap::from([
        ("type".to_owned(), words(&["container"])),
        ("event".to_owned(), words(&told_of)),
        ("label".to_owned(), vec![format!("{ENABLE}=true")]),
    ]);
    let since = format!("{}.{:09}", since.as_secs(), since.subsec_nanos());
    EventsOptions { since: Some(since), filters: Some(filters), ..Default::default() }
}

/// Whom an event is about, and what it says.
fn heard(message: &EventMessage) -> Option<(InstanceId, Event)> {
    let actor = message.actor.as_ref()?;
    let attribute = |key: &str| actor.attributes.as_ref()?.get(key).map(String::as_str);
    let event = match message.action.as_deref()? {
        "kill" if attribute("signal").is_none_or(ends) => Event::Told,
        "die" => Event::Ended(attribute("exitCode").and_then(|code| code.parse().ok())),
        "oom" => Event::OutOfMemory,
        "pause" => Event::Frozen,
        "start" | "unpause" => Event::Runs,
        "destroy" => Event::Gone,
        _ => Event::Other,
    };
    Some((short(actor.id.as_deref()?)?, event))
}

/// Whether a signal, by its number or its name, is one that ends a container.
fn ends(signal: &str) -> bool {
    let names = ["SIGHUP", "SIGUSR1", "SIGUSR2", "SIGCHLD", "SIGCONT"];
    match signal.parse::<u8>() {
        Ok(number) => !HARMLESS.contains(&number),
        Err(_) => !names.iter().any(|name| *name == signal || name.strip_prefix("SIG") == Some(signal)),
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::EventActor;

    use super::*;

    #[test]
    fn what_was_missed_is_asked_for_from_after_the_last_event() {
        let message = EventMessage { time_nano: Some(1_700_000_000_000_000_999), ..Default::default() };
        let since = after(&message).unwrap();
        assert_eq!(options(since).since.as_deref(), Some("1700000000.000001000"));
        assert_eq!(after(&EventMessage::default()), None);
    }

    #[test]
    fn a_signal_that_ends_is_told_from_others() {
        assert!(["15", "9", "3", "SIGTERM", "28"].into_iter().all(ends));
        assert!(!["1", "10", "SIGHUP", "USR1"].into_iter().any(ends));
        let message = |action: &str, key: &str, value: &str| EventMessage {
            action: Some(action.into()),
            actor: Some(EventActor {
                id: Some(format!("{:064x}", 7)),
                attributes: Some(HashMap::from([(key.into(), value.into())])),
            }),
            ..Default::default()
        };
        let event = |action, key, value| heard(&message(action, key, value)).unwrap().1;
        assert_eq!(event("kill", "signal", "15"), Event::Told);
        assert_eq!(event("kill", "signal", "1"), Event::Other);
        assert_eq!(event("die", "exitCode", "137"), Event::Ended(Some(137)));
    }
}
