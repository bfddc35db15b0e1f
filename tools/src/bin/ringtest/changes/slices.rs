//! The time of a run in slices: every other one is disturbed, those between are not. Pure.

use std::time::Duration;

use hdrhistogram::Histogram;
use ringkeeper_tools::stats::median;
use serde::Serialize;

/// How long the load goes on before the first slice.
const WARM: Duration = Duration::from_secs(1);

/// From the begin of a slice until its requests count: what is left of the one before is over then.
const BLIND: Duration = Duration::from_millis(300);

/// So many pairs of slices of this length, the first of each pair undisturbed.
#[derive(Clone, Copy, Debug)]
pub struct Slices {
    /// How many pairs.
    pub pairs: usize,
    /// How long each slice is.
    pub length: Duration,
}

/// The latencies of both halves of each pair, in nanoseconds.
#[derive(Debug)]
pub struct Latencies {
    slices: Slices,
    of: Vec<Histogram<u64>>,
}

/// A slice, or the medians of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Slice {
    /// What half of the requests stay within, in milliseconds.
    pub p50_ms: f64,
    /// What 99 of 100 stay within.
    pub p99_ms: f64,
}

/// Two slices, one after the other.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Pair {
    /// Without changes.
    pub quiet: Slice,
    /// With changes.
    pub changing: Slice,
}

impl Slices {
    /// How long the whole run is.
    pub fn whole(&self) -> Duration {
        WARM + self.length * 2 * self.pairs as u32
    }

    /// When the disturbed slices begin.
    pub fn disturbed(&self) -> impl Iterator<Item = Duration> {
        let (length, pairs) = (self.length, self.pairs as u32);
        (0..pairs).map(move |pair| WARM + length * (2 * pair + 1))
    }

    /// The slice in which a request counts that was due then.
    fn of(&self, due: Duration) -> Option<usize> {
        let since = due.checked_sub(WARM)?;
        let index = (since.as_nanos() / self.length.as_nanos()) as usize;
        (since - self.length * index as u32 >= BLIND && index < 2 * self.pairs).then_some(index)
    }
}

impl Latencies {
    /// None yet.
    pub fn new(slices: Slices) -> anyhow::Result<Self> {
        let one = Histogram::new_with_bounds(1_000, 60_000_000_000, 3)?;
        Ok(Latencies { slices, of: vec![one; 2 * slices.pairs] })
    }

    /// One more, of a request that was due then.
    pub fn enter(&mut self, due: Duration, latency: Duration) {
        if let Some(slice) = self.slices.of(due) {
            self.of[slice].saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
        }
    }

    /// What they come to.
    pub fn pairs(&self) -> Vec<Pair> {
        let slice = |latency: &Histogram<u64>| {
            let millis = |percent: f64| latency.value_at_percentile(percent) as f64 / 1e6;
            Slice { p50_ms: millis(50.0), p99_ms: millis(99.0) }
        };
        self.of.chunks(2).map(|pair| Pair { quiet: slice(&pair[0]), changing: slice(&pair[1]) }).collect()
    }
}

/// The medians of a half of the pairs.
pub fn medians(pairs: &[Pair], half: fn(&Pair) -> Slice) -> Slice {
    let middle =
        |part: fn(Slice) -> f64| median(&pairs.iter().map(|pair| part(half(pair))).collect::<Vec<_>>());
    Slice { p50_ms: middle(|slice| slice.p50_ms), p99_ms: middle(|slice| slice.p99_ms) }
}

/// With changes over without: the median of the pairs' own ratios, since what else disturbs a pair disturbs both halves.
pub fn ratio(pairs: &[Pair], part: fn(Slice) -> f64) -> f64 {
    median(&pairs.iter().map(|pair| part(pair.changing) / part(pair.quiet)).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_counts_in_the_slice_that_it_was_due_in() {
        let slices = Slices { pairs: 2, length: Duration::from_secs(2) };
        let of = |millis| slices.of(Duration::from_millis(millis));
        assert_eq!([of(0), of(999), of(1_299), of(1_300)], [None, None, None, Some(0)]);
        assert_eq!([of(2_999), of(3_000), of(3_300), of(8_999)], [Some(0), None, Some(1), Some(3)]);
        assert_eq!((of(9_500), slices.whole()), (None, Duration::from_secs(9)));
        assert_eq!(slices.disturbed().map(|begin| begin.as_secs()).collect::<Vec<_>>(), [3, 7]);
    }

    #[test]
    fn a_disturbed_pair_changes_no_ratio() {
        let slices = Slices { pairs: 3, length: Duration::from_secs(1) };
        let mut latencies = Latencies::new(slices).expect("sound bounds");
        for (pair, slow) in [(0, 1), (1, 10), (2, 1)] {
            for (half, millis) in [(0, 10), (1, 12)] {
                let due = Duration::from_millis(1_500 + 1_000 * (2 * pair + half));
                latencies.enter(due, Duration::from_millis(millis * slow));
            }
        }
        let pairs = latencies.pairs();
        assert!((ratio(&pairs, |slice| slice.p99_ms) - 1.2).abs() < 0.01, "{pairs:?}");
        assert!((medians(&pairs, |pair| pair.quiet).p50_ms - 10.0).abs() < 0.1, "{pairs:?}");
    }
}
