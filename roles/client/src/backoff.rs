//! How long to wait before the next try.

use std::time::Duration;

/// The wait before try number `failures` + 1: doubling from `first` up to `most`, of which a random
/// half is taken off, so that those who lost the same server do not come back as one.
pub(crate) fn wait(failures: u32, first: Duration, most: Duration) -> Duration {
    let whole = first.saturating_mul(1 << failures.min(16)).min(most);
    let half = whole / 2;
    half + half.mul_f64(chance())
}

/// From 0 to 1. Version 4 UUIDs are 122 random bits from the system.
fn chance() -> f64 {
    let (high, _) = uuid::Uuid::new_v4().as_u64_pair();
    (high >> 32) as f64 / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_most_and_keep_a_half_of_it() {
        let (first, most) = (Duration::from_millis(100), Duration::from_secs(2));
        for (failures, whole) in [(0, 100), (1, 200), (4, 1600), (5, 2000), (60, 2000)] {
            let waited = wait(failures, first, most).as_millis();
            assert!((whole / 2..=whole).contains(&waited), "{failures}: {waited}");
        }
    }
}
