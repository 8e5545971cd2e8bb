//! What a process takes, as the system tells it.

use std::time::Duration;

use crate::kit::{Failure, Result};

/// Memory in use, in KiB.
///
/// # Errors
///
/// When there is no such process.
pub fn memory_kib(process: u32) -> Result<usize> {
    let status = format!("/proc/{process}/status");
    let text = read(&status)?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .ok_or_else(|| Failure(format!("no VmRSS in {status}")))
}

/// How many files and connections are open.
///
/// # Errors
///
/// When there is no such process.
pub fn open_files(process: u32) -> Result<usize> {
    let folder = format!("/proc/{process}/fd");
    let open = std::fs::read_dir(&folder).map_err(Failure::of(&folder))?;
    Ok(open.count())
}

/// Processor time that was taken so far.
///
/// # Errors
///
/// When there is no such process.
pub fn processor_time(process: u32) -> Result<Duration> {
    let stat = format!("/proc/{process}/stat");
    let text = read(&stat)?;
    // The name, in parentheses, may hold blanks. After it, user and system time are the 12th and 13th.
    let (_, rest) = text.rsplit_once(')').unwrap_or_default();
    let fields: Vec<u64> = rest
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse().ok())
        .collect();
    match fields[..] {
        [user, system] => {
            let ticks = rustix::param::clock_ticks_per_second();
            Ok(Duration::from_millis((user + system) * 1_000 / ticks))
        }
        _ => Err(Failure(format!("no times in {stat}"))),
    }
}

fn read(file: &str) -> Result<String> {
    std::fs::read_to_string(file).map_err(Failure::of(file))
}
