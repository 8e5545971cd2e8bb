//! A session as it was read, with what was worked out from it.

use std::mem::size_of;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::Instant;
use crate::domain::identity::Identity;
use crate::domain::session::Session;
use crate::domain::telling::Prepared;
use crate::store::Version;
use crate::store::session_records::SessionName;

/// What a place on the heap costs beyond what is in it.
const ALLOCATION: usize = 16;

/// For how many apps it is kept what they are told: those that were used last. Somebody who uses more of them at once has
/// it put together anew.
const MOST_APPS: usize = 8;

/// A session, whichever way it was come by. What it says does not change; another one takes its place.
#[derive(Debug)]
pub struct Known {
    pub(in crate::store) name: SessionName,
    session: Session,
    pub(in crate::store) version: Version,
    /// Since when it is known: when its reading began.
    pub(super) read: Instant,
    /// Whether somebody is noting its use.
    is_touched: AtomicBool,
    /// What apps are told of it, by their places in the table of services: the one that was used last at the end.
    prepared: Mutex<Vec<(usize, Arc<Prepared>)>>,
}

impl Deref for Known {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

/// By what they say, whenever it was read.
#[cfg(test)]
impl PartialEq for Known {
    fn eq(&self, other: &Self) -> bool {
        self.session == other.session
    }
}

/// Whoever holds this notes the use of a session, and nobody else does meanwhile.
#[derive(Debug)]
pub(in crate::store) struct Touching<'a>(&'a AtomicBool);

impl Drop for Touching<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Known {
    /// A session that was read as `version`, in a reading that began at `read`.
    pub(in crate::store) fn new(
        name: SessionName,
        mut session: Session,
        version: Version,
        read: Instant,
    ) -> Self {
        // Lists are read with room for more, and most are short.
        session.identity.groups.shrink_to_fit();
        session.amr.shrink_to_fit();
        Self {
            name,
            session,
            version,
            read,
            is_touched: AtomicBool::new(false),
            prepared: Mutex::default(),
        }
    }

    /// Has the caller note its use; `None` while somebody else does.
    pub(in crate::store) fn touching(&self) -> Option<Touching<'_>> {
        let is_touched = self.is_touched.swap(true, Ordering::Acquire);
        // Not made where it is not handed out: its end would be taken for that of the other.
        (!is_touched).then(|| Touching(&self.is_touched))
    }

    /// What the app at `place` is told, if that was put together already, with its secrets as they are at `generation`.
    #[must_use]
    pub fn prepared(&self, place: usize, generation: u64) -> Option<Arc<Prepared>> {
        let mut prepared = self.all_prepared();
        let at = prepared.iter().position(|(of, _)| *of == place)?;
        if prepared[at].1.generation() != generation {
            // There is a credential in it that counts no more.
            prepared.remove(at);
            return None;
        }
        prepared[at..].rotate_left(1);
        prepared.last().map(|(_, found)| Arc::clone(found))
    }

    /// Keeps what the app at `place` is told, for the next time.
    pub(super) fn keep(&self, place: usize, telling: Arc<Prepared>) {
        let mut prepared = self.all_prepared();
        prepared.retain(|(of, _)| *of != place);
        if prepared.len() == MOST_APPS {
            prepared.remove(0);
        }
        if prepared.len() == prepared.capacity() {
            // One at a time: most people use few apps at once.
            prepared.reserve_exact(1);
        }
        prepared.push((place, telling));
    }

    /// About how many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        let heap = |length: usize| if length == 0 { 0 } else { length + ALLOCATION };
        let text = |text: &Option<String>| text.as_ref().map_or(0, |text| heap(text.capacity()));
        let list = |list: &Vec<String>| {
            let texts = list.iter().map(|text| heap(text.capacity()));
            heap(list.capacity() * size_of::<String>()) + texts.sum::<usize>()
        };
        // All of them, so that whoever adds one has to say here what it takes.
        let Session {
            identity,
            created: _,
            seen: _,
            auth_time: _,
            amr,
            in_vain,
            sid,
            renewal: _,
        } = &self.session;
        let Identity {
            issuer,
            subject,
            username,
            name,
            email,
            groups,
        } = identity;
        let prepared = self.all_prepared();
        size_of::<Self>()
            + ALLOCATION
            + heap(issuer.capacity())
            + heap(subject.capacity())
            + text(username)
            + text(name)
            + text(email)
            + list(groups)
            + list(amr)
            + in_vain
                .as_ref()
                .map_or(0, |in_vain| list(&in_vain.policies))
            + text(sid)
            + heap(prepared.capacity() * size_of::<(usize, Arc<Prepared>)>())
            + prepared
                .iter()
                .map(|(_, telling)| telling.bytes() + ALLOCATION)
                .sum::<usize>()
    }

    fn all_prepared(&self) -> MutexGuard<'_, Vec<(usize, Arc<Prepared>)>> {
        // Each change leaves whole entries alone, so a panic elsewhere has not harmed it.
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
