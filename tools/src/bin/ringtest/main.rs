//! The tester: of a running balancer, of one of its own, of one beside its peers, and of the ring alone.

mod analyze;
mod bench;
mod changes;
mod chaos;
mod compare;
mod demand;
mod generator;
mod origin;
mod output;
mod own;
mod picture;
mod policies;
mod ring;
mod run;
mod summary;

use std::process::ExitCode;

use clap::Parser;
use ringkeeper_tools::{assertion::Mismatch, client::ClientError};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Test a balancer, and the ring behind it.
#[derive(clap::Parser, Debug)]
#[command(
    name = "ringtest",
    version,
    after_help = "Exit codes: 0 all is well, 1 it is not, 2 wrong usage, 3 no balancer reached."
)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    Run(run::RunArgs),
    Analyze(analyze::AnalyzeArgs),
    Chaos(chaos::ChaosArgs),
    Ring(ring::RingArgs),
    Compare(compare::CompareArgs),
    Bench(bench::BenchArgs),
    Policies(policies::PoliciesArgs),
    Changes(changes::ChangesArgs),
    /// Be a replica of the chaos
    #[command(hide = true)]
    Origin,
    #[command(hide = true)]
    Generator(generator::GeneratorArgs),
    #[command(hide = true)]
    Relay(bench::relay::RelayArgs),
    #[command(hide = true)]
    Origins(bench::origins::OriginsArgs),
}

/// One thread: what it tests has the others.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    raise_file_limit();
    let done = match Args::parse().command {
        Command::Run(args) => run::run(args).await,
        Command::Analyze(args) => analyze::run(args).await,
        Command::Chaos(args) => chaos::run(args).await,
        Command::Ring(args) => ring::run(args),
        Command::Compare(args) => compare::run(args),
        Command::Bench(args) => bench::run(args).await,
        Command::Policies(args) => policies::run(args).await,
        Command::Changes(args) => changes::run(args).await,
        Command::Origin => origin::run().await,
        Command::Generator(args) => generator::run(args).await,
        Command::Relay(args) => bench::relay::run(args).await,
        Command::Origins(args) => bench::origins::run(args).await,
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error:#}");
            if error.is::<Mismatch>() {
                return ExitCode::from(2);
            }
            match error.downcast_ref::<ClientError>() {
                Some(ClientError::Refused { .. }) | None => ExitCode::from(1),
                Some(_) => {
                    eprintln!("  start one with `make`, or say where it is with --url and --admin-url");
                    ExitCode::from(3)
                }
            }
        }
    }
}

/// As many open files as the system lets this process have: each connection is one, and so is its timer.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let _fewer_connections_then = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        super::Args::command().debug_assert();
    }
}
