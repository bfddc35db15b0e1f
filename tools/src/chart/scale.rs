//! From values to places along an axis, and the ticks beside it. Pure.

/// An axis of values.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    from: f64,
    to: f64,
    logarithmic: bool,
    /// Values with what stands beside them.
    pub ticks: Vec<(f64, String)>,
}

impl Scale {
    /// From 0 to `most` or a little more, with about `wanted` round ticks.
    pub fn from_zero(most: f64, wanted: usize) -> Self {
        let most = if most > 0.0 { most } else { 1.0 };
        let step = round_step(most / wanted.max(1) as f64);
        let count = (most / step - 1e-9).ceil() as usize;
        let ticks = (0..=count).map(|k| k as f64 * step).map(|value| (value, number(value))).collect();
        Scale { from: 0.0, to: count as f64 * step, logarithmic: false, ticks }
    }

    /// Exactly from `from` to `to`, with about `wanted` round ticks in it.
    pub fn between(from: f64, to: f64, wanted: usize) -> Self {
        let step = round_step((to - from) / wanted.max(1) as f64);
        let first = (from / step - 1e-9).ceil() as i64;
        let ticks = (first..).map(|k| k as f64 * step).take_while(|value| *value <= to + step * 1e-9);
        let ticks = ticks.map(|value| (value, number(value))).collect();
        Scale { from, to, logarithmic: false, ticks }
    }

    /// Logarithmic, with ticks at 1, 2 and 5 of each power of ten, or at the powers alone where there are many. Both ends
    /// are more than 0.
    pub fn logarithmic(least: f64, most: f64) -> Self {
        assert!(least > 0.0 && most >= least, "a logarithm is of something");
        let floor = |value: f64| marks(value).rev().find(|mark| *mark <= value * (1.0 + 1e-9));
        let ceiling = |value: f64| marks(value).find(|mark| *mark >= value * (1.0 - 1e-9));
        let from = floor(least).unwrap_or(least);
        let to = ceiling(most).unwrap_or(most).max(from * 2.0);
        let sparse = (to / from).log10() > 2.5;
        let powers = from.log10().floor() as i32..=to.log10().ceil() as i32;
        let steps: &[f64] = if sparse { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let all = powers.flat_map(|power| steps.iter().map(move |step| step * 10_f64.powi(power)));
        let inside = all.filter(|value| *value >= from * 0.999 && *value <= to * 1.001);
        Scale { from, to, logarithmic: true, ticks: inside.map(|value| (value, number(value))).collect() }
    }

    /// Logarithmic, from the first to the last of these values, which are the ticks.
    pub fn logarithmic_at(values: &[f64]) -> Self {
        let ticks = values.iter().map(|value| (*value, number(*value))).collect();
        let (from, to) = (values.first().copied().unwrap_or(1.0), values.last().copied().unwrap_or(2.0));
        Scale { from, to, logarithmic: true, ticks }
    }

    /// Linear, with these ticks and nothing beyond them.
    pub fn at(ticks: Vec<(f64, String)>) -> Self {
        let ends = (ticks.first(), ticks.last());
        let (from, to) = (ends.0.map_or(0.0, |tick| tick.0), ends.1.map_or(1.0, |tick| tick.0));
        Scale { from, to, logarithmic: false, ticks }
    }

    /// The same axis with ticks that say more, such as a unit.
    pub fn labelled(mut self, label: impl Fn(f64) -> String) -> Self {
        for (value, text) in &mut self.ticks {
            *text = label(*value);
        }
        self
    }

    /// Where a value is: 0 at the beginning, 1 at the end; what is beyond is at the end.
    pub fn place(&self, value: f64) -> f64 {
        let along = |value: f64| if self.logarithmic { value.max(f64::MIN_POSITIVE).ln() } else { value };
        let (from, to) = (along(self.from), along(self.to));
        if to > from { ((along(value) - from) / (to - from)).clamp(0.0, 1.0) } else { 0.5 }
    }
}

/// 1, 2 and 5 of the power of ten of a value, and of its neighbours.
fn marks(value: f64) -> impl DoubleEndedIterator<Item = f64> {
    let power = value.log10().floor() as i32;
    (power - 1..=power + 1).flat_map(|power| [1.0, 2.0, 5.0].map(|step| step * 10_f64.powi(power)))
}

/// The next of 1, 2, 2.5 and 5 times a power of ten.
fn round_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0].map(|factor| factor * power);
    steps.into_iter().find(|round| *round >= step * (1.0 - 1e-9)).unwrap_or(10.0 * power)
}

/// A number as people write it: thousands apart, as many decimals as it needs, four at most.
pub fn number(value: f64) -> String {
    let decimals = match value.abs() {
        100.0.. => 1,
        1.0.. => 2,
        0.01.. => 3,
        _ => 5,
    };
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_once('.').unwrap_or((&text, ""));
    let rest = rest.trim_end_matches('0');
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("−", digits));
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if rest.is_empty() { format!("{sign}{grouped}") } else { format!("{sign}{grouped}.{rest}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: &Scale) -> Vec<&str> {
        scale.ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_and_reach_beyond_the_most() {
        assert_eq!(labels(&Scale::from_zero(8341.0, 5)), ["0", "2,000", "4,000", "6,000", "8,000", "10,000"]);
        assert_eq!(labels(&Scale::from_zero(0.9, 4)), ["0", "0.25", "0.5", "0.75", "1"]);
        assert_eq!(Scale::from_zero(0.0, 4).place(0.0), 0.0);
    }

    #[test]
    fn a_logarithm_has_marks_at_one_two_and_five() {
        assert_eq!(labels(&Scale::logarithmic(1.0, 4.4)), ["1", "2", "5"]);
        assert_eq!(labels(&Scale::logarithmic(0.3, 2_000.0)), ["1", "10", "100", "1,000"]);
        let scale = Scale::logarithmic_at(&[1.0, 10.0, 100.0]);
        assert!((scale.place(10.0) - 0.5).abs() < 1e-9);
        assert_eq!((scale.place(0.0), scale.place(1e6)), (0.0, 1.0));
    }

    #[test]
    fn an_axis_may_begin_anywhere() {
        assert_eq!(labels(&Scale::between(0.5, 3.2, 3)), ["1", "2", "3"]);
    }

    #[test]
    fn numbers_are_written_for_people() {
        for (value, text) in [
            (0.0, "0"),
            (1_234_567.0, "1,234,567"),
            (-1234.5, "−1,234.5"),
            (1.0101, "1.01"),
            (0.125, "0.125"),
            (0.0004, "0.0004"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
