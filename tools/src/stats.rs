//! How evenly requests fell, in numbers. Pure.

/// The mean; 0 of nothing.
pub fn mean(counts: &[u64]) -> f64 {
    if counts.is_empty() { 0.0 } else { counts.iter().sum::<u64>() as f64 / counts.len() as f64 }
}

/// The standard deviation of the whole population (divided by n, not n − 1); 0 of nothing.
pub fn standard_deviation(counts: &[u64]) -> f64 {
    if counts.is_empty() {
        return 0.0;
    }
    let mean = mean(counts);
    let squares = counts.iter().map(|count| (*count as f64 - mean).powi(2)).sum::<f64>();
    (squares / counts.len() as f64).sqrt()
}

/// The middle one of these numbers, or the mean of the two in the middle; 0 of nothing.
pub fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        length if length % 2 == 1 => sorted[middle],
        _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
    }
}

/// The smallest of these numbers that so many per cent do not exceed; 0 of nothing.
pub fn percentile(numbers: &[f64], percent: f64) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (percent / 100.0 * sorted.len() as f64).ceil().max(1.0) as usize;
    sorted.get(rank - 1).or(sorted.last()).copied().unwrap_or_default()
}

/// How many times its fair share the busiest got; 1 where nobody got anything.
pub fn busiest_to_mean(counts: &[u64]) -> f64 {
    let busiest = counts.iter().max().copied().unwrap_or_default();
    if busiest == 0 { 1.0 } else { busiest as f64 / mean(counts) }
}

/// Pearson's chi-square of the counts against what was expected: 0 where they agree, infinite where something fell on
/// what should have got nothing.
///
/// # Panics
/// If there are not as many expectations as counts.
pub fn chi_square(counts: &[u64], expected: &[f64]) -> f64 {
    assert_eq!(counts.len(), expected.len(), "each count has its expectation");
    let term = |(count, expected): (&u64, &f64)| {
        let distance = *count as f64 - expected;
        if distance == 0.0 { 0.0 } else { distance * distance / expected }
    };
    counts.iter().zip(expected).map(term).sum()
}

/// [`chi_square`] against an equal share for each.
pub fn chi_square_even(counts: &[u64]) -> f64 {
    chi_square(counts, &vec![mean(counts); counts.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_numbers() {
        let numbers: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!([50.0, 99.0, 100.0].map(|percent| percentile(&numbers, percent)), [100.0, 198.0, 200.0]);
        assert_eq!((percentile(&[7.0], 99.0), percentile(&[], 99.0)), (7.0, 0.0));
    }

    /// The assignment's published counts of its quadratic hash and three servers.
    const QUADRATIC: [u64; 3] = [8341, 468, 1191];

    fn close(value: f64, expected: f64) {
        assert!((value - expected).abs() < 0.005, "{value} is not {expected}");
    }

    #[test]
    fn an_uneven_spread_shows_in_every_number() {
        close(mean(&QUADRATIC), 3333.333);
        close(standard_deviation(&QUADRATIC), 3553.236);
        close(busiest_to_mean(&QUADRATIC), 2.502);
        close(chi_square_even(&QUADRATIC), 11_362.936);
    }

    #[test]
    fn an_even_spread_has_no_deviation() {
        assert_eq!(standard_deviation(&[5, 5, 5]), 0.0);
        assert_eq!(busiest_to_mean(&[5, 5, 5]), 1.0);
        assert_eq!(chi_square_even(&[5, 5, 5]), 0.0);
    }

    #[test]
    fn half_of_the_numbers_are_below_the_median() {
        assert_eq!((median(&[]), median(&[3.0]), median(&[9.0, 1.0, 2.0])), (0.0, 3.0, 2.0));
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), 2.5);
    }

    #[test]
    fn nothing_at_all_is_even() {
        assert_eq!((mean(&[]), standard_deviation(&[]), chi_square_even(&[])), (0.0, 0.0, 0.0));
        assert_eq!(
            (busiest_to_mean(&[]), busiest_to_mean(&[0, 0]), chi_square_even(&[0, 0])),
            (1.0, 1.0, 0.0)
        );
    }

    #[test]
    fn chi_square_is_of_what_was_expected() {
        close(chi_square(&[8, 12], &[10.0, 10.0]), 0.8);
        assert_eq!(chi_square(&[3, 0], &[3.0, 0.0]), 0.0);
        assert_eq!(chi_square(&[3, 1], &[4.0, 0.0]), f64::INFINITY);
    }
}
