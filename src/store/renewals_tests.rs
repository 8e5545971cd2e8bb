//! What stands in the store after each step of a renewal, and after whatever may come in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use secrecy::ExposeSecret;

use super::*;
use crate::clock::Clock;
use crate::domain::renewal::{RenewalRules, WithoutRefresh};
use crate::domain::session::SessionLifetime;
use crate::domain::time::Timestamp;
use crate::store::contract::ManualClock;
use crate::store::embedded::EmbeddedStore;
use crate::store::sealing::Keyring;
use crate::store::sessions::Login;
use crate::store::{Cursor, Page, Record, RecordKey, Store};

const HOUR: Duration = Duration::from_secs(3_600);

const RULES: RenewalRules = RenewalRules {
    grace: Duration::from_secs(24 * 3_600),
    without_refresh: WithoutRefresh::Session,
};

fn failed_at(now: Timestamp) -> impl Fn(&Renewal) -> Renewal {
    move |renewal| RULES.failed(renewal, now)
}

fn identity(groups: &[&str]) -> Identity {
    Identity {
        issuer: "https://id.example.net".into(),
        subject: "1".into(),
        username: Some("ada".into()),
        name: None,
        email: None,
        groups: groups.iter().map(ToString::to_string).collect(),
    }
}

fn tokens(number: u32) -> Tokens {
    Tokens {
        access: Some(format!("access-{number}").into()),
        id: Some(format!("id-{number}").into()),
        refresh: Some(format!("refresh-{number}").into()),
    }
}

struct Scene {
    sessions: Arc<Sessions>,
    store: Arc<Failing>,
    clock: Arc<ManualClock>,
    id: SessionId,
}

impl Scene {
    async fn set() -> Self {
        let clock = Arc::new(ManualClock::default());
        let store = Arc::new(Failing {
            store: EmbeddedStore::in_memory(clock.clone()).expect("a store"),
            unanswered: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            lost: AtomicUsize::new(0),
        });
        let lifetime = SessionLifetime {
            idle: HOUR * 24,
            absolute: HOUR * 240,
        };
        let keyring = Arc::new(Keyring::ephemeral());
        let sessions = Sessions::new(store.clone(), keyring, clock.clone(), lifetime);
        let login = Login {
            identity: identity(&["admins"]),
            tokens: tokens(0),
            expires_in: Some(HOUR),
            nonce: "n-0".into(),
            auth_time: None,
            amr: Vec::new(),
            sid: Some("sid-0".into()),
        };
        let id = sessions.begin_now(login).await.expect("a session");
        Self {
            sessions: Arc::new(sessions),
            store,
            clock,
            id,
        }
    }

    async fn open(&self) -> Renewing {
        match self.sessions.open_renewal(&self.id).await {
            Ok(Found::Whole(renewing)) => *renewing,
            _ => unreachable!("a session with its tokens"),
        }
    }

    async fn session(&self) -> Option<Session> {
        let found = self.sessions.peek(&self.id).await.expect("an answer");
        found.map(|known| (**known).clone())
    }

    /// Access, ID and refresh token.
    async fn stored(&self) -> [String; 3] {
        let tokens = self.sessions.tokens(&self.id).await.expect("an answer");
        [tokens.access, tokens.id, tokens.refresh]
            .map(|token| token.map_or_else(String::new, |token| token.expose_secret().to_owned()))
    }

    async fn keep(
        &self,
        renewing: &mut Renewing,
        number: u32,
        renewed: (Identity, Option<String>, Renewal),
    ) -> Result<bool, StoreError> {
        let tokens = tokens(number);
        self.sessions.keep_renewed(renewing, &tokens, renewed).await
    }

    fn renewed(&self, serial: u64, groups: &[&str]) -> (Identity, Option<String>, Renewal) {
        let renewal = Renewal::of(serial, true, Some(HOUR), self.clock.now());
        (identity(groups), None, renewal)
    }
}

/// Does not answer the next writes of a record over another, though it carries them out; or refuses them; or says that
/// it carries them out, and has lost them a moment later.
struct Failing {
    store: EmbeddedStore,
    unanswered: AtomicUsize,
    refused: AtomicUsize,
    lost: AtomicUsize,
}

fn counts_down(left: &AtomicUsize) -> bool {
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
        left.checked_sub(1)
    })
    .is_ok()
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
        if counts_down(&self.refused) {
            return Err(StoreError::Refused("a test says so".into()));
        }
        if counts_down(&self.lost) {
            return Ok(true);
        }
        let done = self.store.replace(key, version, value, lifetime).await;
        if counts_down(&self.unanswered) {
            return Err(StoreError::Unreachable("a test says so".into()));
        }
        done
    }
    async fn prolong(&self, key: &RecordKey, lifetime: Duration) -> Result<bool, StoreError> {
        self.store.prolong(key, lifetime).await
    }
    async fn delete(&self, key: &RecordKey) -> Result<bool, StoreError> {
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

#[tokio::test]
async fn a_renewal_is_written_to_the_tokens_and_then_to_the_session() {
    let scene = Scene::set().await;
    let mut renewing = scene.open().await;
    assert_eq!((renewing.serial(), renewing.nonce()), (0, "n-0"));
    assert!(!renewing.is_ahead());
    scene.clock.advance(HOUR);
    // The new refresh token is there before anything is believed of the rest.
    let kept = Tokens {
        refresh: Some("refresh-1".into()),
        ..renewing.tokens()
    };
    assert_eq!(
        scene.sessions.keep_tokens(&mut renewing, &kept).await,
        Ok(true)
    );
    assert_eq!(scene.stored().await, ["access-0", "id-0", "refresh-1"]);
    let renewed = scene.renewed(1, &["media"]);
    let written = scene.keep(&mut renewing, 1, renewed);
    assert_eq!(written.await, Ok(true));
    assert_eq!(scene.stored().await, ["access-1", "id-1", "refresh-1"]);
    let session = scene.session().await.expect("it lives");
    assert_eq!(session.identity.groups, ["admins"], "not yet");
    let session = scene.sessions.finish_renewal(&renewing).await;
    let session = session.expect("an answer").expect("it lives");
    assert_eq!(scene.session().await.as_ref(), Some(&session));
    assert_eq!(session.identity.groups, ["media"]);
    assert_eq!(
        session.sid.as_deref(),
        Some("sid-0"),
        "none came, so that of before"
    );
    let renewal = session.renewal.expect("what to do next");
    assert_eq!((renewal.serial, renewal.issued), (1, scene.clock.now()));
    assert_eq!(
        session.seen,
        scene.clock.now(),
        "it was renewed because it was used"
    );
    assert_eq!(scene.open().await.nonce(), "n-0");
}

/// The process died after it had written the tokens.
#[tokio::test]
async fn what_stands_with_the_tokens_alone_is_found_by_the_next_one() {
    let scene = Scene::set().await;
    let mut renewing = scene.open().await;
    let renewed = scene.renewed(1, &["media"]);
    let written = scene.keep(&mut renewing, 1, renewed);
    assert_eq!(written.await, Ok(true));
    drop(renewing);
    let next = scene.open().await;
    assert!(next.is_ahead());
    let session = scene.sessions.finish_renewal(&next).await;
    let session = session.expect("an answer").expect("it lives");
    assert_eq!(session.identity.groups, ["media"]);
    assert!(!scene.open().await.is_ahead());
    // Whoever comes too late with the same changes nothing.
    let again = scene.sessions.finish_renewal(&next).await;
    assert_eq!(again, Ok(Some(session)));
}

#[tokio::test]
async fn whoever_was_overtaken_writes_nothing() {
    let scene = Scene::set().await;
    let (mut late, mut next) = (scene.open().await, scene.open().await);
    let renewed = scene.renewed(1, &["next"]);
    let written = scene.keep(&mut next, 1, renewed);
    assert_eq!(written.await, Ok(true));
    assert_eq!(
        scene.sessions.keep_tokens(&mut late, &tokens(7)).await,
        Ok(false)
    );
    let renewed = scene.renewed(1, &["late"]);
    let written = scene.keep(&mut late, 7, renewed);
    assert_eq!(written.await, Ok(false));
    // Not even an ending: what the provider said was about tokens that are no longer there.
    assert_eq!(scene.sessions.end_renewing(&late).await, Ok(false));
    assert_eq!(scene.stored().await, ["access-1", "id-1", "refresh-1"]);
    scene
        .sessions
        .finish_renewal(&next)
        .await
        .expect("an answer");
    let session = scene.session().await.expect("it lives");
    assert_eq!(session.identity.groups, ["next"]);
}

#[tokio::test]
async fn no_step_brings_an_ended_session_back() {
    let scene = Scene::set().await;
    for step in 0..4 {
        let scene = Scene::set().await;
        let mut renewing = scene.open().await;
        let renewed = scene.renewed(1, &["media"]);
        if step >= 1 {
            scene
                .sessions
                .keep_tokens(&mut renewing, &tokens(1))
                .await
                .expect("an answer");
        }
        if step >= 2 {
            let written = scene.keep(&mut renewing, 1, renewed.clone());
            written.await.expect("an answer");
        }
        let ended = scene.sessions.end(&scene.id).await.expect("an answer");
        let hint = ended.id_token.expect("a hint for the provider");
        let newest = if step >= 1 { "id-1" } else { "id-0" };
        assert_eq!(hint.expose_secret(), newest, "step {step}");
        assert_eq!(
            scene.sessions.keep_tokens(&mut renewing, &tokens(2)).await,
            Ok(false)
        );
        let written = scene.keep(&mut renewing, 2, renewed);
        assert_eq!(written.await, Ok(false), "step {step}");
        assert_eq!(scene.sessions.finish_renewal(&renewing).await, Ok(None));
        let now = scene.clock.now();
        assert_eq!(
            scene
                .sessions
                .note_failed_renewal(&scene.id, renewing.serial(), failed_at(now))
                .await,
            Ok(None)
        );
        assert_eq!(scene.session().await, None, "step {step}");
        assert_eq!(scene.stored().await, ["", "", ""], "step {step}");
    }
    assert!(
        scene.session().await.is_some(),
        "nobody else's session ended"
    );
}

#[tokio::test]
async fn an_ending_takes_the_session_and_its_tokens() {
    let scene = Scene::set().await;
    let renewing = scene.open().await;
    assert_eq!(scene.sessions.end_renewing(&renewing).await, Ok(true));
    assert_eq!(scene.session().await, None);
    assert_eq!(scene.stored().await, ["", "", ""]);
    assert!(matches!(
        scene.sessions.open_renewal(&scene.id).await,
        Ok(Found::Nothing)
    ));
}

#[tokio::test]
async fn a_write_that_is_not_answered_is_not_taken_for_somebody_elses() {
    let scene = Scene::set().await;
    let mut renewing = scene.open().await;
    scene.store.unanswered.store(1, Ordering::SeqCst);
    let kept = scene.sessions.keep_tokens(&mut renewing, &tokens(1)).await;
    assert_eq!(kept, Ok(true));
    let renewed = scene.renewed(1, &[]);
    assert_eq!(scene.keep(&mut renewing, 1, renewed).await, Ok(true));
}

#[tokio::test]
async fn tokens_that_must_not_be_lost_are_written_as_soon_as_the_store_takes_them() {
    let scene = Scene::set().await;
    let mut renewing = scene.open().await;
    scene.store.refused.store(2, Ordering::SeqCst);
    let kept = scene.sessions.keep_tokens(&mut renewing, &tokens(1)).await;
    assert_eq!(kept, Ok(true));
    assert_eq!(scene.stored().await[2], "refresh-1");
}

/// Another server takes over between the write and the look at it.
#[tokio::test]
async fn a_write_that_the_store_forgets_is_made_again() {
    let scene = Scene::set().await;
    let mut renewing = scene.open().await;
    scene.store.lost.store(2, Ordering::SeqCst);
    let kept = scene.sessions.keep_tokens(&mut renewing, &tokens(1)).await;
    assert_eq!(kept, Ok(true));
    assert_eq!(scene.stored().await[2], "refresh-1");
    // Not without end; and nobody is said to have been quicker.
    scene.store.lost.store(SAVES, Ordering::SeqCst);
    let kept = scene.sessions.keep_tokens(&mut renewing, &tokens(2)).await;
    assert!(kept.is_err(), "{kept:?}");
    assert_eq!(scene.stored().await[2], "refresh-1");
}

/// Its use is noted all the time, by other requests.
#[tokio::test]
async fn touches_and_renewals_do_not_undo_each_other() {
    let scene = Scene::set().await;
    let mut renewing = scene.open().await;
    scene.clock.advance(HOUR * 3);
    let touched = scene.sessions.load(&scene.id).await.expect("an answer");
    assert_eq!(touched.expect("it lives").seen, scene.clock.now());
    let renewed = scene.renewed(1, &["media"]);
    let written = scene.keep(&mut renewing, 1, renewed);
    assert_eq!(written.await, Ok(true));
    scene
        .sessions
        .finish_renewal(&renewing)
        .await
        .expect("an answer");
    scene.clock.advance(HOUR * 3);
    scene.sessions.load(&scene.id).await.expect("an answer");
    let session = scene.session().await.expect("it lives");
    assert_eq!(session.identity.groups, ["media"]);
    assert_eq!(session.seen, scene.clock.now());
    // The tokens live for as long.
    scene
        .clock
        .advance((HOUR * 24).saturating_sub(Duration::from_secs(1)));
    assert_eq!(scene.stored().await[2], "refresh-1");
    scene.clock.advance(Duration::from_secs(1));
    assert_eq!(scene.stored().await[2], "");
}

#[tokio::test]
async fn a_failure_is_noted_until_a_renewal_goes_well() {
    let scene = Scene::set().await;
    let mut renewing = scene.open().await;
    scene.clock.advance(HOUR);
    let since = scene.clock.now();
    for _ in 0..3 {
        let now = scene.clock.now();
        let noted = scene
            .sessions
            .note_failed_renewal(&scene.id, renewing.serial(), failed_at(now))
            .await;
        let renewal = noted.expect("an answer").expect("it lives").renewal;
        let renewal = renewal.expect("what to do next");
        assert_eq!(
            (renewal.failing_since, renewal.tried),
            (Some(since), Some(now))
        );
        scene.clock.advance(Duration::from_secs(10));
    }
    let renewed = scene.renewed(1, &["media"]);
    let written = scene.keep(&mut renewing, 1, renewed);
    assert_eq!(written.await, Ok(true));
    let session = scene.sessions.finish_renewal(&renewing).await;
    let renewal = session.expect("an answer").expect("it lives").renewal;
    assert_eq!(renewal.expect("what to do next").failing_since, None);
}

/// Whoever was overtaken knows nothing about the tokens that came since.
#[tokio::test]
async fn a_failure_is_noted_for_the_tokens_that_it_was_with() {
    let scene = Scene::set().await;
    let (late, mut next) = (scene.open().await, scene.open().await);
    let renewed = scene.renewed(1, &["next"]);
    let written = scene.keep(&mut next, 1, renewed);
    assert_eq!(written.await, Ok(true));
    let finished = scene.sessions.finish_renewal(&next).await;
    let session = finished.expect("an answer");
    let now = scene.clock.now();
    let noted = scene
        .sessions
        .note_failed_renewal(&scene.id, late.serial(), failed_at(now))
        .await;
    assert_eq!(noted, Ok(session.clone()));
    assert_eq!(scene.session().await, session);
}

#[tokio::test]
async fn a_session_whose_tokens_are_gone_is_told_apart() {
    let scene = Scene::set().await;
    let key = tokens_key(&hash(&scene.id));
    let lives = HOUR * 24;
    let torn = scene
        .store
        .replace(&key, scene.open().await.version, b"torn", lives);
    assert_eq!(torn.await, Ok(true));
    let found = scene.sessions.open_renewal(&scene.id).await;
    assert!(matches!(found, Ok(Found::Unreadable(_))));
    assert_eq!(scene.store.delete(&key).await, Ok(true));
    let found = scene.sessions.open_renewal(&scene.id).await;
    assert!(matches!(found, Ok(Found::WithoutTokens(_))));
}

#[tokio::test]
async fn one_holds_the_lease_at_a_time() {
    let scene = Scene::set().await;
    let lease = scene.sessions.lease_renewal(&scene.id).await;
    let lease = lease.expect("an answer").expect("it is free");
    let second = scene.sessions.lease_renewal(&scene.id).await;
    assert!(second.expect("an answer").is_none());
    let other = SessionId::from_bytes([9; 32]);
    let of_another = scene.sessions.lease_renewal(&other).await;
    assert!(of_another.expect("an answer").is_some());
    lease.release().await;
    let third = scene.sessions.lease_renewal(&scene.id).await;
    assert!(third.expect("an answer").is_some());
}

/// As the version before wrote them: they open, and cannot be renewed.
#[tokio::test]
async fn records_from_before_there_were_renewals_open() {
    let record: TokenRecord =
        serde_json::from_str(r#"{"access":"a","id":"i"}"#).expect("a record of before");
    assert!(record.tokens().refresh.is_none() && record.renewed.is_none());
    let session: Session = serde_json::from_str(
        r#"{"identity":{"issuer":"https://id","subject":"1","username":null,"name":null,"email":null,
            "groups":[]},"created":1,"seen":2,"auth_time":null,"amr":[],"sid":null}"#,
    )
    .expect("a record of before");
    assert_eq!(session.renewal, None);
}
