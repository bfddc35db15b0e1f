//! The tester of a running balancer.

mod bench;
mod run;
mod summary;

use std::process::ExitCode;

use clap::Parser;
use ringkeeper_tools::client::ClientError;

/// Test a running balancer.
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
    #[command(hide = true)]
    Bench(bench::BenchArgs),
}

/// One thread: what it tests has the others.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Run(args) => run::run(args).await,
        Command::Bench(args) => bench::run(args).await,
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error:#}");
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        super::Args::command().debug_assert();
    }
}
