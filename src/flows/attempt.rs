//! A login on its way, as the portal remembers it: sealed in a cookie of the browser that began it, so
//! that nothing is stored for a stranger.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::domain::time::Timestamp;
use crate::flows::Gate;
use crate::flows::handover::{Flow, LINK_LIFETIME};
use crate::oidc::AttemptSecrets;
use crate::store::sealing::Purpose;

/// How many logins one browser may have on their way; with more, the oldest goes.
pub const MAX_ATTEMPTS: usize = 3;

/// One attempt.
#[derive(Debug, Serialize, Deserialize)]
pub struct Attempt {
    /// What the provider brings back as `state` (RFC 6749 §4.1.1).
    state: String,
    /// Nonce and code verifier.
    pub secrets: AttemptSecrets,
    /// Where to go then.
    pub target: Option<String>,
    /// The protected host's side of it.
    pub flow: Option<Flow>,
    made: Timestamp,
}

/// A sealed attempt, and what its cookie's name ends in.
#[derive(Debug)]
pub struct SealedAttempt {
    /// Tells the cookies of several attempts apart.
    pub label: String,
    /// The cookie's value.
    pub sealed: String,
}

impl Attempt {
    /// An attempt that begins now.
    #[must_use]
    pub fn new(
        gate: &Gate,
        state: String,
        secrets: AttemptSecrets,
        target: Option<String>,
        flow: Option<Flow>,
    ) -> Self {
        Self {
            state,
            secrets,
            target,
            flow,
            made: gate.clock.now(),
        }
    }

    /// What the name of its cookie ends in: the beginning of `state`, which alone tells nothing.
    fn label(state: &str) -> Option<&str> {
        state.get(..8)
    }

    /// Seals it for the browser to keep.
    #[must_use]
    pub fn seal(&self, gate: &Gate) -> SealedAttempt {
        let plain = serde_json::to_vec(self).expect("an attempt has string keys");
        let label = Self::label(&self.state).unwrap_or_default().to_owned();
        let sealed = gate
            .keyring
            .seal(Purpose::LoginAttempt, label.as_bytes(), &plain);
        SealedAttempt {
            sealed: URL_SAFE_NO_PAD.encode(sealed),
            label,
        }
    }

    fn open(gate: &Gate, cookie: &SealedAttempt) -> Option<Self> {
        let sealed = URL_SAFE_NO_PAD.decode(&cookie.sealed).ok()?;
        let context = cookie.label.as_bytes();
        let plain = gate
            .keyring
            .open(Purpose::LoginAttempt, context, &sealed)
            .ok()?;
        let attempt: Self = serde_json::from_slice(&plain).ok()?;
        let fresh = gate.clock.now().since(attempt.made) < LINK_LIFETIME;
        fresh.then_some(attempt)
    }

    /// The attempt among `cookies` that `state` belongs to.
    #[must_use]
    pub fn find(gate: &Gate, cookies: &[SealedAttempt], state: &str) -> Option<Self> {
        let label = Self::label(state)?;
        let candidates = cookies.iter().filter(|cookie| cookie.label == label);
        candidates
            .filter_map(|cookie| Self::open(gate, cookie))
            .find(|attempt| attempt.state.as_bytes().ct_eq(state.as_bytes()).into())
    }

    /// The labels of those `cookies` that have to go so that one more fits: what does not open, and the
    /// oldest.
    #[must_use]
    pub fn make_room(gate: &Gate, cookies: &[SealedAttempt]) -> Vec<String> {
        let mut dead = Vec::new();
        let mut alive = Vec::new();
        for cookie in cookies {
            match Self::open(gate, cookie) {
                Some(attempt) => alive.push((attempt.made, cookie.label.clone())),
                None => dead.push(cookie.label.clone()),
            }
        }
        alive.sort();
        let excess = (alive.len() + 1).saturating_sub(MAX_ATTEMPTS);
        dead.extend(alive.into_iter().take(excess).map(|(_, label)| label));
        dead
    }
}
