//! Replicas that somebody else starts: who is there follows what the engine lists. Pure.
//!
//! Who is listed becomes a member, and who is not is one no more. The engine knows instances; that they have a name and a
//! number of their own, the same ones when they come back, is decided here.

use std::collections::BTreeSet;

use super::{
    desired::{Configured, Departed, Desired, Want},
    refusal::{ChangeError, refuse_twice},
};
use crate::{
    engine::{Instance, fixed::instance_at},
    name::{InstanceId, Name, Number, Owner},
    ring::Weight,
};

/// How many of those that went are remembered.
const MOST_DEPARTED: usize = 200;

/// How many there may be.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Replicas in all.
    pub replicas: usize,
    /// What their weights may come to.
    pub weight: usize,
}

/// What a list has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Met {
    /// Those that came.
    pub came: Vec<InstanceId>,
    /// Those that went.
    pub went: Vec<Want>,
    /// Those whose weight changed.
    pub reweighted: Vec<InstanceId>,
    /// How many there is no room for.
    pub turned_away: usize,
}

impl Desired {
    /// A set of those that are found at these sources. An address is a member from the beginning, anyone else when it is
    /// found.
    pub fn of_sources(owner: Owner, sources: &[Name]) -> Self {
        let mut desired = Desired::from_wants(owner, Configured::Addresses(vec![]), Vec::new());
        desired.follow(sources);
        desired
    }

    /// Where those are looked for that somebody else starts.
    pub fn sources(&self) -> &[Name] {
        &self.sources
    }

    /// Where a member was found, as far as that is known.
    pub fn source_of<'a>(&'a self, want: &'a Want) -> Option<&'a Name> {
        want.source.as_ref().or_else(|| self.sources.contains(&want.name).then_some(&want.name))
    }

    /// Follows a changed list of sources: those that it has no more are sought no more, those that are new are. What was
    /// added by a call stays; what was removed by one stays away until the list changes, of which order is no part.
    pub fn follow(&mut self, sources: &[Name]) {
        let old = match &self.configured {
            Configured::Addresses(old) => old.clone(),
            Configured::Count(_) | Configured::Labels => Vec::new(),
        };
        let gone: Vec<&Name> = old.iter().filter(|name| !sources.contains(name)).collect();
        if gone.is_empty() && sources.iter().all(|name| old.contains(name)) {
            return;
        }
        self.sources.retain(|source| !gone.contains(&source));
        self.wants.retain(|want| !gone.contains(&&want.name));
        sources.iter().for_each(|name| self.seek(name));
        self.configured = Configured::Addresses(sources.to_vec());
    }

    /// Adds sources, all or none. `room` is how many more replicas there may be.
    pub fn add_sources(
        &mut self,
        count: usize,
        names: &[String],
        room: usize,
    ) -> Result<Vec<Name>, ChangeError> {
        self.has_sources()?;
        if names.len() > count {
            return Err(ChangeError::TooManyToAdd);
        }
        if names.len() < count {
            return Err(ChangeError::NeedsAddresses { asked: count, given: names.len() });
        }
        let parse = |name: &String| {
            Name::of_source(name).map_err(|why| ChangeError::Invalid { name: name.clone(), why })
        };
        let names: Vec<Name> = names.iter().map(parse).collect::<Result<_, _>>()?;
        let taken = |name: &&Name| self.sources.contains(name) || self.get(name).is_some();
        if let Some(taken) = names.iter().find(taken) {
            return Err(ChangeError::Exists(taken.clone()));
        }
        refuse_twice(&names)?;
        if count > room {
            return Err(ChangeError::NoRoom { asked: count, room });
        }
        names.iter().for_each(|name| self.seek(name));
        Ok(names)
    }

    /// Removes `count` sources: the named ones, and beside them those of the first members in this `order`. All or none;
    /// returns the sources.
    pub fn remove_sources(
        &mut self,
        count: usize,
        names: &[String],
        order: &[Name],
    ) -> Result<Vec<Name>, ChangeError> {
        self.has_sources()?;
        if count > self.sources.len() {
            return Err(ChangeError::Fewer { asked: count, there: self.sources.len() });
        }
        if names.len() > count {
            return Err(ChangeError::TooManyToRemove);
        }
        let named = |name: &String| self.source_named(name);
        let mut leaving: Vec<Name> = names.iter().map(named).collect::<Result<_, _>>()?;
        refuse_twice(&leaving)?;
        let found = order.iter().filter_map(|name| self.source_of(self.get(name)?));
        for other in found.chain(self.sources.iter().rev()) {
            if leaving.len() < count && self.sources.contains(other) && !leaving.contains(other) {
                leaving.push(other.clone());
            }
        }
        self.sources.retain(|source| !leaving.contains(source));
        Ok(leaving)
    }

    /// The source that a caller means: by its own name, or by that of the only one that it finds.
    fn source_named(&self, name: &str) -> Result<Name, ChangeError> {
        let named = Name::of_source(name).ok().filter(|name| self.sources.contains(name));
        if let Some(named) = named {
            return Ok(named);
        }
        let want = self.known(name)?;
        let source = self.source_of(want).ok_or_else(|| ChangeError::Unknown(name.to_owned()))?;
        let alone = self.wants.iter().filter(|other| self.source_of(other) == Some(source)).count() == 1;
        if alone {
            Ok(source.clone())
        } else {
            Err(ChangeError::FoundBy { name: want.name.clone(), source_name: source.clone() })
        }
    }

    /// Follows who is there: `listed` are all that the engine has found. One that went and comes back under its name has
    /// its number again and is as drained as it was, and so is whoever comes in its place.
    pub fn meet(&mut self, listed: &[Instance], room: Room) -> Met {
        let there: BTreeSet<&InstanceId> = listed.iter().map(|instance| &instance.id).collect();
        let mut met = Met { went: self.take(|want| !there.contains(&want.instance)), ..Met::default() };
        met.went.iter().for_each(|want| self.remember(want));
        for instance in listed {
            let Some(found) = &instance.found else { continue };
            let told = Weight::new(found.weight).unwrap_or(Weight::ONE);
            if self.has_instance(&instance.id) {
                met.reweighted.extend(self.told(&instance.id, told, room).then(|| instance.id.clone()));
            } else if self.admit(instance, told, room) {
                met.came.push(instance.id.clone());
            } else {
                met.turned_away += 1;
            }
            self.found_by(&instance.id, &found.source);
        }
        met
    }

    fn has_sources(&self) -> Result<(), ChangeError> {
        if self.configured == Configured::Labels { Err(ChangeError::ByLabels) } else { Ok(()) }
    }

    /// Has replicas be looked for there; at an address there is one.
    fn seek(&mut self, source: &Name) {
        if self.sources.contains(source) {
            return;
        }
        self.sources.push(source.clone());
        let Some(instance) = instance_at(source).filter(|instance| !self.has_instance(instance)) else {
            return;
        };
        if self.get(source).is_none() {
            let number = self.number_for(source);
            self.push_instance(source.clone(), number, instance);
        }
    }

    fn admit(&mut self, instance: &Instance, told: Weight, room: Room) -> bool {
        let weight = usize::from(told.get());
        if self.wants.len() >= room.replicas || self.weight() + weight > room.weight {
            return false;
        }
        let mut names = (1..).map(|place| instance.name.placed(place));
        let name = names.find(|name| self.get(name).is_none()).expect("they never end");
        let number = self.number_for(&name);
        let drained = self.departed.iter().any(|departed| departed.name == name && departed.drained);
        self.departed.retain(|departed| departed.name != name);
        self.push_instance(name, number, instance.id.clone());
        self.wants.last_mut().expect("it was pushed").drained = drained;
        self.told(&instance.id, told, room);
        true
    }

    /// Takes in the weight that a member is told to have, if it was told another before and there is room. Returns
    /// whether it has another weight now.
    fn told(&mut self, instance: &InstanceId, told: Weight, room: Room) -> bool {
        let sum = self.weight();
        let Some(want) = self.wants.iter_mut().find(|want| want.instance == *instance) else { return false };
        let fits = sum - usize::from(want.weight.get()) + usize::from(told.get()) <= room.weight;
        if want.told == told || !fits {
            return false;
        }
        want.told = told;
        std::mem::replace(&mut want.weight, told) != told
    }

    /// Notes which source found a member, where there are sources: of those that say themselves where they belong there is
    /// none.
    fn found_by(&mut self, instance: &InstanceId, source: &Name) {
        if let Some(want) = self.wants.iter_mut().find(|want| want.instance == *instance) {
            let is_other = self.sources.contains(source) && want.name != *source;
            want.source = is_other.then(|| source.clone());
        }
    }

    /// The number that it had before; else the lowest that nobody has, nor had who may come back.
    fn number_for(&self, name: &Name) -> Number {
        let had =
            self.departed.iter().find(|departed| departed.name == *name).map(|departed| departed.number);
        let taken = |number: Number| self.wants.iter().any(|want| want.number == number);
        let used = self.wants.iter().map(|want| want.number);
        had.filter(|number| !taken(*number)).unwrap_or_else(|| {
            Number::lowest_free(used.chain(self.departed.iter().map(|departed| departed.number)))
                .expect("the ring's room and what is remembered are below 65,536")
        })
    }

    fn remember(&mut self, want: &Want) {
        self.departed.retain(|departed| departed.name != want.name && departed.number != want.number);
        let Want { name, number, drained, .. } = want.clone();
        self.departed.push(Departed { name, number, drained });
        let forgotten = self.departed.len().saturating_sub(MOST_DEPARTED);
        self.departed.drain(..forgotten);
    }
}

#[cfg(test)]
mod tests;
