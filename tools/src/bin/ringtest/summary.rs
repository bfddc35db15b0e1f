//! What a run came to: the numbers of `--json`, which stay as they are, and the table.

use std::{collections::BTreeMap, fmt, time::Duration};

use anstyle::{AnsiColor, Style};
use ringkeeper_tools::{
    assertion::Measure,
    chart::scale::number,
    client::{By, Pool, RingSpec},
    load::{Load, Report},
    stats, table,
};
use serde::{Deserialize, Serialize};

/// A run. Names with `_ms` are milliseconds, with `_s` seconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Summary {
    pub url: String,
    /// What its ids were drawn from.
    pub seed: u64,
    /// How many requests were sent.
    pub requests: u64,
    /// Over how many connections.
    pub connections: usize,
    /// What was asked for; none in a closed loop.
    pub rate: Option<f64>,
    /// How the ring was made.
    pub ring: RingSpec,
    /// What shared the requests out; empty where the balancer did not tell, which then went by the ring.
    #[serde(default)]
    pub policy: String,
    /// Whether what is expected is of the ring; else it is an even spread by weight.
    #[serde(default = "by_ring")]
    pub by_ring: bool,
    /// Each server's part.
    pub servers: Vec<Server>,
    /// Whether every server got exactly what was expected.
    pub exact: bool,
    /// Whether the pool changed while requests were sent, so that what was expected is of its beginning only.
    pool_changed: bool,
    /// Of the counts.
    pub standard_deviation: f64,
    /// The busiest server's count over the mean.
    pub max_over_mean: f64,
    /// Against what was expected; none where a server got something that was to get nothing.
    chi_square: Option<f64>,
    /// Against an even share for each.
    chi_square_even: f64,
    elapsed_s: f64,
    /// Answers and failures.
    pub requests_per_second: f64,
    /// How many requests failed.
    pub failed: u64,
    failures: BTreeMap<String, u64>,
    unnamed: u64,
    reconnects: u64,
    latency_ms: Latency,
}

/// Of runs of before there were other policies.
fn by_ring() -> bool {
    true
}

/// A yes as the number that it is in assertions.
fn truth(yes: bool) -> f64 {
    if yes { 1.0 } else { 0.0 }
}

/// One server's part.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Server {
    /// As it names itself.
    pub server: String,
    /// The replica of that number; none where the balancer shows none.
    pub name: Option<String>,
    /// What it answered.
    pub requests: u64,
    /// What the ring gives it, or an even spread by weight.
    pub expected: u64,
    /// Its part of the successes.
    pub share: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Latency {
    p50: f64,
    p90: f64,
    p99: f64,
    #[serde(rename = "p99.9")]
    p999: f64,
    max: f64,
}

impl Summary {
    /// Puts beside each other what was sent, what was expected of the pool, and what came.
    pub fn new(
        load: &Load,
        seed: u64,
        pool: &Pool,
        expected: &BTreeMap<u16, u64>,
        report: &Report,
        pool_changed: bool,
    ) -> Self {
        let servers = servers(pool, expected, report);
        let counts: Vec<u64> = servers.iter().map(|server| server.requests).collect();
        let wanted: Vec<f64> = servers.iter().map(|server| server.expected as f64).collect();
        Summary {
            url: load.base.to_string(),
            seed,
            requests: load.requests,
            connections: load.connections,
            rate: load.rate.map(|rate| rate.per_second()),
            ring: pool.ring.clone(),
            policy: pool.policy.clone(),
            by_ring: pool.shares_by() == By::Ring,
            exact: servers.iter().all(|server| server.requests == server.expected),
            pool_changed,
            standard_deviation: stats::standard_deviation(&counts),
            max_over_mean: stats::busiest_to_mean(&counts),
            chi_square: Some(stats::chi_square(&counts, &wanted)).filter(|value| value.is_finite()),
            chi_square_even: stats::chi_square_even(&counts),
            elapsed_s: report.elapsed.as_secs_f64(),
            requests_per_second: report.per_second(),
            failed: report.failed(),
            failures: report.failures.iter().map(|(kind, count)| (kind.to_string(), *count)).collect(),
            unnamed: report.unnamed,
            reconnects: report.reconnects,
            latency_ms: Latency::of(report),
            servers,
        }
    }
}

impl Summary {
    /// Its numbers by the names that assertions know.
    pub fn measures(&self) -> Vec<Measure> {
        let Latency { p50, p90, p99, p999, max } = self.latency_ms;
        vec![
            Measure::number("requests", self.requests as f64),
            Measure::number("failed", self.failed as f64),
            Measure::number("unnamed", self.unnamed as f64),
            Measure::number("reconnects", self.reconnects as f64),
            Measure::number("exact", truth(self.exact)),
            Measure::number("pool_changed", truth(self.pool_changed)),
            Measure::number("standard_deviation", self.standard_deviation),
            Measure::number("max_over_mean", self.max_over_mean),
            Measure::number("chi_square", self.chi_square.unwrap_or(f64::INFINITY)),
            Measure::number("chi_square_even", self.chi_square_even),
            Measure::number("requests_per_second", self.requests_per_second),
            Measure::time("elapsed", self.elapsed_s * 1e3),
            Measure::time("p50", p50),
            Measure::time("p90", p90),
            Measure::time("p99", p99),
            Measure::time("p99.9", p999),
            Measure::time("max", max),
        ]
    }

    /// Those names, with their units, before there is a run.
    pub fn measure_names() -> Vec<Measure> {
        let numbers = [
            "requests",
            "failed",
            "unnamed",
            "reconnects",
            "exact",
            "pool_changed",
            "standard_deviation",
            "max_over_mean",
            "chi_square",
            "chi_square_even",
            "requests_per_second",
        ];
        let times = ["elapsed", "p50", "p90", "p99", "p99.9", "max"];
        let numbers = numbers.into_iter().map(|name| Measure::number(name, 0.0));
        numbers.chain(times.into_iter().map(|name| Measure::time(name, 0.0))).collect()
    }

    /// The policy in words, with the ring's spec where that decides.
    pub fn policy_words(&self) -> String {
        let policy = if self.policy.is_empty() { "ring" } else { self.policy.as_str() };
        match self.by_ring {
            true => format!("{policy}, {}", ring_words(&self.ring)),
            false => policy.to_owned(),
        }
    }
}

/// A ring's spec in words.
pub fn ring_words(ring: &RingSpec) -> String {
    let RingSpec { slots, placement, probing, hash, slack, .. } = ring;
    let slots = number(f64::from(*slots));
    match placement.as_str() {
        "full" => format!("{slots} slots, full, slack {slack}, hash {hash}"),
        count => format!("{slots} slots, {count} virtual servers each, {probing} probing, hash {hash}"),
    }
}

/// Those that the ring knows by number, then others that answered.
fn servers(pool: &Pool, expected: &BTreeMap<u16, u64>, report: &Report) -> Vec<Server> {
    let all = report.succeeded().max(1) as f64;
    let known = expected.iter().map(|(number, expected)| (number.to_string(), *expected));
    let strangers = report.servers.keys().map(|server| (server.to_string(), 0));
    let strangers =
        strangers.filter(|(server, _)| !expected.keys().any(|number| number.to_string() == *server));
    let row = |(server, expected): (String, u64)| {
        let requests = report.servers.get(server.as_str()).copied().unwrap_or_default();
        let named = pool
            .replicas
            .iter()
            .find(|replica| !replica.is_leaving() && replica.number.to_string() == server);
        Server {
            name: named.map(|replica| replica.name.clone()),
            server,
            requests,
            expected,
            share: requests as f64 / all,
        }
    };
    known.chain(strangers).map(row).collect()
}

impl Latency {
    fn of(report: &Report) -> Self {
        let at = |percent| millis(report.percentile(percent));
        Latency { p50: at(50.0), p90: at(90.0), p99: at(99.0), p999: at(99.9), max: at(100.0) }
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { url, seed, requests, connections, ring, .. } = self;
        let rate = self.rate.map(|rate| format!(" at {rate} a second")).unwrap_or_default();
        writeln!(f, "{requests} requests to {url} over {connections} connections{rate}, seed {seed}")?;
        match self.by_ring {
            true => writeln!(f, "{} slots, virtual {}, hash {}\n", ring.slots, ring.placement, ring.hash)?,
            false => writeln!(f, "policy {}; expected is an even spread, by weight\n", self.policy)?,
        }
        self.write_servers(f)?;
        let expected = self.chi_square.map_or("infinite".to_owned(), |value| format!("{value:.2}"));
        writeln!(f, "\nstandard deviation  {:.2}", self.standard_deviation)?;
        writeln!(f, "busiest/mean        {:.4}", self.max_over_mean)?;
        writeln!(
            f,
            "chi-square          {expected} of the expected, {:.2} of an even spread",
            self.chi_square_even
        )?;
        writeln!(
            f,
            "rate                {:.0} requests/s, {:.3} s in all",
            self.requests_per_second, self.elapsed_s
        )?;
        self.write_failures(f)?;
        let Latency { p50, p90, p99, p999, max } = self.latency_ms;
        write!(
            f,
            "latency (ms)        p50 {p50:.3}  p90 {p90:.3}  p99 {p99:.3}  p99.9 {p999:.3}  max {max:.3}"
        )?;
        if self.pool_changed {
            write!(f, "\n\nThe pool changed meanwhile: what was expected is of its beginning.")?;
        }
        Ok(())
    }
}

impl Summary {
    fn write_servers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |server: &Server| {
            vec![
                server.server.clone(),
                server.name.clone().unwrap_or_else(|| "-".into()),
                server.requests.to_string(),
                server.expected.to_string(),
                format!("{:.2} %", server.share * 100.0),
            ]
        };
        let header = ["SERVER", "NAME", "REQUESTS", "EXPECTED", "SHARE"];
        let numbers = ["SERVER", "REQUESTS", "EXPECTED", "SHARE"];
        let mut lines = table::lines(&header, &numbers, self.servers.iter().map(row).collect()).into_iter();
        writeln!(f, "{}", lines.next().unwrap_or_default())?;
        for (server, line) in self.servers.iter().zip(lines) {
            let differs = server.requests != server.expected;
            let style = if differs { AnsiColor::Yellow.on_default() } else { Style::new() };
            writeln!(f, "{style}{line}{style:#}")?;
        }
        if self.unnamed > 0 {
            writeln!(f, "{} answers do not say which server they are from", self.unnamed)?;
        }
        Ok(())
    }

    fn write_failures(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<String> =
            self.failures.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        let style = if self.failed > 0 { AnsiColor::Red.on_default() } else { Style::new() };
        let kinds = if kinds.is_empty() { String::new() } else { format!(" ({})", kinds.join(", ")) };
        let reconnects = match self.reconnects {
            0 => String::new(),
            count => format!(", {count} connections replaced"),
        };
        writeln!(f, "{style}failed              {}{kinds}{style:#}{reconnects}", self.failed)
    }
}
