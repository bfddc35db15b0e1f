//! `ringtest changes`: what requests notice of changes. A balancer with a hundred replicas carries a steady load; in every
//! other slice of the time it is told ten times a second to give a replica another weight, each of which makes a new ring.
//!
//! The balancer has one thread for requests on one core, which it makes the rings on as well; the load generator and the
//! origins have another.

mod changer;
mod slices;

use std::{
    cell::RefCell,
    rc::Rc,
    sync::mpsc,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use ringkeeper_tools::{
    assertion::{Assertion, Measure},
    base::Base,
    client::Client,
    ids::Ids,
    load::{self, Carry, Load, Protocol, Rate, Reuse},
    table,
};
use serde::Serialize;

use self::{
    changer::Changer,
    slices::{Latencies, Pair, Slice, Slices, medians, ratio},
};
use super::{
    bench::{
        program,
        setup::{self, Setup},
        subject::{self, Subject, Task},
    },
    demand,
    output::Output,
};

/// When an answer is given up.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Show what requests notice of ten changes of the ring a second
#[derive(clap::Args, Clone, Debug)]
pub struct ChangesArgs {
    /// How many replicas there are
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(2..=100))]
    replicas: u16,
    /// How many weights are changed a second
    #[arg(long, value_name = "K", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    changes: u32,
    /// How many slices there are with changes, and as many without
    #[arg(long, value_name = "P", default_value_t = 15, value_parser = clap::value_parser!(u16).range(1..))]
    pairs: u16,
    /// How long a slice is, at least half a second
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "2s")]
    time: Duration,
    /// How many requests a second
    #[arg(short = 'r', long, value_name = "RATE", default_value = "2000")]
    rate: Rate,
    /// How many connections
    #[arg(short = 'c', long, value_name = "C", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    #[command(flatten)]
    setup: Setup,
    /// Fail unless this holds, such as 'p99_ratio<=1.1'; may be given again
    #[arg(long = "assert", value_name = "ASSERTION")]
    assertions: Vec<Assertion>,
    #[command(flatten)]
    output: Output,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Found {
    machine: String,
    version: String,
    replicas: u16,
    requests_per_second: f64,
    /// As many as came to be made.
    changes_per_second: f64,
    /// How long one took until it was answered, on average.
    change_ms: f64,
    failed: u64,
    quiet: Slice,
    changing: Slice,
    /// Medians of the pairs' own ratios, with changes over without.
    p50_ratio: f64,
    p99_ratio: f64,
    pairs: Vec<Pair>,
}

/// Whether what was asserted holds.
pub async fn run(args: ChangesArgs) -> anyhow::Result<bool> {
    ensure!(args.time >= Duration::from_millis(500), "a slice is at least half a second long");
    demand::known(&args.assertions, &measures(0.0, 0.0))?;
    let found = setup::uninterrupted(measure(&args)).await?;
    args.output.print(|| serde_json::to_string(&found), || found.text())?;
    args.output.keep(|folder| folder.json("changes.json", &found))?;
    Ok(demand::hold(&args.assertions, &measures(found.p50_ratio, found.p99_ratio), "")?)
}

async fn measure(args: &ChangesArgs) -> anyhow::Result<Found> {
    let candidate = Subject::Ringkeeper.find(&args.setup.ringkeeper()?).map_err(anyhow::Error::msg)?;
    let (core, other) = args.setup.cores()?;
    program::keep_to(other)?;
    let (_origins, addresses) = subject::origins(args.replicas.into(), other, false).await?;
    let task = Task { protocol: Protocol::Http1, rule: candidate.subject.hashing() };
    let mut running = candidate.start(&addresses, core, task).await?;
    let admin: Base = running.program.says("ready for operators address=").await?.parse()?;
    let client = Client::new(running.base.clone(), admin);
    let names = client.pool().await?.replicas.into_iter().map(|replica| replica.name).collect();
    let slices = Slices { pairs: args.pairs.into(), length: args.time };
    let changer = Changer { client, names, rate: args.changes, slices };
    let (latencies, changed, failed) =
        observe(&load(args, running.base.clone(), slices), changer, slices).await?;
    let pairs = latencies.pairs();
    Ok(Found {
        machine: setup::machine(),
        version: candidate.version,
        replicas: args.replicas,
        requests_per_second: args.rate.per_second(),
        changes_per_second: changed.count as f64 / (args.time * args.pairs.into()).as_secs_f64(),
        change_ms: changed.took.as_secs_f64() * 1e3 / changed.count as f64,
        failed,
        quiet: medians(&pairs, |pair| pair.quiet),
        changing: medians(&pairs, |pair| pair.changing),
        p50_ratio: ratio(&pairs, |slice| slice.p50_ms),
        p99_ratio: ratio(&pairs, |slice| slice.p99_ms),
        pairs,
    })
}

fn load(args: &ChangesArgs, base: Base, slices: Slices) -> Load {
    Load {
        base,
        path: "/small".into(),
        protocol: Protocol::Http1,
        requests: (args.rate.per_second() * slices.whole().as_secs_f64()) as u64,
        connections: args.connections.into(),
        rate: Some(args.rate),
        carry: Carry::Query,
        reuse: Reuse::Ready,
        timeout: TIMEOUT,
    }
}

/// Sends the load, has changes made meanwhile, and says how many requests failed.
async fn observe(
    load: &Load,
    changer: Changer,
    slices: Slices,
) -> anyhow::Result<(Latencies, changer::Changed, u64)> {
    let (begun, begin) = mpsc::channel();
    let changing = changer.spawn(begin);
    let latencies = Rc::new(RefCell::new(Latencies::new(slices)?));
    let (entered, mut begun) = (latencies.clone(), Some(begun));
    let report = load::run(load, Ids::new(1), move |outcome| {
        if let Some(begun) = begun.take() {
            let _changer_has_failed_then = begun.send(Instant::now() - outcome.latency - outcome.begun);
        }
        entered.borrow_mut().enter(outcome.begun, outcome.latency);
    })
    .await?;
    let changed = changing.join().map_err(|_| anyhow::anyhow!("the changes ended in a panic"))??;
    let latencies = Rc::into_inner(latencies).context("the load has ended")?.into_inner();
    Ok((latencies, changed, report.failed()))
}

fn measures(p50_ratio: f64, p99_ratio: f64) -> [Measure; 2] {
    [Measure::number("p50_ratio", p50_ratio), Measure::number("p99_ratio", p99_ratio)]
}

impl Found {
    fn text(&self) -> String {
        let row = |what: &str, slice: Slice| {
            vec![what.to_owned(), format!("{:.3}", slice.p50_ms), format!("{:.3}", slice.p99_ms)]
        };
        let ratios =
            vec!["ratio".to_owned(), format!("{:.3}", self.p50_ratio), format!("{:.3}", self.p99_ratio)];
        let changing = format!("{:.1} changes a second", self.changes_per_second);
        let rows = vec![row("no changes", self.quiet), row(&changing, self.changing), ratios];
        let mut lines = table::lines(&["", "p50 ms", "p99 ms"], &["p50 ms", "p99 ms"], rows);
        lines.push(format!("{} replicas; a change took {:.0} ms", self.replicas, self.change_ms));
        if self.failed > 0 {
            lines.push(format!("{} requests failed", self.failed));
        }
        lines.join("\n")
    }
}
