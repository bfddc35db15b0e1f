//! What a script demands of numbers: `failed==0`, `p99<20ms`. Pure.

use std::{fmt, str::FromStr, time::Duration};

/// A number with its name.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    /// Its name in assertions.
    pub name: String,
    /// Its value; a time is in milliseconds.
    pub value: f64,
    /// What it counts.
    pub unit: Unit,
}

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things, or nothing.
    Number,
    /// Time, in milliseconds.
    Time,
}

impl Measure {
    /// A number that is no time.
    pub fn number(name: impl Into<String>, value: f64) -> Self {
        Measure { name: name.into(), value, unit: Unit::Number }
    }

    /// A time in milliseconds.
    pub fn time(name: impl Into<String>, millis: f64) -> Self {
        Measure { name: name.into(), value: millis, unit: Unit::Time }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.unit {
            Unit::Number => write!(f, "{}", round(self.value)),
            Unit::Time => write!(f, "{}ms", round(self.value)),
        }
    }
}

/// A demand such as `max_over_mean<1.05`.
#[derive(Clone, Debug, PartialEq)]
pub struct Assertion {
    text: String,
    name: String,
    comparison: Comparison,
    value: f64,
    unit: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Less,
    AtMost,
    Equal,
    Different,
    AtLeast,
    More,
}

/// The longer ones first, since some of the shorter ones begin them.
const COMPARISONS: [(&str, Comparison); 6] = [
    ("<=", Comparison::AtMost),
    (">=", Comparison::AtLeast),
    ("==", Comparison::Equal),
    ("!=", Comparison::Different),
    ("<", Comparison::Less),
    (">", Comparison::More),
];

/// Why a text is not an [`Assertion`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an assertion is NAME, one of < <= == != >= >, and a number or a time, such as failed==0 or p99<20ms"
)]
pub struct AssertionError;

/// Why an assertion cannot be about what was measured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// Nothing has that name.
    #[error("'{text}': nothing is called '{name}'; there are {known}")]
    Unknown {
        /// The assertion.
        text: String,
        /// The name in it.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// A time is compared with a number, or the other way round.
    #[error("'{text}': {name} is a {is}, so compare it with {example}")]
    Unit {
        /// The assertion.
        text: String,
        /// The name in it.
        name: String,
        /// What it counts.
        is: &'static str,
        /// What it may be compared with.
        example: &'static str,
    },
}

impl Assertion {
    /// Whether it can be about these measures at all.
    pub fn fits(&self, measures: &[Measure]) -> Result<(), Mismatch> {
        self.find(measures).map(|_| ())
    }

    /// Nothing where it holds of the one with its name; else a line that says what is the case.
    pub fn broken_by(&self, measures: &[Measure]) -> Result<Option<String>, Mismatch> {
        let measure = self.find(measures)?;
        let holds = self.comparison.holds(measure.value, self.value);
        Ok((!holds).then(|| format!("{} does not hold: {} is {measure}", self.text, self.name)))
    }

    fn find<'a>(&self, measures: &'a [Measure]) -> Result<&'a Measure, Mismatch> {
        let (text, name) = (self.text.clone(), self.name.clone());
        let Some(measure) = measures.iter().find(|measure| measure.name == self.name) else {
            let known: Vec<&str> = measures.iter().map(|measure| measure.name.as_str()).collect();
            return Err(Mismatch::Unknown { text, name, known: known.join(", ") });
        };
        match (measure.unit, self.unit) {
            (Unit::Time, Unit::Number) => {
                Err(Mismatch::Unit { text, name, is: "time", example: "one, such as 20ms" })
            }
            (Unit::Number, Unit::Time) => {
                Err(Mismatch::Unit { text, name, is: "number", example: "one, such as 20" })
            }
            _ => Ok(measure),
        }
    }
}

impl Comparison {
    fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Comparison::Less => left < right,
            Comparison::AtMost => left <= right,
            Comparison::Equal => left == right,
            Comparison::Different => left != right,
            Comparison::AtLeast => left >= right,
            Comparison::More => left > right,
        }
    }
}

impl FromStr for Assertion {
    type Err = AssertionError;

    fn from_str(text: &str) -> Result<Self, AssertionError> {
        let at = text.find(['<', '>', '=', '!']).ok_or(AssertionError)?;
        let (name, rest) = text.split_at(at);
        let (sign, comparison) =
            COMPARISONS.into_iter().find(|(sign, _)| rest.starts_with(sign)).ok_or(AssertionError)?;
        let value = rest[sign.len()..].trim();
        let (value, unit) = quantity(value).ok_or(AssertionError)?;
        let name = name.trim();
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(AssertionError);
        }
        Ok(Assertion { text: text.trim().to_owned(), name: name.to_owned(), comparison, value, unit })
    }
}

impl fmt::Display for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A number, or a time such as `1.5ms`, `250us` or `1s 500ms`.
fn quantity(text: &str) -> Option<(f64, Unit)> {
    if let Some(number) = text.parse::<f64>().ok().filter(|number| number.is_finite()) {
        return Some((number, Unit::Number));
    }
    let decimals = [("ms", 1.0), ("us", 1e-3), ("µs", 1e-3), ("s", 1e3)];
    let simple = decimals.iter().find_map(|(unit, millis)| {
        let number: f64 = text.strip_suffix(unit)?.trim().parse().ok()?;
        (number.is_finite() && number >= 0.0).then_some(number * millis)
    });
    let composed = || humantime::parse_duration(text).ok().map(|time: Duration| time.as_secs_f64() * 1e3);
    simple.or_else(composed).map(|millis| (millis, Unit::Time))
}

fn round(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measures() -> Vec<Measure> {
        vec![
            Measure::number("failed", 2.0),
            Measure::number("max_over_mean", 1.04),
            Measure::time("p99", 19.5),
        ]
    }

    fn broken(text: &str) -> Option<String> {
        text.parse::<Assertion>().expect(text).broken_by(&measures()).expect("a known name")
    }

    #[test]
    fn what_holds_says_nothing_and_what_does_not_says_what_is_the_case() {
        for holds in
            ["max_over_mean<1.05", "failed == 2", "p99<20ms", "p99 <= 0.0195s", "p99>19000us", "failed!=0"]
        {
            assert_eq!(broken(holds), None, "{holds}");
        }
        assert_eq!(broken("failed==0").as_deref(), Some("failed==0 does not hold: failed is 2"));
        assert_eq!(broken(" p99<1ms 500us ").as_deref(), Some("p99<1ms 500us does not hold: p99 is 19.5ms"));
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let assertion: Assertion = "p98<1ms".parse().expect("well formed");
        let error = assertion.fits(&measures()).expect_err("unknown").to_string();
        assert_eq!(error, "'p98<1ms': nothing is called 'p98'; there are failed, max_over_mean, p99");
    }

    #[test]
    fn a_time_is_not_compared_with_a_number() {
        let fits =
            |text: &str| text.parse::<Assertion>().expect(text).fits(&measures()).map_err(|e| e.to_string());
        assert_eq!(
            fits("p99<20"),
            Err("'p99<20': p99 is a time, so compare it with one, such as 20ms".into())
        );
        assert_eq!(
            fits("failed<20ms"),
            Err("'failed<20ms': failed is a number, so compare it with one, such as 20".into())
        );
    }

    #[test]
    fn what_is_no_assertion_is_refused() {
        for bad in [
            "",
            "failed",
            "failed=0",
            "==0",
            "failed==",
            "failed==many",
            "failed<NaN",
            "a b<1",
            "p99<-1ms",
            "p99=<1",
        ] {
            assert!(bad.parse::<Assertion>().is_err(), "{bad}");
        }
    }
}
