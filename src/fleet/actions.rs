//! Doing what the plan says: each action is a task that reports back.

use std::time::Instant;

use tokio::sync::oneshot::{self, error::RecvError};

use super::{
    last_words::last_words,
    lives::Departure,
    plan::{Action, Leaving, World, plan},
    reconcile::{Done, Fleet},
};
use crate::{engine::EngineError, name::InstanceId};

impl Fleet {
    /// Takes in how an action ended.
    pub(super) fn acted(&mut self, action: &Action, result: Result<(), EngineError>) {
        self.busy.insert(action.instance().clone(), Some(self.lists.begun + 1));
        self.starting.remove(action.instance());
        self.lists.wanted = true;
        match (action, result) {
            (Action::Start(launch), Ok(())) => _ = self.mending.remove(&launch.instance),
            (_, Ok(())) => {}
            (_, Err(error)) if error.is_outage() => {
                tracing::warn!(%error, "an action will be tried again")
            }
            // one that left meanwhile; its number may be another's by now
            (Action::Start(launch), Err(_)) if !self.desired.has_instance(&launch.instance) => {}
            (Action::Start(launch), Err(error)) => self.refused(launch, error.to_string()),
            (_, Err(error)) => {
                tracing::warn!(%error, "an action will be tried again");
                // until the next regular look: an engine that refuses is not asked again and again
                self.busy.insert(action.instance().clone(), Some(self.lists.begun + 2));
            }
        }
    }

    /// Does what the plan says.
    pub(super) fn act(&mut self, now: Instant) {
        if self.outage.is_some() || !self.engine.kind().owns_instances() {
            return; // what somebody else runs is not ours to stop
        }
        let leaving = self.leaving.iter().map(|(instance, departure)| {
            let in_flight = self.replicas.get(instance).map_or(0, |replica| replica.in_flight());
            let acknowledged = departure.left_at.is_some_and(|epoch| epoch <= self.published.acknowledged());
            let Departure { deadline, dead, .. } = *departure;
            (instance.clone(), Leaving { deadline, dead, acknowledged, in_flight })
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
            starting: &self.starting,
            now,
        };
        for action in plan(&self.desired, &world) {
            self.busy.insert(action.instance().clone(), None);
            if let Action::Start(launch) = &action {
                self.starting.insert(launch.instance.clone(), launch.name.clone());
            }
            let (engine, heard) = (self.engine.clone(), self.hear(action.instance()));
            self.tasks.spawn(async move {
                let _heard_or_not = heard.await;
                let result = match &action {
                    Action::Start(launch) => engine.start(launch).await,
                    Action::Release(instance) => engine.release(instance).await,
                    Action::Stop(instance, how) => engine.stop(instance, *how).await,
                };
                Done::Acted(action, result)
            });
        }
    }

    /// Has a dead instance's last words be read, once, before it is removed. Done when they are, or there are none.
    fn hear(&mut self, instance: &InstanceId) -> impl Future<Output = Result<(), RecvError>> + use<> {
        let (heard, wait) = oneshot::channel();
        if let Some(departure) = self.leaving.get_mut(instance).filter(|leaves| leaves.dead && !leaves.heard)
        {
            departure.heard = true;
            let (engine, instance) = (self.engine.clone(), instance.clone());
            self.tasks.spawn(async move {
                let log = last_words(&*engine, &instance).await;
                drop(heard);
                Done::Heard(instance, log)
            });
        }
        wait
    }
}
