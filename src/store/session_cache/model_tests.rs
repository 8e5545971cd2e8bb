//! The cache between a store and its readers, step by step, in every order: what it says is never older than what was known
//! here to be over.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::tests::known;
use super::*;
use crate::domain::session::SessionId;
use crate::store::Version;
use crate::store::session_records::session_key;

/// What may happen, in whatever order. Sessions by number, readings and writings by their place among those under way.
#[derive(Debug, Clone)]
enum Step {
    /// A request comes: it finds the session, or begins to read.
    Ask(usize),
    /// Somebody begins to read whatever is known.
    Peek(usize),
    /// The store is read for it.
    Read(usize),
    /// It has its answer.
    Answer(usize),
    /// The store does not answer somebody.
    AskInVain(usize),
    /// The session changes here: announced, written, told. Each takes its time.
    Announce(usize),
    Write(usize),
    TellHere(usize),
    /// It changes elsewhere.
    WriteElsewhere(usize),
    /// The next change is told that the store has to tell of.
    Deliver,
    Flush,
    Lose,
    Return,
}

fn step() -> impl Strategy<Value = Step> {
    const SOME: std::ops::Range<usize> = 0..3;
    prop_oneof![
        8 => SOME.prop_map(Step::Ask),
        3 => SOME.prop_map(Step::Peek),
        6 => SOME.prop_map(Step::Read),
        6 => SOME.prop_map(Step::Answer),
        3 => SOME.prop_map(Step::AskInVain),
        2 => SOME.prop_map(Step::Announce),
        2 => SOME.prop_map(Step::Write),
        2 => SOME.prop_map(Step::TellHere),
        3 => SOME.prop_map(Step::WriteElsewhere),
        3 => Just(Step::Deliver),
        1 => Just(Step::Flush),
        1 => Just(Step::Lose),
        1 => Just(Step::Return),
    ]
}

/// The store, and all that is on its way between it and the cache.
struct Model {
    cache: SessionCache,
    names: [SessionName; 3],
    /// What the store has.
    stored: [u64; 3],
    /// What must be known here at least.
    owed: [u64; 3],
    /// What was read here already.
    seen: [u64; 3],
    readings: Vec<(usize, Reading, Option<u64>)>,
    /// Writings here that were announced, and those that were written.
    announced: Vec<usize>,
    written: Vec<(usize, u64)>,
    telling: VecDeque<(usize, u64)>,
    is_lost: bool,
}

impl Model {
    fn new(grace: Duration) -> Self {
        let cache = SessionCache::new(grace);
        cache.told(Event::Back);
        cache.heard(None);
        Self {
            cache,
            names: [0, 1, 2].map(|number| SessionName::of(&SessionId::from_bytes([number; 32]))),
            stored: [0; 3],
            owed: [0; 3],
            seen: [0; 3],
            readings: Vec::new(),
            announced: Vec::new(),
            written: Vec::new(),
            telling: VecDeque::new(),
            is_lost: false,
        }
    }

    /// Each fourth version is none: the session has ended. That it comes back is harder than life.
    fn is_there(version: u64) -> bool {
        version % 4 != 3
    }

    fn tell(&self, session: usize) {
        let key = session_key(&self.names[session].member());
        self.cache.told(Event::Changed(key.as_str()));
    }

    /// The store has another version, and says so some time, unless it is not heard.
    fn write(&mut self, session: usize) -> u64 {
        self.stored[session] += 1;
        if !self.is_lost {
            self.telling.push_back((session, self.stored[session]));
        }
        self.stored[session]
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Ask(session) => match self.cache.look(&self.names[session]) {
                Look::Known(known) => {
                    assert!(!self.is_lost);
                    assert!(known.version.0 >= self.owed[session]);
                }
                Look::Unknown(reading) => self.readings.push((session, reading, None)),
            },
            Step::Peek(session) => {
                let reading = self.cache.begin(&self.names[session]);
                self.readings.push((session, reading, None));
            }
            Step::Read(place) => {
                if let Some((session, _, read)) = self.readings.get_mut(place) {
                    read.get_or_insert(self.stored[*session]);
                }
            }
            Step::Answer(place) => {
                let is_read = |(_, _, read): &&(usize, Reading, Option<u64>)| read.is_some();
                if self.readings.get(place).as_ref().is_some_and(is_read) {
                    let (session, reading, read) = self.readings.remove(place);
                    let version = read.expect("it was read");
                    self.seen[session] = self.seen[session].max(version);
                    if Self::is_there(version) {
                        let session = (self.names[session], (**known(0, 1)).clone());
                        let read =
                            Known::new(session.0, session.1, Version(version), reading.begun);
                        self.cache.fill(reading, &Arc::new(read));
                    } else {
                        self.cache.forget(&self.names[session]);
                    }
                }
            }
            Step::AskInVain(session) => {
                if let Some(known) = self.cache.outlasting(&self.names[session]) {
                    assert!(!self.cache.grace.is_zero());
                    let least = self.owed[session].max(self.seen[session]);
                    assert!(known.version.0 >= least);
                }
            }
            Step::Announce(session) => {
                // A deletion alone is.
                if !Self::is_there(self.stored[session] + 1) {
                    self.tell(session);
                }
                self.announced.push(session);
            }
            Step::Write(place) => {
                if place < self.announced.len() {
                    let session = self.announced.remove(place);
                    let version = self.write(session);
                    self.written.push((session, version));
                }
            }
            Step::TellHere(place) => {
                if place < self.written.len() {
                    let (session, version) = self.written.remove(place);
                    self.tell(session);
                    self.owed[session] = self.owed[session].max(version);
                }
            }
            Step::WriteElsewhere(session) => {
                self.write(session);
            }
            Step::Deliver => {
                if let Some((session, version)) = self.telling.pop_front() {
                    self.tell(session);
                    self.owed[session] = self.owed[session].max(version);
                }
            }
            Step::Flush => {
                self.cache.told(Event::Flushed);
                self.owed = self.stored;
            }
            Step::Lose => {
                self.cache.told(Event::Lost);
                self.telling.clear();
                self.is_lost = true;
            }
            Step::Return => {
                self.telling.clear();
                self.cache.told(Event::Back);
                self.is_lost = false;
                self.owed = self.stored;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(20_000) })]

    /// Whoever asks is never told what was true before a change whose end was answered here, or that was told here; nor,
    /// where the store does not answer, what was seen here to be over.
    #[test]
    fn nothing_is_said_that_was_known_to_be_over(
        has_grace in any::<bool>(),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut model = Model::new(if has_grace { HOUR } else { Duration::ZERO });
        for step in &steps {
            model.take(step);
        }
    }
}
