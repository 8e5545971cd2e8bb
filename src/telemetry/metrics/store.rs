//! How long the store took, by what it was asked, and what kept it from answering.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::histogram::Histogram;

/// An enum, and the word for each of it.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($one:ident => $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the words say it")]
        pub enum $name {
            $($one,)*
        }

        impl $name {
            const WORDS: &[&str] = &[$($word,)*];
        }
    };
}

words! {
    /// What a store is asked.
    Op {
        Get => "get",
        Create => "create",
        Replace => "replace",
        Prolong => "prolong",
        Delete => "delete",
        DeleteVersion => "delete_version",
        Enlist => "enlist",
        Delist => "delist",
        Members => "members",
        Page => "page",
        Ping => "ping",
    }
}

words! {
    /// Why it did not do it.
    Fault {
        Full => "full",
        Refused => "refused",
        Unreachable => "unreachable",
    }
}

/// What was seen of the store.
#[derive(Debug)]
pub struct StoreMetrics {
    /// By [`Op`].
    durations: [Histogram; Op::WORDS.len()],
    /// By [`Op`] and [`Fault`].
    errors: [[AtomicU64; Fault::WORDS.len()]; Op::WORDS.len()],
}

impl Default for StoreMetrics {
    fn default() -> Self {
        Self {
            durations: std::array::from_fn(|_| Histogram::default()),
            errors: Default::default(),
        }
    }
}

impl StoreMetrics {
    /// Counts one answer, or that there was none.
    pub fn count(&self, op: Op, took: Duration, fault: Option<Fault>) {
        self.durations[op as usize].observe(took);
        if let Some(fault) = fault {
            self.errors[op as usize][fault as usize].fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Collector for StoreMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut duration = encoder.encode_descriptor(
            "portcullis_store_duration",
            "From asking the session store to its answer, or to giving up.",
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        for (op, durations) in Op::WORDS.iter().zip(&self.durations) {
            if !durations.is_empty() {
                durations.encode(duration.encode_family(&[("op", *op)])?)?;
            }
        }
        let mut errors = encoder.encode_descriptor(
            "portcullis_store_errors",
            "What the session store was asked and did not do.",
            None,
            MetricType::Counter,
        )?;
        for (op, faults) in Op::WORDS.iter().zip(&self.errors) {
            for (fault, count) in Fault::WORDS.iter().zip(faults) {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    let labels = [("op", *op), ("error", *fault)];
                    let mut one = errors.encode_family(&labels)?;
                    one.encode_counter::<NoLabelSet, u64, u64>(&count, None)?;
                }
            }
        }
        Ok(())
    }
}
