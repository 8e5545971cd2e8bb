//! What is counted, for Prometheus. docs/metrics.md explains each to whoever watches them.
//!
//! No label comes from outside: services are those of the configuration, all else are words of ours. What happens with
//! every request is counted in [`DecisionCounters`] and [`StoreMetrics`]; the rest is rare, and may cost a lock.

mod cache;
mod decisions;
mod histogram;
mod plain;
mod process;
mod store;
mod striped;

use std::fmt;
use std::sync::{Arc, OnceLock};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

pub use self::cache::CacheCounts;
pub use self::decisions::{DecisionCounters, NO_SERVICE, Verdict};
pub use self::store::{Fault, Op, StoreMetrics};

use self::cache::Cache;
use self::decisions::Decisions;
use self::process::Process;
use crate::domain::service_table::ServiceTable;
use crate::telemetry::subscriber::Dropped;

/// How the metrics are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposition {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The text format of Prometheus, 0.0.4.
    PlainText,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HowLabel {
    how: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndpointLabel {
    endpoint: &'static str,
}

/// Everything that is counted.
pub struct Metrics {
    registry: Registry,
    decisions: Arc<Decisions>,
    store: Arc<StoreMetrics>,
    cache: Arc<Cache>,
    store_up: Gauge,
    provider_up: Gauge,
    logins: Family<ResultLabel, Counter>,
    refreshes: Family<ResultLabel, Counter>,
    logouts: Family<HowLabel, Counter>,
    rate_limited: Family<EndpointLabel, Counter>,
    panics: Counter,
    denials_left_out: Counter,
    log: Arc<LogLines>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            decisions: Arc::default(),
            store: Arc::default(),
            cache: Arc::default(),
            store_up: Gauge::default(),
            provider_up: Gauge::default(),
            logins: Family::default(),
            refreshes: Family::default(),
            logouts: Family::default(),
            rate_limited: Family::default(),
            panics: Counter::default(),
            denials_left_out: Counter::default(),
            log: Arc::default(),
        };
        metrics.register();
        // An alert asks whether there was none.
        let result = "success";
        drop(metrics.logins.get_or_create(&ResultLabel { result }));
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let registry = &mut self.registry;
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        registry.register(
            "portcullis_build",
            "The program that runs",
            Info::new(version.to_vec()),
        );
        registry.register_collector(Box::new(Arc::clone(&self.decisions)));
        registry.register_collector(Box::new(Arc::clone(&self.store)));
        registry.register_collector(Box::new(Arc::clone(&self.cache)));
        registry.register(
            "portcullis_store_up",
            "Whether the session store answers now",
            self.store_up.clone(),
        );
        registry.register(
            "portcullis_provider_up",
            "Whether the identity provider was there when last tried",
            self.provider_up.clone(),
        );
        registry.register(
            "portcullis_logins",
            "Logins that ended, by how they did",
            self.logins.clone(),
        );
        registry.register(
            "portcullis_refreshes",
            "Renewals of tokens, by how they ended",
            self.refreshes.clone(),
        );
        registry.register(
            "portcullis_logouts",
            "Logouts, by how they came about",
            self.logouts.clone(),
        );
        registry.register(
            "portcullis_rate_limited",
            "Requests answered with 429",
            self.rate_limited.clone(),
        );
        registry.register(
            "portcullis_panics",
            "Requests whose handler panicked",
            self.panics.clone(),
        );
        registry.register(
            "portcullis_audit_denials_left_out",
            "Denials of strangers that the log counts without a line of their own",
            self.denials_left_out.clone(),
        );
        registry.register_collector(Box::new(Arc::clone(&self.log)));
        registry.register_collector(Box::new(Process::new()));
    }

    /// Where the decisions about these services are counted.
    #[must_use]
    pub fn decision_counters(&self, services: &ServiceTable) -> DecisionCounters {
        self.decisions.counters(services)
    }

    /// Where the store is watched.
    #[must_use]
    pub fn store(&self) -> Arc<StoreMetrics> {
        Arc::clone(&self.store)
    }

    /// Has the sessions in memory asked what they have counted. The first call counts.
    pub fn watch_cache(&self, counts: impl Fn() -> CacheCounts + Send + Sync + 'static) {
        self.cache.watch(Box::new(counts));
    }

    /// A login ended: `success`, or the code of why not. Never text from outside, as everywhere here.
    pub fn login(&self, result: &'static str) {
        self.logins.get_or_create(&ResultLabel { result }).inc();
    }

    /// A renewal of tokens ended, with this code.
    pub fn refreshed(&self, result: &'static str) {
        self.refreshes.get_or_create(&ResultLabel { result }).inc();
    }

    /// So many sessions were ended by whoever may, in this way.
    pub fn logged_out(&self, how: &'static str, sessions: usize) {
        let sessions = u64::try_from(sessions).unwrap_or(u64::MAX);
        self.logouts
            .get_or_create(&HowLabel { how })
            .inc_by(sessions);
    }

    /// A request to this endpoint was one too many.
    pub fn rate_limited(&self, endpoint: &'static str) {
        let endpoint = EndpointLabel { endpoint };
        self.rate_limited.get_or_create(&endpoint).inc();
    }

    /// A handler panicked.
    pub fn panicked(&self) {
        self.panics.inc();
    }

    /// A denial got no line in the log.
    pub fn denial_left_out(&self) {
        self.denials_left_out.inc();
    }

    /// Has the lines counted that the log drops. The first call counts.
    pub fn watch_log(&self, dropped: Dropped) {
        // A second log there is not.
        let _ = self.log.0.set(dropped);
    }

    /// All of it as text, with what is known of the store and the provider at this moment.
    ///
    /// # Errors
    ///
    /// None that can be met: a string takes everything.
    pub fn text(
        &self,
        exposition: Exposition,
        store_up: bool,
        provider_up: bool,
    ) -> Result<String, fmt::Error> {
        self.store_up.set(store_up.into());
        self.provider_up.set(provider_up.into());
        let mut text = String::with_capacity(8 * 1024);
        encode(&mut text, &self.registry)?;
        match exposition {
            Exposition::OpenMetrics => Ok(text),
            Exposition::PlainText => plain::from_openmetrics(&text),
        }
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics(..)")
    }
}

/// The log, once there is one that drops lines.
#[derive(Debug, Default)]
struct LogLines(OnceLock<Dropped>);

impl Collector for LogLines {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(dropped) = self.0.get() else {
            return Ok(());
        };
        encoder
            .encode_descriptor(
                "portcullis_log_lines_dropped",
                "Lines of the log that nobody read in time.",
                None,
                MetricType::Counter,
            )?
            .encode_counter::<NoLabelSet, u64, u64>(&(dropped.lines() as u64), None)
    }
}
