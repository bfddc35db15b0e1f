//! What measurements of subjects have in common: programs, cores, the machine's name, and how they end early.

use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use rustix::thread::{CpuSet, sched_getaffinity};
use tokio::signal::unix::{SignalKind, signal};

use super::subject::{Candidate, Subject};

/// What is run where.
#[derive(clap::Args, Clone, Debug)]
pub struct Setup {
    /// The core of the subjects [default: the last that may be used]
    #[arg(long, value_name = "CPU")]
    core: Option<usize>,
    /// The core of the load and the origins; best no hardware thread of the same one [default: the first]
    #[arg(long, value_name = "CPU")]
    other_core: Option<usize>,
    /// The balancer's program [default: ringkeeper beside this program]
    #[arg(long, value_name = "FILE")]
    ringkeeper: Option<PathBuf>,
}

impl Setup {
    /// The subjects' core and the other.
    pub fn cores(&self) -> anyhow::Result<(usize, usize)> {
        let mine = sched_getaffinity(None).context("the own cores are not known")?;
        let mut usable = (0..CpuSet::MAX_CPU).filter(|core| mine.is_set(*core));
        let first = usable.next().context("no core may be used")?;
        let (core, other) = (
            self.core.unwrap_or_else(|| usable.next_back().unwrap_or(first)),
            self.other_core.unwrap_or(first),
        );
        if core == other {
            eprintln!("warning: everything is on core {core}, so the numbers say little");
        }
        Ok((core, other))
    }

    /// Where the balancer's program is.
    pub fn ringkeeper(&self) -> anyhow::Result<PathBuf> {
        match &self.ringkeeper {
            Some(program) => std::path::absolute(program).context("no such path"),
            None => Ok(std::env::current_exe()
                .context("this program's own place is not known")?
                .with_file_name("ringkeeper")),
        }
    }
}

/// Those that are wanted and installed. Of the others it is said how to come by them.
pub fn candidates(wanted: &[Subject], setup: &Setup) -> anyhow::Result<Vec<Candidate>> {
    let ringkeeper = setup.ringkeeper()?;
    let mut found = Vec::new();
    for &subject in wanted {
        match subject.find(&ringkeeper) {
            Ok(candidate) => found.push(candidate),
            Err(why) if subject == Subject::Ringkeeper => bail!(why),
            Err(why) => eprintln!("{why}; it goes on without"),
        }
    }
    ensure!(!found.is_empty(), "there is nobody to measure");
    Ok(found)
}

/// What a measurement comes to, unless a signal ends it and with it all that it has started.
pub async fn uninterrupted<T>(measured: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        measured = measured => measured,
        _ = interrupt.recv() => bail!("interrupted; what was started has ended"),
        _ = terminate.recv() => bail!("terminated; what was started has ended"),
    }
}

/// A bar on a terminal's stderr.
pub fn progress(turns: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} turns, eta {eta}, {msg}")
        .expect("a sound template");
    ProgressBar::new(turns as u64).with_style(style.progress_chars("#>-"))
}

/// The processor's and the kernel's names.
pub fn machine() -> String {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpus.lines().find_map(|line| Some(line.strip_prefix("model name")?.split_once(':')?.1.trim()));
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{}, Linux {}", model.unwrap_or("unknown processor"), kernel.trim())
}
