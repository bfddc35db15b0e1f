//! What is behind the fake engine: the containers of all deployments.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

use super::{Call, Container, FakeEngine, Fate, Faults, STOP_TIMEOUT, refused, unreachable};
use crate::{
    engine::{EngineError, Instance, Launch, State, Stop},
    name::InstanceId,
};

/// What runs the containers of all deployments.
pub(crate) struct Daemon {
    state: Mutex<Inside>,
    /// Told of every call before it is done.
    pub(super) witness: Mutex<Option<Witness>>,
}

pub(super) type Witness = Box<dyn Fn(&Call) + Send>;

pub(super) struct Inside {
    containers: Vec<Container>,
    /// Those that were removed, by whomever: one that a late start brings back is not as it was.
    removed: Vec<InstanceId>,
    faults: Faults,
    away: bool,
    rng: StdRng,
    /// Whose calls are waited for.
    /// And whether it is a start.
    under_way: BTreeMap<(&'static str, InstanceId), bool>,
    listeners: Vec<Arc<Notify>>,
}

/// A call that somebody waits for.
pub(super) struct UnderWay {
    daemon: Arc<Daemon>,
    call: (&'static str, InstanceId),
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.daemon.inside().under_way.remove(&self.call);
    }
}

impl Daemon {
    /// One that has nothing yet.
    pub(crate) fn new(seed: u64) -> Arc<Self> {
        let (rng, faults) = (StdRng::seed_from_u64(seed), Faults::none());
        let inside = Inside {
            containers: Vec::new(),
            removed: Vec::new(),
            faults,
            away: false,
            rng,
            under_way: BTreeMap::new(),
            listeners: Vec::new(),
        };
        Arc::new(Daemon { state: Mutex::new(inside), witness: Mutex::default() })
    }

    /// A deployment's door.
    pub(crate) fn engine(self: &Arc<Self>, deployment: &'static str) -> FakeEngine {
        let changed = Arc::new(Notify::new());
        self.inside().listeners.push(changed.clone());
        FakeEngine { deployment, daemon: self.clone(), changed }
    }

    /// Has this be told of every call that is made.
    pub(crate) fn watch(&self, witness: impl Fn(&Call) + Send + 'static) {
        *self.witness.lock().expect("not poisoned") = Some(Box::new(witness));
    }

    /// From now on these faults.
    pub(crate) fn set_faults(&self, faults: Faults) {
        self.inside().faults = faults;
    }

    /// Away, it answers nothing; its containers run on.
    pub(crate) fn set_away(&self, away: bool) {
        self.inside().away = away;
        self.hint();
    }

    /// Everything there is.
    pub(crate) fn containers(&self) -> Vec<Container> {
        self.inside().containers.clone()
    }

    /// The container of this instance.
    pub(crate) fn container(&self, id: &InstanceId) -> Option<Container> {
        self.inside().containers.iter().find(|container| container.is(id)).cloned()
    }

    /// Puts a container there that is none of any deployment's.
    pub(crate) fn put_foreign(&self, name: &str) {
        let container =
            Container { name: name.into(), labels: None, frozen: false, harmed: false, answers_from: None };
        self.inside().containers.push(container);
    }

    /// Removes such a container.
    pub(crate) fn remove_foreign(&self, name: &str) {
        self.inside().containers.retain(|container| container.labels.is_some() || container.name != name);
    }

    /// Puts an instance there as its start would have, run or only created.
    pub(crate) fn put(&self, deployment: &'static str, launch: &Launch, run: bool) {
        let mut inside = self.inside();
        inside.create(deployment, launch).expect("the name is not a foreign container's");
        if run {
            inside.run(&launch.instance);
        }
    }

    /// Ends a running instance with this exit code.
    pub(crate) fn crash(&self, id: &InstanceId, code: i32) {
        self.harm(id, |container| container.exit(code));
        self.hint();
    }

    /// Has it stop answering, or answer again; the daemon sees no difference.
    pub(crate) fn freeze(&self, id: &InstanceId, frozen: bool) {
        self.harm(id, |container| container.frozen = frozen);
    }

    /// Removes it from outside.
    pub(crate) fn remove(&self, id: &InstanceId) {
        self.inside().remove(id);
        self.hint();
    }

    /// Whether something answers heartbeats there.
    pub(crate) fn answers(&self, address: SocketAddr) -> bool {
        let now = Instant::now();
        let answers = |c: &Container| {
            !c.frozen && c.address() == Some(address) && c.answers_from.is_some_and(|at| at <= now)
        };
        self.inside().containers.iter().any(answers)
    }

    /// Whether something runs there that does not answer because it is frozen.
    pub(crate) fn is_frozen(&self, address: SocketAddr) -> bool {
        self.inside().containers.iter().any(|c| c.frozen && c.address() == Some(address))
    }

    fn harm(&self, id: &InstanceId, how: impl FnOnce(&mut Container)) {
        if let Some(container) = self.inside().containers.iter_mut().find(|container| container.is(id)) {
            how(container);
            container.harmed = true;
        }
    }

    /// Tells every door that something changed; or does not, or later.
    fn hint(&self) {
        let mut inside = self.inside();
        for changed in inside.listeners.clone() {
            let (lose, delay) = (inside.faults.lose_hint, inside.faults.delay_hint);
            if inside.rng.random_bool(lose) {
                continue;
            }
            if !inside.rng.random_bool(delay) {
                changed.notify_one();
                continue;
            }
            let late = inside.draw(&(Duration::ZERO..Duration::from_secs(2)));
            tokio::spawn(async move {
                sleep(late).await;
                changed.notify_one();
            });
        }
    }

    pub(super) fn inside(&self) -> MutexGuard<'_, Inside> {
        self.state.lock().expect("nobody panics while holding it")
    }

    pub(super) async fn pause(&self) {
        let pause = {
            let mut inside = self.inside();
            let delay = inside.faults.delay.clone();
            inside.draw(&delay)
        };
        sleep(pause).await;
    }

    pub(super) fn is_there(&self) -> Result<(), EngineError> {
        if self.inside().away { Err(unreachable("it is away")) } else { Ok(()) }
    }

    /// What a call does, as far as it comes; goes on whether or not somebody waits for it.
    pub(super) async fn perform(
        self: Arc<Self>,
        deployment: &'static str,
        call: Call,
        fate: Fate,
    ) -> Result<(), EngineError> {
        self.pause().await;
        self.is_there()?;
        match fate {
            Fate::Done | Fate::AnswerLost => {}
            Fate::Refused => return Err(refused("it is in no mood")),
            Fate::Late(late) => sleep(late).await,
            Fate::Never => std::future::pending().await,
        }
        match &call {
            // clearing the name is the caller's work, and whoever began this has given up or was killed
            Call::Start(launch)
                if !self.is_waited_for(deployment, &launch.instance)
                    && self.inside().has(launch.name.as_str()) => {}
            Call::Start(launch) => self.start(deployment, launch).await?,
            Call::Release(instance) => self.inside().release(deployment, instance),
            Call::Stop(instance, how) => self.stop(deployment, instance, *how).await,
        }
        self.pause().await;
        if matches!(fate, Fate::AnswerLost) {
            Err(unreachable("the answer is lost"))
        } else {
            self.is_there()
        }
    }

    /// Whether a start of this instance is waited for; that something else is done about it does not count.
    fn is_waited_for(&self, deployment: &'static str, instance: &InstanceId) -> bool {
        self.inside().under_way.get(&(deployment, instance.clone())) == Some(&true)
    }

    pub(super) fn admit(self: &Arc<Self>, deployment: &'static str, of: &Call) -> UnderWay {
        let call = (deployment, of.instance().clone());
        let alone = self.inside().under_way.insert(call.clone(), matches!(of, Call::Start(_))).is_none();
        assert!(alone, "two calls at once: {of:?}");
        UnderWay { daemon: self.clone(), call }
    }

    async fn start(&self, deployment: &'static str, launch: &Launch) -> Result<(), EngineError> {
        let half = {
            let mut inside = self.inside();
            inside.create(deployment, launch)?;
            let half = inside.faults.half;
            inside.rng.random_bool(half)
        };
        self.pause().await;
        if half {
            return Err(refused("it created the container and forgot to start it"));
        }
        self.inside().run(&launch.instance);
        self.hint();
        Ok(())
    }

    async fn stop(&self, deployment: &'static str, id: &InstanceId, how: Stop) {
        let ours = |container: &Container| container.is(id) && container.is_of(deployment);
        let frozen = self.inside().containers.iter().any(|c| ours(c) && c.frozen);
        match how {
            Stop::Gracefully if frozen => sleep(STOP_TIMEOUT).await,
            Stop::Gracefully => self.pause().await,
            Stop::Kill => {}
        }
        self.inside()
            .containers
            .iter_mut()
            .filter(|c| ours(c))
            .for_each(|c| c.exit(if frozen { 137 } else { 0 }));
        self.hint();
        self.pause().await;
        if self.inside().containers.iter().any(ours) {
            self.inside().remove(id);
        }
        self.hint();
    }
}

impl Inside {
    fn draw(&mut self, range: &Range<Duration>) -> Duration {
        let span = range.end.saturating_sub(range.start);
        range.start + span.mul_f64(self.rng.random::<f64>())
    }

    pub(super) fn fate(&mut self) -> Fate {
        let Faults { refuse, lose, hang, .. } = self.faults;
        let dice = self.rng.random::<f64>();
        match dice {
            _ if dice < refuse => Fate::Refused,
            _ if dice < refuse + lose => Fate::AnswerLost,
            _ if dice >= refuse + lose + hang => Fate::Done,
            _ if self.rng.random() => Fate::Never,
            _ => Fate::Late(self.draw(&(Duration::from_secs(5)..Duration::from_secs(90)))),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.containers.iter().any(|container| container.name == name)
    }

    fn create(&mut self, deployment: &'static str, launch: &Launch) -> Result<(), EngineError> {
        if self.containers.iter().any(|container| container.is(&launch.instance)) {
            return Ok(());
        }
        let mut name = launch.name.to_string();
        let own = format!("{name}--{}", launch.instance);
        match self.containers.iter_mut().find(|container| container.name == name) {
            None => {}
            Some(holder) if holder.is_of(deployment) => holder.give_up_name(),
            Some(holder) if holder.labels.is_some() => name = own,
            Some(_) => {
                let holder = "a container without labels".to_owned();
                return Err(EngineError::NameTaken { name: launch.name.clone(), holder });
            }
        }
        // whether it holds its name is read off the container's when it is listed
        let instance = Instance { holds_name: false, ..Instance::of(launch, State::Created) };
        let (labels, harmed) = (Some((deployment, instance)), self.removed.contains(&launch.instance));
        self.containers.push(Container { name, labels, frozen: false, harmed, answers_from: None });
        Ok(())
    }

    /// Runs what was created, at the lowest address that is free: one that another just had, as likely as not.
    fn run(&mut self, id: &InstanceId) {
        let free = (2..=250).map(|last| SocketAddr::from(([10, 0, 0, last], 5000)));
        let address = free.into_iter().find(|a| !self.containers.iter().any(|c| c.address() == Some(*a)));
        let boot = self.faults.boot.clone();
        let answers_from = Some(Instant::now() + self.draw(&boot));
        let stillborn = self.faults.stillborn;
        let stillborn = self.rng.random_bool(stillborn);
        let container = self.containers.iter_mut().find(|c| c.is(id) && c.state() == Some(State::Created));
        if let Some(container) = container {
            container.set_state(State::Running(Some(address.expect("fewer than 249 run"))));
            container.answers_from = answers_from;
            if stillborn {
                container.exit(1);
                container.harmed = true;
            }
        }
    }

    fn remove(&mut self, id: &InstanceId) {
        self.containers.retain(|container| !container.is(id));
        self.removed.push(id.clone());
    }

    fn release(&mut self, deployment: &str, id: &InstanceId) {
        self.containers
            .iter_mut()
            .filter(|c| c.is(id) && c.is_of(deployment))
            .for_each(Container::give_up_name);
    }
}
