//! A login on its way, as the portal remembers it: sealed in a cookie of the browser that began it, so
//! that nothing is stored for a stranger.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::domain::time::Timestamp;
use crate::flows::Gate;
use crate::flows::handover::{Flow, LINK_LIFETIME};
use crate::flows::step_up::For;
use crate::oidc::AttemptSecrets;
use crate::store::sealing::{Purpose, random};

/// How many logins one browser may have on their way; with more, the oldest goes.
const MAX_ATTEMPTS: usize = 3;

/// The longest address that `state` carries, in bytes: providers bound the length of a request.
const MAX_TARGET_IN_STATE: usize = 1_000;

/// One attempt.
#[derive(Serialize, Deserialize)]
pub struct Attempt {
    /// Of what the provider brings back as `state` (RFC 6749 §4.1.1).
    state_hash: [u8; 32],
    /// Nonce and code verifier.
    pub secrets: AttemptSecrets,
    /// Where to go then, unless `state` says it.
    target: Option<String>,
    /// The protected host's side of it.
    pub flow: Option<Flow>,
    /// What it has to be good enough for.
    #[serde(default)]
    pub step_up: For,
    /// When it began.
    pub made: Timestamp,
}

/// A sealed attempt: a cookie's value, and what its name ends in.
pub struct SealedAttempt {
    /// Tells attempts apart: tabs that begin at once do not know of each other, and each needs its own.
    pub label: String,
    /// The cookie's value.
    pub sealed: String,
}

impl fmt::Debug for SealedAttempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedAttempt({}, ..)", self.label)
    }
}

/// A new `state`: 256 random bits, and behind them, sealed, where the person wants to go. So the browser
/// gets there even when the attempt itself has made room for another one.
pub(super) fn new_state(gate: &Gate, target: Option<&str>) -> String {
    let nobody_guesses: [u8; 32] = random();
    let mut state = URL_SAFE_NO_PAD.encode(nobody_guesses);
    if let Some(target) = target.filter(|target| target.len() <= MAX_TARGET_IN_STATE) {
        let sealed = gate
            .keyring
            .seal(Purpose::LoginState, b"", target.as_bytes());
        state.push('.');
        state.push_str(&URL_SAFE_NO_PAD.encode(sealed));
    }
    state
}

/// Where the person wanted to go who began the login of this `state`; `None` unless it is one of ours.
pub(super) fn target_in_state(gate: &Gate, state: &str) -> Option<String> {
    let (_, sealed) = state.split_once('.')?;
    let sealed = URL_SAFE_NO_PAD.decode(sealed).ok()?;
    let target = gate.keyring.open(Purpose::LoginState, b"", &sealed).ok()?;
    String::from_utf8(target).ok()
}

fn hash(state: &str) -> [u8; 32] {
    blake3::derive_key("portcullis v1 login state", state.as_bytes())
}

/// What the name of an attempt's cookie ends in: the beginning of `state`, which alone opens nothing.
pub(super) fn label_of(state: &str) -> Option<&str> {
    state.get(..8)
}

impl Attempt {
    /// An attempt that begins now.
    #[must_use]
    pub fn new(
        gate: &Gate,
        state: &str,
        secrets: AttemptSecrets,
        target: Option<String>,
        (flow, step_up): (Option<Flow>, For),
    ) -> Self {
        Self {
            state_hash: hash(state),
            secrets,
            // Once is enough: the cookie is to be small, since there may be several.
            target: target.filter(|_| !state.contains('.')),
            flow,
            step_up,
            made: gate.clock.now(),
        }
    }

    /// Where to go then. `state` is the attempt's own.
    #[must_use]
    pub fn target(&self, gate: &Gate, state: &str) -> Option<String> {
        self.target.clone().or_else(|| target_in_state(gate, state))
    }

    /// Seals it for the browser to keep. `state` is the attempt's own.
    #[must_use]
    pub fn seal(&self, gate: &Gate, state: &str) -> SealedAttempt {
        let plain = serde_json::to_vec(self).expect("an attempt has string keys");
        let label = label_of(state).unwrap_or_default().to_owned();
        let sealed = gate
            .keyring
            .seal(Purpose::LoginAttempt, label.as_bytes(), &plain);
        SealedAttempt {
            label,
            sealed: URL_SAFE_NO_PAD.encode(sealed),
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
        gate.handover
            .is_fresh(attempt.made, LINK_LIFETIME)
            .then_some(attempt)
    }

    /// The attempt among `cookies` that `state` belongs to.
    #[must_use]
    pub fn find(gate: &Gate, cookies: &[SealedAttempt], state: &str) -> Option<Self> {
        let label = label_of(state)?;
        let asked = hash(state);
        let candidates = cookies.iter().filter(|cookie| cookie.label == label);
        candidates
            .filter_map(|cookie| Self::open(gate, cookie))
            .find(|attempt| attempt.state_hash.ct_eq(&asked).into())
    }
}

/// The labels of those `cookies` that have to go so that `further` attempts fit: what does not open any more, and
/// the oldest. Tabs that begin at once may leave more than fit; the next request clears them away.
pub(super) fn to_forget(gate: &Gate, cookies: &[SealedAttempt], further: usize) -> Vec<String> {
    let mut alive = Vec::new();
    let mut forget = Vec::new();
    for cookie in cookies {
        match Attempt::open(gate, cookie) {
            Some(attempt) => alive.push((attempt.made, cookie.label.clone())),
            None => forget.push(cookie.label.clone()),
        }
    }
    alive.sort();
    let excess = (alive.len() + further).saturating_sub(MAX_ATTEMPTS);
    forget.extend(alive.into_iter().take(excess).map(|(_, label)| label));
    forget
}
