//! The calls that change the set: each is stored before it is acted on, and answered when it is done.

use std::{sync::Arc, time::Instant};

use super::{
    Call, CallError, Desired, FleetError, Reply, StoreError, Stored,
    clock::{milliseconds, now},
    reconcile::Fleet,
    view::{RowState, View},
};
use crate::{
    event::What,
    name::{InstanceId, Name},
};

/// A call that is not answered yet.
pub(super) enum Waiting {
    /// Answered when these are ready, refused or late.
    Added { names: Vec<Name>, deadline: Instant, reply: Reply },
    /// Answered at the end of the pass that takes them out of the table.
    Removed { reply: Reply },
    /// Answered when nothing is left.
    Down { reply: Reply },
    /// Answered; the fleet has ended.
    Ended,
}

/// How far an addition has come.
enum Progress {
    Ready,
    Refused(String),
    Pending(Vec<Name>),
}

impl Waiting {
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self {
            Waiting::Added { deadline, .. } => Some(*deadline),
            Waiting::Removed { .. } | Waiting::Down { .. } | Waiting::Ended => None,
        }
    }
}

impl Fleet {
    /// Whether everything was taken down on demand.
    pub(super) fn is_down(&self) -> bool {
        self.waiting.iter().any(|waiting| matches!(waiting, Waiting::Ended))
    }

    /// Whether everything is being taken down. The set is stored until it is: a balancer that dies halfway has not lost it.
    pub(super) fn is_going_down(&self) -> bool {
        self.waiting.iter().any(|waiting| matches!(waiting, Waiting::Down { .. }))
    }

    /// Makes the change that a call asks for, or answers why not.
    pub(super) async fn take_call(&mut self, call: Call) {
        let going_down = self.is_going_down();
        match call {
            Call::Add(_, _, reply) | Call::Remove(_, _, reply) if going_down => {
                answer(reply, Err(CallError::Stopping))
            }
            Call::Add(count, names, reply) => match self.add(count, &names).await {
                Ok(names) => {
                    let deadline = now() + self.config.add_timeout;
                    self.waiting.push(Waiting::Added { names, deadline, reply });
                }
                Err(error) => answer(reply, Err(error)),
            },
            Call::Remove(count, names, reply) => match self.remove(count, &names).await {
                Ok(()) => self.waiting.push(Waiting::Removed { reply }),
                Err(error) => answer(reply, Err(error)),
            },
            Call::Down(reply) => {
                self.take_out(|_| true);
                self.waiting.push(Waiting::Down { reply });
            }
        }
    }

    /// Stores the desired set if it changed. One that cannot be stored is kept alive all the same, but for the first: its
    /// owner would be forgotten.
    pub(super) async fn save(&mut self) -> Result<(), FleetError> {
        if self.saved.as_ref() == Some(&self.desired) || self.is_going_down() {
            return Ok(());
        }
        match self.store(self.desired.clone()).await {
            Err(error) if self.saved.is_none() => return Err(error.into()),
            Err(error) => {
                tracing::error!(%error, "the replicas go on, but a restart would not find all of them")
            }
            Ok(()) => {}
        }
        Ok(())
    }

    /// Stores this set, off the loop's thread.
    pub(super) async fn store(&mut self, desired: Desired) -> Result<(), StoreError> {
        let (store, stored) = (self.store.clone(), Stored { engine: self.engine.kind(), desired });
        let saving = tokio::task::spawn_blocking(move || store.save(&stored).map(|()| stored.desired));
        self.saved = Some(saving.await.expect("saving does not panic")?);
        Ok(())
    }

    async fn add(&mut self, count: usize, names: &[String]) -> Result<Vec<Name>, CallError> {
        let mut desired = self.desired.clone();
        let names = desired.add(count, names, self.config.room(), milliseconds(), &mut self.rng)?;
        self.store(desired.clone()).await.map_err(|error| CallError::Store(error.to_string()))?;
        self.desired = desired;
        for want in self.desired.wants().iter().filter(|want| names.contains(&want.name)) {
            self.report(&want.instance, What::Added);
        }
        Ok(names)
    }

    async fn remove(&mut self, count: usize, names: &[String]) -> Result<(), CallError> {
        let mut desired = self.desired.clone();
        let gone = desired.remove(count, names, &mut self.rng)?;
        self.store(desired).await.map_err(|error| CallError::Store(error.to_string()))?;
        self.take_out(|name| gone.iter().any(|want| want.name == *name));
        Ok(())
    }

    /// Lets those leave whose name `leaves` says.
    fn take_out(&mut self, leaves: impl Fn(&Name) -> bool) {
        let now = now();
        for want in self.desired.wants().iter().filter(|want| leaves(&want.name)) {
            self.report(&want.instance, What::Removed);
        }
        for waiting in &mut self.waiting {
            if let Waiting::Added { names, .. } = waiting {
                names.retain(|name| !leaves(name)); // one of that name that comes later is another call's
            }
        }
        let gone: Vec<InstanceId> =
            self.desired.take(|want| leaves(&want.name)).into_iter().map(|want| want.instance).collect();
        let numbers: Vec<_> = self.desired.wants().iter().map(|want| want.number).collect();
        self.records.retain(|number, _| numbers.contains(number)); // a number that is free has no past
        for instance in gone {
            self.depart(instance, false, now);
        }
    }

    /// Answers the calls that are done.
    pub(super) async fn settle_calls(&mut self) {
        let now = now();
        for waiting in std::mem::take(&mut self.waiting) {
            match waiting {
                Waiting::Added { names, deadline, reply } => {
                    self.settle_addition(names, deadline, reply, now).await
                }
                Waiting::Removed { reply } => answer(reply, Ok(self.view.borrow().clone())),
                Waiting::Down { reply } => self.settle_down(reply).await,
                Waiting::Ended => self.waiting.push(Waiting::Ended),
            }
        }
    }

    async fn settle_addition(&mut self, names: Vec<Name>, deadline: Instant, reply: Reply, now: Instant) {
        match self.progress(&names) {
            Progress::Ready => answer(reply, Ok(self.view.borrow().clone())),
            Progress::Refused(why) => {
                self.take_out(|name| names.contains(name));
                if let Err(error) = self.store(self.desired.clone()).await {
                    tracing::error!(%error, "an undone addition is still stored");
                }
                self.publish().await;
                answer(reply, Err(CallError::Refused(why)));
            }
            Progress::Pending(names) if deadline <= now => {
                answer(reply, Err(CallError::Slow { names, after: self.config.add_timeout }));
            }
            Progress::Pending(_) => self.waiting.push(Waiting::Added { names, deadline, reply }),
        }
    }

    /// How far these are; one that was removed meanwhile is not waited for.
    fn progress(&self, names: &[Name]) -> Progress {
        let wants = || self.desired.wants().iter().filter(|want| names.contains(&want.name));
        let refused = |number| self.records.get(number).and_then(|record| record.refused.clone());
        if let Some((name, why)) = wants().find_map(|want| Some((&want.name, refused(&want.number)?))) {
            return Progress::Refused(format!("cannot start '{name}': {why}; none was added"));
        }
        let view = self.view.borrow();
        let ready = |name: &Name| view.desired().any(|row| row.name == *name && row.state == RowState::Ready);
        let pending: Vec<Name> = wants().map(|want| want.name.clone()).filter(|name| !ready(name)).collect();
        if pending.is_empty() { Progress::Ready } else { Progress::Pending(pending) }
    }

    /// Ends when the engine has nothing of this owner any more; then what else it made is removed, and the store.
    async fn settle_down(&mut self, reply: Reply) {
        let left = |pool: &str, fleet: &Fleet| {
            fleet.observed.iter().any(|seen| seen.owner == fleet.desired.owner && *seen.pool == *pool)
        };
        if !self.has_fresh_list() || left(&self.config.pool, self) {
            self.waiting.push(Waiting::Down { reply });
            return;
        }
        let cleared = self.engine.clear().await.map_err(|error| CallError::Left(error.to_string()));
        let forgotten = self.store.clear().map_err(|error| CallError::Left(error.to_string()));
        answer(reply, cleared.and(forgotten).map(|()| self.view.borrow().clone()));
        self.waiting.push(Waiting::Ended);
    }
}

fn answer(reply: Reply, result: Result<Arc<View>, CallError>) {
    let _caller_left = reply.send(result);
}
