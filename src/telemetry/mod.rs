//! What the balancer says of itself: for now, logs on stderr.

use std::io::{IsTerminal, stderr};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

/// Logs from now on to stderr, in colour on a terminal unless `NO_COLOR` is set. `RINGKEEPER_LOG` filters, as in
/// `debug` or `ringkeeper::fleet=debug`.
pub fn start() {
    let asked = std::env::var("RINGKEEPER_LOG").ok().and_then(|asked| asked.parse().ok());
    let filter: Targets = asked.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let colour = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let lines = tracing_subscriber::fmt::layer().with_writer(stderr).with_ansi(colour).with_target(false);
    tracing_subscriber::registry().with(filter).with(lines).init();
}
