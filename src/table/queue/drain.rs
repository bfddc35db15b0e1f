//! How fast a line moves.

use std::time::Duration;

/// What is told of the rate goes by about this time, up to twice as much.
const WINDOW: Duration = Duration::from_secs(60);

/// The part of the mean wait that the last one is.
const LAST: f64 = 1.0 / 16.0;

/// How many had their turn in the time that somebody waited, and how long they had waited.
#[derive(Debug, Default)]
pub(super) struct Drain {
    /// Until when it is known whether somebody waited.
    seen: Duration,
    /// The time in which somebody waited, and how many had their turn.
    time: Duration,
    turns: f64,
    waited: Option<f64>,
}

impl Drain {
    /// Counts a turn.
    pub(super) fn count(&mut self) {
        self.turns += 1.0;
    }

    /// Says whether somebody waited since this was last said.
    pub(super) fn note(&mut self, now: Duration, did_wait: bool) {
        if did_wait {
            self.time += now.saturating_sub(self.seen);
        }
        while self.time > 2 * WINDOW {
            (self.time, self.turns) = (self.time / 2, self.turns / 2.0);
        }
        self.seen = self.seen.max(now);
    }

    /// Says how long somebody waited for a turn.
    pub(super) fn note_wait(&mut self, waited: Duration) {
        let (last, mean) = (waited.as_secs_f64(), self.waited.unwrap_or(waited.as_secs_f64()));
        self.waited = Some(mean + LAST * (last - mean));
    }

    /// How long those of late waited, on average.
    pub(super) fn waited(&self) -> Duration {
        Duration::from_secs_f64(self.waited.unwrap_or_default())
    }

    /// After how many seconds so many have had their turn, as far as that can be told; at least 1, and no more than the
    /// longest wait is.
    pub(super) fn seconds(&self, waiting: usize, longest: Duration) -> u64 {
        let turns = waiting.max(1) as f64;
        let seconds = if self.turns > 0.0 { self.time.as_secs_f64() * turns / self.turns } else { f64::MAX };
        (seconds.min(longest.as_secs_f64()).ceil() as u64).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(300);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn so_many_need_as_long_as_so_many_needed_of_late() {
        let mut drain = Drain::default();
        drain.note(seconds(100), false);
        (0..5).for_each(|_| drain.count());
        drain.note(seconds(110), true);
        assert_eq!([0, 1, 5, 10, 1000].map(|waiting| drain.seconds(waiting, LONGEST)), [2, 2, 10, 20, 300]);
    }

    #[test]
    fn a_fast_line_is_still_a_second_and_one_that_stands_the_longest_wait() {
        let mut drain = Drain::default();
        assert_eq!(drain.seconds(4, LONGEST), 300);
        assert_eq!(drain.seconds(4, Duration::from_millis(100)), 1);
        drain.note(seconds(1), false);
        (0..1000).for_each(|_| drain.count());
        drain.note(seconds(2), true);
        assert_eq!(drain.seconds(10, LONGEST), 1);
    }

    #[test]
    fn time_in_which_nobody_waits_does_not_count() {
        let mut drain = Drain::default();
        drain.note(seconds(0), false);
        (0..10).for_each(|_| drain.count());
        drain.note(seconds(10), true);
        drain.note(seconds(1000), false);
        assert_eq!(drain.seconds(10, LONGEST), 10);
        drain.note(seconds(1), true);
        drain.note(seconds(1000), true);
        assert_eq!(drain.seconds(10, LONGEST), 10, "the time never goes back");
    }

    #[test]
    fn what_was_long_ago_counts_ever_less() {
        let mut drain = Drain::default();
        drain.note(seconds(0), false);
        (0..1000).for_each(|_| drain.count());
        for minute in 1..20 {
            drain.count();
            drain.note(seconds(60 * minute), true);
        }
        assert!((50..=60).contains(&drain.seconds(1, LONGEST)), "{}", drain.seconds(1, LONGEST));
    }

    #[test]
    fn the_mean_wait_is_that_of_late() {
        let mut drain = Drain::default();
        assert_eq!(drain.waited(), Duration::ZERO);
        drain.note_wait(seconds(8));
        assert_eq!(drain.waited(), seconds(8));
        (0..100).for_each(|_| drain.note_wait(seconds(2)));
        assert!(drain.waited() < Duration::from_millis(2100), "{:?}", drain.waited());
    }
}
