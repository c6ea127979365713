//! Waiting for what gives no sign by itself.

use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};

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
    until_ok(what, within, || {
        let seen = look();
        async { seen.await.ok_or_else(|| anyhow!("it is not so")) }
    })
    .await
}

/// The same for a look that says why it gives nothing.
///
/// # Errors
/// When it gave nothing by then: `what`, and what the last look said.
pub async fn until_ok<T, F: Future<Output = anyhow::Result<T>>>(
    what: &str,
    within: Duration,
    mut look: impl FnMut() -> F,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + within;
    loop {
        match look().await {
            Ok(found) => return Ok(found),
            Err(why) if Instant::now() >= deadline => {
                return Err(why).with_context(|| format!("{what}: not within {within:?}"));
            }
            Err(_) => tokio::time::sleep(GLANCE).await,
        }
    }
}
