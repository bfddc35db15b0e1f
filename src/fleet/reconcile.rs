//! The loop: wake, look, publish, act. It decides nothing itself ([`plan`](super::plan), [`health`](super::health) and
//! [`pause`](super::pause) do) and waits for nothing slow: lists, probes and actions are tasks that report back.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use rand::rngs::StdRng;
use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinSet,
    time::sleep_until,
};

use super::{
    Call, Config, Handle, Sheet,
    calls::Waiting,
    claim::{ClaimError, claim},
    clock::now,
    departed::Departed,
    desired::Desired,
    discovery::Search,
    journal::Journal,
    lives::{Departure, Life, Record},
    making::Maker,
    pace::Pace,
    plan::Action,
    probe::Probe,
    publish::tell,
    store::{Store, StoreError},
    view::{Others, View},
};
use crate::{
    engine::{Engine, EngineError, Instance},
    name::{InstanceId, Name, Number},
    table::{PoolId, Published, Replica, Table},
};

/// Between two looks at the engine when nothing happens.
const RELIST: Duration = Duration::from_secs(10);
/// Between two looks at an engine that does not answer.
const RELIST_OUTAGE: Duration = Duration::from_secs(1);
/// Between two looks at what leaving replicas have in flight.
const DRAIN_LOOK: Duration = Duration::from_millis(20);

/// The one owner of a pool's desired set, health and actions. Replicas outlive it where the engine lets them.
pub struct Fleet {
    pub(super) config: Config,
    pub(super) engine: Arc<dyn Engine>,
    pub(super) probe: Arc<dyn Probe>,
    pub(super) desired: Desired,
    pub(super) records: BTreeMap<Number, Record>,
    pub(super) leaving: BTreeMap<InstanceId, Departure>,
    pub(super) observed: Vec<Instance>,
    pub(super) health: BTreeMap<InstanceId, Life>,
    pub(super) replicas: BTreeMap<InstanceId, Arc<Replica>>,
    pub(super) pool: PoolId,
    /// The routes that replicas ask for, and who is told that those have changed.
    pub(super) routes: watch::Sender<Vec<Sheet>>,
    pub(super) rerouted: Arc<Notify>,
    /// Those that were let go of.
    pub(super) departed: Arc<Departed>,
    pub(super) pace: Pace,
    pub(super) table: Table,
    pub(super) published: Arc<Published>,
    pub(super) waiting: Vec<Waiting>,
    pub(super) outage: Option<String>,
    /// Why the set could not be stored, and when that is tried again.
    pub(super) unsaved: Option<String>,
    pub(super) save_again: Instant,
    /// The epoch of the table in force, for the cores to take note of.
    pub(super) epochs: watch::Sender<u64>,
    pub(super) view: watch::Sender<Arc<View>>,
    pub(super) journal: watch::Sender<Journal>,
    pub(super) rng: StdRng,
    pub(super) store: Arc<Store>,
    pub(super) saved: Option<Desired>,
    claimed: bool,
    calls: mpsc::Receiver<Call>,
    pub(super) lists: Lists,
    /// Instances with an action under way (`None`) or one whose effect the list of this number will show.
    pub(super) busy: BTreeMap<InstanceId, Option<u64>>,
    /// The names under which starts are under way.
    pub(super) starting: BTreeMap<InstanceId, Name>,
    pub(super) tasks: JoinSet<Done>,
    /// Makes the rings.
    pub(super) maker: Maker,
    pub(super) search: Search,
    /// Those that somebody else runs, are dead and are to be started again.
    pub(super) mending: super::mend::Mending,
}

/// What a fleet is made of.
pub struct Parts {
    /// Runs the replicas.
    pub engine: Arc<dyn Engine>,
    /// Asks them whether they live.
    pub probe: Arc<dyn Probe>,
    /// Keeps the desired set.
    pub store: Store,
    /// What the store held, or a fresh set.
    pub desired: Desired,
    /// Which pool it is to requests.
    pub pool: PoolId,
    /// Nobody yet, and how requests are shared out.
    pub table: Table,
    /// Where requests look.
    pub published: Arc<Published>,
    /// The epoch of the snapshot in force, for the cores to take note of.
    pub epochs: watch::Sender<u64>,
    /// Told when the routes that replicas ask for have changed.
    pub rerouted: Arc<Notify>,
    /// Chance.
    pub rng: StdRng,
}

/// Why a fleet ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// The instances are another's.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// The set that is there does not fit on the configured ring.
    #[error(
        "the weights of the replicas that are there come to {there}, and the ring has room for {room}: start with a larger \
         ring (--slots, --virtual), or take replicas away with the old one first"
    )]
    NoRoom {
        /// The sum of their weights.
        there: usize,
        /// What fits.
        room: usize,
    },
    /// The first set could not be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The looks at the engine, one at a time.
#[derive(Debug)]
pub(super) struct Lists {
    pub(super) begun: u64,
    pub(super) under_way: bool,
    pub(super) wanted: bool,
    next: Instant,
}

/// What a task reports.
pub(super) enum Done {
    Listed(Result<Vec<Instance>, EngineError>),
    Probed(InstanceId, Option<bool>),
    Acted(Action, Result<(), EngineError>),
    Heard(InstanceId, Arc<[String]>),
    Told,
}

impl Fleet {
    /// A fleet that has not looked at anything yet, and the door to it.
    pub fn new(config: Config, parts: Parts) -> (Self, Handle) {
        let (door, calls) = mpsc::channel(64);
        let table = parts.table;
        tell(&parts.epochs, parts.published.publish(parts.pool, table.clone()));
        let nothing = View {
            pool: config.pool.clone(),
            epoch: 0,
            ring: config.ring.clone(),
            policy: table.policy().kind(),
            queue: None,
            problem: None,
            rows: vec![],
            others: Others::default(),
        };
        let (view, seen) = watch::channel(Arc::new(nothing));
        let (journal, told) = watch::channel(Journal::default());
        let (routes, asked) = watch::channel(Vec::new());
        let lists = Lists { begun: 0, under_way: false, wanted: true, next: now() };
        let fleet = Fleet {
            config,
            engine: parts.engine,
            probe: parts.probe,
            desired: parts.desired,
            records: BTreeMap::new(),
            leaving: BTreeMap::new(),
            observed: Vec::new(),
            health: BTreeMap::new(),
            replicas: BTreeMap::new(),
            pool: parts.pool,
            routes,
            rerouted: parts.rerouted,
            departed: Arc::default(),
            pace: Pace::new(),
            table,
            published: parts.published,
            waiting: Vec::new(),
            outage: None,
            unsaved: None,
            save_again: now(),
            epochs: parts.epochs,
            view,
            journal,
            rng: parts.rng,
            store: Arc::new(parts.store),
            saved: None,
            claimed: false,
            calls,
            lists,
            busy: BTreeMap::new(),
            starting: BTreeMap::new(),
            tasks: JoinSet::new(),
            maker: Maker::default(),
            search: Search::default(),
            mending: BTreeMap::new(),
        };
        fleet.show();
        (fleet, Handle { calls: Some(door), view: seen, journal: told, routes: asked })
    }

    /// Keeps the replicas alive until it is told to take all down. `nudge` says that a connection failed. Dropping
    /// the future leaves everything as it is, to be found again.
    pub async fn run(mut self, nudge: Arc<Notify>) -> Result<(), FleetError> {
        while !self.is_down() {
            let (due, engine) = (self.due(), self.engine.clone());
            tokio::select! {
                biased; // one order, so that a simulated schedule always runs the same way: what comes in floods is last
                Some(done) = self.tasks.join_next() => self.note(done.expect("tasks neither panic nor are aborted"))?,
                Some(call) = self.calls.recv(), if self.claimed || !self.config.adopt => self.take_call(call).await,
                () = engine.changed() => self.lists.wanted = true,
                () = nudge.notified() => self.suspect(),
                () = sleep_until(due.into()) => {}
            }
            while let Some(done) = self.tasks.try_join_next() {
                self.note(done.expect("tasks neither panic nor are aborted"))?; // one ring for all who became ready
            }
            self.pass().await?;
        }
        Ok(())
    }

    /// One look at everything known, and what follows from it.
    async fn pass(&mut self) -> Result<(), FleetError> {
        let now = now();
        self.seek();
        self.look(now);
        self.keep_pace(now);
        if !self.claimed {
            self.show();
            self.settle_calls().await;
            return Ok(());
        }
        self.bury(now);
        self.mend(now);
        self.attend(now);
        self.save().await?;
        self.publish().await;
        self.settle_calls().await; // before acting: what an answer undoes is not started once more
        self.heartbeats(now);
        self.act(now);
        Ok(())
    }

    /// Asks the engine for its list, if there is a reason to.
    fn look(&mut self, now: Instant) {
        if self.lists.under_way || !(self.lists.wanted || self.lists.next <= now) {
            return;
        }
        let pause = if self.outage.is_some() { RELIST_OUTAGE } else { RELIST };
        self.lists = Lists { begun: self.lists.begun + 1, under_way: true, wanted: false, next: now + pause };
        let engine = self.engine.clone();
        self.tasks.spawn(async move { Done::Listed(engine.list().await) });
    }

    /// Takes in what a task reports.
    fn note(&mut self, done: Done) -> Result<(), FleetError> {
        match done {
            Done::Listed(Ok(instances)) => return self.listed(instances),
            Done::Listed(Err(error)) => {
                self.lists =
                    Lists { under_way: false, wanted: false, next: now() + RELIST_OUTAGE, ..self.lists };
                if self.outage.is_none() {
                    tracing::error!(%error, "replicas cannot be watched; traffic goes on as it was");
                }
                self.outage = Some(error.to_string());
            }
            Done::Probed(instance, answered) => self.probed(&instance, answered),
            Done::Acted(action, result) => self.acted(&action, result),
            Done::Heard(instance, log) => self.heard(&instance, &log),
            Done::Told => {}
        }
        Ok(())
    }

    fn listed(&mut self, mut instances: Vec<Instance>) -> Result<(), FleetError> {
        self.lists.under_way = false;
        if self.outage.take().is_some() {
            tracing::info!("the engine answers again");
        }
        if !self.engine.kind().owns_instances() && !self.meet(&instances) {
            return Ok(());
        }
        if !self.claimed {
            self.desired = claim(self.desired.clone(), &self.config.pool, &instances, self.config.adopt)?;
            let (there, room) = (self.desired.weight(), self.config.weight_room());
            if there > room && !self.is_going_down() {
                return Err(FleetError::NoRoom { there, room });
            }
            self.claimed = true;
        }
        instances.retain(|instance| instance.pool == self.config.pool);
        let seen = self.lists.begun;
        self.busy.retain(|_, shown_by| shown_by.is_none_or(|list| list > seen));
        self.observed = self.as_known(instances);
        self.tell_routes();
        Ok(())
    }

    /// Whether the last list shows the effect of everything that was done.
    pub(super) fn has_fresh_list(&self) -> bool {
        self.claimed
            && self.busy.is_empty()
            && self.outage.is_none()
            && !self.lists.under_way
            && !self.lists.wanted
            && !self.search.is_stale
    }

    /// When something is due without anything happening.
    fn due(&self) -> Instant {
        let now = now();
        let saturated = self.config.heartbeat_concurrency.is_some_and(|most| {
            self.health.values().filter(|life| life.health.due().is_none()).count() >= most
        });
        let heartbeats = self.health.values().filter_map(|life| life.health.due()).filter(|_| !saturated);
        let pauses = self.records.values().filter_map(|record| record.pause.until(now));
        let drains = self
            .leaving
            .keys()
            .filter(|instance| !self.busy.contains_key(*instance))
            .map(|_| now + DRAIN_LOOK);
        let calls = self.waiting.iter().filter_map(Waiting::deadline);
        let healing = self.records.values().filter_map(|record| record.healing.filter(|until| *until > now));
        let standing = self.next_standing(now);
        let unsaved = self.unsaved.as_ref().map(|_| self.save_again);
        let list = (!self.lists.under_way).then_some(self.lists.next);
        let all = heartbeats
            .chain(pauses)
            .chain(drains)
            .chain(calls)
            .chain(healing)
            .chain(standing)
            .chain(unsaved)
            .chain(list)
            .chain([self.pace.due()]);
        all.min().unwrap_or(now + RELIST)
    }
}
