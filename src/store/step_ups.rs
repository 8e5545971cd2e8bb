//! What a session remembers of a step-up that came to nothing.

use crate::domain::authentication::InVain;
use crate::domain::session::SessionId;
use crate::store::StoreError;
use crate::store::sealing::Purpose;
use crate::store::session_records::{encode, hash, session_key};
use crate::store::sessions::Sessions;

/// How often it is tried to note something at a session that others write to.
const MAX_TRIES: usize = 5;

impl Sessions {
    /// Notes at a session that a step-up was in vain. Nothing comes of it where the session has ended, and it counts as
    /// no use of it.
    ///
    /// # Errors
    ///
    /// [`StoreError`], when it could not be noted: also when others wrote to the session again and again meanwhile.
    pub async fn note_in_vain(&self, id: &SessionId, in_vain: InVain) -> Result<(), StoreError> {
        let key = session_key(&hash(id));
        for _ in 0..MAX_TRIES {
            let Some((mut session, version)) = self.read(&key).await? else {
                return Ok(());
            };
            session.in_vain = Some(in_vain.clone());
            let lives = self.lifetime.end_of(&session).since(self.clock.now());
            let record = self.seal(Purpose::Session, &key, &encode(&session));
            if self.store.replace(&key, version, &record, lives).await? {
                return Ok(());
            }
        }
        Err(StoreError::Unreachable(
            "others wrote to the session all the time".into(),
        ))
    }
}
