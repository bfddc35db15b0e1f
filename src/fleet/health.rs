//! What heartbeats say about one instance. Pure.

use std::time::{Duration, Instant};

/// When an instance counts as ready and when as dead.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// From the start of one heartbeat to the start of the next.
    pub interval: Duration,
    /// How long one may take.
    pub timeout: Duration,
    /// Answered heartbeats in a row that make an instance ready; at least 1.
    pub rise: u32,
    /// Failed heartbeats in a row that make an instance dead; at least 1.
    pub max_fail_count: u32,
}

/// From one heartbeat of a starting instance to the next.
const STARTING_INTERVAL: Duration = Duration::from_millis(50);
/// The part of the interval by which a heartbeat may come early, so that many replicas are not probed in step. None
/// comes late: a death is noticed within `max_fail_count` × interval + timeout.
const JITTER: f64 = 0.1;

/// The heartbeats of one instance.
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    ready: bool,
    /// Whether failures count. They do not while an instance starts, however long it takes.
    mortal: bool,
    passed: u32,
    failed: u32,
    next: Instant,
    under_way: bool,
}

impl Health {
    /// An instance first seen `now`, never ready here. Was it ready under an earlier balancer, then failures count.
    pub fn new(was_ready: bool, now: Instant) -> Self {
        Health { ready: false, mortal: was_ready, passed: 0, failed: 0, next: now, under_way: false }
    }

    /// When the next heartbeat is due; `None` while one is under way.
    pub fn due(&self) -> Option<Instant> {
        (!self.under_way).then_some(self.next)
    }

    /// Notes that a heartbeat starts `now`. `early`, from 0 to 1, jitters the one after it.
    pub fn begin(&mut self, rules: &Rules, early: f64, now: Instant) {
        let regular = rules.interval.mul_f64(1.0 - JITTER * early);
        let interval = if self.mortal { regular } else { regular.min(STARTING_INTERVAL) };
        self.under_way = true;
        self.next = now + interval;
    }

    /// Notes how the heartbeat ended. Returns whether the instance became ready by it.
    pub fn end(&mut self, answered: bool, rules: &Rules) -> bool {
        self.under_way = false;
        if !answered {
            (self.passed, self.failed) = (0, self.failed.saturating_add(1));
            self.ready &= self.failed < rules.max_fail_count;
            return false;
        }
        (self.passed, self.failed) = (self.passed.saturating_add(1), 0);
        let became_ready = !self.ready && self.passed >= rules.rise;
        self.ready |= became_ready;
        self.mortal |= became_ready;
        became_ready
    }

    /// Notes that the heartbeat could not be sent: it says nothing.
    pub fn skip(&mut self) {
        self.under_way = false;
    }

    /// Has the next heartbeat be sent at once, unless the last one failed: many suspicions within an interval make one
    /// failed heartbeat, not a death.
    pub fn hurry(&mut self, now: Instant) {
        if self.failed == 0 {
            self.next = self.next.min(now);
        }
    }

    /// Whether requests may be sent to it.
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// How many heartbeats failed in a row, where they are enough to call the instance dead.
    pub fn is_dead(&self, rules: &Rules) -> Option<u32> {
        (self.mortal && self.failed >= rules.max_fail_count).then_some(self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules {
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        rise: 2,
        max_fail_count: 3,
    };

    #[test]
    fn rise_answers_in_a_row_make_it_ready_and_max_fail_count_failures_dead() {
        let mut health = Health::new(false, Instant::now());
        assert!(!health.end(true, &RULES));
        assert!(!health.end(false, &RULES));
        assert!(!health.end(true, &RULES));
        assert!(health.end(true, &RULES));
        assert!(health.is_ready());
        health.end(false, &RULES);
        health.end(false, &RULES);
        assert!(health.is_ready() && health.is_dead(&RULES).is_none());
        health.end(true, &RULES);
        health.end(false, &RULES);
        health.end(false, &RULES);
        assert!(health.is_ready());
        health.end(false, &RULES);
        assert_eq!((health.is_ready(), health.is_dead(&RULES)), (false, Some(3)));
    }

    #[test]
    fn a_starting_one_may_take_as_long_as_it_likes() {
        let mut health = Health::new(false, Instant::now());
        (0..1000).for_each(|_| assert!(!health.end(false, &RULES)));
        assert_eq!(health.is_dead(&RULES), None);
    }

    #[test]
    fn one_that_was_ready_before_a_restart_can_be_found_dead_without_answering_once() {
        let mut health = Health::new(true, Instant::now());
        (0..3).for_each(|_| assert!(!health.end(false, &RULES)));
        assert_eq!(health.is_dead(&RULES), Some(3));
    }

    #[test]
    fn heartbeats_start_an_interval_after_the_last_began_or_a_tenth_earlier() {
        let now = Instant::now();
        let mut health = Health::new(true, now);
        assert_eq!(health.due(), Some(now));
        health.begin(&RULES, 0.0, now);
        assert_eq!(health.due(), None);
        health.end(true, &RULES);
        assert_eq!(health.due(), Some(now + Duration::from_secs(1)));
        health.begin(&RULES, 1.0, now);
        health.end(true, &RULES);
        assert_eq!(health.due(), Some(now + Duration::from_millis(900)));
        health.hurry(now);
        assert_eq!(health.due(), Some(now));
    }

    /// A full backlog refuses connections for a moment: every refusal hurried a heartbeat, and three of those within
    /// milliseconds killed a replica that was only busy.
    #[test]
    fn suspicions_do_not_hurry_a_death() {
        let now = Instant::now();
        let mut health = Health::new(true, now);
        health.begin(&RULES, 0.0, now);
        health.end(false, &RULES);
        health.hurry(now);
        assert_eq!(health.due(), Some(now + Duration::from_secs(1)));
    }

    #[test]
    fn a_starting_one_is_asked_every_50_ms() {
        let now = Instant::now();
        let mut health = Health::new(false, now);
        health.begin(&RULES, 0.0, now);
        health.end(false, &RULES);
        assert_eq!(health.due(), Some(now + Duration::from_millis(50)));
    }
}
