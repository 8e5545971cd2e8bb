//! What a renewal of tokens reads and writes. It is done under a [`Lease`], one at a time a session.
//!
//! The order counts. The tokens are written first, over those that were read under the lease and no others, with all
//! that the session's own record is to say; then that record. So a holder of the lease who was overtaken changes
//! nothing; a refresh token that the provider has replaced is not lost to whatever fails afterwards; and where the
//! session's record could not be written any more, the next one to look finds there what it should say, and asks the
//! provider nothing. Neither write brings a session back.

use std::time::Duration;

use crate::domain::identity::Identity;
use crate::domain::renewal::Renewal;
use crate::domain::session::{Session, SessionId};
use crate::domain::upstream_key::Tokens;
use crate::store::lease::Lease;
use crate::store::sealing::Purpose;
use crate::store::session_records::{
    Renewed, TokenRecord, encode, hash, lease_key, session_key, tokens_key,
};
use crate::store::sessions::Sessions;
use crate::store::{StoreError, Version};

/// How long the lease lasts: longer than the provider is waited for, so that nobody else uses the same refresh token even
/// where the lease cannot be renewed meanwhile.
const LEASE: Duration = Duration::from_secs(25);

/// How often a write is tried that others are in the way of.
const ATTEMPTS: usize = 10;

/// How often what must not be lost is written, while the store does not take it, and how long it is in between.
const SAVES: usize = 8;
const BETWEEN_SAVES: Duration = Duration::from_millis(500);

/// A session that is being renewed.
pub struct Renewing {
    id: SessionId,
    member: String,
    /// As it was read under the lease.
    pub session: Session,
    tokens: TokenRecord,
    version: Version,
}

impl Renewing {
    /// Which session.
    #[must_use]
    pub fn id(&self) -> &SessionId {
        &self.id
    }

    /// Its tokens, as they were written last.
    #[must_use]
    pub fn tokens(&self) -> Tokens {
        self.tokens.tokens()
    }

    /// The nonce of the login.
    #[must_use]
    pub fn nonce(&self) -> &str {
        &self.tokens.nonce
    }

    /// The number of its tokens.
    #[must_use]
    pub fn serial(&self) -> u64 {
        let renewed = self.tokens.renewed.as_ref();
        renewed.map_or(0, |renewed| renewed.renewal.serial)
    }

    /// Whether the tokens are newer than the session's record knows.
    #[must_use]
    pub fn is_ahead(&self) -> bool {
        self.serial() > serial_of(&self.session)
    }
}

/// The number of the tokens that `session` knows of.
#[must_use]
pub fn serial_of(session: &Session) -> u64 {
    session.renewal.as_ref().map_or(0, |renewal| renewal.serial)
}

/// What is found of a session that is to be renewed.
pub enum Found {
    /// All of it.
    Whole(Box<Renewing>),
    /// A session whose tokens are gone.
    WithoutTokens(Box<Session>),
    /// A session whose tokens are there, and do not open: sealed with a key that we do not have, or of another form.
    Unreadable(Box<Session>),
    /// Nothing: it has ended.
    Nothing,
}

impl Sessions {
    /// Takes the lease to renew a session; `None` while somebody else has it.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: then nobody may have it for the next seconds.
    pub async fn lease_renewal(&self, id: &SessionId) -> Result<Option<Lease<'_>>, StoreError> {
        Lease::take(&*self.store, lease_key(&hash(id)), LEASE).await
    }

    /// Reads a session and its tokens, to renew them. The lease has to be taken before.
    ///
    /// # Errors
    ///
    /// [`StoreError`], when the store cannot tell.
    pub async fn open_renewal(&self, id: &SessionId) -> Result<Found, StoreError> {
        let member = hash(id);
        let Some((session, _)) = self.read(&session_key(&member)).await? else {
            return Ok(Found::Nothing);
        };
        Ok(match self.read_sealed_tokens(&tokens_key(&member)).await? {
            Some((Some(tokens), version)) => Found::Whole(Box::new(Renewing {
                id: id.clone(),
                member,
                session,
                tokens,
                version,
            })),
            Some((None, _)) => Found::Unreadable(Box::new(session)),
            None => Found::WithoutTokens(Box::new(session)),
        })
    }

    /// Writes `tokens` over those that were read. `false` when others stand there by now, or none: then nothing is
    /// written. Tries again for some seconds where the store does not take them, or forgets them at once, since they may
    /// be the only ones that the provider still knows.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: then nobody knows whether they are there.
    pub async fn keep_tokens(
        &self,
        renewing: &mut Renewing,
        tokens: &Tokens,
    ) -> Result<bool, StoreError> {
        renewing.tokens.replace_tokens(tokens);
        self.save(renewing).await
    }

    /// Writes `tokens`, and with them what the session is to say from now on, as [`keep_tokens`](Self::keep_tokens)
    /// does; the session's own record is not changed yet.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: then nobody knows whether they are there.
    pub async fn keep_renewed(
        &self,
        renewing: &mut Renewing,
        tokens: &Tokens,
        (identity, sid, renewal): (Identity, Option<String>, Renewal),
    ) -> Result<bool, StoreError> {
        renewing.tokens.replace_tokens(tokens);
        renewing.tokens.renewed = Some(Renewed {
            renewal,
            identity,
            sid,
        });
        self.save(renewing).await
    }

    async fn save(&self, renewing: &mut Renewing) -> Result<bool, StoreError> {
        let key = tokens_key(&renewing.member);
        // No two values are sealed alike, so that ours is known again.
        let sealed = self.seal(Purpose::Tokens, &key, &encode(&renewing.tokens));
        let used = Session {
            seen: self.clock.now(),
            ..renewing.session.clone()
        };
        let lives = self.lifetime.end_of(&used).since(used.seen);
        let mut tries = 0;
        loop {
            tries += 1;
            let saved = async {
                let version = renewing.version;
                self.store.replace(&key, version, &sealed, lives).await?;
                // Where the write was not answered, a second one meets the first.
                match self.store.get(&key).await? {
                    Some(stored) if stored.value == sealed => Ok(Some(stored.version)),
                    // A server that took over lacks the write, and nobody else has written.
                    Some(stored) if stored.version == version => {
                        Err(StoreError::Unreachable("what was written is gone".into()))
                    }
                    _ => Ok(None),
                }
            };
            match saved.await {
                Ok(Some(version)) => {
                    renewing.version = version;
                    return Ok(true);
                }
                Ok(None) => return Ok(false),
                Err(error) if tries == SAVES => return Err(error),
                Err(_) => tokio::time::sleep(BETWEEN_SAVES).await,
            }
        }
    }

    /// Has the session's own record say what came with the tokens. `None` when it has ended meanwhile.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: then the next renewal does it, from what stands with the tokens.
    pub async fn finish_renewal(&self, renewing: &Renewing) -> Result<Option<Session>, StoreError> {
        let Some(renewed) = &renewing.tokens.renewed else {
            return Ok(Some(renewing.session.clone()));
        };
        let apply = |session: &Session| {
            (serial_of(session) < renewed.renewal.serial).then(|| Session {
                identity: renewed.identity.clone(),
                sid: renewed.sid.clone().or_else(|| session.sid.clone()),
                renewal: Some(renewed.renewal.clone()),
                ..session.clone()
            })
        };
        self.update(&renewing.member, apply).await
    }

    /// Notes in the session's record what `failed` makes of it, after an attempt to renew the tokens `serial`; nothing,
    /// when it has others by now. `None` when it has ended meanwhile.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: then nothing is noted.
    pub async fn note_failed_renewal(
        &self,
        id: &SessionId,
        serial: u64,
        failed: impl Fn(&Renewal) -> Renewal,
    ) -> Result<Option<Session>, StoreError> {
        let apply = |session: &Session| {
            let renewal = session.renewal.as_ref()?;
            (renewal.serial == serial).then(|| Session {
                renewal: Some(failed(renewal)),
                ..session.clone()
            })
        };
        self.update(&hash(id), apply).await
    }

    /// Ends the session because of what came of the tokens that were read: unless others stand there by now. Tells
    /// whether it did. Tries again for some seconds, while the store does not take it.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: then the session may still live.
    pub async fn end_renewing(&self, renewing: &Renewing) -> Result<bool, StoreError> {
        let key = tokens_key(&renewing.member);
        let mut tries = 0;
        loop {
            tries += 1;
            let ended = async {
                let is_theirs = self.store.delete_version(&key, renewing.version).await?;
                // An attempt before may have come so far.
                if !is_theirs && self.store.get(&key).await?.is_some() {
                    return Ok(false);
                }
                self.end(&renewing.id).await?;
                Ok(true)
            };
            match ended.await {
                Err(_) if tries < SAVES => tokio::time::sleep(BETWEEN_SAVES).await,
                done => return done,
            }
        }
    }

    /// Whether `changed`, which is about to be written over `before`, may be: where the provider has given its session
    /// another name, that one may have ended before anything here had it. An ending leaves its mark first and looks at
    /// the list afterwards; here the list is written first and the mark looked at afterwards. So either it is seen here,
    /// or the ending finds the entry, and deletes a record that is there already. Nothing is written until that is
    /// known: where it cannot be, the next renewal asks again.
    async fn may_be_renamed(
        &self,
        member: &str,
        before: &Session,
        changed: &Session,
    ) -> Result<bool, StoreError> {
        if changed.sid == before.sid {
            return Ok(true);
        }
        let now = self.clock.now();
        let lives = self.lifetime.end_of(changed).since(now);
        self.enlist(member, changed, lives).await?;
        if !self.ended_at_provider(changed).await? {
            return Ok(true);
        }
        self.end_named(member).await?;
        // What cannot be taken off is left to its lifetime.
        let _ = self.leave_lists(member, changed, None).await;
        Ok(false)
    }

    /// Changes the session's record, whoever else writes it at the same time. An ending wins: `None`. Where `change`
    /// has nothing to change, the session as it is.
    async fn update(
        &self,
        member: &str,
        change: impl Fn(&Session) -> Option<Session>,
    ) -> Result<Option<Session>, StoreError> {
        let key = session_key(member);
        let mut listed = None;
        for _ in 0..ATTEMPTS {
            let Some((session, version)) = self.read(&key).await? else {
                if let Some(listed) = &listed {
                    // It was put on its lists for the write. What cannot be taken off is left to its lifetime.
                    let _ = self.leave_lists(member, listed, None).await;
                }
                return Ok(None);
            };
            let Some(changed) = change(&session) else {
                return Ok(Some(session));
            };
            if !self.may_be_renamed(member, &session, &changed).await? {
                return Ok(None);
            }
            if let Some(written) = self.write_touch(member, &changed, version).await? {
                // What cannot be taken off is left to its lifetime.
                let _ = self.leave_lists(member, &session, Some(&written)).await;
                return Ok(Some(written));
            }
            listed = Some(changed);
        }
        Err(StoreError::Unreachable(
            "others write the same session again and again".into(),
        ))
    }
}

#[cfg(test)]
#[path = "renewals_tests.rs"]
mod tests;
