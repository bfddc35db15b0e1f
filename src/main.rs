//! The program: parse, log, bind, run, exit code.

use std::{
    io::{Write, stdout},
    process::ExitCode,
};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use ringkeeper::{
    command::{
        check::{self, CheckArgs},
        doctor, down,
        ring::{self, RingArgs},
        socket_group::{SocketGroup, socket_group},
        status::{self, StatusArgs},
    },
    config::{Args, Config, Settings, source},
    limits,
    run::{Bound, run},
    telemetry,
};
use tokio::signal::unix::{SignalKind, signal};

/// A load balancer that owns its replicas: it routes requests over a hash ring, and creates, watches, heals and removes
/// the replicas itself.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Args,
}

#[derive(Subcommand)]
enum Command {
    /// Run the balancer (also without a subcommand)
    Serve(Box<Args>),
    Status(StatusArgs),
    /// Remove all replicas and everything else of a deployment; a running balancer drains and exits first
    Down(Box<Args>),
    Ring(RingArgs),
    Check(Box<CheckArgs>),
    /// Check everything that serve needs, with the same settings, and say how to mend what is wrong
    Doctor(Box<Args>),
    #[command(hide = true)]
    SocketGroup(SocketGroup),
}

fn main() -> ExitCode {
    match execute() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn execute() -> anyhow::Result<()> {
    let settled = match source::parse(Cli::command(), &std::env::args_os().collect::<Vec<_>>()) {
        Ok(settled) => settled,
        Err(invalid) => {
            check::refuse(&invalid, &mut stdout().lock())?;
            return Err(invalid.into());
        }
    };
    let cli = Cli::from_arg_matches(&settled.matches)?;
    let (settings, sections) = (settled.settings, settled.sections);
    let config = |args| placed(Config::of(args, sections.clone()), &settings);
    match cli.command {
        None => serve(config(cli.serve)?),
        Some(Command::Serve(args)) => serve(config(*args)?),
        Some(Command::Down(args)) => take_down(placed(Config::to_take_down(*args, sections), &settings)?),
        Some(Command::Doctor(args)) => runtime()?.block_on(doctor::run(config(*args)?, &mut stdout().lock())),
        Some(Command::Check(args)) => check::run(*args, settings, sections, &mut stdout().lock()),
        Some(Command::Status(args)) => runtime()?.block_on(status::run(args, &mut stdout().lock())),
        Some(Command::Ring(args)) => ring::run(args, &mut stdout().lock()),
        Some(Command::SocketGroup(args)) => Ok(writeln!(stdout(), "{}", socket_group(&args.path)?)?),
    }
}

/// Says of what is wrong where it was set.
fn placed(config: anyhow::Result<Config>, settings: &Settings) -> anyhow::Result<Config> {
    config.map_err(|error| anyhow::anyhow!(settings.placed(format!("{error:#}"))))
}

fn serve(config: Config) -> anyhow::Result<()> {
    telemetry::start();
    limits::raise_file_limit();
    runtime()?.block_on(async {
        let stop = stop_signal()?;
        let bound = Bound::bind(&config).await?;
        run(config, bound, stop).await
    })
}

fn take_down(config: Config) -> anyhow::Result<()> {
    telemetry::start();
    runtime()?.block_on(down::run(config))?;
    writeln!(stdout(), "nothing of the deployment is left")?;
    Ok(())
}

/// The runtime of everything but the data plane, which brings its own.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}

/// Done at the first SIGTERM or SIGINT.
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
