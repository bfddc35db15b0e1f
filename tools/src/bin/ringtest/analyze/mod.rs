//! `ringtest analyze`: the assignment's whole analysis, live, on balancers of its own, and a report of it.
//!
//! `series` counts requests for each hash and number of servers, `published` holds the exact shares
//! against the numbers that were published, `endpoints` and `recovery` are A-3, `figures` draws, `report` writes.

mod endpoints;
mod figures;
mod published;
mod recovery;
mod report;
mod series;

use std::{path::PathBuf, time::Duration};

use anyhow::bail;
use ringkeeper_tools::{
    folder::Folder,
    subject::{Engine, Settings},
    target::Blow,
};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use self::{endpoints::Endpoints, published::Cell, recovery::Recovery, series::Count};
use crate::{
    output::print,
    own::{self, Clock},
};

/// Make the assignment's whole analysis, A-1 to A-4, on balancers of its own, with charts and a report
#[derive(clap::Args, Clone, Debug)]
pub struct AnalyzeArgs {
    /// What runs the replicas: docker or process [default: docker, if one answers]
    #[arg(long, value_name = "ENGINE", value_parser = own::engine)]
    engine: Option<Engine>,
    /// The balancer's program [default: ringkeeper beside this one]
    #[arg(long, value_name = "PATH")]
    ringkeeper: Option<PathBuf>,
    /// The image of the replicas (docker)
    #[arg(long, default_value = "ringkeeper-server")]
    image: String,
    /// How many requests for each count
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    requests: u64,
    /// How many connections
    #[arg(short = 'c', long, value_name = "C", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// The most servers; counts are made from 2 on
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u16).range(3..=50))]
    most: u16,
    /// How long each recovery is watched
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "8s")]
    watch: Duration,
    /// What the ids are drawn from
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Where the report, the charts and the numbers go
    #[arg(long, value_name = "DIR", default_value = "plots")]
    out: PathBuf,
}

/// Everything that was found.
#[derive(Serialize)]
struct Analysis {
    engine: &'static str,
    requests: u64,
    connections: u16,
    seed: u64,
    counts: Vec<Count>,
    published: Vec<Cell>,
    endpoints: Endpoints,
    recoveries: Vec<Recovery>,
}

/// Whether every count is exact, no counted request failed, and the published numbers are the ring's.
pub async fn run(args: AnalyzeArgs) -> anyhow::Result<bool> {
    let settings = own::settings(args.engine, args.ringkeeper.as_deref(), &args.image)?;
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let analysis = tokio::select! {
        analysis = analysis(&args, &settings) => analysis?,
        _ = interrupt.recv() => bail!("interrupted; what was started is removed"),
        _ = terminate.recv() => bail!("terminated; what was started is removed"),
    };
    let mut folder = Folder::new(&args.out);
    figures::keep(&mut folder, &analysis)?;
    folder.json("analysis.json", &analysis)?;
    folder.file("README.md", report::of(&analysis))?;
    print(&report::short(&analysis))?;
    print(&format!("\nthe report is {}", folder.path().join("README.md").display()))?;
    Ok(analysis.is_well())
}

impl Analysis {
    fn is_well(&self) -> bool {
        self.counts.iter().all(|count| count.exact && count.failed == 0)
            && self.published.iter().all(Cell::agrees)
            && self.endpoints.calls.iter().all(endpoints::Call::is_as_expected)
    }

    /// The counts of one hash, by number of servers.
    fn of<'a>(&'a self, hash: &'a str) -> impl Iterator<Item = &'a Count> {
        self.counts.iter().filter(move |count| count.hash == hash)
    }
}

async fn analysis(args: &AnalyzeArgs, settings: &Settings) -> anyhow::Result<Analysis> {
    let clock = Clock::start();
    clock.say(&format!("replicas run on {}", settings.engine.word()));
    let mut counts = Vec::new();
    for hash in series::HASHES {
        counts.extend(series::of(hash, args, settings, &clock).await?);
    }
    clock.say("A-3: every endpoint");
    let endpoints = endpoints::walk(settings).await?;
    let mut recoveries = Vec::new();
    for blow in [Blow::Kill, Blow::Freeze] {
        clock.say(&format!("A-3: recovery after a {blow:?}, watched for {:?}", args.watch));
        recoveries.push(recovery::watch(settings, blow, args).await?);
    }
    Ok(Analysis {
        engine: settings.engine.word(),
        requests: args.requests,
        connections: args.connections,
        seed: args.seed,
        counts,
        published: published::check()?,
        endpoints,
        recoveries,
    })
}
