//! Starting again what somebody else runs and allows that for.

use std::time::{Instant, SystemTime};

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

impl Fleet {
    /// Notes who is dead of those that may be started again, and starts those whose pause is over.
    pub(super) fn mend(&mut self, now: Instant) {
        if self.outage.is_some() || self.engine.kind().owns_instances() {
            return;
        }
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
            self.mending.remove(&launch.instance);
            self.busy.insert(launch.instance.clone(), None);
            let engine = self.engine.clone();
            self.tasks.spawn(async move {
                let result = engine.start(&launch).await;
                Done::Acted(Action::Start(launch), result)
            });
        }
    }

    /// Of what one is dead that may be started again, where that is news.
    fn dead(&self, want: &Want) -> Option<Death> {
        let seen = self.observed.iter().find(|seen| seen.id == want.instance)?;
        if !self.heals(&want.instance)
            || self.mending.contains(&want.instance)
            || self.busy.contains_key(&want.instance)
        {
            return None;
        }
        let failed =
            self.health.get(&want.instance).and_then(|life| life.health.is_dead(&self.config.heartbeat));
        match seen {
            Instance { state: State::Exited { code, out_of_memory }, .. } => {
                Some(Death::Exited { code: *code, out_of_memory: *out_of_memory })
            }
            Instance { checked: Some(Checked::Unhealthy), .. } => Some(Death::Unhealthy),
            _ => failed.map(Death::Heartbeats),
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
        self.mending.insert(instance.clone());
    }

    /// The launch of one that is to be started now.
    fn to_mend(&self, want: &Want, now: Instant) -> Option<Launch> {
        let paused = self.records.get(&want.number).is_some_and(|record| record.pause.until(now).is_some());
        (self.mending.contains(&want.instance) && !paused).then(|| Launch {
            instance: want.instance.clone(),
            owner: self.desired.owner.clone(),
            pool: self.config.pool.clone(),
            name: want.name.clone(),
            number: want.number,
        })
    }

    /// Has one that could not be started be tried again.
    pub(super) fn mend_again(&mut self, instance: &InstanceId) {
        if !self.engine.kind().owns_instances() && self.desired.has_instance(instance) {
            self.mending.insert(instance.clone());
        }
    }

    /// Whether one may be started again.
    pub(super) fn heals(&self, instance: &InstanceId) -> bool {
        let seen = self.observed.iter().find(|seen| seen.id == *instance);
        seen.and_then(|seen| seen.found.as_ref()).is_some_and(|found| found.heals)
    }

    /// Whether one is down and about to be started again.
    pub(super) fn is_mended(&self, instance: &InstanceId) -> bool {
        self.mending.contains(instance) || self.busy.contains_key(instance)
    }
}
