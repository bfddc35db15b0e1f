//! Counts of requests, for one hash and each number of servers.

use std::time::Duration;

use ringkeeper_tools::{
    forecast::Forecast,
    ids::Ids,
    load::{self, Carry, Load, Outcome, Protocol, Reuse},
    progress::Progress,
    stats,
    subject::{Settings, Subject},
};
use serde::Serialize;

use super::AnalyzeArgs;
use crate::{own::Clock, summary::ring_words};

/// The assignment's three, and the product's.
pub const HASHES: [&str; 4] = ["quadratic", "prime", "sha256", "xxh3"];

/// The fewest servers that are counted.
const FEWEST: u16 = 2;

/// What one run came to.
#[derive(Clone, Debug, Serialize)]
pub struct Count {
    pub hash: String,
    /// The ring in words.
    pub ring: String,
    pub servers: u16,
    /// What each server answered, by number.
    pub counts: Vec<u64>,
    /// What the ring gives each.
    pub expected: Vec<u64>,
    /// Whether those are the same.
    pub exact: bool,
    pub failed: u64,
    pub mean: f64,
    pub standard_deviation: f64,
    pub max_over_mean: f64,
    pub requests_per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
}

/// The counts for 2 servers and more. One balancer, to which servers are added one by one.
pub async fn of(
    hash: &str,
    args: &AnalyzeArgs,
    settings: &Settings,
    clock: &Clock,
) -> anyhow::Result<Vec<Count>> {
    let assignment = ["--preset", "assignment", "--hash", hash, "--heartbeat-interval", "1s"];
    let arguments: &[&str] = if hash == "xxh3" { &[] } else { &assignment };
    let mut subject = Subject::start(settings, FEWEST.into(), arguments).await?;
    let mut counts = Vec::new();
    for servers in FEWEST..=args.most {
        if servers > FEWEST {
            subject.client.add(1, &[]).await?;
        }
        let count = count(&mut subject, hash, servers, args).await?;
        let exact = if count.exact { "exactly as the ring gives" } else { "NOT as the ring gives" };
        clock.say(&format!("{hash}, N = {servers}: {:?}, {exact}", count.counts));
        counts.push(count);
    }
    subject.down()?;
    Ok(counts)
}

async fn count(subject: &mut Subject, hash: &str, servers: u16, args: &AnalyzeArgs) -> anyhow::Result<Count> {
    let pool = subject.ready(servers.into()).await?;
    let load = Load {
        base: subject.url.clone(),
        path: "/home".into(),
        protocol: Protocol::Http1,
        requests: args.requests,
        connections: args.connections.into(),
        rate: None,
        carry: Carry::Query,
        reuse: Reuse::Kept,
        timeout: Duration::from_secs(10),
    };
    let mut progress = Progress::new(load.requests);
    let observe = move |outcome: &Outcome| progress.advance(outcome.failure().is_some());
    let report = load::run(&load, Ids::new(args.seed), observe).await?;
    let requests = usize::try_from(args.requests)?;
    let expected: Vec<u64> =
        Forecast::of(&pool)?.counts(Ids::new(args.seed).take(requests)).into_values().collect();
    let answered = |number: u16| report.servers.get(number.to_string().as_str()).copied().unwrap_or_default();
    let counts: Vec<u64> = (1..=servers).map(answered).collect();
    let millis = |percent| report.percentile(percent).as_secs_f64() * 1e3;
    Ok(Count {
        hash: hash.to_owned(),
        ring: ring_words(&pool.ring),
        servers,
        exact: counts == expected && report.failed() == 0,
        failed: report.failed(),
        mean: stats::mean(&counts),
        standard_deviation: stats::standard_deviation(&counts),
        max_over_mean: stats::busiest_to_mean(&counts),
        requests_per_second: report.per_second(),
        p50_ms: millis(50.0),
        p99_ms: millis(99.0),
        counts,
        expected,
    })
}
