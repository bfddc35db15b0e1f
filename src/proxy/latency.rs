//! How long answers of late took: the 95th percentile that hedging waits for. Pure.

use std::time::Duration;

/// Answers that have to be known before there is a percentile.
const ENOUGH: u32 = 100;
/// Answers after which the older ones count half.
const HALVING: u32 = 4096;
/// Buckets for each doubling, so that a bound is at most a quarter above what it stands for.
const STEPS: u32 = 4;
/// Doublings, from 1 µs to over an hour.
const DOUBLINGS: u32 = 32;

/// A histogram of times that forgets.
#[derive(Clone, Debug)]
pub struct Latency {
    counts: [u32; (DOUBLINGS * STEPS) as usize],
    total: u32,
}

impl Default for Latency {
    fn default() -> Self {
        Latency { counts: [0; (DOUBLINGS * STEPS) as usize], total: 0 }
    }
}

impl Latency {
    /// Notes how long an answer took.
    pub fn note(&mut self, took: Duration) {
        if self.total >= HALVING {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.total = self.counts.iter().sum();
        }
        self.counts[bucket(took)] += 1;
        self.total += 1;
    }

    /// A time that 95 of 100 answers of late did not take longer than; none while too few are known.
    pub fn p95(&self) -> Option<Duration> {
        if self.total < ENOUGH {
            return None;
        }
        let mut slower = self.total / 20;
        let counts = self.counts.iter().enumerate().rev();
        for (bucket, count) in counts {
            if *count > slower {
                return Some(upper_bound(bucket));
            }
            slower -= count;
        }
        None
    }
}

/// The bucket of a time: its highest bit, and the two bits after that.
fn bucket(took: Duration) -> usize {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).clamp(4, (1 << DOUBLINGS) - 1);
    let doubling = micros.ilog2();
    let step = (micros >> (doubling - 2)) as u32 & (STEPS - 1);
    (doubling * STEPS + step) as usize
}

fn upper_bound(bucket: usize) -> Duration {
    let (doubling, step) = (bucket as u32 / STEPS, bucket as u64 % u64::from(STEPS));
    Duration::from_micros((u64::from(STEPS) + step + 1) << (doubling - 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_bound_is_above_95_of_100_and_at_most_a_quarter_too_high() {
        let mut latency = Latency::default();
        (1..=1000).for_each(|n| latency.note(ms(n)));
        let p95 = latency.p95().unwrap();
        assert!(p95 >= ms(950) && p95 <= ms(1190), "{p95:?}");
    }

    #[test]
    fn too_few_answers_say_nothing() {
        let mut latency = Latency::default();
        (0..99).for_each(|_| latency.note(ms(1)));
        assert_eq!(latency.p95(), None);
        latency.note(ms(1));
        assert!(latency.p95().is_some());
    }

    #[test]
    fn what_was_once_is_forgotten() {
        let mut latency = Latency::default();
        (0..4000).for_each(|_| latency.note(ms(1000)));
        (0..40_000).for_each(|_| latency.note(ms(1)));
        assert!(latency.p95().unwrap() < ms(2));
    }

    #[test]
    fn the_shortest_and_the_longest_have_a_place() {
        let mut latency = Latency::default();
        latency.note(Duration::ZERO);
        latency.note(Duration::MAX);
        assert_eq!(latency.total, 2);
    }
}
