//! What is remembered between two lists: what events told.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::container::Labelled;
use crate::{
    engine::{Instance, State, Trouble},
    name::InstanceId,
};

/// How long one that was told to end stays out while it runs on.
const ENDING: Duration = Duration::from_secs(60);

/// What is known of the pool's containers.
#[derive(Default)]
pub(super) struct Memory {
    /// Locked because events and lists come from different tasks; never held across an await.
    inside: Mutex<Inside>,
    pub(super) changed: Notify,
}

#[derive(Default)]
struct Inside {
    /// Those that were listed last.
    listed: Vec<Instance>,
    troubles: Vec<Trouble>,
    /// What events told of containers, until those are gone.
    told: BTreeMap<InstanceId, Told>,
    /// How many events there were.
    events: u64,
    /// Whether an event has taken someone out since the last list.
    is_newer: bool,
}

#[derive(Clone, Debug, Default)]
struct Told {
    /// When somebody told it to end.
    ends_since: Option<Instant>,
    /// Whether it has ended, been frozen or been removed since it was last started.
    is_down: bool,
    /// The number of the event that says so.
    at: u64,
    code: Option<i32>,
    out_of_memory: bool,
    /// Whether it is being restarted by us.
    is_ours: bool,
}

/// One event of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// It was told to end.
    Told,
    /// It has ended.
    Ended(Option<i32>),
    /// The kernel wants its memory.
    OutOfMemory,
    /// It is frozen.
    Frozen,
    /// It runs.
    Runs,
    /// It is no more.
    Gone,
    /// Something else.
    Other,
}

/// While it lives, what is told of a container is our own doing.
pub(super) struct Restarting<'a>(&'a Memory, InstanceId);

impl Memory {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().expect("nobody panics while holding it")
    }

    /// Takes in an event. Those that leave are out of the list from now on.
    pub(super) fn hear(&self, instance: &InstanceId, event: Event) {
        self.inside().hear(instance, event);
        self.changed.notify_one();
    }

    /// The list as it is known without asking, where somebody has left it since the last one. Another hint follows: it
    /// says no more than who is out.
    pub(super) fn recall(&self) -> Option<Vec<Instance>> {
        let mut inside = self.inside();
        if !std::mem::take(&mut inside.is_newer) {
            return None;
        }
        let listed = inside.listed.clone();
        self.changed.notify_one();
        Some(listed)
    }

    /// Marks the beginning of a list: what is told later is newer.
    pub(super) fn begin(&self) -> u64 {
        self.inside().events
    }

    /// Takes in a list that was `begun` after so many events. Returns who is a member by it and by what was told.
    pub(super) fn take_in(&self, read: Vec<Labelled>, begun: u64) -> Vec<Instance> {
        let mut inside = self.inside();
        let there: Vec<InstanceId> = read.iter().map(|labelled| labelled.instance.clone()).collect();
        inside.told.retain(|instance, told| there.contains(instance) || told.is_ours || told.at > begun);
        let (mut listed, mut troubles) = (Vec::new(), Vec::new());
        for labelled in read {
            let state = inside.state(&labelled, begun);
            match labelled.read {
                Ok(instance) => listed.extend(state.map(|state| match state {
                    Some(ended) => Instance { state: ended, checked: None, ..instance },
                    None => instance,
                })),
                Err(trouble) if labelled.runs => troubles.push(trouble),
                Err(_) => {}
            }
        }
        inside.warn(&troubles);
        (inside.listed, inside.troubles) = (listed.clone(), troubles);
        listed
    }

    pub(super) fn troubles(&self) -> Vec<Trouble> {
        self.inside().troubles.clone()
    }

    /// Notes that this one is being restarted by us, until what is returned is dropped.
    pub(super) fn restarting(&self, instance: &InstanceId) -> Restarting<'_> {
        self.inside().told.entry(instance.clone()).or_default().is_ours = true;
        Restarting(self, instance.clone())
    }
}

impl Drop for Restarting<'_> {
    fn drop(&mut self) {
        if let Some(told) = self.0.inside().told.get_mut(&self.1) {
            told.is_ours = false;
        }
    }
}

impl Inside {
    fn hear(&mut self, instance: &InstanceId, event: Event) {
        self.events += 1;
        let at = self.events;
        let told = self.told.entry(instance.clone()).or_default();
        match event {
            Event::Other => return,
            Event::OutOfMemory => return told.out_of_memory = true,
            Event::Runs => {
                *told = Told { is_ours: told.is_ours, at, ..Told::default() };
                return;
            }
            Event::Told if told.is_ours => return,
            Event::Told => told.ends_since = Some(Instant::now()),
            Event::Ended(code) => (told.is_down, told.code) = (true, code),
            Event::Frozen | Event::Gone => told.is_down = true,
        }
        told.at = at;
        let (told, before) = (told.clone(), self.listed.len());
        match event {
            Event::Ended(_) if told.ends_since.is_none() => {
                for listed in self.listed.iter_mut().filter(|listed| listed.id == *instance && heals(listed))
                {
                    listed.state = ended(&told);
                    self.is_newer = true;
                }
                self.listed.retain(|listed| listed.id != *instance || heals(listed));
            }
            _ => self.listed.retain(|listed| listed.id != *instance),
        }
        self.is_newer |= self.listed.len() != before;
    }

    /// What one that the engine shows is to the fleet: nothing (`None`), running (`Some(None)`) or ended.
    fn state(&self, labelled: &Labelled, begun: u64) -> Option<Option<State>> {
        let told = self.told.get(&labelled.instance).cloned().unwrap_or_default();
        let is_newer = told.is_down && told.at > begun;
        if told.ends_since.is_some_and(|since| since.elapsed() < ENDING || !labelled.runs) {
            return None; // on purpose
        }
        if labelled.runs && !is_newer {
            return Some(None);
        }
        // ended by itself while it was a member: nobody has told it to
        let was_listed = self.listed.iter().any(|listed| listed.id == labelled.instance);
        let heals = labelled.read.as_ref().is_ok_and(heals);
        (labelled.ended && was_listed && heals).then(|| Some(ended(&told)))
    }

    /// Says what is wrong, once.
    fn warn(&self, troubles: &[Trouble]) {
        for Trouble { source, why, .. } in troubles.iter().filter(|trouble| !self.troubles.contains(trouble))
        {
            tracing::warn!(container = %source, "does not join: {why}");
        }
    }
}

fn heals(instance: &Instance) -> bool {
    instance.found.as_ref().is_some_and(|found| found.heals)
}

fn ended(told: &Told) -> State {
    State::Exited { code: told.code, out_of_memory: told.out_of_memory }
}
