//! A program of the benchmark's own: kept to one core, in a process group of its own, and killed with all of that when
//! this is dropped.

use std::{
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use ringkeeper_tools::said::Said;
use rustix::{
    process::{Pid, Signal, kill_process_group},
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};

use super::usage::Group;

/// How long a program may take to say something, or to answer.
pub const START: Duration = Duration::from_secs(20);

/// Between two looks.
pub const LOOK: Duration = Duration::from_millis(5);

/// A running program.
#[derive(Debug)]
pub struct Program {
    process: Child,
    group: Pid,
    name: String,
    said: Said,
}

impl Program {
    /// Starts it with every thread that it will have on this core.
    pub fn start(mut command: Command, core: usize) -> anyhow::Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.process_group(0); // a Ctrl-C in the terminal is the benchmark's alone
        let own = sched_getaffinity(None).context("the own cores are not known")?;
        keep_to(core)?;
        let spawned = command.spawn(); // inherits the core of this thread
        sched_setaffinity(None, &own).context("cannot go back to the own cores")?;
        let mut process = spawned.with_context(|| format!("cannot start {name}"))?;
        let said = Said::on(process.stderr.take().expect("piped"));
        Ok(Program { group: Pid::from_child(&process), process, name, said })
    }

    /// What follows these words in the first line it says that has them.
    pub async fn says(&mut self, words: &str) -> anyhow::Result<String> {
        let deadline = Instant::now() + START;
        loop {
            if let Some(found) = self.said.after(words) {
                return Ok(found);
            }
            ensure!(Instant::now() < deadline, "{} does not say '{words}'", self.name);
            self.lives()?;
            tokio::time::sleep(LOOK).await;
        }
    }

    /// An error with its last words where it has ended.
    pub fn lives(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.process.try_wait()? {
            let said = self.said.lines().join("\n");
            bail!("{} ended ({status}); its last words:\n{said}", self.name);
        }
        Ok(())
    }

    /// Its processes, as they are now.
    pub fn group(&self) -> anyhow::Result<Group> {
        Group::of(self.group)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ended_already = kill_process_group(self.group, Signal::KILL);
        let _ = self.process.wait();
    }
}

/// Keeps this thread, and whom it starts, to a core.
pub fn keep_to(core: usize) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).with_context(|| format!("cannot keep to core {core}"))
}
