//! One subject's turn at one workload: what it takes for each request, and how long requests take.

use std::{
    cell::RefCell,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use hdrhistogram::Histogram;
use ringkeeper_tools::{
    ids::Ids,
    load::{self, Load, Outcome, Rate},
};

use super::{
    subject::Running,
    usage::{Group, Usage},
    workload::Workload,
};

/// When an answer is given up.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long the load goes on at least before the time that counts: so much, and more for each connection, since each of them
/// wants its first request answered, over a connection to an origin that may have to be opened.
const WARM: Duration = Duration::from_millis(100);
const OPENING: Duration = Duration::from_micros(100);

/// How many answers for each connection a closed loop waits for besides: thousands of requests at once first have to make
/// their connections to the origins.
const SETTLED: u64 = 2;

/// What the load goes on after the time that counts, so that it ends under load.
const TAIL: Duration = Duration::from_millis(50);

/// After the usage was read, whose reading holds up the generator: requests that are due then do not count for latency.
const BLIND: Duration = Duration::from_millis(20);

/// What was measured.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Requests between the two looks at the subject's usage.
    pub requests: u64,
    /// From one to the other.
    pub elapsed: Duration,
    /// What the subject took meanwhile.
    pub cpu: Duration,
    /// Its resident memory at the end, under load.
    pub resident: u64,
    /// In nanoseconds, of requests that were due between the two looks.
    pub latency: Histogram<u64>,
    /// Requests that failed, of all.
    pub failed: u64,
}

impl Reading {
    /// Requests per second.
    pub fn per_second(&self) -> f64 {
        self.requests as f64 / self.elapsed.as_secs_f64()
    }

    /// Processor time for each request, in microseconds.
    pub fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.requests as f64
    }

    /// How much of its core the subject used.
    pub fn busy(&self) -> f64 {
        self.cpu.as_secs_f64() / self.elapsed.as_secs_f64()
    }

    /// The latency that so many per cent stay within, in milliseconds.
    pub fn millis(&self, percent: f64) -> f64 {
        self.latency.value_at_percentile(percent) as f64 / 1e6
    }
}

/// Loads the subject for this time and a warm-up: at a rate, or as fast as it answers.
pub async fn take(
    running: &Running,
    workload: &Workload,
    rate: Option<Rate>,
    time: Duration,
) -> anyhow::Result<Reading> {
    let warm = (time / 4).max(WARM) + OPENING * workload.connections as u32;
    let whole = warm + time + TAIL;
    let load = Load {
        base: running.base.clone(),
        path: workload.path.into(),
        protocol: workload.protocol,
        requests: rate.map_or(u64::MAX, |rate| (rate.per_second() * whole.as_secs_f64()).ceil() as u64),
        connections: workload.connections,
        rate,
        carry: workload.carry,
        reuse: workload.reuse,
        timeout: TIMEOUT,
    };
    let mut watch = Watch::new(running.program.group()?, warm, warm + time)?;
    if rate.is_none() {
        watch.unsettled = SETTLED * (workload.connections * workload.protocol.streams()) as u64;
    }
    let watch = Rc::new(RefCell::new(watch));
    let (goes_on, seen) = (watch.clone(), watch.clone());
    let ids = Ids::new(1).take_while(move |_| goes_on.borrow().last.is_none());
    let report = load::run(&load, ids, move |outcome| seen.borrow_mut().see(outcome)).await?;
    let failed = report.failed();
    ensure!(report.succeeded() > failed, "most of its requests failed: {:?}", report.failures);
    let watch = watch.borrow();
    let (first, last) = watch.first.zip(watch.last).context("it answered too little to be measured")?;
    Ok(Reading {
        requests: watch.requests,
        elapsed: last.at - first.at,
        cpu: last.usage.cpu.saturating_sub(first.usage.cpu),
        resident: last.usage.resident,
        latency: watch.latency.clone(),
        failed,
    })
}

/// Looks at the subject when the warm-up is over, and when the time is.
struct Watch {
    group: Group,
    /// Answers that the warm-up of a closed loop still waits for, however long that takes.
    unsettled: u64,
    from: Duration,
    until: Duration,
    first: Option<Look>,
    last: Option<Look>,
    requests: u64,
    latency: Histogram<u64>,
}

#[derive(Clone, Copy)]
struct Look {
    at: Instant,
    usage: Usage,
}

impl Watch {
    fn new(group: Group, from: Duration, until: Duration) -> anyhow::Result<Self> {
        let latency = Histogram::new_with_bounds(1_000, 60_000_000_000, 3)?;
        Ok(Watch { group, unsettled: 0, from, until, first: None, last: None, requests: 0, latency })
    }

    fn see(&mut self, outcome: &Outcome) {
        if self.last.is_none() && self.first.is_some() {
            self.requests += 1;
        }
        self.unsettled = self.unsettled.saturating_sub(1);
        if self.unsettled > 0 {
            let late = outcome.begun.saturating_sub(self.from);
            (self.from, self.until) = (self.from + late, self.until + late);
        } else if self.first.is_none() && outcome.begun >= self.from {
            self.first = Some(Look::at(&self.group));
        } else if self.last.is_none() && outcome.begun >= self.until {
            self.last = Some(Look::at(&self.group));
        }
        if (self.from + BLIND..self.until).contains(&outcome.begun) {
            let nanoseconds = u64::try_from(outcome.latency.as_nanos()).unwrap_or(u64::MAX);
            self.latency.saturating_record(nanoseconds);
        }
    }
}

impl Look {
    fn at(group: &Group) -> Self {
        Look { at: Instant::now(), usage: group.usage() }
    }
}
