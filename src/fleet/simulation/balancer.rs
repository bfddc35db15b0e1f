//! One life of a balancer: the fleet's task, and requests that hold on to replicas.

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, FutureExt};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{
    sync::{Notify, watch},
    task::{JoinHandle, JoinSet},
    time::sleep,
};

use super::witness::Witness;
use crate::{
    engine::{Instance, Kind, fake::Daemon},
    fleet::{
        Config, Desired, Fleet, FleetError, Handle, Outliers, Parts, Probe, Rules, Store, StoreError, Stored,
        Victim,
    },
    name::Owner,
    policy::{self, Policy, Request, Settings},
    ring::{Ring, Spec},
    table::{PoolId, Published, Table},
};

/// How long one that leaves may finish what it has.
pub(super) const DRAIN: Duration = Duration::from_secs(10);

/// A balancer that runs.
pub(super) struct Balancer {
    pub(super) handle: Handle,
    published: Arc<Published>,
    nudge: Arc<Notify>,
    fleet: JoinHandle<Result<(), FleetError>>,
    requests: JoinSet<()>,
    eject_after: u32,
}

/// Answers heartbeats from the daemon's knowledge.
struct Asking(Arc<Daemon>);

impl Probe for Asking {
    fn answers<'a>(&'a self, instance: &'a Instance, deadline: Duration) -> BoxFuture<'a, Option<bool>> {
        async move {
            let Some(address) = instance.address() else { return Some(false) };
            sleep(Duration::from_millis(1)).await;
            let answers = self.0.answers(address);
            if !answers && self.0.is_frozen(address) {
                sleep(deadline).await;
            }
            Some(answers)
        }
        .boxed()
    }
}

pub(super) const POOL: PoolId = PoolId(0);

impl Balancer {
    /// Starts with what is stored, or with a new set.
    pub(super) async fn start(
        daemon: &Arc<Daemon>,
        directory: &Path,
        config: &Config,
        seed: u64,
        witness: &Arc<Witness>,
    ) -> Self {
        let store = open(directory).await;
        let mut rng = StdRng::seed_from_u64(seed);
        let desired = match store.load().unwrap() {
            Some(Stored { desired, .. }) => desired,
            None => Desired::fresh(Owner::from_bits(rng.random()), config.replicas, &mut rng),
        };
        store.save(&Stored { engine: Kind::Docker, desired: desired.clone() }).unwrap();
        let ring = Arc::new(Ring::build(&[], &config.ring).unwrap());
        let kinds = policy::Kind::ALL;
        let kind = kinds[seed as usize % kinds.len()];
        let policy = Policy::new(&Settings { kind, ..Settings::default() });
        let table = Table::new(ring, Vec::new()).shared(policy, usize::MAX);
        let published = Arc::new(Published::new(0));
        let (engine, probe) = (Arc::new(daemon.engine("ours")), Arc::new(Asking(daemon.clone())));
        let (epochs, pool) = (watch::channel(0).0, POOL);
        let parts = Parts {
            engine,
            probe,
            store,
            desired: desired.clone(),
            pool,
            table,
            published: published.clone(),
            epochs,
            rerouted: Arc::default(),
            rng,
        };
        let (fleet, handle) = Fleet::new(config.clone(), parts);
        witness.begin(&desired, handle.view.clone(), published.clone());
        let nudge = Arc::new(Notify::new());
        let fleet = tokio::spawn(fleet.run(nudge.clone()));
        let mut requests = JoinSet::new();
        let (mut view, witness) = (handle.view.clone(), witness.clone());
        requests.spawn(async move {
            while view.changed().await.is_ok() {
                witness.look();
            }
        });
        Balancer { handle, published, nudge, fleet, requests, eject_after: config.outliers.after }
    }

    /// Ends it without warning: its requests are cut off, its calls go unanswered.
    pub(super) async fn kill(mut self) {
        self.fleet.abort();
        self.requests.shutdown().await;
        if let Err(ended) = self.fleet.await {
            assert!(ended.is_cancelled(), "the fleet's task failed: {ended}");
        }
    }

    /// Sends a request that takes so long; where nobody answers, says so as the proxy does.
    /// Those of the sick numbers fail it at once. Returns whom it was sent to.
    pub(super) fn request(
        &mut self,
        daemon: &Daemon,
        sick: &BTreeSet<u16>,
        id: u64,
        takes: Duration,
    ) -> Option<String> {
        let request = Request { id, now: Duration::ZERO, rng: &mut StdRng::seed_from_u64(id) };
        let claim = self.published.claim(POOL, request, None, &[]).ok()?;
        let (replica, name) = (claim.replica(), claim.replica().name.to_string());
        if !daemon.answers(replica.address) && !daemon.is_frozen(replica.address) {
            replica.suspect();
            self.nudge.notify_one();
            return Some(name);
        }
        let failed = sick.contains(&replica.number.get());
        if replica.note(failed) == self.eject_after && failed {
            self.nudge.notify_one();
        }
        self.requests.spawn(async move {
            sleep(takes).await;
            drop(claim);
        });
        Some(name)
    }

    /// Whether the fleet's task has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.fleet.is_finished()
    }
}

/// How this schedule's pool is kept.
pub(super) fn config(rng: &mut StdRng) -> Config {
    let seconds = Duration::from_secs;
    Config {
        pool: "default".into(),
        replicas: rng.random_range(1..5),
        ring: Spec::assignment(),
        heartbeat: Rules {
            interval: seconds(1),
            timeout: seconds(1),
            rise: rng.random_range(1..3),
            max_fail_count: rng.random_range(1..4),
        },
        heartbeat_concurrency: rng.random_bool(0.3).then_some(2),
        max_replicas: 20,
        add_timeout: seconds(30),
        drain_timeout: DRAIN,
        heal_at_once: rng.random_range(1..3),
        restart_pause: seconds(rng.random_range(0..2)),
        outliers: Outliers { after: rng.random_range(0..4), time: seconds(rng.random_range(1..20)) },
        victim: [Victim::Random, Victim::LeastMoved, Victim::LeastBusy, Victim::Newest]
            [rng.random_range(0..4)],
        slow_start: seconds(rng.random_range(0..5)),
        adopt: false,
    }
}

/// The store, once the life before has let go of it: what it was writing off the loop's thread may last a moment.
async fn open(directory: &Path) -> Store {
    loop {
        match Store::open(directory) {
            Ok(store) => break store,
            Err(StoreError::Locked(_)) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}
