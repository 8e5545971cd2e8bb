//! How many files and connections the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Has it have as many as it may. systemd and most shells begin with 1,024, for the sake of programs that use
/// `select(2)`, and allow many times that to whoever asks; the listeners are made for more connections.
pub fn allow_many() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    let most = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, most) {
        tracing::warn!(%error, "no more files and connections may be open than at the start");
    }
}
