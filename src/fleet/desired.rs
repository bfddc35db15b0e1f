//! Which replicas there are to be, in the order of their joining. Pure.

use rand::{Rng, RngExt};

use crate::{
    name::{InstanceId, Name, NameError, Number, Owner},
    ring::{Member, Weight},
};

/// The set of replicas that is to be kept alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// The id that marks this balancer's instances.
    pub owner: Owner,
    /// What was configured when the set was last made to follow the configuration.
    pub configured: Configured,
    pub(super) wants: Vec<Want>,
    /// Where those are looked for that somebody else starts, where they are looked for by name.
    pub(super) sources: Vec<Name>,
    /// Those that went by themselves and may come back, those that went last at the end.
    pub(super) departed: Vec<Departed>,
}

/// One that went by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departed {
    /// Its name.
    pub name: Name,
    /// Its number on the ring.
    pub number: Number,
    /// Whether it is to get no requests when it comes back.
    pub drained: bool,
}

/// Which replicas a configuration asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Configured {
    /// So many, named and started by the balancer.
    Count(usize),
    /// Those that are found at these sources and that somebody else starts.
    Addresses(Vec<Name>),
    /// Those that say so themselves and that somebody else starts.
    Labels,
}

/// One replica that is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    /// Its name.
    pub name: Name,
    /// Its number on the ring, kept by every replacement.
    pub number: Number,
    /// The instance that plays it now.
    pub instance: InstanceId,
    /// Its share of the ring.
    pub weight: Weight,
    /// The share that the engine last told of, where that finds its instances: a change of it is followed.
    pub told: Weight,
    /// Whether any instance of it was ever ready: it is on the ring from then on.
    pub joined: bool,
    /// Whether this instance was ever ready.
    pub up: bool,
    /// Whether it is to get no requests: an operator's will, which every replacement inherits.
    pub drained: bool,
}

/// Why the set cannot change as asked. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// More names than replicas to add.
    #[error("Length of hostname list is more than newly added instances")]
    TooManyToAdd,
    /// Fewer addresses than replicas to add that somebody else starts.
    #[error(
        "Cannot add {asked} replicas with {given} addresses: they are started elsewhere, so call /add where 'hostnames' has the address of each, such as 10.0.0.5:8080"
    )]
    NeedsAddresses {
        /// How many were to come.
        asked: usize,
        /// How many addresses were given.
        given: usize,
    },
    /// More names than replicas to remove.
    #[error("Length of hostname list is more than removable instances")]
    TooManyToRemove,
    /// More to remove than there are.
    #[error("Cannot remove {asked} replicas: there are only {there}")]
    Fewer {
        /// How many were to go.
        asked: usize,
        /// How many there are.
        there: usize,
    },
    /// No room left on the ring.
    #[error("Cannot add {asked} replicas: there is room for {room} more")]
    NoRoom {
        /// How many were to come.
        asked: usize,
        /// How many may.
        room: usize,
    },
    /// Not a name.
    #[error("'{name}' cannot be a hostname: {why}")]
    Invalid {
        /// What was given.
        name: String,
        /// What is wrong with it.
        why: NameError,
    },
    /// Already there.
    #[error("There is already a replica named '{0}'")]
    Exists(Name),
    /// A weight that the ring cannot hold.
    #[error("Cannot give '{name}' the weight {weight}: the ring has room for {most} at most")]
    Heavy {
        /// Whose weight.
        name: Name,
        /// What it was to be.
        weight: Weight,
        /// What it can be.
        most: usize,
    },
    /// Found by a source that finds others too.
    #[error("Cannot remove '{name}' alone: it is found by '{source_name}', so remove that, or drain it")]
    FoundBy {
        /// Who was to go.
        name: Name,
        /// Where it is found.
        source_name: Name,
    },
    /// Whoever joins says so itself.
    #[error(
        "Cannot add or remove replicas: containers join this pool by their labels and leave it as they end; start or stop those"
    )]
    ByLabels,
    /// Not ours to restart.
    #[error("Cannot restart '{0}': it is started elsewhere, so it is restarted there; drain it before")]
    Elsewhere(Name),
    /// Not ours to read.
    #[error("Cannot read the logs of '{0}': it is started elsewhere, so they are read there")]
    Unheard(Name),
    /// Not there.
    #[error("There is no replica named '{0}'")]
    Unknown(String),
    /// Twice in one call.
    #[error("The hostname '{0}' is given twice")]
    Twice(Name),
}

impl Desired {
    /// A set of `count` fresh replicas, `Server-1` to `Server-{count}`.
    pub fn fresh(owner: Owner, count: usize, rng: &mut impl Rng) -> Self {
        let mut desired = Desired::from_wants(owner, Configured::Count(count), Vec::new());
        for _ in 0..count {
            let number = desired.free_number();
            let numbered = format!("Server-{number}").parse().expect("a word and a number are a name");
            desired.push(numbered, number, rng);
        }
        desired
    }

    /// A set of just these replicas.
    pub fn from_wants(owner: Owner, configured: Configured, wants: Vec<Want>) -> Self {
        Desired { owner, configured, wants, sources: Vec::new(), departed: Vec::new() }
    }

    /// The replicas in the order of their joining.
    pub fn wants(&self) -> &[Want] {
        &self.wants
    }

    /// Whether there are to be none, wherever they are looked for.
    pub fn is_empty(&self) -> bool {
        self.wants.is_empty() && self.sources.is_empty()
    }

    /// The one of this name.
    pub fn get(&self, name: &Name) -> Option<&Want> {
        self.wants.iter().find(|want| want.name == *name)
    }

    /// Whether this instance plays one of them.
    pub fn has_instance(&self, instance: &InstanceId) -> bool {
        self.wants.iter().any(|want| want.instance == *instance)
    }

    /// Those on the ring.
    pub fn members(&self) -> Vec<Member> {
        let joined = self.wants.iter().filter(|want| want.joined);
        joined.map(|want| Member { number: want.number, weight: want.weight }).collect()
    }

    /// The sum of their weights.
    pub fn weight(&self) -> usize {
        self.wants.iter().map(|want| usize::from(want.weight.get())).sum()
    }

    /// Adds `count` replicas, the first ones named, the others with drawn names; all of them or none. `room` is how many
    /// more there may be, `clock_ms` the clock's milliseconds, which drawn names end with. Returns the names.
    pub fn add(
        &mut self,
        count: usize,
        names: &[String],
        room: usize,
        clock_ms: u16,
        rng: &mut impl Rng,
    ) -> Result<Vec<Name>, ChangeError> {
        if names.len() > count {
            return Err(ChangeError::TooManyToAdd);
        }
        let parse =
            |name: &String| self.parse(name).map_err(|why| ChangeError::Invalid { name: name.clone(), why });
        let names: Vec<Name> = names.iter().map(parse).collect::<Result<_, _>>()?;
        if let Some(taken) = names.iter().find(|name| self.get(name).is_some()) {
            return Err(ChangeError::Exists(taken.clone()));
        }
        refuse_twice(&names)?;
        if count > room {
            return Err(ChangeError::NoRoom { asked: count, room });
        }
        let first = self.wants.len();
        for index in 0..count {
            let name = names.get(index).cloned().unwrap_or_else(|| self.draw_name(&names, clock_ms, rng));
            self.push(name, self.free_number(), rng);
        }
        Ok(self.wants[first..].iter().map(|want| want.name.clone()).collect())
    }

    /// Removes `count` replicas: the named ones, and beside them the first in this `order`; all of them or none. Returns
    /// those that left.
    pub fn remove(
        &mut self,
        count: usize,
        names: &[String],
        order: &[Name],
    ) -> Result<Vec<Want>, ChangeError> {
        if count > self.wants.len() {
            return Err(ChangeError::Fewer { asked: count, there: self.wants.len() });
        }
        if names.len() > count {
            return Err(ChangeError::TooManyToRemove);
        }
        let names: Vec<Name> =
            names.iter().map(|name| Ok(self.known(name)?.name.clone())).collect::<Result<_, _>>()?;
        refuse_twice(&names)?;
        let others = order.iter().filter(|name| !names.contains(name)).take(count - names.len());
        let leaving: Vec<Name> = others.chain(&names).cloned().collect();
        Ok(self.take(|want| leaving.contains(&want.name)))
    }

    /// The one of this name, however that was written.
    pub fn known(&self, name: &str) -> Result<&Want, ChangeError> {
        let known = self.parse(name).ok().and_then(|name| self.get(&name));
        known.ok_or_else(|| ChangeError::Unknown(name.to_owned()))
    }

    /// Gives one this weight, if their sum is then `room` at most.
    pub fn weigh(&mut self, name: &str, weight: Weight, room: usize) -> Result<(), ChangeError> {
        let want = self.known(name)?.clone();
        let most = room.saturating_sub(self.weight() - usize::from(want.weight.get()));
        if usize::from(weight.get()) > most {
            return Err(ChangeError::Heavy { name: want.name, weight, most });
        }
        for want in self.wants.iter_mut().filter(|other| other.number == want.number) {
            want.weight = weight;
        }
        Ok(())
    }

    /// Says whether one is to get no requests, also one that went and may come back. Returns whether that was news.
    pub fn drain(&mut self, name: &str, drained: bool) -> Result<bool, ChangeError> {
        let unknown = || ChangeError::Unknown(name.to_owned());
        let name = self.parse(name).map_err(|_| unknown())?;
        let want = self.wants.iter_mut().find(|want| want.name == name).map(|want| &mut want.drained);
        let gone = self.departed.iter_mut().find(|gone| gone.name == name).map(|gone| &mut gone.drained);
        let said = want.or(gone).ok_or_else(unknown)?;
        Ok(std::mem::replace(said, drained) != drained)
    }

    /// Follows a changed configuration.
    pub fn reconfigure(&mut self, count: usize, clock_ms: u16, rng: &mut impl Rng) {
        if self.configured != Configured::Count(count) {
            self.configured = Configured::Count(count);
            self.scale(count, clock_ms, rng);
        }
    }

    /// To `count` replicas, by adding fresh ones or removing the newest.
    pub fn scale(&mut self, count: usize, clock_ms: u16, rng: &mut impl Rng) {
        self.wants.truncate(count);
        while self.wants.len() < count {
            let number = self.free_number();
            let numbered: Name = format!("Server-{number}").parse().expect("a word and a number are a name");
            let name =
                if self.get(&numbered).is_none() { numbered } else { self.draw_name(&[], clock_ms, rng) };
            self.push(name, number, rng);
        }
    }

    /// Takes out those that `leaves` says, and returns them.
    pub fn take(&mut self, leaves: impl Fn(&Want) -> bool) -> Vec<Want> {
        self.wants.extract_if(.., |want| leaves(want)).collect()
    }

    /// Gives the replica that `dead` played a new instance under the same name and number.
    pub fn replace(&mut self, dead: &InstanceId, rng: &mut impl Rng) -> Option<&Want> {
        let want = self.wants.iter_mut().find(|want| want.instance == *dead)?;
        want.instance = InstanceId::from_bits(rng.random());
        want.up = false;
        Some(want)
    }

    /// Notes that the instance is ready. Returns whether that was news.
    pub fn mark_up(&mut self, instance: &InstanceId) -> bool {
        let want = self.wants.iter_mut().find(|want| want.instance == *instance && !want.up);
        want.is_some_and(|want| {
            (want.up, want.joined) = (true, true);
            true
        })
    }

    /// Notes that the instance is down and will be started again.
    pub fn mark_down(&mut self, instance: &InstanceId) -> Option<&Want> {
        let want = self.wants.iter_mut().find(|want| want.instance == *instance)?;
        want.up = false;
        Some(want)
    }

    /// The name that a text is to this set.
    fn parse(&self, text: &str) -> Result<Name, NameError> {
        match self.configured {
            Configured::Count(_) => text.parse(),
            Configured::Addresses(_) => Name::of_source(text).or_else(|_| Name::of_found(text)),
            Configured::Labels => Name::of_found(text),
        }
    }

    fn push(&mut self, name: Name, number: Number, rng: &mut impl Rng) {
        let instance = InstanceId::from_bits(rng.random());
        self.push_instance(name, number, instance);
    }

    pub(super) fn push_instance(&mut self, name: Name, number: Number, instance: InstanceId) {
        self.wants.push(Want {
            name,
            number,
            instance,
            weight: Weight::ONE,
            told: Weight::ONE,
            joined: false,
            up: false,
            drained: false,
        });
    }

    fn free_number(&self) -> Number {
        Number::lowest_free(self.wants.iter().map(|want| want.number))
            .expect("the ring's room is below 65,536")
    }

    /// `Server-XXX-YYY`: three random digits, three of the clock; never a name that is there or asked for.
    fn draw_name(&self, asked: &[Name], clock_ms: u16, rng: &mut impl Rng) -> Name {
        for attempt in 0u32.. {
            // a million names for a thousand replicas at the most; should luck run out, the clock's digits move on
            let clock = (u32::from(clock_ms) + attempt / 100) % 1000;
            let name: Name = format!("Server-{:03}-{clock:03}", rng.random_range(0..1000u16))
                .parse()
                .expect("a word and digits are a name");
            if self.get(&name).is_none() && !asked.contains(&name) {
                return name;
            }
        }
        unreachable!("the attempts are not counted out before a name is free")
    }
}

pub(super) fn refuse_twice(names: &[Name]) -> Result<(), ChangeError> {
    match names.iter().enumerate().find(|(index, name)| names[..*index].contains(name)) {
        Some((_, twice)) => Err(ChangeError::Twice(twice.clone())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    fn three() -> (Desired, StdRng) {
        let mut rng = StdRng::seed_from_u64(1);
        (Desired::fresh(Owner::from_bits(1), 3, &mut rng), rng)
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn name(name: &str) -> Name {
        name.parse().unwrap()
    }

    fn shown(desired: &Desired) -> Vec<(String, u16)> {
        desired.wants().iter().map(|want| (want.name.to_string(), want.number.get())).collect()
    }

    #[test]
    fn a_fresh_set_is_server_1_to_n() {
        let (desired, _) = three();
        assert_eq!(shown(&desired), [("Server-1".into(), 1), ("Server-2".into(), 2), ("Server-3".into(), 3)]);
    }

    #[test]
    fn added_ones_come_last_with_the_lowest_free_numbers_and_drawn_names_for_the_rest() {
        let (mut desired, mut rng) = three();
        desired.remove(1, &names(&["Server-2"]), &[]).unwrap();
        let added = desired.add(3, &names(&["S5", "S4"]), 54, 42, &mut rng).unwrap();
        assert_eq!(added[..2], [name("S5"), name("S4")]);
        let drawn = added[2].as_str();
        assert!(drawn.starts_with("Server-") && drawn.ends_with("-042") && drawn.len() == 14, "{drawn}");
        let numbers: Vec<u16> = desired.wants().iter().map(|want| want.number.get()).collect();
        assert_eq!(numbers, [1, 3, 2, 4, 5]);
    }

    #[test]
    fn drawn_names_are_never_the_same() {
        let (mut desired, mut rng) = three();
        desired.add(900, &[], 997, 7, &mut rng).unwrap();
        let distinct: std::collections::HashSet<_> =
            shown(&desired).into_iter().map(|(name, _)| name).collect();
        assert_eq!(distinct.len(), 903);
    }

    #[test]
    fn a_change_that_cannot_be_made_changes_nothing() {
        let (mut desired, mut rng) = three();
        let before = desired.clone();
        let add = |d: &mut Desired, n, list: &[&str], rng: &mut StdRng| {
            d.add(n, &names(list), 2, 0, rng).unwrap_err()
        };
        assert_eq!(add(&mut desired, 1, &["S4", "S5"], &mut rng), ChangeError::TooManyToAdd);
        assert_eq!(
            add(&mut desired, 2, &["S4", "server-1"], &mut rng),
            ChangeError::Exists(name("Server-1"))
        );
        assert_eq!(add(&mut desired, 2, &["S4", "s4"], &mut rng), ChangeError::Twice(name("S4")));
        let invalid = ChangeError::Invalid { name: "a/b".into(), why: NameError::Character };
        assert_eq!(add(&mut desired, 1, &["a/b"], &mut rng), invalid);
        assert_eq!(add(&mut desired, 3, &[], &mut rng), ChangeError::NoRoom { asked: 3, room: 2 });
        let rm = |d: &mut Desired, n, list: &[&str]| d.remove(n, &names(list), &[]).unwrap_err();
        assert_eq!(rm(&mut desired, 4, &[]), ChangeError::Fewer { asked: 4, there: 3 });
        assert_eq!(rm(&mut desired, 1, &["Server-1", "Server-2"]), ChangeError::TooManyToRemove);
        assert_eq!(rm(&mut desired, 1, &["S9"]), ChangeError::Unknown("S9".into()));
        assert_eq!(rm(&mut desired, 2, &["Server-1", "Server-1"]), ChangeError::Twice(name("Server-1")));
        assert_eq!(desired, before);
    }

    #[test]
    fn named_ones_go_and_beside_them_the_first_in_the_order() {
        let order = ["Server-2", "Server-3", "Server-1"].map(name);
        let (mut desired, _) = three();
        let gone = desired.remove(2, &names(&["server-2"]), &order).unwrap();
        assert_eq!(gone.len(), 2);
        assert_eq!(shown(&desired), [("Server-1".into(), 1)]);
        let (mut desired, _) = three();
        desired.remove(2, &[], &order).unwrap();
        assert_eq!(shown(&desired), [("Server-1".into(), 1)]);
    }

    #[test]
    fn who_is_drained_stays_so_through_replacements() {
        let (mut desired, mut rng) = three();
        assert_eq!(desired.drain("server-2", true), Ok(true));
        assert_eq!(desired.drain("Server-2", true), Ok(false), "is no news");
        let old = desired.wants()[1].instance.clone();
        assert!(desired.replace(&old, &mut rng).unwrap().drained);
        assert_eq!(desired.members().len(), 0);
        assert_eq!(desired.drain("Server-2", false), Ok(true));
        assert!(desired.wants().iter().all(|want| !want.drained));
        assert_eq!(desired.drain("S9", true), Err(ChangeError::Unknown("S9".into())));
        assert_eq!(desired.drain("a/b", true), Err(ChangeError::Unknown("a/b".into())));
    }

    #[test]
    fn a_replacement_keeps_name_number_and_seat_on_the_ring() {
        let (mut desired, mut rng) = three();
        let old = desired.wants()[1].clone();
        assert!(desired.mark_up(&old.instance));
        assert!(!desired.mark_up(&old.instance));
        let new = desired.replace(&old.instance, &mut rng).unwrap().clone();
        assert_ne!(new.instance, old.instance);
        assert_eq!((new.name, new.number, new.joined, new.up), (old.name, old.number, true, false));
    }

    #[test]
    fn a_weight_is_taken_if_the_ring_has_room_for_it() {
        let (mut desired, _) = three();
        let weight = |weight| Weight::new(weight).unwrap();
        desired.weigh("server-2", weight(3), 5).unwrap();
        assert_eq!((desired.weight(), desired.wants()[1].weight), (5, weight(3)));
        let heavy = ChangeError::Heavy { name: name("Server-2"), weight: weight(4), most: 3 };
        assert_eq!(desired.weigh("Server-2", weight(4), 5), Err(heavy));
        assert_eq!(desired.weigh("S9", weight(1), 5), Err(ChangeError::Unknown("S9".into())));
        assert_eq!(desired.weight(), 5);
    }

    #[test]
    fn the_stored_set_follows_only_a_changed_count() {
        let (mut desired, mut rng) = three();
        desired.add(2, &names(&["S4", "S5"]), 53, 0, &mut rng).unwrap();
        desired.reconfigure(3, 0, &mut rng);
        assert_eq!(desired.wants().len(), 5, "3 is what was configured before");
        desired.reconfigure(2, 0, &mut rng);
        assert_eq!(shown(&desired), [("Server-1".into(), 1), ("Server-2".into(), 2)]);
        desired.reconfigure(3, 0, &mut rng);
        assert_eq!(shown(&desired)[2], ("Server-3".into(), 3));
    }
}
