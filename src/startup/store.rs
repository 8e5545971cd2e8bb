//! The place where sessions are kept, and what is kept of it in memory.

use std::sync::Arc;
use std::time::Duration;

use super::StartError;
use crate::clock::Clock;
use crate::config::StoreLocation;
use crate::store::Store;
use crate::store::coherence::{Announcing, Source};
use crate::store::embedded::EmbeddedStore;
use crate::store::measured::Measured;
use crate::store::redis::RedisStore;
use crate::store::session_cache::SessionCache;
use crate::telemetry::metrics::Metrics;

/// Opens it. Each call may take `timeout`; what was in memory counts for `grace` while nobody answers. What happens in
/// the store, and what is written here, is told to the sessions in memory.
///
/// # Errors
///
/// [`StartError`], with what has to be mended.
pub(super) fn open(
    location: StoreLocation,
    (timeout, grace): (Duration, Duration),
    clock: Arc<dyn Clock>,
    metrics: &Metrics,
) -> Result<(Arc<dyn Store>, Arc<SessionCache>), StartError> {
    let cache = Arc::new(SessionCache::new(grace));
    let counting = cache.clone();
    metrics.watch_cache(move || counting.counts());
    let store: Arc<dyn Store> = match location {
        StoreLocation::Memory => telling(EmbeddedStore::in_memory(clock)?.within(timeout), &cache),
        StoreLocation::File(path) => {
            telling(EmbeddedStore::open(&path, clock)?.within(timeout), &cache)
        }
        StoreLocation::Redis(settings) => telling(
            RedisStore::open(settings).map_err(StartError::Redis)?,
            &cache,
        ),
    };
    let measured = Arc::new(Measured::new(store, metrics.store()));
    Ok((Arc::new(Announcing::new(measured, cache.clone())), cache))
}

fn telling<S: Store + Source + 'static>(store: S, cache: &Arc<SessionCache>) -> Arc<dyn Store> {
    store.tell(cache.clone());
    Arc::new(store)
}
