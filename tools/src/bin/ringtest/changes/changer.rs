//! Who changes weights, on a thread of its own that gives way to the load generator.

use std::{
    sync::mpsc::Receiver,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use ringkeeper_tools::client::Client;
use rustix::process::{getpriority_process, setpriority_process};

use super::slices::Slices;

/// How much nicer it is than the load generator, and the most that anybody may be.
const NICER: i32 = 5;
const NICEST: i32 = 19;

/// What is changed, how often, and when.
pub struct Changer {
    /// Of the balancer.
    pub client: Client,
    /// The replicas, which get another weight in turn.
    pub names: Vec<String>,
    /// How many changes a second.
    pub rate: u32,
    /// In which half of them.
    pub slices: Slices,
}

/// What became of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Changed {
    /// How many changes there were.
    pub count: u64,
    /// How long all of them took together.
    pub took: Duration,
}

impl Changer {
    /// Changes in the slices that begin after the moment which it is told.
    pub fn spawn(self, start: Receiver<Instant>) -> JoinHandle<anyhow::Result<Changed>> {
        std::thread::spawn(move || {
            let nice = getpriority_process(None).context("the own niceness is not known")? + NICER;
            setpriority_process(None, nice.min(NICEST)).context("cannot give way")?; // this thread alone
            let start = start.recv().context("there was no load")?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(self.change(start))
        })
    }

    /// A change that comes late does not bring more of them at once.
    async fn change(self, start: Instant) -> anyhow::Result<Changed> {
        let mut changed = Changed::default();
        for begin in self.slices.disturbed() {
            let (begin, mut next) = (start + begin, start + begin);
            while next < begin + self.slices.length {
                tokio::time::sleep_until(next.into()).await;
                let asked = Instant::now();
                self.one(changed.count).await?;
                changed.count += 1;
                changed.took += asked.elapsed();
                next = (next + Duration::from_secs(1) / self.rate).max(asked);
            }
        }
        ensure!(changed.count > 0, "nothing was changed");
        Ok(changed)
    }

    async fn one(&self, number: u64) -> anyhow::Result<()> {
        let (turn, index) = (number / self.names.len() as u64, number % self.names.len() as u64);
        let weight = if turn.is_multiple_of(2) { 2 } else { 1 };
        self.client.weigh(&self.names[index as usize], weight).await?;
        Ok(())
    }
}
