//! How sessions end: one by its own id or by its name in the store, all of a person, and those of one session at the
//! provider.
//!
//! An ending wins against whatever is written at the same time. A record that exists is deleted, and no write brings
//! it back. A record that does not exist yet, because a login is just writing it, cannot be deleted: so an ending of
//! several leaves a mark first, then looks who is listed; and a login enlists itself first, then writes its record,
//! then looks for a mark. Whichever comes first, one of the two sees the other.
//!
//! A mark on a session of the provider's counts against every login that brings its name. One on a person counts against
//! the logins that were on their way when it was made, from the moment at which their code was sent to the provider; and
//! not against who signs in anew afterwards. Who it is nobody knows at that moment, and the clocks of replicas and
//! provider differ: so the endings of people are counted, all in one record. A login learns how far they were counted
//! before it asks the provider for anything; an ending counts itself first, and its mark says its number. A mark with
//! a number that a login had not seen is of an ending that began after it had. Two endings at the same time may have one
//! number, and an ending may have a later one than its own: it only has to be one that no login before it has seen.

use std::time::Duration;

use crate::domain::session::{Session, SessionId};
use crate::domain::upstream_key::Tokens;
use crate::store::sealing::Purpose;
use crate::store::session_records::{
    SessionName, TokenRecord, encode, endings_count, hash, index_of, is_name, mark_of, session_key,
    sid_index, tokens_key, user_index,
};
use crate::store::sessions::{Ended, Sessions};
use crate::store::{Record, RecordKey, StoreError};

/// How long a mark stays. The provider's name of a session that it has ended is not used again; but a code (RFC 6749
/// §4.1.2: ten minutes at most) that it gave out before may still be on its way.
const MARKED_FOR: Duration = Duration::from_secs(600);

/// For how long a session's tokens stay, emptied, if they cannot be deleted at once.
const EMPTIED_FOR: Duration = Duration::from_secs(60);

/// How often the newest tokens are read anew because somebody has just written newer ones.
const MAX_TAKES: usize = 5;

/// How long it is known how many people's sessions have been ended: as long as any mark, and any login that was on its
/// way before.
const COUNTED_FOR: Duration = Duration::from_secs(2 * 600);

/// How many endings may be counted in a second without the count running ahead of the clock, by which it begins anew.
const COUNTS_A_SECOND: u64 = 1 << 20;

/// How often a mark or the count is written that others are in the way of.
const MAX_MARKS: usize = 10;

/// Several sessions were to end, and not all did: what has ended, which is to be told of like any other ending, and why
/// the rest has not.
#[derive(Debug, PartialEq, Eq)]
pub struct Partly<T> {
    /// What has ended.
    pub ended: T,
    /// Why not all.
    pub error: StoreError,
}

/// What is known of a person's sessions that have been ended.
#[derive(Debug)]
pub struct EndedEverywhere {
    /// The one that asked for it. Its identity is there also where it still lives.
    pub own: Ended,
    /// How many have ended.
    pub sessions: usize,
}

/// How far the endings of people had been counted when a login began: [`Sessions::endings_so_far`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndingsSoFar(u64);

impl Sessions {
    /// Ends a session: when this returns, nobody is let in by it any more. Its use is not noted first, so that a
    /// store that takes nothing is waited for once.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: then the session may still live, and nobody may be told that it ended.
    pub async fn end(&self, id: &SessionId) -> Result<Ended, StoreError> {
        let member = hash(id);
        let session = self.find(&member).await;
        self.store.delete(&session_key(&member)).await?;
        Ok(self.clear_away(&member, session).await)
    }

    /// Ends the session that the store calls `name`: a hash of its id, which opens nothing and may be shown to whoever
    /// runs the service. `None` when there is none of that name.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: then the session may still live, and nobody may be told that it ended.
    pub async fn end_named(&self, name: &str) -> Result<Option<Ended>, StoreError> {
        if !is_name(name) {
            return Ok(None);
        }
        self.end_member(name).await
    }

    /// Ends every session of a person. Tells how many there were.
    ///
    /// # Errors
    ///
    /// [`Partly`]: then some of them may still live.
    pub async fn end_all_of(&self, issuer: &str, subject: &str) -> Result<usize, Partly<usize>> {
        let list = index_of(issuer, subject);
        let mut ended = 0;
        let all = async {
            self.mark_person(&list).await?;
            for member in self.store.members(&list).await? {
                ended += usize::from(self.end_listed(&list, &member).await?.is_some());
            }
            Ok(())
        };
        match all.await {
            Ok(()) => Ok(ended),
            Err(error) => Err(Partly { ended, error }),
        }
    }

    /// Ends every session of the person whose session `id` is, that one last: as long as any of the others may live,
    /// it can be asked for again. `None` when there is no such session: then nobody knows whose others would be.
    ///
    /// # Errors
    ///
    /// [`Partly`]: then some of them may still live.
    pub async fn end_everywhere(
        &self,
        id: &SessionId,
    ) -> Result<Option<EndedEverywhere>, Partly<Option<EndedEverywhere>>> {
        let own = hash(id);
        // Where the store does not answer, it is over here at least.
        self.forget(&SessionName::of(id));
        let found = self.read(&session_key(&own)).await;
        let Some((session, _)) = found.map_err(|error| Partly { ended: None, error })? else {
            return Ok(None);
        };
        let list = user_index(&session.identity);
        let mut others = 0;
        let all = async {
            self.mark_person(&list).await?;
            for member in self.store.members(&list).await? {
                if member != own {
                    others += usize::from(self.end_listed(&list, &member).await?.is_some());
                }
            }
            self.store.delete(&session_key(&own)).await
        };
        match all.await {
            Ok(_) => Ok(Some(EndedEverywhere {
                own: self.clear_away(&own, Some(session)).await,
                sessions: others + 1,
            })),
            Err(error) => {
                let own = Ended {
                    identity: Some(session.identity),
                    id_token: None,
                };
                let sessions = others;
                let ended = Some(EndedEverywhere { own, sessions });
                Err(Partly { ended, error })
            }
        }
    }

    /// Ends what the provider has ended: the sessions that came from its session `sid`, of `subject` alone where both
    /// are given; without `sid`, all of `subject` (Back-Channel Logout 1.0 §2.7). Tells whose they were. A login that
    /// brings this `sid`, and is on its way or comes within the next minutes, comes to nothing.
    ///
    /// # Errors
    ///
    /// [`Partly`]: then some of them may still live.
    pub async fn end_at_provider(
        &self,
        issuer: &str,
        subject: Option<&str>,
        sid: Option<&str>,
    ) -> Result<Vec<Ended>, Partly<Vec<Ended>>> {
        let mut ended = Vec::new();
        match self
            .end_named_by_provider(issuer, subject, sid, &mut ended)
            .await
        {
            Ok(()) => Ok(ended),
            Err(error) => Err(Partly { ended, error }),
        }
    }

    async fn end_named_by_provider(
        &self,
        issuer: &str,
        subject: Option<&str>,
        sid: Option<&str>,
        ended: &mut Vec<Ended>,
    ) -> Result<(), StoreError> {
        let list = match (sid, subject) {
            (Some(sid), _) => {
                let list = sid_index(issuer, sid);
                self.mark_sid(&list).await?;
                list
            }
            (None, Some(subject)) => {
                let list = index_of(issuer, subject);
                self.mark_person(&list).await?;
                list
            }
            (None, None) => return Ok(()),
        };
        for member in self.store.members(&list).await? {
            if let (Some(_), Some(subject)) = (sid, subject)
                && !self.is_of(&member, subject).await?
            {
                continue;
            }
            ended.extend(self.end_listed(&list, &member).await?);
        }
        Ok(())
    }

    /// Whether a listed session is that of `subject`; one that does not open is nobody's.
    async fn is_of(&self, member: &str, subject: &str) -> Result<bool, StoreError> {
        let session = self.read(&session_key(member)).await?;
        Ok(session.is_some_and(|(session, _)| session.identity.subject == subject))
    }

    /// Ends a session that was found on `list`. `None` for one that has ended or expired; and for a login that is just
    /// writing it, which must stay listed, and finds the mark itself.
    pub(super) async fn end_listed(
        &self,
        list: &RecordKey,
        member: &str,
    ) -> Result<Option<Ended>, StoreError> {
        let ended = self.end_member(member).await?;
        if let Some(Ended { identity: None, .. }) = &ended {
            // A record that does not open does not say which lists it stands on.
            self.store.delist(list, member).await?;
        }
        Ok(ended)
    }

    async fn end_member(&self, member: &str) -> Result<Option<Ended>, StoreError> {
        let session = self.find(member).await;
        if !self.store.delete(&session_key(member)).await? {
            return Ok(None);
        }
        Ok(Some(self.clear_away(member, session).await))
    }

    /// The session, for its lists and for the audit line: where it cannot be read, its entries are left to their
    /// lifetime.
    async fn find(&self, member: &str) -> Option<Session> {
        let found = self.read(&session_key(member)).await.ok().flatten();
        found.map(|(session, _)| session)
    }

    /// Clears away what belongs to a session whose record is gone. It has ended, whatever becomes of this.
    async fn clear_away(&self, member: &str, session: Option<Session>) -> Ended {
        let rest = async {
            let tokens = self.take_tokens(member).await?;
            if let Some(session) = &session {
                self.leave_lists(member, session, None).await?;
            }
            Ok::<_, StoreError>(tokens.id)
        };
        let id_token = rest.await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the tokens of an ended session are left to their lifetime");
            None
        });
        let identity = session.map(|session| session.identity);
        Ended { identity, id_token }
    }

    /// Takes the tokens of a session away, the newest that there are: a provider may know its session by none but the
    /// last ID token, and somebody who renews them may be writing just now. They are written over at the version that was read, so
    /// that whoever comes later finds that they changed.
    async fn take_tokens(&self, member: &str) -> Result<Tokens, StoreError> {
        let key = tokens_key(member);
        let mut taken = Tokens::default();
        for _ in 0..MAX_TAKES {
            let Some((tokens, version)) = self.read_tokens(&key).await? else {
                break;
            };
            taken = tokens.tokens();
            let emptied = encode(&TokenRecord::of(&Tokens::default(), ""));
            let emptied = self.seal(Purpose::Tokens, &key, &emptied);
            let written = self.store.replace(&key, version, &emptied, EMPTIED_FOR);
            match written.await {
                Ok(false) => {}
                // Whoever wants to write to a store that is full does not succeed either.
                Ok(true) | Err(StoreError::Full) => break,
                Err(error) => return Err(error),
            }
        }
        self.store.delete(&key).await?;
        Ok(taken)
    }

    /// Marks that all sessions of the person end whose `list` it is, for logins that are on their way.
    async fn mark_person(&self, list: &RecordKey) -> Result<(), StoreError> {
        let marked = async {
            let number = self.count_ending().await?;
            self.mark(list, number).await
        };
        unless_full(marked.await)
    }

    /// Marks that the provider has ended its session whose `list` it is. When that was does not matter.
    async fn mark_sid(&self, list: &RecordKey) -> Result<(), StoreError> {
        unless_full(self.mark(list, 0).await)
    }

    /// Writes the mark of `list`, for its whole time; and never one that says less than one that stands there.
    async fn mark(&self, list: &RecordKey, number: u64) -> Result<(), StoreError> {
        let mark = mark_of(list);
        let value = number.to_be_bytes();
        for _ in 0..MAX_MARKS {
            let is_written = match self.store.get(&mark).await? {
                // Somebody else's, that was counted after ours.
                Some(record) if number_in(&record) > number => true,
                Some(Record { version, .. }) => {
                    let replaced = self.store.replace(&mark, version, &value, MARKED_FOR);
                    replaced.await?
                }
                None => self.store.create(&mark, &value, MARKED_FOR).await?,
            };
            if is_written {
                return Ok(());
            }
        }
        Err(others_in_the_way())
    }

    /// Counts an ending of a person's sessions. Its number is one that nobody has seen who asked before.
    async fn count_ending(&self) -> Result<u64, StoreError> {
        let count = endings_count();
        let mut seen = None;
        for _ in 0..MAX_MARKS {
            let record = self.store.get(&count).await?;
            let last = record.as_ref().map_or(0, number_in);
            // Where somebody else has counted since we began, their number serves as well as one of our own.
            if seen.is_some_and(|seen| last > seen) {
                return Ok(last);
            }
            seen = Some(last);
            // Never less than the clock says: a count that begins anew goes on above the one that is gone.
            let by_clock = self.clock.now().seconds().saturating_mul(COUNTS_A_SECOND);
            let number = last.saturating_add(1).max(by_clock);
            let value = number.to_be_bytes();
            let is_written = match record {
                Some(Record { version, .. }) => {
                    let replaced = self.store.replace(&count, version, &value, COUNTED_FOR);
                    replaced.await?
                }
                None => self.store.create(&count, &value, COUNTED_FOR).await?,
            };
            if is_written {
                return Ok(number);
            }
        }
        Err(others_in_the_way())
    }

    /// How far the endings of people have been counted. For a login, before its code is sent to the provider: what ends
    /// the person's sessions from then on ends that login too.
    ///
    /// # Errors
    ///
    /// [`StoreError`], when the store cannot tell: then nobody should be signed in.
    pub async fn endings_so_far(&self) -> Result<EndingsSoFar, StoreError> {
        let record = self.store.get(&endings_count()).await?;
        Ok(EndingsSoFar(record.as_ref().map_or(0, number_in)))
    }

    /// Whether a login that has been written was ended while it was on its way: all of the person's sessions were
    /// after `before`, or the provider's session that it came from was at any time. The person may sign in again at
    /// once: the provider then has another name for its session.
    pub(super) async fn ended_since(
        &self,
        before: EndingsSoFar,
        session: &Session,
    ) -> Result<bool, StoreError> {
        let of_user = mark_of(&user_index(&session.identity));
        let last = self.store.get(&of_user).await?;
        if last.is_some_and(|mark| number_in(&mark) > before.0) {
            return Ok(true);
        }
        self.ended_at_provider(session).await
    }

    /// Whether the provider has ended its session that `session` came from. For whoever writes a record under a `sid`
    /// that it did not have before.
    pub(in crate::store) async fn ended_at_provider(
        &self,
        session: &Session,
    ) -> Result<bool, StoreError> {
        let Some(sid) = &session.sid else {
            return Ok(false);
        };
        let mark = mark_of(&sid_index(&session.identity.issuer, sid));
        Ok(self.store.get(&mark).await?.is_some())
    }
}

/// The number that a mark or the count says; one that says none is later than all, and ends every login.
fn number_in(record: &Record) -> u64 {
    let bytes = record.value.as_slice().try_into();
    bytes.map_or(u64::MAX, u64::from_be_bytes)
}

/// Where the store is full no login can be written either, so that no mark is needed; and nobody is kept from ending
/// what is there.
fn unless_full(marked: Result<(), StoreError>) -> Result<(), StoreError> {
    match marked {
        Err(StoreError::Full) => Ok(()),
        marked => marked,
    }
}

fn others_in_the_way() -> StoreError {
    StoreError::Unreachable("others end the same sessions again and again".into())
}
