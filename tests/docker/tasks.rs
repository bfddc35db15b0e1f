//! The example of long tasks, by its own files: containers come and go under them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::Value;
use tokio::{task::JoinSet, time::sleep};

use crate::{
    alone,
    compose::Project,
    labels::until_count,
    say,
    support::{Balancer, Client, Deployment, until},
};

const COMPOSE: &str = include_str!("../../examples/tasks/docker-compose.yml");
const SETTINGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/tasks/ringkeeper.toml");
/// The `max_in_flight` of the example.
const AT_A_TIME: u64 = 4;
const CLIENTS: u64 = 30;

/// Clients that have one task done after the other, of 1 to 5 s.
struct Backend {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    clients: JoinSet<()>,
}

impl Backend {
    fn start(balancer: &Balancer) -> Self {
        let (stop, done) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (mut clients, address) = (JoinSet::new(), balancer.traffic);
        for number in 0..CLIENTS {
            let (stop, done) = (stop.clone(), done.clone());
            clients.spawn(async move {
                let mut client = Client::connect(address).await;
                for turn in number.. {
                    let path = format!("/task?seconds={}", turn % 5 + 1);
                    let task = Request::post(path).body(Full::<Bytes>::default()).expect("a request");
                    let answer = client.send(task).await;
                    assert_eq!(answer.status, 200, "{}", answer.body);
                    assert_eq!(answer.json()["status"], "completed");
                    done.fetch_add(1, SeqCst);
                    if stop.load(SeqCst) {
                        break;
                    }
                }
            });
        }
        Backend { stop, done, clients }
    }

    /// Waits until so many more are done.
    async fn go_on(&self, more: u64) {
        let goal = self.done.load(SeqCst) + more;
        until("tasks are done", async || self.done.load(SeqCst) >= goal).await;
    }

    /// Lets each finish what it has; fails where a task failed.
    async fn end(mut self) -> u64 {
        self.stop.store(true, SeqCst);
        while let Some(client) = self.clients.join_next().await {
            client.expect("no task fails");
        }
        self.done.load(SeqCst)
    }
}

/// Looks at the pool until it is told to stop: the most in flight at one replica, and the longest queue.
async fn watch(balancer: &Balancer, stop: &AtomicBool) -> (u64, u64) {
    let (mut most, mut longest) = (0, 0);
    while !stop.load(SeqCst) {
        let pool = balancer.pool().await;
        let rows = pool["replicas"].as_array().expect("rows").iter();
        let pending = rows.map(|row| row["pending"].as_u64().expect("a number"));
        most = pending.fold(most, u64::max);
        longest = longest.max(waiting(&pool));
        sleep(Duration::from_millis(20)).await;
    }
    (most, longest)
}

fn waiting(pool: &Value) -> u64 {
    pool["queue"]["length"].as_u64().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute and an image of its own: make test-long"]
async fn long_tasks_wait_their_turn_and_none_fails_while_compose_scales_from_3_to_6_to_2() {
    let Some(_turn) = alone().await else { return };
    let Ok(image) = std::env::var("RINGKEEPER_TEST_EXAMPLE") else {
        return say("*** SKIPPED: there is no image of the examples' services (`make examples`). ***");
    };
    let deployment = Deployment::of_labels();
    let tag = image.rsplit_once(':').expect("it has a tag").1.to_owned();
    let environment = [("IMAGE_TAG", tag), ("DEPLOYMENT", deployment.name.clone())];
    let Some(project) = Project::new(&deployment, COMPOSE, &environment) else { return };
    let balancer = Arc::new(deployment.launch(&["--config", SETTINGS]).await);
    project.scale("ml", 3);
    until_count(&balancer, 3).await;

    let begun = Instant::now();
    let stop = Arc::<AtomicBool>::default();
    let watching = {
        let (balancer, stop) = (balancer.clone(), stop.clone());
        tokio::spawn(async move { watch(&balancer, &stop).await })
    };
    let backend = Backend::start(&balancer);
    let in_line = async |replicas: u64| {
        until("those that are too many wait", async || {
            waiting(&balancer.pool().await) == CLIENTS - replicas * AT_A_TIME
        })
        .await;
    };
    in_line(3).await;
    let project = tokio::task::spawn_blocking(move || {
        project.scale("ml", 6);
        project
    });
    let project = project.await.expect("compose scales up");
    until_count(&balancer, 6).await;
    in_line(6).await;
    backend.go_on(CLIENTS).await;
    let project = tokio::task::spawn_blocking(move || {
        project.scale("ml", 2);
        project
    });
    let _project = project.await.expect("compose scales down");
    until_count(&balancer, 2).await;
    in_line(2).await;
    let done = backend.end().await;
    stop.store(true, SeqCst);
    let (most, longest) = watching.await.expect("it only looks");
    let lasted = begun.elapsed();
    say(&format!(
        "3, 6 and 2 by compose under {done} tasks of 1 to 5 s, {longest} in line at most, {lasted:.0?}"
    ));
    assert_eq!(most, AT_A_TIME, "in flight at one replica");
    let totals = balancer.pool().await["totals"].clone();
    assert_eq!((&totals["errors"], &totals["retries"]), (&Value::from(0), &Value::from(0)), "{totals}");
}
