//! What each replica should get, by the balancer's own ring. Pure.

use std::collections::BTreeMap;

use ringkeeper::{
    name::Number,
    ring::{HashError, Member, Ring, RingError, Slack, Spec, Weight, WordError},
};

use crate::client::{Pool, Replica, RingSpec};

/// Where ids go in a pool as it was when it was looked at.
#[derive(Debug)]
pub struct Forecast {
    ring: Ring,
    /// For each member of the ring whether requests go to it.
    ready: Vec<bool>,
}

/// Why there is no telling.
#[derive(Debug, thiserror::Error)]
pub enum ForecastError {
    /// The balancer has a newer ring than these tools know.
    #[error("the balancer's ring is of a kind that this version does not know: {0}")]
    Unknown(String),
    /// The balancer shows a ring that cannot be.
    #[error("the balancer's replicas make no ring: {0}")]
    Impossible(#[from] RingError),
}

impl Forecast {
    /// On the ring is who was ready once, so not who starts for the first time, nor who leaves.
    pub fn of(pool: &Pool) -> Result<Self, ForecastError> {
        let mut ready = BTreeMap::new();
        for replica in pool.replicas.iter().filter(|replica| replica.is_on_ring()) {
            ready.insert(member(replica)?, replica.is_ready());
        }
        let members: Vec<Member> = ready.keys().copied().collect();
        let ring = Ring::build(&members, &spec(&pool.ring)?)?;
        Ok(Forecast { ring, ready: ready.into_values().collect() })
    }

    /// The number of the replica that gets this id; `None` where nobody is ready.
    pub fn server(&self, id: u64) -> Option<u16> {
        let position = self.ring.route(id).find(|position| self.ready[*position])?;
        Some(self.ring.members()[position].number.get())
    }

    /// How many of these ids each replica gets, by number; also of those that get none.
    pub fn counts(&self, ids: impl Iterator<Item = u64>) -> BTreeMap<u16, u64> {
        let mut counts = vec![0; self.ring.members().len()];
        for id in ids {
            if let Some(position) = self.ring.route(id).find(|position| self.ready[*position]) {
                counts[position] += 1;
            }
        }
        self.ring.members().iter().map(|member| member.number.get()).zip(counts).collect()
    }
}

/// How many of so many requests each that is ready gets, by number, where they are spread evenly by weight.
pub fn even(pool: &Pool, requests: u64) -> BTreeMap<u16, u64> {
    let ready = || pool.replicas.iter().filter(|replica| replica.is_ready());
    let weight = |replica: &Replica| u64::from(replica.weight.unwrap_or(1));
    let all = ready().map(weight).sum::<u64>().max(1) as f64;
    let part = |replica: &Replica| (requests as f64 * weight(replica) as f64 / all).round() as u64;
    ready().map(|replica| (replica.number, part(replica))).collect()
}

/// A replica as the ring sees it.
pub fn member(replica: &Replica) -> Result<Member, ForecastError> {
    let number = Number::new(replica.number).ok_or_else(|| unknown("a replica has the number 0"))?;
    let weight = replica.weight.map_or(Some(Weight::ONE), Weight::new);
    Ok(Member { number, weight: weight.ok_or_else(|| unknown("a replica's weight is not 1 to 100"))? })
}

/// How the balancer makes its ring.
pub fn spec(ring: &RingSpec) -> Result<Spec, ForecastError> {
    let word = |error: WordError| unknown(&error);
    let slack = (ring.slack * 1e6).round() as u32;
    Ok(Spec {
        slots: ring.slots,
        placement: ring.placement.parse().map_err(word)?,
        probing: ring.probing.parse().map_err(word)?,
        hash: ring.hash.parse().map_err(|error: HashError| unknown(&error))?,
        slack: Slack::from_millionths(slack).ok_or_else(|| unknown(&format!("a slack of {}", ring.slack)))?,
    })
}

fn unknown(what: &(impl std::fmt::Display + ?Sized)) -> ForecastError {
    ForecastError::Unknown(what.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{client::Totals, ids::Ids};

    fn pool(hash: &str, states: &[(&str, u32)]) -> Pool {
        let replica = |(index, (state, restarts)): (usize, &(&str, u32))| Replica {
            name: format!("Server-{}", index + 1),
            number: index as u16 + 1,
            state: (*state).to_owned(),
            reason: None,
            since: "2024-01-01T00:00:00Z".into(),
            instance: "0a".into(),
            address: None,
            restarts: *restarts,
            ..Replica::default()
        };
        Pool {
            pool: "default".into(),
            epoch: 1,
            ring: RingSpec {
                slots: 512,
                placement: "9".into(),
                probing: "linear".into(),
                hash: hash.into(),
                slack: 0.01,
            },
            policy: "ring".into(),
            queue: None,
            problem: None,
            totals: Totals::default(),
            replicas: states.iter().enumerate().map(replica).collect(),
        }
    }

    fn counts(hash: &str, states: &[(&str, u32)]) -> Vec<u64> {
        let forecast = Forecast::of(&pool(hash, states)).expect("a ring");
        forecast.counts(Ids::new(1).take(10_000)).into_values().collect()
    }

    #[test]
    fn the_assignments_table_comes_out_within_four_standard_deviations() {
        for (hash, published) in [
            ("quadratic", [8341.0, 468.0, 1191.0]),
            ("prime", [2522.0, 4354.0, 3124.0]),
            ("sha256", [2646.0, 3235.0, 4119.0]),
        ] {
            for (count, published) in counts(hash, &[("ready", 0); 3]).iter().zip(published) {
                let deviation = (2.0 * published * (1.0 - published / 10_000.0_f64)).sqrt(); // of two samples
                assert!(
                    (*count as f64 - published).abs() < 4.0 * deviation,
                    "{hash}: {count} for {published}"
                );
            }
        }
    }

    #[test]
    fn who_is_down_keeps_its_place_and_gets_nothing() {
        let all = counts("prime", &[("ready", 0); 3]);
        let without = counts("prime", &[("ready", 0), ("down", 1), ("ready", 0)]);
        assert_eq!(without[1], 0);
        assert_eq!(without.iter().sum::<u64>(), 10_000);
        assert!(without[0] >= all[0] && without[2] >= all[2]);
    }

    #[test]
    fn who_leaves_or_was_never_ready_is_not_on_the_ring() {
        let states = [("ready", 0), ("ready", 0), ("ready", 0), ("starting", 0), ("leaving", 2)];
        assert_eq!(counts("sha256", &states), counts("sha256", &[("ready", 0); 3]));
    }

    #[test]
    fn an_even_spread_is_by_weight_and_among_those_that_are_ready() {
        let mut pool = pool("prime", &[("ready", 0), ("down", 1), ("ready", 0)]);
        pool.replicas[2].weight = Some(3);
        assert_eq!(even(&pool, 1000), BTreeMap::from([(1, 250), (3, 750)]));
    }

    #[test]
    fn nobody_ready_means_nobody() {
        let forecast = Forecast::of(&pool("prime", &[("down", 1)])).expect("a ring");
        assert_eq!(forecast.server(123_456), None);
    }

    #[test]
    fn a_newer_ring_is_said_to_be_one() {
        let error = Forecast::of(&pool("blake9", &[("ready", 0)])).expect_err("no such hash");
        assert!(error.to_string().contains("does not know: 'blake9'"), "{error}");
    }
}
