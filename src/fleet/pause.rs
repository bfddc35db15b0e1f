//! How long to wait before a replica that keeps dying is started again. Pure.

use std::time::{Duration, Instant};

/// A life at least this long after its readiness is a healthy one.
const HEALTHY: Duration = Duration::from_secs(10);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(60);

/// The restarts of one replica: none pauses until deaths come early and in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pause {
    early_deaths: u32,
    until: Option<Instant>,
}

impl Pause {
    /// Notes a death `now` of an instance that was ready for `lived`; `None` if it never was. A first death soon after
    /// readiness is forgiven; the next one, and any before readiness, is followed by `first`, then by twice the pause
    /// before, up to 60 s. A life of 10 s forgives everything.
    pub fn died(&mut self, lived: Option<Duration>, first: Duration, now: Instant) {
        let pauses = match lived {
            Some(lived) if lived >= HEALTHY => {
                *self = Pause::default();
                return;
            }
            Some(_) => self.early_deaths,
            None => self.early_deaths.max(1),
        };
        self.early_deaths = pauses + 1;
        self.until = pauses.checked_sub(1).map(|doublings| {
            let factor = 1u32.checked_shl(doublings).unwrap_or(u32::MAX);
            now + first.saturating_mul(factor).min(LONGEST)
        });
    }

    /// Notes that what cannot die could not begin: it may try again `after` this, however often.
    pub fn again(&mut self, after: Duration, now: Instant) {
        self.until = Some(now + after);
    }

    /// Until when to wait; `None` if there is nothing to wait for `now`.
    pub fn until(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn pause_after(pause: &mut Pause, lived: Option<Duration>) -> Option<u64> {
        let now = Instant::now();
        pause.died(lived, SECOND, now);
        pause.until(now).map(|until| until.duration_since(now).as_secs())
    }

    #[test]
    fn deaths_before_readiness_pause_1_s_doubling_to_60_s() {
        let mut pause = Pause::default();
        let pauses: Vec<_> = (0..9).filter_map(|_| pause_after(&mut pause, None)).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn a_first_early_death_is_forgiven_and_a_healthy_life_forgives_all() {
        let mut pause = Pause::default();
        let lives = [1, 1, 1, 10, 1].map(|seconds| pause_after(&mut pause, Some(seconds * SECOND)));
        assert_eq!(lives, [None, Some(1), Some(2), None, None]);
    }
}
