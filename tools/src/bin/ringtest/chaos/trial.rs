//! One fault, once: a balancer of its own, load, the fault, some time after it, and the row of what came of it.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rand::RngExt;
use ringkeeper_tools::{
    client::Pool,
    subject::{Engine, Settings, Subject},
};
use tokio::time::{sleep, sleep_until};

use super::{
    collector::Collector,
    fault::{Fault, Kind},
    generator::{Generator, PATIENCE, Sent},
    haproxy::{Haproxy, Tuning},
    row::{Front, Moment, Row},
    strike::{Strikes, strike},
};
use crate::own;

/// How many replicas there are.
const REPLICAS: usize = 3;

/// How long HAProxy takes to notice a server that does not answer its default checks: three times two seconds, and some.
const NOTICE: Duration = Duration::from_secs(8);

/// How long a trial's parts take.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Before the fault.
    pub before: Duration,
    /// At the least, after the fault.
    pub after: Duration,
    /// At the least, after everything was ready again.
    pub settled: Duration,
    /// After the fault, where another balancer is in front: longer than it needs to notice.
    pub others: Duration,
    /// How long it may take to be ready again.
    pub patience: Duration,
    /// How long replicas come and go, and one crashes again and again.
    pub churn: Duration,
    pub crashes: Duration,
}

/// What trials have in common.
pub struct Trials {
    pub settings: Settings,
    pub collector: Collector,
    pub times: Times,
    /// What a bare `docker run -d` takes.
    pub bare: Option<Duration>,
}

impl Trials {
    /// Makes one. Everything that it started is gone afterwards.
    pub async fn run(&self, fault: Fault, front: Front) -> anyhow::Result<Row> {
        let mut subject = self.start(fault, front).await?;
        let ready = if fault == Fault::CrashLoop { REPLICAS - 1 } else { REPLICAS };
        let pool = subject.ready_of(ready, REPLICAS).await?;
        let other = self.other(fault, front, &pool).await?;
        let base = other.as_ref().map_or(&subject.url, |other| &other.base).clone();
        let generator = Generator::start(base, fault.streams(), rand::rng().random())?;
        sleep(self.times.before).await;
        let strikes = strike(&subject, fault, self.patience(fault, front), self.times.churn).await?;
        sleep_until(self.end(&strikes, front).into()).await;
        let (start, sent) = generator.end().await?;
        drop(other);
        subject.down()?;
        for refused in &strikes.refused {
            eprintln!("warning: {refused}");
        }
        self.row(fault, front, &strikes, start, &sent)
    }

    fn row(
        &self,
        fault: Fault,
        front: Front,
        strikes: &Strikes,
        start: Instant,
        sent: &[Sent],
    ) -> anyhow::Result<Row> {
        let moments: Vec<Moment> = strikes
            .struck
            .iter()
            .map(|struck| Moment { at: struck.at - start, over: struck.over.map(|over| over - start) })
            .collect();
        let posts = || sent.iter().filter(|sent| sent.kind == Kind::Post);
        let answered = posts().filter(|sent| sent.failure.is_none()).map(|sent| sent.id);
        ensure!(self.collector.knows(answered), "POSTs were answered whose execution was not counted");
        let twice = self.collector.twice(posts().map(|sent| sent.id));
        Ok(Row::new(fault, front, sent, &moments, twice, fault.promise(self.bare)))
    }

    async fn start(&self, fault: Fault, front: Front) -> anyhow::Result<Subject> {
        let engine = self.settings.engine;
        let collector = format!("COLLECTOR={}", self.collector.address(engine));
        let mut arguments = vec!["--env", &collector];
        arguments.extend(fault.environment().map(|variable| ["--env", variable]).into_iter().flatten());
        if front == Front::Ringkeeper {
            arguments.extend(fault.settings());
        }
        let program = own::this_program()?;
        let program = program.to_str().context("this program's own place is no text")?;
        let command = format!("{} origin", shlex::try_quote(program)?);
        if engine == Engine::Process {
            arguments.extend(["--command", &command]);
        }
        Subject::launch(&self.settings, REPLICAS, &arguments).await
    }

    /// HAProxy, where it is to be in front, with the addresses that the replicas have now.
    async fn other(&self, fault: Fault, front: Front, pool: &Pool) -> anyhow::Result<Option<Haproxy>> {
        let tuning = match front {
            Front::Ringkeeper => return Ok(None),
            Front::Haproxy => Tuning::Default,
            Front::HaproxyTuned => Tuning::Expert,
        };
        // the one that crashes had an address too, or would have
        let address = |address: &Option<String>| address.clone().unwrap_or_else(|| "127.0.0.1:1".into());
        let servers: Vec<String> = pool.replicas.iter().map(|replica| address(&replica.address)).collect();
        let haproxy = Haproxy::start(&servers, tuning, fault).await?;
        if fault == Fault::CrashLoop {
            sleep(NOTICE).await; // as the balancer, which is ready, has noticed it
        }
        Ok(Some(haproxy))
    }

    /// How long the balancer is watched. It sees nothing of what misbehaves only towards another one.
    fn patience(&self, fault: Fault, front: Front) -> Duration {
        let sees = front == Front::Ringkeeper || !fault.ends_with_ejection();
        if sees { self.times.patience } else { self.times.others }
    }

    /// When the load ends.
    fn end(&self, strikes: &Strikes, front: Front) -> Instant {
        let Times { after, settled, others, crashes, .. } = self.times;
        let Some(last) = strikes.struck.last() else { return Instant::now() + crashes };
        let least = last.at + if front == Front::Ringkeeper { after } else { others };
        last.over.map_or(least, |over| least.max(over + settled))
    }
}

impl Times {
    /// Those of the whole form.
    pub const WHOLE: Times = Times {
        before: Duration::from_secs(2),
        after: Duration::from_secs(5),
        settled: Duration::from_secs(2),
        others: Duration::from_secs(12),
        patience: Duration::from_secs(30),
        churn: Duration::from_secs(30),
        crashes: Duration::from_secs(10),
    };

    /// Those of the short form.
    pub const SHORT: Times = Times {
        before: Duration::from_secs(1),
        after: Duration::from_secs(2),
        settled: Duration::from_secs(1),
        others: Duration::from_secs(2),
        patience: PATIENCE,
        churn: Duration::from_secs(8),
        crashes: Duration::from_secs(4),
    };
}
