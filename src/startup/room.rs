//! How many connections may wait to be accepted.

use std::io;
use std::os::fd::AsFd;

/// Proxies open a connection for each request that comes while theirs are busy. One that finds no room is tried again
/// by TCP after a second, when they have given up; at a socket in the file system it fails at once. The standard
/// library makes room for 128. The system has a limit of its own (`net.core.somaxconn`), which is lower or this.
const ROOM: i32 = 4096;

/// Listens, with room for as many. A socket that listens already gets that room.
///
/// # Errors
///
/// When the system does not let us.
pub(super) fn make_room(listener: &impl AsFd) -> io::Result<()> {
    Ok(rustix::net::listen(listener, ROOM)?)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::time::Duration;

    use super::*;

    /// More than the standard library makes room for.
    const AT_ONCE: usize = 300;

    fn system_allows_it() -> bool {
        let limit = std::fs::read_to_string("/proc/sys/net/core/somaxconn").ok();
        let limit = limit.and_then(|limit| limit.trim().parse().ok());
        let allowed = limit.is_some_and(|limit: usize| limit > AT_ONCE);
        if !allowed {
            let word = "net.core.somaxconn is too low on this machine: a burst is not tried";
            let _ = writeln!(std::io::stderr(), "{word}");
        }
        allowed
    }

    #[test]
    fn a_burst_of_connections_waits_at_an_address() {
        if !system_allows_it() {
            return;
        }
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        make_room(&listener).expect("room");
        let address = listener.local_addr().expect("its address");
        // Nobody accepts. One without room would be tried again after a second.
        let waiting = (0..AT_ONCE).map(|_| {
            TcpStream::connect_timeout(&address, Duration::from_millis(900)).expect("room")
        });
        assert_eq!(waiting.collect::<Vec<_>>().len(), AT_ONCE);
    }

    #[test]
    fn a_burst_of_connections_waits_at_a_socket() {
        if !system_allows_it() {
            return;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).expect("a socket");
        make_room(&listener).expect("room");
        let (done, arrived) = std::sync::mpsc::channel();
        // One without room would wait for ever here.
        std::thread::spawn(move || {
            let waiting = (0..AT_ONCE).map(|_| UnixStream::connect(&path).expect("a listener"));
            let waiting: Vec<UnixStream> = waiting.collect();
            let _ = done.send(waiting.len());
        });
        let arrived = arrived.recv_timeout(Duration::from_secs(20));
        assert_eq!(arrived, Ok(AT_ONCE));
    }
}
