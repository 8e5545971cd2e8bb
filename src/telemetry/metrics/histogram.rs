//! How long things took, from 10 µs to a second: what a decision from memory takes, and what is given up.
//!
//! The crate's own histogram is one mutex, which all cores would queue for with every request.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::striped::Striped;

/// Upper bounds, in nanoseconds and as they are told, in seconds.
const BOUNDS: [(u64, f64); 16] = [
    (10_000, 0.000_01),
    (25_000, 0.000_025),
    (50_000, 0.000_05),
    (100_000, 0.000_1),
    (250_000, 0.000_25),
    (500_000, 0.000_5),
    (1_000_000, 0.001),
    (2_500_000, 0.002_5),
    (5_000_000, 0.005),
    (10_000_000, 0.01),
    (25_000_000, 0.025),
    (50_000_000, 0.05),
    (100_000_000, 0.1),
    (250_000_000, 0.25),
    (500_000_000, 0.5),
    (1_000_000_000, 1.0),
];

/// Durations, by how long they were.
#[derive(Debug, Default)]
pub(super) struct Histogram(Striped<Counts>);

/// What one stripe has seen. The last bucket is for all above the bounds.
#[derive(Default)]
struct Counts {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

impl Histogram {
    /// Counts one.
    pub(super) fn observe(&self, duration: Duration) {
        // 584 years.
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|(bound, _)| *bound < nanoseconds);
        let counts = self.0.mine();
        counts.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        counts.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Whether there was none yet.
    pub(super) fn is_empty(&self) -> bool {
        self.0.all().next().is_none()
    }
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let last = [(0, f64::INFINITY)];
        let bounds = BOUNDS.iter().chain(&last);
        let mut buckets: Vec<(f64, u64)> = bounds.map(|(_, seconds)| (*seconds, 0)).collect();
        let mut sum = Duration::ZERO;
        for counts in self.0.all() {
            for (bucket, count) in buckets.iter_mut().zip(&counts.buckets) {
                bucket.1 += count.load(Ordering::Relaxed);
            }
            sum += Duration::from_nanos(counts.nanoseconds.load(Ordering::Relaxed));
        }
        // Not counted apart, so that it never disagrees with the buckets.
        let count = buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(sum.as_secs_f64(), count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn a_duration_is_counted_below_its_bound() {
        let durations = Histogram::default();
        assert!(durations.is_empty());
        for microseconds in [0, 10, 11, 1_000_000, 1_000_001] {
            durations.observe(Duration::from_micros(microseconds));
        }
        assert!(!durations.is_empty());
        let mut registry = Registry::default();
        registry.register("took", "Help", durations);
        let mut text = String::new();
        encode(&mut text, &registry).expect("a string takes all");
        for line in [
            "took_sum 2.000022",
            "took_count 5",
            "took_bucket{le=\"0.00001\"} 2",
            "took_bucket{le=\"0.000025\"} 3",
            "took_bucket{le=\"0.5\"} 3",
            "took_bucket{le=\"1.0\"} 4",
            "took_bucket{le=\"+Inf\"} 5",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }

    #[test]
    fn the_bounds_are_told_as_they_are_and_rise() {
        for (nanoseconds, seconds) in BOUNDS {
            assert_eq!(
                Duration::from_nanos(nanoseconds),
                Duration::from_secs_f64(seconds)
            );
        }
        assert!(BOUNDS.is_sorted());
    }
}
