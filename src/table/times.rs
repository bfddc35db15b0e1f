//! How long the answers of a replica took of late: written by all cores, read by the fleet and whoever shows it. Pure.
//!
//! Buckets in a logarithmic scale with linear steps, as in HdrHistogram (Tene, 2012), without its exact ranges.

use std::{
    ops::AddAssign,
    sync::atomic::{
        AtomicU32, AtomicU64, AtomicUsize,
        Ordering::{Relaxed, SeqCst},
    },
    time::Duration,
};

/// Buckets for each doubling, so that a bound is at most a sixteenth above what it stands for; a power of two.
const STEPS: u64 = 1 << STEP_BITS;
const STEP_BITS: u32 = 4;
/// The longest that is told apart, in microseconds: over an hour.
const LONGEST: u64 = (1 << 32) - 1;
const BUCKETS: usize = bucket(LONGEST) + 1;

/// How many answers a second are timed, about; where there are more, each timed one stands for some.
const TIMED: u64 = 200;

/// The times of the answers of one replica: those of the present window and of the one before.
#[derive(Debug)]
pub struct Times {
    /// The window of now.
    current: AtomicUsize,
    /// For how many requests the time of one stands.
    every: AtomicU32,
    /// Requests in the last second, and the most in any.
    rate: AtomicU32,
    busiest: AtomicU32,
    /// Requests that there were when that was last looked at.
    seen: AtomicU64,
    windows: [[AtomicU32; BUCKETS]; 2],
}

/// How long many answers took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spread {
    counts: Box<[u64; BUCKETS]>,
}

impl Default for Times {
    fn default() -> Self {
        Times {
            current: AtomicUsize::new(0),
            every: AtomicU32::new(1),
            rate: AtomicU32::new(0),
            busiest: AtomicU32::new(0),
            seen: AtomicU64::new(0),
            windows: std::array::from_fn(|_| std::array::from_fn(|_| AtomicU32::new(0))),
        }
    }
}

impl Times {
    /// For how many requests the time of the one with this number is to stand; 0 where it is not to be timed.
    pub(super) fn stands_for(&self, number: u64) -> u32 {
        let every = self.every.load(Relaxed);
        if every == 1 {
            return 1;
        }
        // multiples of the golden ratio: evenly spread, whatever pattern there is in the requests (Knuth, TAOCP 3, 6.4)
        let place = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        if place * u64::from(every) < 1 << 32 { every } else { 0 }
    }

    /// Notes how long an answer took whose time stands for so many.
    pub(super) fn note(&self, took: Duration, stands_for: u32) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let window = &self.windows[self.current.load(Relaxed)];
        window[bucket(micros)].fetch_add(stands_for, Relaxed);
    }

    /// Begins a new window; what was before the present one is forgotten. One caller at a time: the fleet.
    pub fn turn(&self) {
        let next = 1 - self.current.load(SeqCst);
        self.windows[next].iter().for_each(|count| count.store(0, Relaxed));
        self.current.store(next, SeqCst);
    }

    /// Says how many requests there were so far, and how long ago that was last said. One caller at a time: the fleet.
    pub fn pace(&self, requests: u64, since: Duration) {
        let new = requests.saturating_sub(self.seen.swap(requests, Relaxed));
        let rate = (new as f64 / since.as_secs_f64().max(1e-3)).round() as u32;
        self.rate.store(rate, Relaxed);
        self.busiest.fetch_max(rate, Relaxed);
        self.every.store(u64::from(rate).div_ceil(TIMED).max(1) as u32, Relaxed);
    }

    /// How many requests there were in the last second, and the most that there were in any.
    pub fn rates(&self) -> (u32, u32) {
        (self.rate.load(Relaxed), self.busiest.load(Relaxed))
    }

    /// Both windows.
    pub fn read(&self) -> Spread {
        let [one, other] = &self.windows;
        let count =
            |bucket: usize| u64::from(one[bucket].load(Relaxed)) + u64::from(other[bucket].load(Relaxed));
        Spread { counts: Box::new(std::array::from_fn(count)) }
    }
}

impl Default for Spread {
    fn default() -> Self {
        Spread { counts: Box::new([0; BUCKETS]) }
    }
}

impl AddAssign<&Spread> for Spread {
    fn add_assign(&mut self, other: &Spread) {
        self.counts.iter_mut().zip(other.counts.iter()).for_each(|(count, more)| *count += more);
    }
}

impl Spread {
    /// How many answers are known.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// A time that this part of the answers did not take longer than, from 0 to 1: at most a sixteenth too long. None
    /// where nothing is known.
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        let total = self.total();
        let wanted = ((total as f64 * part).ceil() as u64).clamp(1, total.max(1));
        let mut so_far = 0;
        let bucket = self.counts.iter().position(|count| {
            so_far += count;
            so_far >= wanted
        })?;
        Some(upper_bound(bucket))
    }

    /// A time that no answer took longer than.
    pub fn longest(&self) -> Option<Duration> {
        self.quantile(1.0)
    }

    /// How long an answer took on average.
    pub fn mean(&self) -> Option<Duration> {
        let middle = |bucket: usize| match bucket {
            0 => Duration::ZERO,
            _ => (upper_bound(bucket - 1) + upper_bound(bucket)) / 2,
        };
        let counts = self.counts.iter().enumerate();
        let sum: f64 = counts.map(|(bucket, count)| *count as f64 * middle(bucket).as_secs_f64()).sum();
        let total = self.total();
        (total > 0).then(|| Duration::from_secs_f64(sum / total as f64))
    }
}

/// The bucket of a time: its highest bit and those after it; the shortest times have one each.
const fn bucket(micros: u64) -> usize {
    let micros = if micros > LONGEST { LONGEST } else { micros };
    if micros < STEPS {
        return micros as usize;
    }
    let shift = micros.ilog2() - STEP_BITS;
    (shift as u64 * STEPS + (micros >> shift)) as usize
}

/// The longest time in a bucket, to the microsecond.
fn upper_bound(bucket: usize) -> Duration {
    let bucket = bucket as u64;
    if bucket < STEPS {
        return Duration::from_micros(bucket + 1);
    }
    let shift = bucket / STEPS - 1;
    Duration::from_micros((bucket % STEPS + STEPS + 1) << shift)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn of(times: impl IntoIterator<Item = Duration>) -> Times {
        let all = Times::default();
        times.into_iter().for_each(|took| all.note(took, 1));
        all
    }

    proptest! {
        #[test]
        fn a_quantile_is_never_too_short_and_at_most_a_sixteenth_too_long(
            mut micros in prop::collection::vec(0..LONGEST, 1..300), part in 0.0f64..=1.0,
        ) {
            let spread = of(micros.iter().copied().map(Duration::from_micros)).read();
            micros.sort_unstable();
            let place = ((micros.len() as f64 * part).ceil() as usize).max(1);
            let (exact, found) = (micros[place - 1], spread.quantile(part).unwrap().as_micros() as u64);
            prop_assert!(exact < found && found <= exact + exact / STEPS + 1, "{exact} {found}");
            let mean = micros.iter().sum::<u64>() as f64 / micros.len() as f64;
            let found = spread.mean().unwrap().as_secs_f64() * 1e6;
            prop_assert!((found - mean).abs() <= mean / 32.0 + 1.0, "{mean} {found}");
        }
    }

    #[test]
    fn nothing_is_known_of_no_answers_and_the_longest_has_a_place() {
        assert_eq!([Spread::default().quantile(0.5), Spread::default().mean()], [None, None]);
        let spread = of([Duration::ZERO, Duration::MAX]).read();
        assert_eq!((spread.total(), spread.quantile(0.5)), (2, Some(Duration::from_micros(1))));
        assert!(spread.longest().unwrap() > Duration::from_secs(4000));
    }

    #[test]
    fn what_was_two_windows_ago_is_forgotten() {
        let times = of([ms(1000); 10]);
        times.turn();
        times.note(ms(1), 1);
        assert_eq!(times.read().total(), 11);
        times.turn();
        assert!(times.read().total() == 1 && times.read().longest().unwrap() < ms(2));
        times.turn();
        assert_eq!(times.read(), Spread::default());
    }

    #[test]
    fn of_many_a_second_some_are_timed_and_stand_for_all_of_any_pattern() {
        let times = Times::default();
        assert!((0..1000).all(|number| times.stands_for(number) == 1), "nothing is known yet");
        times.pace(5000, Duration::from_secs(1));
        assert_eq!(times.rates(), (5000, 5000));
        let timed = |number: &u64| times.stands_for(*number) > 0;
        for (period, phase) in [(1, 0), (2, 0), (2, 1), (5, 3), (25, 7), (64, 63)] {
            let numbers = (0..100_000).filter(|number| number % period == phase);
            let (all, stood_for) = (numbers.clone().count(), 25 * numbers.filter(timed).count());
            assert!(stood_for.abs_diff(all) <= all / 10, "{period}: {stood_for} of {all}");
        }
        times.pace(5100, Duration::from_secs(1));
        assert!((0..1000).all(|number| times.stands_for(number) == 1));
        assert_eq!(times.rates(), (100, 5000));
    }

    #[test]
    fn the_times_of_two_are_weighed_by_how_many_they_stand_for() {
        let (busy, idle) = (Times::default(), of([ms(100); 10]));
        (0..3).for_each(|_| busy.note(ms(1), 30));
        let mut both = busy.read();
        both += &idle.read();
        assert_eq!(both.total(), 100);
        assert!(both.quantile(0.90).unwrap() < ms(2) && both.quantile(0.91).unwrap() > ms(100));
    }
}
