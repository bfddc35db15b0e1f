//! Who is ejected for the requests that it fails, and for how long. Pure.

use std::time::{Duration, Instant};

use crate::name::InstanceId;

/// The longest ejection, unless already the first is longer.
const LONGEST: Duration = Duration::from_secs(600);

/// When replicas are ejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outliers {
    /// Failed requests in a row that eject a replica; 0 for never.
    pub after: u32,
    /// How long the first ejection lasts.
    pub time: Duration,
}

/// The ejections of one instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ejections {
    last: Option<Ejection>,
    lasts: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ejection {
    time: Duration,
    until: Instant,
}

/// A replica of the pool, as far as ejecting goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The instance that plays it.
    pub instance: InstanceId,
    /// Whether it gets requests.
    pub serves: bool,
    /// The requests in a row that it failed.
    pub failures: u32,
    /// Until when it is ejected, if it is.
    pub ejected: Option<Instant>,
}

/// What becomes of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Others are preferred to it from now on.
    Eject,
    /// No longer.
    Readmit,
}

impl Ejections {
    /// Notes an ejection from `now` on and returns how long it lasts: `first`, or twice as long as the one before, where
    /// that was over for less than its own length; 10 minutes at most.
    pub fn begin(&mut self, first: Duration, now: Instant) -> Duration {
        let soon = self.last.filter(|last| now < last.until + last.time);
        let time = soon.map_or(first, |last| last.time.saturating_mul(2).min(LONGEST.max(first)));
        *self = Ejections { last: Some(Ejection { time, until: now + time }), lasts: true };
        time
    }

    /// Notes that it is over `now`, be that early.
    pub fn end(&mut self, now: Instant) {
        self.lasts = false;
        self.last.iter_mut().for_each(|last| last.until = last.until.min(now));
    }

    /// Until when it is ejected; `None` if it is not, or was told to be over.
    pub fn until(&self) -> Option<Instant> {
        self.last.filter(|_| self.lasts).map(|last| last.until)
    }
}

/// Who is to be ejected or readmitted `now`. Never is more than half of the pool ejected, rounded down: who failed the
/// most comes first, then who joined first; and where the pool has become smaller, those are readmitted whose time is
/// over soonest.
pub fn verdicts(pool: &[Candidate], after: u32, now: Instant) -> Vec<(InstanceId, Verdict)> {
    let most = pool.len() / 2;
    let mut ejected: Vec<(Instant, &Candidate)> =
        pool.iter().filter_map(|candidate| Some((candidate.ejected?, candidate))).collect();
    ejected.sort_by_key(|(until, _)| *until);
    let over = ejected.iter().filter(|(until, _)| *until <= now).count();
    let readmitted = over.max(ejected.len().saturating_sub(most));
    let room = most - (ejected.len() - readmitted);
    let fails = |candidate: &&Candidate| {
        candidate.serves && candidate.ejected.is_none() && candidate.failures >= after
    };
    let mut failing: Vec<&Candidate> = pool.iter().filter(fails).filter(|_| after > 0).collect();
    failing.sort_by_key(|candidate| std::cmp::Reverse(candidate.failures));
    let readmitted = ejected[..readmitted].iter().map(|(_, candidate)| (*candidate, Verdict::Readmit));
    let ejected = failing.into_iter().take(room).map(|candidate| (candidate, Verdict::Eject));
    readmitted.chain(ejected).map(|(candidate, verdict)| (candidate.instance.clone(), verdict)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn pool(failures: &[u32]) -> Vec<Candidate> {
        let candidate = |(index, failures): (usize, &u32)| Candidate {
            instance: InstanceId::from_bits(index as u64 + 1),
            serves: true,
            failures: *failures,
            ejected: None,
        };
        failures.iter().enumerate().map(candidate).collect()
    }

    /// The places in the pool of those that are ejected and of those that are readmitted.
    fn decided(pool: &[Candidate], after: u32, now: Instant) -> (Vec<usize>, Vec<usize>) {
        let place = |instance| pool.iter().position(|candidate| candidate.instance == instance).unwrap() + 1;
        let (ejected, readmitted): (Vec<_>, Vec<_>) =
            verdicts(pool, after, now).into_iter().partition(|(_, verdict)| *verdict == Verdict::Eject);
        let places = |list: Vec<(InstanceId, Verdict)>| list.into_iter().map(|(id, _)| place(id)).collect();
        (places(ejected), places(readmitted))
    }

    #[test]
    fn who_fails_so_many_in_a_row_is_ejected_and_with_0_nobody_is() {
        let now = Instant::now();
        assert_eq!(decided(&pool(&[4, 5, 0]), 5, now).0, [2]);
        assert_eq!(decided(&pool(&[4, 5, 0]), 0, now).0, [0; 0]);
        let mut away = pool(&[4, 5, 0]);
        away[1].serves = false;
        assert_eq!(decided(&away, 5, now).0, [0; 0], "who gets no requests is not ejected");
    }

    #[test]
    fn never_more_than_half_rounded_down_and_the_worst_first() {
        let now = Instant::now();
        assert_eq!(decided(&pool(&[9]), 5, now).0, [0; 0]);
        assert_eq!(decided(&pool(&[9, 9, 9]), 5, now).0, [1]);
        assert_eq!(decided(&pool(&[5, 6, 7, 8, 9]), 5, now).0, [5, 4]);
        let mut four = pool(&[5, 6, 0, 9]);
        four[3].ejected = Some(now + SECOND);
        assert_eq!(decided(&four, 5, now), (vec![2], vec![]), "one is ejected, and is not ejected again");
        four[0].ejected = Some(now + SECOND);
        assert_eq!(decided(&four, 5, now), (vec![], vec![]));
    }

    #[test]
    fn whose_time_is_over_is_readmitted_and_makes_room() {
        let now = Instant::now();
        let mut three = pool(&[5, 9, 0]);
        three[1].ejected = Some(now);
        assert_eq!(decided(&three, 5, now), (vec![1], vec![2]));
        three[1].serves = false;
        assert_eq!(decided(&three, 5, now), (vec![1], vec![2]), "who is away, too");
    }

    #[test]
    fn in_a_pool_that_became_smaller_the_soonest_are_readmitted() {
        let now = Instant::now();
        let mut three = pool(&[0, 0, 0]);
        three[0].ejected = Some(now + 2 * SECOND);
        three[2].ejected = Some(now + SECOND);
        assert_eq!(decided(&three, 5, now), (vec![], vec![3]));
        assert_eq!(decided(&three[..1], 5, now), (vec![], vec![1]));
    }

    #[test]
    fn ejections_double_to_10_minutes_and_begin_anew_after_as_long_a_good_time() {
        let (mut ejections, mut now) = (Ejections::default(), Instant::now());
        assert_eq!(ejections.until(), None);
        let mut times = Vec::new();
        for _ in 0..9 {
            let time = ejections.begin(10 * SECOND, now);
            assert_eq!(ejections.until(), Some(now + time));
            now += time;
            ejections.end(now);
            assert_eq!(ejections.until(), None);
            times.push(time.as_secs());
            now += time - SECOND;
        }
        assert_eq!(times, [10, 20, 40, 80, 160, 320, 600, 600, 600]);
        assert_eq!(ejections.begin(10 * SECOND, now + SECOND), 10 * SECOND);
        assert_eq!(Ejections::default().begin(1000 * SECOND, now), 1000 * SECOND);
    }

    #[test]
    fn what_ends_early_is_good_from_then_on() {
        let (mut ejections, now) = (Ejections::default(), Instant::now());
        ejections.begin(10 * SECOND, now);
        ejections.end(now + SECOND);
        assert_eq!(ejections.begin(10 * SECOND, now + 10 * SECOND), 20 * SECOND);
        ejections.end(now + 11 * SECOND);
        assert_eq!(ejections.begin(10 * SECOND, now + 31 * SECOND), 10 * SECOND);
    }
}
