//! Which logout tokens have been obeyed: none counts twice (Back-Channel Logout 1.0 §2.6).

use std::time::Duration;

use crate::store::StoreError;
use crate::store::session_records::logout_token_key;
use crate::store::sessions::Sessions;

impl Sessions {
    /// Whether the logout token that `issuer` calls `jti` has been obeyed.
    ///
    /// # Errors
    ///
    /// [`StoreError`], when the store cannot tell.
    pub async fn has_obeyed(&self, issuer: &str, jti: &str) -> Result<bool, StoreError> {
        let found = self.store.get(&logout_token_key(issuer, jti)).await?;
        Ok(found.is_some())
    }

    /// Notes that it has been, for as long as it would be believed. Tells whether that was not noted before. Only for
    /// tokens that have been verified in full: nothing is stored for a stranger. And only once all that it ends has
    /// ended: what could not be recorded may be tried again.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: then it may come again.
    pub async fn note_obeyed(
        &self,
        issuer: &str,
        jti: &str,
        believed_for: Duration,
    ) -> Result<bool, StoreError> {
        let key = logout_token_key(issuer, jti);
        match self.store.create(&key, &[], believed_for).await {
            // What it ends has ended; and as long as there is no room, nobody signs in whom it could end once more.
            Err(StoreError::Full) => Ok(true),
            noted => noted,
        }
    }
}
