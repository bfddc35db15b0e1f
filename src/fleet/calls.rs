//! The calls that change the set: each is stored before it is acted on, and answered when it is done.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{
    Call, CallError, ChangeError, Configured, Desired, FleetError, Reply, StoreError, Stored,
    clock::{milliseconds, now},
    reconcile::Fleet,
    victim::Victim,
};
use crate::{
    event::What,
    name::{Name, Number},
};

/// Between two attempts to store a set that could not be stored.
const SAVE_AGAIN: Duration = Duration::from_secs(5);

/// A call that is not answered yet.
pub(super) enum Waiting {
    /// Answered when these are ready, refused or late. They were added, and are taken out again where they are refused;
    /// but for one that was `restarted`.
    Begun { names: Vec<Name>, restarted: Option<Name>, deadline: Instant, reply: Reply },
    /// Answered when those are ready that are found at these sources, or when they cannot be looked up: then they are taken
    /// out again.
    Sought { sources: Vec<Name>, deadline: Instant, reply: Reply },
    /// Answered at the end of the pass that publishes the change.
    Published { reply: Reply },
    /// Answered when nothing is left.
    Down { reply: Reply },
    /// Answered; the fleet has ended.
    Ended,
}

/// How far those that begin have come.
enum Progress {
    Ready,
    Refused(String),
    Pending(Vec<Name>),
}

impl Waiting {
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self {
            Waiting::Begun { deadline, .. } | Waiting::Sought { deadline, .. } => Some(*deadline),
            Waiting::Published { .. } | Waiting::Down { .. } | Waiting::Ended => None,
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
            Call::Add(_, _, reply)
            | Call::Remove(_, _, reply)
            | Call::Scale(_, reply)
            | Call::Weigh(_, _, reply)
            | Call::Drain { reply, .. }
            | Call::Restart(_, reply)
            | Call::Configure(_, reply)
                if going_down =>
            {
                answer(reply, Err(CallError::Stopping))
            }
            Call::Add(count, names, reply) if !self.engine.kind().owns_instances() => {
                let deadline = now() + self.config.add_timeout;
                match self.add_sources(count, &names).await {
                    Ok(sources) => self.waiting.push(Waiting::Sought { sources, deadline, reply }),
                    Err(error) => answer(reply, Err(error)),
                }
            }
            Call::Add(count, names, reply) => {
                let added = self.add(count, &names).await;
                self.wait(added, None, reply);
            }
            Call::Remove(count, names, reply) => {
                let removed = self.remove(count, &names).await;
                self.wait(removed.map(|()| Vec::new()), None, reply);
            }
            Call::Scale(count, reply) => {
                let scaled = self.scale(count).await;
                self.wait(scaled, None, reply);
            }
            Call::Weigh(name, weight, reply) => {
                let weighed = self.weigh(&name, weight).await;
                self.wait(weighed.map(|()| Vec::new()), None, reply);
            }
            Call::Drain { name, drained, reply } => {
                let done = self.drain(&name, drained).await;
                self.wait(done.map(|()| Vec::new()), None, reply);
            }
            Call::Restart(name, reply) => {
                let restarted = self.restart(&name).await;
                let name = restarted.as_ref().ok().cloned();
                self.wait(restarted.map(|name| vec![name]), name, reply);
            }
            Call::Logs { name, tail, follow, reply } => self.fetch_logs(&name, tail, follow, reply),
            Call::Configure(change, reply) => {
                let done = self.configure(*change).await;
                self.wait(done.map(|()| Vec::new()), None, reply);
            }
            Call::Down(reply) => {
                self.take_out(|_| true);
                self.desired.sources.clear();
                if let Some(queue) = self.table.queue() {
                    queue.close(); // those in line would wait in vain
                }
                self.waiting.push(Waiting::Down { reply });
            }
        }
    }

    /// Has the call wait until these are ready; where there are none, until what it changed is published.
    fn wait(&mut self, changed: Result<Vec<Name>, CallError>, restarted: Option<Name>, reply: Reply) {
        match changed {
            Ok(names) if names.is_empty() => self.waiting.push(Waiting::Published { reply }),
            Ok(names) => {
                let deadline = now() + self.config.add_timeout;
                self.waiting.push(Waiting::Begun { names, restarted, deadline, reply });
            }
            Err(error) => answer(reply, Err(error)),
        }
    }

    /// Stores the desired set if it changed. One that cannot be stored is kept alive all the same, but for the first: its
    /// owner would be forgotten.
    pub(super) async fn save(&mut self) -> Result<(), FleetError> {
        if self.saved.as_ref() == Some(&self.desired) {
            (self.unsaved, self.save_again) = (None, now()); // what could not be stored was given up
            return Ok(());
        }
        if self.is_going_down() || self.save_again > now() {
            return Ok(());
        }
        match self.store(self.desired.clone()).await {
            Err(error) if self.saved.is_none() => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Stores this set, off the loop's thread.
    pub(super) async fn store(&mut self, desired: Desired) -> Result<(), StoreError> {
        let (store, stored) = (self.store.clone(), Stored { engine: self.engine.kind(), desired });
        let saving = tokio::task::spawn_blocking(move || store.save(&stored).map(|()| stored.desired));
        match saving.await.expect("saving does not panic") {
            Ok(saved) => {
                if self.unsaved.take().is_some() {
                    tracing::info!("the set is stored again");
                }
                self.saved = Some(saved);
                Ok(())
            }
            Err(error) => {
                let problem =
                    format!("{error}; the replicas go on, but a restart would not find all of them");
                if self.unsaved.as_ref() != Some(&problem) {
                    tracing::error!("{problem}");
                }
                (self.unsaved, self.save_again) = (Some(problem), now() + SAVE_AGAIN);
                Err(error)
            }
        }
    }

    async fn add(&mut self, count: usize, names: &[String]) -> Result<Vec<Name>, CallError> {
        let mut desired = self.desired.clone();
        let room = self.config.room_beside(&desired);
        let names = desired.add(count, names, room, milliseconds(), &mut self.rng)?;
        self.store(desired.clone()).await.map_err(|error| CallError::Store(error.to_string()))?;
        self.welcome(desired);
        Ok(names)
    }

    /// Goes over to a set with newcomers, and tells of them.
    pub(super) fn welcome(&mut self, desired: Desired) {
        let before = std::mem::replace(&mut self.desired, desired);
        for want in self.desired.wants().iter().filter(|want| before.get(&want.name).is_none()) {
            self.report(&want.instance, What::Added);
        }
    }

    async fn scale(&mut self, count: usize) -> Result<Vec<Name>, CallError> {
        let owns_instances = self.engine.kind().owns_instances();
        let there = if owns_instances { self.desired.wants().len() } else { self.desired.sources().len() };
        let room = self.config.room_beside(&self.desired);
        if self.desired.configured == Configured::Labels {
            return Err(ChangeError::ByLabels.into());
        }
        if count <= there {
            return self.remove(there - count, &[]).await.map(|()| Vec::new());
        }
        if count > there + room {
            return Err(ChangeError::NoRoom { asked: count - there, room }.into());
        }
        if !owns_instances {
            return Err(ChangeError::NeedsAddresses { asked: count - there, given: 0 }.into());
        }
        let mut desired = self.desired.clone();
        desired.scale(count, milliseconds(), &mut self.rng);
        let came = desired.wants()[there..].iter().map(|want| want.name.clone()).collect();
        self.store(desired.clone()).await.map_err(|error| CallError::Store(error.to_string()))?;
        self.welcome(desired);
        Ok(came)
    }

    async fn remove(&mut self, count: usize, names: &[String]) -> Result<(), CallError> {
        if !self.engine.kind().owns_instances() {
            return self.remove_sources(count, names).await;
        }
        let mut desired = self.desired.clone();
        let order = self.order_of_leaving();
        let gone = desired.remove(count, names, &order)?;
        self.store(desired).await.map_err(|error| CallError::Store(error.to_string()))?;
        self.take_out(|name| gone.iter().any(|want| want.name == *name));
        Ok(())
    }

    /// Who leaves before whom, where nobody is named.
    pub(super) fn order_of_leaving(&mut self) -> Vec<Name> {
        let (victim, ring) = (self.config.victim, self.table.ring());
        let mut owned: BTreeMap<Number, usize> = BTreeMap::new();
        if victim == Victim::LeastMoved {
            let owners = (0..ring.spec().slots).filter_map(|slot| ring.owner(slot));
            owners.for_each(|member| *owned.entry(ring.members()[member].number).or_default() += 1);
        }
        let slots = |number| owned.get(&number).copied().unwrap_or_default();
        let in_flight = |instance: &_| self.replicas.get(instance).map_or(0, |replica| replica.in_flight());
        victim.order(self.desired.wants(), slots, in_flight, &mut self.rng)
    }

    /// Lets those leave whose name `leaves` says.
    pub(super) fn take_out(&mut self, leaves: impl Fn(&Name) -> bool) {
        for want in self.desired.wants().iter().filter(|want| leaves(&want.name)) {
            self.report(&want.instance, What::Removed);
        }
        for waiting in &mut self.waiting {
            if let Waiting::Begun { names, .. } = waiting {
                names.retain(|name| !leaves(name)); // one of that name that comes later is another call's
            }
        }
        let gone = self.desired.take(|want| leaves(&want.name));
        let numbers: Vec<_> = self.desired.wants().iter().map(|want| want.number).collect();
        self.records.retain(|number, _| numbers.contains(number)); // a number that is free has no past
        for want in gone {
            self.send_off(want.name, want.instance);
        }
    }

    /// Answers the calls that are done.
    pub(super) async fn settle_calls(&mut self) {
        let now = now();
        for waiting in std::mem::take(&mut self.waiting) {
            match waiting {
                Waiting::Begun { names, restarted, deadline, reply } => {
                    self.settle_beginning(names, restarted, deadline, reply, now).await
                }
                Waiting::Sought { sources, deadline, reply } => {
                    self.settle_search(sources, deadline, reply).await
                }
                Waiting::Published { reply } => answer(reply, Ok(self.view.borrow().clone())),
                Waiting::Down { reply } => self.settle_down(reply).await,
                Waiting::Ended => self.waiting.push(Waiting::Ended),
            }
        }
    }

    async fn settle_beginning(
        &mut self,
        names: Vec<Name>,
        restarted: Option<Name>,
        deadline: Instant,
        reply: Reply,
        now: Instant,
    ) {
        match (self.progress(&names), &restarted) {
            (Progress::Ready, Some(removed)) if names.is_empty() || self.desired.get(removed).is_none() => {
                answer(reply, Err(ChangeError::Unknown(removed.to_string()).into()));
            }
            (Progress::Ready, _) => answer(reply, Ok(self.view.borrow().clone())),
            (Progress::Refused(why), Some(_)) => {
                answer(reply, Err(CallError::Refused(format!("{why}; it is tried again"))));
            }
            (Progress::Refused(why), None) => {
                self.take_out(|name| names.contains(name));
                let _told_and_tried_again = self.store(self.desired.clone()).await;
                self.publish().await;
                answer(reply, Err(CallError::Refused(format!("{why}; none was added"))));
            }
            (Progress::Pending(names), _) if deadline <= now => {
                answer(reply, Err(CallError::Slow { names, after: self.config.add_timeout }));
            }
            (Progress::Pending(_), _) => {
                self.waiting.push(Waiting::Begun { names, restarted, deadline, reply })
            }
        }
    }

    /// How far these are; one that was removed meanwhile is not waited for.
    fn progress(&self, names: &[Name]) -> Progress {
        let wants = || self.desired.wants().iter().filter(|want| names.contains(&want.name));
        let refused = |number| self.records.get(number).and_then(|record| record.refused.clone());
        if let Some((name, why)) = wants().find_map(|want| Some((&want.name, refused(&want.number)?))) {
            return Progress::Refused(format!("cannot start '{name}': {why}"));
        }
        let view = self.view.borrow();
        let ready = |name: &Name| view.desired().any(|row| row.name == *name && row.state.is_up());
        let pending: Vec<Name> = wants().map(|want| want.name.clone()).filter(|name| !ready(name)).collect();
        if pending.is_empty() { Progress::Ready } else { Progress::Pending(pending) }
    }

    /// Ends when the engine has nothing of this pool any more; then the store is cleared.
    async fn settle_down(&mut self, reply: Reply) {
        let left = |pool: &str, fleet: &Fleet| {
            fleet.observed.iter().any(|seen| seen.owner == fleet.desired.owner && *seen.pool == *pool)
        };
        if !self.has_fresh_list() || left(&self.config.pool, self) {
            self.waiting.push(Waiting::Down { reply });
            return;
        }
        let forgotten = self.store.clear().map_err(|error| CallError::Left(error.to_string()));
        answer(reply, forgotten.map(|()| self.view.borrow().clone()));
        self.waiting.push(Waiting::Ended);
    }
}

pub(super) fn answer<T>(reply: Reply<T>, result: Result<T, CallError>) {
    let _caller_left = reply.send(result);
}
