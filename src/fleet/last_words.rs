//! What a dead instance wrote at last, read before it is removed.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use tokio::time::timeout;

use crate::{engine::Engine, name::InstanceId};

/// How many lines are kept of one.
const LINES: usize = 50;
/// The longest line, in characters.
const LONGEST: usize = 500;
/// How long reading them may hold up the removal.
const PATIENCE: Duration = Duration::from_secs(2);

/// The instance's last lines; none where the engine does not tell in time.
pub(super) async fn last_words(engine: &dyn Engine, instance: &InstanceId) -> Arc<[String]> {
    timeout(PATIENCE, read(engine, instance)).await.unwrap_or_default().into()
}

async fn read(engine: &dyn Engine, instance: &InstanceId) -> Vec<String> {
    let Ok(mut pieces) = engine.logs(instance, LINES, false).await else { return Vec::new() };
    let mut text = Vec::new();
    while let Some(Ok(piece)) = pieces.next().await {
        text.extend_from_slice(&piece);
        let excess = text.len().saturating_sub(LINES * LONGEST);
        text.drain(..excess);
    }
    let text = String::from_utf8_lossy(&text);
    let line = |line: &str| line.chars().filter(|c| !c.is_control() || *c == '\t').take(LONGEST).collect();
    let lines: Vec<String> = text.lines().map(line).collect();
    lines[lines.len().saturating_sub(LINES)..].to_vec()
}
