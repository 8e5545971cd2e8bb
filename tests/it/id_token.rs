//! From the code to the person, at an honest provider. What a lying one is told stands in [`provider`](super::provider).

use std::time::Duration;

use portcullis::clock::Clock;
use portcullis::domain::relying_party::{ClaimPath, ClientAuth, OidcSettings, Userinfo};
use portcullis::domain::time::Timestamp;
use portcullis::oidc::RedeemError;
use serde_json::{Value, json};

use crate::provider::lies::{claim, set};
use crate::support::clock::TestClock;
use crate::support::issuer::{Endpoint, FakeIssuer};
use crate::support::relying_party::{Discovering, PUBLIC_URL};

/// An honest pair.
fn start() -> (FakeIssuer, Discovering, TestClock) {
    let clock = TestClock::new();
    let issuer = FakeIssuer::start(&clock);
    let party = Discovering::start(issuer.settings(PUBLIC_URL), &clock);
    (issuer, party, clock)
}

#[actix_web::test]
async fn an_honest_issuer_is_believed() {
    let (issuer, party, clock) = start();
    issuer.sign_in_as("ben");
    party.sign_in(&issuer).await.expect("a login");
    // The second time it knows them, and says since when.
    clock.advance(Duration::from_secs(10));
    let signed_in = party.sign_in(&issuer).await.expect("a login");
    let identity = &signed_in.identity;
    assert_eq!(identity.issuer, issuer.issuer());
    assert_eq!(identity.subject, "0b0b0000-be00-4000-8000-000000000002");
    assert_eq!(identity.username.as_deref(), Some("ben"));
    assert_eq!(identity.name.as_deref(), Some("Ben Müller"));
    assert_eq!(identity.email.as_deref(), Some("ben@example.net"));
    assert_eq!(identity.groups, ["media"]);
    assert_eq!(signed_in.amr, ["phr"]);
    assert_eq!(signed_in.sid.as_deref(), Some("session-1"));
    let ten_seconds_ago = Timestamp::from_seconds(clock.now().seconds() - 10);
    assert_eq!(signed_in.auth_time, Some(ten_seconds_ago));
    assert_eq!(
        issuer.requests(Endpoint::Userinfo),
        0,
        "nothing was missing"
    );

    let shown = format!("{signed_in:?}");
    for secret in issuer.issued() {
        assert!(!shown.contains(&secret), "{shown}");
    }

    // Nothing that was learnt at the start goes stale with the day.
    clock.advance(Duration::from_secs(86_400));
    issuer.sign_in_as("eve");
    let nobody_in_particular = party.sign_in(&issuer).await.expect("a login");
    assert!(nobody_in_particular.identity.groups.is_empty());
}

#[actix_web::test]
async fn a_code_serves_one_browser_once() {
    let (issuer, party, _clock) = start();
    let (response, secrets) = party.go_to(&issuer).await.expect("a response");
    let (_, of_another) = party.go_to(&issuer).await.expect("a response");
    let (code, iss) = (&response["code"], Some(issuer.issuer()));

    let stolen = party.party.redeem(code, iss, &of_another).await;
    assert_eq!(
        stolen.expect_err("a refusal").code(),
        "code_refused",
        "PKCE"
    );
    let again = party.party.redeem(code, iss, &secrets).await;
    let error = again.expect_err("a refusal");
    assert_eq!(error.code(), "code_refused");
    // The issuer's error description repeats the request.
    for text in [
        error.to_string(),
        format!("{error:?}"),
        format!("{secrets:?}"),
    ] {
        assert!(!text.contains(code.as_str()), "{text}");
        assert!(!text.contains(&secrets.pkce_verifier), "{text}");
        assert!(!text.contains(&secrets.nonce), "{text}");
    }

    for unusable in [String::new(), "c".repeat(10_000)] {
        let refused = party.party.redeem(&unusable, iss, &secrets).await;
        assert_eq!(refused.expect_err("a refusal"), RedeemError::Code);
    }
}

#[actix_web::test]
async fn the_client_authenticates_as_the_metadata_says() {
    #[rustfmt::skip]
    let cases = [
        (Some(json!(["client_secret_basic", "client_secret_post"])), ClientAuth::Auto,  Ok(())),
        (Some(json!(["client_secret_post"])),                        ClientAuth::Auto,  Ok(())),
        (Some(json!(["none"])),                                      ClientAuth::Auto,  Ok(())),
        (None,                                                       ClientAuth::Auto,  Ok(())),
        (Some(json!(["private_key_jwt"])),                           ClientAuth::Auto,  Err("no_common_client_auth")),
        (Some(json!(["client_secret_post"])),                        ClientAuth::Basic, Err("client_refused")),
        (Some(json!(["client_secret_post"])),                        ClientAuth::Post,  Ok(())),
        (Some(json!(["client_secret_basic"])),                       ClientAuth::None,  Err("client_refused")),
    ];
    for (methods, client_auth, expected) in cases {
        let clock = TestClock::new();
        let issuer = FakeIssuer::start(&clock);
        let listed = methods.clone().unwrap_or(Value::Null);
        issuer.behave(|behaviour| {
            let methods = "token_endpoint_auth_methods_supported";
            behaviour.edit_metadata = Box::new(move |json| set(json, methods, listed.clone()));
        });
        let mut settings = issuer.settings(PUBLIC_URL);
        settings.client_auth = client_auth;
        let party = Discovering::start(settings, &clock);
        let found = party.sign_in(&issuer).await;
        let found = found.map(drop).map_err(|error| error.code());
        assert_eq!(found, expected, "{methods:?} {client_auth:?}");
    }
}

#[actix_web::test]
async fn claims_are_found_where_the_configuration_says() {
    let clock = TestClock::new();
    let issuer = FakeIssuer::start(&clock);
    let mut settings = issuer.settings(PUBLIC_URL);
    settings.username_claim = ClaimPath::parse("sub").expect("a claim");
    settings.groups_claim = ClaimPath::parse("/realm_access/roles").expect("a claim");
    let party = Discovering::start(settings, &clock);
    issuer.behave(|behaviour| {
        claim("realm_access", json!({ "roles": ["staff"] }))(behaviour);
    });
    let identity = party.sign_in(&issuer).await.expect("a login").identity;
    assert_eq!(identity.username.as_ref(), Some(&identity.subject));
    assert_eq!(identity.groups, ["staff"]);
}

#[actix_web::test]
async fn userinfo_is_asked_when_it_is_needed_or_always() {
    #[rustfmt::skip]
    let cases = [
        // userinfo,            the ID token is sparse, asked
        (Userinfo::WhenNeeded,  false,                  0),
        (Userinfo::WhenNeeded,  true,                   1),
        (Userinfo::Always,      false,                  1),
        (Userinfo::Always,      true,                   1),
    ];
    for (userinfo, sparse, asked) in cases {
        let clock = TestClock::new();
        let issuer = FakeIssuer::start(&clock);
        let settings = OidcSettings {
            userinfo,
            ..issuer.settings(PUBLIC_URL)
        };
        let party = Discovering::start(settings, &clock);
        issuer.behave(|behaviour| {
            behaviour.sparse_id_token = sparse;
            // The ID token's word counts, where it has one; for the rest, userinfo's.
            behaviour.edit_claims = Box::new(|claims| set(claims, "email", Value::Null));
        });
        let identity = party.sign_in(&issuer).await.expect("a login").identity;
        assert_eq!(identity.username.as_deref(), Some("ada"));
        assert_eq!(identity.groups, ["admins"]);
        let email = (asked == 1).then_some("ada@example.net");
        assert_eq!(identity.email.as_deref(), email, "{userinfo:?} {sparse}");
        assert_eq!(issuer.requests(Endpoint::Userinfo), asked);
    }
}

/// A secret that was replaced at the provider, and in its file, needs no restart; what is on its way when that happens
/// fails, and the next one works.
#[actix_web::test]
async fn a_replaced_secret_counts_from_the_next_login_on() {
    let clock = TestClock::new();
    let issuer = FakeIssuer::start(&clock);
    let settings = issuer.settings(PUBLIC_URL);
    let secret = settings.client_secret.clone().expect("a secret");
    let party = Discovering::start(settings, &clock);
    party.sign_in(&issuer).await.expect("a login");
    issuer.change_secret("another: 100%");
    let refused = party.sign_in(&issuer).await;
    assert_eq!(refused.expect_err("a refusal"), RedeemError::Client);
    assert!(secret.replace("another: 100%".into()));
    party.sign_in(&issuer).await.expect("a login");
}
