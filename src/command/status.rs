//! `ringkeeper status`: the replicas of a running balancer.

use std::{
    io::Write,
    net::SocketAddr,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, bail, ensure};
use http::Method;

use super::client;
use crate::{
    api::{
        Secret,
        wire::{Pool, Replica},
    },
    config::TokenArgs,
};

/// Between two looks while waiting.
const LOOK: Duration = Duration::from_millis(100);

/// The lines that are shown of what one that keeps dying wrote at last.
const LAST_LINES: usize = 10;

/// What a call may take at the least, however little time is left.
const SHORTEST: Duration = Duration::from_secs(1);

/// Show the replicas of a running balancer.
#[derive(clap::Args, Clone, Debug)]
pub struct StatusArgs {
    /// Where the balancer listens for operators
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:5001")]
    pub admin_listen: SocketAddr,
    /// Who asks.
    #[command(flatten)]
    pub token: TokenArgs,
    /// Wait until every replica is ready
    #[arg(long)]
    pub wait_ready: bool,
    /// How long to wait
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "60s")]
    pub timeout: Duration,
    /// Print the JSON of /v1/pools/default
    #[arg(long)]
    pub json: bool,
}

/// Writes what the balancer says of its pool; with `wait_ready` once all of it is ready, or an error when that takes too
/// long.
pub async fn run(args: StatusArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let deadline = Instant::now() + args.timeout;
    let (admin, token) = (client::reachable(args.admin_listen), args.token.token()?);
    loop {
        let answer = ask(admin, token.as_ref(), deadline).await;
        let ready = answer.as_ref().is_ok_and(|(_, pool)| pool.replicas.iter().all(is_settled));
        if !args.wait_ready || ready {
            let (text, pool) = answer?;
            return show(&text, &pool, args.json, out);
        }
        if Instant::now() >= deadline {
            let (text, pool) = answer?;
            show(&text, &pool, args.json, out)?;
            bail!("not every replica is ready after {}", humantime::format_duration(args.timeout));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Whether nothing is to be waited for: it is ready, or drained, which lasts until an operator wants it otherwise.
fn is_settled(replica: &Replica) -> bool {
    ["ready", "drained"].contains(&replica.state.as_str())
}

async fn ask(admin: SocketAddr, token: Option<&Secret>, deadline: Instant) -> anyhow::Result<(String, Pool)> {
    let left = deadline.saturating_duration_since(Instant::now()).max(SHORTEST);
    let (status, body) = client::call(admin, token, Method::GET, "/v1/pools/default", left).await?;
    let text = String::from_utf8_lossy(&body).into_owned();
    ensure!(status.is_success(), "the balancer answers {status}: {}", text.trim());
    let pool = serde_json::from_str(&text).context("that is no Ringkeeper on this address")?;
    Ok((text, pool))
}

fn show(text: &str, pool: &Pool, json: bool, out: &mut impl Write) -> anyhow::Result<()> {
    if json {
        writeln!(out, "{text}")?;
        return Ok(());
    }
    let header = ["NAME", "NUMBER", "STATE", "SINCE", "RESTARTS", "ADDRESS", "INSTANCE"].map(str::to_owned);
    let rows: Vec<[String; 7]> = std::iter::once(header).chain(pool.replicas.iter().map(row)).collect();
    let widths: [usize; 7] = std::array::from_fn(|column| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
    });
    for row in &rows {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    for replica in &pool.replicas {
        explain(replica, out)?;
    }
    if let Some(problem) = &pool.problem {
        writeln!(out, "\n{problem}")?;
    }
    Ok(())
}

/// Says why a replica does not serve, and what it wrote before it died.
fn explain(replica: &Replica, out: &mut impl Write) -> std::io::Result<()> {
    let Some(reason) = &replica.reason else { return Ok(()) };
    let dies = replica.state == "crash-looping";
    let state = if dies { "keeps dying".to_owned() } else { format!("is {}", replica.state) };
    writeln!(out, "\n{} {state}: {reason}", replica.name)?;
    let exit = replica.last_exit.as_ref().filter(|_| dies);
    let log = exit.map(|exit| exit.log.as_slice()).unwrap_or_default();
    for line in &log[log.len().saturating_sub(LAST_LINES)..] {
        writeln!(out, "  | {line}")?;
    }
    Ok(())
}

fn row(replica: &Replica) -> [String; 7] {
    [
        replica.name.clone(),
        replica.number.to_string(),
        replica.state.clone(),
        ago(&replica.since),
        replica.restarts.to_string(),
        replica.address.clone().unwrap_or_else(|| "-".into()),
        replica.instance.clone(),
    ]
}

/// How long ago, in its two largest units.
fn ago(since: &str) -> String {
    let Ok(since) = humantime::parse_rfc3339(since) else { return since.to_owned() };
    let seconds = SystemTime::now().duration_since(since).unwrap_or_default().as_secs();
    let text = humantime::format_duration(Duration::from_secs(seconds)).to_string();
    let units: Vec<&str> = text.split(' ').take(2).collect();
    format!("{} ago", units.join(" "))
}
