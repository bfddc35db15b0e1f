//! Starting again what somebody else runs and allows that for.

use std::{
    collections::BTreeMap,
    time::{Instant, SystemTime},
};

use super::{
    desired::Want,
    lives::last_exit,
    plan::Action,
    reconcile::{Done, Fleet},
};
use crate::{
    engine::{Checked, Instance, Launch, State},
    event::{Death, What},
    name::InstanceId,
};

/// Those that are to be started again.
pub(super) type Mending = BTreeMap<InstanceId, Ailment>;

/// What is wrong with one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ailment {
    /// It does not run.
    Ended,
    /// It runs and is not well.
    Unwell,
}

impl Fleet {
    /// Notes who is dead of those that may be started again, and starts those whose pause is over.
    pub(super) fn mend(&mut self, now: Instant) {
        if self.outage.is_some() || self.engine.kind().owns_instances() {
            return;
        }
        self.let_be();
        let dead: Vec<(InstanceId, Death)> = self
            .desired
            .wants()
            .iter()
            .filter_map(|want| Some((want.instance.clone(), self.dead(want)?)))
            .collect();
        for (instance, death) in dead {
            self.lay_down(&instance, &death, now);
        }
        let launches: Vec<Launch> =
            self.desired.wants().iter().filter_map(|want| self.to_mend(want, now)).collect();
        for launch in launches {
            self.busy.insert(launch.instance.clone(), None);
            let engine = self.engine.clone();
            self.tasks.spawn(async move {
                let result = engine.start(&launch).await;
                Done::Acted(Action::Start(launch), result)
            });
        }
    }

    /// Forgets those that had ended and that somebody else has started meanwhile.
    fn let_be(&mut self) {
        let (observed, busy) = (&self.observed, &self.busy);
        self.mending.retain(|instance, ailment| {
            let seen = observed.iter().find(|seen| seen.id == *instance);
            match seen.map(|seen| seen.state) {
                Some(State::Exited { .. }) => *ailment = Ailment::Ended,
                Some(State::Running(Some(_))) if *ailment == Ailment::Ended => {
                    return busy.contains_key(instance); // what it shows may be from before
                }
                _ => {}
            }
            true
        });
    }

    /// Of what one is dead that may be started again, where that is news.
    fn dead(&self, want: &Want) -> Option<Death> {
        let seen = self.observed.iter().find(|seen| seen.id == want.instance)?;
        if !self.heals(&want.instance) || self.is_mended(&want.instance) {
            return None;
        }
        let failed =
            self.health.get(&want.instance).and_then(|life| life.health.is_dead(&self.config.heartbeat));
        match seen {
            Instance { state: State::Exited { code, out_of_memory }, .. } => {
                Some(Death::Exited { code: *code, out_of_memory: *out_of_memory })
            }
            Instance { checked: Some(Checked::Unhealthy), .. } => Some(Death::Unhealthy),
            // one that was never ready may still begin, however long that takes
            _ => failed.filter(|_| want.up && seen.address().is_some()).map(Death::Heartbeats),
        }
    }

    fn lay_down(&mut self, instance: &InstanceId, death: &Death, now: Instant) {
        self.report(instance, What::Mending(death.clone()));
        let lived = self.lived(instance, now);
        let Some(want) = self.desired.mark_down(instance) else { return };
        let record = self.records.entry(want.number).or_default();
        record.since = SystemTime::now();
        record.restarts += 1;
        record.pause.died(lived, self.config.restart_pause, now);
        record.last_exit = Some(last_exit(instance.clone(), death));
        self.health.remove(instance);
        let ailment = match death {
            Death::Exited { .. } => Ailment::Ended,
            Death::Vanished | Death::Heartbeats(_) | Death::Unhealthy => Ailment::Unwell,
        };
        self.mending.insert(instance.clone(), ailment);
    }

    /// The launch of one that is to be started now.
    fn to_mend(&self, want: &Want, now: Instant) -> Option<Launch> {
        let paused = self.records.get(&want.number).is_some_and(|record| record.pause.until(now).is_some());
        let waits = self.mending.contains_key(&want.instance) && !self.busy.contains_key(&want.instance);
        (waits && !paused).then(|| Launch {
            instance: want.instance.clone(),
            owner: self.desired.owner.clone(),
            pool: self.config.pool.clone(),
            name: want.name.clone(),
            number: want.number,
        })
    }

    /// Whether one may be started again.
    pub(super) fn heals(&self, instance: &InstanceId) -> bool {
        let seen = self.observed.iter().find(|seen| seen.id == *instance);
        seen.and_then(|seen| seen.found.as_ref()).is_some_and(|found| found.heals)
    }

    /// Whether one is started again when it falls silent.
    pub(super) fn heals_silent(&self, instance: &InstanceId) -> bool {
        let was_ready = self.desired.wants().iter().any(|want| want.instance == *instance && want.up);
        was_ready && self.heals(instance)
    }

    /// Whether one is down and about to be started again.
    pub(super) fn is_mended(&self, instance: &InstanceId) -> bool {
        self.mending.contains_key(instance) || self.busy.contains_key(instance)
    }
}

#[cfg(test)]
mod tests;
