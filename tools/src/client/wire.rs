//! The control API's JSON as the tools read it. Fields that they do not know are passed over.

use serde::{Deserialize, Serialize};

/// What `/rep`, `/add` and `/rm` answer: the replicas in the order of joining.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replicas {
    /// How many there are.
    #[serde(rename = "N")]
    pub count: usize,
    /// Their names.
    pub replicas: Vec<String>,
}

/// The assignment's envelope.
#[derive(Debug, Deserialize)]
pub(super) struct Reply<T> {
    pub message: T,
}

/// What `/add` and `/rm` take.
#[derive(Debug, Serialize)]
pub(super) struct Change<'a> {
    pub n: u64,
    pub hostnames: &'a [String],
}

/// Why `/v1` did nothing: problem details (RFC 9457).
#[derive(Debug, Deserialize)]
pub(super) struct Problem {
    pub detail: String,
}

/// What `/v1/pools/{pool}/scale` takes.
#[derive(Debug, Serialize)]
pub(super) struct Scale {
    pub replicas: u64,
}

/// What `/v1/pools/{pool}/replicas/{name}/weight` takes.
#[derive(Debug, Serialize)]
pub(super) struct Weighting {
    pub weight: u32,
}

/// What `/v1/pools/{pool}/events` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    /// What happened, in order.
    pub events: Vec<Event>,
    /// The number of the newest event that there is.
    pub last: u64,
}

/// One thing that happened to a replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its number; it grows.
    pub seq: u64,
    /// When (RFC 3339).
    pub at: String,
    /// The replica.
    pub name: String,
    /// The life of it that it happened in.
    #[serde(default)]
    pub instance: String,
    /// `added`, `ready`, `died`, `refused`, `removed`, `gone` or `reweighted`.
    pub kind: String,
    /// What happened, in words.
    pub text: String,
    /// The last lines of the instance's log, where they say why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
}

/// What `/v1/pools/{pool}` answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    /// The pool's name.
    pub pool: String,
    /// Which of its tables is in force; it grows with every change.
    pub epoch: u64,
    /// How the ring is made.
    pub ring: RingSpec,
    /// What shares its requests out; empty where a balancer does not tell, which then goes by the ring.
    #[serde(default)]
    pub policy: String,
    /// Where requests wait that find all replicas full, where they may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<Queue>,
    /// What keeps the balancer from healing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// The replicas in the order of joining, then those that leave.
    pub replicas: Vec<Replica>,
    /// The requests of the whole pool.
    #[serde(default)]
    pub totals: Totals,
}

/// Requests that wait for a replica. What a balancer does not tell is 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Queue {
    /// How many do.
    pub length: u64,
    /// How many may.
    pub most: u64,
    /// How long those who got a replica of late had waited, on average.
    pub waited_ms: u64,
    /// How many waited in vain for as long as they may.
    pub timeouts: u64,
    /// How many found it full, or had to make room.
    pub refused: u64,
}

/// How a ring is made, in the words of the balancer's flags.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RingSpec {
    /// M.
    pub slots: u32,
    /// How many virtual servers a server has, or `full`.
    #[serde(rename = "virtual")]
    pub placement: String,
    /// `linear` or `quadratic`.
    pub probing: String,
    /// The hash functions.
    pub hash: String,
    /// The part of its share that a server may own beyond it.
    pub slack: f64,
}

/// One replica. What a balancer does not tell is `None`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Replica {
    /// Its name.
    pub name: String,
    /// Its number on the ring.
    pub number: u16,
    /// `starting`, `ready`, `suspected`, `ejected`, `drained`, `down`, `crash-looping` or `leaving`.
    pub state: String,
    /// Why it is down, or why others are preferred to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when it is in this state (RFC 3339).
    pub since: String,
    /// Which life of it this is.
    pub instance: String,
    /// `IP:PORT`, while it runs.
    #[serde(default)]
    pub address: Option<String>,
    /// How many instances came before this one.
    pub restarts: u32,
    /// How much of the ring it gets, in comparison with the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u8>,
    /// Whether it was ever ready, so that it has its place on the ring.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_ring: Option<bool>,
    /// Whether it is to get no requests, as an operator wants it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drained: Option<bool>,
    /// The requests that it has at this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<u64>,
    /// The requests since its instance started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<u64>,
    /// Those that its instance failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errors: Option<u64>,
    /// Those that moved on from it to another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u64>,
    /// Its responses that broke off when the client had their heads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncated: Option<u64>,
    /// Those of its instance that are done with; with those under way they are all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed: Option<u64>,
    /// Those that could not be sent to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreached: Option<u64>,
    /// How often others came to be preferred to it for what it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ejections: Option<u64>,
    /// Requests that wait for a connection to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u64>,
    /// How long it took of late until its responses began, if there were some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// How the instance before ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_exit: Option<Exit>,
}

/// The requests of a pool, whatever became of the replicas that they went to. What a balancer does not tell is 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// All that were given to a replica, each time anew.
    pub dispatched: u64,
    /// Those that are done with.
    pub completed: u64,
    /// Those under way.
    pub pending: u64,
    /// Those that a replica failed.
    pub errors: u64,
    /// Those that moved on to another.
    pub retries: u64,
    /// How long it took of late until responses began, if there were some.
    pub latency: Option<Latency>,
}

/// How long answers took, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Latency {
    /// What half of them did not take longer than.
    pub p50_ms: f64,
    /// 90 of 100.
    pub p90_ms: f64,
    /// 99 of 100.
    pub p99_ms: f64,
    /// All of them.
    pub max_ms: f64,
}

/// How an instance ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// In words.
    pub reason: String,
    /// Its exit code, where one is known.
    #[serde(default)]
    pub code: Option<i32>,
    /// Whether the kernel ended it for want of memory.
    #[serde(default)]
    pub oom: bool,
    /// When it was noticed (RFC 3339).
    pub at: String,
    /// The last lines of its log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
}

impl Pool {
    /// Who is wanted, in the order of joining.
    pub fn desired(&self) -> Replicas {
        let rows = self.replicas.iter().filter(|replica| !replica.is_leaving());
        let replicas: Vec<String> = rows.map(|replica| replica.name.clone()).collect();
        Replicas { count: replicas.len(), replicas }
    }
}

impl Replica {
    /// Whether requests go to it, and nothing speaks against it.
    pub fn is_ready(&self) -> bool {
        self.state == "ready"
    }

    /// Whether requests may go to it: it is ready, or others are preferred to it for a while.
    pub fn serves(&self) -> bool {
        self.is_ready() || ["suspected", "ejected"].contains(&self.state.as_str())
    }

    /// Whether it was removed and only finishes what it has.
    pub fn is_leaving(&self) -> bool {
        self.state == "leaving"
    }

    /// Whether it has its place on the ring: who was ever ready and does not leave. Of a balancer that does not tell, who
    /// is not starting for the first time.
    pub fn is_on_ring(&self) -> bool {
        let told = self.on_ring.unwrap_or(self.is_ready() || self.restarts > 0 || self.state != "starting");
        told && !self.is_leaving()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_tools_do_not_know_is_passed_over() {
        let text = r#"{"pool":"default","epoch":4,"new":1,
            "ring":{"slots":512,"virtual":"9","probing":"linear","hash":"prime","slack":0.01,"new":1},
            "replicas":[{"name":"Server-1","number":1,"state":"ready","since":"2024-01-01T00:00:00.000Z",
                "instance":"0a","address":"127.0.0.1:4000","restarts":0,"last_exit":null,"new":1}]}"#;
        let pool: Pool = serde_json::from_str(text).expect("a pool");
        assert_eq!((pool.epoch, pool.ring.placement.as_str()), (4, "9"));
        assert!(pool.replicas[0].is_ready() && !pool.replicas[0].is_leaving());
        assert_eq!((pool.replicas[0].weight, pool.replicas[0].requests), (None, None));
        assert_eq!((&pool.replicas[0].latency, &pool.totals), (&None, &Totals::default()));
    }

    #[test]
    fn on_the_ring_is_who_the_balancer_says_or_who_was_ready_once() {
        let on_ring = |state: &str, restarts, told| {
            Replica { state: state.into(), restarts, on_ring: told, ..Replica::default() }.is_on_ring()
        };
        assert!(on_ring("ready", 0, None) && on_ring("starting", 1, None) && on_ring("down", 0, None));
        assert!(!on_ring("starting", 0, None) && !on_ring("leaving", 3, None));
        assert!(!on_ring("crash-looping", 9, Some(false)) && on_ring("starting", 0, Some(true)));
        assert!(!on_ring("leaving", 0, Some(true)));
    }
}
