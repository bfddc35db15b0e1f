//! `ringtest bench`: Ringkeeper beside HAProxy, nginx and a bare TCP relay.
//!
//! Each subject is one thread on one core, with all its processes and threads kept to that; the load generator and three
//! origins have another core to themselves. All hash the parameter `request_id` over the same origins; the relay, which
//! sees no requests, gives each connection to one of them. `config` has what the peers are told: of their own they would
//! log, and do more, so nothing but what this comparison needs is on.
//!
//! In a round every subject has its turn at every workload, started anew, so that no workload sees the memory of another;
//! who begins changes from round to round. A turn has two parts. A closed loop, as fast as answers come, shows requests per
//! second, and memory under that load. Where the subject's core was not busy all the time, what is beside it was the limit,
//! and the number only says "at least". An open loop shows processor time and latencies: a fixed rate, the same for all
//! subjects, 60 % of what the slowest of them reached in first closed loops. Comparing these in closed loops would be
//! unfair: whoever is faster gets more requests, in larger batches, and its latency is that of the queue it was sent.
//! Latency counts from when a request was due. The generator shares a core with the origins, which adds to every latency
//! and to everyone's alike; and the subject's answers wait for that core too. So latencies are good to compare, and say
//! little about any machine alone.
//!
//! Processor time is the scheduler's, of the subject's whole process group, from a look after the warm-up to a look under
//! load at the end. Medians of the rounds count; `result` says how ratios are made.

pub mod circumstances;
pub mod config;
pub mod listen;
pub mod origins;
pub mod program;
pub mod relay;
mod report;
mod result;
pub mod setup;
pub mod subject;
mod turn;
mod usage;
mod workload;

use std::{net::SocketAddr, time::Duration};

use anyhow::Context;
use indicatif::ProgressBar;
use ringkeeper_tools::{
    assertion::Assertion,
    load::{Protocol, Rate},
};
use rustix::process::{Resource, getrlimit};

use self::{
    circumstances::Circumstances,
    result::{Numbers, Results, Sample},
    setup::Setup,
    subject::{Candidate, Running, Subject, Task},
    workload::Workload,
};
use super::{demand, output::Output};

/// How many origins there are.
const ORIGINS: usize = 3;

/// The part of the slowest subject's full rate that all are compared at.
const STEADY: f64 = 0.6;

/// The longest that the search for that rate looks at a subject, and how often: the best look counts, since what disturbs
/// one only makes it slower.
const SEARCH: Duration = Duration::from_millis(500);
const SEARCHES: usize = 3;

/// Files that a process needs beside those of its connections.
const SPARE_FILES: u64 = 200;

/// Put the balancer beside HAProxy, nginx and a bare TCP relay: processor time, rates, latencies, memory
#[derive(clap::Args, Clone, Debug)]
pub struct BenchArgs {
    /// How many turns each subject has at each workload
    #[arg(long, value_name = "R", default_value_t = 9, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// How long each of the two parts of a turn is
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "2s")]
    time: Duration,
    /// Only these workloads: get-8, get-64, get-512, get-5000, large-64, fresh-64, upload-8,
    /// http2-64, grpc-64 [default: all]
    #[arg(long = "workload", value_name = "NAME,…", value_delimiter = ',', value_parser = Workload::named)]
    workloads: Vec<Workload>,
    /// Only these subjects: ringkeeper, haproxy, nginx, relay [default: all that are installed]
    #[arg(long = "subject", value_name = "NAME,…", value_delimiter = ',', value_parser = Subject::named)]
    subjects: Vec<Subject>,
    #[command(flatten)]
    setup: Setup,
    /// Fail unless this holds, such as 'cpu_over_haproxy<=0.9'; may be given again
    #[arg(long = "assert", value_name = "ASSERTION")]
    assertions: Vec<Assertion>,
    #[command(flatten)]
    output: Output,
}

/// Whether what was asserted holds, as far as the peers it is about are installed.
pub async fn run(args: BenchArgs) -> anyhow::Result<bool> {
    demand::known(&args.assertions, &result::names())?;
    let (circumstances, results) = setup::uninterrupted(measure(&args)).await?;
    args.output.show(
        || report::json(&circumstances, &results),
        || report::text(&results),
        |folder| report::keep(folder, &circumstances, &results),
    )?;
    Ok(demand::hold_of_measured(&args.assertions, &results.measures())?)
}

async fn measure(args: &BenchArgs) -> anyhow::Result<(Circumstances, Results)> {
    let wanted = if args.subjects.is_empty() { &Subject::ALL } else { &args.subjects[..] };
    let (workloads, candidates) = (workloads(args), setup::candidates(wanted, &args.setup)?);
    let (core, other) = args.setup.cores()?;
    program::keep_to(other)?;
    let (_origins, addresses) = subject::origins(ORIGINS, other, false).await?;
    let (_http2_origins, http2) = subject::origins(ORIGINS, other, true).await?;
    let carried = |workload: &Workload| {
        candidates.iter().filter(|candidate| candidate.subject.carries(workload.protocol)).count()
    };
    let turns: usize = workloads.iter().map(carried).sum();
    let bench = Bench {
        time: args.time,
        core,
        addresses,
        http2,
        bar: setup::progress(turns * (1 + usize::from(args.rounds))),
        candidates,
    };
    let mut results = Results::new(bench.rates(&workloads).await?);
    for round in 1..=args.rounds.into() {
        bench.round(round, &mut results).await?;
    }
    bench.bar.finish_and_clear();
    Ok((Circumstances::of(&bench.candidates, args.rounds, args.time), results))
}

/// What all turns have in common.
struct Bench {
    candidates: Vec<Candidate>,
    time: Duration,
    core: usize,
    /// Of the origins that speak HTTP/1.1.
    addresses: Vec<SocketAddr>,
    /// Of those that speak HTTP/2.
    http2: Vec<SocketAddr>,
    bar: ProgressBar,
}

impl Bench {
    /// For each workload the rate that all subjects manage.
    async fn rates(&self, workloads: &[Workload]) -> anyhow::Result<Vec<(Workload, Rate)>> {
        let mut rates = Vec::new();
        for workload in workloads {
            let mut slowest = f64::INFINITY;
            for candidate in self.carriers(workload) {
                self.say("looking for a rate", candidate, workload);
                slowest = slowest.min(context(self.full(candidate, workload).await, candidate, workload)?);
            }
            rates.push((*workload, Rate::try_from(slowest * STEADY)?));
        }
        Ok(rates)
    }

    /// How many requests per second a subject reaches.
    async fn full(&self, candidate: &Candidate, workload: &Workload) -> anyhow::Result<f64> {
        let running = self.start(candidate, workload).await?;
        let mut best: f64 = 0.0;
        for _ in 0..SEARCHES {
            let reading = turn::take(&running, workload, None, self.time.min(SEARCH)).await?;
            best = best.max(reading.per_second());
        }
        Ok(best)
    }

    /// Everyone's turn at everything.
    async fn round(&self, round: usize, results: &mut Results) -> anyhow::Result<()> {
        for (workload, rate) in results.rates().to_vec() {
            let mut order: Vec<&Candidate> = self.carriers(&workload).collect();
            let first = round % order.len();
            order.rotate_left(first);
            for candidate in order {
                self.say(&format!("round {round}"), candidate, &workload);
                let running = self.start(candidate, &workload).await?;
                let full = turn::take(&running, &workload, None, self.time).await;
                let full = context(full, candidate, &workload)?;
                let steady = turn::take(&running, &workload, Some(rate), self.time).await;
                let numbers = Numbers::of(&full, &context(steady, candidate, &workload)?);
                let (workload, subject) = (workload.name, candidate.subject);
                results.samples.push(Sample { workload, subject, round, numbers });
            }
        }
        Ok(())
    }

    /// Those that can carry it.
    fn carriers(&self, workload: &Workload) -> impl Iterator<Item = &Candidate> {
        let protocol = workload.protocol;
        self.candidates.iter().filter(move |candidate| candidate.subject.carries(protocol))
    }

    async fn start(&self, candidate: &Candidate, workload: &Workload) -> anyhow::Result<Running> {
        let http2 = matches!(workload.protocol, Protocol::Grpc(_));
        let origins = if http2 { &self.http2 } else { &self.addresses };
        let task = Task { protocol: workload.protocol, rule: candidate.subject.hashing() };
        candidate.start(origins, self.core, task).await
    }

    fn say(&self, what: &str, candidate: &Candidate, workload: &Workload) {
        self.bar.set_message(format!("{what}: {} at {}", candidate.subject.title(), workload.name));
        self.bar.inc(1);
    }
}

fn context<T>(done: anyhow::Result<T>, candidate: &Candidate, workload: &Workload) -> anyhow::Result<T> {
    done.with_context(|| format!("{} at {}", candidate.subject.title(), workload.name))
}

/// Those that are wanted and for which there are files enough.
fn workloads(args: &BenchArgs) -> Vec<Workload> {
    let mut wanted = if args.workloads.is_empty() { workload::ALL.into() } else { args.workloads.clone() };
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    wanted.retain(|workload| {
        let needed = 2 * workload.connections as u64 + SPARE_FILES;
        if needed > files {
            eprintln!("{} is left out: it needs {needed} open files, of {files} (ulimit -n)", workload.name);
        }
        needed <= files
    });
    wanted
}
