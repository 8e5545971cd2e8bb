//! Waiting for something to become true, by asking for it.

use std::future::Future;
use std::time::{Duration, Instant};

use super::{Failure, Result};

const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(20);

/// Asks until `attempt` succeeds, at most for `limit`.
///
/// # Errors
///
/// The last attempt's, when the time is up.
pub async fn wait_for<T, F, Fut>(what: &str, limit: Duration, mut attempt: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let start = Instant::now();
    loop {
        match attempt().await {
            Ok(value) => return Ok(value),
            Err(failure) if start.elapsed() > limit => {
                return Err(Failure(format!("{what}: not after {limit:?}: {failure}")));
            }
            Err(_) => tokio::time::sleep(BETWEEN_ATTEMPTS).await,
        }
    }
}
