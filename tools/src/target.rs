//! A replica of a balancer under test, as what can be hit.

use std::time::Instant;

use anyhow::Context;
use rustix::process::{Pid, Signal};

use crate::docker::docker;

/// What is done to a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    /// It is ended as `kill -9` does.
    Kill,
    /// It stops as `kill -STOP` does: alive, and never answering.
    Freeze,
}

/// A replica that can be hit.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its process, where it is one of this machine.
    process: Option<Pid>,
    container: Option<String>,
}

impl Target {
    /// A container.
    pub(crate) fn container(id: String) -> Self {
        Target { process: process_of_container(&id), container: Some(id) }
    }

    /// A process of this machine.
    pub(crate) fn process(process: Pid) -> Self {
        Target { process: Some(process), container: None }
    }

    /// The id of its container, if it is one.
    pub fn container_id(&self) -> Option<&str> {
        self.container.as_deref()
    }

    /// Hits it, and says when. Waits for Docker where the process is out of reach.
    pub fn hit(&self, blow: Blow) -> anyhow::Result<Instant> {
        let signal = match blow {
            Blow::Kill => Signal::KILL,
            Blow::Freeze => Signal::STOP,
        };
        let now = Instant::now();
        if let Some(process) = self.process
            && rustix::process::kill_process(process, signal).is_ok()
        {
            return Ok(now);
        }
        let container = self.container.as_deref().context("the replica's process is gone")?;
        let verb = if blow == Blow::Kill { "kill" } else { "pause" };
        docker(&[verb, container])?;
        Ok(Instant::now())
    }
}

/// The process of a container, where it is really one of this machine: its control group says so. (An engine elsewhere
/// has numbers of its own, which here are somebody else's.)
fn process_of_container(id: &str) -> Option<Pid> {
    let number = docker(&["inspect", "--format", "{{.State.Pid}}", id]).ok()?;
    let group = std::fs::read_to_string(format!("/proc/{number}/cgroup")).ok()?;
    group.contains(id).then(|| Pid::from_raw(number.parse().ok()?)).flatten()
}
