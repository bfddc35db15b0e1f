//! How the replicas that serve stand with requests: who is ejected, who warms up, who is in the table at all.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use super::{
    outlier::{Candidate, Verdict, verdicts},
    reconcile::Fleet,
};
use crate::{
    event::What,
    name::InstanceId,
    table::{Replica, Table},
};

/// The part of its keys that one gets that has just become ready.
const FIRST_SHARE: f64 = 0.05;
/// How often the share grows until it is whole.
const STEPS: u32 = 20;

impl Fleet {
    /// Ejects who fails requests, and readmits whose time is over.
    pub(super) fn judge(&mut self, now: Instant) {
        let pool: Vec<Candidate> = self
            .desired
            .wants()
            .iter()
            .filter(|want| !want.drained)
            .map(|want| {
                let life = self.health.get(&want.instance);
                Candidate {
                    instance: want.instance.clone(),
                    serves: life.is_some_and(|life| life.health.is_ready()),
                    failures: self.replicas.get(&want.instance).map_or(0, |replica| replica.failures()),
                    ejected: life.and_then(|life| life.ejections.until()),
                }
            })
            .collect();
        for (instance, verdict) in verdicts(&pool, self.config.outliers.after, now) {
            match verdict {
                Verdict::Eject => self.eject(&instance, now),
                Verdict::Readmit => {
                    self.pardon(&instance, now);
                    self.report(&instance, What::Readmitted);
                }
            }
        }
    }

    fn eject(&mut self, instance: &InstanceId, now: Instant) {
        let Some(replica) = self.replicas.get(instance) else { return };
        let Some(life) = self.health.get_mut(instance) else { return };
        let failed = replica.failures();
        replica.forgive();
        replica.count_ejection();
        let (time, at) = (life.ejections.begin(self.config.outliers.time, now), SystemTime::now());
        let (shown, until) = (humantime::format_duration(time), humantime::format_rfc3339_seconds(at + time));
        life.since = at;
        life.ejected = Some(format!("{failed} requests in a row failed; ejected for {shown}, until {until}"));
        self.report(instance, What::Ejected(failed, time));
    }

    /// Ends an ejection, if there is one, and forgets the failures before.
    pub(super) fn pardon(&mut self, instance: &InstanceId, now: Instant) {
        if let Some(life) = self.health.get_mut(instance) {
            life.ejections.end(now);
            life.ejected = None;
            life.since = SystemTime::now();
        }
        if let Some(replica) = self.replicas.get(instance) {
            replica.forgive();
        }
    }

    /// Tells requests how each replica stands, just before this table: who is in it and how much of its keys it gets,
    /// to whom others are preferred, and whose answers are not to be waited for: those that died or count as dead.
    pub(super) fn tell_requests(&self, table: &Table, now: Instant) {
        for (instance, replica) in &self.replicas {
            let life = self.health.get(instance);
            replica.set_seated(table.serving().any(|serving| Arc::ptr_eq(serving, replica)));
            let dead = match self.leaving.get(instance) {
                Some(left) => left.dead,
                None => life.is_none_or(|life| !life.health.is_ready()),
            };
            replica.set_given_up(dead);
            replica.set_ejected(life.is_some_and(|life| life.ejections.until().is_some()));
            self.warm(replica, life.and_then(|life| life.warm_since), now);
        }
    }

    /// Gives one that became ready lately the share that it has reached. Where all others warm up too, or are away,
    /// nothing is preferred to it: a key that all decline goes to the first on the ring. So the first replicas of a pool,
    /// which become ready together, share it out as if none warmed up.
    fn warm(&self, replica: &Replica, since: Option<Instant>, now: Instant) {
        let age = since.map_or(Duration::MAX, |since| now.saturating_duration_since(since));
        replica.set_share(share(age, self.config.slow_start));
    }

    /// When somebody's ejection is over or somebody's share grows.
    pub(super) fn next_standing(&self, now: Instant) -> Option<Instant> {
        let slow_start = self.config.slow_start;
        let over = self.health.values().filter_map(|life| life.ejections.until());
        let warms =
            |since: &Instant| now.saturating_duration_since(*since) <= slow_start && !slow_start.is_zero();
        let warming = self.health.values().filter_map(|life| life.warm_since).filter(warms);
        over.chain(warming.map(|_| now + slow_start / STEPS)).min()
    }
}

/// The part of its keys that one gets this long after it became ready.
fn share(age: Duration, slow_start: Duration) -> f64 {
    if age >= slow_start {
        return 1.0;
    }
    FIRST_SHARE + (1.0 - FIRST_SHARE) * age.div_duration_f64(slow_start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_grows_evenly_from_a_twentieth_to_the_whole() {
        let second = Duration::from_secs(1);
        let of_age = |age: f64| share(second.mul_f64(age), 10 * second);
        assert_eq!([of_age(0.0), of_age(10.0), of_age(99.0)], [0.05, 1.0, 1.0]);
        assert!((of_age(5.0) - 0.525).abs() < 1e-9 && (of_age(1.0) - 0.145).abs() < 1e-9);
        assert_eq!(share(Duration::ZERO, Duration::ZERO), 1.0, "0 is off");
    }
}
