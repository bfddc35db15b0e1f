//! Processes as `/proc` shows them.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

/// A process that another one started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Child {
    pub pid: Pid,
    /// Whether it has ended and nobody has taken note.
    pub is_zombie: bool,
}

/// The children of a process.
pub fn children(parent: Pid) -> Vec<Child> {
    let pids = fs::read_dir("/proc")
        .expect("processes")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let of_parent = |pid: String| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?; // gone meanwhile, or no process
        let (_, fields) = stat.rsplit_once(") ")?; // the name before may hold spaces
        let mut fields = fields.split(' ');
        let (state, its_parent) = (fields.next()?, fields.next()?);
        let is_its = its_parent.parse() == Ok(parent.as_raw_nonzero().get());
        is_its.then_some(Child { pid: Pid::from_raw(pid.parse().ok()?)?, is_zombie: state == "Z" })
    };
    pids.filter_map(of_parent).collect()
}

/// The value of a variable in the environment that a process was started with.
pub fn variable(pid: Pid, name: &str) -> Option<String> {
    let environment = fs::read_to_string(format!("/proc/{}/environ", pid.as_raw_nonzero())).ok()?;
    environment.split('\0').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
}

/// Kills it as `kill -9` does. Returns whether there was something to kill.
pub fn kill(pid: Pid) -> bool {
    kill_process(pid, Signal::KILL).is_ok()
}
