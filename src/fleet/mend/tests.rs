//! One container that somebody else runs, on a stage: when it is started again, and when it is let be.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{
    future::{BoxFuture, FutureExt, ready},
    stream::{self, StreamExt},
};
use rand::{SeedableRng, rngs::StdRng};
use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};

use crate::{
    engine::{Answer, Engine, Found, Instance, Kind, Launch, Logs, State, Stop},
    fleet::{
        Config, Configured, Desired, Fleet, Handle, Outliers, Parts, Probe, RowState, Rules, Store, Victim,
    },
    name::{InstanceId, Name, Number, Owner},
    policy::{self, Policy, Settings},
    ring::{Ring, Spec},
    table::{PoolId, Published, Table},
};

const SECOND: Duration = Duration::from_secs(1);
/// The first pause before one that keeps dying is started again.
const PAUSE: Duration = Duration::from_secs(30);

/// The container, and how often it was started again.
struct Container {
    inside: Mutex<Inside>,
    changed: Notify,
}

#[derive(Clone, Copy)]
struct Inside {
    state: State,
    answers: bool,
    starts: usize,
}

fn running() -> State {
    State::Running(Some(SocketAddr::from(([172, 18, 0, 7], 80))))
}

fn exited() -> State {
    State::Exited { code: Some(1), out_of_memory: false }
}

impl Container {
    fn new() -> Arc<Self> {
        let inside = Inside { state: running(), answers: false, starts: 0 };
        Arc::new(Container { inside: Mutex::new(inside), changed: Notify::new() })
    }

    fn is(&self) -> Inside {
        *self.inside.lock().unwrap()
    }

    fn set(&self, state: State, answers: bool) {
        let mut inside = self.inside.lock().unwrap();
        (inside.state, inside.answers) = (state, answers);
        self.changed.notify_one();
    }
}

impl Engine for Container {
    fn kind(&self) -> Kind {
        Kind::Labels
    }

    fn list(&self) -> Answer<'_, Vec<Instance>> {
        let name = Name::of_found("web").unwrap();
        let instance = Instance {
            id: InstanceId::from_bits(7),
            owner: Owner::from_bits(0),
            pool: "default".into(),
            name: name.clone(),
            number: Number::new(1).unwrap(),
            state: self.is().state,
            holds_name: true,
            checked: None,
            found: Some(Found { source: name, weight: 1, heals: true, host: None, path: None }),
        };
        ready(Ok(vec![instance])).boxed()
    }

    fn start<'a>(&'a self, _: &'a Launch) -> Answer<'a> {
        let mut inside = self.inside.lock().unwrap();
        (inside.state, inside.starts) = (running(), inside.starts + 1);
        ready(Ok(())).boxed()
    }

    fn release<'a>(&'a self, _: &'a InstanceId) -> Answer<'a> {
        ready(Ok(())).boxed()
    }

    fn stop<'a>(&'a self, _: &'a InstanceId, _: Stop) -> Answer<'a> {
        ready(Ok(())).boxed()
    }

    fn logs<'a>(&'a self, _: &'a InstanceId, _: usize, _: bool) -> Answer<'a, Logs> {
        let nothing: Logs = stream::empty().boxed();
        ready(Ok(nothing)).boxed()
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        self.changed.notified().boxed()
    }

    fn clear(&self) -> Answer<'_> {
        ready(Ok(())).boxed()
    }
}

/// Asks the container.
struct Asking(Arc<Container>);

impl Probe for Asking {
    fn answers<'a>(&'a self, instance: &'a Instance, _: Duration) -> BoxFuture<'a, Option<bool>> {
        ready(Some(instance.address().is_some() && self.0.is().answers)).boxed()
    }
}

/// A state directory, removed when dropped.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _best_effort = std::fs::remove_dir_all(&self.0);
    }
}

fn config() -> Config {
    Config {
        pool: "default".into(),
        replicas: 0,
        max_replicas: 20,
        ring: Spec::assignment(),
        heartbeat: Rules { interval: SECOND, timeout: SECOND, rise: 1, max_fail_count: 3 },
        heartbeat_concurrency: None,
        add_timeout: 30 * SECOND,
        drain_timeout: 10 * SECOND,
        heal_at_once: 1,
        restart_pause: PAUSE,
        outliers: Outliers { after: 0, time: SECOND },
        victim: Victim::Newest,
        slow_start: Duration::ZERO,
        adopt: false,
    }
}

/// A fleet that keeps the container.
fn keep(container: &Arc<Container>, directory: &Temporary) -> Handle {
    let ring = Arc::new(Ring::build(&[], &Spec::assignment()).unwrap());
    let policy = Policy::new(&Settings { kind: policy::Kind::Ring, ..Settings::default() });
    let parts = Parts {
        engine: container.clone(),
        probe: Arc::new(Asking(container.clone())),
        store: Store::open(&directory.0).unwrap(),
        desired: Desired::from_wants(Owner::from_bits(1), Configured::Labels, Vec::new()),
        pool: PoolId(0),
        table: Table::new(ring, Vec::new()).shared(policy, usize::MAX),
        published: Arc::new(Published::new(0)),
        epochs: watch::channel(0).0,
        rerouted: Arc::default(),
        rng: StdRng::seed_from_u64(1),
    };
    let (fleet, handle) = Fleet::new(config(), parts);
    tokio::spawn(fleet.run(Arc::default()));
    handle
}

/// Tells a story of the container and the fleet that keeps it, in virtual time.
fn play(name: &str, story: impl AsyncFnOnce(&Container, &Handle)) {
    let unique = format!("ringkeeper-mend-{name}-{}", std::process::id());
    let directory = Temporary(std::env::temp_dir().join(unique));
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let container = Container::new();
        let handle = keep(&container, &directory);
        story(container.as_ref(), &handle).await;
    });
}

async fn until(handle: &Handle, is_so: impl Fn(&RowState) -> bool) {
    let reached = async {
        while !handle.view().desired().any(|row| is_so(&row.state)) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(20 * SECOND, reached).await.expect("it comes to that");
}

/// It was restarted in the middle of its boot, again and again.
#[test]
fn one_that_boots_is_left_alone_and_one_that_falls_silent_is_started_again_once() {
    play("boots", async |container, handle| {
        until(handle, |state| matches!(state, RowState::Down(_))).await;
        sleep(60 * SECOND).await;
        assert_eq!(container.is().starts, 0);
        container.set(running(), true);
        until(handle, |state| *state == RowState::Ready).await;
        container.set(running(), false);
        sleep(60 * SECOND).await;
        assert_eq!(container.is().starts, 1, "it may take its time once more");
        container.set(running(), true);
        until(handle, |state| *state == RowState::Ready).await;
    });
}

/// It stayed out until its pause was over, and was restarted then.
#[test]
fn one_that_its_owner_starts_in_the_pause_after_a_crash_serves_at_once() {
    play("owner", async |container, handle| {
        until(handle, |state| matches!(state, RowState::Down(_))).await;
        container.set(exited(), false);
        until(handle, |state| matches!(state, RowState::CrashLooping(_))).await;
        container.set(running(), true);
        until(handle, |state| *state == RowState::Ready).await;
        sleep(2 * PAUSE).await;
        assert_eq!(container.is().starts, 0);
    });
}

#[test]
fn one_that_crashes_is_started_again_and_one_of_which_no_more_is_known_is_not() {
    play("crashes", async |container, handle| {
        container.set(running(), true);
        until(handle, |state| *state == RowState::Ready).await;
        container.set(State::Running(None), false);
        until(handle, |state| *state != RowState::Ready).await;
        sleep(60 * SECOND).await;
        assert_eq!(container.is().starts, 0, "it may have been stopped on purpose");
        container.set(exited(), true);
        until(handle, |state| *state == RowState::Ready).await;
        assert_eq!(container.is().starts, 1);
    });
}
