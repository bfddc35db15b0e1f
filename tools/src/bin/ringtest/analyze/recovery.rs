//! a replica is hit under load, and what becomes of requests until it is back.

use std::{
    cell::RefCell,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::Context;
use ringkeeper_tools::{
    client::{Client, Replica},
    ids::Ids,
    load::{self, Carry, Load, Outcome, Protocol, Rate, Reuse},
    subject::{Settings, Subject},
    target::{Blow, Target},
};
use serde::Serialize;

use super::AnalyzeArgs;

/// The replica that is hit.
const HIT: u16 = 2;

/// How long it goes well before.
const BEFORE: Duration = Duration::from_secs(2);

/// Between two looks at the replica's state.
const LOOK: Duration = Duration::from_millis(5);

/// The width of a step of the timeline.
pub const STEP: f64 = 0.1;

/// Requests per second. Those that hang while a replica is frozen each keep a connection, so there are many.
const RATE: &str = "1000";
const CONNECTIONS: usize = 2048;

/// How long a request may take: longer than a frozen replica is not noticed.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was seen. Times are seconds since the first request.
#[derive(Clone, Debug, Serialize)]
pub struct Recovery {
    /// `kill` or `freeze`.
    pub blow: &'static str,
    pub seconds: f64,
    pub requests_per_second: f64,
    pub hit_at: f64,
    /// When the balancer first showed it as not ready.
    pub noticed_at: Option<f64>,
    /// When the balancer first showed its next instance as ready.
    pub back_at: Option<f64>,
    pub requests: u64,
    pub failed: u64,
    /// Failures by kind.
    pub failures: Vec<(String, u64)>,
    pub slowest_ms: f64,
    pub steps: Vec<Step>,
}

/// What happened in one step of the timeline.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Step {
    pub at: f64,
    /// Good answers that came in it.
    pub answers: u64,
    /// Requests that failed in it.
    pub errors: u64,
    /// Of the requests that were due in it, in milliseconds; none where there was none.
    pub median_ms: Option<f64>,
    pub slowest_ms: Option<f64>,
}

/// Times of the replica's states.
#[derive(Default)]
struct Seen {
    hit: Option<Instant>,
    noticed: Option<Instant>,
    back: Option<Instant>,
}

/// Hits one of three replicas under a steady rate of requests.
pub async fn watch(settings: &Settings, blow: Blow, args: &AnalyzeArgs) -> anyhow::Result<Recovery> {
    let mut subject = Subject::start(settings, 3, &[]).await?;
    let pool = subject.ready(3).await?;
    let replica = pool.replicas.into_iter().find(|replica| replica.number == HIT).context("no replica 2")?;
    let target = subject.target(&replica)?;
    let rate: Rate = RATE.parse()?;
    let load = Load {
        base: subject.url.clone(),
        path: "/home".into(),
        protocol: Protocol::Http1,
        requests: (rate.per_second() * args.watch.as_secs_f64()) as u64,
        connections: CONNECTIONS,
        rate: Some(rate),
        carry: Carry::Query,
        reuse: Reuse::Kept,
        timeout: PATIENCE,
    };
    let outcomes = Rc::new(RefCell::new(Vec::new()));
    let kept = outcomes.clone();
    let observe = move |outcome: &Outcome| {
        kept.borrow_mut().push((outcome.begun, outcome.latency, outcome.failure().is_none()));
    };
    let end = Instant::now() + args.watch;
    let under_load = async {
        let report = load::run(&load, Ids::new(args.seed), observe).await?;
        let start = Instant::now() - report.elapsed;
        Ok::<_, std::io::Error>((report, start))
    };
    let (loaded, seen) = tokio::join!(under_load, follow(&subject.client, target, &replica, blow, end));
    let ((report, start), seen) = (loaded?, seen?);
    subject.down()?;
    let since =
        |moment: Option<Instant>| moment.map(|moment| moment.saturating_duration_since(start).as_secs_f64());
    Ok(Recovery {
        blow: if blow == Blow::Kill { "kill" } else { "freeze" },
        seconds: args.watch.as_secs_f64(),
        requests_per_second: rate.per_second(),
        hit_at: since(seen.hit).context("it was not hit")?,
        noticed_at: since(seen.noticed),
        back_at: since(seen.back),
        requests: load.requests,
        failed: report.failed(),
        failures: report.failures.iter().map(|(kind, count)| (kind.to_string(), *count)).collect(),
        slowest_ms: report.percentile(100.0).as_secs_f64() * 1e3,
        steps: steps(&outcomes.borrow(), args.watch.as_secs_f64()),
    })
}

/// Hits the replica when its time has come, and looks until it is back, or the end.
async fn follow(
    client: &Client,
    target: Target,
    replica: &Replica,
    blow: Blow,
    end: Instant,
) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    tokio::time::sleep(BEFORE).await;
    // Docker's own command would hold up the generator, which is on this thread.
    let hit = tokio::task::spawn_blocking(move || target.hit(blow));
    let mut hit = std::pin::pin!(hit);
    while Instant::now() < end && (seen.hit.is_none() || seen.back.is_none()) {
        tokio::select! {
            hit = &mut hit, if seen.hit.is_none() => seen.hit = Some(hit??),
            () = tokio::time::sleep(LOOK) => {}
        }
        let pool = client.pool().await?;
        let Some(now) = pool.replicas.iter().find(|now| now.name == replica.name && !now.is_leaving()) else {
            continue;
        };
        let same = now.instance == replica.instance;
        if !(same && now.is_ready()) {
            seen.noticed.get_or_insert_with(Instant::now);
        }
        if now.is_ready() && !same {
            seen.back.get_or_insert_with(Instant::now);
        }
    }
    Ok(seen)
}

/// Answers and failures where they came, latencies where requests were due.
fn steps(outcomes: &[(Duration, Duration, bool)], seconds: f64) -> Vec<Step> {
    let count = (seconds / STEP).round().max(1.0) as usize;
    let index = |time: Duration| ((time.as_secs_f64() / STEP) as usize).min(count - 1);
    let mut steps: Vec<Step> =
        (0..count).map(|index| Step { at: (index as f64 + 0.5) * STEP, ..Step::default() }).collect();
    let mut latencies = vec![Vec::new(); count];
    for (begun, latency, good) in outcomes {
        let came = begun.saturating_add(*latency);
        match came.as_secs_f64() < seconds {
            true if *good => steps[index(came)].answers += 1,
            true => steps[index(came)].errors += 1,
            false => {}
        }
        latencies[index(*begun)].push(latency.as_secs_f64() * 1e3);
    }
    for (step, latencies) in steps.iter_mut().zip(&mut latencies) {
        latencies.sort_by(f64::total_cmp);
        step.median_ms = latencies.get(latencies.len() / 2).copied();
        step.slowest_ms = latencies.last().copied();
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_where_it_came_and_its_latency_where_it_was_due() {
        let millis = Duration::from_millis;
        let outcomes = [
            (millis(20), millis(10), true),
            (millis(40), millis(200), true),
            (millis(240), millis(2), false),
        ];
        let steps = steps(&outcomes, 0.4);
        let counts: Vec<(u64, u64)> = steps.iter().map(|step| (step.answers, step.errors)).collect();
        assert_eq!(counts, [(1, 0), (0, 0), (1, 1), (0, 0)]);
        assert_eq!((steps[0].slowest_ms, steps[1].slowest_ms), (Some(200.0), None));
    }
}
