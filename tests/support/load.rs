//! Steady load, and what comes of it.

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::time::{sleep, timeout};

use super::Client;

/// The deadline of an answer.
const LATE: Duration = Duration::from_secs(10);

/// Clients that send one request after the other until they are told to stop. They have a thread of their own, so that
/// they go on whatever the test itself is busy with.
pub struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Tally>,
}

/// What came of the requests.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// How many were answered with 200.
    pub answered: u64,
    /// How many failed, by how: `refused`, `broken`, `late`, or the status.
    pub failures: BTreeMap<String, u64>,
    /// How long the slowest took.
    pub slowest: Duration,
}

impl Load {
    /// Over so many connections, each of which rests for `pause` between an answer and the next request.
    pub fn start(address: SocketAddr, connections: u64, pause: Duration) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let stopped = stop.clone();
        let clients = async move {
            let clients = (0..connections).map(|seed| send(address, seed, pause, &stopped));
            futures_util::future::join_all(clients).await.into_iter().fold(Tally::default(), Tally::plus)
        };
        let run = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(clients)
        };
        Load { stop, thread: std::thread::spawn(run) }
    }

    /// Ends it.
    pub fn stop(self) -> Tally {
        self.stop.store(true, Relaxed);
        self.thread.join().expect("clients do not panic")
    }
}

impl Tally {
    /// How many requests failed.
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// Whether requests failed in these ways only.
    pub fn only(&self, failures: &[&str]) -> bool {
        self.failures.keys().all(|failure| failures.contains(&failure.as_str()))
    }

    fn plus(mut self, other: Tally) -> Self {
        self.answered += other.answered;
        for (failure, count) in other.failures {
            *self.failures.entry(failure).or_default() += count;
        }
        self.slowest = self.slowest.max(other.slowest);
        self
    }

    fn enter(&mut self, result: Result<u16, &str>) {
        let failure = match result {
            Ok(200) => return self.answered += 1,
            Ok(status) => status.to_string(),
            Err(failure) => failure.to_owned(),
        };
        *self.failures.entry(failure).or_default() += 1;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { answered, failures, slowest } = self;
        write!(
            f,
            "{answered} requests answered, {} failed {failures:?}, the slowest took {slowest:.0?}",
            self.failed()
        )
    }
}

/// One client's work.
async fn send(address: SocketAddr, seed: u64, pause: Duration, stop: &AtomicBool) -> Tally {
    let (mut ids, mut tally, mut client) = (StdRng::seed_from_u64(seed), Tally::default(), None);
    while !stop.load(Relaxed) {
        let begun = Instant::now();
        let id = ids.random_range(100_000..=999_999);
        let result = timeout(LATE, exchange(&mut client, address, id)).await.unwrap_or(Err("late"));
        if result.is_err() {
            client = None;
        }
        tally.enter(result);
        tally.slowest = tally.slowest.max(begun.elapsed());
        sleep(pause).await;
    }
    tally
}

/// One request's status, over the connection there is or a new one; or how it failed.
async fn exchange(client: &mut Option<Client>, address: SocketAddr, id: u64) -> Result<u16, &'static str> {
    let client = match client {
        Some(client) => client,
        None => client.insert(Client::open(address).await.map_err(|_| "refused")?),
    };
    let request = Request::get(format!("/home?request_id={id}")).body(Full::<Bytes>::default());
    let answer = client.attempt(request.expect("a request")).await;
    answer.map(|answer| answer.status).map_err(|_| "broken")
}
