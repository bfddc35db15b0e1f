//! What happened and why, as values. Pure.

use std::{fmt, time::Duration};

use crate::name::{InstanceId, Name};

/// One thing that happened to a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The replica that it happened to.
    pub name: Name,
    /// The life of it that it happened in.
    pub instance: InstanceId,
    /// What it was.
    pub what: What,
}

/// What can happen to a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It became part of the desired set.
    Added,
    /// It answered its heartbeats and receives requests.
    Ready,
    /// It died, or is taken for dead; another instance takes its place.
    Died(Death),
    /// Somebody else runs it, and it is dead; it is started again.
    Mending(Death),
    /// Somebody else runs it, and it does not answer.
    Silent(Death),
    /// The engine would not start it.
    StartRefused(String),
    /// It left the desired set and finishes what it has.
    Removed,
    /// Its instance has left and is gone from the engine.
    Gone,
    /// Its share of the ring changed with its weight.
    Reweighted(u8),
    /// It failed this many requests in a row, and for this long others are preferred to it.
    Ejected(u32, Duration),
    /// Nothing is preferred to it any more: its ejection is over.
    Readmitted,
    /// It is to get no new requests until it is restored.
    Drained,
    /// It may get requests again.
    Restored,
    /// It leaves on demand; another instance takes its place.
    Restarted,
}

/// Why an instance counts as dead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Death {
    /// The engine says that it has ended.
    Exited {
        /// Its exit code, where the engine knows one.
        code: Option<i32>,
        /// Whether the kernel ended it for want of memory.
        out_of_memory: bool,
    },
    /// The engine has it no more.
    Vanished,
    /// This many heartbeats in a row failed.
    Heartbeats(u32),
    /// Its image's HEALTHCHECK says so.
    Unhealthy,
}

impl What {
    /// One word for it, which programs may go by.
    pub const fn word(&self) -> &'static str {
        match self {
            What::Added => "added",
            What::Ready => "ready",
            What::Died(_) | What::Mending(_) => "died",
            What::StartRefused(_) => "refused",
            What::Removed => "removed",
            What::Gone => "gone",
            What::Silent(_) => "silent",
            What::Reweighted(_) => "reweighted",
            What::Ejected(..) => "ejected",
            What::Readmitted => "readmitted",
            What::Drained => "drained",
            What::Restored => "restored",
            What::Restarted => "restarted",
        }
    }
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Death::Exited { out_of_memory: true, .. } => f.write_str("killed: out of memory"),
            Death::Exited { code: Some(code), .. } if *code > 128 => {
                write!(f, "exited with code {code} (signal {})", code - 128)
            }
            Death::Exited { code: Some(code), .. } => write!(f, "exited with code {code}"),
            Death::Exited { code: None, .. } => f.write_str("exited"),
            Death::Vanished => f.write_str("removed from outside"),
            Death::Unhealthy => f.write_str("unhealthy by its HEALTHCHECK"),
            Death::Heartbeats(1) => f.write_str("a heartbeat failed"),
            Death::Heartbeats(failed) => write!(f, "{failed} heartbeats in a row failed"),
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Added => f.write_str("added"),
            What::Ready => f.write_str("ready"),
            What::Died(death) => write!(f, "dead, replacing it: {death}"),
            What::Mending(death) => write!(f, "dead, starting it again: {death}"),
            What::Silent(death) => write!(f, "no requests until it answers again: {death}"),
            What::StartRefused(why) => write!(f, "could not be started: {why}"),
            What::Removed => f.write_str("leaving"),
            What::Gone => f.write_str("gone"),
            What::Reweighted(weight) => write!(f, "has weight {weight}"),
            What::Ejected(failed, time) => {
                let time = humantime::format_duration(*time);
                write!(f, "ejected for {time}, others are preferred: {failed} requests in a row failed")
            }
            What::Readmitted => f.write_str("gets its requests again, its ejection is over"),
            What::Drained => f.write_str("drained: no new requests until it is restored"),
            What::Restored => f.write_str("restored: gets its requests again"),
            What::Restarted => f.write_str("restarting: a fresh instance takes its place"),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.name, self.instance, self.what)
    }
}
