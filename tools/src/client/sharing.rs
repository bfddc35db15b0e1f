//! What a pool's policy goes by. Pure.

use super::Pool;

/// What says which replica a request goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Its key's place on the ring.
    Ring,
    /// Its key, by another rule than the ring.
    Key,
    /// What the replicas have to do, or whose turn it is; keys do not matter.
    Load,
}

impl Pool {
    /// What its policy goes by. One that these tools do not know goes by load, of which they foretell nothing.
    pub fn shares_by(&self) -> By {
        match self.policy.as_str() {
            "" | "ring" | "bounded-ring" => By::Ring,
            "rendezvous" => By::Key,
            _ => By::Load,
        }
    }
}
