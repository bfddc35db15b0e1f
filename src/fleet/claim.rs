//! Whose instances are there, and which set they make. Pure.

use std::collections::BTreeSet;

use super::desired::{Configured, Desired, Want};
use crate::{
    engine::{Instance, State},
    name::Owner,
    ring::Weight,
};

/// Why this balancer may not touch the deployment's instances.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// Another state directory's balancer made them.
    #[error(
        "there are {count} replicas of this deployment that another balancer made (owner {owner}), so nothing was \
         touched. If that balancer or its state directory is gone, start once with --adopt (make ADOPT=1) to take them over; \
         else give this one another --deployment"
    )]
    Owned {
        /// How many there are.
        count: usize,
        /// Whose they are.
        owner: Owner,
    },
    /// More owners than can be adopted at once.
    #[error(
        "there are replicas of this deployment from several balancers ({0}): remove those of all but one, then --adopt"
    )]
    Several(String),
}

/// The set to keep alive, given what is there: `desired` if all of the pool's instances are its own; with `adopt`
/// the set that the other owner's instances make, under that owner.
pub fn claim(
    desired: Desired,
    pool: &str,
    instances: &[Instance],
    adopt: bool,
) -> Result<Desired, ClaimError> {
    // what was found is nobody's
    let of_pool = || instances.iter().filter(|instance| *instance.pool == *pool && instance.found.is_none());
    let owners: BTreeSet<&Owner> = of_pool().map(|instance| &instance.owner).collect();
    let others: Vec<&Owner> = owners.iter().copied().filter(|owner| **owner != desired.owner).collect();
    match others[..] {
        [] => Ok(desired),
        [_] if adopt && owners.len() > 1 => Err(several(&owners)),
        [owner] if adopt => Ok(rebuild(owner, desired.configured.clone(), of_pool())),
        [owner] => {
            let count = of_pool().filter(|instance| instance.owner == *owner).count();
            Err(ClaimError::Owned { count, owner: owner.clone() })
        }
        _ => Err(several(&owners)),
    }
}

fn several(owners: &BTreeSet<&Owner>) -> ClaimError {
    let owners: Vec<_> = owners.iter().map(|owner| owner.as_str()).collect();
    ClaimError::Several(owners.join(", "))
}

/// The set that these instances make: of those with one name the one that goes by it, in the order of their numbers.
fn rebuild<'a>(
    owner: &Owner,
    configured: Configured,
    instances: impl Iterator<Item = &'a Instance>,
) -> Desired {
    let mut instances: Vec<_> = instances.collect();
    instances.sort_by_key(|instance| (instance.number, !instance.holds_name, &instance.id));
    let mut wants: Vec<Want> = Vec::new();
    for instance in instances {
        let taken = wants.iter().any(|want| want.name == instance.name || want.number == instance.number);
        if !taken {
            wants.push(Want {
                name: instance.name.clone(),
                number: instance.number,
                instance: instance.id.clone(),
                weight: Weight::ONE,
                told: Weight::ONE,
                source: None,
                joined: true,
                up: instance.state != State::Created,
                drained: false,
            });
        }
    }
    Desired::from_wants(owner.clone(), configured, wants)
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;
    use crate::name::{InstanceId, Number};

    fn instance(owner: u64, number: u16, id: u64, holds_name: bool) -> Instance {
        Instance {
            id: InstanceId::from_bits(id),
            owner: Owner::from_bits(owner),
            pool: "default".into(),
            name: format!("S{number}").parse().unwrap(),
            number: Number::new(number).unwrap(),
            state: State::Running(None),
            holds_name,
            checked: None,
            found: None,
        }
    }

    fn own() -> Desired {
        Desired::fresh(Owner::from_bits(1), 3, &mut StdRng::seed_from_u64(1))
    }

    #[test]
    fn ones_own_instances_and_other_pools_change_nothing() {
        let other_pool = Instance { pool: "other".into(), ..instance(7, 1, 1, true) };
        assert_eq!(claim(own(), "default", &[instance(1, 1, 1, true), other_pool], false), Ok(own()));
    }

    #[test]
    fn anothers_instances_are_refused_and_adopted_on_demand() {
        let theirs = [instance(2, 5, 50, true), instance(2, 4, 41, false), instance(2, 4, 40, true)];
        let refused = ClaimError::Owned { count: 3, owner: Owner::from_bits(2) };
        assert_eq!(claim(own(), "default", &theirs, false), Err(refused));
        let adopted = claim(own(), "default", &theirs, true).unwrap();
        let shown: Vec<_> =
            adopted.wants().iter().map(|want| (want.number.get(), want.instance.clone())).collect();
        assert_eq!(adopted.owner, Owner::from_bits(2));
        assert_eq!(shown, [(4, InstanceId::from_bits(40)), (5, InstanceId::from_bits(50))]);
    }

    #[test]
    fn several_owners_are_never_mixed() {
        for instances in [
            [instance(1, 1, 1, true), instance(2, 2, 2, true)],
            [instance(3, 1, 1, true), instance(2, 2, 2, true)],
        ] {
            assert!(matches!(claim(own(), "default", &instances, true), Err(ClaimError::Several(_))));
        }
    }
}
