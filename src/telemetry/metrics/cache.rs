//! How the sessions in memory are used. They count themselves, each part under the lock that it has anyway.

use std::fmt;
use std::sync::OnceLock;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// What the cache of sessions has counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheCounts {
    /// Answered without the store.
    pub hits: u64,
    /// Read from the store.
    pub misses: u64,
    /// Words that a session is another one now, or gone, or that all may be.
    pub invalidations: u64,
}

/// Who tells what was counted, once there is somebody.
#[derive(Default)]
pub(super) struct Cache(OnceLock<Box<dyn Fn() -> CacheCounts + Send + Sync>>);

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cache(..)")
    }
}

impl Cache {
    /// Has `counts` asked. The first who comes is.
    pub(super) fn watch(&self, counts: Box<dyn Fn() -> CacheCounts + Send + Sync>) {
        // A second cache there is not.
        let _ = self.0.set(counts);
    }
}

impl Collector for Cache {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let counts = self.0.get().map(|counts| counts()).unwrap_or_default();
        let rows = [
            (
                "portcullis_session_cache_hits",
                "Sessions that were known, so that the store was not asked.",
                counts.hits,
            ),
            (
                "portcullis_session_cache_misses",
                "Sessions that the store was asked for.",
                counts.misses,
            ),
            (
                "portcullis_session_cache_invalidations",
                "Words of changes, at which what was known is forgotten.",
                counts.invalidations,
            ),
        ];
        for (name, help, count) in rows {
            encoder
                .encode_descriptor(name, help, None, MetricType::Counter)?
                .encode_counter::<NoLabelSet, u64, u64>(&count, None)?;
        }
        Ok(())
    }
}
