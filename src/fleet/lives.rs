//! The lives of instances: which are watched, which are taken for dead, which leave, and what is told of them.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use rand::RngExt;

use super::{
    DEFAULT,
    clock::now,
    desired::Want,
    health::Health,
    outlier::Ejections,
    pause::Pause,
    plan::deaths,
    reconcile::{Done, Fleet},
    view::LastExit,
};
use crate::{
    engine::{Instance, Launch},
    event::{Death, Event, What},
    name::{InstanceId, Name, Number},
};

/// How long one that was replaced for its silence may take to be ready before the next silent one is replaced.
const HEALING: Duration = Duration::from_secs(30);

/// The restarts of one replica.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// Since when its present instance is wanted.
    pub(super) since: SystemTime,
    pub(super) restarts: u32,
    pub(super) pause: Pause,
    pub(super) last_exit: Option<LastExit>,
    pub(super) refused: Option<String>,
    /// Until when this replica, which was replaced for its silence, keeps others from that; `None` once it is ready.
    pub(super) healing: Option<Instant>,
}

impl Default for Record {
    fn default() -> Self {
        let (restarts, pause) = (0, Pause::default());
        let since = SystemTime::now();
        Record { since, restarts, pause, last_exit: None, refused: None, healing: None }
    }
}

/// One instance that runs, and since when it is what it is.
#[derive(Clone, Debug)]
pub(super) struct Life {
    pub(super) health: Health,
    pub(super) since: SystemTime,
    pub(super) ready_since: Option<Instant>,
    /// Since when it warms up; `None` for one that did so under an earlier balancer.
    pub(super) warm_since: Option<Instant>,
    pub(super) ejections: Ejections,
    /// Why it is ejected, if it is.
    pub(super) ejected: Option<String>,
    /// How often the replica had come under suspicion when the last heartbeat was sent.
    pub(super) asked_after: u32,
}

/// One instance that leaves.
#[derive(Clone, Debug)]
pub(super) struct Departure {
    pub(super) name: Name,
    pub(super) deadline: Instant,
    pub(super) dead: bool,
    /// Whether its end was told already, as a death.
    pub(super) told: bool,
    /// Whether its last words were asked for.
    pub(super) heard: bool,
    pub(super) since: SystemTime,
    /// The epoch of the first table without it, once that is published.
    pub(super) left_at: Option<u64>,
}

impl Fleet {
    /// Gives the dead new instances and lets the old ones leave.
    pub(super) fn bury(&mut self, now: Instant) {
        if self.outage.is_some() || !self.engine.kind().owns_instances() {
            return; // what is not seen is not dead, and what is not ours is not replaced
        }
        let seen = |want: &Want| want.up || self.health.contains_key(&want.instance);
        let failed = |instance: &_| self.health.get(instance)?.health.is_dead(&self.config.heartbeat);
        let healing = self.records.values().filter(|record| record.healing.is_some_and(|until| until > now));
        let paced = self.config.heal_at_once.saturating_sub(healing.count());
        for (instance, death) in deaths(&self.desired, &self.observed, &failed, &seen, paced) {
            self.report(&instance, What::Died(death.clone()));
            let lived = self.lived(&instance, now);
            let Some(want) = self.desired.replace(&instance, &mut self.rng) else { continue };
            let record = self.records.entry(want.number).or_default();
            record.since = SystemTime::now();
            record.restarts += 1;
            record.pause.died(lived, self.config.restart_pause, now);
            record.healing = matches!(death, Death::Heartbeats(_)).then_some(now + HEALING);
            record.last_exit = Some(last_exit(instance.clone(), &death));
            let name = want.name.clone();
            self.depart(name, instance, true, true, now);
        }
    }

    /// Notes that the engine would not start it. What is not ours is tried as often as a heartbeat, and told of once.
    pub(super) fn refused(&mut self, launch: &Launch, why: String) {
        let record = self.records.entry(launch.number).or_default();
        let is_news = record.refused.replace(why.clone()).is_none_or(|before| before != why);
        let ours = self.engine.kind().owns_instances();
        if ours {
            record.pause.died(None, self.config.restart_pause, now());
        } else {
            record.pause.again(self.config.heartbeat.interval, now());
        }
        if ours || is_news {
            self.report(&launch.instance, What::StartRefused(why));
        }
    }

    /// How long the instance was ready; one that was so under an earlier balancer, for as long as can be.
    pub(super) fn lived(&self, instance: &InstanceId, now: Instant) -> Option<Duration> {
        let since = self.health.get(instance).and_then(|life| life.ready_since);
        let was_up = self.desired.wants().iter().any(|want| want.instance == *instance && want.up);
        since.map(|since| now.duration_since(since)).or(was_up.then_some(Duration::MAX))
    }

    /// Lets an instance leave on demand; of one that is silent nothing is waited for.
    pub(super) fn send_off(&mut self, name: Name, instance: InstanceId) {
        let rules = &self.config.heartbeat;
        let silent = self.health.get(&instance).is_some_and(|life| life.health.is_dead(rules).is_some());
        self.depart(name, instance, silent, false, now());
    }

    /// Lets an instance leave, of which the end may be `told` already.
    fn depart(&mut self, name: Name, instance: InstanceId, dead: bool, told: bool, now: Instant) {
        let deadline = now + self.config.drain_timeout;
        self.health.remove(&instance);
        self.leaving.insert(
            instance,
            Departure { name, deadline, dead, told, heard: false, since: SystemTime::now(), left_at: None },
        );
    }

    /// Keeps what a dead instance wrote at last.
    pub(super) fn heard(&mut self, instance: &InstanceId, log: &Arc<[String]>) {
        if let Some(last) = log.last() {
            tracing::warn!(%instance, lines = log.len(), "its last words: {last}");
        }
        self.journal.send_modify(|journal| journal.put_log(instance, log));
        let exits = self.records.values_mut().filter_map(|record| record.last_exit.as_mut());
        exits.filter(|exit| exit.instance == *instance).for_each(|exit| exit.log = log.clone());
    }

    /// Has every desired instance that runs be watched, and forgets those that are gone.
    pub(super) fn attend(&mut self, now: Instant) {
        let foreign = !self.engine.kind().owns_instances(); // whether it starts just now is not known: it counts at once
        if foreign {
            self.part_with(now);
        }
        for want in self.desired.wants() {
            let runs = |instance: &&Instance| instance.id == want.instance && instance.address().is_some();
            if self.observed.iter().any(|instance| runs(&instance))
                && !self.health.contains_key(&want.instance)
                && !(foreign && self.is_mended(&want.instance))
            {
                let restarted = self.records.get(&want.number).is_some_and(|record| record.restarts > 0);
                let life = Life {
                    health: Health::new(want.up || foreign && !restarted, now),
                    since: SystemTime::now(),
                    ready_since: None,
                    warm_since: None,
                    ejections: Ejections::default(),
                    ejected: None,
                    asked_after: 0,
                };
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
        let left = self.leaving.iter().filter(|(instance, left)| !left.told && !listed.contains(*instance));
        let gone: Vec<Event> = left
            .map(|(instance, left)| Event {
                name: left.name.clone(),
                instance: instance.clone(),
                what: What::Gone,
            })
            .collect();
        gone.into_iter().for_each(|event| self.tell(event));
        self.leaving.retain(|instance, _| listed.contains(instance));
        let stays = |instance: &InstanceId| listed.contains(instance) || self.desired.has_instance(instance);
        let gone: Vec<_> = self.replicas.keys().filter(|instance| !stays(instance)).cloned().collect();
        let gone = gone.iter().filter_map(|instance| self.replicas.remove(instance)).collect();
        self.let_go(gone);
    }

    /// Sends the heartbeats that are due.
    pub(super) fn heartbeats(&mut self, now: Instant) {
        let rules = &self.config.heartbeat;
        let under_way = self.health.values().filter(|life| life.health.due().is_none()).count();
        let room =
            self.config.heartbeat_concurrency.map_or(usize::MAX, |most| most.saturating_sub(under_way));
        let due = |life: &Life| life.health.due().filter(|due| *due <= now);
        let mut waiting: Vec<_> = self.health.iter_mut().filter(|(_, life)| due(life).is_some()).collect();
        waiting.sort_by_key(|(_, life)| due(life)); // whoever has waited longest
        for (instance, life) in waiting.into_iter().take(room) {
            let seen = self.observed.iter().find(|seen| seen.id == *instance).cloned();
            life.health.begin(rules, self.rng.random(), now);
            life.asked_after = self.replicas.get(instance).map_or(0, |replica| replica.suspicions());
            let (id, timeout, probe) = (instance.clone(), rules.timeout, self.probe.clone());
            self.tasks.spawn(async move {
                let answered = match seen {
                    Some(seen) => probe.answers(&seen, timeout).await,
                    None => Some(false),
                };
                Done::Probed(id, answered)
            });
        }
    }

    pub(super) fn probed(&mut self, instance: &InstanceId, answered: Option<bool>) {
        let is_told = !self.engine.kind().owns_instances() && !self.heals_silent(instance);
        let Some(life) = self.health.get_mut(instance) else { return };
        let Some(answered) = answered else {
            tracing::warn!("a heartbeat could not be sent for want of descriptors or ports of our own");
            return life.health.skip();
        };
        let rules = &self.config.heartbeat;
        let was_dead = life.health.is_dead(rules).is_some();
        let became_ready = life.health.end(answered, rules);
        let death = life.health.is_dead(rules).filter(|_| !was_dead);
        if let Some(replica) = self.replicas.get(instance).filter(|_| answered) {
            replica.clear(life.asked_after);
        }
        if became_ready {
            let now = now();
            (life.since, life.ready_since) = (SystemTime::now(), Some(now));
            let is_new = self.desired.mark_up(instance);
            life.warm_since = (is_new || was_dead).then_some(now);
            if let Some(want) = self.desired.wants().iter().find(|want| want.instance == *instance) {
                self.records.entry(want.number).or_default().healing = None;
            }
            self.report(instance, What::Ready);
        } else if let Some(failed) = death.filter(|_| is_told) {
            life.since = SystemTime::now();
            self.report(instance, What::Silent(Death::Heartbeats(failed)));
        }
    }

    /// Asks those at once to which a connection failed.
    pub(super) fn suspect(&mut self) {
        let now = now();
        for (instance, life) in &mut self.health {
            if self.replicas.get(instance).is_some_and(|replica| replica.is_suspected()) {
                life.health.hurry(now);
            }
        }
        self.lists.wanted = true;
    }

    /// Tells what happened to the replica that this instance plays.
    pub(super) fn report(&self, instance: &InstanceId, what: What) {
        let Some(want) = self.desired.wants().iter().find(|want| want.instance == *instance) else { return };
        self.tell(Event { name: want.name.clone(), instance: instance.clone(), what });
    }

    pub(super) fn tell(&self, event: Event) {
        let pool =
            if *self.config.pool == *DEFAULT { String::new() } else { format!("{}/", self.config.pool) };
        match event.what {
            What::Died(_) | What::Mending(_) | What::Silent(_) | What::StartRefused(_) => {
                tracing::warn!("{pool}{event}")
            }
            _ => tracing::info!("{pool}{event}"),
        }
        self.journal.send_modify(|journal| journal.note(event, SystemTime::now()));
    }
}

pub(super) fn last_exit(instance: InstanceId, death: &Death) -> LastExit {
    let (code, out_of_memory) = match death {
        Death::Exited { code, out_of_memory } => (*code, *out_of_memory),
        Death::Vanished | Death::Heartbeats(_) | Death::Unhealthy => (None, false),
    };
    let (reason, at, log) = (death.to_string(), SystemTime::now(), Arc::default());
    LastExit { reason, code, out_of_memory, at, instance, log }
}
