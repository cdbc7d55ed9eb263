//! [`blocking`]: work that blocks, beside the async threads.

use std::panic::resume_unwind;

/// Does `work` on a thread for such, and waits for it. A panic goes on here.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The runtime ends before it was begun, and whoever waits here ends with it.
            Err(_) => std::future::pending().await,
        },
    }
}
