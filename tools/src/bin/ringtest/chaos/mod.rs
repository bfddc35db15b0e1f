//! `ringtest chaos`: what clients see while replicas die, freeze, misbehave, leave and join, and whether it is what is
//! promised; beside it the same with HAProxy in front of the same replicas.
//!
//! In reading order: `fault` is what can happen, `trial` makes it happen once, with `generator` for the load, `strike` for
//! the blow, `collector` for who executed what, `haproxy` to compare with; `bare` is what Docker takes by itself; `row`
//! judges, `report` writes.

mod bare;
mod collector;
mod fault;
mod generator;
mod haproxy;
mod report;
mod row;
mod strike;
mod trial;

use std::path::PathBuf;

use anyhow::{bail, ensure};
use ringkeeper_tools::subject::Engine;
use rustix::process::{Resource, getrlimit};
use tokio::signal::unix::{SignalKind, signal};

use self::{
    collector::Collector,
    fault::Fault,
    report::{Chaos, Entry},
    row::Front,
    trial::{Times, Trials},
};
use crate::{
    output::Output,
    own::{self, Clock},
};

/// Open files that suffice where a third of all requests hang for as long as a client waits.
const FILES: u64 = 12_000;

/// Let replicas die, freeze, misbehave, leave and join under load, and count what clients see
#[derive(clap::Args, Clone, Debug)]
pub struct ChaosArgs {
    /// Only this fault; may be given again [default: all that the engine can have]
    #[arg(long = "fault", value_name = "NAME")]
    faults: Vec<Fault>,
    /// Only the most important faults, each for as short as it can be, without HAProxy
    #[arg(long)]
    short: bool,
    /// Do not put HAProxy in front of the same replicas to compare
    #[arg(long)]
    without_haproxy: bool,
    /// What runs the replicas: docker or process [default: docker, if one answers]
    #[arg(long, value_name = "ENGINE", value_parser = own::engine)]
    engine: Option<Engine>,
    /// The balancer's program [default: ringkeeper beside this one]
    #[arg(long, value_name = "PATH")]
    ringkeeper: Option<PathBuf>,
    /// The image of the replicas, which runs `ringtest origin` (docker; `make chaos` makes one)
    #[arg(long, default_value = "ringkeeper-origin")]
    image: String,
    #[command(flatten)]
    output: Output,
}

/// Whether everything that is promised was the case.
pub async fn run(args: ChaosArgs) -> anyhow::Result<bool> {
    let settings = own::settings(args.engine, args.ringkeeper.as_deref(), &args.image)?;
    let engine = settings.engine;
    let faults = args.chosen(engine)?;
    let fronts = args.fronts();
    warn_of_few_files();
    let clock = Clock::start();
    clock.say(&format!("replicas run on {}", engine.word()));
    let bare = if engine == Engine::Docker { Some(bare::docker_run(&settings.image)?) } else { None };
    let times = if args.short { Times::SHORT } else { Times::WHOLE };
    let trials = Trials { collector: Collector::start(engine)?, settings, times, bare };
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let entries = tokio::select! {
        entries = all(&trials, &faults, &fronts, &clock) => entries,
        _ = interrupt.recv() => bail!("interrupted; what was started is removed"),
        _ = terminate.recv() => bail!("terminated; what was started is removed"),
    };
    let chaos = Chaos::new(engine.word(), bare, &entries);
    let others = haproxy::version().filter(|_| fronts.len() > 1).map(|(_, version)| version);
    args.output
        .print(|| serde_json::to_string(&chaos), || report::text(&chaos, &entries, others.as_deref()))?;
    args.output.keep(|folder| {
        folder.file("chaos.csv", chaos.csv())?;
        folder.json("chaos.json", &chaos)
    })?;
    if args.output.json {
        chaos.misses().iter().for_each(|miss| eprintln!("missed: {miss}"));
    }
    Ok(chaos.misses().is_empty())
}

/// Each fault with each in front, one after the other.
async fn all(trials: &Trials, faults: &[Fault], fronts: &[Front], clock: &Clock) -> Vec<Entry> {
    let mut entries = Vec::new();
    for fault in faults {
        for front in fronts {
            if *front != Front::Ringkeeper && !fault.suits_haproxy() {
                entries.push(Entry::Senseless(*fault, *front));
                continue;
            }
            let entry = match trials.run(*fault, *front).await {
                Ok(row) => Entry::Row(row),
                Err(error) => Entry::Unmeasured(*fault, *front, in_a_line(&format!("{error:#}"))),
            };
            clock.say(&entry.sentence());
            entries.push(entry);
        }
    }
    entries
}

/// The beginning of what was said, which says why.
fn in_a_line(said: &str) -> String {
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).take(2).collect();
    lines.join(" ")
}

impl ChaosArgs {
    /// The faults, in the order of the table.
    fn chosen(&self, engine: Engine) -> anyhow::Result<Vec<Fault>> {
        if let Some(fault) = self.faults.iter().find(|fault| !fault.suits(engine)) {
            bail!("{} needs containers, and the replicas are processes: --engine docker", fault.name());
        }
        let all: &[Fault] = if self.short { &fault::SHORT } else { &fault::ALL };
        let given = |fault: &Fault| self.faults.is_empty() || self.faults.contains(fault);
        let all = if self.faults.is_empty() { all } else { &fault::ALL };
        let chosen: Vec<Fault> =
            all.iter().copied().filter(|fault| given(fault) && fault.suits(engine)).collect();
        ensure!(!chosen.is_empty(), "there is nothing to do");
        Ok(chosen)
    }

    /// Who is in front, one after the other.
    fn fronts(&self) -> Vec<Front> {
        if self.short || self.without_haproxy {
            return vec![Front::Ringkeeper];
        }
        if haproxy::version().is_none() {
            eprintln!(
                "warning: haproxy is not installed, so nothing is compared with it (Debian: apt-get install haproxy)"
            );
            return vec![Front::Ringkeeper];
        }
        vec![Front::Ringkeeper, Front::Haproxy, Front::HaproxyTuned]
    }
}

/// Each connection is an open file, here, in the balancer and in HAProxy.
fn warn_of_few_files() {
    if let Some(limit) = getrlimit(Resource::Nofile).maximum
        && limit < FILES
    {
        eprintln!(
            "warning: this system allows {limit} open files, where requests that hang may need {FILES}: raise it (ulimit -Hn)"
        );
    }
}
