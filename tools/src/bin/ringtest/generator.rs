//! `ringtest generator`: how fast the load generator itself is, beside wrk where that is installed. Both run on one core, turn
//! by turn, against one origin that is kept on another.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use ringkeeper_tools::{
    base::Base,
    ids::Ids,
    load::{self, Carry, Load, Protocol, Reuse},
    stats, table,
};
use rustix::{
    process::Pid,
    thread::{CpuSet, sched_setaffinity},
};

/// The part of wrk's rate that the generator must reach.
const WANTED: f64 = 0.7;

/// Measure the load generator, beside wrk if that is installed
#[derive(clap::Args, Clone, Debug)]
pub struct GeneratorArgs {
    /// An origin that is running already, to be kept off the generators' core by you [default: ringkeeper-server]
    #[arg(long, value_name = "URL")]
    url: Option<Base>,
    /// The path that is requested
    #[arg(long, default_value = "/home")]
    path: String,
    /// How long wrk runs in a round; the generator sends as many requests as that
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "3s")]
    time: Duration,
    /// How many connections
    #[arg(short = 'c', long, value_name = "C", default_value_t = 64)]
    connections: usize,
    /// How many turns each has
    #[arg(long, value_name = "R", default_value_t = 5)]
    rounds: usize,
    /// The core of the generators
    #[arg(long, value_name = "CPU", default_value_t = 0)]
    core: usize,
    /// The core of the origin
    #[arg(long, value_name = "CPU", default_value_t = 1)]
    origin_core: usize,
}

/// What one round came to.
#[derive(Clone, Copy, Debug)]
struct Round {
    requests: f64,
    per_second: f64,
    /// Seconds of processor time.
    cpu: f64,
}

/// Whether the generator is fast enough, or there is nothing to compare it with.
pub async fn run(args: GeneratorArgs) -> anyhow::Result<bool> {
    let origin = if args.url.is_none() { Some(Origin::start(args.origin_core)?) } else { None };
    let base = match (&args.url, &origin) {
        (Some(base), _) => base.clone(),
        (None, Some(origin)) => origin.base.clone(),
        (None, None) => unreachable!("one of them is there"),
    };
    pin(None, args.core)?;
    let wrk = Command::new("wrk").arg("--version").output().is_ok();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut requests = 20_000;
    for _ in 0..args.rounds.max(1) {
        if wrk {
            theirs.push(by_wrk(&args, &base)?);
        }
        let round = by_us(&args, &base, requests).await?;
        requests = (round.per_second * args.time.as_secs_f64()) as u64 + 1;
        ours.push(round);
    }
    Ok(report(&ours, &theirs))
}

fn report(ours: &[Round], theirs: &[Round]) -> bool {
    let row = |name: &str, rounds: &[Round]| {
        let rate = stats::median(&rounds.iter().map(|round| round.per_second).collect::<Vec<_>>());
        let cpu: Vec<f64> = rounds.iter().map(|round| round.cpu / round.requests * 1e6).collect();
        let micros = stats::median(&cpu);
        vec![name.to_owned(), format!("{rate:.0}"), format!("{micros:.2}")]
    };
    let mut rows = vec![row("ringtest", ours)];
    if !theirs.is_empty() {
        rows.push(row("wrk", theirs));
    }
    let header = ["GENERATOR", "REQUESTS/S", "CPU µs/REQUEST"];
    for line in table::lines(&header, &header[1..], rows) {
        anstream::println!("{line}");
    }
    if theirs.is_empty() {
        println!("wrk is not installed, so there is nothing to compare with");
        return true;
    }
    let rates = |rounds: &[Round]| rounds.iter().map(|round| round.per_second).collect::<Vec<_>>();
    let part = stats::median(&rates(ours)) / stats::median(&rates(theirs));
    println!("{:.0} % of wrk's rate (wanted: {:.0} %)", part * 100.0, WANTED * 100.0);
    part >= WANTED
}

async fn by_us(args: &GeneratorArgs, base: &Base, requests: u64) -> anyhow::Result<Round> {
    let load = Load {
        base: base.clone(),
        path: args.path.clone(),
        protocol: Protocol::Http1,
        requests,
        connections: args.connections,
        rate: None,
        carry: Carry::Query,
        reuse: Reuse::Kept,
        timeout: Duration::from_secs(10),
    };
    let before = cpu_seconds()?.0;
    let report = load::run(&load, Ids::new(1), |_| ()).await?;
    if report.failed() > 0 {
        bail!("{} of {requests} requests failed: {:?}", report.failed(), report.failures);
    }
    let cpu = cpu_seconds()?.0 - before;
    Ok(Round { requests: requests as f64, per_second: report.per_second(), cpu })
}

fn by_wrk(args: &GeneratorArgs, base: &Base) -> anyhow::Result<Round> {
    let before = cpu_seconds()?.1;
    let output = Command::new("wrk")
        .args(["-t1", "-c", &args.connections.to_string(), "-d", &format!("{}s", args.time.as_secs().max(1))])
        .arg(format!("http://{}{}?request_id=132574", base.authority(), base.path(&args.path)))
        .output()
        .context("wrk does not start")?;
    let cpu = cpu_seconds()?.1 - before;
    let text = String::from_utf8_lossy(&output.stdout);
    let number = |line: &str| line.split_whitespace().find_map(|word| word.parse::<f64>().ok());
    let rate = text.lines().find(|line| line.starts_with("Requests/sec")).and_then(number);
    let requests = text.lines().find(|line| line.contains(" requests in ")).and_then(number);
    let (per_second, requests) = rate
        .zip(requests)
        .with_context(|| format!("wrk says: {text}{}", String::from_utf8_lossy(&output.stderr)))?;
    Ok(Round { requests, per_second, cpu })
}

/// The processor time of this process and of its ended children, in seconds (proc(5): clock ticks are hundredths).
fn cpu_seconds() -> anyhow::Result<(f64, f64)> {
    let stat = std::fs::read_to_string("/proc/self/stat").context("the processor time is not known")?;
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: Vec<f64> =
        after_name.split_whitespace().skip(11).take(4).filter_map(|word| word.parse().ok()).collect();
    let [user, system, children_user, children_system] = ticks[..] else { bail!("/proc/self/stat: {stat}") };
    Ok(((user + system) / 100.0, (children_user + children_system) / 100.0))
}

fn pin(process: Option<Pid>, core: usize) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(process, &set).with_context(|| format!("cannot keep to core {core}"))
}

/// The sample replica, on a core of its own; killed when this is dropped.
struct Origin {
    process: Child,
    base: Base,
}

impl Origin {
    fn start(core: usize) -> anyhow::Result<Self> {
        let program = beside("ringkeeper-server")?;
        let process = Command::new(&program)
            .envs([("BIND", "127.0.0.1"), ("PORT", "0"), ("SERVER_ID", "1")])
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut origin = Origin { process, base: "127.0.0.1:1".parse()? };
        pin(Some(Pid::from_child(&origin.process)), core)?;
        let said = origin.process.stderr.take().expect("piped");
        let mut line = String::new();
        BufReader::new(said).read_line(&mut line)?;
        origin.base =
            address(&line).with_context(|| format!("no address in what the origin says: {line}"))?;
        Ok(origin)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        let _ended_already = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where the origin says that it listens: the last word.
fn address(line: &str) -> Option<Base> {
    line.split_whitespace().last()?.parse().ok()
}

fn beside(name: &str) -> anyhow::Result<PathBuf> {
    Ok(std::env::current_exe().context("this program's own place is not known")?.with_file_name(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origins_address_is_the_last_word_it_says() {
        let said = "ringkeeper-server: listening on 127.0.0.1:40123\n";
        assert_eq!(address(said).map(|base| base.to_string()).as_deref(), Some("http://127.0.0.1:40123"));
    }
}
