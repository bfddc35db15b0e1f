//! One subject's turn at one rule: how uneven what was in flight became, and how long requests took.

use std::{
    cell::RefCell,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{bail, ensure};
use hdrhistogram::Histogram;
use ringkeeper_tools::load::{self, Carry, Load, Outcome, Protocol, Reuse};

use super::{
    super::bench::subject::{Candidate, Task},
    origins::Origins,
    result::Numbers,
    zipf::Zipf,
};

/// How many clients there are; each has one request in flight all the time.
pub const CLIENTS: usize = 1000;

/// When an answer is given up. At the slow origin it takes seconds.
const TIMEOUT: Duration = Duration::from_secs(50);

/// Starts the subject with this rule on this core and loads it for twice this time: the first half, in which the loads
/// become what they stay, is not looked at.
pub async fn take(
    candidate: &Candidate,
    rule: &str,
    core: usize,
    (time, seed): (Duration, u64),
) -> anyhow::Result<Numbers> {
    let origins = Origins::start()?;
    let task = Task { protocol: Protocol::Http1, rule };
    let running = candidate.start(&origins.addresses, core, task).await?;
    origins.ledger().work(seed);
    let load = Load {
        base: running.base.clone(),
        path: "/small".into(),
        protocol: Protocol::Http1,
        requests: u64::MAX,
        connections: CLIENTS,
        rate: None,
        carry: Carry::Query,
        reuse: Reuse::Ready,
        timeout: TIMEOUT,
    };
    let watch = Rc::new(RefCell::new(Watch::new()?));
    let seen = watch.clone();
    tokio::select! {
        ended = load::run(&load, Zipf::new(seed), move |outcome| seen.borrow_mut().see(outcome)) => {
            bail!("the load ended: {:?}", ended.map(|report| report.failures));
        }
        () = async {
            tokio::time::sleep(time).await;
            origins.ledger().note();
            watch.borrow_mut().since = Some(Instant::now());
            tokio::time::sleep(time).await;
        } => {}
    }
    let (watch, found) = (watch.borrow(), origins.ledger().unevenness());
    let answered = watch.latency.len();
    ensure!(answered > watch.failed, "most of its requests failed: {} of {answered}", watch.failed);
    let millis = |percent: f64| watch.latency.value_at_percentile(percent) as f64 / 1e6;
    Ok(Numbers {
        worst: found.worst,
        p99: found.p99,
        average: found.average,
        in_flight: found.in_flight,
        p50_ms: millis(50.0),
        p99_ms: millis(99.0),
        requests_per_second: answered as f64 / watch.since.map_or(0.0, |since| since.elapsed().as_secs_f64()),
        failed: watch.failed as f64,
    })
}

/// Looks at what is answered when the warm-up is over.
struct Watch {
    since: Option<Instant>,
    /// In nanoseconds.
    latency: Histogram<u64>,
    failed: u64,
}

impl Watch {
    fn new() -> anyhow::Result<Self> {
        Ok(Watch { since: None, latency: Histogram::new_with_bounds(1_000, 60_000_000_000, 3)?, failed: 0 })
    }

    fn see(&mut self, outcome: &Outcome) {
        self.failed += u64::from(outcome.failure().is_some());
        if self.since.is_some() {
            let nanoseconds = u64::try_from(outcome.latency.as_nanos()).unwrap_or(u64::MAX);
            self.latency.saturating_record(nanoseconds);
        }
    }
}
