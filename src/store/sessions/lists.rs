//! The lists that a session stands on: its owner's, and that of the provider's session which it came from.
//!
//! An entry is written before the session's record and goes after it, so that a session that can be seen can be found
//! by either name. Every entry ends by itself when its session would.

use std::time::Duration;

use crate::domain::session::Session;
use crate::store::session_records::{sid_index, user_index};
use crate::store::sessions::Sessions;
use crate::store::{RecordKey, StoreError};

/// The lists of a session.
fn lists_of(session: &Session) -> impl Iterator<Item = RecordKey> {
    let issuer = &session.identity.issuer;
    let sid = session.sid.as_deref();
    std::iter::once(user_index(&session.identity)).chain(sid.map(|sid| sid_index(issuer, sid)))
}

impl Sessions {
    /// Puts `member`, whose record is or will be `session`, on its lists for `lives`, anew where it stands there
    /// already. Whoever changes a record does this first.
    pub(in crate::store) async fn enlist(
        &self,
        member: &str,
        session: &Session,
        lives: Duration,
    ) -> Result<(), StoreError> {
        for list in lists_of(session) {
            self.store.enlist(&list, member, lives).await?;
        }
        Ok(())
    }

    /// Takes `member` off the lists that it stands on no more: its record was `before` and now is `after`, under which
    /// the provider may have given its session another name, or is gone. What it stands on since was written by
    /// [`enlist`](Self::enlist), before the record was.
    pub(in crate::store) async fn leave_lists(
        &self,
        member: &str,
        before: &Session,
        after: Option<&Session>,
    ) -> Result<(), StoreError> {
        let kept: Vec<RecordKey> = after.into_iter().flat_map(lists_of).collect();
        for list in lists_of(before).filter(|list| !kept.contains(list)) {
            self.store.delist(&list, member).await?;
        }
        Ok(())
    }
}
