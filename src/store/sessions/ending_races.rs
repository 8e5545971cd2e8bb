//! Endings win against every writer, at whichever of its steps they come.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures_util::future::BoxFuture;

use super::ending_tests::{ISSUER, login_of};
use super::tests::sessions;
use super::*;
use crate::domain::authentication::InVain;
use crate::domain::renewal::RenewalRules;
use crate::store::contract::ManualClock;
use crate::store::embedded::EmbeddedStore;
use crate::store::renewals::{Found, Renewing};
use crate::store::session_records::{index_of, sid_index};
use crate::store::{Cursor, Page};

/// A store in which something happens between two steps of whoever uses it.
pub(super) struct Between {
    store: Arc<dyn Store>,
    /// Steps that were asked for.
    steps: AtomicUsize,
    /// What happens before the step of this number.
    then: Mutex<Option<(usize, BoxFuture<'static, ()>)>>,
}

impl Between {
    pub(super) fn new(store: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self {
            store,
            steps: AtomicUsize::new(0),
            then: Mutex::default(),
        })
    }

    pub(super) fn before_step(&self, number: usize, then: BoxFuture<'static, ()>) {
        self.steps.store(0, Ordering::SeqCst);
        *self.then.lock().expect("nobody panics with it") = Some((number, then));
    }

    /// Whether it has happened; what has not, does not any more.
    pub(super) fn happened(&self) -> bool {
        self.then
            .lock()
            .expect("nobody panics with it")
            .take()
            .is_none()
    }

    async fn step(&self) -> &dyn Store {
        let number = self.steps.fetch_add(1, Ordering::SeqCst);
        let due = {
            let mut then = self.then.lock().expect("nobody panics with it");
            then.take_if(|(at, _)| *at == number)
        };
        if let Some((_, then)) = due {
            then.await;
        }
        &*self.store
    }
}

#[async_trait]
impl Store for Between {
    async fn get(&self, key: &RecordKey) -> Result<Option<Record>, StoreError> {
        self.step().await.get(key).await
    }
    async fn create(
        &self,
        key: &RecordKey,
        value: &[u8],
        lifetime: Duration,
    ) -> Result<bool, StoreError> {
        self.step().await.create(key, value, lifetime).await
    }
    async fn replace(
        &self,
        key: &RecordKey,
        version: Version,
        value: &[u8],
        lifetime: Duration,
    ) -> Result<bool, StoreError> {
        self.step()
            .await
            .replace(key, version, value, lifetime)
            .await
    }
    async fn prolong(&self, key: &RecordKey, lifetime: Duration) -> Result<bool, StoreError> {
        self.step().await.prolong(key, lifetime).await
    }
    async fn delete(&self, key: &RecordKey) -> Result<bool, StoreError> {
        self.step().await.delete(key).await
    }
    async fn delete_version(&self, key: &RecordKey, version: Version) -> Result<bool, StoreError> {
        self.step().await.delete_version(key, version).await
    }
    async fn enlist(
        &self,
        index: &RecordKey,
        member: &str,
        lifetime: Duration,
    ) -> Result<(), StoreError> {
        self.step().await.enlist(index, member, lifetime).await
    }
    async fn delist(&self, index: &RecordKey, member: &str) -> Result<(), StoreError> {
        self.step().await.delist(index, member).await
    }
    async fn members(&self, index: &RecordKey) -> Result<Vec<String>, StoreError> {
        self.step().await.members(index).await
    }
    async fn page(
        &self,
        begin: &RecordKey,
        after: Option<&Cursor>,
        most: usize,
    ) -> Result<Page, StoreError> {
        self.step().await.page(begin, after, most).await
    }
    async fn ping(&self) -> Result<(), StoreError> {
        self.step().await.ping().await
    }
}

/// How a session may be ended.
#[derive(Debug, Clone, Copy)]
enum Ending {
    Itself,
    Named,
    AllOfUser,
    Everywhere,
    AtProvider,
    AtProviderBySubject,
    /// By the name that a renewal brings.
    AtProviderByNewName,
}

impl Ending {
    /// Those that end a session whose id nobody knows yet.
    const OF_SEVERAL: [Self; 3] = [Self::AllOfUser, Self::AtProvider, Self::AtProviderBySubject];

    const ALL: [Self; 6] = [
        Self::Itself,
        Self::Named,
        Self::AllOfUser,
        Self::Everywhere,
        Self::AtProvider,
        Self::AtProviderBySubject,
    ];

    /// Ends the session `id` of `person`.
    async fn end(self, sessions: &Sessions, id: &SessionId, person: &Person) {
        let Person {
            subject,
            sid,
            new_sid,
        } = person;
        let at_provider = async |subject: Option<&str>, sid: Option<&str>| {
            let ended = sessions.end_at_provider(ISSUER, subject, sid).await;
            ended.map(drop).map_err(|partly| partly.error)
        };
        let done = match self {
            Self::Itself => sessions.end(id).await.map(drop),
            Self::Named => sessions.end_named(&hash(id)).await.map(drop),
            Self::AllOfUser => {
                let ended = sessions.end_all_of(ISSUER, subject).await;
                ended.map(drop).map_err(|partly| partly.error)
            }
            Self::Everywhere => {
                let ended = sessions.end_everywhere(id).await;
                ended.map(drop).map_err(|partly| partly.error)
            }
            Self::AtProvider => at_provider(None, Some(sid)).await,
            Self::AtProviderBySubject => at_provider(Some(subject), None).await,
            Self::AtProviderByNewName => at_provider(None, Some(new_sid)).await,
        };
        done.expect("an answer");
    }
}

/// More steps than any writer takes.
pub(super) const MANY: usize = 40;

/// Who writes at the records of a session that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writer {
    /// Its use is noted.
    Touch,
    /// Its tokens are renewed.
    Renewal,
    /// The same, and the provider calls its session another name since.
    RenamingRenewal,
    /// The refresh token that came is kept before anything else is believed.
    KeptTokens,
    /// A renewal failed.
    FailedRenewal,
    /// A step-up was in vain.
    StepUpInVain,
    /// The provider renews its tokens no more.
    EndOfRenewals,
}

impl Writer {
    /// Each with the number of its steps, at the least.
    const ALL: [(Self, usize); 7] = [
        (Self::Touch, 5),
        (Self::Renewal, 7),
        (Self::RenamingRenewal, 11),
        (Self::KeptTokens, 2),
        (Self::FailedRenewal, 5),
        (Self::StepUpInVain, 2),
        (Self::EndOfRenewals, 5),
    ];

    /// Writes at the session `id`, which `renewing` was read from. What it says of the session is not looked at.
    async fn write(
        self,
        sessions: &Sessions,
        id: &SessionId,
        mut renewing: Box<Renewing>,
        new_sid: &str,
    ) {
        let now = sessions.clock.now();
        let newer = Tokens {
            refresh: Some("newer".into()),
            ..Tokens::default()
        };
        let done = match self {
            Self::Touch => sessions.load(id).await.map(drop),
            Self::Renewal | Self::RenamingRenewal => {
                let sid = (self == Self::RenamingRenewal).then(|| new_sid.to_owned());
                let renewal = Renewal::of(1, true, None, now);
                let renewed = (renewing.session.identity.clone(), sid, renewal);
                let kept = sessions.keep_renewed(&mut renewing, &newer, renewed).await;
                match kept {
                    Ok(true) => sessions.finish_renewal(&renewing).await.map(drop),
                    kept => kept.map(drop),
                }
            }
            Self::KeptTokens => sessions.keep_tokens(&mut renewing, &newer).await.map(drop),
            Self::FailedRenewal => {
                let failed = |renewal: &Renewal| RenewalRules::unusable(renewal, now);
                let noted = sessions.note_failed_renewal(id, renewing.serial(), failed);
                noted.await.map(drop)
            }
            Self::StepUpInVain => {
                let policies = vec!["recent".to_owned()];
                let in_vain = InVain { policies, at: now };
                sessions.note_in_vain(id, in_vain).await
            }
            Self::EndOfRenewals => sessions.end_renewing(&renewing).await.map(drop),
        };
        done.expect("an answer");
    }
}

/// A person with a session that came from one of the provider's, which may get a new name.
#[derive(Debug, Clone)]
struct Person {
    subject: String,
    sid: String,
    new_sid: String,
}

/// Holds a store to it that endings win.
struct Race {
    store: Arc<dyn Store>,
    between: Arc<Between>,
    clock: Arc<ManualClock>,
    /// What it does goes through `between`.
    writer: Sessions,
    /// With the same keys, so that it reads what the writer wrote; and not through what lies between.
    ender: Arc<Sessions>,
    people: AtomicUsize,
}

impl Race {
    fn new(store: Arc<dyn Store>) -> Self {
        let clock = Arc::new(ManualClock::default());
        let between = Between::new(store.clone());
        let writer = sessions(between.clone(), &clock);
        let ender = Arc::new(Sessions::new(
            store.clone(),
            writer.keyring.clone(),
            clock.clone(),
            writer.lifetime,
        ));
        Self {
            store,
            between,
            clock,
            writer,
            ender,
            people: AtomicUsize::new(0),
        }
    }

    fn next_person(&self) -> Person {
        let number = self.people.fetch_add(1, Ordering::SeqCst);
        Person {
            subject: format!("user {number}"),
            sid: format!("sid {number}"),
            new_sid: format!("new sid {number}"),
        }
    }

    /// Somebody signs in, and a while later whoever writes looks at the session.
    async fn signed_in(&self) -> (Person, SessionId, Box<Renewing>) {
        let person = self.next_person();
        let login = login_of(&person.subject, &person.sid);
        let id = self.ender.begin_now(login).await.expect("a session");
        self.clock.advance(Duration::from_secs(20));
        let Ok(Found::Whole(renewing)) = self.ender.open_renewal(&id).await else {
            unreachable!("a session with its tokens");
        };
        (person, id, renewing)
    }

    fn end_before_step(&self, number: usize, ending: Ending, person: &Person, id: &SessionId) {
        let (ender, id, person) = (self.ender.clone(), id.clone(), person.clone());
        let then = async move { ending.end(&ender, &id, &person).await };
        self.between.before_step(number, Box::pin(then));
    }

    async fn against(&self, writer: Writer, least: usize, ending: Ending) {
        for number in 0..MANY {
            let (person, id, renewing) = self.signed_in().await;
            self.end_before_step(number, ending, &person, &id);
            let done = writer.write(&self.writer, &id, renewing, &person.new_sid);
            done.await;
            if !self.between.happened() {
                assert!(number >= least, "{writer:?} takes more steps than {number}");
                return;
            }
            let what = format!("{ending:?} before step {number} of {writer:?}");
            self.is_gone(&id, &person, &what).await;
        }
        unreachable!("{writer:?} takes so many steps");
    }

    /// Nothing is left of a session, for the one who ended it and for everybody.
    async fn is_gone(&self, id: &SessionId, person: &Person, what: &str) {
        assert_eq!(self.ender.load(id).await, Ok(None), "{what}");
        let tokens = self.ender.tokens(id).await.expect("an answer");
        assert!(tokens.id.is_none() && tokens.access.is_none(), "{what}");
        assert!(tokens.refresh.is_none(), "{what}");
        for list in [
            index_of(ISSUER, &person.subject),
            sid_index(ISSUER, &person.sid),
            sid_index(ISSUER, &person.new_sid),
        ] {
            let listed = self.store.members(&list).await;
            assert_eq!(listed, Ok(Vec::new()), "{what}");
        }
    }
}

/// Holds `store` to it that every ending wins against every writer, at whichever of its steps it comes.
pub(crate) async fn endings_win(store: Arc<dyn Store>) {
    let race = Race::new(store.clone());
    for (writer, least) in Writer::ALL {
        for ending in Ending::ALL {
            race.against(writer, least, ending).await;
        }
    }
    let renaming = Writer::RenamingRenewal;
    race.against(renaming, 11, Ending::AtProviderByNewName)
        .await;
    for ending in Ending::OF_SEVERAL {
        for number in 0..MANY {
            let person = race.next_person();
            let unknown = SessionId::from_bytes([0; 32]);
            race.end_before_step(number, ending, &person, &unknown);
            let login = login_of(&person.subject, &person.sid);
            let begun = race.writer.begin_now(login).await;
            if !race.between.happened() {
                assert!(number > 6, "a login takes more steps than that");
                break;
            }
            let what = format!("{ending:?} before step {number} of a login");
            match begun {
                Err(error) => assert_eq!(error, BeginError::Ended, "{what}"),
                Ok(id) => {
                    // Only what came before the login asked for anything does not count against somebody who signs in
                    // anew.
                    let lives = race.ender.load(&id).await.expect("an answer").is_some();
                    let is_before = number == 0 && !matches!(ending, Ending::AtProvider);
                    assert_eq!(lives, is_before, "{what}");
                    race.ender.end(&id).await.expect("an answer");
                }
            }
            let listed = store.members(&index_of(ISSUER, &person.subject)).await;
            assert_eq!(listed, Ok(Vec::new()), "{what}");
        }
    }
}

/// A login waits for the provider, which has given its tokens out already, while all of the person's sessions are
/// ended; and then it is written.
#[tokio::test]
async fn an_ending_wins_against_a_login_that_waits_for_the_provider() {
    let clock = Arc::new(ManualClock::default());
    let race = Race::new(Arc::new(EmbeddedStore::in_memory(clock).expect("a store")));
    for ending in [
        Ending::AllOfUser,
        Ending::AtProviderBySubject,
        Ending::Everywhere,
    ] {
        let (person, id, _) = race.signed_in().await;
        let (other, ..) = race.signed_in().await;
        let before = race.writer.endings_so_far().await.expect("an answer");
        ending.end(&race.ender, &id, &person).await;
        let begin = async |person: &Person, before| {
            let login = login_of(&person.subject, &person.new_sid);
            race.writer.begin(login, before).await
        };
        let late = begin(&person, before).await;
        assert_eq!(late.err(), Some(BeginError::Ended), "{ending:?}");
        assert!(
            begin(&other, before).await.is_ok(),
            "{ending:?}: not theirs"
        );
        // Within the same second, by a clock that stands still.
        let anew = race.writer.endings_so_far().await.expect("an answer");
        assert!(
            begin(&person, anew).await.is_ok(),
            "{ending:?}: signed in anew"
        );
    }
}

/// Whoever ends sessions takes the count of somebody else who counted at the same time, and no older one; and what is
/// counted after everything was forgotten counts more than what was before.
#[tokio::test]
async fn endings_are_counted_upwards() {
    let clock = Arc::new(ManualClock::default());
    let race = Race::new(Arc::new(
        EmbeddedStore::in_memory(clock.clone()).expect("a store"),
    ));
    let (race, clock) = (&race, &race.clock);
    for number in 0..3 {
        let before = race.ender.endings_so_far().await.expect("an answer");
        let (person, id, _) = race.signed_in().await;
        let other = race.next_person();
        race.end_before_step(number, Ending::AllOfUser, &other, &id);
        let ended = race.writer.end_all_of(ISSUER, &person.subject).await;
        assert!(ended.is_ok() && race.between.happened());
        for person in [person, other] {
            let login = login_of(&person.subject, &person.new_sid);
            let late = race.writer.begin(login, before).await;
            assert_eq!(late.err(), Some(BeginError::Ended), "before step {number}");
        }
        clock.advance(Duration::from_secs(3_600));
    }
}

#[tokio::test]
async fn an_ending_wins_in_memory() {
    let clock = Arc::new(ManualClock::default());
    endings_win(Arc::new(EmbeddedStore::in_memory(clock).expect("a store"))).await;
}

/// The provider has ended its session under the name that a renewal brings; and whoever would have seen to that dies
/// before one of its steps. The next renewal does what is left to do.
#[tokio::test]
async fn an_ending_by_a_new_name_is_not_lost_where_a_renewal_breaks_off() {
    let clock = Arc::new(ManualClock::default());
    let race = Race::new(Arc::new(EmbeddedStore::in_memory(clock).expect("a store")));
    for number in 0..MANY {
        let (person, id, mut renewing) = race.signed_in().await;
        let renewed = (
            renewing.session.identity.clone(),
            Some(person.new_sid.clone()),
            Renewal::of(1, true, None, race.clock.now()),
        );
        let tokens = renewing.tokens();
        let kept = race.ender.keep_renewed(&mut renewing, &tokens, renewed);
        assert_eq!(kept.await, Ok(true));
        Ending::AtProviderByNewName
            .end(&race.ender, &id, &person)
            .await;
        let dying = Arc::new(tokio::sync::Notify::new());
        let dies = {
            let dying = dying.clone();
            async move {
                dying.notify_one();
                std::future::pending::<()>().await;
            }
        };
        race.between.before_step(number, Box::pin(dies));
        tokio::select! {
            done = race.writer.finish_renewal(&renewing) => assert_eq!(done, Ok(None)),
            () = dying.notified() => {}
        }
        if !race.between.happened() {
            assert!(number > 4, "it takes more steps than that");
            return;
        }
        if let Ok(Found::Whole(next)) = race.ender.open_renewal(&id).await {
            assert_eq!(race.ender.finish_renewal(&next).await, Ok(None));
        }
        let living = race.ender.load(&id).await;
        assert_eq!(living, Ok(None), "it died before step {number}");
    }
}
