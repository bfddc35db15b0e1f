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
/// How long the reason of an end may be unknown: what was missed is told again by then, unless the engine has forgotten it.
const UNHEARD: Duration = Duration::from_secs(2);

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
    /// How many of them there were when the last list began.
    begun: u64,
    /// How many there were when somebody was last known to run whom the list may still show as ended.
    revived: u64,
    /// Whether an event has taken someone out since the last list.
    is_newer: bool,
}

#[derive(Clone, Debug, Default)]
struct Told {
    /// When somebody told it to end.
    ends_since: Option<Instant>,
    /// Whether it has ended, been frozen or been removed since it was last started.
    is_down: bool,
    /// Whether it is known to have ended since it was last started.
    has_ended: bool,
    /// Since when lists show that it has ended, while nobody has told of that.
    unheard_since: Option<Instant>,
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

    /// The list as it is known without asking, where somebody has left it since the last one and nobody of it runs again.
    /// Another hint follows: it says no more than who is out.
    pub(super) fn recall(&self) -> Option<Vec<Instance>> {
        let mut inside = self.inside();
        if !std::mem::take(&mut inside.is_newer) || inside.revived > inside.begun {
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
        (inside.begun, inside.is_newer) = (begun, false); // what was told meanwhile is in it
        listed
    }

    pub(super) fn troubles(&self) -> Vec<Trouble> {
        self.inside().troubles.clone()
    }

    /// Whether the last list has this one, and not as one that runs.
    pub(super) fn is_away(&self, instance: &InstanceId) -> bool {
        self.inside().is_away(instance)
    }

    /// Notes that this one is being restarted by us, until what is returned is dropped.
    pub(super) fn restarting(&self, instance: &InstanceId) -> Restarting<'_> {
        self.inside().told.entry(instance.clone()).or_default().is_ours = true;
        Restarting(self, instance.clone())
    }
}

impl Drop for Restarting<'_> {
    fn drop(&mut self) {
        let mut inside = self.0.inside();
        inside.events += 1;
        inside.revived = inside.events;
        if let Some(told) = inside.told.get_mut(&self.1) {
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
                if self.is_away(instance) {
                    self.revived = at;
                }
                return;
            }
            Event::Told if told.is_ours => return,
            Event::Told => told.ends_since = Some(Instant::now()),
            Event::Ended(code) => (told.is_down, told.has_ended, told.code) = (true, true, code),
            Event::Frozen => told.is_down = true,
            Event::Gone => (told.is_down, told.has_ended) = (true, false),
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

    fn is_away(&self, instance: &InstanceId) -> bool {
        self.listed.iter().any(|listed| listed.id == *instance && listed.address().is_none())
    }

    /// What one that the engine shows is to the fleet: nothing (`None`), running (`Some(None)`), ended, or out until it is
    /// known why it has ended.
    fn state(&mut self, labelled: &Labelled, begun: u64) -> Option<Option<State>> {
        let told = self.told.entry(labelled.instance.clone()).or_default();
        let is_newer = told.is_down && told.at > begun;
        if labelled.runs {
            told.unheard_since = None;
        }
        if told.ends_since.is_some_and(|since| since.elapsed() < ENDING || !labelled.runs) {
            return None; // on purpose
        }
        if labelled.runs && !is_newer {
            return Some(None);
        }
        // ended by itself while it was a member: nobody has told it to
        let was_listed = self.listed.iter().any(|listed| listed.id == labelled.instance);
        let heals = labelled.read.as_ref().is_ok_and(heals);
        let has_ended = labelled.ended || is_newer && told.has_ended;
        if !(has_ended && was_listed && heals) {
            return None;
        }
        let unheard_since = *told.unheard_since.get_or_insert_with(Instant::now);
        let is_certain = told.has_ended || unheard_since.elapsed() >= UNHEARD;
        Some(Some(if is_certain { ended(told) } else { State::Running(None) }))
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

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::{
        engine::Found,
        name::{Name, Number, Owner},
    };

    #[derive(Clone, Copy, PartialEq)]
    enum Shown {
        Running,
        Exited,
    }

    fn id(bits: u64) -> InstanceId {
        InstanceId::from_bits(bits)
    }

    fn address() -> SocketAddr {
        SocketAddr::from(([172, 18, 0, 7], 80))
    }

    /// One that may be started again, as a list shows it.
    fn row(bits: u64, shown: Shown) -> Labelled {
        let (runs, name) = (shown == Shown::Running, Name::of_found("web").unwrap());
        let instance = Instance {
            id: id(bits),
            owner: Owner::from_bits(0),
            pool: "default".into(),
            name: name.clone(),
            number: Number::new(1).unwrap(),
            state: State::Running(runs.then(address)),
            holds_name: true,
            checked: None,
            found: Some(Found { source: name, weight: 1, heals: true, host: None, path: None }),
        };
        Labelled { instance: id(bits), read: Ok(instance), runs, ended: !runs }
    }

    fn states(listed: &[Instance]) -> Vec<State> {
        listed.iter().map(|listed| listed.state).collect()
    }

    fn list(memory: &Memory, shown: &[(u64, Shown)], begun: u64) -> Vec<State> {
        states(&memory.take_in(shown.iter().map(|(bits, shown)| row(*bits, *shown)).collect(), begun))
    }

    /// A memory in which these run.
    fn of_running(bits: &[u64]) -> Memory {
        let memory = Memory::default();
        let all: Vec<_> = bits.iter().map(|bits| (*bits, Shown::Running)).collect();
        assert_eq!(list(&memory, &all, 0), vec![running(); bits.len()]);
        memory
    }

    fn running() -> State {
        State::Running(Some(address()))
    }

    fn exited(code: Option<i32>) -> State {
        State::Exited { code, out_of_memory: false }
    }

    /// It was dropped for good: the list was older than its death, and no later one took it for a member.
    #[test]
    fn one_that_crashes_while_a_list_is_under_way_stays_known_as_ended() {
        let memory = of_running(&[1]);
        let begun = memory.begin();
        memory.hear(&id(1), Event::Ended(Some(137)));
        assert_eq!(list(&memory, &[(1, Shown::Running)], begun), [exited(Some(137))]);
        assert_eq!(list(&memory, &[(1, Shown::Exited)], memory.begin()), [exited(Some(137))]);
        memory.hear(&id(1), Event::Runs);
        assert_eq!(list(&memory, &[(1, Shown::Running)], memory.begin()), [running()]);
    }

    #[test]
    fn one_that_is_stopped_paused_or_removed_while_a_list_is_under_way_is_no_member() {
        for events in [
            &[Event::Told, Event::Ended(Some(0))][..],
            &[Event::Frozen],
            &[Event::Ended(Some(1)), Event::Gone],
        ] {
            let memory = of_running(&[1]);
            let begun = memory.begin();
            events.iter().for_each(|event| memory.hear(&id(1), *event));
            assert_eq!(list(&memory, &[(1, Shown::Running)], begun), [], "{events:?}");
        }
    }

    /// While the event stream was broken off a stop was not heard of, and taken for a crash.
    #[tokio::test(start_paused = true)]
    async fn one_that_ended_unheard_is_out_until_it_is_known_why() {
        let unknown = State::Running(None);
        let memory = of_running(&[1]);
        assert_eq!(list(&memory, &[(1, Shown::Exited)], memory.begin()), [unknown]);
        memory.hear(&id(1), Event::Told);
        memory.hear(&id(1), Event::Ended(Some(0)));
        assert_eq!(list(&memory, &[(1, Shown::Exited)], memory.begin()), []);

        let memory = of_running(&[1]);
        assert_eq!(list(&memory, &[(1, Shown::Exited)], memory.begin()), [unknown]);
        memory.hear(&id(1), Event::Ended(Some(1)));
        assert_eq!(list(&memory, &[(1, Shown::Exited)], memory.begin()), [exited(Some(1))]);

        let memory = of_running(&[1]);
        assert_eq!(list(&memory, &[(1, Shown::Exited)], memory.begin()), [unknown]);
        tokio::time::advance(UNHEARD).await;
        assert_eq!(list(&memory, &[(1, Shown::Exited)], memory.begin()), [exited(None)], "nobody will tell");
    }

    /// What is told again after a break ends with what is so.
    #[test]
    fn what_is_told_twice_changes_nothing() {
        let memory = of_running(&[1]);
        for _ in 0..2 {
            for event in [Event::Told, Event::Ended(Some(0)), Event::Runs] {
                memory.hear(&id(1), event);
            }
            assert_eq!(list(&memory, &[(1, Shown::Running)], memory.begin()), [running()]);
        }
    }

    /// The list without asking showed one as ended that had just been started, so that it was started once more.
    #[test]
    fn nothing_is_recalled_while_one_may_run_that_is_known_as_ended() {
        let memory = of_running(&[1, 2]);
        memory.hear(&id(1), Event::Ended(Some(1)));
        assert_eq!(states(&memory.recall().unwrap()), [exited(Some(1)), running()]);
        assert!(memory.is_away(&id(1)) && !memory.is_away(&id(2)));
        drop(memory.restarting(&id(1)));
        memory.hear(&id(2), Event::Told);
        assert_eq!(memory.recall(), None, "it has been started");
        assert_eq!(list(&memory, &[(1, Shown::Running)], memory.begin()), [running()]);
        memory.hear(&id(1), Event::Told);
        assert_eq!(memory.recall(), Some(vec![]));
    }

    #[test]
    fn a_list_that_has_what_was_told_meanwhile_is_not_recalled() {
        let memory = of_running(&[1, 2]);
        let begun = memory.begin();
        memory.hear(&id(2), Event::Told);
        assert_eq!(list(&memory, &[(1, Shown::Running), (2, Shown::Running)], begun), [running()]);
        assert_eq!(memory.recall(), None);
    }
}
