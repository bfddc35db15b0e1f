//! What a candidate has to do, and what policies remember of it.

use std::sync::atomic::{
    AtomicU64, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};

use crossbeam_utils::CachePadded;

use super::{Credit, Latency};

/// The bits of a [`Flow`] that say how much is pending.
const PENDING: u64 = (1 << 20) - 1;
/// One that was dispatched, in a [`Flow`].
const DISPATCHED: u64 = PENDING + 1;
/// What may be pending where nothing else bounds it: so much that no number of cores that begin one more at the same
/// moment goes over what a [`Flow`] holds.
const MOST: u64 = PENDING - 4096;

/// What one candidate has to do, and what policies remember of it. Every request changes it, so it has cache lines of its
/// own. The numbers are those of the whole balancer, not of a core.
#[derive(Debug, Default)]
pub struct Load(CachePadded<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// A [`Flow`].
    flow: AtomicU64,
    /// The most that were ever pending.
    peak: AtomicUsize,
    credit: Credit,
    latency: Latency,
    /// Responses, by the first digit of their status; those without one of the five come first.
    answers: [AtomicU64; 6],
}

/// The requests of a candidate in one reading: those that chose it are those that have ended and those that have not.
/// They are counted up to 2⁴⁴, and then begin again at 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow(u64);

impl Load {
    /// Requests that chose it and have not ended yet.
    pub fn in_flight(&self) -> usize {
        self.flow().pending() as usize
    }

    /// All that chose it, and how many of them have not ended yet.
    pub fn flow(&self) -> Flow {
        Flow(self.0.flow.load(SeqCst))
    }

    /// Counts one that chose it, and is pending until it [ends](Self::end); returns how many came before. Does nothing
    /// where `most` are pending. There are never more, not for a moment.
    pub fn begin(&self, most: usize) -> Option<u64> {
        let before = Flow(match most {
            usize::MAX => self.begin_always()?,
            most => self.begin_below((most as u64).min(MOST))?,
        });
        let in_flight = before.pending() as usize + 1;
        if in_flight > self.0.peak.load(Relaxed) {
            self.0.peak.fetch_max(in_flight, Relaxed);
        }
        Some(before.dispatched())
    }

    fn begin_always(&self) -> Option<u64> {
        let before = self.0.flow.fetch_add(DISPATCHED + 1, SeqCst);
        if Flow(before).pending() >= MOST {
            self.withdraw();
            return None;
        }
        Some(before)
    }

    fn begin_below(&self, most: u64) -> Option<u64> {
        let begun = |now| (Flow(now).pending() < most).then(|| now + DISPATCHED + 1);
        self.0.flow.fetch_update(SeqCst, SeqCst, begun).ok()
    }

    /// Counts one as ended, and another as begun in its place; returns how many came before.
    pub fn pass_on(&self) -> u64 {
        Flow(self.0.flow.fetch_add(DISPATCHED, SeqCst)).dispatched()
    }

    /// Counts one as ended.
    pub fn end(&self) {
        self.0.flow.fetch_sub(1, SeqCst);
    }

    /// Takes back one that was begun, as if it had never been.
    pub fn withdraw(&self) {
        self.0.flow.fetch_sub(DISPATCHED + 1, SeqCst);
    }

    /// The most that were ever in flight.
    pub fn peak(&self) -> usize {
        self.0.peak.load(Relaxed)
    }

    /// Counts a response with this status.
    pub fn count_answer(&self, status: u16) {
        let class = usize::from(status / 100);
        self.0.answers[if class < 6 { class } else { 0 }].fetch_add(1, Relaxed);
    }

    /// Responses by the first digit of their status, from 1 to 5; before them those with none of these.
    pub fn answers(&self) -> [u64; 6] {
        self.0.answers.each_ref().map(|count| count.load(Relaxed))
    }

    /// What `weighted-round-robin` owes it.
    pub fn credit(&self) -> &Credit {
        &self.0.credit
    }

    /// How fast it answers, where somebody measures that.
    pub fn latency(&self) -> &Latency {
        &self.0.latency
    }
}

impl Flow {
    /// All that chose it.
    pub fn dispatched(self) -> u64 {
        self.0 / DISPATCHED
    }

    /// Those that have ended.
    pub fn completed(self) -> u64 {
        self.dispatched().wrapping_sub(self.pending()) & (u64::MAX / DISPATCHED)
    }

    /// Those that have not ended.
    pub fn pending(self) -> u64 {
        self.0 & PENDING
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::atomic::AtomicBool, thread};

    use super::*;

    /// While some begin and end or take back, others read.
    #[test]
    fn what_was_dispatched_is_what_ended_and_what_is_pending_at_every_reading() {
        const EACH: u64 = 50_000;
        let (load, done) = (Load::default(), AtomicBool::new(false));
        let work = |core: u64| {
            for turn in 0..EACH {
                let most = if core.is_multiple_of(2) { usize::MAX } else { 2 };
                let Some(_number) = load.begin(most) else { continue };
                match turn % 5 {
                    0 => load.withdraw(),
                    _ => load.end(),
                }
            }
        };
        let read = || {
            let mut ended = 0;
            while !done.load(SeqCst) {
                let flow = load.flow();
                assert_eq!(flow.dispatched(), flow.completed() + flow.pending());
                assert!(flow.completed() >= ended && flow.pending() <= 4, "{flow:?} after {ended}");
                ended = flow.completed();
            }
        };
        thread::scope(|scope| {
            let reader = scope.spawn(read);
            let workers: Vec<_> = (0..4).map(|core| scope.spawn(move || work(core))).collect();
            workers.into_iter().for_each(|worker| worker.join().unwrap());
            done.store(true, SeqCst);
            reader.join().unwrap();
        });
        assert_eq!(load.in_flight(), 0);
        assert!((2 * EACH * 4 / 5..=4 * EACH * 4 / 5).contains(&load.flow().dispatched()), "{load:?}");
        assert!((1..=4).contains(&load.peak()));
    }

    #[test]
    fn one_that_is_taken_back_was_never_there_and_a_number_says_how_many_came_before() {
        let load = Load::default();
        assert_eq!([load.begin(2), load.begin(2), load.begin(2)], [Some(0), Some(1), None]);
        load.withdraw();
        assert_eq!((load.flow().dispatched(), load.flow().pending()), (1, 1));
        assert_eq!(load.begin(usize::MAX), Some(1));
        load.end();
        load.end();
        assert_eq!((load.flow().dispatched(), load.flow().pending(), load.peak()), (2, 0, 2));
    }

    #[test]
    fn nobody_has_more_than_the_count_holds() {
        let load = Load::default();
        assert!((0..MOST).all(|_| load.begin(usize::MAX).is_some()));
        assert_eq!((load.begin(usize::MAX), load.begin(usize::MAX - 1)), (None, None));
        assert_eq!((load.flow().dispatched(), load.flow().pending()), (MOST, MOST));
    }

    #[test]
    fn it_begins_again_after_more_than_anybody_counts_and_keeps_what_is_pending() {
        let load = Load::default();
        load.0.flow.store(u64::MAX - PENDING + 7, SeqCst);
        assert_eq!(load.begin(usize::MAX), Some((1 << 44) - 1));
        assert_eq!((load.flow().dispatched(), load.flow().pending()), (0, 8));
    }

    #[test]
    fn answers_are_told_apart_by_the_first_digit_of_their_status() {
        let load = Load::default();
        for status in [101, 200, 204, 304, 404, 500, 503, 999, 42] {
            load.count_answer(status);
        }
        assert_eq!(load.answers(), [2, 1, 2, 1, 1, 2]);
    }
}
