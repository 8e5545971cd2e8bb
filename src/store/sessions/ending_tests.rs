//! Endings: which sessions they end, and what is known of those afterwards.

use std::sync::atomic::Ordering;

use async_trait::async_trait;
use secrecy::ExposeSecret;

use super::ending_races::{Between, MANY};
use super::tests::{login, sessions};
use super::*;
use crate::store::contract::ManualClock;
use crate::store::embedded::EmbeddedStore;
use crate::store::session_records::{index_of, mark_of, sid_index};
use crate::store::{Cursor, Page};

pub(super) const ISSUER: &str = "https://id.example.net";

fn login_from(sid: &str) -> Login {
    Login {
        sid: Some(sid.to_owned()),
        ..login()
    }
}

pub(super) fn login_of(subject: &str, sid: &str) -> Login {
    let mut login = login_from(sid);
    subject.clone_into(&mut login.identity.subject);
    login
}

/// Sessions of three people, two of which share the provider's session, as if a browser had been passed on.
struct Four {
    store: Arc<EmbeddedStore>,
    sessions: Sessions,
    /// Of 1 from A, of 1 from B, of 2 from B, of 3 from none.
    ids: Vec<SessionId>,
}

impl Four {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        let store = Arc::new(EmbeddedStore::in_memory(clock.clone()).expect("a store"));
        let sessions = sessions(store.clone(), &clock);
        let mut without = login_of("3", "");
        without.sid = None;
        let mut ids = Vec::new();
        for login in [
            login_of("1", "A"),
            login_of("1", "B"),
            login_of("2", "B"),
            without,
        ] {
            ids.push(sessions.begin_now(login).await.expect("a session"));
        }
        Self {
            store,
            sessions,
            ids,
        }
    }

    async fn living(&self) -> Vec<bool> {
        let mut living = Vec::new();
        for id in &self.ids {
            living.push(self.sessions.load(id).await.expect("an answer").is_some());
        }
        living
    }
}

#[tokio::test]
#[rustfmt::skip] // the columns are the point
async fn the_provider_ends_what_it_names() {
    let cases = [
        // sub, sid, which live
        (None,      Some("A"), [false, true,  true,  true]),
        (None,      Some("B"), [true,  false, false, true]),
        (Some("1"), Some("B"), [true,  false, true,  true]),
        (Some("2"), Some("A"), [true,  true,  true,  true]),
        (Some("1"), None,      [false, false, true,  true]),
        (Some("3"), None,      [true,  true,  true,  false]),
        (Some("4"), None,      [true,  true,  true,  true]),
        (None,      Some("C"), [true,  true,  true,  true]),
        (None,      Some(""),  [true,  true,  true,  true]),
        (None,      None,      [true,  true,  true,  true]),
    ];
    for (sub, sid, expected) in cases {
        let four = Four::new().await;
        let ended = four.sessions.end_at_provider(ISSUER, sub, sid).await.expect("an answer");
        assert_eq!(four.living().await, expected, "{sub:?} {sid:?}");
        assert_eq!(ended.len(), expected.iter().filter(|lives| !**lives).count());
        assert!(ended.iter().all(|ended| ended.identity.is_some() && ended.id_token.is_some()));
        // Another provider's names are others.
        let four = Four::new().await;
        let ended = four.sessions.end_at_provider("https://id.example.org", sub, sid).await.expect("an answer");
        assert!(ended.is_empty());
        assert_eq!(four.living().await, [true; 4]);
    }
}

#[tokio::test]
async fn everywhere_is_everywhere_of_one_person() {
    let four = Four::new().await;
    let ended = four.sessions.end_everywhere(&four.ids[0]).await;
    let ended = ended.expect("an answer").expect("a session");
    assert_eq!(ended.sessions, 2);
    assert_eq!(ended.own.identity.expect("somebody").subject, "1");
    assert_eq!(
        ended.own.id_token.expect("a token").expose_secret(),
        "header.claims.signature"
    );
    assert_eq!(four.living().await, [false, false, true, true]);
    let ended = four.sessions.end_everywhere(&four.ids[0]).await;
    assert!(ended.expect("an answer").is_none());
}

#[tokio::test]
async fn a_session_ends_by_its_name_in_the_store() {
    let four = Four::new().await;
    let name = hash(&four.ids[0]);
    let ended = four
        .sessions
        .end_named(&name)
        .await
        .expect("an answer")
        .expect("a session");
    assert_eq!(ended.identity.expect("somebody").subject, "1");
    assert_eq!(four.living().await, [false, true, true, true]);
    for no_name in [
        &name,
        "",
        "session:x",
        &name[1..],
        &format!("{name}A"),
        "ä",
        &"_".repeat(100),
    ] {
        assert!(
            four.sessions
                .end_named(no_name)
                .await
                .expect("an answer")
                .is_none(),
            "{no_name}"
        );
    }
}

/// A sign-out everywhere that could not be recorded in full can be asked for again.
#[tokio::test]
async fn who_signs_out_everywhere_stays_signed_in_until_all_are_out() {
    let four = Four::new().await;
    let other = hash(&four.ids[1]);
    let failing = Arc::new(Failing {
        store: four.store.clone(),
        at: session_key(&other),
    });
    let sessions = Sessions::new(
        failing,
        four.sessions.keyring.clone(),
        four.sessions.clock.clone(),
        four.sessions.lifetime,
    );
    assert!(sessions.end_everywhere(&four.ids[0]).await.is_err());
    assert_eq!(four.living().await, [true; 4]);
    let ended = four.sessions.end_everywhere(&four.ids[0]).await;
    assert_eq!(ended.expect("an answer").expect("a session").sessions, 2);
    assert_eq!(four.living().await, [false, false, true, true]);
}

/// What has ended has, and has to be told of, though something that ends later could not be.
#[tokio::test]
async fn what_has_ended_is_told_though_not_all_has() {
    // Ended are the sessions of 1, or those that came from B; the last of them cannot be.
    for from_b in [false, true] {
        let four = Four::new().await;
        let list = if from_b {
            sid_index(ISSUER, "B")
        } else {
            index_of(ISSUER, "1")
        };
        let listed = four.store.members(&list).await.expect("an answer");
        let failing = Arc::new(Failing {
            store: four.store.clone(),
            at: session_key(&listed[1]),
        });
        let sessions = Sessions::new(
            failing,
            four.sessions.keyring.clone(),
            four.sessions.clock.clone(),
            four.sessions.lifetime,
        );
        let error = StoreError::Refused("a test says so".into());
        if from_b {
            let ended = sessions.end_at_provider(ISSUER, None, Some("B")).await;
            let partly = ended.expect_err("one does not end");
            assert_eq!(partly.error, error);
            assert!(partly.ended.len() == 1 && partly.ended[0].identity.is_some());
        } else {
            let ended = sessions.end_all_of(ISSUER, "1").await;
            assert_eq!(ended, Err(Partly { ended: 1, error }));
        }
        let living = four.living().await;
        assert_eq!(living.iter().filter(|lives| !**lives).count(), 1);
    }
    // The one that asks ends last.
    let four = Four::new().await;
    let failing = Arc::new(Failing {
        store: four.store.clone(),
        at: session_key(&hash(&four.ids[0])),
    });
    let sessions = Sessions::new(
        failing,
        four.sessions.keyring.clone(),
        four.sessions.clock.clone(),
        four.sessions.lifetime,
    );
    let ended = sessions.end_everywhere(&four.ids[0]).await;
    let partly = ended.expect_err("one does not end").ended.expect("one has");
    assert_eq!(partly.sessions, 1);
    assert_eq!(partly.own.identity.expect("somebody").subject, "1");
    assert_eq!(four.living().await, [true, false, true, true]);
}

#[tokio::test]
async fn somebody_who_signed_out_everywhere_may_sign_in_again_at_once() {
    let four = Four::new().await;
    for _ in 0..3 {
        let id = four
            .sessions
            .begin_now(login_of("1", "C"))
            .await
            .expect("a session");
        assert_ne!(four.sessions.load(&id).await, Ok(None));
        four.sessions
            .end_all_of(ISSUER, "1")
            .await
            .expect("an answer");
        assert_eq!(four.sessions.load(&id).await, Ok(None));
    }
}

/// The provider had ended its session while the code that came from it was on its way.
#[tokio::test]
async fn a_login_from_a_session_that_the_provider_has_ended_comes_to_nothing() {
    let four = Four::new().await;
    let ended = four
        .sessions
        .end_at_provider(ISSUER, None, Some("Z"))
        .await
        .expect("an answer");
    assert!(ended.is_empty());
    let begun = four.sessions.begin_now(login_of("1", "Z")).await;
    assert_eq!(begun.err(), Some(BeginError::Ended));
    assert!(four.sessions.begin_now(login_of("1", "Y")).await.is_ok());
    let marks = mark_of(&sid_index(ISSUER, "Z"));
    assert!(four.store.get(&marks).await.expect("an answer").is_some());
}

#[tokio::test]
async fn a_session_that_the_provider_renames_is_found_by_its_new_name_alone() {
    let four = Four::new().await;
    let member = hash(&four.ids[0]);
    let before = four
        .sessions
        .load(&four.ids[0])
        .await
        .expect("an answer")
        .expect("a session");
    let after = Session {
        sid: Some("D".into()),
        ..(**before).clone()
    };
    let lives = Duration::from_secs(100);
    four.sessions
        .enlist(&member, &after, lives)
        .await
        .expect("an answer");
    let listed = async |sid| {
        four.store
            .members(&sid_index(ISSUER, sid))
            .await
            .expect("an answer")
    };
    assert_eq!((listed("A").await.len(), listed("D").await.len()), (1, 1));
    four.sessions
        .leave_lists(&member, &before, Some(&after))
        .await
        .expect("an answer");
    assert_eq!((listed("A").await.len(), listed("D").await.len()), (0, 1));
    let of_user = four.store.members(&index_of(ISSUER, "1")).await;
    assert_eq!(of_user.expect("an answer").len(), 2);
}

/// The provider may know its session by the newest ID token alone.
#[tokio::test]
async fn an_ending_gives_the_newest_id_token_back() {
    let clock = Arc::new(ManualClock::default());
    let store: Arc<dyn Store> = Arc::new(EmbeddedStore::in_memory(clock.clone()).expect("a store"));
    let between = Between::new(store.clone());
    let sessions = sessions(between.clone(), &clock);
    for number in 0..MANY {
        let id = sessions
            .begin_now(login_from("A"))
            .await
            .expect("a session");
        let key = tokens_key(&hash(&id));
        let written = Arc::new(AtomicBool::new(false));
        let renewal = {
            let (store, key, written) = (store.clone(), key.clone(), written.clone());
            let newer = Tokens {
                access: None,
                id: Some(SecretString::from("newer")),
                refresh: None,
            };
            let newer = sessions.seal(Purpose::Tokens, &key, &encode(&TokenRecord::of(&newer, "")));
            async move {
                let Some(read) = store.get(&key).await.expect("an answer") else {
                    return;
                };
                let done = store
                    .replace(&key, read.version, &newer, Duration::from_secs(100))
                    .await;
                written.store(done.expect("an answer"), Ordering::SeqCst);
            }
        };
        between.before_step(number, Box::pin(renewal));
        let ended = sessions.end(&id).await.expect("an answer");
        if !between.happened() {
            assert!(number > 4, "an ending takes more steps than that");
            return;
        }
        let token = ended.id_token.expect("a token");
        // Once the tokens are taken, a renewal finds them changed or gone, and knows that its own are the newest.
        if written.load(Ordering::SeqCst) && number < 4 {
            assert_eq!(token.expose_secret(), "newer", "before step {number}");
        }
        assert_eq!(store.get(&key).await, Ok(None), "before step {number}");
    }
}

/// Does not delete one record.
struct Failing {
    store: Arc<EmbeddedStore>,
    at: RecordKey,
}

#[async_trait]
impl Store for Failing {
    async fn get(&self, key: &RecordKey) -> Result<Option<Record>, StoreError> {
        self.store.get(key).await
    }
    async fn create(
        &self,
        key: &RecordKey,
        value: &[u8],
        lifetime: Duration,
    ) -> Result<bool, StoreError> {
        self.store.create(key, value, lifetime).await
    }
    async fn replace(
        &self,
        key: &RecordKey,
        version: Version,
        value: &[u8],
        lifetime: Duration,
    ) -> Result<bool, StoreError> {
        self.store.replace(key, version, value, lifetime).await
    }
    async fn prolong(&self, key: &RecordKey, lifetime: Duration) -> Result<bool, StoreError> {
        self.store.prolong(key, lifetime).await
    }
    async fn delete(&self, key: &RecordKey) -> Result<bool, StoreError> {
        if *key == self.at {
            return Err(StoreError::Refused("a test says so".into()));
        }
        self.store.delete(key).await
    }
    async fn delete_version(&self, key: &RecordKey, version: Version) -> Result<bool, StoreError> {
        self.store.delete_version(key, version).await
    }
    async fn enlist(
        &self,
        index: &RecordKey,
        member: &str,
        lifetime: Duration,
    ) -> Result<(), StoreError> {
        self.store.enlist(index, member, lifetime).await
    }
    async fn delist(&self, index: &RecordKey, member: &str) -> Result<(), StoreError> {
        self.store.delist(index, member).await
    }
    async fn members(&self, index: &RecordKey) -> Result<Vec<String>, StoreError> {
        self.store.members(index).await
    }
    async fn page(
        &self,
        begin: &RecordKey,
        after: Option<&Cursor>,
        most: usize,
    ) -> Result<Page, StoreError> {
        self.store.page(begin, after, most).await
    }
    async fn ping(&self) -> Result<(), StoreError> {
        self.store.ping().await
    }
}
