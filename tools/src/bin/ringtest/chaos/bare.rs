//! How long Docker takes to start a container that nobody balances: what healing cannot be faster than.

use std::time::{Duration, Instant};

use rand::RngExt;
use ringkeeper_tools::{docker::docker, stats};

/// How often it is measured.
const TIMES: usize = 5;

/// The median of some `docker run -d IMAGE`. What was started is removed.
pub fn docker_run(image: &str) -> anyhow::Result<Duration> {
    let times: anyhow::Result<Vec<f64>> = (0..TIMES).map(|_| Ok(once(image)?.as_secs_f64())).collect();
    Ok(Duration::from_secs_f64(stats::median(&times?)))
}

fn once(image: &str) -> anyhow::Result<Duration> {
    let container = Container(format!("ringtest-bare-{:08x}", rand::rng().random::<u32>()));
    let start = Instant::now();
    docker(&["run", "-d", "--name", &container.0, image])?;
    Ok(start.elapsed())
}

/// Removed when this is dropped.
struct Container(String);

impl Drop for Container {
    fn drop(&mut self) {
        if let Err(error) = docker(&["rm", "-f", &self.0]) {
            eprintln!("warning: {error:#}");
        }
    }
}
