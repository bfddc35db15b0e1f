//! What can be typed.

use ringkeeper_tools::base::Base;

/// The port of a balancer's host where operators connect.
const ADMIN_PORT: u16 = 5001;

/// Ask a running balancer: its replicas, more or fewer of them, how they are, or any path that they serve.
#[derive(clap::Parser, Debug)]
#[command(
    name = "ringctl",
    version,
    after_help = "Any other word is a path to request: `ringctl hello/world`.\n\n\
                  Exit codes: 0 done, 1 refused, 2 wrong usage, 3 no balancer reached."
)]
pub struct Args {
    /// Where the balancer takes requests
    #[arg(
        long,
        value_name = "URL",
        env = "RINGCTL_URL",
        default_value = "http://127.0.0.1:5000",
        global = true
    )]
    pub url: Base,
    /// Where operators connect [default: port 5001 of the host of --url]
    #[arg(long, value_name = "URL", env = "RINGCTL_ADMIN_URL", global = true)]
    admin_url: Option<Base>,
    /// How to print the answer
    #[arg(short, long, value_name = "FORMAT", default_value = "text", global = true)]
    pub output: OutputFormat,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How an answer is printed.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputFormat {
    /// For people
    Text,
    /// For programs: one line of JSON
    Json,
}

/// What to do.
#[derive(clap::Subcommand, Debug)]
pub enum Command {
    /// List the replicas
    Rep,
    /// Request /home, which every replica answers
    Home,
    /// Add N replicas; those without a NAME get one
    Add {
        /// How many
        #[arg(value_parser = clap::value_parser!(u64).range(1..))]
        n: u64,
        /// Their names, at most N
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
    /// Remove N replicas: those with a NAME, the rest at random
    #[command(visible_alias = "del")]
    Rm {
        /// How many
        #[arg(value_parser = clap::value_parser!(u64).range(1..))]
        n: u64,
        /// Their names, at most N
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
    /// Show how each replica is
    Status,
    /// A path to request.
    #[command(external_subcommand)]
    Path(Vec<String>),
}

impl Args {
    /// Where operators connect.
    pub fn admin_url(&self) -> Base {
        self.admin_url.clone().unwrap_or_else(|| self.url.with_port(ADMIN_PORT))
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    fn parse(line: &str) -> Args {
        Args::try_parse_from(line.split(' ')).expect(line)
    }

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_originals_words_work_as_typed() {
        let names = |names: &[String]| names.join(" ");
        assert!(matches!(parse("ringctl add 5 hello world").command,
            Command::Add { n: 5, names: given } if names(&given) == "hello world"));
        assert!(matches!(parse("ringctl del 5 hello world").command,
            Command::Rm { n: 5, names: given } if names(&given) == "hello world"));
        assert!(
            matches!(parse("ringctl hello/world").command, Command::Path(words) if words == ["hello/world"])
        );
    }

    #[test]
    fn operators_are_on_the_same_hosts_next_port_unless_said() {
        assert_eq!(parse("ringctl --url http://lb:80 rep").admin_url().to_string(), "http://lb:5001");
        let said = "ringctl rep --url http://lb:80 --admin-url lb:9";
        assert_eq!(parse(said).admin_url().to_string(), "http://lb:9");
    }
}
