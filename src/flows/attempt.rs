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
use crate::oidc::AttemptSecrets;
use crate::store::sealing::{Purpose, random};

/// How many logins one browser may have on their way: each has a slot, a cookie of its own.
pub const SLOTS: usize = 3;

/// The longest address that `state` carries, in bytes: providers bound the length of a request.
const MAX_TARGET_IN_STATE: usize = 1_000;

/// One attempt.
#[derive(Serialize, Deserialize)]
pub struct Attempt {
    /// Of what the provider brings back as `state` (RFC 6749 §4.1.1).
    state_hash: [u8; 32],
    /// Nonce and code verifier.
    pub secrets: AttemptSecrets,
    /// Where to go then.
    pub target: Option<String>,
    /// The protected host's side of it.
    pub flow: Option<Flow>,
    /// When it began.
    pub made: Timestamp,
}

/// A sealed attempt: a cookie's value, and which of the cookies.
pub struct SealedAttempt {
    /// Below [`SLOTS`].
    pub slot: usize,
    /// The cookie's value.
    pub sealed: String,
}

impl fmt::Debug for SealedAttempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedAttempt({}, ..)", self.slot)
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

impl Attempt {
    /// An attempt that begins now.
    #[must_use]
    pub fn new(
        gate: &Gate,
        state: &str,
        secrets: AttemptSecrets,
        target: Option<String>,
        flow: Option<Flow>,
    ) -> Self {
        Self {
            state_hash: hash(state),
            secrets,
            target,
            flow,
            made: gate.clock.now(),
        }
    }

    /// Seals it for the browser to keep in `slot`.
    #[must_use]
    pub fn seal(&self, gate: &Gate, slot: usize) -> SealedAttempt {
        let plain = serde_json::to_vec(self).expect("an attempt has string keys");
        let sealed = gate.keyring.seal(Purpose::LoginAttempt, &[], &plain);
        SealedAttempt {
            slot,
            sealed: URL_SAFE_NO_PAD.encode(sealed),
        }
    }

    fn open(gate: &Gate, cookie: &SealedAttempt) -> Option<Self> {
        let sealed = URL_SAFE_NO_PAD.decode(&cookie.sealed).ok()?;
        let plain = gate
            .keyring
            .open(Purpose::LoginAttempt, &[], &sealed)
            .ok()?;
        let attempt: Self = serde_json::from_slice(&plain).ok()?;
        gate.handover
            .is_fresh(attempt.made, LINK_LIFETIME)
            .then_some(attempt)
    }

    /// The attempt among `cookies` that `state` belongs to, and its slot.
    #[must_use]
    pub fn find(gate: &Gate, cookies: &[SealedAttempt], state: &str) -> Option<(usize, Self)> {
        let asked = hash(state);
        let mut opened = cookies
            .iter()
            .filter_map(|cookie| Some((cookie.slot, Self::open(gate, cookie)?)));
        opened.find(|(_, attempt)| attempt.state_hash.ct_eq(&asked).into())
    }

    /// The slot for one more attempt: a free one, else one whose attempt is over, else that of the oldest. Among
    /// free ones chance decides, so that tabs that begin at once seldom meet.
    #[must_use]
    pub fn slot_for_new(gate: &Gate, cookies: &[SealedAttempt]) -> usize {
        let used = |slot: &usize| cookies.iter().any(|cookie| cookie.slot == *slot);
        let free: Vec<usize> = (0..SLOTS).filter(|slot| !used(slot)).collect();
        let [chance]: [u8; 1] = random();
        if !free.is_empty() {
            return free[usize::from(chance) % free.len()];
        }
        let age = |cookie: &&SealedAttempt| Self::open(gate, cookie).map(|attempt| attempt.made);
        // `None`, what is over, orders before every time.
        cookies
            .iter()
            .min_by_key(age)
            .map_or(0, |cookie| cookie.slot)
    }
}
