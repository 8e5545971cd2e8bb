//! A relying party with nothing around it: no service, no browser.

use std::collections::HashMap;
use std::sync::Arc;

use actix_web::rt::task::JoinHandle;
use portcullis::domain::authentication::StepUp;
use portcullis::domain::relying_party::OidcSettings;
use portcullis::oidc::{AttemptSecrets, RedeemError, RelyingParty, SignedIn};

use super::clock::TestClock;
use super::issuer::FakeIssuer;

/// Where the relying party would be found, if it had a portal.
pub const PUBLIC_URL: &str = "https://auth.example.net";

/// A login that is no step-up.
pub const ORDINARY: &StepUp = &StepUp {
    max_age: None,
    methods: Vec::new(),
};

/// A relying party that keeps discovering until it is dropped.
pub struct Discovering {
    pub party: Arc<RelyingParty>,
    task: JoinHandle<()>,
}

impl Discovering {
    pub fn start(settings: OidcSettings, clock: &TestClock) -> Self {
        let party = RelyingParty::new(settings, Arc::new(clock.clone())).expect("a relying party");
        let task = actix_web::rt::spawn(Arc::clone(&party).keep_discovering());
        Self { party, task }
    }

    /// Logs in as whoever `issuer` signs in, from the authorization request to the claims.
    pub async fn sign_in(&self, issuer: &FakeIssuer) -> Result<SignedIn, RedeemError> {
        let (response, secrets) = self.go_to(issuer).await?;
        let code = response.get("code").expect("a code");
        let iss = response.get("iss").map(String::as_str);
        self.party.redeem(code, iss, &secrets).await
    }

    /// Logs in up to the response that the browser brings back.
    pub async fn go_to(
        &self,
        issuer: &FakeIssuer,
    ) -> Result<(HashMap<String, String>, AttemptSecrets), RedeemError> {
        let state = "nobody-guesses-this";
        let request = self.party.authorization_request(state, ORDINARY).await?;
        let back = issuer
            .visit(&request.url)
            .expect("a request that a strict provider takes");
        let response: HashMap<_, _> = back.query_pairs().into_owned().collect();
        assert_eq!(response.get("state").map(String::as_str), Some(state));
        Ok((response, request.secrets))
    }
}

impl Drop for Discovering {
    fn drop(&mut self) {
        self.task.abort();
    }
}
