//! What all numbers of a comparison depend on.

use std::time::Duration;

use serde::Serialize;

use super::{setup::machine, subject::Candidate};

/// What all numbers depend on.
#[derive(Clone, Debug, Serialize)]
pub struct Circumstances {
    /// The processor's and the kernel's names.
    pub machine: String,
    /// What the subjects say of themselves.
    pub versions: Vec<String>,
    /// How many rounds there were.
    pub rounds: usize,
    /// How long each was looked at.
    pub seconds: f64,
}

impl Circumstances {
    /// Of these subjects on this machine, each of which is looked at for this time in so many rounds.
    pub fn of(candidates: &[Candidate], rounds: u16, time: Duration) -> Self {
        Circumstances {
            machine: machine(),
            versions: candidates.iter().map(|candidate| candidate.version.clone()).collect(),
            rounds: rounds.into(),
            seconds: time.as_secs_f64(),
        }
    }

    /// How many rounds there were, in words.
    pub fn rounds(&self) -> String {
        if self.rounds == 1 { "1 round".to_owned() } else { format!("{} rounds", self.rounds) }
    }
}
