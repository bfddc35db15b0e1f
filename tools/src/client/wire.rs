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

/// What `/v1/pools/{pool}` answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    /// The pool's name.
    pub pool: String,
    /// Which of its tables is in force; it grows with every change.
    pub epoch: u64,
    /// How the ring is made.
    pub ring: RingSpec,
    /// What keeps the balancer from healing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// The replicas in the order of joining, then those that leave.
    pub replicas: Vec<Replica>,
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

/// One replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    /// Its name.
    pub name: String,
    /// Its number on the ring.
    pub number: u16,
    /// `starting`, `ready`, `down` or `leaving`.
    pub state: String,
    /// Why it is down.
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
}

impl Replica {
    /// Whether requests go to it.
    pub fn is_ready(&self) -> bool {
        self.state == "ready"
    }

    /// Whether it was removed and only finishes what it has.
    pub fn is_leaving(&self) -> bool {
        self.state == "leaving"
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
    }
}
