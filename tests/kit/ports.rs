//! Free TCP ports on the loopback address.

use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

/// Below the range from which the system takes the local port of outgoing connections, so that
/// none of these can take one of ours before its program listens on it.
const FIRST: u16 = 20_000;
const LAST: u16 = 31_999;

static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);

/// A port that nobody listens on now, and that this process was not given before.
pub fn free() -> u16 {
    let mut given = GIVEN
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let given = given.get_or_insert_with(HashSet::new);
    let span = u32::from(LAST - FIRST) + 1;
    // Test programs that run at once start at different places.
    let nanoseconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.subsec_nanos());
    let start = nanoseconds.wrapping_add(std::process::id().wrapping_mul(7_919));
    (0..span)
        .map(|step| FIRST + u16::try_from(start.wrapping_add(step) % span).expect("below the span"))
        .find(|port| !given.contains(port) && is_free(*port) && given.insert(*port))
        .expect("one of 12,000 ports is free")
}

/// Whether a program could listen on `port` of the loopback address now.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
