//! The loop: wake, look, publish, act. It decides nothing itself ([`plan`], [`health`](super::health) and
//! [`pause`](super::pause) do) and waits for nothing slow: lists, probes and actions are tasks that report back.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use rand::{RngExt, rngs::StdRng};
use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinSet,
    time::sleep_until,
};

use super::{
    Call, Config, Handle,
    calls::Waiting,
    claim::{ClaimError, claim},
    desired::{Desired, Want},
    health::Health,
    pause::Pause,
    plan::{Action, Leaving, World, deaths, plan},
    probe,
    store::{Store, StoreError, Stored},
    view::{LastExit, View},
};
use crate::{
    engine::{Engine, EngineError, Instance},
    event::{Death, Event, What},
    name::{InstanceId, Number},
    table::{Published, Replica, Table},
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
    pub(super) desired: Desired,
    pub(super) records: BTreeMap<Number, Record>,
    pub(super) leaving: BTreeMap<InstanceId, Departure>,
    pub(super) observed: Vec<Instance>,
    pub(super) health: BTreeMap<InstanceId, Life>,
    pub(super) replicas: BTreeMap<InstanceId, Arc<Replica>>,
    pub(super) table: Table,
    pub(super) published: Arc<Published>,
    pub(super) waiting: Vec<Waiting>,
    pub(super) outage: Option<String>,
    pub(super) view: watch::Sender<Arc<View>>,
    pub(super) rng: StdRng,
    pub(super) store: Arc<Store>,
    saved: Option<Desired>,
    claimed: bool,
    calls: mpsc::Receiver<Call>,
    lists: Lists,
    /// Instances with an action under way (`None`) or one whose effect the list of this number will show.
    busy: BTreeMap<InstanceId, Option<u64>>,
    tasks: JoinSet<Done>,
}

/// What a fleet is made of.
pub struct Parts {
    /// Runs the replicas.
    pub engine: Arc<dyn Engine>,
    /// Keeps the desired set.
    pub store: Store,
    /// What the store held, or a fresh set.
    pub desired: Desired,
    /// Where requests look.
    pub published: Arc<Published>,
    /// Chance.
    pub rng: StdRng,
}

/// Why a fleet ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// The instances are another's.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// The first set could not be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The restarts of one replica.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// Since when its present instance is wanted.
    pub(super) since: SystemTime,
    pub(super) restarts: u32,
    pub(super) pause: Pause,
    pub(super) last_exit: Option<LastExit>,
    pub(super) refused: Option<String>,
}

impl Default for Record {
    fn default() -> Self {
        let (restarts, pause) = (0, Pause::default());
        Record { since: SystemTime::now(), restarts, pause, last_exit: None, refused: None }
    }
}

/// One instance that runs, and since when it is what it is.
#[derive(Clone, Debug)]
pub(super) struct Life {
    pub(super) health: Health,
    pub(super) since: SystemTime,
    pub(super) ready_since: Option<Instant>,
}

/// One instance that leaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Departure {
    deadline: Instant,
    dead: bool,
    pub(super) since: SystemTime,
}

/// The looks at the engine, one at a time.
#[derive(Debug)]
struct Lists {
    begun: u64,
    under_way: bool,
    wanted: bool,
    next: Instant,
}

/// What a task reports.
enum Done {
    Listed(Result<Vec<Instance>, EngineError>),
    Probed(InstanceId, bool),
    Acted(Action, Result<(), EngineError>),
}

impl Fleet {
    /// A fleet that has not looked at anything yet, and the door to it.
    pub fn new(config: Config, parts: Parts) -> (Self, Handle) {
        let (door, calls) = mpsc::channel(64);
        let table = parts.published.load().default.clone();
        let nothing = View {
            pool: config.pool.clone(),
            epoch: 0,
            ring: config.ring.clone(),
            problem: None,
            rows: vec![],
        };
        let (view, seen) = watch::channel(Arc::new(nothing));
        let lists = Lists { begun: 0, under_way: false, wanted: true, next: Instant::now() };
        let fleet = Fleet {
            config,
            engine: parts.engine,
            desired: parts.desired,
            records: BTreeMap::new(),
            leaving: BTreeMap::new(),
            observed: Vec::new(),
            health: BTreeMap::new(),
            replicas: BTreeMap::new(),
            table,
            published: parts.published,
            waiting: Vec::new(),
            outage: None,
            view,
            rng: parts.rng,
            store: Arc::new(parts.store),
            saved: None,
            claimed: false,
            calls,
            lists,
            busy: BTreeMap::new(),
            tasks: JoinSet::new(),
        };
        fleet.show();
        (fleet, Handle { calls: door, view: seen })
    }
    /// Keeps the replicas alive until it is told to take all down. `nudge` says that a connection failed. Dropping
    /// the future leaves everything as it is, to be found again.
    pub async fn run(mut self, nudge: Arc<Notify>) -> Result<(), FleetError> {
        let engine = self.engine.clone();
        while !self.is_down() {
            let due = self.due();
            tokio::select! {
                Some(call) = self.calls.recv() => self.take_call(call).await,
                () = engine.changed() => self.lists.wanted = true,
                () = nudge.notified() => self.suspect(),
                Some(done) = self.tasks.join_next() => self.note(done.expect("tasks neither panic nor are aborted"))?,
                () = sleep_until(due.into()) => {}
            }
            self.pass().await?;
        }
        Ok(())
    }

    /// One look at everything known, and what follows from it.
    async fn pass(&mut self) -> Result<(), FleetError> {
        let now = Instant::now();
        self.look(now);
        if !self.claimed {
            self.settle_calls().await;
            return Ok(());
        }
        self.bury(now);
        self.attend(now);
        self.save().await;
        self.publish().await;
        self.heartbeats(now);
        self.act(now);
        self.settle_calls().await;
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
                self.lists = Lists {
                    under_way: false,
                    wanted: false,
                    next: Instant::now() + RELIST_OUTAGE,
                    ..self.lists
                };
                if self.outage.is_none() {
                    tracing::error!(%error, "replicas cannot be watched; traffic goes on as it was");
                }
                self.outage = Some(error.to_string());
            }
            Done::Probed(instance, answered) => self.probed(&instance, answered),
            Done::Acted(action, result) => self.acted(&action, result),
        }
        Ok(())
    }

    fn listed(&mut self, instances: Vec<Instance>) -> Result<(), FleetError> {
        self.lists.under_way = false;
        if self.outage.take().is_some() {
            tracing::info!("the engine answers again");
        }
        if !self.claimed {
            self.desired = claim(self.desired.clone(), &self.config.pool, &instances, self.config.adopt)?;
            self.claimed = true;
        }
        let seen = self.lists.begun;
        self.busy.retain(|_, shown_by| shown_by.is_none_or(|list| list > seen));
        self.observed = instances;
        Ok(())
    }

    fn probed(&mut self, instance: &InstanceId, answered: bool) {
        let Some(life) = self.health.get_mut(instance) else { return };
        if life.health.end(answered, &self.config.heartbeat) {
            (life.since, life.ready_since) = (SystemTime::now(), Some(Instant::now()));
            self.desired.mark_up(instance);
            self.report(instance, What::Ready);
        }
    }

    fn acted(&mut self, action: &Action, result: Result<(), EngineError>) {
        self.busy.insert(action.instance().clone(), Some(self.lists.begun + 1));
        self.lists.wanted = true;
        match (action, result) {
            (_, Ok(())) => {}
            (_, Err(error)) if error.is_outage() => tracing::warn!(%error, "an action will be tried again"),
            (Action::Start(launch), Err(error)) => {
                let record = self.records.entry(launch.number).or_default();
                record.refused = Some(error.to_string());
                record.pause.died(None, self.config.restart_pause, Instant::now());
                self.report(&launch.instance, What::StartRefused(error.to_string()));
            }
            (_, Err(error)) => {
                tracing::warn!(%error, "an action will be tried again");
                // until the next regular look: an engine that refuses is not asked again and again
                self.busy.insert(action.instance().clone(), Some(self.lists.begun + 2));
            }
        }
    }

    /// Gives the dead new instances and lets the old ones leave.
    fn bury(&mut self, now: Instant) {
        if self.outage.is_some() {
            return; // what is not seen is not dead
        }
        let seen = |want: &Want| want.up || self.health.contains_key(&want.instance);
        let failed = |instance: &_| self.health.get(instance)?.health.is_dead(&self.config.heartbeat);
        let dead = deaths(&self.desired, &self.observed, &failed, &seen);
        for (instance, death) in dead {
            self.report(&instance, What::Died(death.clone()));
            let lived = self.lived(&instance, now);
            self.depart(instance.clone(), true, now);
            let Some(want) = self.desired.replace(&instance, &mut self.rng) else { continue };
            let record = self.records.entry(want.number).or_default();
            record.since = SystemTime::now();
            record.restarts += 1;
            record.pause.died(lived, self.config.restart_pause, now);
            record.last_exit = Some(last_exit(&death));
        }
    }

    /// How long the instance was ready; one that was so under an earlier balancer, for as long as can be.
    fn lived(&self, instance: &InstanceId, now: Instant) -> Option<Duration> {
        let since = self.health.get(instance).and_then(|life| life.ready_since);
        let was_up = self.desired.wants().iter().any(|want| want.instance == *instance && want.up);
        since.map(|since| now.duration_since(since)).or(was_up.then_some(Duration::MAX))
    }

    /// Lets an instance leave.
    pub(super) fn depart(&mut self, instance: InstanceId, dead: bool, now: Instant) {
        let deadline = now + self.config.drain_timeout;
        self.health.remove(&instance);
        self.leaving.insert(instance, Departure { deadline, dead, since: SystemTime::now() });
    }

    /// Has every desired instance that runs be watched, and forgets those that are gone.
    fn attend(&mut self, now: Instant) {
        for want in self.desired.wants() {
            let runs = |instance: &&Instance| instance.id == want.instance && instance.address().is_some();
            if self.observed.iter().any(|instance| runs(&instance))
                && !self.health.contains_key(&want.instance)
            {
                let life =
                    Life { health: Health::new(want.up, now), since: SystemTime::now(), ready_since: None };
                self.health.insert(want.instance.clone(), life);
                self.records.entry(want.number).or_default().refused = None;
            }
        }
        let numbers: BTreeSet<Number> = self.desired.wants().iter().map(|want| want.number).collect();
        self.records.retain(|number, _| numbers.contains(number));
        if self.lists.under_way || self.outage.is_some() {
            return; // the list is about to change
        }
        let listed: BTreeSet<InstanceId> = self.observed.iter().map(|instance| instance.id.clone()).collect();
        self.leaving.retain(|instance, _| listed.contains(instance));
        let desired = &self.desired;
        self.replicas.retain(|instance, _| listed.contains(instance) || desired.has_instance(instance));
    }

    /// Stores the desired set if it changed. A set that cannot be stored is kept alive all the same.
    async fn save(&mut self) {
        if self.saved.as_ref() == Some(&self.desired) {
            return;
        }
        match self.store(self.desired.clone()).await {
            Ok(()) => self.saved = Some(self.desired.clone()),
            Err(error) => {
                tracing::error!(%error, "the replicas go on, but a restart would not find all of them")
            }
        }
    }

    /// Stores this set, off the loop's thread.
    pub(super) async fn store(&self, desired: Desired) -> Result<(), StoreError> {
        let (store, engine) = (self.store.clone(), self.engine.kind());
        let saved = tokio::task::spawn_blocking(move || store.save(&Stored { engine, desired }));
        saved.await.expect("saving does not panic")
    }

    /// Sends the heartbeats that are due.
    fn heartbeats(&mut self, now: Instant) {
        let rules = &self.config.heartbeat;
        let under_way = self.health.values().filter(|life| life.health.due().is_none()).count();
        let room =
            self.config.heartbeat_concurrency.map_or(usize::MAX, |most| most.saturating_sub(under_way));
        let due = self.health.iter_mut().filter(|(_, life)| life.health.due().is_some_and(|due| due <= now));
        for (instance, life) in due.take(room) {
            let address = self.observed.iter().find(|seen| seen.id == *instance).and_then(Instance::address);
            life.health.begin(rules, self.rng.random(), now);
            let (id, path, timeout) = (instance.clone(), self.config.heartbeat_path.clone(), rules.timeout);
            self.tasks.spawn(async move {
                let answered = match address {
                    Some(address) => probe::answers(address, &path, timeout).await,
                    None => false,
                };
                Done::Probed(id, answered)
            });
        }
    }

    /// Does what the plan says.
    fn act(&mut self, now: Instant) {
        if self.outage.is_some() {
            return;
        }
        let leaving = self.leaving.iter().map(|(instance, departure)| {
            let in_flight = self.replicas.get(instance).map_or(0, |replica| replica.in_flight());
            (instance.clone(), Leaving { deadline: departure.deadline, dead: departure.dead, in_flight })
        });
        let records = &self.records;
        let number = |name: &_| self.desired.get(name).map(|want| want.number);
        let paused = |name: &_| records.get(&number(name)?)?.pause.until(now);
        let world = World {
            pool: &self.config.pool,
            instances: &self.observed,
            leaving: &leaving.collect(),
            paused: &paused,
            busy: &self.busy.keys().cloned().collect(),
            now,
        };
        for action in plan(&self.desired, &world) {
            self.busy.insert(action.instance().clone(), None);
            let engine = self.engine.clone();
            self.tasks.spawn(async move {
                let result = match &action {
                    Action::Start(launch) => engine.start(launch).await,
                    Action::Release(instance) => engine.release(instance).await,
                    Action::Stop(instance, how) => engine.stop(instance, *how).await,
                };
                Done::Acted(action, result)
            });
        }
    }

    /// Asks those at once to which a connection failed.
    fn suspect(&mut self) {
        let now = Instant::now();
        for (instance, life) in &mut self.health {
            if self.replicas.get(instance).is_some_and(|replica| replica.take_failed_connects() > 0) {
                life.health.hurry(now);
            }
        }
        self.lists.wanted = true;
    }

    /// Whether the last list shows the effect of everything that was done.
    pub(super) fn has_fresh_list(&self) -> bool {
        self.claimed
            && self.busy.is_empty()
            && self.outage.is_none()
            && !self.lists.under_way
            && !self.lists.wanted
    }

    /// When something is due without anything happening.
    fn due(&self) -> Instant {
        let now = Instant::now();
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
        let list = (!self.lists.under_way).then_some(self.lists.next);
        heartbeats.chain(pauses).chain(drains).chain(calls).chain(list).min().unwrap_or(now + RELIST)
    }

    /// Tells what happened to the replica that this instance plays.
    pub(super) fn report(&self, instance: &InstanceId, what: What) {
        let Some(want) = self.desired.wants().iter().find(|want| want.instance == *instance) else { return };
        let event = Event { name: want.name.clone(), instance: instance.clone(), what };
        match event.what {
            What::Died(_) | What::StartRefused(_) => tracing::warn!("{event}"),
            _ => tracing::info!("{event}"),
        }
    }
}

fn last_exit(death: &Death) -> LastExit {
    let (code, out_of_memory) = match death {
        Death::Exited { code, out_of_memory } => (*code, *out_of_memory),
        Death::Vanished | Death::Heartbeats(_) => (None, false),
    };
    LastExit { reason: death.to_string(), code, out_of_memory, at: SystemTime::now() }
}
