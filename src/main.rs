//! The command line of Ringkeeper.

use clap::Parser;
use ringkeeper::command::ring::{self, RingArgs};

/// A load balancer that owns its replicas.
#[derive(Parser)]
#[command(version)]
enum Command {
    Ring(RingArgs),
}

fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Ring(args) => ring::run(args, &mut std::io::stdout().lock()),
    }
}
