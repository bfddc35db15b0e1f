//! The way to the engine.

use std::time::Duration;

use bollard::{Docker, errors::Error};
use tokio::time::timeout;

use super::answer::chain;

/// Why there is no Docker engine to work with.
#[derive(Debug, thiserror::Error)]
#[error("cannot reach a Docker engine: {why}\n{advice}")]
pub struct ConnectError {
    why: String,
    advice: &'static str,
    /// Whether the engine may only be late: not there, or not answering.
    pub may_come: bool,
}

impl ConnectError {
    fn new(error: &Error) -> Self {
        let why = chain(error);
        let denied = why.contains("ermission denied");
        let advice = if denied {
            "The socket is there, but this user may not use it. In compose, give the socket's group with \
             `group_add` (`make` does it; by hand: DOCKER_GID=$(stat -c %g /var/run/docker.sock) docker-compose up). \
             On the host, join the group `docker`."
        } else {
            "Is the Docker engine running, and its socket mounted here? Without one, use --engine process."
        };
        ConnectError { why, advice, may_come: !denied }
    }
}

/// A client for the engine that answers, at the API version that both speak. The local socket, or `DOCKER_HOST`.
pub async fn connect() -> Result<Docker, ConnectError> {
    let docker = Docker::connect_with_defaults().map_err(|error| ConnectError::new(&error))?;
    let (why, advice) = ("it does not answer in time".to_owned(), "Is it overloaded or frozen?");
    let silent = ConnectError { why, advice, may_come: true };
    timeout(Duration::from_secs(5), docker.negotiate_version())
        .await
        .map_err(|_| silent)?
        .map_err(|error| ConnectError::new(&error))
}
