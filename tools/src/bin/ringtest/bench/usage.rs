//! What a group of processes takes of the machine, by the scheduler's own accounting (proc(5)).

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, ensure};
use rustix::process::Pid;

/// The processes of a group.
#[derive(Clone, Debug)]
pub struct Group(Vec<PathBuf>);

/// What they have taken so far, and take now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time of all their threads that live.
    pub cpu: Duration,
    /// Memory that is resident, in bytes.
    pub resident: u64,
}

impl Group {
    /// Those that are in it now.
    pub fn of(group: Pid) -> anyhow::Result<Self> {
        let wanted = group.as_raw_nonzero().to_string();
        let entries = fs::read_dir("/proc").context("cannot see processes")?.flatten();
        let is_member = |folder: &PathBuf| {
            let stat = fs::read_to_string(folder.join("stat")).unwrap_or_default();
            fields(&stat).nth(2) == Some(&wanted)
        };
        let members: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_member).collect();
        ensure!(!members.is_empty(), "no process is in group {wanted}");
        Ok(Group(members))
    }

    /// What they take. Who has ended since is not counted.
    pub fn usage(&self) -> Usage {
        let sum = |sum: Usage, folder: &PathBuf| Usage {
            cpu: sum.cpu + cpu(folder),
            resident: sum.resident + resident(folder),
        };
        self.0.iter().fold(Usage::default(), sum)
    }
}

/// Of each thread `schedstat`, in nanoseconds; where the kernel has none, the process's `stat` in hundredths of seconds.
fn cpu(process: &Path) -> Duration {
    let tasks = fs::read_dir(process.join("task")).into_iter().flatten().flatten();
    let on_core = |task: fs::DirEntry| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    };
    let nanoseconds: u64 = tasks.filter_map(on_core).sum();
    if nanoseconds > 0 {
        return Duration::from_nanos(nanoseconds);
    }
    let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
    let ticks: u64 = fields(&stat).skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

fn resident(process: &Path) -> u64 {
    let status = fs::read_to_string(process.join("status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or_default() << 10
}

/// The fields of `stat` behind the name, which may have blanks in it: state, parent, group and so on.
fn fields(stat: &str) -> impl Iterator<Item = &str> {
    stat.rsplit(')').next().unwrap_or_default().split_whitespace()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use rustix::process::getpgrp;

    use super::*;

    #[test]
    fn work_shows_in_the_group_that_did_it() {
        let group = Group::of(getpgrp()).expect("the own group");
        let before = group.usage();
        let deadline = Instant::now() + Duration::from_secs(10);
        while group.usage().cpu < before.cpu + Duration::from_millis(20) {
            assert!(Instant::now() < deadline, "{:?}", group.usage());
        }
        assert!(before.resident > 100_000);
    }
}
