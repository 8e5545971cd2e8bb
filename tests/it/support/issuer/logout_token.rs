//! Logout tokens of the fake issuer (Back-Channel Logout 1.0 §2.4): honest, until a test edits one.

use portcullis::clock::Clock;
use serde_json::{Value, json};

use super::keys::encode;
use super::protocol::random;
use super::{Algorithm, CLIENT_ID, FakeIssuer};

/// A logout token that is not signed yet.
#[derive(Debug)]
pub struct LogoutDraft {
    pub algorithm: Algorithm,
    pub header: Value,
    pub claims: Value,
    /// Put before the other members of the header and of the claims, as text: so that one may stand twice.
    pub first: [String; 2],
}

impl FakeIssuer {
    /// A draft that ends the session `sid`.
    pub fn logout_draft(&self, sid: &str) -> LogoutDraft {
        let state = self.shared.state();
        let algorithm = state.behaviour.algorithm;
        let now = self.shared.clock.now().seconds();
        LogoutDraft {
            algorithm,
            header: json!({ "typ": "logout+jwt", "kid": state.keys.kid(algorithm) }),
            claims: json!({
                "iss": self.shared.issuer,
                "aud": CLIENT_ID,
                "iat": now,
                "exp": now + 120,
                "jti": random(),
                "sub": state.user.subject,
                "sid": sid,
                "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
            }),
            first: [String::new(), String::new()],
        }
    }

    /// Signs a draft. Its header names the algorithm unless it says something else.
    pub fn sign(&self, draft: &LogoutDraft) -> String {
        let mut header = draft.header.clone();
        if header.get("alg").is_none() {
            header["alg"] = json!(draft.algorithm.name());
        }
        let text = |json: &Value, first: &str| {
            let text = json.to_string();
            encode(text.replacen('{', &format!("{{{first}"), 1).as_bytes())
        };
        let [first_of_header, first_of_claims] = &draft.first;
        let message = format!(
            "{}.{}",
            text(&header, first_of_header),
            text(&draft.claims, first_of_claims)
        );
        let signature = self.shared.state().keys.sign(draft.algorithm, &message);
        format!("{message}.{}", encode(&signature))
    }

    /// An honest token that ends the session `sid`.
    pub fn logout_token(&self, sid: &str) -> String {
        self.sign(&self.logout_draft(sid))
    }

    /// Gives the sessions that begin from now on this `sid`.
    pub fn name_sessions(&self, sid: &str) {
        let sid = sid.to_owned();
        self.behave(|behaviour| {
            behaviour.edit_claims = Box::new(move |claims| claims["sid"] = json!(sid));
        });
    }
}
