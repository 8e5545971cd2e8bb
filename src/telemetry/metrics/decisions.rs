//! Decisions, counted by service, outcome and reason, and how long they took.
//!
//! What a request costs here is two additions to memory that no other thread writes to. So the services are looked up by
//! name when the configuration is loaded, and a request brings numbers only.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::histogram::Histogram;
use super::striped::Striped;
use crate::domain::decision::Decision;
use crate::domain::reason::ReasonKind;
use crate::domain::service_table::ServiceTable;

/// What stands for no service, in the place of its name.
pub const NO_SERVICE: &str = "none";

/// What becomes of a request: a decision's outcomes, and where one of our own addresses leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Allow,
    Challenge,
    Deny,
    Unavailable,
    Redirect,
}

/// Their words, in the same order.
const OUTCOMES: [&str; 5] = ["allow", "challenge", "deny", "unavailable", "redirect"];

/// Why, where no reason of the domain says it.
const FURTHER: [&str; 5] = [
    "untrusted_peer",
    "malformed_request",
    "no_such_question",
    "enter",
    "logout",
];

const REASONS: usize = ReasonKind::ALL.len() + FURTHER.len();

/// What became of a request, as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    outcome: Outcome,
    /// Below the number of the domain's reasons one of these, else one of the further ones.
    reason: usize,
}

impl Verdict {
    /// The peer is no trusted proxy.
    pub const UNTRUSTED_PEER: Self = Self::further(Outcome::Deny, 0);
    /// The request's description cannot be read.
    pub const MALFORMED: Self = Self::further(Outcome::Deny, 1);
    /// The proxy asks at an address where nothing is answered.
    pub const NO_SUCH_QUESTION: Self = Self::further(Outcome::Deny, 2);
    /// A browser came with a ticket, and is sent on.
    pub const ENTER: Self = Self::further(Outcome::Redirect, 3);
    /// A browser came to sign out, and is sent on.
    pub const LOGOUT: Self = Self::further(Outcome::Redirect, 4);

    const fn further(outcome: Outcome, further: usize) -> Self {
        Self {
            outcome,
            reason: ReasonKind::ALL.len() + further,
        }
    }

    /// It passes.
    #[must_use]
    pub const fn allow(reason: ReasonKind) -> Self {
        Self {
            outcome: Outcome::Allow,
            reason: reason as usize,
        }
    }

    /// Whoever sent it is sent, or told, to sign in.
    #[must_use]
    pub const fn challenge(reason: ReasonKind) -> Self {
        Self {
            outcome: Outcome::Challenge,
            reason: reason as usize,
        }
    }

    const fn slot(self) -> usize {
        self.outcome as usize * REASONS + self.reason
    }

    const fn outcome_word(self) -> &'static str {
        OUTCOMES[self.outcome as usize]
    }

    const fn reason_word(self) -> &'static str {
        match ReasonKind::ALL.len() {
            known if self.reason < known => ReasonKind::ALL[self.reason].code(),
            known => FURTHER[self.reason - known],
        }
    }

    fn all() -> impl Iterator<Item = Self> {
        let each = |outcome| (0..REASONS).map(move |reason| Self { outcome, reason });
        [
            Outcome::Allow,
            Outcome::Challenge,
            Outcome::Deny,
            Outcome::Unavailable,
            Outcome::Redirect,
        ]
        .into_iter()
        .flat_map(each)
    }
}

impl From<&Decision<'_>> for Verdict {
    fn from(decision: &Decision<'_>) -> Self {
        let outcome = match decision {
            Decision::Allow(_) => Outcome::Allow,
            Decision::Challenge(_) => Outcome::Challenge,
            Decision::Deny(_) => Outcome::Deny,
            Decision::Unavailable(_) => Outcome::Unavailable,
        };
        Self {
            outcome,
            reason: decision.reason().kind() as usize,
        }
    }
}

/// The decisions about one service.
#[derive(Debug, Default)]
struct Tally(Striped<Counts>);

struct Counts([AtomicU64; OUTCOMES.len() * REASONS]);

impl Default for Counts {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; OUTCOMES.len() * REASONS])
    }
}

impl Tally {
    fn of(&self, verdict: Verdict) -> u64 {
        let counts = self.0.all().map(|counts| &counts.0[verdict.slot()]);
        counts.map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

/// For whoever decides: where each service is counted, by its place among them.
#[derive(Debug)]
pub struct DecisionCounters {
    services: Vec<Arc<Tally>>,
    none: Arc<Tally>,
    durations: Arc<Histogram>,
}

impl DecisionCounters {
    /// Counts a decision that took so long. `place` is that of the service; `None` where there is none.
    pub fn count(&self, place: Option<usize>, verdict: Verdict, took: Duration) {
        let tally = place.and_then(|place| self.services.get(place));
        let counts = tally.unwrap_or(&self.none).0.mine();
        counts.0[verdict.slot()].fetch_add(1, Ordering::Relaxed);
        self.durations.observe(took);
    }
}

/// All that were ever counted, by the service's name: what stands in another configuration later goes on counting.
#[derive(Debug, Default)]
pub(super) struct Decisions {
    by_name: Mutex<BTreeMap<String, Arc<Tally>>>,
    durations: Arc<Histogram>,
}

impl Decisions {
    /// Where the services of a configuration are counted.
    pub(super) fn counters(&self, services: &ServiceTable) -> DecisionCounters {
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        let mut tally = |name: &str| by_name.entry(name.to_owned()).or_default().clone();
        DecisionCounters {
            services: services
                .services()
                .iter()
                .map(|service| tally(&service.name))
                .collect(),
            none: tally(NO_SERVICE),
            durations: Arc::clone(&self.durations),
        }
    }
}

impl Collector for Decisions {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut counter = encoder.encode_descriptor(
            "portcullis_decisions",
            "Requests that a proxy asked about, by what became of them.",
            None,
            MetricType::Counter,
        )?;
        let by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, tally) in &*by_name {
            for verdict in Verdict::all() {
                let count = tally.of(verdict);
                // An alert waits for that one to rise, which it cannot do by appearing.
                let is_awaited = name == NO_SERVICE && verdict == Verdict::UNTRUSTED_PEER;
                if count > 0 || is_awaited {
                    let labels = [
                        ("service", name.as_str()),
                        ("outcome", verdict.outcome_word()),
                        ("reason", verdict.reason_word()),
                    ];
                    let mut one = counter.encode_family(&labels)?;
                    one.encode_counter::<NoLabelSet, u64, u64>(&count, None)?;
                }
            }
        }
        drop(by_name);
        let duration = encoder.encode_descriptor(
            "portcullis_decision_duration",
            "From a proxy's question to the answer.",
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        self.durations.encode(duration)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::domain::decision::Reason;
    use crate::domain::host::{Authority, Scheme};
    use crate::domain::policy::{Policy, Requirement};
    use crate::domain::service::{Service, ServicePolicy};

    fn table(names: &[&str]) -> ServiceTable {
        let policy = || {
            ServicePolicy::Own(Arc::new(Policy {
                name: "authenticated".into(),
                requirement: Requirement::Authenticated,
            }))
        };
        let services = names
            .iter()
            .map(|name| Service::new(name, Vec::new(), policy()));
        let portal = Authority::parse("auth.example.net", Scheme::Https).expect("an authority");
        ServiceTable::new(services.collect(), portal, None)
    }

    fn counted(decisions: &Decisions, name: &str, verdict: Verdict) -> u64 {
        decisions.by_name.lock().expect("no panic")[name].of(verdict)
    }

    #[test]
    fn every_verdict_has_a_place_of_its_own() {
        let mut slots: Vec<usize> = Verdict::all().map(Verdict::slot).collect();
        slots.dedup();
        assert_eq!(slots, (0..OUTCOMES.len() * REASONS).collect::<Vec<_>>());
        for kind in ReasonKind::ALL {
            assert_eq!(Verdict::allow(*kind).reason_word(), kind.code());
            assert_eq!(Verdict::challenge(*kind).outcome_word(), "challenge");
        }
        #[rustfmt::skip]
        let cases = [
            (Verdict::UNTRUSTED_PEER,   ("deny",     "untrusted_peer")),
            (Verdict::MALFORMED,        ("deny",     "malformed_request")),
            (Verdict::NO_SUCH_QUESTION, ("deny",     "no_such_question")),
            (Verdict::ENTER,            ("redirect", "enter")),
            (Verdict::LOGOUT,           ("redirect", "logout")),
            ((&Decision::Allow(Reason::Preflight)).into(),              ("allow",       "preflight")),
            ((&Decision::Deny(Reason::OwnHost)).into(),                 ("deny",        "own_host")),
            ((&Decision::Unavailable(Reason::StoreUnavailable)).into(), ("unavailable", "store_unavailable")),
        ];
        for (verdict, expected) in cases {
            assert_eq!((verdict.outcome_word(), verdict.reason_word()), expected);
        }
        for decision in [
            Decision::Allow(Reason::Preflight),
            Decision::Challenge(Reason::Preflight),
            Decision::Deny(Reason::Preflight),
            Decision::Unavailable(Reason::Preflight),
        ] {
            let verdict = Verdict::from(&decision);
            assert_eq!(verdict.outcome_word(), decision.outcome());
        }
    }

    #[test]
    fn a_service_goes_on_counting_under_another_configuration() {
        let decisions = Decisions::default();
        let verdict = Verdict::allow(ReasonKind::Member);
        let before = decisions.counters(&table(&["films", "notes"]));
        before.count(Some(0), verdict, Duration::ZERO);
        before.count(Some(1), verdict, Duration::ZERO);
        let after = decisions.counters(&table(&["notes", "wiki"]));
        after.count(Some(0), verdict, Duration::ZERO);
        after.count(Some(1), verdict, Duration::ZERO);
        // Requests that began before end after.
        before.count(Some(0), verdict, Duration::ZERO);
        for (name, expected) in [("films", 2), ("notes", 2), ("wiki", 1), ("none", 0)] {
            assert_eq!(counted(&decisions, name, verdict), expected, "{name}");
        }
        after.count(None, Verdict::MALFORMED, Duration::ZERO);
        assert_eq!(counted(&decisions, "none", Verdict::MALFORMED), 1);
    }

    /// A bound that a debug build keeps by far, in the best of many rounds: others may be given the processor meanwhile.
    #[test]
    fn counting_costs_next_to_nothing() {
        const ROUNDS: u32 = 100;
        const EACH: u32 = 1_000;
        let decisions = Decisions::default();
        let counters = decisions.counters(&table(&["films"]));
        let verdict = Verdict::allow(ReasonKind::Member);
        let rounds = (0..ROUNDS).map(|_| {
            let begun = Instant::now();
            for _ in 0..EACH {
                let asked = Instant::now();
                counters.count(Some(0), verdict, asked.elapsed());
            }
            begun.elapsed() / EACH
        });
        let best = rounds.min().expect("rounds");
        println!("{best:?} a decision");
        assert!(best < Duration::from_micros(10), "{best:?}");
        let all = u64::from(ROUNDS * EACH);
        assert_eq!(counted(&decisions, "films", verdict), all);
    }
}
