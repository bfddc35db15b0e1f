//! From the rounds to what they come to: medians. Pure.

use ringkeeper_tools::{assertion::Measure, stats::median};
use serde::Serialize;

use super::{
    super::bench::subject::Subject,
    rules::{self, Rule},
};

/// What one subject came to with one rule in one round.
#[derive(Clone, Debug, Serialize)]
pub struct Sample {
    /// Ringkeeper's policy that the rule is nearest to.
    pub policy: &'static str,
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
    /// The most in flight at one origin as a multiple of the mean, at the worst of all dispatches.
    pub worst: f64,
    /// What 99 of 100 dispatches stay within.
    #[serde(rename = "p99")]
    pub p99: f64,
    /// On average.
    pub average: f64,
    /// How many were in flight at an origin on average.
    pub in_flight: f64,
    /// How long requests took.
    pub p50_ms: f64,
    /// The same.
    pub p99_ms: f64,
    /// How many were answered.
    pub requests_per_second: f64,
    /// Failed requests.
    pub failed: f64,
}

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Ringkeeper's policy that the rule is nearest to.
    pub policy: &'static str,
    /// Who it was.
    pub subject: Subject,
    /// What it was told.
    pub rule: String,
    /// Medians of the rounds; of failures the sum.
    #[serde(flatten)]
    pub numbers: Numbers,
}

/// What was measured.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Results {
    /// Each round of each.
    pub samples: Vec<Sample>,
}

/// Those who have policies.
pub const SUBJECTS: [Subject; 3] = [Subject::Ringkeeper, Subject::HaProxy, Subject::Nginx];

impl Results {
    /// Every policy's subjects, in order.
    pub fn rows(&self) -> Vec<Row> {
        let of = |rule: Rule| SUBJECTS.into_iter().filter_map(move |subject| self.row(&rule, subject));
        rules::ALL.into_iter().flat_map(of).collect()
    }

    /// One of them.
    pub fn row(&self, rule: &Rule, subject: Subject) -> Option<Row> {
        let is = |sample: &&Sample| sample.policy == rule.policy && sample.subject == subject;
        let all: Vec<&Numbers> = self.samples.iter().filter(is).map(|sample| &sample.numbers).collect();
        let middle =
            |part: fn(&Numbers) -> f64| median(&all.iter().map(|numbers| part(numbers)).collect::<Vec<_>>());
        let numbers = Numbers {
            worst: middle(|numbers| numbers.worst),
            p99: middle(|numbers| numbers.p99),
            average: middle(|numbers| numbers.average),
            in_flight: middle(|numbers| numbers.in_flight),
            p50_ms: middle(|numbers| numbers.p50_ms),
            p99_ms: middle(|numbers| numbers.p99_ms),
            requests_per_second: middle(|numbers| numbers.requests_per_second),
            failed: all.iter().map(|numbers| numbers.failed).sum(),
        };
        let row = Row { policy: rule.policy, subject, rule: rule.words(subject)?, numbers };
        (!all.is_empty()).then_some(row)
    }

    /// What may be demanded of Ringkeeper.
    pub fn measures(&self) -> Vec<Measure> {
        let own = self.rows().into_iter().filter(|row| row.subject == Subject::Ringkeeper);
        own.flat_map(|row| measures(row.policy, row.numbers.worst, row.numbers.p99_ms)).collect()
    }
}

/// The measures that there may be, before there are any.
pub fn names() -> Vec<Measure> {
    rules::ALL.iter().flat_map(|rule| measures(rule.policy, 0.0, 0.0)).collect()
}

fn measures(policy: &str, worst: f64, p99: f64) -> [Measure; 2] {
    let name = policy.replace('-', "_");
    [Measure::number(format!("{name}_worst"), worst), Measure::time(format!("{name}_p99"), p99)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disturbed_round_changes_nothing() {
        let numbers = |worst: f64| Numbers {
            worst,
            p99: 1.0,
            average: 1.0,
            in_flight: 50.0,
            p50_ms: 1.0,
            p99_ms: 100.0 * worst,
            requests_per_second: 1.0,
            failed: 1.0,
        };
        let sample = |round, worst| Sample {
            policy: "bounded-ring",
            subject: Subject::Ringkeeper,
            round,
            numbers: numbers(worst),
        };
        let results = Results { samples: vec![sample(1, 1.26), sample(2, 9.0), sample(3, 1.28)] };
        let rows = results.rows();
        assert_eq!((rows.len(), rows[0].numbers.worst, rows[0].numbers.failed), (1, 1.28, 3.0));
        let measures = results.measures();
        let found: Vec<&str> = measures.iter().map(|measure| measure.name.as_str()).collect();
        assert_eq!(found, ["bounded_ring_worst", "bounded_ring_p99"]);
        assert!(names().iter().any(|name| name.name == found[0]));
    }
}
