//! What the balancer says of itself: for now, logs on stderr.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

/// Logs from now on to stderr, in colour on a terminal unless `NO_COLOR` is set. `RINGKEEPER_LOG` filters, as in
/// `debug` or `ringkeeper::fleet=debug`.
pub fn start() {
    let filter = EnvFilter::try_from_env("RINGKEEPER_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let colour = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(colour)
        .with_target(false)
        .init();
}
