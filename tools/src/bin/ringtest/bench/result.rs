//! From the rounds to what they come to: medians, and ratios. Pure.
//!
//! A ratio is the median of the rounds' own ratios, not the ratio of medians: the subjects of a round ran within seconds of
//! each other, so what disturbs a round disturbs all of it.

use ringkeeper_tools::{
    assertion::Measure,
    load::{Protocol, Rate},
    stats::median,
};
use serde::Serialize;

use super::{subject::Subject, turn::Reading, workload::Workload};

/// The workload at which the relay is the measure.
const FLOOR: &str = "get-64";

/// What one subject came to at one workload in one round.
#[derive(Clone, Debug, Serialize)]
pub struct Sample {
    /// The workload's name.
    pub workload: &'static str,
    /// Who it was.
    pub subject: Subject,
    /// The round.
    pub round: usize,
    /// What it came to.
    #[serde(flatten)]
    pub numbers: Numbers,
}

/// The numbers of a round, or their medians.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Numbers {
    /// Processor time for each request in microseconds, at the rate that all manage.
    pub cpu_us: f64,
    /// The same at full load.
    pub cpu_us_full: f64,
    /// At full load.
    pub requests_per_second: f64,
    /// How much of its core it used at full load.
    pub core_busy_full: f64,
    /// Latencies at the rate that all manage.
    pub p50_ms: f64,
    /// The same.
    pub p99_ms: f64,
    /// The same.
    #[serde(rename = "p99.9_ms")]
    pub p999_ms: f64,
    /// Resident memory at full load, in MiB.
    pub rss_mib: f64,
    /// Failed requests, of both.
    pub failed: f64,
}

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The workload's name.
    pub workload: &'static str,
    /// Who it was.
    pub subject: Subject,
    /// The requests per second that all manage.
    pub rate: f64,
    /// Medians of the rounds; of failures the sum.
    #[serde(flatten)]
    pub numbers: Numbers,
    /// `cpu_us` over HAProxy's.
    pub cpu_over_haproxy: Option<f64>,
    /// `cpu_us_full` over HAProxy's.
    pub cpu_full_over_haproxy: Option<f64>,
}

/// What was measured, and at which rates.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Results {
    #[serde(skip)]
    rates: Vec<(Workload, Rate)>,
    /// Each round of each.
    pub samples: Vec<Sample>,
}

/// What a number of a sample is.
type Part = fn(&Numbers) -> f64;

impl Numbers {
    /// Of a turn at full load and one at the rate that all manage.
    pub fn of(full: &Reading, steady: &Reading) -> Self {
        Numbers {
            cpu_us: steady.cpu_us(),
            cpu_us_full: full.cpu_us(),
            requests_per_second: full.per_second(),
            core_busy_full: full.busy(),
            p50_ms: steady.millis(50.0),
            p99_ms: steady.millis(99.0),
            p999_ms: steady.millis(99.9),
            rss_mib: full.resident as f64 / f64::from(1 << 20),
            failed: (full.failed + steady.failed) as f64,
        }
    }
}

impl Results {
    /// Nothing yet, of these workloads at these rates.
    pub fn new(rates: Vec<(Workload, Rate)>) -> Self {
        Results { rates, samples: Vec::new() }
    }

    /// The workloads with the rates that all manage.
    pub fn rates(&self) -> &[(Workload, Rate)] {
        &self.rates
    }

    /// Every workload's subjects, in order.
    pub fn rows(&self) -> Vec<Row> {
        let of = |(workload, rate): &(Workload, Rate)| {
            let (name, rate) = (workload.name, rate.per_second());
            Subject::ALL.into_iter().filter_map(move |subject| self.row(name, subject, rate))
        };
        self.rates.iter().flat_map(of).collect()
    }

    fn row(&self, workload: &'static str, subject: Subject, rate: f64) -> Option<Row> {
        let all: Vec<&Numbers> = self.of(workload, subject).map(|sample| &sample.numbers).collect();
        let middle = |part: Part| median(&all.iter().map(|numbers| part(numbers)).collect::<Vec<_>>());
        let numbers = Numbers {
            cpu_us: middle(|numbers| numbers.cpu_us),
            cpu_us_full: middle(|numbers| numbers.cpu_us_full),
            requests_per_second: middle(|numbers| numbers.requests_per_second),
            core_busy_full: middle(|numbers| numbers.core_busy_full),
            p50_ms: middle(|numbers| numbers.p50_ms),
            p99_ms: middle(|numbers| numbers.p99_ms),
            p999_ms: middle(|numbers| numbers.p999_ms),
            rss_mib: middle(|numbers| numbers.rss_mib),
            failed: all.iter().map(|numbers| numbers.failed).sum(),
        };
        let over = |part: Part| self.ratio(workload, (subject, Subject::HaProxy), part);
        let cpu_over_haproxy = over(|numbers| numbers.cpu_us);
        let cpu_full_over_haproxy = over(|numbers| numbers.cpu_us_full);
        let row = Row { workload, subject, rate, numbers, cpu_over_haproxy, cpu_full_over_haproxy };
        (!all.is_empty()).then_some(row)
    }

    fn of(&self, workload: &str, subject: Subject) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(move |sample| sample.workload == workload && sample.subject == subject)
    }

    /// One subject's number over the other's; `None` where either has no round.
    pub fn ratio(&self, workload: &str, (one, other): (Subject, Subject), part: Part) -> Option<f64> {
        let of_round = |sample: &Sample| {
            let beside = self.of(workload, other).find(|beside| beside.round == sample.round)?;
            Some(part(&sample.numbers) / part(&beside.numbers))
        };
        let ratios: Vec<f64> = self.of(workload, one).filter_map(of_round).collect();
        (!ratios.is_empty()).then(|| median(&ratios))
    }

    /// What may be demanded of Ringkeeper with HTTP/1.1, as far as its peers are there.
    pub fn measures(&self) -> Vec<Measure> {
        let over = |other: Subject, part: Part| -> Vec<f64> {
            let of = |(workload, _): &(Workload, Rate)| {
                self.ratio(workload.name, (Subject::Ringkeeper, other), part)
            };
            let counts = |(workload, _): &&(Workload, Rate)| workload.protocol == Protocol::Http1;
            self.rates.iter().filter(counts).filter_map(of).collect()
        };
        let cpu: Part = |numbers| numbers.cpu_us;
        let (haproxy, nginx) = (over(Subject::HaProxy, cpu), over(Subject::Nginx, cpu));
        let relay = self.ratio(FLOOR, (Subject::Ringkeeper, Subject::Relay), cpu);
        let full = over(Subject::HaProxy, |numbers| numbers.cpu_us_full);
        let values = [
            mean_of_ratios(&haproxy),
            mean_of_ratios(&full),
            most(&haproxy),
            most(&nginx),
            relay,
            most(&over(Subject::HaProxy, |numbers| numbers.p99_ms)),
            most(&over(Subject::HaProxy, |numbers| numbers.rss_mib)),
        ];
        let named = NAMES.into_iter().zip(values);
        named.filter_map(|(name, value)| Some(Measure::number(name, value?))).collect()
    }
}

/// The names of the measures: the first two are means over the workloads, of the others it is the worst that counts.
const NAMES: [&str; 7] = [
    "cpu_over_haproxy",
    "cpu_full_over_haproxy",
    "cpu_over_haproxy_most",
    "cpu_over_nginx_most",
    "cpu_over_relay",
    "p99_over_haproxy_most",
    "rss_over_haproxy_most",
];

/// The measures that there may be, before there are any.
pub fn names() -> Vec<Measure> {
    NAMES.map(|name| Measure::number(name, 0.0)).into()
}

/// The geometric mean.
fn mean_of_ratios(ratios: &[f64]) -> Option<f64> {
    let logarithms = ratios.iter().map(|ratio| ratio.ln()).sum::<f64>();
    (!ratios.is_empty()).then(|| (logarithms / ratios.len() as f64).exp())
}

fn most(ratios: &[f64]) -> Option<f64> {
    ratios.iter().copied().reduce(f64::max)
}

#[cfg(test)]
mod tests {
    use super::{super::workload, *};

    fn sample(workload: &'static str, subject: Subject, round: usize, cpu_us: f64) -> Sample {
        let numbers = Numbers {
            cpu_us,
            cpu_us_full: 1.0,
            requests_per_second: 1.0,
            core_busy_full: 1.0,
            p50_ms: 1.0,
            p99_ms: 1.0,
            p999_ms: 1.0,
            rss_mib: 1.0,
            failed: 0.0,
        };
        Sample { workload, subject, round, numbers }
    }

    fn results() -> Results {
        let rate: Rate = "10".parse().expect("a rate");
        let rates = ["get-8", "get-64"].map(|name| (Workload::named(name).expect("known"), rate));
        let mut results = Results::new(rates.into());
        // The second round is disturbed: everything takes ten times as long.
        for (round, slow) in [(1, 1.0), (2, 10.0), (3, 1.0)] {
            for (workload, ours) in [("get-8", 8.0), ("get-64", 5.0)] {
                results.samples.push(sample(workload, Subject::Ringkeeper, round, ours * slow));
                results.samples.push(sample(workload, Subject::HaProxy, round, 10.0 * slow));
            }
        }
        results
    }

    #[test]
    fn a_disturbed_round_changes_no_ratio() {
        let rows = results().rows();
        assert_eq!(rows.len(), 4, "two subjects at two workloads");
        assert_eq!((rows[0].subject, rows[0].numbers.cpu_us), (Subject::Ringkeeper, 8.0));
        assert_eq!((rows[0].cpu_over_haproxy, rows[1].cpu_over_haproxy), (Some(0.8), Some(1.0)));
    }

    #[test]
    fn demands_are_about_the_peers_that_were_there() {
        let measures = results().measures();
        let found: Vec<&str> = measures.iter().map(|measure| measure.name.as_str()).collect();
        let wanted = [
            "cpu_over_haproxy",
            "cpu_full_over_haproxy",
            "cpu_over_haproxy_most",
            "p99_over_haproxy_most",
            "rss_over_haproxy_most",
        ];
        assert_eq!(found, wanted);
        assert!(
            (measures[0].value - 0.4_f64.sqrt()).abs() < 1e-9 && measures[2].value == 0.8,
            "{measures:?}"
        );
        assert!(workload::ALL.iter().any(|workload| workload.name == FLOOR));
    }
}
