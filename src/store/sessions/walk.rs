//! Who is signed in: all sessions, a page at a time, or one person's.

use futures_util::{StreamExt, TryStreamExt, stream};

use super::Sessions;
use crate::domain::session::Session;
use crate::store::sealing::Purpose;
use crate::store::session_records::{decode, index_of, session_key};
use crate::store::{Cursor, Record, RecordKey, StoreError};

/// How many records a step of a walk looks at: some hundred kilobytes, and a few milliseconds of the store.
const STEP: usize = 500;

/// How many of one person's sessions are read at once.
const AT_ONCE: usize = 16;

/// The length of a session's name in the store: 32 bytes in base64url.
const NAME_LENGTH: usize = 43;

/// The shortest beginning of a name that is taken for it.
const LEAST_LENGTH: usize = 8;

/// A session, and what the store calls it: a hash, which lets nobody in.
#[derive(Debug)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// The session, which lives.
    pub session: Session,
}

/// One step of a walk over all sessions.
#[derive(Debug, Default)]
pub struct SessionPage {
    /// Those that live.
    pub sessions: Vec<Named>,
    /// How many records did not open: torn, of another version, or sealed with a key that is not there.
    pub unreadable: usize,
    /// Where to go on; `None` at the end.
    pub next: Option<Cursor>,
}

/// A session's name, or its beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameStart(String);

impl NameStart {
    /// Reads 8 to 43 characters of base64url; `None` for anything else.
    #[must_use]
    pub fn parse(written: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let fits = (LEAST_LENGTH..=NAME_LENGTH).contains(&written.len());
        (fits && written.bytes().all(plain)).then(|| Self(written.to_owned()))
    }

    /// What was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is a name as a whole.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.0.len() == NAME_LENGTH
    }
}

/// Which names begin like that.
#[derive(Debug, PartialEq, Eq)]
pub enum NameMatch {
    /// None.
    Nobody,
    /// This one alone.
    One(String),
    /// Two at least.
    Several,
}

impl Sessions {
    /// One step of a walk over everybody's sessions, in no order: from the first one, or from where the step before
    /// ended. It may find none and not be the last. A session may be found twice in a walk, and one that began or
    /// ended meanwhile may be found or not.
    ///
    /// # Errors
    ///
    /// [`StoreError`], when the store cannot tell, or knows no such place.
    pub async fn page(&self, after: Option<&Cursor>) -> Result<SessionPage, StoreError> {
        let page = self.store.page(&session_key(""), after, STEP).await?;
        let mut found = SessionPage {
            next: page.next,
            ..SessionPage::default()
        };
        for (key, record) in &page.records {
            self.take(key, record, &mut found);
        }
        Ok(found)
    }

    /// All sessions of a person.
    ///
    /// # Errors
    ///
    /// [`StoreError`], when the store cannot tell.
    pub async fn of_user(&self, issuer: &str, subject: &str) -> Result<SessionPage, StoreError> {
        let names = self.store.members(&index_of(issuer, subject)).await?;
        let reads = stream::iter(names).map(async |name| {
            let key = session_key(&name);
            let record = self.store.get(&key).await?;
            Ok::<_, StoreError>(record.map(|record| (key, record)))
        });
        let records: Vec<Option<_>> = reads.buffered(AT_ONCE).try_collect().await?;
        let mut found = SessionPage::default();
        for (key, record) in records.iter().flatten() {
            self.take(key, record, &mut found);
        }
        Ok(found)
    }

    /// Which names of sessions begin with `start`. Looks at all there are, until there are two.
    ///
    /// # Errors
    ///
    /// [`StoreError`], when the store cannot tell.
    pub async fn matching(&self, start: &NameStart) -> Result<NameMatch, StoreError> {
        let begin = session_key(start.as_str());
        let mut found = NameMatch::Nobody;
        let mut after = None;
        loop {
            let page = self.store.page(&begin, after.as_ref(), STEP).await?;
            for (key, _) in &page.records {
                let name = name_in(key);
                match &found {
                    NameMatch::One(other) if other == name => {}
                    NameMatch::Nobody => found = NameMatch::One(name.to_owned()),
                    NameMatch::One(_) | NameMatch::Several => return Ok(NameMatch::Several),
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(found);
            }
        }
    }

    fn take(&self, key: &RecordKey, record: &Record, found: &mut SessionPage) {
        let opened = self
            .keyring
            .open(Purpose::Session, key.as_str().as_bytes(), &record.value)
            .ok()
            .and_then(|plain| decode::<Session>(&plain));
        match opened {
            Some(session) if self.lifetime.is_live(&session, self.clock.now()) => {
                found.sessions.push(Named {
                    name: name_in(key).to_owned(),
                    session,
                });
            }
            Some(_) => {}
            None => found.unreadable += 1,
        }
    }
}

/// The name in the key of a session's record.
fn name_in(key: &RecordKey) -> &str {
    key.as_str().split_once(':').map_or("", |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::domain::session::SessionLifetime;
    use crate::store::Store;
    use crate::store::contract::ManualClock;
    use crate::store::embedded::EmbeddedStore;
    use crate::store::sealing::Keyring;
    use crate::store::session_records::encode;
    use crate::store::sessions::{Login, tests};

    const ISSUER: &str = "https://id.example.net";

    struct Place {
        clock: Arc<ManualClock>,
        store: Arc<EmbeddedStore>,
        sessions: Sessions,
    }

    impl Place {
        fn new() -> Self {
            let clock = Arc::new(ManualClock::default());
            let store = EmbeddedStore::in_memory(clock.clone()).expect("a store");
            let store = Arc::new(store.within(Duration::from_secs(30)));
            let sessions = Self::sealing_anew(&store, &clock);
            Self {
                clock,
                store,
                sessions,
            }
        }

        /// With a key that nobody else has.
        fn sealing_anew(store: &Arc<EmbeddedStore>, clock: &Arc<ManualClock>) -> Sessions {
            let lifetime = SessionLifetime {
                idle: Duration::from_secs(100),
                absolute: Duration::from_secs(1_000),
            };
            let keyring = Arc::new(Keyring::ephemeral());
            Sessions::new(store.clone(), keyring, clock.clone(), lifetime)
        }

        async fn sign_in(&self, subject: &str) {
            let done = self.sessions.begin_now(login(subject)).await;
            done.map(drop).expect("a session");
        }

        /// The names and subjects of all sessions, and how many records did not open.
        async fn all(&self) -> (BTreeSet<(String, String)>, usize) {
            let (mut found, mut unreadable, mut after) = (BTreeSet::new(), 0, None);
            loop {
                let page = self.sessions.page(after.as_ref()).await.expect("a page");
                unreadable += page.unreadable;
                for one in page.sessions {
                    found.insert((one.name, one.session.identity.subject));
                }
                after = page.next;
                if after.is_none() {
                    return (found, unreadable);
                }
            }
        }
    }

    fn login(subject: &str) -> Login {
        let mut login = tests::login();
        subject.clone_into(&mut login.identity.subject);
        login
    }

    #[tokio::test]
    async fn those_who_are_signed_in_are_found_and_nobody_else() {
        let place = Place::new();
        assert_eq!(place.all().await, (BTreeSet::new(), 0));
        place.sign_in("early").await;
        place.clock.advance(Duration::from_secs(60));
        place.sign_in("ada").await;
        place.sign_in("ada").await;
        place.sign_in("ben").await;
        // Sealed with a key that we do not have, and no record of ours at all.
        let other = Place::sealing_anew(&place.store, &place.clock);
        other.begin_now(login("foreign")).await.expect("a session");
        let torn = session_key("torn");
        let done = place
            .store
            .create(&torn, b"x", Duration::from_secs(60))
            .await;
        assert_eq!(done, Ok(true));
        place.clock.advance(Duration::from_secs(40));
        let (found, unreadable) = place.all().await;
        let subjects: Vec<&str> = found.iter().map(|(_, subject)| subject.as_str()).collect();
        let mut sorted = subjects.clone();
        sorted.sort_unstable();
        assert_eq!(
            (sorted.as_slice(), unreadable),
            (&["ada", "ada", "ben"][..], 2)
        );
        let of_ada = place.sessions.of_user(ISSUER, "ada").await.expect("a list");
        let mut names: Vec<&str> = of_ada.sessions.iter().map(|one| &*one.name).collect();
        names.sort_unstable();
        let expected = found.iter().filter(|(_, subject)| subject == "ada");
        assert_eq!(names, expected.map(|(name, _)| &**name).collect::<Vec<_>>());
        for (issuer, subject) in [(ISSUER, "early"), (ISSUER, "nobody"), ("https://x", "ada")] {
            let found = place.sessions.of_user(issuer, subject).await;
            assert!(
                found.expect("a list").sessions.is_empty(),
                "{issuer} {subject}"
            );
        }
    }

    #[tokio::test]
    async fn a_name_is_found_by_its_beginning_where_that_is_one_s_alone() {
        let place = Place::new();
        let kept = Duration::from_secs(60);
        let names = ["AAAAAAAA-1", "AAAAAAAA-2", "BBBBBBBB-_"];
        for name in names {
            let done = place.store.create(&session_key(name), b"", kept).await;
            assert_eq!(done, Ok(true));
        }
        #[rustfmt::skip] // the columns are the point
        let cases = [
            ("AAAAAAAA",   NameMatch::Several),
            ("AAAAAAAA-",  NameMatch::Several),
            ("AAAAAAAA-1", NameMatch::One(names[0].into())),
            ("BBBBBBBB",   NameMatch::One(names[2].into())),
            ("BBBBBBBB-A", NameMatch::Nobody),
            ("CCCCCCCC",   NameMatch::Nobody),
        ];
        for (start, expected) in cases {
            let start = NameStart::parse(start).expect("a beginning");
            let found = place.sessions.matching(&start).await.expect("an answer");
            assert_eq!(found, expected, "{start:?}");
        }
    }

    #[test]
    fn a_beginning_has_eight_characters_of_base64url_at_least() {
        let whole = "a".repeat(43);
        for (written, is_one) in [
            ("", false),
            ("abcdefg", false),
            ("abcdefgh", true),
            ("-_3defgh", true),
            ("abcdefg*", false),
            ("abcdefg:", false),
            ("abcdefgé", false),
            (&whole, true),
            (&format!("{whole}a"), false),
        ] {
            let parsed = NameStart::parse(written);
            assert_eq!(parsed.is_some(), is_one, "{written}");
            assert_eq!(
                parsed.is_some_and(|start| start.is_whole()),
                written.len() == 43
            );
        }
    }

    /// What is asked for at once stays small however many there are, and so does what is held.
    #[tokio::test]
    async fn a_hundred_thousand_sessions_are_walked_in_small_pages() {
        const SESSIONS: usize = 100_000;
        let place = Place::new();
        let sessions = &place.sessions;
        place.sign_in("first").await;
        let first = sessions
            .page(None)
            .await
            .expect("a page")
            .sessions
            .remove(0);
        let written = stream::iter(1..SESSIONS).map(async |number| {
            let mut session = first.session.clone();
            session.identity.subject = number.to_string();
            let key = session_key(&format!("{number:043}"));
            let record = sessions.seal(Purpose::Session, &key, &encode(&session));
            let kept = Duration::from_secs(100);
            let done = place.store.create(&key, &record, kept).await;
            assert_eq!(done, Ok(true));
        });
        let start = Instant::now();
        written.buffer_unordered(500).collect::<()>().await;
        let writing = start.elapsed();
        let start = Instant::now();
        let (mut found, mut largest, mut after) = (0, 0, None);
        loop {
            let page = sessions.page(after.as_ref()).await.expect("a page");
            assert_eq!(page.unreadable, 0);
            largest = largest.max(page.sessions.len());
            found += page.sessions.len();
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let walking = start.elapsed();
        println!("{found} sessions written in {writing:?}, walked in {walking:?}");
        assert_eq!((found, largest), (SESSIONS, STEP));
        // Where each page began at the first again, it would take hundreds of times as long.
        assert!(walking < writing * 10, "{walking:?}, and {writing:?}");
    }
}
