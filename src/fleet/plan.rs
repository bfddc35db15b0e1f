//! What to do about the difference between what is wanted and what is there. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use super::desired::{Desired, Want};
use crate::{
    engine::{Instance, Launch, State, Stop},
    event::Death,
    name::{InstanceId, Name},
};

/// One call of the engine. Idempotent: what does not come of it, a later plan has again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Have this instance run.
    Start(Launch),
    /// Take its name from an instance that leaves.
    Release(InstanceId),
    /// End an instance that has left.
    Stop(InstanceId, Stop),
}

/// What is known about an instance that is not desired any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaving {
    /// When what it has in flight is cut off.
    pub deadline: Instant,
    /// Whether it was declared dead: then nothing is waited for.
    pub dead: bool,
    /// Whether every core has taken note that it leaves.
    pub acknowledged: bool,
    /// Its requests in flight.
    pub in_flight: usize,
}

/// Everything that a plan is made from, beside the desired set.
pub struct World<'a> {
    /// The pool whose instances are planned for.
    pub pool: &'a str,
    /// Every instance that the engine lists.
    pub instances: &'a [Instance],
    /// Those that leave.
    pub leaving: &'a BTreeMap<InstanceId, Leaving>,
    /// Until when replicas that keep dying are not started.
    pub paused: &'a dyn Fn(&Name) -> Option<Instant>,
    /// Instances with an action under way: nothing else is done about them.
    pub busy: &'a BTreeSet<InstanceId>,
    /// The names under which starts are under way.
    pub starting: &'a BTreeMap<InstanceId, Name>,
    /// The time.
    pub now: Instant,
}

impl Action {
    /// The instance that it is about.
    pub fn instance(&self) -> &InstanceId {
        match self {
            Action::Start(launch) => &launch.instance,
            Action::Release(instance) | Action::Stop(instance, _) => instance,
        }
    }
}

/// Which desired instances are dead, and of what. `failed` says how many heartbeats failed in a row of one that is
/// dead by them; `seen` whether an instance is known to have run: one that is not was only not started yet.
///
/// Of those that run and fail their heartbeats only the first `paced` are dead already: when many fall silent at
/// once it may be the way to them that is broken, and they may come back.
pub fn deaths(
    desired: &Desired,
    instances: &[Instance],
    failed: &dyn Fn(&InstanceId) -> Option<u32>,
    seen: &dyn Fn(&Want) -> bool,
    mut paced: usize,
) -> Vec<(InstanceId, Death)> {
    let death = |want: &Want| match instances.iter().find(|instance| instance.id == want.instance) {
        None => seen(want).then_some(Death::Vanished),
        Some(Instance { state: State::Exited { code, out_of_memory }, .. }) => {
            Some(Death::Exited { code: *code, out_of_memory: *out_of_memory })
        }
        Some(_) => failed(&want.instance).map(Death::Heartbeats),
    };
    let dead = desired.wants().iter().filter_map(|want| Some((want.instance.clone(), death(want)?)));
    dead.filter(|(_, death)| {
        let silent = matches!(death, Death::Heartbeats(_));
        let waits = silent && paced == 0;
        paced -= usize::from(silent && !waits);
        !waits
    })
    .collect()
}

/// What to do now: at most one action for each instance, the replacements first.
pub fn plan(desired: &Desired, world: &World<'_>) -> Vec<Action> {
    let starts = desired.wants().iter().filter(|want| is_to_start(want, world)).map(|want| {
        Action::Start(Launch {
            instance: want.instance.clone(),
            owner: desired.owner.clone(),
            pool: world.pool.into(),
            name: want.name.clone(),
            number: want.number,
        })
    });
    let ours = |instance: &&Instance| instance.owner == desired.owner && *instance.pool == *world.pool;
    let left = world.instances.iter().filter(ours).filter(|instance| !desired.has_instance(&instance.id));
    let ends = left.filter_map(|instance| end(instance, world));
    starts.chain(ends).filter(|action| !world.busy.contains(action.instance())).collect()
}

fn is_to_start(want: &Want, world: &World<'_>) -> bool {
    let seen = |id: &InstanceId| world.instances.iter().find(|instance| instance.id == *id);
    // a start takes its name from whoever has it: one that comes late would take it from the newer instance
    let races = |(other, name): (&InstanceId, &Name)| {
        *name == want.name && *other != want.instance && seen(other).is_none()
    };
    seen(&want.instance).is_none_or(|instance| instance.state == State::Created)
        && (world.paused)(&want.name).is_none()
        && !world.starting.iter().any(races)
}

fn end(instance: &Instance, world: &World<'_>) -> Option<Action> {
    let unknown = Leaving { deadline: world.now, dead: false, acknowledged: true, in_flight: 0 };
    let leaving = world.leaving.get(&instance.id).unwrap_or(&unknown);
    let ended = !matches!(instance.state, State::Running(_));
    if ended || leaving.dead {
        return Some(Action::Stop(instance.id.clone(), Stop::Kill));
    }
    if instance.holds_name {
        return Some(Action::Release(instance.id.clone()));
    }
    let drained = (leaving.acknowledged && leaving.in_flight == 0) || leaving.deadline <= world.now;
    drained.then(|| Action::Stop(instance.id.clone(), Stop::Gracefully))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rand::{SeedableRng, rngs::StdRng};

    use super::*;
    use crate::name::Owner;

    fn desired() -> Desired {
        Desired::fresh(Owner::from_bits(1), 2, &mut StdRng::seed_from_u64(1))
    }

    fn running(want: &Want) -> Instance {
        Instance {
            id: want.instance.clone(),
            owner: Owner::from_bits(1),
            pool: "default".into(),
            name: want.name.clone(),
            number: want.number,
            state: State::Running(None),
            holds_name: true,
            checked: None,
            found: None,
        }
    }

    /// The plan for these instances, with those leaving.
    fn planned(desired: &Desired, instances: &[Instance], leaving: &[(InstanceId, Leaving)]) -> Vec<Action> {
        let leaving = leaving.iter().cloned().collect();
        let (busy, now) = (BTreeSet::new(), Instant::now());
        let starting = &BTreeMap::new();
        let world = World {
            pool: "default",
            instances,
            leaving: &leaving,
            paused: &|_| None,
            busy: &busy,
            starting,
            now,
        };
        plan(desired, &world)
    }

    /// A name was removed and added again within one slow start: the late one took the name from the newer instance,
    /// which went by another name for the rest of its life.
    #[test]
    fn nothing_is_started_while_an_earlier_start_may_still_take_the_name() {
        let desired = desired();
        let (one, two) = (&desired.wants()[0], &desired.wants()[1]);
        let earlier = InstanceId::from_bits(77);
        let starting =
            BTreeMap::from([(earlier.clone(), one.name.clone()), (two.instance.clone(), two.name.clone())]);
        let (leaving, busy, now) = (BTreeMap::new(), BTreeSet::new(), Instant::now());
        let starts = |instances: &[Instance]| {
            let (leaving, busy, starting) = (&leaving, &busy, &starting);
            let world = World { pool: "default", instances, leaving, paused: &|_| None, busy, starting, now };
            let is_start =
                |action: &Action| matches!(action, Action::Start(launch) if launch.name == one.name);
            plan(&desired, &world).iter().any(is_start)
        };
        assert!(!starts(&[]));
        let shown = Instance { id: earlier.clone(), holds_name: false, ..running(one) };
        assert!(starts(&[shown]), "one that is there has taken what it takes");
    }

    #[test]
    fn what_is_not_there_is_started_and_what_runs_is_left_alone() {
        let desired = desired();
        let created = Instance { state: State::Created, ..running(&desired.wants()[1]) };
        let actions = planned(&desired, &[running(&desired.wants()[0]), created], &[]);
        assert!(matches!(&actions[..], [Action::Start(launch)] if launch.number.get() == 2));
    }

    #[test]
    fn one_that_leaves_gives_up_its_name_then_drains_then_stops() {
        let mut desired = desired();
        let mut instance = running(&desired.wants()[1]);
        let stays = running(&desired.wants()[0]);
        let gone = desired.take(|want| want.number.get() == 2).remove(0).instance;
        let deadline = Instant::now() + Duration::from_secs(9);
        let drains = Leaving { deadline, dead: false, acknowledged: true, in_flight: 1 };
        let at = |instance: &Instance, leaving| {
            planned(&desired, &[stays.clone(), instance.clone()], &[(gone.clone(), leaving)])
        };
        assert_eq!(at(&instance, drains), [Action::Release(gone.clone())]);
        instance.holds_name = false;
        assert_eq!(at(&instance, drains), []);
        assert_eq!(at(&instance, Leaving { in_flight: 0, acknowledged: false, ..drains }), []);
        let stop = [Action::Stop(gone.clone(), Stop::Gracefully)];
        assert_eq!(at(&instance, Leaving { in_flight: 0, ..drains }), stop);
        assert_eq!(at(&instance, Leaving { deadline: Instant::now(), ..drains }), stop);
        assert_eq!(at(&instance, Leaving { dead: true, ..drains }), [Action::Stop(gone.clone(), Stop::Kill)]);
    }

    #[test]
    fn instances_of_others_are_left_alone() {
        let desired = desired();
        let there: Vec<_> = desired.wants().iter().map(running).collect();
        let stranger = |owner, pool: &str| Instance {
            id: InstanceId::from_bits(99),
            owner: Owner::from_bits(owner),
            pool: pool.into(),
            ..running(&desired.wants()[0])
        };
        let instances = [there, vec![stranger(2, "default"), stranger(1, "other")]].concat();
        assert_eq!(planned(&desired, &instances, &[]), []);
    }

    #[test]
    fn the_dead_are_those_that_ended_vanished_or_failed_their_heartbeats() {
        let desired = Desired::fresh(Owner::from_bits(1), 4, &mut StdRng::seed_from_u64(1));
        let id = |index: usize| desired.wants()[index].instance.clone();
        let ended = State::Exited { code: Some(137), out_of_memory: false };
        let instances =
            [Instance { state: ended, ..running(&desired.wants()[0]) }, running(&desired.wants()[1])];
        let failed = |instance: &InstanceId| (*instance == id(1)).then_some(3);
        let seen = |want: &Want| want.number.get() == 3;
        let dead = deaths(&desired, &instances, &failed, &seen, 1);
        let exited = Death::Exited { code: Some(137), out_of_memory: false };
        assert_eq!(dead, [(id(0), exited), (id(1), Death::Heartbeats(3)), (id(2), Death::Vanished)]);
    }

    #[test]
    fn the_silent_are_replaced_a_few_at_a_time_and_the_ended_at_once() {
        let desired = Desired::fresh(Owner::from_bits(1), 4, &mut StdRng::seed_from_u64(1));
        let mut instances: Vec<_> = desired.wants().iter().map(running).collect();
        instances[3].state = State::Exited { code: Some(1), out_of_memory: false };
        let dead = |paced| -> Vec<u16> {
            let dead = deaths(&desired, &instances, &|_| Some(3), &|_| true, paced);
            let number = |id| desired.wants().iter().find(|want| want.instance == id).map(|w| w.number.get());
            dead.into_iter().filter_map(|(id, _)| number(id)).collect()
        };
        assert_eq!(
            [dead(0), dead(1), dead(2), dead(9)],
            [vec![4], vec![1, 4], vec![1, 2, 4], vec![1, 2, 3, 4]]
        );
    }
}
