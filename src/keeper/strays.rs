//! What is left of pools that nobody knows any more.

use std::collections::{BTreeMap, BTreeSet};

use super::{Care, Keeper};
use crate::engine::{Instance, Kind};

impl Keeper {
    /// Tells, when the engine has listed them, of replicas whose pool there is not: what calls made of pools is in the state
    /// directory alone, and lost with it.
    pub(super) fn tell_of_strays(&self) {
        let docker = self.kept.values().find_map(|kept| match &kept.care {
            Care::Fleet { engine, .. } if engine.kind() == Kind::Docker => Some(engine.clone()),
            _ => None,
        });
        let Some(engine) = docker else { return }; // of all that a balancer makes, containers alone outlive it
        let leaving = self.memory.leaving.keys().map(|name| Box::<str>::from(name.as_str()));
        let known: BTreeSet<Box<str>> = self.kept.keys().cloned().chain(leaving).collect();
        tokio::spawn(async move {
            let Ok(instances) = engine.list().await else { return }; // which the fleets tell of
            for (pool, names) in strays(&instances, &known) {
                tracing::warn!("{}", told(pool, &names));
            }
        });
    }
}

/// What the engine calls those of each pool that is not known.
fn strays<'a>(instances: &'a [Instance], known: &BTreeSet<Box<str>>) -> BTreeMap<&'a str, Vec<String>> {
    let mut strays = BTreeMap::<_, Vec<_>>::new();
    for instance in instances.iter().filter(|instance| !known.contains(&instance.pool)) {
        let name = match instance.holds_name {
            true => instance.goes_by(),
            false => format!("{}--{}", instance.goes_by(), instance.id),
        };
        strays.entry(&*instance.pool).or_default().push(name);
    }
    strays
}

fn told(pool: &str, names: &[String]) -> String {
    format!(
        "there is no pool '{pool}', and {} of its replicas are there: PUT /v1/pools/{pool} with its settings makes it again \
         and takes them over, as long as this balancer runs with --adopt; `docker rm --force {}` removes them",
        names.len(),
        names.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        engine::{Launch, State},
        name::{InstanceId, Number, Owner},
    };

    #[test]
    fn replicas_of_pools_that_are_not_known_are_strays() {
        let instance = |pool: &str, number: u16, holds_name| {
            let launch = Launch {
                instance: InstanceId::from_bits(number.into()),
                owner: Owner::from_bits(1),
                pool: pool.into(),
                name: format!("S{number}").parse().unwrap(),
                number: Number::new(number).unwrap(),
            };
            Instance { holds_name, ..Instance::of(&launch, State::Created) }
        };
        let there = [("default", 1, true), ("shop", 1, true), ("web", 2, true), ("shop", 3, false)]
            .map(|(pool, number, holds_name)| instance(pool, number, holds_name));
        let known = BTreeSet::from(["default".into(), "web".into()]);
        let shop = vec!["shop-S1".to_owned(), format!("shop-S3--{}", InstanceId::from_bits(3))];
        assert_eq!(strays(&there, &known), BTreeMap::from([("shop", shop.clone())]));
        let told = told("shop", &shop);
        assert!(told.contains("2 of its replicas") && told.contains("PUT /v1/pools/shop with"), "{told}");
        assert!(told.contains(&format!("`docker rm --force {}`", shop.join(" "))), "{told}");
    }
}
