//! How the relying party comes to know its provider, and what happens while it does not.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use portcullis::oidc::{HttpError, ProviderError, RelyingParty};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::provider::lies::set;
use crate::support::clock::TestClock;
use crate::support::issuer::{Algorithm, Answer, Endpoint, FakeIssuer, settings};
use crate::support::relying_party::{Discovering, ORDINARY, PUBLIC_URL};

const STATE: &str = "nobody-guesses-this";

/// Asks until the provider is known.
async fn until_ready(party: &RelyingParty, within: Duration) -> bool {
    let started = Instant::now();
    while !party.is_ready() && started.elapsed() < within {
        actix_web::rt::time::sleep(Duration::from_millis(20)).await;
    }
    party.is_ready()
}

#[actix_web::test]
async fn a_provider_that_comes_up_late_is_found() {
    let clock = TestClock::new();
    let address = FakeIssuer::free_address();
    let party = Discovering::start(settings(&format!("http://{address}"), PUBLIC_URL), &clock);

    let first = party.party.authorization_request(STATE, ORDINARY).await;
    assert_eq!(first.expect_err("a refusal").code(), "provider_unreachable");
    assert!(!party.party.is_ready());
    assert!(party.party.end_session_url(None).await.is_none());
    let started = Instant::now();
    let second = party.party.authorization_request(STATE, ORDINARY).await;
    assert_eq!(
        second.expect_err("a refusal").code(),
        "provider_unreachable"
    );
    assert!(
        started.elapsed() < Duration::from_secs(1),
        "known to be down"
    );

    let issuer = FakeIssuer::start_at(address, "", &clock);
    assert!(until_ready(&party.party, Duration::from_secs(3)).await);
    party.sign_in(&issuer).await.expect("a login");
}

/// Somebody who tries again is not made to wait for the next scheduled try.
#[actix_web::test]
async fn a_login_wakes_the_search() {
    let clock = TestClock::new();
    let address = FakeIssuer::free_address();
    let party = Discovering::start(settings(&format!("http://{address}"), PUBLIC_URL), &clock);
    let down = party.party.authorization_request(STATE, ORDINARY).await;
    assert!(down.is_err());
    let issuer = FakeIssuer::start_at(address, "", &clock);
    party
        .sign_in(&issuer)
        .await
        .expect("a login at the second try");
}

#[actix_web::test]
async fn a_slow_provider_is_asked_once_for_everybody() {
    let clock = TestClock::new();
    let issuer = FakeIssuer::start(&clock);
    issuer.answer(
        Endpoint::Discovery,
        Answer::Slow(Duration::from_millis(1_500)),
    );
    let party = Discovering::start(issuer.settings(PUBLIC_URL), &clock);
    let impatient = Duration::from_millis(300);
    for _ in 0..3 {
        let asked = party.party.authorization_request(STATE, ORDINARY);
        assert!(
            actix_web::rt::time::timeout(impatient, asked)
                .await
                .is_err()
        );
    }
    let logins = (0..20).map(|_| party.party.authorization_request(STATE, ORDINARY));
    for login in futures_util::future::join_all(logins).await {
        assert!(login.is_ok());
    }
    assert_eq!(issuer.requests(Endpoint::Discovery), 1);
}

#[actix_web::test]
async fn a_provider_that_hangs_does_not_hold_up_the_browser() {
    let clock = TestClock::new();
    let issuer = FakeIssuer::start(&clock);
    issuer.answer(Endpoint::Discovery, Answer::Hang);
    let party = Discovering::start(issuer.settings(PUBLIC_URL), &clock);
    let started = Instant::now();
    let login = party.party.authorization_request(STATE, ORDINARY).await;
    let timed_out = ProviderError::Http(HttpError::TimedOut);
    assert_eq!(login.expect_err("a refusal"), timed_out);
    assert!(started.elapsed() < Duration::from_secs(6));
}

/// The conformance suite's issuers end in a slash, and it is part of their name.
#[actix_web::test]
async fn an_issuer_is_compared_to_the_last_slash() {
    let clock = TestClock::new();
    for path in ["/tenant", "/tenant/"] {
        let issuer = FakeIssuer::start_at(FakeIssuer::free_address(), path, &clock);
        let party = Discovering::start(issuer.settings(PUBLIC_URL), &clock);
        let signed_in = party.sign_in(&issuer).await.expect("a login");
        assert_eq!(signed_in.identity.issuer, issuer.issuer());

        let mut almost = issuer.settings(PUBLIC_URL);
        almost.issuer = match almost.issuer.strip_suffix('/') {
            Some(without) => without.to_owned(),
            None => format!("{}/", almost.issuer),
        };
        let party = Discovering::start(almost, &clock);
        let found = party.party.authorization_request(STATE, ORDINARY).await;
        assert_eq!(found.expect_err("a refusal").code(), "issuer_mismatch");
    }
}

#[actix_web::test]
async fn new_keys_are_fetched_when_a_token_needs_them() {
    let clock = TestClock::new();
    let issuer = FakeIssuer::start(&clock);
    let party = Discovering::start(issuer.settings(PUBLIC_URL), &clock);
    party.sign_in(&issuer).await.expect("a login");
    assert_eq!(issuer.requests(Endpoint::Jwks), 1);

    issuer.rotate_keys(2);
    let logins = (0..5).map(|_| party.sign_in(&issuer));
    for login in futures_util::future::join_all(logins).await {
        login.expect("a login with the new key");
    }
    assert_eq!(
        issuer.requests(Endpoint::Jwks),
        2,
        "one fetch for all of them"
    );

    issuer.rotate_keys(3);
    party.sign_in(&issuer).await.expect("one more, for a login");
    issuer.rotate_keys(4);
    for _ in 0..3 {
        let too_soon = party.sign_in(&issuer).await;
        assert_eq!(
            too_soon.expect_err("a refusal").code(),
            "id_token_unknown_key"
        );
    }
    assert_eq!(issuer.requests(Endpoint::Jwks), 3, "two fetches in 30 s");
}

/// Rotation may change the algorithm, which the metadata lists.
#[actix_web::test]
async fn new_algorithms_are_learnt_with_new_keys() {
    let clock = TestClock::new();
    let issuer = FakeIssuer::start(&clock);
    let only = |algorithm: Algorithm| {
        issuer.behave(|behaviour| {
            behaviour.algorithm = algorithm;
            behaviour.edit_metadata = Box::new(move |metadata| {
                metadata["id_token_signing_alg_values_supported"] = json!([algorithm.name()]);
            });
        });
    };
    only(Algorithm::Es256);
    let party = Discovering::start(issuer.settings(PUBLIC_URL), &clock);
    party.sign_in(&issuer).await.expect("a login");
    only(Algorithm::EdDsa);
    party
        .sign_in(&issuer)
        .await
        .expect("a login with the new algorithm");
}

#[actix_web::test]
async fn the_request_is_what_a_strict_provider_wants() {
    let clock = TestClock::new();
    let issuer = FakeIssuer::start(&clock);
    let mut settings = issuer.settings(PUBLIC_URL);
    settings.scopes_follow_metadata = true;
    settings.authorize_params = vec![("prompt".to_owned(), "login".to_owned())];
    let party = Discovering::start(settings, &clock);
    let first = party
        .party
        .authorization_request(STATE, ORDINARY)
        .await
        .expect("a request");
    let second = party
        .party
        .authorization_request(STATE, ORDINARY)
        .await
        .expect("a request");
    issuer
        .visit(&first.url)
        .expect("a request that a strict provider takes");

    let query: HashMap<_, _> = first.url.query_pairs().into_owned().collect();
    let get = |name: &str| query.get(name).map(String::as_str);
    assert_eq!(
        get("redirect_uri"),
        Some("https://auth.example.net/callback")
    );
    assert_eq!(
        get("scope"),
        Some("openid profile email groups offline_access")
    );
    assert_eq!(get("prompt"), Some("login"));
    assert_eq!(get("code_challenge_method"), Some("S256"));
    assert_eq!(get("state"), Some(STATE));
    assert_eq!(get("nonce"), Some(first.secrets.nonce.as_str()));
    for secret in [&first.secrets.nonce, &first.secrets.pkce_verifier] {
        assert_eq!(secret.len(), 43, "256 bits in base64url");
    }
    assert_ne!(first.secrets.nonce, second.secrets.nonce);
    assert_ne!(first.secrets.pkce_verifier, second.secrets.pkce_verifier);
    assert!(!first.url.as_str().contains(&first.secrets.pkce_verifier));
}

/// Where the configuration names no scopes: Keycloak, Google and Entra refuse what they do not list.
#[actix_web::test]
async fn groups_are_not_asked_of_a_provider_that_lists_its_scopes_without_them() {
    #[rustfmt::skip]
    let cases = [
        (json!(["openid", "profile", "email"]),           true,  "openid profile email"),
        (json!(["openid", "groups", "offline_access"]),   true,  "openid profile email groups offline_access"),
        (Value::Null,                                     true,  "openid profile email groups"),
        (json!(["openid", "profile", "email"]),           false, "openid profile email groups"),
    ];
    for (listed, follow, expected) in cases {
        let clock = TestClock::new();
        let issuer = FakeIssuer::start(&clock);
        let scopes = listed.clone();
        issuer.behave(|behaviour| {
            let name = "scopes_supported";
            behaviour.edit_metadata = Box::new(move |json| set(json, name, scopes.clone()));
        });
        let mut settings = issuer.settings(PUBLIC_URL);
        settings.scopes_follow_metadata = follow;
        let party = Discovering::start(settings, &clock);
        let request = party.party.authorization_request(STATE, ORDINARY).await;
        let url = request.expect("a request").url;
        let asked = url.query_pairs().find(|(name, _)| name == "scope");
        assert_eq!(asked.expect("scopes").1, expected, "{listed} {follow}");
    }
}

#[actix_web::test]
async fn logout_leads_through_the_provider() {
    let clock = TestClock::new();
    let issuer = FakeIssuer::start(&clock);
    issuer.behave(|behaviour| {
        behaviour.edit_metadata = Box::new(|metadata| {
            let endpoint = metadata["end_session_endpoint"].as_str().expect("a URL");
            metadata["end_session_endpoint"] = json!(format!("{endpoint}?theme=dark"));
        });
    });
    let party = Discovering::start(issuer.settings(PUBLIC_URL), &clock);
    assert!(until_ready(&party.party, Duration::from_secs(3)).await);
    let query = async |hint: Option<&str>| -> HashMap<String, String> {
        let hint = hint.map(SecretString::from);
        let url = party
            .party
            .end_session_url(hint.as_ref())
            .await
            .expect("a URL");
        assert!(url.path().ends_with("/end-session"));
        url.query_pairs().into_owned().collect()
    };
    let full = query(Some("a.b.c")).await;
    assert_eq!(full["theme"], "dark");
    assert_eq!(full["id_token_hint"], "a.b.c");
    assert_eq!(full["client_id"], "portcullis");
    assert_eq!(
        full["post_logout_redirect_uri"],
        "https://auth.example.net/signed-out"
    );
    assert!(!query(None).await.contains_key("id_token_hint"));
    assert!(
        !query(Some(&"x".repeat(10_000)))
            .await
            .contains_key("id_token_hint"),
        "too long for a URL"
    );

    let browser = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("a browser");
    let url = party
        .party
        .end_session_url(Some(&"a.b.c".into()))
        .await
        .expect("a URL");
    let answer = browser.get(url).send().await.expect("an answer");
    assert_eq!(
        answer.headers()["location"],
        "https://auth.example.net/signed-out"
    );
    assert_eq!(issuer.logged_out(), Some(full));

    issuer.stop().await;
    let still = party.party.end_session_url(None).await;
    assert!(still.is_some(), "it was there a moment ago");
}
