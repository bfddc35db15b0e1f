//! Who leaves where nobody is named. Pure.

use std::{cmp::Reverse, str::FromStr};

use rand::{Rng, seq::SliceRandom};

use super::desired::Want;
use crate::name::{InstanceId, Name, Number};

/// Which replicas leave first. Of those that are alike the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    /// Whom chance takes.
    Random,
    /// Who owns the fewest slots of the ring, whose going so moves the fewest; one that is not on it owns none.
    LeastMoved,
    /// Who has the fewest requests in flight at this moment.
    LeastBusy,
    /// Who joined last.
    Newest,
}

impl FromStr for Victim {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "random" => Victim::Random,
            "least_moved" => Victim::LeastMoved,
            "least_busy" => Victim::LeastBusy,
            "newest" => Victim::Newest,
            _ => return Err("not random, least_moved, least_busy or newest"),
        })
    }
}

impl Victim {
    /// The names of these, which stand in the order of their joining, in the order of their leaving.
    pub fn order(
        self,
        wants: &[Want],
        slots: impl Fn(Number) -> usize,
        in_flight: impl Fn(&InstanceId) -> usize,
        rng: &mut impl Rng,
    ) -> Vec<Name> {
        let mut order: Vec<(usize, &Want)> = wants.iter().enumerate().collect();
        match self {
            Victim::Random => order.shuffle(rng),
            Victim::LeastMoved => order.sort_by_key(|(at, want)| (slots(want.number), Reverse(*at))),
            Victim::LeastBusy => order.sort_by_key(|(at, want)| (in_flight(&want.instance), Reverse(*at))),
            Victim::Newest => order.reverse(),
        }
        order.into_iter().map(|(_, want)| want.name.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::{SeedableRng, rngs::StdRng};

    use super::*;
    use crate::{fleet::desired::Desired, name::Owner};

    /// The numbers in the order of leaving, of five whose number n owns `slots[n - 1]` and has `busy[n - 1]` in flight.
    fn order(victim: Victim, slots: [usize; 5], busy: [usize; 5], seed: u64) -> Vec<String> {
        let desired = Desired::fresh(Owner::from_bits(1), 5, &mut StdRng::seed_from_u64(1));
        let wants = desired.wants();
        let place = |instance: &InstanceId| wants.iter().position(|want| want.instance == *instance).unwrap();
        let slots = |number: Number| slots[usize::from(number.get()) - 1];
        let names =
            victim.order(wants, slots, |instance| busy[place(instance)], &mut StdRng::seed_from_u64(seed));
        names.iter().map(|name| name.as_str().replace("Server-", "")).collect()
    }

    #[test]
    fn each_has_its_order_and_of_the_same_the_newest_is_first() {
        let (slots, busy) = ([5, 2, 9, 2, 0], [0, 0, 7, 1, 9]);
        assert_eq!(order(Victim::Newest, slots, busy, 1), ["5", "4", "3", "2", "1"]);
        assert_eq!(order(Victim::LeastMoved, slots, busy, 1), ["5", "4", "2", "1", "3"]);
        assert_eq!(order(Victim::LeastBusy, slots, busy, 1), ["2", "1", "4", "3", "5"]);
    }

    #[test]
    fn chance_may_take_anyone() {
        let first: BTreeSet<String> =
            (0..100).map(|seed| order(Victim::Random, [0; 5], [0; 5], seed).remove(0)).collect();
        assert_eq!(first.len(), 5);
    }

    #[test]
    fn it_is_read_as_it_is_written_in_the_file() {
        assert_eq!("least_moved".parse(), Ok(Victim::LeastMoved));
        assert_eq!("least_busy".parse(), Ok(Victim::LeastBusy));
        assert!("oldest".parse::<Victim>().is_err());
    }
}
