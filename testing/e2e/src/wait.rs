//! Waiting for what no event announces.

use std::time::{Duration, Instant};

use anyhow::bail;

/// Long enough for a slow machine that does other things too. Nothing here takes a tenth of it.
pub const SOON: Duration = Duration::from_secs(30);

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Looks until `look` finds something.
///
/// # Errors
/// When it found nothing within [`SOON`].
pub async fn until<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> anyhow::Result<T> {
    until_within(SOON, what, look).await
}

/// Looks until `look` finds something.
///
/// # Errors
/// When it found nothing within `limit`.
pub async fn until_within<T>(
    limit: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> anyhow::Result<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = look().await {
            return Ok(found);
        }
        if Instant::now() >= end {
            bail!("not within {limit:?}: {what}");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
