//! One row of the table: numbers from what was sent, and whether they are what is promised. Pure.

use std::{collections::BTreeMap, time::Duration};

use ringkeeper_tools::{load::Failure, stats};
use serde::Serialize;

use super::{
    fault::{Fault, Kind, Promise},
    generator::Sent,
};

/// Latencies are of at least this long after the fault.
const AT_LEAST: Duration = Duration::from_secs(2);

/// What was in front of the replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Front {
    Ringkeeper,
    Haproxy,
    HaproxyTuned,
}

/// Times since the first request was due.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    /// When it was done.
    pub at: Duration,
    /// When it was over.
    pub over: Option<Duration>,
}

/// What became of one fault. What is not known of it, or means nothing, is `null`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    pub fault: String,
    pub in_front: Front,
    /// Of GETs; truncated answers are not among the failed.
    pub requests: u64,
    pub failed: u64,
    pub truncated: u64,
    /// Of the failed ones, by kind.
    pub failures: BTreeMap<String, u64>,
    /// Of GETs that are answered at once and were due from the fault until its last failure and readiness, 2 s at least; to
    /// the end where the fault lasts.
    pub p99_during_ms: f64,
    /// From the fault to when the last request that failed was due.
    pub last_failure_s: Option<f64>,
    /// From the fault until every replica was ready, or the one that misbehaves was out; the longest of several.
    pub ready_again_s: Option<f64>,
    /// What is promised of that.
    pub bound_s: Option<f64>,
    pub posts: u64,
    pub posts_failed: u64,
    pub posts_executed_twice: u64,
    /// What is promised and was not the case.
    pub misses: Vec<String>,
}

impl Front {
    /// As it stands in the table.
    pub fn word(self) -> &'static str {
        match self {
            Front::Ringkeeper => "ringkeeper",
            Front::Haproxy => "haproxy",
            Front::HaproxyTuned => "haproxy-tuned",
        }
    }
}

impl Row {
    /// From what was sent, when the fault happened (where it was there from the beginning, never), and how many POSTs were
    /// executed more than once.
    pub fn new(
        fault: Fault,
        in_front: Front,
        sent: &[Sent],
        moments: &[Moment],
        twice: u64,
        promise: Promise,
    ) -> Self {
        let gets = || sent.iter().filter(|sent| sent.kind != Kind::Post);
        let posts = || sent.iter().filter(|sent| sent.kind == Kind::Post);
        let is_cut = |sent: &&Sent| sent.failure == Some(Failure::Truncated);
        let truncated = gets().filter(is_cut).count() as u64;
        let mut failures = BTreeMap::new();
        for failure in gets().filter(|sent| !is_cut(sent)).filter_map(|sent| sent.failure) {
            *failures.entry(failure.to_string()).or_default() += 1;
        }
        let last_failure = gets().filter(|sent| sent.failure.is_some()).map(|sent| sent.due).max();
        let ours = in_front == Front::Ringkeeper; // how the balancer heals says nothing of who is in front of it
        let ready_again = if ours { slowest(moments) } else { None };
        let window = match fault.lasts() {
            true => (first(moments), Duration::MAX),
            false => window(moments, last_failure, ours),
        };
        let mut row = Row {
            fault: fault.name(),
            in_front,
            requests: gets().count() as u64,
            failed: failures.values().sum(),
            truncated,
            failures,
            p99_during_ms: p99(sent, window).as_secs_f64() * 1e3,
            last_failure_s: last_failure.map(|due| since_last(moments, due).as_secs_f64()),
            ready_again_s: ready_again.map(|time| time.as_secs_f64()),
            bound_s: match promise {
                Promise::Within(bound) if ours => Some(bound.as_secs_f64()),
                _ => None,
            },
            posts: posts().count() as u64,
            posts_failed: posts().filter(|sent| sent.failure.is_some()).count() as u64,
            posts_executed_twice: twice,
            misses: Vec::new(),
        };
        if ours {
            row.misses = row.missed(promise);
        }
        row
    }

    /// What is promised and not the case.
    fn missed(&self, promise: Promise) -> Vec<String> {
        let mut misses = Vec::new();
        let mut expect = |holds: bool, miss: String| {
            if !holds {
                misses.push(miss);
            }
        };
        let kinds: Vec<String> =
            self.failures.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        expect(
            self.failed == 0,
            format!("{} of {} requests failed ({}), bound 0", self.failed, self.requests, kinds.join(", ")),
        );
        expect(self.truncated == 0, format!("{} answers were truncated, bound 0", self.truncated));
        expect(
            self.posts_executed_twice == 0,
            format!("{} POSTs were executed twice, bound 0", self.posts_executed_twice),
        );
        expect(self.posts_failed < self.posts, "no POST was answered".to_owned());
        match (promise, self.ready_again_s) {
            (Promise::Nothing, _) | (Promise::Ever, Some(_)) => {}
            (Promise::Within(bound), Some(time)) => expect(
                time <= bound.as_secs_f64(),
                format!("ready again after {time:.2} s, bound {:.2} s", bound.as_secs_f64()),
            ),
            (Promise::Within(bound), None) => {
                expect(false, format!("not ready again while watched, bound {:.2} s", bound.as_secs_f64()));
            }
            (Promise::Ever, None) => expect(false, "not ready again while watched".to_owned()),
        }
        misses
    }
}

/// The longest from a moment to its end; `None` where one did not end.
fn slowest(moments: &[Moment]) -> Option<Duration> {
    let times: Option<Vec<Duration>> =
        moments.iter().map(|moment| Some(moment.over?.saturating_sub(moment.at))).collect();
    times?.into_iter().max()
}

/// From the last moment before it.
fn since_last(moments: &[Moment], due: Duration) -> Duration {
    let before = moments.iter().map(|moment| moment.at).filter(|at| *at <= due).max();
    due - before.unwrap_or(first(moments).min(due))
}

fn first(moments: &[Moment]) -> Duration {
    moments.first().map_or(Duration::ZERO, |moment| moment.at)
}

/// From the first moment to the end of it all, as far as it concerns who was in front.
fn window(moments: &[Moment], last_failure: Option<Duration>, ours: bool) -> (Duration, Duration) {
    let from = first(moments);
    let over = moments.iter().filter_map(|moment| moment.over).filter(|_| ours);
    let until = over.chain(last_failure).max().unwrap_or_default();
    (from, until.max(from + AT_LEAST))
}

/// Of quick GETs that were due in this time: of answers, and of those that were given up.
fn p99(sent: &[Sent], (from, until): (Duration, Duration)) -> Duration {
    let has_latency =
        |sent: &&Sent| !matches!(sent.failure, Some(Failure::Connect | Failure::Broken | Failure::Truncated));
    let counted = |sent: &&Sent| sent.kind == Kind::Quick && (from..=until).contains(&sent.due);
    let latencies: Vec<f64> =
        sent.iter().filter(counted).filter(has_latency).map(|sent| sent.latency.as_secs_f64()).collect();
    Duration::from_secs_f64(stats::percentile(&latencies, 99.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn sent(kind: Kind, due: u64, latency: u64, failure: Option<Failure>) -> Sent {
        Sent { kind, id: due, due: millis(due), latency: millis(latency), failure }
    }

    fn struck(at: u64, over: Option<u64>) -> Moment {
        Moment { at: millis(at), over: over.map(millis) }
    }

    /// A quick GET each 10 ms for 6 s; those due from `from` on and before `until` fail.
    fn gets(from: u64, until: u64, failure: Failure) -> Vec<Sent> {
        let get = |due| match (from..until).contains(&due) {
            true => sent(Kind::Quick, due, 1, Some(failure)),
            false => sent(Kind::Quick, due, 3, None),
        };
        (0..600).map(|index| get(index * 10)).chain([sent(Kind::Post, 0, 1, None)]).collect()
    }

    fn row(sent: &[Sent], moments: &[Moment], promise: Promise) -> Row {
        Row::new(Fault::Kill, Front::Ringkeeper, sent, moments, 0, promise)
    }

    const SECOND: Promise = Promise::Within(Duration::from_secs(1));

    #[test]
    fn a_row_without_failures_that_is_ready_in_time_keeps_its_promise() {
        let row = row(&gets(0, 0, Failure::Broken), &[struck(2000, Some(2600))], SECOND);
        assert_eq!((row.requests, row.failed, row.posts), (600, 0, 1));
        assert_eq!((row.ready_again_s, row.bound_s, row.last_failure_s), (Some(0.6), Some(1.0), None));
        assert!(row.misses.is_empty(), "{:?}", row.misses);
    }

    #[test]
    fn what_was_promised_and_missed_is_named_with_its_bound() {
        let late = [struck(2000, Some(3250))];
        let failing = row(&gets(2000, 2400, Failure::Status(502)), &late, SECOND);
        assert_eq!((failing.failed, failing.last_failure_s), (40, Some(0.39)));
        assert_eq!(
            failing.misses,
            ["40 of 600 requests failed (40 status 502), bound 0", "ready again after 1.25 s, bound 1.00 s"]
        );
        let cut = row(&gets(2000, 2010, Failure::Truncated), &[struck(2000, None)], Promise::Ever);
        assert_eq!((cut.failed, cut.truncated), (0, 1));
        assert_eq!(cut.misses, ["1 answers were truncated, bound 0", "not ready again while watched"]);
    }

    #[test]
    fn a_post_may_fail_but_not_happen_twice_and_one_at_least_is_answered() {
        let mut all = gets(0, 0, Failure::Broken);
        all.push(sent(Kind::Post, 10, 1, Some(Failure::Status(502))));
        let moments = [struck(2000, Some(2100))];
        let row =
            |sent: &[Sent], twice| Row::new(Fault::Kill, Front::Ringkeeper, sent, &moments, twice, SECOND);
        assert_eq!((row(&all, 0).posts_failed, row(&all, 0).misses.len()), (1, 0));
        assert_eq!(row(&all, 2).misses, ["2 POSTs were executed twice, bound 0"]);
        all.retain(|sent| sent.kind != Kind::Post || sent.failure.is_some());
        assert_eq!(row(&all, 0).misses, ["no POST was answered"]);
    }

    #[test]
    fn of_several_blows_the_slowest_counts_and_a_failure_belongs_to_the_one_before_it() {
        let moments = [struck(1000, Some(1200)), struck(2000, Some(2900)), struck(4000, Some(4100))];
        let row = row(&gets(2010, 2050, Failure::Broken), &moments, SECOND);
        assert_eq!(row.ready_again_s, Some(0.9));
        assert!(row.last_failure_s.is_some_and(|after| (after - 0.04).abs() < 1e-9), "{row:?}");
    }

    #[test]
    fn latencies_are_those_of_quick_requests_from_the_fault_to_its_end() {
        let mut all = gets(0, 0, Failure::Broken);
        let mut p99 = |kind, due: u64, latency, moments: &[Moment]| {
            all.truncate(601);
            all.extend((0..30).map(|index: u64| sent(kind, due + index, latency, None)));
            row(&all, moments, SECOND).p99_during_ms.round()
        };
        assert_eq!(p99(Kind::Quick, 2100, 500, &[struck(2000, Some(2300))]), 500.0);
        assert_eq!(p99(Kind::Slow, 2100, 500, &[struck(2000, Some(2300))]), 3.0);
        assert_eq!(p99(Kind::Quick, 1000, 500, &[struck(2000, Some(2300))]), 3.0, "before");
        assert_eq!(p99(Kind::Quick, 5000, 500, &[struck(2000, Some(2300))]), 3.0, "long after");
        assert_eq!(p99(Kind::Quick, 5000, 500, &[struck(2000, Some(5500))]), 500.0, "not over yet");
    }

    #[test]
    fn of_another_in_front_nothing_is_promised_and_the_balancers_healing_is_not_its_own() {
        let sent = gets(2000, 3000, Failure::Broken);
        let row = Row::new(Fault::Kill, Front::Haproxy, &sent, &[struck(2000, Some(2300))], 3, SECOND);
        assert_eq!((row.ready_again_s, row.bound_s, row.misses.len()), (None, None, 0));
        assert_eq!((row.failed, row.posts_executed_twice), (100, 3));
    }
}
