//! Which replicas there are to be, in the order of their joining. Pure.

use rand::{Rng, RngExt};

use super::refusal::{ChangeError, refuse_twice};
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
    /// The source that found it last, where they are looked for by name and that has another name than it.
    pub source: Option<Name>,
    /// Whether any instance of it was ever ready: it is on the ring from then on.
    pub joined: bool,
    /// Whether this instance was ever ready.
    pub up: bool,
    /// Whether it is to get no requests: an operator's will, which every replacement inherits.
    pub drained: bool,
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
            source: None,
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

#[cfg(test)]
mod tests;
