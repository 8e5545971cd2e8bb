//! Sessions above a store: their limits, their endings, and what a person's list of them says.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use secrecy::ExposeSecret;

use super::*;
use crate::domain::authentication::InVain;
use crate::store::contract::ManualClock;
use crate::store::embedded::EmbeddedStore;
use crate::store::session_records::RECORD_FORMAT;
use crate::store::{Cursor, Page};

fn in_memory(clock: &Arc<ManualClock>) -> EmbeddedStore {
    EmbeddedStore::in_memory(clock.clone()).expect("a store")
}

impl Sessions {
    /// Begins a session from a login that asked the provider for nothing before.
    pub(crate) async fn begin_now(&self, login: Login) -> Result<SessionId, BeginError> {
        let before = self.endings_so_far().await?;
        self.begin(login, before).await
    }
}

pub(super) fn login() -> Login {
    Login {
        identity: Identity {
            issuer: "https://id.example.net".into(),
            subject: "1".into(),
            username: Some("ada".into()),
            name: None,
            email: None,
            groups: vec!["admins".into()],
        },
        tokens: Tokens {
            access: None,
            id: Some(SecretString::from("header.claims.signature")),
            refresh: None,
        },
        expires_in: None,
        nonce: String::new(),
        auth_time: None,
        amr: vec!["phr".into()],
        sid: None,
    }
}

pub(super) fn sessions(store: Arc<dyn Store>, clock: &Arc<ManualClock>) -> Sessions {
    let lifetime = SessionLifetime {
        idle: Duration::from_secs(100),
        absolute: Duration::from_secs(1_000),
    };
    Sessions::new(
        store,
        Arc::new(Keyring::ephemeral()),
        clock.clone(),
        lifetime,
    )
}

#[test]
fn a_login_does_not_print_its_secrets() {
    let mut login = login();
    login.nonce = "the nonce".into();
    let printed = format!("{login:?}");
    for secret in ["the nonce", "header.claims.signature"] {
        assert!(!printed.contains(secret), "{printed}");
    }
    assert!(printed.contains("https://id.example.net"), "{printed}");
}

#[tokio::test]
async fn a_session_lives_while_it_is_used_and_no_longer_than_it_may() {
    let clock = Arc::new(ManualClock::default());
    let sessions = sessions(Arc::new(in_memory(&clock)), &clock);
    let id = sessions.begin_now(login()).await.expect("a session");
    for _ in 0..11 {
        clock.advance(Duration::from_secs(90));
        assert!(sessions.load(&id).await.expect("an answer").is_some());
    }
    clock.advance(Duration::from_secs(10));
    assert!(sessions.load(&id).await.expect("an answer").is_none());
    let idle = sessions.begin_now(login()).await.expect("a session");
    clock.advance(Duration::from_secs(100));
    assert!(sessions.load(&idle).await.expect("an answer").is_none());
}

#[tokio::test]
async fn an_ended_session_is_gone_and_gives_its_token_back_once() {
    let clock = Arc::new(ManualClock::default());
    let sessions = sessions(Arc::new(in_memory(&clock)), &clock);
    let id = sessions.begin_now(login()).await.expect("a session");
    let ended = sessions.end(&id).await.expect("an answer");
    let token = ended.id_token.expect("a token");
    assert_eq!(token.expose_secret(), "header.claims.signature");
    assert_eq!(ended.identity, Some(login().identity));
    assert!(sessions.load(&id).await.expect("an answer").is_none());
    let again = sessions.end(&id).await.expect("an answer");
    assert!(again.id_token.is_none() && again.identity.is_none());
}

/// The tokens live as long as their session does, and are not left behind for the rest of its longest life.
#[tokio::test]
async fn tokens_end_with_their_session() {
    let clock = Arc::new(ManualClock::default());
    let sessions = sessions(Arc::new(in_memory(&clock)), &clock);
    let id = sessions.begin_now(login()).await.expect("a session");
    for _ in 0..3 {
        clock.advance(Duration::from_secs(90));
        assert!(sessions.load(&id).await.expect("an answer").is_some());
        assert!(sessions.tokens(&id).await.expect("an answer").id.is_some());
    }
    clock.advance(Duration::from_secs(100));
    assert!(sessions.load(&id).await.expect("an answer").is_none());
    assert!(sessions.tokens(&id).await.expect("an answer").id.is_none());
}

#[tokio::test]
async fn a_record_moved_to_another_key_is_nobodys() {
    let clock = Arc::new(ManualClock::default());
    let store = Arc::new(in_memory(&clock));
    let sessions = sessions(store.clone(), &clock);
    let ada = sessions.begin_now(login()).await.expect("a session");
    let other = SessionId::from_bytes([7; 32]);
    let record = store
        .get(&session_key(&hash(&ada)))
        .await
        .expect("an answer")
        .expect("a record");
    let hour = Duration::from_secs(3_600);
    store
        .create(&session_key(&hash(&other)), &record.value, hour)
        .await
        .expect("a record");
    assert!(sessions.load(&other).await.expect("an answer").is_none());
    let torn = SessionId::from_bytes([8; 32]);
    let cut = &record.value[..record.value.len() / 2];
    store
        .create(&session_key(&hash(&torn)), cut, hour)
        .await
        .expect("a record");
    assert!(sessions.load(&torn).await.expect("an answer").is_none());
}

#[tokio::test]
async fn a_record_of_another_version_is_nobodys_and_stays() {
    let clock = Arc::new(ManualClock::default());
    let store = Arc::new(in_memory(&clock));
    let sessions = sessions(store.clone(), &clock);
    let id = sessions.begin_now(login()).await.expect("a session");
    let key = session_key(&hash(&id));
    let stored = async || store.get(&key).await.expect("an answer").expect("a record");
    let record = stored().await;
    let context = key.as_str().as_bytes();
    let opened = sessions
        .keyring
        .open(Purpose::Session, context, &record.value);
    let mut plain = opened.expect("ours");
    assert_eq!(plain[0], RECORD_FORMAT);
    plain[0] += 1;
    let sealed = sessions.seal(Purpose::Session, &key, &plain);
    let lives = Duration::from_secs(100);
    let written = store.replace(&key, record.version, &sealed, lives).await;
    assert_eq!(written, Ok(true));
    // Its use would be worth noting by now.
    clock.advance(Duration::from_secs(50));
    assert!(sessions.load(&id).await.expect("an answer").is_none());
    assert_eq!(stored().await.value, sealed);
}

/// Deletes a session's record whenever it has been read.
struct EndedMeanwhile(EmbeddedStore);

#[async_trait]
impl Store for EndedMeanwhile {
    async fn get(&self, key: &RecordKey) -> Result<Option<Record>, StoreError> {
        let record = self.0.get(key).await;
        self.0.delete(key).await?;
        record
    }
    async fn create(
        &self,
        key: &RecordKey,
        value: &[u8],
        lifetime: Duration,
    ) -> Result<bool, StoreError> {
        self.0.create(key, value, lifetime).await
    }
    async fn replace(
        &self,
        key: &RecordKey,
        version: Version,
        value: &[u8],
        lifetime: Duration,
    ) -> Result<bool, StoreError> {
        self.0.replace(key, version, value, lifetime).await
    }
    async fn prolong(&self, key: &RecordKey, lifetime: Duration) -> Result<bool, StoreError> {
        self.0.prolong(key, lifetime).await
    }
    async fn delete(&self, key: &RecordKey) -> Result<bool, StoreError> {
        self.0.delete(key).await
    }
    async fn delete_version(&self, key: &RecordKey, version: Version) -> Result<bool, StoreError> {
        self.0.delete_version(key, version).await
    }
    async fn enlist(
        &self,
        index: &RecordKey,
        member: &str,
        lifetime: Duration,
    ) -> Result<(), StoreError> {
        self.0.enlist(index, member, lifetime).await
    }
    async fn delist(&self, index: &RecordKey, member: &str) -> Result<(), StoreError> {
        self.0.delist(index, member).await
    }
    async fn members(&self, index: &RecordKey) -> Result<Vec<String>, StoreError> {
        self.0.members(index).await
    }
    async fn page(
        &self,
        begin: &RecordKey,
        after: Option<&Cursor>,
        most: usize,
    ) -> Result<Page, StoreError> {
        self.0.page(begin, after, most).await
    }
    async fn ping(&self) -> Result<(), StoreError> {
        self.0.ping().await
    }
}

#[tokio::test]
async fn noting_the_use_of_a_session_does_not_bring_it_back() {
    let clock = Arc::new(ManualClock::default());
    let store = Arc::new(EndedMeanwhile(in_memory(&clock)));
    let sessions = sessions(store, &clock);
    let id = sessions.begin_now(login()).await.expect("a session");
    clock.advance(Duration::from_secs(50));
    assert!(sessions.load(&id).await.expect("an answer").is_none());
    assert!(sessions.load(&id).await.expect("an answer").is_none());
}

#[tokio::test]
async fn a_step_up_in_vain_is_noted_and_is_no_use_of_the_session() {
    let clock = Arc::new(ManualClock::default());
    let sessions = sessions(Arc::new(in_memory(&clock)), &clock);
    let id = sessions.begin_now(login()).await.expect("a session");
    clock.advance(Duration::from_secs(50));
    let in_vain = InVain {
        policies: vec!["danger".into()],
        at: clock.now(),
    };
    let noted = sessions.note_in_vain(&id, in_vain.clone()).await;
    assert_eq!(noted, Ok(()));
    let key = session_key(&hash(&id));
    let (session, _) = sessions
        .read(&key)
        .await
        .expect("an answer")
        .expect("a session");
    assert_eq!(session.in_vain, Some(in_vain));
    assert_eq!(session.seen, session.created);
    clock.advance(Duration::from_secs(50));
    assert!(sessions.load(&id).await.expect("an answer").is_none());
}

#[tokio::test]
async fn noting_a_step_up_does_not_bring_a_session_back() {
    let clock = Arc::new(ManualClock::default());
    let store = Arc::new(EndedMeanwhile(in_memory(&clock)));
    let sessions = sessions(store, &clock);
    let id = sessions.begin_now(login()).await.expect("a session");
    let in_vain = InVain {
        policies: vec!["danger".into()],
        at: clock.now(),
    };
    assert_eq!(sessions.note_in_vain(&id, in_vain).await, Ok(()));
    assert!(sessions.load(&id).await.expect("an answer").is_none());
}

/// Counts the writes that it is asked for, and refuses them, or does not answer, while it is told to.
struct Refusing {
    store: EmbeddedStore,
    is_down: AtomicBool,
    refuses: AtomicBool,
    asked: AtomicUsize,
}

impl Refusing {
    fn new(clock: &Arc<ManualClock>) -> Arc<Self> {
        Arc::new(Self {
            store: in_memory(clock),
            is_down: AtomicBool::new(false),
            refuses: AtomicBool::new(false),
            asked: AtomicUsize::new(0),
        })
    }

    fn refuse(&self, refuses: bool) {
        self.refuses.store(refuses, Ordering::SeqCst);
    }

    /// How many writes there were since it was asked before.
    fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::SeqCst)
    }

    fn may_write(&self) -> Result<(), StoreError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.refuses.load(Ordering::SeqCst) {
            return Err(StoreError::Refused("a test says so".into()));
        }
        Ok(())
    }
}

#[async_trait]
impl Store for Refusing {
    async fn get(&self, key: &RecordKey) -> Result<Option<Record>, StoreError> {
        if self.is_down.load(Ordering::SeqCst) {
            return Err(StoreError::Unreachable("a test says so".into()));
        }
        self.store.get(key).await
    }
    async fn create(
        &self,
        key: &RecordKey,
        value: &[u8],
        lifetime: Duration,
    ) -> Result<bool, StoreError> {
        self.may_write()?;
        self.store.create(key, value, lifetime).await
    }
    async fn replace(
        &self,
        key: &RecordKey,
        version: Version,
        value: &[u8],
        lifetime: Duration,
    ) -> Result<bool, StoreError> {
        self.may_write()?;
        self.store.replace(key, version, value, lifetime).await
    }
    async fn prolong(&self, key: &RecordKey, lifetime: Duration) -> Result<bool, StoreError> {
        self.may_write()?;
        self.store.prolong(key, lifetime).await
    }
    async fn delete(&self, key: &RecordKey) -> Result<bool, StoreError> {
        self.may_write()?;
        self.store.delete(key).await
    }
    async fn delete_version(&self, key: &RecordKey, version: Version) -> Result<bool, StoreError> {
        self.may_write()?;
        self.store.delete_version(key, version).await
    }
    async fn enlist(
        &self,
        index: &RecordKey,
        member: &str,
        lifetime: Duration,
    ) -> Result<(), StoreError> {
        self.may_write()?;
        self.store.enlist(index, member, lifetime).await
    }
    async fn delist(&self, index: &RecordKey, member: &str) -> Result<(), StoreError> {
        self.may_write()?;
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
async fn a_store_that_takes_nothing_is_not_asked_to_at_every_request() {
    let clock = Arc::new(ManualClock::default());
    let store = Refusing::new(&clock);
    let sessions = sessions(store.clone(), &clock);
    let (one, other) = (
        sessions.begin_now(login()).await.expect("a session"),
        sessions.begin_now(login()).await.expect("a session"),
    );
    clock.advance(Duration::from_secs(20));
    store.refuse(true);
    store.asked();
    for id in [&one, &other, &one, &other] {
        assert!(sessions.load(id).await.expect("an answer").is_some());
    }
    assert_eq!(store.asked(), 1, "one attempt, whoever is asked for");
    // It is tried again, and what could not be noted is noted then.
    store.refuse(false);
    clock.advance(TOUCH_PAUSE);
    assert!(sessions.load(&one).await.expect("an answer").is_some());
    assert!(sessions.load(&other).await.expect("an answer").is_some());
    clock.advance(Duration::from_secs(90));
    assert!(sessions.load(&one).await.expect("an answer").is_some());
    assert!(sessions.load(&other).await.expect("an answer").is_some());
}

/// What is logged by this thread.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("nobody panics").extend(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn an_outage_is_worth_two_lines_however_many_ask() {
    let logged = Logged::default();
    let writer = logged.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    let clock = Arc::new(ManualClock::default());
    let store = Refusing::new(&clock);
    let sessions = sessions(store.clone(), &clock);
    let id = sessions.begin_now(login()).await.expect("a session");
    for is_down in [false, true, false] {
        store.is_down.store(is_down, Ordering::SeqCst);
        for _ in 0..100 {
            assert_eq!(sessions.load(&id).await.is_err(), is_down);
            assert_eq!(sessions.tokens(&id).await.is_err(), is_down);
        }
    }
    let logged = logged.0.lock().expect("nobody panics").clone();
    let logged = String::from_utf8(logged).expect("text");
    let about = logged.lines().filter(|line| line.contains("looked up"));
    assert_eq!(about.count(), 2, "{logged}");
}

async fn listed(store: &EmbeddedStore) -> Vec<String> {
    let index = user_index(&login().identity);
    store.members(&index).await.expect("an answer")
}

#[tokio::test]
async fn a_persons_list_follows_their_sessions() {
    let clock = Arc::new(ManualClock::default());
    let store = Arc::new(in_memory(&clock));
    let sessions = sessions(store.clone(), &clock);
    let first = sessions.begin_now(login()).await.expect("a session");
    clock.advance(Duration::from_secs(60));
    let second = sessions.begin_now(login()).await.expect("a session");
    assert_eq!(listed(&store).await, [hash(&first), hash(&second)]);
    // A session that is used stays on the list for as long as it lives.
    sessions
        .load(&first)
        .await
        .expect("an answer")
        .expect("it lives");
    clock.advance(Duration::from_secs(99));
    sessions
        .load(&first)
        .await
        .expect("an answer")
        .expect("it lives");
    assert_eq!(listed(&store).await, [hash(&second), hash(&first)]);
    clock.advance(Duration::from_secs(1));
    assert_eq!(listed(&store).await, [hash(&first)]);
    sessions.end(&first).await.expect("an answer");
    assert!(listed(&store).await.is_empty());
}

#[tokio::test]
async fn all_sessions_of_a_person_end_and_nobody_elses() {
    let clock = Arc::new(ManualClock::default());
    let sessions = sessions(Arc::new(in_memory(&clock)), &clock);
    let mut bens = login();
    bens.identity.subject = "2".into();
    let (mut of_ada, of_ben) = (
        Vec::new(),
        sessions.begin_now(bens).await.expect("a session"),
    );
    for _ in 0..3 {
        of_ada.push(sessions.begin_now(login()).await.expect("a session"));
    }
    let ended = sessions.end_all_of("https://id.example.net", "1").await;
    assert_eq!(ended, Ok(3));
    for id in &of_ada {
        assert!(sessions.load(id).await.expect("an answer").is_none());
        assert!(sessions.tokens(id).await.expect("an answer").id.is_none());
    }
    assert!(sessions.load(&of_ben).await.expect("an answer").is_some());
    let again = sessions.end_all_of("https://id.example.net", "1").await;
    assert_eq!(again, Ok(0));
}

#[tokio::test]
async fn one_session_too_many_ends_the_one_that_would_end_first() {
    let clock = Arc::new(ManualClock::default());
    let store = Arc::new(in_memory(&clock));
    let sessions = sessions(store.clone(), &clock);
    let first = sessions.begin_now(login()).await.expect("a session");
    clock.advance(Duration::from_secs(1));
    let second = sessions.begin_now(login()).await.expect("a session");
    clock.advance(Duration::from_secs(1));
    for _ in 2..MAX_SESSIONS_PER_USER {
        sessions.begin_now(login()).await.expect("a session");
    }
    assert!(sessions.load(&first).await.expect("an answer").is_some());
    sessions.begin_now(login()).await.expect("a session");
    assert!(sessions.load(&first).await.expect("an answer").is_none());
    assert!(sessions.load(&second).await.expect("an answer").is_some());
    assert_eq!(listed(&store).await.len(), MAX_SESSIONS_PER_USER);
}
