//! `ewma`: the one that is expected to answer first, by how long it took of late and how many wait there already.
//!
//! The idea is Finagle's "peak EWMA": an average that forgets exponentially, but rises at once.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use rand::Rng;

use super::{Candidates, Choose, Request, Settings, peers::Peers};

/// After which time what was counts for 1/e.
const MEMORY: Duration = Duration::from_secs(10);
/// What is expected of one that nothing is known of, while it answers a first request: longer than anything known.
const UNKNOWN: f64 = 1e12;

/// How long the answers of one candidate took of late. Without a lock: of two cores that note something in the same
/// moment, one comes after the other.
#[derive(Debug, Default)]
pub struct Latency(AtomicU64);

/// What a [`Latency`] holds: the average (the lower half, zero where nothing is known) and when it was last noted.
#[derive(Clone, Copy, Debug)]
struct Average {
    micros: f32,
    /// In milliseconds; over after 49 days, and begins again.
    at: u32,
}

/// Remembers nothing: the latencies are the candidates'.
#[derive(Debug)]
pub(super) struct Ewma;

impl Choose for Ewma {
    const MEASURES: bool = true;

    fn new(_: &Settings) -> Self {
        Ewma
    }

    /// One that nothing is known of gets one request at a time.
    fn choose<C: Candidates, R: Rng>(&self, request: &mut Request<'_, R>, candidates: &C) -> Option<usize> {
        let peers = Peers::of(candidates)?;
        Some(peers.least(|position| {
            let load = candidates.load(position);
            let in_flight = load.in_flight() as f64;
            let cost = match load.latency().expected(request.now, in_flight == 0.0) {
                Some(micros) => micros * (in_flight + 1.0),
                None => UNKNOWN * in_flight,
            };
            cost / peers.weight(position)
        }))
    }
}

impl Latency {
    /// Notes how long an answer took that comes `now`.
    pub fn note(&self, took: Duration, now: Duration) {
        let (micros, at) = ((took.as_secs_f32() * 1e6).max(1.0), millis(now));
        let noted = |old| match Average::of(old) {
            Some(old) if micros < old.micros => {
                let kept = old.kept(at);
                Some(Average { micros: old.micros * kept + micros * (1.0 - kept), at }.bits())
            }
            _ => Some(Average { micros, at }.bits()),
        };
        let _always_some = self.0.fetch_update(Relaxed, Relaxed, noted);
    }

    /// In microseconds, if something is known. Who is idle is forgotten slowly, so that he is asked again.
    fn expected(&self, now: Duration, is_idle: bool) -> Option<f64> {
        let average = Average::of(self.0.load(Relaxed))?;
        let kept = if is_idle { average.kept(millis(now)) } else { 1.0 };
        Some((average.micros * kept).into())
    }
}

impl Average {
    fn of(bits: u64) -> Option<Self> {
        let average = Average { micros: f32::from_bits(bits as u32), at: (bits >> 32) as u32 };
        (average.micros > 0.0).then_some(average)
    }

    fn bits(self) -> u64 {
        u64::from(self.at) << 32 | u64::from(self.micros.to_bits())
    }

    /// How much it still counts. Who is a moment behind has seen no time go by.
    fn kept(self, now: u32) -> f32 {
        let gone = (now.wrapping_sub(self.at) as i32).max(0);
        (-(gone as f32) / MEMORY.as_millis() as f32).exp()
    }
}

fn millis(moment: Duration) -> u32 {
    moment.as_millis() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn expected(latency: &Latency, now: Duration) -> f64 {
        latency.expected(now, false).unwrap()
    }

    #[test]
    fn it_rises_at_once_and_falls_slowly() {
        let latency = Latency::default();
        assert!(latency.expected(ms(0), true).is_none());
        latency.note(ms(10), ms(1000));
        latency.note(ms(50), ms(1001));
        assert_eq!(expected(&latency, ms(1001)), 50_000.0);
        latency.note(ms(10), ms(1001));
        assert_eq!(expected(&latency, ms(1001)), 50_000.0, "in no time nothing is forgotten");
        latency.note(ms(10), ms(11_001));
        let fallen = 10_000.0 + 40_000.0 / std::f64::consts::E;
        assert!((expected(&latency, ms(11_001)) - fallen).abs() < 10.0);
    }

    #[test]
    fn many_answers_within_a_moment_are_not_lost_in_rounding() {
        let latency = Latency::default();
        latency.note(ms(100), ms(0));
        (1..30_000).for_each(|now| latency.note(Duration::from_micros(100), ms(now)));
        assert!((4000.0..6000.0).contains(&expected(&latency, ms(30_000))), "{latency:?}");
    }

    #[test]
    fn only_who_is_idle_is_forgotten() {
        let latency = Latency::default();
        latency.note(ms(50), ms(0));
        assert_eq!(latency.expected(ms(60_000), false), Some(50_000.0));
        assert!(latency.expected(ms(60_000), true).unwrap() < 150.0);
        latency.note(ms(50), ms(60_000));
        assert_eq!(latency.expected(ms(59_900), true), Some(50_000.0), "a clock that is a tick behind");
    }
}
