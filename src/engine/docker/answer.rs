//! What the engine answers, with a deadline and in our words.

use std::time::Duration;

use bollard::errors::Error;
use tokio::time::timeout;

use super::advice::advised;
use crate::engine::{EngineError, Kind};

/// The call's result, with a deadline and our words.
pub(super) async fn within<T>(
    deadline: Duration,
    attempt: &str,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, EngineError> {
    match timeout(deadline, call).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(explain(attempt, &error)),
        Err(_) => Err(no_answer(deadline)),
    }
}

pub(super) fn no_answer(deadline: Duration) -> EngineError {
    EngineError::Unreachable { kind: Kind::Docker, why: format!("no answer within {deadline:?}") }
}

pub(super) fn refused(attempt: &str, why: String) -> EngineError {
    EngineError::Refused { kind: Kind::Docker, attempt: attempt.to_owned(), why }
}

pub(super) fn explain(attempt: &str, error: &Error) -> EngineError {
    match error {
        Error::DockerResponseServerError { message, .. } => refused(attempt, advised(message.trim())),
        _ => EngineError::Unreachable { kind: Kind::Docker, why: chain(error) },
    }
}

/// Whether the engine is doing it already, for an earlier call.
pub(super) fn is_under_way(error: &EngineError) -> bool {
    matches!(error, EngineError::Refused { why, .. } if why.contains("is already in progress"))
}

/// Whether the engine has no such container: no more, or not yet.
pub(super) fn is_missing(error: &EngineError) -> bool {
    matches!(error, EngineError::Refused { why, .. } if why.contains("No such container"))
}

/// What is gone, or on its way, needs no stopping.
pub(super) fn gone_is_ok(result: Result<(), EngineError>) -> Result<(), EngineError> {
    match result {
        Err(EngineError::Refused { why, .. })
            if why.contains("No such container")
                || why.contains("is already in progress")
                || why.contains("is not running")
                || why.contains("same name as its current name")
                || why.contains("No such network") =>
        {
            Ok(())
        }
        other => other,
    }
}

/// An error and what led to it.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        source = error.source();
    }
    text
}
