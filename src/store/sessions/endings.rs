//! How sessions end: one by its own id or by its name in the store, all of a person, and those of one session at the
//! provider.
//!
//! An ending wins against whatever is written at the same time. A record that exists is deleted, and no write brings
//! it back. A record that does not exist yet, because a login is just writing it, cannot be deleted: so an ending of
//! several leaves a mark first, then looks who is listed; and a login enlists itself first, then writes its record,
//! then looks for a mark. Whichever comes first, one of the two sees the other.

use std::time::Duration;

use crate::domain::session::{Session, SessionId};
use crate::domain::upstream_key::Tokens;
use crate::store::sealing::Purpose;
use crate::store::session_records::{
    TokenRecord, encode, hash, index_of, is_name, mark_of, session_key, sid_index, tokens_key,
    user_index,
};
use crate::store::sessions::{Ended, Sessions};
use crate::store::{RecordKey, StoreError, Version};

/// How long a mark stays. The provider's name of a session that it has ended is not used again; but a code (RFC 6749
/// §4.1.2: ten minutes at most) that it gave out before may still be on its way.
const MARKED_FOR: Duration = Duration::from_secs(600);

/// For how long a session's tokens stay, emptied, if they cannot be deleted at once.
const EMPTIED_FOR: Duration = Duration::from_secs(60);

/// How often the newest tokens are read anew because somebody has just written newer ones.
const MAX_TAKES: usize = 5;

/// The last ending of all of a person's sessions, when a login of theirs began to be written.
pub(super) struct Before(Option<Version>);

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
    /// [`StoreError`]: then some of them may still live.
    pub async fn end_all_of(&self, issuer: &str, subject: &str) -> Result<usize, StoreError> {
        let list = index_of(issuer, subject);
        self.mark(&list).await?;
        let mut ended = 0;
        for member in self.store.members(&list).await? {
            ended += usize::from(self.end_listed(&list, &member).await?.is_some());
        }
        Ok(ended)
    }

    /// Ends every session of the person whose session `id` is, that one last: as long as any of the others may live,
    /// it can be asked for again. Tells what is known of that one, and how many there were; nothing when there is no
    /// such session.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: then some of them may still live.
    pub async fn end_everywhere(&self, id: &SessionId) -> Result<(Ended, usize), StoreError> {
        let own = hash(id);
        let Some((session, _)) = self.read(&session_key(&own)).await? else {
            return Ok((Ended::default(), 0));
        };
        let list = user_index(&session.identity);
        self.mark(&list).await?;
        let mut others = 0;
        for member in self.store.members(&list).await? {
            if member != own {
                others += usize::from(self.end_listed(&list, &member).await?.is_some());
            }
        }
        self.store.delete(&session_key(&own)).await?;
        Ok((self.clear_away(&own, Some(session)).await, others + 1))
    }

    /// Ends what the provider has ended: the sessions that came from its session `sid`, of `subject` alone where both
    /// are given; without `sid`, all of `subject` (Back-Channel Logout 1.0 §2.7). Tells whose they were. A login that
    /// brings this `sid`, and is on its way or comes within the next minutes, comes to nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: then some of them may still live.
    pub async fn end_at_provider(
        &self,
        issuer: &str,
        subject: Option<&str>,
        sid: Option<&str>,
    ) -> Result<Vec<Ended>, StoreError> {
        let list = match (sid, subject) {
            (Some(sid), _) => sid_index(issuer, sid),
            (None, Some(subject)) => index_of(issuer, subject),
            (None, None) => return Ok(Vec::new()),
        };
        self.mark(&list).await?;
        let mut ended = Vec::new();
        for member in self.store.members(&list).await? {
            if let (Some(_), Some(subject)) = (sid, subject)
                && !self.is_of(&member, subject).await?
            {
                continue;
            }
            ended.extend(self.end_listed(&list, &member).await?);
        }
        Ok(ended)
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

    /// Marks that everything on `list` ends, for logins that are just being written; which they cannot be where the
    /// store is full, so that nobody is kept from ending what is there.
    async fn mark(&self, list: &RecordKey) -> Result<(), StoreError> {
        match self.mark_anew(list).await {
            Err(StoreError::Full) => Ok(()),
            marked => marked,
        }
    }

    /// Always a new version.
    async fn mark_anew(&self, list: &RecordKey) -> Result<(), StoreError> {
        let mark = mark_of(list);
        if self.store.create(&mark, &[], MARKED_FOR).await? {
            return Ok(());
        }
        // Where somebody else makes one between these two, theirs is as new as ours.
        self.store.delete(&mark).await?;
        self.store.create(&mark, &[], MARKED_FOR).await?;
        Ok(())
    }

    async fn version_of(&self, mark: &RecordKey) -> Result<Option<Version>, StoreError> {
        let mark = self.store.get(mark).await?;
        Ok(mark.map(|mark| mark.version))
    }

    /// What has been ended before `session`, a login, is written.
    pub(super) async fn ended_before(&self, session: &Session) -> Result<Before, StoreError> {
        let of_user = mark_of(&user_index(&session.identity));
        Ok(Before(self.version_of(&of_user).await?))
    }

    /// Whether a login that has been written was ended while it was: all of the person's sessions were since `before`,
    /// or the provider's session that it came from was at any time. The person may sign in again at once: the provider
    /// then has another name for its session.
    pub(super) async fn ended_since(
        &self,
        before: &Before,
        session: &Session,
    ) -> Result<bool, StoreError> {
        let of_user = mark_of(&user_index(&session.identity));
        let last = self.version_of(&of_user).await?;
        if last.is_some() && last != before.0 {
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
        Ok(self.version_of(&mark).await?.is_some())
    }
}
