//! Whether the service is about to stop. It goes on answering for a moment then, and asks whoever comes to go elsewhere.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether it is.
#[derive(Debug, Default)]
pub struct Stopping(AtomicBool);

impl Stopping {
    /// It is, from now on: it is not ready any more, and each connection ends with its next answer.
    pub fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it is.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
