//! What the cache must never say, whichever comes first: the reading, the writing, or the word of it.

use std::cell::Cell;
use std::sync::atomic::AtomicUsize;

use async_trait::async_trait;
use secrecy::SecretString;
use tokio::sync::{Notify, Semaphore};

use super::*;
use crate::domain::identity::Identity;
use crate::domain::session::{Session, SessionId, SessionLifetime};
use crate::domain::time::Timestamp;
use crate::domain::upstream_key::Tokens;
use crate::store::coherence::{Announcing, Source};
use crate::store::contract::ManualClock;
use crate::store::embedded::EmbeddedStore;
use crate::store::sealing::Keyring;
use crate::store::session_records::{hash, session_key};
use crate::store::sessions::{Login, Sessions};
use crate::store::{Cursor, Page, Record, RecordKey, Store, StoreError, Version};

/// A store that is shared with others, and whose answers may be on their way for long.
struct Slow {
    store: EmbeddedStore,
    /// Whether answers are held back.
    holds_back: AtomicBool,
    has_read: Notify,
    may_answer: Semaphore,
    is_away: AtomicBool,
    reads: AtomicUsize,
    writes: AtomicUsize,
}

impl Slow {
    fn away(&self) -> Result<(), StoreError> {
        if self.is_away.load(Ordering::SeqCst) {
            Err(StoreError::Unreachable("it is away".into()))
        } else {
            Ok(())
        }
    }
}

#[async_trait]
impl Store for Slow {
    async fn get(&self, key: &RecordKey) -> Result<Option<Record>, StoreError> {
        self.away()?;
        self.reads.fetch_add(1, Ordering::SeqCst);
        let record = self.store.get(key).await;
        if self.holds_back.load(Ordering::SeqCst) {
            self.has_read.notify_one();
            self.may_answer.acquire().await.expect("open").forget();
        }
        record
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
        self.away()?;
        self.writes.fetch_add(1, Ordering::SeqCst);
        self.store.replace(key, version, value, lifetime).await
    }

    async fn prolong(&self, key: &RecordKey, lifetime: Duration) -> Result<bool, StoreError> {
        self.store.prolong(key, lifetime).await
    }

    async fn delete(&self, key: &RecordKey) -> Result<bool, StoreError> {
        self.away()?;
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
        self.away()
    }
}

/// Two instances with one store: `here` has a cache, and is told by the test what happens in the store.
struct Scene {
    store: Arc<Slow>,
    cache: Arc<SessionCache>,
    here: Arc<Sessions>,
    elsewhere: Sessions,
    clock: Arc<ManualClock>,
    id: SessionId,
}

fn identity(group: &str) -> Identity {
    Identity {
        issuer: "https://id.example.net".into(),
        subject: "1".into(),
        username: Some("ada".into()),
        name: Some("Ada".into()),
        email: None,
        groups: vec![group.into()],
    }
}

fn login() -> Login {
    Login {
        identity: identity("admins"),
        tokens: Tokens {
            access: Some(SecretString::from("access")),
            id: None,
            refresh: Some(SecretString::from("refresh")),
        },
        expires_in: Some(HOUR),
        nonce: String::new(),
        auth_time: None,
        amr: Vec::new(),
        sid: None,
    }
}

impl Scene {
    async fn set(grace: Duration) -> Self {
        Self::set_with(SessionCache::new(grace)).await
    }

    async fn set_with(cache: SessionCache) -> Self {
        let clock = Arc::new(ManualClock::default());
        let store = Arc::new(Slow {
            store: EmbeddedStore::in_memory(clock.clone()).expect("a store"),
            holds_back: AtomicBool::new(false),
            has_read: Notify::new(),
            may_answer: Semaphore::new(0),
            is_away: AtomicBool::new(false),
            reads: AtomicUsize::new(0),
            writes: AtomicUsize::new(0),
        });
        let cache = Arc::new(cache);
        cache.told(Event::Back);
        cache.heard(None);
        let keyring = Arc::new(Keyring::ephemeral());
        let lifetime = SessionLifetime {
            idle: HOUR * 10,
            absolute: HOUR * 100,
        };
        let sessions =
            |store: Arc<dyn Store>| Sessions::new(store, keyring.clone(), clock.clone(), lifetime);
        let announcing = Announcing::new(store.clone(), cache.clone());
        let here = sessions(Arc::new(announcing)).cached(cache.clone());
        let elsewhere = sessions(store.clone());
        let id = elsewhere.begin_now(login()).await.expect("a session");
        store.reads.store(0, Ordering::SeqCst);
        Self {
            store,
            cache,
            here: Arc::new(here),
            elsewhere,
            clock,
            id,
        }
    }

    async fn load(&self) -> Option<Arc<Known>> {
        self.here.load(&self.id).await.expect("an answer")
    }

    /// How often the store was read here.
    fn reads(&self) -> usize {
        self.store.reads.load(Ordering::SeqCst)
    }

    fn deliver(&self) {
        let key = session_key(&hash(&self.id));
        self.cache.told(Event::Changed(key.as_str()));
    }

    /// Begins to load the session, and lets `meanwhile` happen between the reading and what comes of it.
    async fn load_while(&self, meanwhile: impl Future<Output = ()>) -> Option<Arc<Known>> {
        self.store.holds_back.store(true, Ordering::SeqCst);
        let (here, id) = (Arc::clone(&self.here), self.id.clone());
        let loading = tokio::spawn(async move { here.load(&id).await });
        self.store.has_read.notified().await;
        self.store.holds_back.store(false, Ordering::SeqCst);
        meanwhile.await;
        self.store.may_answer.add_permits(1);
        loading.await.expect("it loads").expect("an answer")
    }

    /// Another instance has the session say something else.
    async fn renew_elsewhere(&self, group: &str) {
        let opened = self.elsewhere.open_renewal(&self.id).await;
        let Ok(crate::store::renewals::Found::Whole(mut renewing)) = opened else {
            unreachable!("it is whole");
        };
        let tokens = renewing.tokens();
        let renewal = crate::domain::renewal::Renewal::of(
            renewing.serial() + 1,
            true,
            Some(HOUR),
            Timestamp::from_seconds(1_800_000_000),
        );
        let renewed = (identity(group), None, renewal);
        let kept = self.elsewhere.keep_renewed(&mut renewing, &tokens, renewed);
        assert_eq!(kept.await, Ok(true));
        let finished = self.elsewhere.finish_renewal(&renewing).await;
        assert!(finished.expect("an answer").is_some());
    }
}

#[tokio::test]
async fn a_known_session_is_not_read_again() {
    let scene = Scene::set(Duration::ZERO).await;
    for _ in 0..10 {
        assert_eq!(
            scene.load().await.expect("it lives").identity,
            identity("admins")
        );
    }
    assert_eq!(scene.reads(), 1);
    let counts = scene.cache.counts();
    assert_eq!((counts.hits, counts.misses), (9, 1));
    // Nor is anything kept of those who are nobody.
    let nobody = SessionId::from_bytes([9; 32]);
    for _ in 0..3 {
        assert!(scene.here.load(&nobody).await.expect("an answer").is_none());
    }
    assert_eq!((scene.reads(), scene.cache.size().0), (4, 1));
}

#[tokio::test]
async fn lifetimes_are_looked_at_each_time() {
    let scene = Scene::set(Duration::ZERO).await;
    assert!(scene.load().await.is_some());
    scene.clock.advance(HOUR * 10);
    assert!(scene.load().await.is_none());
    assert_eq!(scene.reads(), 1);
}

#[tokio::test]
async fn what_is_ended_here_while_it_is_read_is_not_kept() {
    let scene = Scene::set(Duration::ZERO).await;
    let ending = async {
        scene.here.end(&scene.id).await.expect("it ends");
    };
    // It was asked for before the end.
    assert!(scene.load_while(ending).await.is_some());
    assert!(scene.load().await.is_none());
}

#[tokio::test]
async fn what_is_ended_here_while_it_is_known_is_not_said_again() {
    let scene = Scene::set(Duration::ZERO).await;
    assert!(scene.load().await.is_some());
    scene.here.end(&scene.id).await.expect("it ends");
    assert!(scene.load().await.is_none());
}

#[tokio::test]
async fn what_is_ended_elsewhere_is_not_kept_whenever_that_is_told() {
    // Told while it is read.
    let scene = Scene::set(Duration::ZERO).await;
    let ending = async {
        scene.elsewhere.end(&scene.id).await.expect("it ends");
        scene.deliver();
    };
    assert!(scene.load_while(ending).await.is_some());
    assert!(scene.load().await.is_none());
    // Told once it was read.
    let scene = Scene::set(Duration::ZERO).await;
    let ending = async {
        scene.elsewhere.end(&scene.id).await.expect("it ends");
    };
    assert!(scene.load_while(ending).await.is_some());
    scene.deliver();
    assert!(scene.load().await.is_none());
    // Told long after.
    let scene = Scene::set(Duration::ZERO).await;
    assert!(scene.load().await.is_some());
    scene.elsewhere.end(&scene.id).await.expect("it ends");
    assert!(scene.load().await.is_some(), "nobody could know");
    scene.deliver();
    assert!(scene.load().await.is_none());
}

/// More people are here than there is room for, so that everybody is read again and again, while some leave.
#[tokio::test]
async fn ends_are_obeyed_while_there_is_no_room_for_all() {
    const PEOPLE: usize = SHARDS * 8;
    let scene = Scene::set_with(SessionCache::bounded(Duration::ZERO, SHARDS, 1 << 20)).await;
    let mut ids = Vec::new();
    for number in 0..PEOPLE {
        let mut login = login();
        login.identity.subject = number.to_string();
        ids.push(scene.elsewhere.begin_now(login).await.expect("a session"));
    }
    let is_over = Cell::new(0);
    let reading = (0..8_usize).map(async |reader| {
        let mut place = reader * 31;
        while is_over.get() < PEOPLE {
            place = (place + 7) % PEOPLE;
            let was_over = place < is_over.get();
            let known = scene.here.load(&ids[place]).await.expect("an answer");
            assert!(known.is_none() || !was_over, "{place}");
            // Nothing is waited for where it is known.
            tokio::task::yield_now().await;
        }
    });
    let ending = async {
        for (place, id) in ids.iter().enumerate() {
            scene.elsewhere.end(id).await.expect("it ends");
            let key = session_key(&hash(id));
            scene.cache.told(Event::Changed(key.as_str()));
            is_over.set(place + 1);
        }
    };
    futures_util::future::join(futures_util::future::join_all(reading), ending).await;
    assert!(scene.cache.counts().misses > PEOPLE as u64);
    assert_eq!(scene.cache.size().0, 0);
}

#[tokio::test]
async fn groups_that_change_while_a_session_is_read_are_the_new_ones_next() {
    let scene = Scene::set(Duration::ZERO).await;
    let renewing = async {
        scene.renew_elsewhere("users").await;
        scene.deliver();
    };
    let read = scene.load_while(renewing).await.expect("it lives");
    assert_eq!(read.identity, identity("admins"));
    assert_eq!(
        scene.load().await.expect("it lives").identity,
        identity("users")
    );
    scene.renew_elsewhere("guests").await;
    scene.deliver();
    assert_eq!(
        scene.load().await.expect("it lives").identity,
        identity("guests")
    );
}

#[tokio::test]
async fn word_of_the_tokens_counts_as_word_of_the_session() {
    let scene = Scene::set(Duration::ZERO).await;
    let known = scene.load().await.expect("it lives");
    let key = RecordKey::new("tokens", &hash(&scene.id));
    scene.cache.told(Event::Changed(key.as_str()));
    let again = scene.load().await.expect("it lives");
    assert!(!Arc::ptr_eq(&known, &again));
}

#[tokio::test]
async fn a_use_is_noted_once_for_all_who_come_together_and_is_seen() {
    let scene = Scene::set(Duration::ZERO).await;
    let created = scene.load().await.expect("it lives").seen;
    scene.clock.advance(HOUR);
    let all = (0..20).map(|_| scene.load());
    for known in futures_util::future::join_all(all).await {
        assert!(known.is_some());
    }
    assert_eq!(scene.store.writes.load(Ordering::SeqCst), 1);
    assert_eq!(
        scene.load().await.expect("it lives").seen,
        created.plus(HOUR)
    );
    assert_eq!(scene.store.writes.load(Ordering::SeqCst), 1);
    // Beyond what the first lifetime would have been.
    for _ in 0..12 {
        scene.clock.advance(HOUR);
        assert!(scene.load().await.is_some());
    }
    // While it is being noted it may end.
    scene.clock.advance(HOUR);
    scene.elsewhere.end(&scene.id).await.expect("it ends");
    assert!(scene.load().await.is_none(), "the note finds it gone");
}

#[tokio::test]
async fn a_flush_or_a_loss_while_a_session_is_read_has_it_read_again() {
    for events in [
        &[Event::Flushed][..],
        &[Event::Lost, Event::Back],
        &[Event::Back],
        &[Event::Lost],
    ] {
        let scene = Scene::set(Duration::ZERO).await;
        let happening = async {
            scene.elsewhere.end(&scene.id).await.expect("it ends");
            for event in events {
                scene.cache.told(*event);
            }
        };
        assert!(scene.load_while(happening).await.is_some());
        assert!(scene.load().await.is_none(), "{events:?}");
        scene.cache.told(Event::Back);
        assert!(scene.load().await.is_none(), "{events:?}");
    }
}

#[tokio::test]
async fn while_it_may_go_untold_what_happens_everything_is_read() {
    let scene = Scene::set(HOUR).await;
    assert!(scene.load().await.is_some());
    scene.cache.told(Event::Lost);
    for reads in 2..5 {
        assert!(scene.load().await.is_some());
        assert_eq!(scene.reads(), reads);
    }
    scene.elsewhere.end(&scene.id).await.expect("it ends");
    assert!(scene.load().await.is_none());
    // Not even then: it was read since, and was gone.
    scene.store.is_away.store(true, Ordering::SeqCst);
    assert!(scene.here.load(&scene.id).await.is_err());
    scene.store.is_away.store(false, Ordering::SeqCst);
    scene.cache.told(Event::Back);
    assert!(scene.load().await.is_none());
}

/// Of two readings the one that began first may be answered last: an ended session does not come back by that.
#[tokio::test]
async fn a_reading_that_was_overtaken_brings_nobody_back() {
    for grace in [Duration::ZERO, HOUR] {
        for is_told in [true, false] {
            let scene = Scene::set(grace).await;
            if !is_told {
                scene.cache.told(Event::Lost);
            }
            let overtaking = async {
                scene.elsewhere.end(&scene.id).await.expect("it ends");
                assert!(scene.load().await.is_none());
            };
            // It was asked for before the end.
            assert!(scene.load_while(overtaking).await.is_some());
            assert_eq!(scene.cache.size().0, 0, "{grace:?} {is_told}");
            scene.store.is_away.store(true, Ordering::SeqCst);
            assert!(scene.here.load(&scene.id).await.is_err());
        }
    }
}

/// Nor do groups: of two readings that differ, nobody knows which is over.
#[tokio::test]
async fn a_grace_does_not_go_by_what_was_seen_to_be_over() {
    let scene = Scene::set(HOUR).await;
    scene.cache.told(Event::Lost);
    let overtaking = async {
        scene.renew_elsewhere("users").await;
        let seen = scene.load().await.expect("it lives");
        assert_eq!(seen.identity, identity("users"));
    };
    assert!(scene.load_while(overtaking).await.is_some());
    scene.store.is_away.store(true, Ordering::SeqCst);
    assert!(scene.here.load(&scene.id).await.is_err());
    // The next reading is alone.
    scene.store.is_away.store(false, Ordering::SeqCst);
    assert!(scene.load().await.is_some());
    scene.store.is_away.store(true, Ordering::SeqCst);
    let outlasting = scene.load().await.expect("it lives");
    assert_eq!(outlasting.identity, identity("users"));
}

/// Whoever sees that a session has ended, whatever it was read for: no grace brings it back.
#[tokio::test]
async fn an_end_that_was_seen_by_whatever_reading_is_final() {
    type Reader = fn(&Scene) -> futures_util::future::BoxFuture<'_, ()>;
    let readers: [(&str, Reader); 4] = [
        ("peek", |scene| {
            Box::pin(async {
                let peeked = scene.here.peek(&scene.id).await;
                assert!(peeked.expect("an answer").is_none());
            })
        }),
        ("open a renewal", |scene| {
            Box::pin(async {
                let opened = scene.here.open_renewal(&scene.id).await;
                assert!(matches!(opened, Ok(crate::store::renewals::Found::Nothing)));
            })
        }),
        ("note a failure", |scene| {
            Box::pin(async {
                let noted = scene.here.note_failed_renewal(&scene.id, 0, Clone::clone);
                assert!(noted.await.expect("an answer").is_none());
            })
        }),
        ("end everywhere", |scene| {
            Box::pin(async {
                let ended = scene.here.end_everywhere(&scene.id).await;
                assert!(ended.expect("an answer").is_none());
            })
        }),
    ];
    for (what, reads) in readers {
        let scene = Scene::set(HOUR).await;
        assert!(scene.load().await.is_some());
        // It is not told here.
        scene.cache.told(Event::Lost);
        scene.elsewhere.end(&scene.id).await.expect("it ends");
        reads(&scene).await;
        scene.store.is_away.store(true, Ordering::SeqCst);
        assert!(scene.here.load(&scene.id).await.is_err(), "{what}");
        assert!(scene.here.peek(&scene.id).await.is_err(), "{what}");
    }
}

/// Whoever is let in by a grace is so as well where the session is looked at once more.
#[tokio::test]
async fn a_second_look_goes_by_the_grace_too() {
    for (grace, is_outlasted) in [(Duration::ZERO, false), (HOUR, true)] {
        let scene = Scene::set(grace).await;
        assert!(scene.load().await.is_some());
        scene.store.is_away.store(true, Ordering::SeqCst);
        scene.cache.told(Event::Lost);
        for _ in 0..2 {
            assert_eq!(scene.here.load(&scene.id).await.is_ok(), is_outlasted);
            let peeked = scene.here.peek(&scene.id).await;
            assert_eq!(peeked.is_ok_and(|known| known.is_some()), is_outlasted);
        }
        scene.clock.advance(HOUR * 10);
        assert!(scene.here.peek(&scene.id).await.is_err(), "it is too old");
    }
}

/// The wish alone is enough here, even though nobody can write it down.
#[tokio::test]
async fn whoever_signs_out_everywhere_while_the_store_is_away_is_signed_out_here() {
    let scene = Scene::set(HOUR).await;
    assert!(scene.load().await.is_some());
    scene.store.is_away.store(true, Ordering::SeqCst);
    assert!(scene.here.load(&scene.id).await.is_ok());
    assert!(scene.here.end_everywhere(&scene.id).await.is_err());
    assert!(scene.here.load(&scene.id).await.is_err());
}

/// As with a store that takes its time.
#[test]
fn sessions_that_are_read_at_once_are_kept_all_the_same() {
    for grace in [Duration::ZERO, HOUR] {
        let cache = SessionCache::new(grace);
        cache.told(Event::Back);
        cache.heard(None);
        let all = (0..).map(|number| known(number, 1));
        let of_one_shard: Vec<_> = all
            .filter(|known| known.name.bits() % SHARDS as u64 == 0)
            .take(20)
            .collect();
        let nobody = (1_000..).map(|number| known(number, 1).name);
        let mut nobody = nobody.filter(|name| name.bits() % SHARDS as u64 == 0);
        let readings: Vec<_> = of_one_shard
            .iter()
            .map(|known| cache.begin(&known.name))
            .collect();
        for (reading, known) in readings.into_iter().zip(&of_one_shard) {
            // Meanwhile others ask who are signed out.
            cache.forget(&nobody.next().expect("there is no end of them"));
            cache.fill(reading, known);
        }
        // Few may be taken for one another.
        assert!(cache.size().0 >= 16, "{grace:?}: {}", cache.size().0);
    }
}

#[tokio::test]
async fn a_source_that_is_silent_for_too_long_counts_as_lost() {
    let scene = Scene::set(Duration::ZERO).await;
    assert!(scene.load().await.is_some());
    scene.cache.heard(Instant::now().checked_sub(TRUSTED_FOR));
    scene.elsewhere.end(&scene.id).await.expect("it ends");
    assert!(scene.load().await.is_none());
}

#[tokio::test]
async fn a_store_that_is_away_is_outlasted_only_where_that_is_wanted_and_not_for_long() {
    for (grace, is_outlasted) in [(Duration::ZERO, false), (HOUR, true)] {
        let scene = Scene::set(grace).await;
        scene.cache.heard(Some(Instant::now()));
        assert!(scene.load().await.is_some());
        let unknown = scene.elsewhere.begin_now(login()).await.expect("a session");
        scene.store.is_away.store(true, Ordering::SeqCst);
        scene.cache.told(Event::Lost);
        // A use that is worth noting cannot be noted, and nobody waits for that.
        scene.clock.advance(HOUR * 2);
        let answer = scene.here.load(&scene.id).await;
        assert_eq!(answer.is_ok_and(|known| known.is_some()), is_outlasted);
        assert!(
            scene.here.load(&unknown).await.is_err(),
            "nobody has read it"
        );
        // What is ended here ends here, even though nobody can write it down.
        assert!(scene.here.end(&scene.id).await.is_err());
        assert!(scene.here.load(&scene.id).await.is_err());
    }
    let scene = Scene::set(TRUSTED_FOR).await;
    assert!(scene.load().await.is_some());
    scene.store.is_away.store(true, Ordering::SeqCst);
    scene.cache.told(Event::Lost);
    let known_since = scene.cache.outlasting(&SessionName::of(&scene.id));
    assert!(known_since.is_some());
    scene
        .cache
        .heard(Instant::now().checked_sub(TRUSTED_FOR * 2));
    // It was read since then, so that is what counts.
    assert!(
        scene
            .cache
            .outlasting(&SessionName::of(&scene.id))
            .is_some()
    );
    tokio::time::sleep(TRUSTED_FOR).await;
    assert!(scene.here.load(&scene.id).await.is_err());
}

#[tokio::test]
async fn what_was_kept_goes_before_it_is_told_again_what_happens() {
    let scene = Scene::set(HOUR).await;
    assert!(scene.load().await.is_some());
    scene.cache.told(Event::Lost);
    scene.elsewhere.end(&scene.id).await.expect("it ends");
    scene.cache.told(Event::Back);
    assert!(scene.load().await.is_none());
}

#[tokio::test]
async fn an_embedded_store_tells_of_each_write_itself() {
    let clock = Arc::new(ManualClock::default());
    let store = Arc::new(EmbeddedStore::in_memory(clock.clone()).expect("a store"));
    let cache = Arc::new(SessionCache::new(Duration::ZERO));
    store.tell(cache.clone());
    let lifetime = SessionLifetime {
        idle: HOUR,
        absolute: HOUR,
    };
    let keyring = Arc::new(Keyring::ephemeral());
    // Without any announcement.
    let sessions = Sessions::new(store.clone(), keyring, clock, lifetime).cached(cache.clone());
    let id = sessions.begin_now(login()).await.expect("a session");
    for _ in 0..2 {
        assert!(sessions.load(&id).await.expect("an answer").is_some());
    }
    assert_eq!(cache.counts().hits, 1);
    // Nobody waits for this one, and it is done all the same.
    let key = session_key(&hash(&id));
    let deleting = store.delete(&key);
    // It may be so quick that there is an answer.
    let _ = futures_util::FutureExt::now_or_never(deleting);
    while store.get(&key).await.expect("an answer").is_some() {
        tokio::task::yield_now().await;
    }
    // The next write is answered after the first was told.
    let other = RecordKey::new("session", "x");
    store.delete(&other).await.expect("an answer");
    assert!(sessions.load(&id).await.expect("an answer").is_none());
}

/// A session of nobody in particular, by its number.
pub(super) fn known(number: u64, groups: usize) -> Arc<Known> {
    let id = SessionId::from_bytes(*blake3::hash(&number.to_le_bytes()).as_bytes());
    let session = Session {
        identity: Identity {
            groups: (0..groups)
                .map(|group| format!("group-{group:03}"))
                .collect(),
            ..identity("admins")
        },
        created: Timestamp::from_seconds(number),
        seen: Timestamp::from_seconds(0),
        auth_time: None,
        amr: Vec::new(),
        in_vain: None,
        sid: None,
        renewal: None,
    };
    Arc::new(Known::new(
        SessionName::of(&id),
        session,
        Version(number),
        Instant::now(),
    ))
}

fn put(cache: &SessionCache, known: &Arc<Known>) {
    if let Look::Unknown(reading) = cache.look(&known.name) {
        cache.fill(reading, known);
    }
}

#[test]
fn room_is_bounded_and_goes_to_those_who_are_here() {
    const SESSIONS: usize = 32 * 8;
    let cache = SessionCache::bounded(Duration::ZERO, SESSIONS, 1024 * 1024);
    cache.told(Event::Back);
    cache.heard(None);
    let regular = known(1_000_000, 3);
    for number in 0..10_000 {
        put(&cache, &known(number, 3));
        put(&cache, &regular);
        let (sessions, bytes) = cache.size();
        assert!(sessions <= SESSIONS && bytes <= 1024 * 1024);
    }
    assert!(cache.size().0 > SESSIONS / 2);
    let counts = cache.counts();
    assert!(counts.hits > 9_900, "{counts:?}");
    // By bytes, where those are what is short.
    let cache = SessionCache::bounded(Duration::ZERO, 1_000_000, SHARDS * 16 * 1024);
    cache.told(Event::Back);
    cache.heard(None);
    for number in 0..3_000 {
        put(
            &cache,
            &known(number, usize::try_from(number % 100).expect("few")),
        );
        let (sessions, bytes) = cache.size();
        assert!(bytes <= SHARDS * 16 * 1024, "{sessions} {bytes}");
    }
    assert!(cache.size().0 > 100);
    // One that is too large for its part is not kept, and costs nobody else a place.
    let before = cache.size();
    put(&cache, &known(2_000_000, 2_000));
    assert_eq!(cache.size(), before);
    cache.clear();
    assert_eq!(cache.size(), (0, 0));
}

#[test]
fn an_ordinary_session_takes_no_more_than_one_kib() {
    let cache = SessionCache::new(Duration::ZERO);
    cache.told(Event::Back);
    cache.heard(None);
    for number in 0..1_000 {
        let known = known(number, 3);
        put(&cache, &known);
        cache.keep(&known, 0, told());
    }
    let (sessions, bytes) = cache.size();
    assert_eq!(sessions, 1_000);
    assert!(bytes / sessions <= 1_024, "{}", bytes / sessions);
}

/// What an app with a plan of six headers is told of Ada.
fn told() -> Arc<Prepared> {
    use crate::domain::telling::{Told, Value};
    let told = [
        ("Remote-User", "ada"),
        ("Remote-Groups", "group-000,group-001,group-002"),
        ("Remote-Email", "ada@example.net"),
        ("Remote-Name", "Ada"),
        ("Remote-Subject", "248289761001"),
        ("X-Api-Key", "0123456789abcdef0123456789abcdef"),
    ]
    .map(|(name, text)| Told {
        name,
        value: Value::Text(text.to_owned()),
    });
    Arc::new(Prepared::of(&told, 0))
}

/// Eight of them, whichever were used last; and nothing with a credential that counts no more.
#[test]
fn apps_that_are_used_keep_what_they_are_told() {
    let known = known(1, 1);
    known.keep(0, told());
    for place in 1..50 {
        known.keep(place, told());
        assert!(known.prepared(0, 0).is_some(), "{place}");
    }
    assert!(known.prepared(42, 0).is_none());
    let before = known.bytes();
    assert!(known.prepared(0, 1).is_none(), "a secret was replaced");
    assert!(known.bytes() < before, "it is gone");
    assert!(known.prepared(0, 0).is_none());
}

/// Each text that a session may hold counts.
#[test]
fn all_that_a_session_says_is_weighed() {
    let long = "a".repeat(1_000);
    let plain = known(1, 1);
    let changes: [fn(&mut Session, String); 9] = [
        |session, text| session.identity.issuer = text,
        |session, text| session.identity.subject = text,
        |session, text| session.identity.username = Some(text),
        |session, text| session.identity.name = Some(text),
        |session, text| session.identity.email = Some(text),
        |session, text| session.identity.groups = vec![text],
        |session, text| session.amr = vec![text],
        |session, text| session.sid = Some(text),
        |session, text| {
            session.in_vain = Some(crate::domain::authentication::InVain {
                policies: vec![text],
                at: Timestamp::from_seconds(0),
            });
        },
    ];
    for (place, change) in changes.iter().enumerate() {
        let mut session = (**plain).clone();
        change(&mut session, long.clone());
        let long = Known::new(plain.name, session, Version(1), Instant::now());
        assert!(long.bytes() > plain.bytes() + 900, "{place}");
    }
}

#[test]
fn what_apps_are_told_is_weighed_and_goes_with_the_session() {
    use crate::domain::telling::{Told, Value};
    let cache = SessionCache::new(Duration::ZERO);
    cache.told(Event::Back);
    cache.heard(None);
    let known = known(1, 3);
    let telling = |text: &str| {
        let told = Told {
            name: "Remote-User",
            value: Value::Text(text.to_owned()),
        };
        Arc::new(Prepared::of(&[told], 7))
    };
    // For one that is not kept it counts for nothing.
    cache.keep(&known, 0, telling("ada"));
    assert_eq!(cache.size(), (0, 0));
    put(&cache, &known);
    let before = cache.size().1;
    let long = "a".repeat(5_000);
    for place in 0..100 {
        cache.keep(&known, place, telling(&long));
        let bytes = cache.size().1;
        assert!(
            bytes > before + 4_900 && bytes < before + 9 * 5_200,
            "{bytes}"
        );
    }
    assert!(known.prepared(99, 7).is_some());
    assert!(known.prepared(99, 8).is_none(), "a secret was replaced");
    assert!(known.prepared(0, 7).is_none(), "too many");
    cache.told(Event::Changed(session_key(&known.name.member()).as_str()));
    assert_eq!(cache.size(), (0, 0));
}
