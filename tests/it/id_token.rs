//! From the code to the person: every check has a lie that it must catch.

use std::time::Duration;

use portcullis::clock::Clock;
use portcullis::domain::relying_party::{ClaimPath, ClientAuth};
use portcullis::domain::time::Timestamp;
use portcullis::oidc::RedeemError;
use serde_json::{Value, json};

use crate::support::clock::TestClock;
use crate::support::issuer::{
    Algorithm, Answer, Behaviour, CLIENT_SECRET, Endpoint, FakeIssuer, ResponseIss,
};
use crate::support::relying_party::{Discovering, PUBLIC_URL};

/// What an issuer is told before a login.
type Lie = Box<dyn Fn(&mut Behaviour)>;

/// An honest pair.
fn start() -> (FakeIssuer, Discovering, TestClock) {
    let clock = TestClock::new();
    let issuer = FakeIssuer::start(&clock);
    let party = Discovering::start(issuer.settings(PUBLIC_URL), &clock);
    (issuer, party, clock)
}

/// Logs in at an issuer that lies, and says how it ended: a code, or the subject.
async fn outcome(lie: impl FnOnce(&mut Behaviour)) -> Result<String, &'static str> {
    let (issuer, party, _clock) = start();
    issuer.behave(lie);
    match party.sign_in(&issuer).await {
        Ok(signed_in) => Ok(signed_in.identity.subject),
        Err(error) => Err(error.code()),
    }
}

/// A lie about one claim; `null` leaves it out.
fn claim(name: &'static str, value: Value) -> impl Fn(&mut Behaviour) {
    move |behaviour| {
        let value = value.clone();
        behaviour.edit_claims = Box::new(move |claims| set(claims, name, value.clone()));
    }
}

/// A lie about one header field.
fn header(name: &'static str, value: Value) -> impl Fn(&mut Behaviour) {
    move |behaviour| {
        let value = value.clone();
        behaviour.edit_header = Box::new(move |header| set(header, name, value.clone()));
    }
}

/// A lie about the published keys.
fn published(name: &'static str, value: Value) -> impl Fn(&mut Behaviour) {
    move |behaviour| {
        let value = value.clone();
        behaviour.edit_jwks = Box::new(move |jwks| {
            for key in jwks["keys"].as_array_mut().expect("keys") {
                set(key, name, value.clone());
            }
        });
    }
}

/// A lie that is told after signing.
fn token(edit: fn(&str) -> String) -> impl Fn(&mut Behaviour) {
    move |behaviour| behaviour.edit_token = Box::new(edit)
}

fn signed_with(algorithm: Algorithm) -> impl Fn(&mut Behaviour) {
    move |behaviour| behaviour.algorithm = algorithm
}

fn set(object: &mut Value, name: &str, value: Value) {
    let object = object.as_object_mut().expect("an object");
    if value.is_null() {
        object.remove(name);
    } else {
        object.insert(name.to_owned(), value);
    }
}

#[actix_web::test]
async fn an_honest_issuer_is_believed() {
    let (issuer, party, clock) = start();
    issuer.sign_in_as("ben");
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

    // Nothing that was learnt at the start goes stale with the day.
    clock.advance(Duration::from_secs(86_400));
    issuer.sign_in_as("eve");
    let nobody_in_particular = party.sign_in(&issuer).await.expect("a login");
    assert!(nobody_in_particular.identity.groups.is_empty());
}

#[actix_web::test]
async fn each_lie_of_the_id_token_is_caught() {
    let now = TestClock::new().now().seconds();
    let at = |seconds: u64| json!(seconds);
    #[rustfmt::skip]
    let cases: Vec<(&str, Lie, Result<(), &str>)> = vec![
        ("nothing at all",            Box::new(|_| {}),                                          Ok(())),
        // Who signed it, and how
        ("RS256",                     Box::new(signed_with(Algorithm::Rs256)),                   Ok(())),
        ("RS512",                     Box::new(signed_with(Algorithm::Rs512)),                   Ok(())),
        ("PS256",                     Box::new(signed_with(Algorithm::Ps256)),                   Ok(())),
        ("EdDSA",                     Box::new(signed_with(Algorithm::EdDsa)),                   Ok(())),
        ("no signature",              Box::new(signed_with(Algorithm::None)),                    Err("id_token_alg")),
        ("our secret as key",         Box::new(signed_with(Algorithm::Hs256(CLIENT_SECRET))),    Err("id_token_alg")),
        ("alg that nobody knows",     Box::new(header("alg", json!("XX256"))),                   Err("id_token_alg")),
        ("alg in other letters",      Box::new(header("alg", json!("es256"))),                   Err("id_token_alg")),
        ("alg not a text",            Box::new(header("alg", json!(256))),                       Err("id_token_alg")),
        ("no alg",                    Box::new(header("alg", Value::Null)),                      Err("id_token_alg")),
        ("alg of another key",        Box::new(header("alg", json!("RS256"))),                   Err("id_token_unknown_key")),
        ("ES512",                     Box::new(header("alg", json!("ES512"))),                   Err("id_token_alg")),
        ("key of another type",       Box::new(header("kid", json!("rsa-1"))),                   Err("id_token_unknown_key")),
        ("key that is not published", Box::new(header("kid", json!("ec-0"))),                    Err("id_token_unknown_key")),
        ("key for encryption",        Box::new(published("use", json!("enc"))),                  Err("id_token_unknown_key")),
        ("key for another algorithm", Box::new(published("alg", json!("ES384"))),                Err("id_token_unknown_key")),
        ("key on another curve",      Box::new(published("crv", json!("P-384"))),                Err("id_token_signature")),
        ("a symmetric key",           Box::new(published("kty", json!("oct"))),                  Err("id_token_unknown_key")),
        ("no kid",                    Box::new(header("kid", Value::Null)),                      Ok(())),
        ("kid not a text",            Box::new(header("kid", json!(1))),                         Err("id_token_malformed")),
        ("signature cut",             Box::new(token(|t| t[..t.len() - 6].to_owned())),          Err("id_token_signature")),
        ("signature gone",            Box::new(token(|t| t[..=t.rfind('.').expect("a dot")].to_owned())), Err("id_token_signature")),
        ("claims exchanged",          Box::new(token(exchange_claims)),                          Err("id_token_signature")),
        // What it is
        ("crit",                      Box::new(header("crit", json!(["exp"]))),                  Err("id_token_crit")),
        ("empty crit",                Box::new(header("crit", json!([]))),                       Err("id_token_crit")),
        ("an access token",           Box::new(header("typ", json!("at+jwt"))),                  Err("id_token_typ")),
        ("a logout token",            Box::new(header("typ", json!("logout+jwt"))),              Err("id_token_typ")),
        ("typ in small letters",      Box::new(header("typ", json!("jwt"))),                     Ok(())),
        ("no typ",                    Box::new(header("typ", Value::Null)),                      Ok(())),
        ("nested",                    Box::new(header("cty", json!("JWT"))),                     Err("id_token_typ")),
        ("encrypted",                 Box::new(token(|_| "e30.x.x.x.x".to_owned())),             Err("id_token_encrypted")),
        ("two parts",                 Box::new(token(|_| "e30.e30".to_owned())),                 Err("id_token_malformed")),
        ("six parts",                 Box::new(token(|_| "e30.e.e.e.e.e".to_owned())),           Err("id_token_malformed")),
        ("nothing",                   Box::new(token(|_| String::new())),                        Err("id_token_malformed")),
        ("no base64url",              Box::new(token(|t| t.replacen('e', "+", 1))),              Err("id_token_malformed")),
        ("padding",                   Box::new(token(|t| format!("{t}="))),                              Err("id_token_malformed")),
        ("huge",                      Box::new(token(|t| t.repeat(200))),             Err("id_token_too_large")),
        // From whom, for whom
        ("no iss",                    Box::new(claim("iss", Value::Null)),                       Err("id_token_claim_missing")),
        ("another iss",               Box::new(claim("iss", json!("https://id.example.org"))),   Err("id_token_iss")),
        ("iss not a text",            Box::new(claim("iss", json!(["https://id"]))),             Err("id_token_claim_type")),
        ("no aud",                    Box::new(claim("aud", Value::Null)),                       Err("id_token_claim_missing")),
        ("aud as text",               Box::new(claim("aud", json!("portcullis"))),               Ok(())),
        ("another aud",               Box::new(claim("aud", json!("other"))),                    Err("id_token_aud")),
        ("aud in other letters",      Box::new(claim("aud", json!("Portcullis"))),               Err("id_token_aud")),
        ("no audience",               Box::new(claim("aud", json!([]))),                         Err("id_token_aud")),
        ("another aud too",           Box::new(claim("aud", json!(["portcullis", "other"]))),    Err("id_token_foreign_aud")),
        ("aud twice, no azp",         Box::new(claim("aud", json!(["portcullis", "portcullis"]))), Err("id_token_claim_missing")),
        ("aud a number",              Box::new(claim("aud", json!(1))),                          Err("id_token_claim_type")),
        ("a number among aud",        Box::new(claim("aud", json!(["portcullis", 1]))),          Err("id_token_claim_type")),
        ("azp is us",                 Box::new(claim("azp", json!("portcullis"))),               Ok(())),
        ("azp is not us",             Box::new(claim("azp", json!("evil"))),                     Err("id_token_azp")),
        ("azp not a text",            Box::new(claim("azp", json!(["portcullis"]))),             Err("id_token_claim_type")),
        // When
        ("no exp",                    Box::new(claim("exp", Value::Null)),                       Err("id_token_claim_missing")),
        ("exp as text",               Box::new(claim("exp", json!((now + 60).to_string()))),     Err("id_token_claim_type")),
        ("exp with a fraction",       Box::new(claim("exp", json!(1_790_000_100.5))),            Ok(())),
        ("exp negative",              Box::new(claim("exp", json!(-1))),                         Err("id_token_claim_type")),
        ("exp beyond all numbers",    Box::new(claim("exp", json!(1e300))),                      Ok(())),
        ("lapsed within the leeway",  Box::new(claim("exp", at(now - 59))),                      Ok(())),
        ("lapsed",                    Box::new(claim("exp", at(now - 60))),                      Err("id_token_expired")),
        ("no iat",                    Box::new(claim("iat", Value::Null)),                       Err("id_token_claim_missing")),
        ("iat as text",               Box::new(claim("iat", json!("2026-09-21T00:00:00Z"))),     Err("id_token_claim_type")),
        ("iat within the leeway",     Box::new(claim("iat", at(now + 60))),                      Ok(())),
        ("iat ahead",                 Box::new(claim("iat", at(now + 61))),                      Err("id_token_not_yet_valid")),
        ("iat ahead, nbf not",        Box::new(iat_ahead_of_nbf),                                Err("id_token_not_yet_valid")),
        ("nbf within the leeway",     Box::new(claim("nbf", at(now + 60))),                      Ok(())),
        ("nbf ahead",                 Box::new(claim("nbf", at(now + 61))),                      Err("id_token_not_yet_valid")),
        ("nbf as text",               Box::new(claim("nbf", json!("0"))),                        Err("id_token_claim_type")),
        // Which login
        ("no nonce",                  Box::new(claim("nonce", Value::Null)),                     Err("id_token_claim_missing")),
        ("another nonce",             Box::new(claim("nonce", json!("n"))),                      Err("id_token_nonce")),
        ("nonce not a text",          Box::new(claim("nonce", json!(0))),                        Err("id_token_claim_type")),
        ("no at_hash",                Box::new(claim("at_hash", Value::Null)),                   Ok(())),
        ("another at_hash",           Box::new(claim("at_hash", json!("x"))),                    Err("id_token_at_hash")),
        ("at_hash not a text",        Box::new(claim("at_hash", json!(0))),                      Err("id_token_claim_type")),
        // Who
        ("no sub",                    Box::new(claim("sub", Value::Null)),                       Err("id_token_claim_missing")),
        ("empty sub",                 Box::new(claim("sub", json!(""))),                         Err("id_token_sub")),
        ("sub with a line break",     Box::new(claim("sub", json!("a\nb"))),                     Err("id_token_sub")),
        ("sub without end",           Box::new(claim("sub", json!("a".repeat(256)))),            Err("id_token_sub")),
        ("sub a number",              Box::new(claim("sub", json!(1))),                          Err("id_token_claim_type")),
        // What nobody asked for may be as odd as it likes
        ("name a number",             Box::new(claim("name", json!(5))),                         Ok(())),
        ("address a text",            Box::new(claim("address", json!("here"))),                 Ok(())),
        ("groups without end",        Box::new(claim("groups", json!(vec!["g"; 1_001]))),        Err("too_many_groups")),
    ];
    for (lie, tell, expected) in cases {
        let found = outcome(tell).await;
        assert_eq!(found.map(drop), expected, "{lie}");
    }
}

fn iat_ahead_of_nbf(behaviour: &mut Behaviour) {
    behaviour.edit_claims = Box::new(|claims| {
        let now = claims["iat"].as_u64().expect("a date");
        set(claims, "nbf", json!(now));
        set(claims, "iat", json!(now + 61));
    });
}

/// Puts an administrator's claims under somebody else's signature.
fn exchange_claims(token: &str) -> String {
    let parts: Vec<&str> = token.split('.').collect();
    format!("{}.{}.{}", parts[0], "eyJzdWIiOiJhZG1pbiJ9", parts[2])
}

#[actix_web::test]
async fn each_lie_of_the_response_is_caught() {
    let iss = |iss: ResponseIss| -> Lie { Box::new(move |behaviour| behaviour.response_iss = iss) };
    let answer = |endpoint, answer: Answer| -> Lie {
        Box::new(move |behaviour| drop(behaviour.answers.insert(endpoint, answer.clone())))
    };
    let tokens = |name: &'static str, value: Value| -> Lie {
        Box::new(move |behaviour| {
            let value = value.clone();
            behaviour.edit_token_answer = Box::new(move |json| set(json, name, value.clone()));
        })
    };
    let json = |body: &str| Answer::Json(body.to_owned());
    #[rustfmt::skip]
    let cases = vec![
        ("iss of another issuer",       iss(ResponseIss::Other("https://id.example.org")),                Err("response_iss")),
        ("no iss, though announced",    iss(ResponseIss::Missing),                                          Err("response_iss_missing")),
        ("token endpoint down",         answer(Endpoint::Token, Answer::Status(503)),       Err("provider_error")),
        ("token endpoint odd",          answer(Endpoint::Token, Answer::Status(404)),       Err("token_answer_malformed")),
        ("token endpoint redirects",    answer(Endpoint::Token, Answer::Redirect),          Err("provider_redirect")),
        ("token answer huge",           answer(Endpoint::Token, Answer::Oversize),          Err("answer_too_large")),
        ("token answer no object",      answer(Endpoint::Token, json("[]")),                Err("token_answer_malformed")),
        ("token answer empty",          answer(Endpoint::Token, json("")),                  Err("token_answer_malformed")),
        ("no ID token",                 tokens("id_token", Value::Null),                    Err("id_token_missing")),
        ("ID token a number",           tokens("id_token", json!(1)),                       Err("token_answer_malformed")),
        ("no access token",             tokens("access_token", Value::Null),                Err("token_answer_malformed")),
        ("another access token",        tokens("access_token", json!("other")),             Err("id_token_at_hash")),
        ("DPoP",                        tokens("token_type", json!("DPoP")),                Err("token_type")),
        ("token_type in small letters", tokens("token_type", json!("bearer")),              Ok(())),
        ("no token_type",               tokens("token_type", Value::Null),                  Ok(())),
        ("expires_in as text",          tokens("expires_in", json!("3600")),                Ok(())),
    ];
    for (lie, tell, expected) in cases {
        let found = outcome(tell).await;
        assert_eq!(found.map(drop), expected, "{lie}");
    }
}

#[actix_web::test]
async fn iss_is_only_demanded_where_it_is_announced() {
    let found = outcome(|behaviour| {
        behaviour.response_iss = ResponseIss::Missing;
        behaviour.edit_metadata = Box::new(|metadata| {
            set(
                metadata,
                "authorization_response_iss_parameter_supported",
                Value::Null,
            );
        });
    });
    assert!(found.await.is_ok());
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
async fn userinfo_is_asked_for_what_the_id_token_leaves_out() {
    let (issuer, party, _clock) = start();
    issuer.behave(|behaviour| behaviour.sparse_id_token = true);
    let signed_in = party.sign_in(&issuer).await.expect("a login");
    assert_eq!(signed_in.identity.username.as_deref(), Some("ada"));
    assert_eq!(signed_in.identity.groups, ["admins"]);
    assert_eq!(issuer.requests(Endpoint::Userinfo), 1);

    let answer = |answer: Answer| -> Lie {
        Box::new(move |behaviour| {
            behaviour.answers.insert(Endpoint::Userinfo, answer.clone());
        })
    };
    let edit = |name: &'static str, value: Value| -> Lie {
        Box::new(move |behaviour| {
            let value = value.clone();
            behaviour.edit_userinfo = Box::new(move |json| set(json, name, value.clone()));
        })
    };
    #[rustfmt::skip]
    let cases = vec![
        ("of somebody else",  edit("sub", json!("0e0e0000-e0e0-4000-8000-000000000003")), "userinfo_sub"),
        ("of nobody",         edit("sub", Value::Null),                                   "userinfo_sub"),
        ("refused",           answer(Answer::Status(403)),                                "userinfo_unusable"),
        ("down",              answer(Answer::Status(500)),                                "provider_error"),
        ("not an object",     answer(Answer::Json("7".to_owned())),                       "userinfo_unusable"),
        ("a redirect",        answer(Answer::Redirect),                                   "provider_redirect"),
    ];
    for (lie, tell, expected) in cases {
        let found = outcome(|behaviour| {
            behaviour.sparse_id_token = true;
            tell(behaviour);
        });
        assert_eq!(found.await, Err(expected), "{lie}");
    }
}

/// `openidconnect` panics on such a token.
#[actix_web::test]
async fn an_access_token_that_no_header_can_hold_is_refused() {
    for odd in ["a\r\nb", "a\0b", "a\nHost: evil"] {
        let found = outcome(|behaviour| {
            behaviour.sparse_id_token = true;
            behaviour.edit_claims = Box::new(|claims| set(claims, "at_hash", Value::Null));
            behaviour.edit_token_answer =
                Box::new(move |json| set(json, "access_token", json!(odd)));
        });
        assert_eq!(found.await, Err("token_answer_malformed"), "{odd:?}");
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
    issuer.behave(claim("realm_access", json!({ "roles": ["staff"] })));
    let identity = party.sign_in(&issuer).await.expect("a login").identity;
    assert_eq!(identity.username.as_ref(), Some(&identity.subject));
    assert_eq!(identity.groups, ["staff"]);
}

#[actix_web::test]
async fn a_slow_token_endpoint_ends_the_login_in_time() {
    let (issuer, party, _clock) = start();
    issuer.answer(Endpoint::Token, Answer::Hang);
    let started = std::time::Instant::now();
    let found = party.sign_in(&issuer).await;
    assert_eq!(found.expect_err("a time-out").code(), "provider_timeout");
    assert!(started.elapsed() < Duration::from_secs(10));
}
