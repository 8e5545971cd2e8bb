//! The connections of the service, as the system lists them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

const LOOK_EVERY: Duration = Duration::from_millis(20);
const HELD: Duration = Duration::from_millis(500);

/// How many connections to `port` of the loopback address stand now, that come from that address too: the browsers of
/// these tests have others.
pub fn connections_to(port: u16) -> usize {
    // Addresses in hexadecimal, and 01 for a connection that stands.
    let wanted = format!(" 0100007F:{port:04X} 01 ");
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let ours = |line: &&str| {
        let own = line.split_whitespace().nth(1).unwrap_or_default();
        own.starts_with("0100007F:") && line.contains(&wanted)
    };
    table.lines().filter(ours).count()
}

/// The most that stood at once within the next `time`, for half a second on end: where many are given up at one
/// moment, those that take their place may be there before the last of them is closed.
pub async fn most_connections_to(port: u16, time: Duration) -> usize {
    let begun = Instant::now();
    let mut latest = VecDeque::new();
    let mut most = 0;
    while begun.elapsed() < time {
        latest.push_back((Instant::now(), connections_to(port)));
        if let Some((since, _)) = latest.front()
            && since.elapsed() >= HELD
        {
            let held = latest.iter().map(|(_, count)| *count).min();
            most = most.max(held.unwrap_or_default());
            latest.pop_front();
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    most
}
