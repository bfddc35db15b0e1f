//! What can be asked for.

use clap_complete::Shell;

use super::{
    layout::Change,
    pools::{OfPools, OfRoutes},
};

/// What to do.
#[derive(clap::Subcommand, Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// List the replicas
    Rep,
    /// Request /home, which every replica answers
    Home,
    /// Add N replicas; those without a NAME get one
    Add {
        /// How many (left out: as many as there are names), then their names
        #[arg(value_name = "N|NAME", required = true)]
        what: Vec<String>,
        #[command(flatten)]
        pace: Pace,
    },
    /// Remove N replicas, the named among them
    #[command(visible_alias = "del")]
    Rm {
        /// How many (left out: as many as there are names), then their names
        #[arg(value_name = "N|REPLICA", required = true)]
        what: Vec<String>,
        #[command(flatten)]
        pace: Pace,
    },
    /// Add or remove as many as it takes to have N
    Scale {
        /// How many there shall be
        n: u64,
        #[command(flatten)]
        pace: Pace,
    },
    /// Give a replica a share WEIGHT times as large
    Weight {
        /// Its name
        replica: String,
        /// 1 to 100
        #[arg(value_parser = clap::value_parser!(u32).range(1..=100))]
        weight: u32,
    },
    /// Send a replica no new requests; what it has it finishes
    Drain {
        /// Its name
        replica: String,
    },
    /// Send a drained replica requests again
    Restore {
        /// Its name
        replica: String,
    },
    /// Put a fresh instance in a replica's place
    Restart {
        /// Its name
        replica: String,
    },
    /// Show how each replica is
    Status,
    /// The same, live
    Top,
    /// Show what happened to the replicas
    Events {
        /// Go on with what happens from now on
        #[arg(short, long)]
        follow: bool,
    },
    /// Show what a replica wrote to its log
    Logs {
        /// Its name
        replica: String,
        /// Go on with what it writes from now on
        #[arg(short, long)]
        follow: bool,
        /// How many lines of before
        #[arg(short = 'n', long, value_name = "LINES", default_value_t = 100)]
        tail: u32,
    },
    /// Say where requests with this key go, and why
    Explain {
        /// A key of requests, such as 132574 or user-77
        key: String,
    },
    /// Say what a change would move, without making it
    #[command(subcommand, subcommand_value_name = "add|rm")]
    Simulate(Simulated),
    /// Draw the ring
    Ring,
    /// List the pools, or change them
    Pools {
        /// What to do; without it, the list.
        #[command(subcommand)]
        what: Option<OfPools>,
    },
    /// List the routes to the pools, or change them
    Routes {
        /// What to do; without it, the list.
        #[command(subcommand)]
        what: Option<OfRoutes>,
    },
    /// Talk about this pool from now on (in the shell)
    Pool {
        /// Its name; left out: says which it is
        #[arg(value_name = "POOL")]
        name: Option<String>,
    },
    /// Look for what is wrong, and say how to mend it
    Doctor,
    /// Print a completion script, such as for eval "$(…)"
    Completions {
        /// For which shell
        shell: Shell,
    },
    /// A path to request.
    #[command(external_subcommand)]
    Path(Vec<String>),
}

/// A change that is not made.
#[derive(clap::Subcommand, Clone, Debug, PartialEq, Eq)]
pub enum Simulated {
    /// With N replicas more
    Add {
        /// How many (left out: as many as there are names), then their names
        #[arg(value_name = "N|NAME", required = true)]
        what: Vec<String>,
    },
    /// Without these replicas
    #[command(visible_alias = "del")]
    Rm {
        /// Their names
        #[arg(value_name = "REPLICA", required = true)]
        replicas: Vec<String>,
    },
}

/// When a change counts as done. Without either: when new replicas are ready, and no request goes to removed ones.
#[derive(clap::Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// Return when removed replicas have finished what they had and are gone, too
    #[arg(long, conflicts_with = "detach")]
    pub wait: bool,
    /// Return as soon as the balancer has taken it on
    #[arg(long)]
    pub detach: bool,
}

/// So many replicas, the first of them with these names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Many {
    pub n: u64,
    pub names: Vec<String>,
}

impl Many {
    /// Of a number and names, or of names alone. Never none.
    pub fn of(what: &[String]) -> Result<Self, String> {
        let (n, names) = match what {
            [first, names @ ..] if first.bytes().all(|byte| byte.is_ascii_digit()) => {
                (first.parse().map_err(|_| format!("{first} is more than can be counted"))?, names)
            }
            names => (names.len() as u64, names),
        };
        if n == 0 {
            return Err("0 replicas are nothing to do".into());
        }
        if names.len() as u64 > n {
            return Err(format!("{} names are more than {n}", names.len()));
        }
        Ok(Many { n, names: names.to_vec() })
    }
}

impl Command {
    /// Whether it is to change something.
    pub fn changes(&self) -> bool {
        use Command::{Add, Drain, Pools, Restart, Restore, Rm, Routes, Scale, Weight};
        matches!(self, Add { .. } | Rm { .. } | Scale { .. } | Weight { .. })
            || matches!(self, Drain { .. } | Restore { .. } | Restart { .. })
            || matches!(self, Pools { what: Some(_) } | Routes { what: Some(_) })
    }

    /// Whether it only looks, and ends by itself, so that it may be done again and again.
    pub fn reads(&self) -> bool {
        use Command::{Completions, Events, Logs, Pool};
        !self.changes()
            && !matches!(self, Logs { .. } | Events { follow: true } | Completions { .. } | Pool { .. })
    }
}

impl Simulated {
    /// The change.
    pub fn change(&self) -> Result<Change, String> {
        match self {
            Simulated::Add { what } => Many::of(what).map(|Many { n, names }| Change::Add { n, names }),
            Simulated::Rm { replicas } => Ok(Change::Remove(replicas.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn many(words: &str) -> Result<(u64, String), String> {
        let words: Vec<String> = words.split(' ').map(ToOwned::to_owned).collect();
        Many::of(&words).map(|many| (many.n, many.names.join(" ")))
    }

    #[test]
    fn a_number_may_stand_before_names_alone_or_nowhere() {
        assert_eq!(many("5 hello world"), Ok((5, "hello world".into())));
        assert_eq!(many("2"), Ok((2, String::new())));
        assert_eq!(many("hello world"), Ok((2, "hello world".into())));
    }

    #[test]
    fn none_and_more_names_than_replicas_are_refused() {
        for bad in ["0", "1 hello world", "99999999999999999999"] {
            assert!(many(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_changes_something_is_not_repeated() {
        let pace = Pace::default();
        assert!(Command::Status.reads() && Command::Ring.reads() && Command::Home.reads());
        let replica = || "s4".to_owned();
        assert!(
            !Command::Drain { replica: replica() }.reads()
                && !Command::Restart { replica: replica() }.reads()
        );
        assert!(!Command::Restore { replica: replica() }.reads());
        assert!(Command::Pools { what: None }.reads() && Command::Routes { what: None }.reads());
        assert!(!Command::Routes { what: Some(OfRoutes::Rm { number: 1 }) }.reads());
        assert!(!Command::Add { what: vec![], pace }.reads() && !Command::Scale { n: 1, pace }.reads());
    }
}
