//! What has to hold at every moment, looked at whenever something is published and before every call of the engine.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use tokio::{sync::watch, time::Instant};

use super::balancer::{DRAIN, POOL};
use crate::{
    engine::{
        Launch, State, Stop,
        fake::{Call, Daemon},
    },
    fleet::{Desired, Row, RowState, View},
    name::{InstanceId, Owner},
    table::{Published, Replica},
};

/// Sees all and forgets no breach.
pub(super) struct Witness {
    daemon: Arc<Daemon>,
    state_file: PathBuf,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    owner: Option<Owner>,
    view: Option<watch::Receiver<Arc<View>>>,
    published: Option<Arc<Published>>,
    /// The desired rows of the last look, which a restart does not change.
    rows: Vec<Row>,
    serving: BTreeSet<InstanceId>,
    /// Every replica that this balancer has published.
    replicas: BTreeMap<InstanceId, Arc<Replica>>,
    /// When these left the desired set.
    departed: BTreeMap<InstanceId, Instant>,
    /// When these were started without being in the file: a breach, unless they had just left.
    unstored: BTreeMap<InstanceId, Instant>,
    /// How many restarts of a replica were asked for and not seen yet.
    restarts: BTreeMap<String, u32>,
    broken: Vec<String>,
}

impl Witness {
    /// Watches this daemon, and the file in which the desired set is kept.
    pub(super) fn new(daemon: &Arc<Daemon>, state_file: PathBuf) -> Arc<Self> {
        let witness = Arc::new(Witness { daemon: daemon.clone(), state_file, seen: Mutex::default() });
        let weak = Arc::downgrade(&witness);
        daemon.watch(move |call| {
            if let Some(witness) = weak.upgrade() {
                witness.called(call);
            }
        });
        witness
    }

    /// A balancer begins its life with this set.
    pub(super) fn begin(
        &self,
        desired: &Desired,
        view: watch::Receiver<Arc<View>>,
        published: Arc<Published>,
    ) {
        let mut seen = self.seen.lock().unwrap();
        (seen.owner, seen.view, seen.published) = (Some(desired.owner.clone()), Some(view), Some(published));
        seen.serving.clear();
        seen.replicas.clear();
        seen.departed.clear();
    }

    /// A restart of this replica is asked for: that it is well does not keep its instance.
    pub(super) fn may_restart(&self, name: &str) {
        *self.seen.lock().unwrap().restarts.entry(name.to_owned()).or_default() += 1;
    }

    /// What the fleet published is looked at.
    pub(super) fn look(&self) {
        let seen = &mut *self.seen.lock().unwrap();
        let (Some(view), Some(published)) = (&seen.view, &seen.published) else { return };
        let view = view.borrow().clone();
        let table: Vec<Arc<Replica>> = published.load().table(POOL).unwrap().serving().cloned().collect();
        let rows: Vec<Row> = view.desired().cloned().collect();
        let mut broken = each_once(&table);
        broken.extend(self.agree(&rows, &table));
        broken.extend(self.kept(&seen.rows, &rows, &mut seen.restarts));
        broken.extend(half(&rows, &table));
        let serving: BTreeSet<InstanceId> = table.iter().map(|replica| replica.instance.clone()).collect();
        let wanted = |lost: &InstanceId| rows.iter().any(|row| row.instance == *lost && !row.drained);
        for lost in seen.serving.difference(&serving).filter(|lost| wanted(lost) && self.is_well(lost)) {
            broken.push(format!("{lost} is well and was taken out of the table"));
        }
        seen.unstored.retain(|early, since| {
            let confirmed = !since.elapsed().is_zero();
            let breach = confirmed && is_desired(&rows, early);
            broken.extend(breach.then(|| format!("{early} was started before it was stored")));
            !confirmed
        });
        for gone in seen.rows.iter().filter(|row| !is_desired(&rows, &row.instance)) {
            seen.departed.insert(gone.instance.clone(), Instant::now());
        }
        seen.replicas.extend(table.iter().map(|replica| (replica.instance.clone(), replica.clone())));
        let forsaken = seen.replicas.iter().find(|(instance, replica)| {
            replica.is_given_up() && replica.in_flight() > 0 && self.is_well(instance)
        });
        broken.extend(forsaken.map(|(instance, _)| format!("{instance} is well and is not waited for")));
        (seen.rows, seen.serving) = (rows, serving);
        seen.broken.extend(broken);
    }

    /// What was broken so far.
    pub(super) fn broken(&self) -> Vec<String> {
        self.seen.lock().unwrap().broken.clone()
    }

    /// The owner that the balancers act as.
    pub(super) fn owner(&self) -> Owner {
        self.seen.lock().unwrap().owner.clone().unwrap()
    }

    /// The engine is called.
    fn called(&self, call: &Call) {
        tracing::debug!(at = ?Instant::now(), "called: {call:?}");
        self.look();
        let seen = &mut *self.seen.lock().unwrap();
        let breach = match call {
            Call::Start(launch) => self.may_start(seen, launch),
            Call::Release(instance) => self.may_leave(seen, instance),
            Call::Stop(instance, how) => {
                self.may_leave(seen, instance).or_else(|| self.may_end(seen, instance, *how))
            }
        };
        seen.broken.extend(breach.map(|breach| format!("{breach}: {call:?}")));
    }

    /// Why this may not start. One that no look has seen came and went between two of them.
    fn may_start(&self, seen: &mut Seen, launch: &Launch) -> Option<&'static str> {
        if seen.departed.get(&launch.instance).is_some_and(|since| !since.elapsed().is_zero()) {
            return Some("starts what is not desired any more");
        }
        let row = seen.rows.iter().find(|row| row.instance == launch.instance)?;
        if row.name != launch.name || row.number != launch.number {
            return Some("starts one under another's name or number");
        }
        let stored = fs::read_to_string(&self.state_file).unwrap_or_default();
        if !stored.contains(launch.instance.as_str()) {
            seen.unstored.insert(launch.instance.clone(), Instant::now());
        }
        None
    }

    fn may_leave(&self, seen: &Seen, instance: &InstanceId) -> Option<&'static str> {
        let (_, of) = self.daemon.container(instance)?.labels?;
        if Some(&of.owner) != seen.owner.as_ref() || *of.pool != *"default" {
            return Some("touches a stranger");
        }
        if is_desired(&seen.rows, instance) {
            return Some("takes away what is desired");
        }
        seen.serving.contains(instance).then_some("takes away what is in the table")
    }

    /// Why one that left may not end yet.
    fn may_end(&self, seen: &Seen, instance: &InstanceId, how: Stop) -> Option<&'static str> {
        if !self.is_well(instance) || !seen.replicas.contains_key(instance) {
            return None; // dead, or never had a request
        }
        if how == Stop::Kill {
            return Some("kills one that is well");
        }
        let in_flight = seen.replicas.get(instance).map_or(0, |replica| replica.in_flight());
        let drained = seen.departed.get(instance).is_none_or(|since| since.elapsed() >= DRAIN);
        (in_flight > 0 && !drained).then_some("ends one with requests in flight")
    }

    /// Whether it runs and nothing was ever done to it from outside.
    fn is_well(&self, instance: &InstanceId) -> bool {
        let container = self.daemon.container(instance);
        container.is_some_and(|c| !c.harmed && matches!(c.state(), Some(State::Running(_))))
    }

    /// The view and the table say the same.
    fn agree(&self, rows: &[Row], table: &[Arc<Replica>]) -> Option<String> {
        let ready: BTreeSet<_> =
            rows.iter().filter(|row| row.state.serves()).map(|row| (row.number, &row.instance)).collect();
        let serving: BTreeSet<_> = table.iter().map(|replica| (replica.number, &replica.instance)).collect();
        (ready != serving).then(|| format!("the view has {ready:?} ready, the table {serving:?}"))
    }

    /// Who stays keeps name and number, and the instance too if that is well and no restart was asked for.
    fn kept(&self, before: &[Row], after: &[Row], restarts: &mut BTreeMap<String, u32>) -> Vec<String> {
        let mut broken = Vec::new();
        for now in after {
            let Some(was) = before.iter().find(|row| row.name == now.name) else { continue };
            if was.instance != now.instance && now.restarts == 0 {
                continue; // removed and added again between two looks
            }
            if was.number != now.number {
                broken.push(format!("{} had number {} and has {}", now.name, was.number, now.number));
            }
            let asked = restarts.get_mut(now.name.as_str()).filter(|count| **count > 0);
            if was.instance != now.instance && self.is_well(&was.instance) {
                if let Some(count) = asked {
                    *count -= 1;
                    continue;
                }
                broken.push(format!("{} is well and was replaced", was.instance));
            }
        }
        broken
    }
}

fn is_desired(rows: &[Row], instance: &InstanceId) -> bool {
    rows.iter().any(|row| row.instance == *instance)
}

/// Not more than half of the pool is ejected.
fn half(rows: &[Row], table: &[Arc<Replica>]) -> Option<String> {
    let shown = rows.iter().filter(|row| matches!(row.state, RowState::Ejected(_))).count();
    let ejected = table.iter().filter(|replica| replica.is_ejected()).count();
    (shown.max(ejected) > rows.len() / 2).then(|| format!("{ejected} of {} are ejected", rows.len()))
}

/// No name, number or address is in the table twice.
fn each_once(table: &[Arc<Replica>]) -> Vec<String> {
    let twice = |what: &str, keys: BTreeSet<String>| {
        (keys.len() < table.len()).then(|| format!("a {what} serves twice"))
    };
    let name = twice("name", table.iter().map(|replica| replica.name.as_str().to_lowercase()).collect());
    let number = twice("number", table.iter().map(|replica| replica.number.to_string()).collect());
    name.into_iter().chain(number).collect()
}
