//! How long stopping takes, step by step. From the signal on:
//!
//! | from | to | what happens |
//! | --- | --- | --- |
//! | 0 s | 1 s | not ready any more; everything is answered, each answer the last of its connection |
//! | 1 s | 6 s | no connection is taken; requests under way end, and where they do not are cut off |
//! | 6 s | 7 s | the threads that served end, and where they hang are left behind |
//! | 0 s | 9 s | renewals under way end |
//! | after all that | 10 s | the store writes what waits |
//!
//! Each step ends when there is nothing left to wait for. Whoever starts the service gives it more than the whole
//! (`TimeoutStopSec`, `stop_grace_period`).

use std::time::Duration;

/// How long the service goes on answering, not ready any more, for whoever looks at that and sends requests elsewhere.
pub(super) const NOTICE: Duration = Duration::from_secs(1);

/// How long requests may take to end after that, in seconds.
pub(super) const REQUESTS_SECONDS: u64 = 5;

/// When the listeners and their threads are waited for no more, from the signal on: one that hangs cuts nothing off.
pub(super) const LISTENERS: Duration = Duration::from_secs(7);

/// How long renewals may take, from the signal on. A provider that takes longer may leave their people to sign in again.
pub(super) const RENEWALS: Duration = Duration::from_secs(9);

/// How long all of it takes.
pub const WHOLE: Duration = Duration::from_secs(10);

const _: () = {
    let requests = NOTICE.as_secs() + REQUESTS_SECONDS;
    let listeners = LISTENERS.as_secs();
    assert!(requests < listeners, "requests are cut off first");
    assert!(listeners < RENEWALS.as_secs(), "renewals outlast requests");
    assert!(
        RENEWALS.as_secs() < WHOLE.as_secs(),
        "there is time left for the store"
    );
};
