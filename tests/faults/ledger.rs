//! What the probes of one scenario have seen, and whether that is what must hold.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::kit::{Failure, Result};
use crate::seen::{Expect, Seen, Who};

/// So long Caddy waits for a connection to the service, as it is printed.
const DIAL_LIMIT: Duration = Duration::from_secs(1);

/// How a request got to the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    Direct,
    /// To the second instance.
    Second,
    Caddy,
    Traefik,
}

impl Route {
    /// To one instance.
    pub const USUAL: &[Self] = &[Self::Direct, Self::Caddy, Self::Traefik];
    /// To two, of which Traefik knows one.
    pub const TO_TWO: &[Self] = &[Self::Direct, Self::Second, Self::Caddy];
}

pub struct Sample {
    pub who: Who,
    pub route: Route,
    pub begun: Instant,
    pub took: Duration,
    pub seen: Seen,
    /// What is wrong with the answer as such.
    pub complaint: Option<String>,
}

/// What a phase is to the faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The fault is there.
    Fault,
    /// It is coming or going, or not there.
    Other,
}

struct Phase {
    since: Instant,
    kind: Kind,
    /// `None` while things change: then the oracle alone holds.
    expect: Option<Expect>,
    /// What holds by one of the ways in its place.
    but: Option<(Route, Option<Expect>)>,
}

impl Phase {
    fn expect(&self, route: Route) -> Option<Expect> {
        match self.but {
            Some((other, expect)) if other == route => expect,
            _ => self.expect,
        }
    }
}

/// A request that has nothing to do with the service: how busy the machine is, and a proxy.
struct Control {
    route: Route,
    begun: Instant,
    took: Duration,
}

#[derive(Default)]
struct Pages {
    controls: Vec<Control>,
    samples: Vec<Sample>,
    phases: Vec<Phase>,
    recovery: Option<Duration>,
}

#[derive(Default)]
pub struct Ledger(Mutex<Pages>);

/// The figures of one scenario.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    pub requests: usize,
    /// Of 1, while the fault was there; `None` when nobody asked then.
    pub valid_passed: Option<f64>,
    pub bypassed_passed: Option<f64>,
    pub slowest: Duration,
    /// Of the requests that have nothing to do with the service.
    pub slowest_control: Duration,
    pub recovery: Option<Duration>,
    pub forbidden_passes: usize,
    /// What Caddy gave up because the machine was too busy.
    pub given_up: usize,
}

impl Ledger {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn note(&self, sample: Sample) {
        self.pages().samples.push(sample);
    }

    pub fn note_control(&self, route: Route, begun: Instant) {
        let took = begun.elapsed();
        let control = Control { route, begun, took };
        self.pages().controls.push(control);
    }

    pub fn begin(&self, kind: Kind, expect: Option<Expect>) {
        self.begin_but(kind, expect, None);
    }

    /// The same with a way by which something else holds.
    pub fn begin_but(
        &self,
        kind: Kind,
        expect: Option<Expect>,
        but: Option<(Route, Option<Expect>)>,
    ) {
        let since = Instant::now();
        self.pages().phases.push(Phase {
            since,
            kind,
            expect,
            but,
        });
    }

    pub fn set_recovery(&self, recovery: Duration) {
        self.pages().recovery = Some(recovery);
    }

    /// When the first of the last answers began that are all as `expect` says, and how many of `who`'s these
    /// are: none as long as one of these ways brings no answer. Counts what began after `since`.
    pub fn good_since(
        &self,
        since: Instant,
        expect: &Expect,
        who: Who,
        routes: &[Route],
    ) -> Option<(Instant, usize)> {
        let pages = self.pages();
        let mut samples: Vec<&Sample> = pages.samples.iter().collect();
        samples.retain(|sample| sample.begun >= since);
        samples.sort_by_key(|sample| sample.begun);
        let bad = |sample: &Sample| !expect.allows(sample.who, sample.seen);
        let first = samples
            .iter()
            .rposition(|sample| bad(sample))
            .map_or(0, |last| last + 1);
        let run = &samples[first..];
        let count_by = |route: &Route| {
            let by = |sample: &&&Sample| sample.who == who && sample.route == *route;
            run.iter().filter(by).count()
        };
        let counts: Vec<usize> = routes.iter().map(count_by).collect();
        let all_answer = counts.iter().all(|count| *count > 0);
        let count = if all_answer { counts.iter().sum() } else { 0 };
        run.first().map(|sample| (sample.begun, count))
    }

    /// The last answers, for a message.
    pub fn latest(&self) -> String {
        let pages = self.pages();
        let last = pages.samples.iter().rev().take(15);
        let told =
            last.map(|sample| format!("{:?}/{:?} {:?}", sample.who, sample.route, sample.seen));
        told.collect::<Vec<_>>().join(", ")
    }

    pub fn figures(&self) -> Figures {
        let pages = self.pages();
        let in_fault: Vec<&Sample> = pages
            .samples
            .iter()
            .filter(|sample| {
                let phase = pages.phase_of(sample);
                phase.is_some_and(|phase| {
                    phase.kind == Kind::Fault
                        && phase.but.is_none_or(|(but, _)| but != sample.route)
                })
            })
            .collect();
        let share = |who: Who| {
            let asked = in_fault.iter().filter(|sample| sample.who == who);
            let (mut all, mut passed) = (0.0, 0.0);
            for sample in asked {
                all += 1.0;
                passed += f64::from(u8::from(sample.seen == Seen::Pass));
            }
            (all > 0.0).then(|| passed / all)
        };
        Figures {
            requests: pages.samples.len(),
            valid_passed: share(Who::Valid),
            bypassed_passed: share(Who::Bypassed),
            slowest: pages.slowest().map_or(Duration::ZERO, |sample| sample.took),
            slowest_control: pages
                .controls
                .iter()
                .map(|control| control.took)
                .max()
                .unwrap_or_default(),
            recovery: pages.recovery,
            forbidden_passes: pages.forbidden().count(),
            given_up: pages
                .samples
                .iter()
                .filter(|sample| pages.is_given_up(sample))
                .count(),
        }
    }

    /// Holds all that was seen by these ways against what must hold; `bound` is for each answer, and what the machine
    /// took for something else at the same time is added.
    ///
    /// # Errors
    ///
    /// With the first few of what must not be.
    pub fn verdict(&self, bound: Duration, routes: &[Route]) -> Result<()> {
        let pages = self.pages();
        let mut wrong: Vec<String> = pages
            .forbidden()
            .map(|sample| pages.tell("LET IN", sample))
            .collect();
        let slow = pages.samples.iter().filter(|sample| {
            sample.took > bound && sample.took > bound + pages.busy_during(sample)
        });
        wrong.extend(slow.map(|sample| pages.tell(&format!("slower than {bound:?}"), sample)));
        for sample in &pages.samples {
            if let Some(complaint) = &sample.complaint {
                wrong.push(pages.tell(complaint, sample));
            }
            let expect = pages.phase_of(sample);
            let expect = expect.and_then(|phase| phase.expect(sample.route));
            let is_wrong = expect.is_some_and(|expect| !expect.allows(sample.who, sample.seen));
            if is_wrong && !pages.is_given_up(sample) {
                wrong.push(pages.tell("not as it must be", sample));
            }
        }
        for who in Who::ALL {
            for route in routes {
                let asked = |sample: &&Sample| sample.who == who && sample.route == *route;
                if pages.samples.iter().filter(asked).count() < 5 {
                    wrong.push(format!("{who:?} hardly asked by way of {route:?}"));
                }
            }
        }
        if wrong.is_empty() {
            return Ok(());
        }
        let shown = wrong[..wrong.len().min(8)].join("\n");
        Err(Failure(format!(
            "{} things that must not be:\n{shown}",
            wrong.len()
        )))
    }
}

impl Pages {
    /// The phase in which the whole of it lies.
    fn phase_of(&self, sample: &Sample) -> Option<&Phase> {
        let at = |then: Instant| self.phases.iter().rposition(|phase| phase.since <= then);
        let (first, last) = (at(sample.begun)?, at(sample.begun + sample.took)?);
        (first == last).then(|| &self.phases[first])
    }

    fn forbidden(&self) -> impl Iterator<Item = &Sample> {
        let samples = self.samples.iter();
        samples.filter(|sample| sample.seen == Seen::Pass && !sample.who.may_pass())
    }

    /// Whether Caddy gave up, as it does after a second, while the app by itself took as long by the same way. Nobody is
    /// let in by that, and it says nothing of the service.
    fn is_given_up(&self, sample: &Sample) -> bool {
        sample.seen == Seen::NoGate
            && sample.route == Route::Caddy
            && sample.took >= DIAL_LIMIT
            && self.busy_during(sample) >= DIAL_LIMIT
    }

    /// The longest that something else took at the same time, by the same proxy or by none.
    fn busy_during(&self, sample: &Sample) -> Duration {
        let end = sample.begun + sample.took;
        let meanwhile = self.controls.iter().filter(|control| {
            (control.route == sample.route || control.route == Route::Direct)
                && control.begun <= end
                && control.begun + control.took >= sample.begun
        });
        meanwhile
            .map(|control| control.took)
            .max()
            .unwrap_or_default()
    }

    fn slowest(&self) -> Option<&Sample> {
        self.samples.iter().max_by_key(|sample| sample.took)
    }

    fn tell(&self, what: &str, sample: &Sample) -> String {
        let start = self
            .phases
            .first()
            .map_or(sample.begun, |phase| phase.since);
        format!(
            "{what}: {:?} by way of {:?} saw {:?} after {:.3} s, begun at {:.3} s",
            sample.who,
            sample.route,
            sample.seen,
            sample.took.as_secs_f64(),
            sample.begun.saturating_duration_since(start).as_secs_f64(),
        )
    }
}
