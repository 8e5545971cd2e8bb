//! What the process takes of the machine, under the names that every Prometheus board knows. What the system does not
//! say is left out.

use std::fmt;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;
use rustix::param::page_size;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// This process.
#[derive(Debug)]
pub(super) struct Process {
    /// Seconds since the Unix epoch.
    started: f64,
}

impl Process {
    /// Begun now.
    pub(super) fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            started: now.unwrap_or_default().as_secs_f64(),
        }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        encoder
            .encode_descriptor(
                "process_cpu",
                "Processor time taken.",
                Some(&Unit::Seconds),
                MetricType::Counter,
            )?
            .encode_counter::<NoLabelSet, f64, u64>(&processor_seconds(), None)?;
        let gauges = [
            (
                "process_start_time",
                "When it started, since the Unix epoch.",
                Some(&Unit::Seconds),
                Some(self.started),
            ),
            (
                "process_resident_memory",
                "Memory held.",
                Some(&Unit::Bytes),
                resident_bytes(),
            ),
            ("process_open_fds", "Open files.", None, open_files()),
            (
                "process_max_fds",
                "Files that may be open.",
                None,
                getrlimit(Resource::Nofile).current.map(as_f64),
            ),
        ];
        for (name, help, unit, value) in gauges {
            if let Some(value) = value {
                encoder
                    .encode_descriptor(name, help, unit, MetricType::Gauge)?
                    .encode_gauge(&value)?;
            }
        }
        Ok(())
    }
}

fn processor_seconds() -> f64 {
    let taken = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(taken.tv_sec).unwrap_or_default();
    let nanoseconds = u64::try_from(taken.tv_nsec).unwrap_or_default();
    as_f64(seconds) + as_f64(nanoseconds) / 1e9
}

/// The second number of `statm`, in pages (proc_pid_statm(5)).
fn resident_bytes() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    Some(as_f64(pages) * as_f64(page_size() as u64))
}

fn open_files() -> Option<f64> {
    let open = fs::read_dir("/proc/self/fd").ok()?.count();
    Some(as_f64(open as u64))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a metric is a float, and exact up to 2^53"
)]
fn as_f64(number: u64) -> f64 {
    number as f64
}
