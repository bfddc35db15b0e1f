//! The engine's events of labelled containers.

use std::sync::Arc;

use bollard::{Docker, models::EventMessage};

use super::{
    container::{ENABLE, short},
    memory::{Event, Memory},
};
use crate::{
    engine::docker::watch::{Subscription, Watch},
    name::InstanceId,
};

/// The events that tell of who joins, leaves or is reached elsewhere.
const EVENTS: [&str; 9] =
    ["start", "kill", "oom", "die", "pause", "unpause", "destroy", "health_status", "connect"];
/// The pauses between further hints after an event or a new subscription: the list shows what events tell of a while
/// later, and what no event tells of is certain after 2 s.
const ECHOES_MS: [u64; 8] = [10, 30, 60, 100, 200, 300, 500, 1000];
/// Signals that do not end a container: they have it read its settings again, or the like. SIGHUP, SIGUSR1, SIGUSR2,
/// SIGCHLD, SIGCONT.
const HARMLESS: [u8; 5] = [1, 10, 12, 17, 18];

/// Tells of every event of labelled containers from now on, and hints whenever one may be late. What happens while the
/// stream is broken off the engine tells again.
pub(super) fn watch(docker: Docker, memory: Arc<Memory>) -> Watch {
    let subscription = Subscription {
        events: &EVENTS,
        label: format!("{ENABLE}=true"),
        tells_again: true,
        echoes_of_start: &ECHOES_MS,
        echoes_of_event: &ECHOES_MS,
    };
    Watch::begin(docker, subscription, move |message| match message {
        Some(message) => {
            if let Some((instance, event)) = heard(message) {
                memory.hear(&instance, event);
            }
        }
        None => memory.changed.notify_one(),
    })
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
    use std::collections::HashMap;

    use bollard::models::EventActor;

    use super::*;

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
