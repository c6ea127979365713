//! Medians and percentiles.

use std::time::Duration;

/// The middle value; `None` of nothing.
pub fn median(values: &[f64]) -> Option<f64> {
    percentile(values, 50.0)
}

/// The smallest value that `percent` of all are not above (nearest rank); `None` of nothing.
pub fn percentile(values: &[f64], percent: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

/// [`percentile`] of durations, in milliseconds.
pub fn percentile_ms(values: &[Duration], percent: f64) -> f64 {
    let values: Vec<f64> = values.iter().map(|it| it.as_secs_f64() * 1e3).collect();
    percentile(&values, percent).unwrap_or(f64::NAN)
}

/// [`percentile`] of durations, in microseconds.
pub fn percentile_us(values: &[Duration], percent: f64) -> f64 {
    percentile_ms(values, percent) * 1e3
}

/// How many a second.
pub fn rate(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_the_nearest() {
        let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        for (percent, expected) in [(0.0, 1.0), (50.0, 50.0), (99.0, 99.0), (100.0, 100.0)] {
            assert_eq!(percentile(&values, percent), Some(expected), "{percent}");
        }
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[]), None);
    }
}
