//! Waiting until a time that may not come.

use tokio::time::{Instant, sleep_until};

/// Waits until `time`; for ever without one. Cancel safe.
pub(crate) async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
