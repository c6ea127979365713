//! Waiting for what gives no sign by itself.

use std::time::{Duration, Instant};

use anyhow::ensure;

/// How often it is looked at.
pub(crate) const GLANCE: Duration = Duration::from_millis(10);

/// Polls until `look` gives something: for what gives no sign by itself.
///
/// # Errors
/// When it gave nothing by then, naming `what`.
pub async fn until<T, F: Future<Output = Option<T>>>(
    what: &str,
    within: Duration,
    mut look: impl FnMut() -> F,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = look().await {
            return Ok(found);
        }
        ensure!(Instant::now() < deadline, "{what}: not within {within:?}");
        tokio::time::sleep(GLANCE).await;
    }
}
