//! A state directory.

use std::path::PathBuf;

/// A directory of its own, removed when dropped; in memory where the system has such a place, since a thousand lives
/// sync thousands of files.
pub(super) struct Temporary(pub(super) PathBuf);

impl Temporary {
    pub(super) fn new(seed: u64) -> Self {
        let memory = PathBuf::from("/dev/shm");
        let base = if memory.is_dir() { memory } else { std::env::temp_dir() };
        Temporary(base.join(format!("ringkeeper-simulation-{}-{seed}", std::process::id())))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _best_effort = std::fs::remove_dir_all(&self.0);
    }
}
