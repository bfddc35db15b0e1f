//! What a container has written.

use bollard::{Docker, container::LogOutput, query_parameters::LogsOptionsBuilder};
use futures_util::StreamExt;

use super::answer::explain;
use crate::engine::Logs;

/// The last `tail` lines, and with `follow` what comes until its end.
pub(super) fn written(docker: &Docker, container: &str, tail: usize, follow: bool) -> Logs {
    let options = LogsOptionsBuilder::default().stdout(true).stderr(true).follow(follow);
    let options = options.tail(&tail.to_string()).build();
    let pieces = docker.logs(container, Some(options));
    pieces
        .map(|piece| piece.map(LogOutput::into_bytes).map_err(|error| explain("read the logs", &error)))
        .boxed()
}
