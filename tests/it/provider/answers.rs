//! What the provider says of itself, what comes back through the browser, and what its endpoints answer: wrong, missing,
//! of the wrong type, or twice.

use serde_json::{Value, json};

use super::lies::{answers, both, claim, metadata, response_iss, token_answer, twice, userinfo};
use super::trial::{Ends, Row, Trial, all, run};
use crate::support::issuer::{Answer, Behaviour, Endpoint, Part, ResponseIss};
use Ends::{Refused, SignedIn, Unavailable};

#[rustfmt::skip] // the columns are the point
#[actix_web::test]
async fn each_lie_of_the_metadata_is_caught() {
    let rows: Vec<Row> = vec![
        ("another issuer",          metadata("issuer", json!("https://id.example.org")),                           Unavailable("issuer_mismatch")),
        ("no issuer",               metadata("issuer", Value::Null),                                               Unavailable("metadata_malformed")),
        ("issuer not a text",       metadata("issuer", json!(1)),                                                  Unavailable("metadata_malformed")),
        ("issuer twice",            twice(Part::Metadata, "issuer", json!("https://id.example.org")),              Unavailable("metadata_malformed")),
        ("login over http",         metadata("authorization_endpoint", json!("http://id.example.net/authorize")),  Unavailable("endpoint_insecure")),
        ("login by script",         metadata("authorization_endpoint", json!("javascript:alert(1)")),              Unavailable("endpoint_insecure")),
        ("no login",                metadata("authorization_endpoint", Value::Null),                               Unavailable("metadata_malformed")),
        ("tokens over http",        metadata("token_endpoint", json!("http://id.example.net/token")),              Unavailable("endpoint_insecure")),
        ("tokens from a file",      metadata("token_endpoint", json!("file:///etc/passwd")),                       Unavailable("endpoint_insecure")),
        ("no token endpoint",       metadata("token_endpoint", Value::Null),                                       Unavailable("endpoint_missing")),
        ("token endpoint twice",    twice(Part::Metadata, "token_endpoint", json!("https://id.example.org/token")), Unavailable("metadata_malformed")),
        ("userinfo over http",      metadata("userinfo_endpoint", json!("http://id.example.net/userinfo")),        Unavailable("endpoint_insecure")),
        ("no userinfo",             metadata("userinfo_endpoint", Value::Null),                                    SignedIn),
        ("keys over http",          metadata("jwks_uri", json!("http://id.example.net/jwks")),                     Unavailable("endpoint_insecure")),
        ("keys from nowhere",       metadata("jwks_uri", json!("not a URL")),                                      Unavailable("metadata_malformed")),
        ("no keys",                 metadata("jwks_uri", Value::Null),                                             Unavailable("metadata_malformed")),
        ("nothing to sign with",    metadata("id_token_signing_alg_values_supported", json!(["HS256", "none"])),   Unavailable("no_common_algorithm")),
        ("something unheard of",    metadata("id_token_signing_alg_values_supported", json!(["ES256", "XX", 7])),  SignedIn),
        ("no list of these",        metadata("id_token_signing_alg_values_supported", Value::Null),                Unavailable("metadata_malformed")),
        ("no client auth of ours",  metadata("token_endpoint_auth_methods_supported", json!(["private_key_jwt"])), Unavailable("no_common_client_auth")),
        ("odd links for people",    metadata("op_policy_uri", json!("")),                                          SignedIn),
        ("odd registration",        metadata("registration_endpoint", json!("not a URL")),                         SignedIn),
        ("odd classes",             metadata("acr_values_supported", json!([7, "phr"])),                           SignedIn),
        ("odd flags",               metadata("claims_parameter_supported", json!("perhaps")),                      SignedIn),
        ("odd logout",              metadata("end_session_endpoint", json!("not a URL")),                          SignedIn),
        ("no logout",               metadata("end_session_endpoint", Value::Null),                                 SignedIn),
        ("JWKS no object",          answers(Endpoint::Jwks, Answer::Json("[]".into())),                            Unavailable("metadata_malformed")),
        ("JWKS without keys",       answers(Endpoint::Jwks, Answer::Json("{}".into())),                            Unavailable("metadata_malformed")),
        ("JWKS with keys twice",    twice(Part::Jwks, "keys", json!([])),                                          Unavailable("metadata_malformed")),
        ("JWKS of a thousand keys", Box::new(thousand_keys),                                                       Unavailable("metadata_malformed")),
        ("JWKS empty",              answers(Endpoint::Jwks, Answer::Json(r#"{"keys":[]}"#.into())),                Refused("id_token_unknown_key")),
        ("JWKS of nonsense",        answers(Endpoint::Jwks, Answer::Json(r#"{"keys":[1,null,{},[]]}"#.into())),    Refused("id_token_unknown_key")),
    ];
    run(rows, |_| {}).await;
}

#[rustfmt::skip]
#[actix_web::test]
async fn each_lie_of_the_token_answer_is_caught() {
    let json = |body: &str| answers(Endpoint::Token, Answer::Json(body.to_owned()));
    let rows: Vec<Row> = vec![
        ("iss of another issuer",       response_iss(ResponseIss::Other("https://id.example.org")), Refused("response_iss")),
        ("no iss, though announced",    response_iss(ResponseIss::Missing),                         Refused("response_iss_missing")),
        ("no iss, none announced",      both(response_iss(ResponseIss::Missing), metadata("authorization_response_iss_parameter_supported", Value::Null)), SignedIn),
        ("token answer no object",      json("[]"),                                                 Refused("token_answer_malformed")),
        ("token answer empty",          json(""),                                                   Refused("token_answer_malformed")),
        ("an error with status 200",    json(r#"{"error":"invalid_grant"}"#),                       Refused("token_answer_malformed")),
        ("no ID token",                 token_answer("id_token", Value::Null),                      Refused("id_token_missing")),
        ("ID token a number",           token_answer("id_token", json!(1)),                         Refused("token_answer_malformed")),
        ("ID token twice",              twice(Part::TokenAnswer, "id_token", json!("e30.e30.x")),   Refused("token_answer_malformed")),
        ("no access token",             token_answer("access_token", Value::Null),                  Refused("token_answer_malformed")),
        ("access token a number",       token_answer("access_token", json!(1)),                     Refused("token_answer_malformed")),
        ("access token twice",          twice(Part::TokenAnswer, "access_token", json!("other")),   Refused("token_answer_malformed")),
        ("another access token",        token_answer("access_token", json!("other")),               Refused("id_token_at_hash")),
        // `openidconnect` panics on the next three.
        ("access token with CR LF",     both(token_answer("access_token", json!("a\r\nHost: b")), claim("at_hash", Value::Null)), Refused("access_token_unusable")),
        ("access token with LF",        both(token_answer("access_token", json!("a\nb")), claim("at_hash", Value::Null)), Refused("access_token_unusable")),
        ("access token with NUL",       both(token_answer("access_token", json!("a\0b")), claim("at_hash", Value::Null)), Refused("access_token_unusable")),
        ("access token not ASCII",      both(token_answer("access_token", json!("ä")), claim("at_hash", Value::Null)), Refused("access_token_unusable")),
        ("access token empty",          both(token_answer("access_token", json!("")), claim("at_hash", Value::Null)), Refused("access_token_unusable")),
        ("DPoP",                        token_answer("token_type", json!("DPoP")),                  Refused("token_type")),
        ("token_type twice",            twice(Part::TokenAnswer, "token_type", json!("DPoP")),      Refused("token_answer_malformed")),
        ("token_type in small letters", token_answer("token_type", json!("bearer")),                SignedIn),
        ("no token_type",               token_answer("token_type", Value::Null),                    SignedIn),
        ("expires_in as text",          token_answer("expires_in", json!("3600")),                  SignedIn),
        ("no expires_in",               token_answer("expires_in", Value::Null),                    SignedIn),
        ("scope a number",              token_answer("scope", json!(1)),                            SignedIn),
    ];
    run(rows, |_| {}).await;
}

#[rustfmt::skip]
#[actix_web::test]
async fn each_lie_of_userinfo_is_caught() {
    let sparse = |lie: super::trial::Lie| both(Box::new(|behaviour| behaviour.sparse_id_token = true), lie);
    let answer = |answer: Answer| sparse(answers(Endpoint::Userinfo, answer));
    let rows: Vec<Row> = vec![
        ("userinfo fills in",   sparse(Box::new(|_| {})),                                            SignedIn),
        ("of somebody else",    userinfo("sub", json!("0e0e0000-e0e0-4000-8000-000000000003")),      Refused("userinfo_sub")),
        ("of nobody",           userinfo("sub", Value::Null),                                        Refused("userinfo_sub")),
        ("sub not a text",      userinfo("sub", json!(["0a11ce00-ada0-4000-8000-000000000001"])),    Refused("userinfo_sub")),
        ("sub twice",           sparse(twice(Part::Userinfo, "sub", json!("admin"))),                Refused("userinfo_unusable")),
        ("groups twice",        sparse(twice(Part::Userinfo, "groups", json!(["admins"]))),          Refused("userinfo_unusable")),
        ("name a number",       userinfo("name", json!(5)),                                          SignedIn),
        ("not an object",       answer(Answer::Json("7".to_owned())),                                Refused("userinfo_unusable")),
        ("refused",             answer(Answer::Status(403)),                                         Refused("userinfo_unusable")),
        ("a JWT",               answer(Answer::Jwt("e30.e30.x".to_owned())),                         Refused("userinfo_jwt")),
        ("a JWT that says JSON", answer(Answer::Json("e30.e30.x".to_owned())),                       Refused("userinfo_unusable")),
    ];
    run(rows, |_| {}).await;
}

/// With `oidc.userinfo = "always"` it is asked although nothing is missing.
#[rustfmt::skip]
#[actix_web::test]
async fn userinfo_that_is_always_asked_has_to_be_there() {
    let rows: Vec<Row> = vec![
        ("all is well",         Box::new(|_| {}),                                   SignedIn),
        ("no endpoint",         metadata("userinfo_endpoint", Value::Null),         Unavailable("endpoint_missing")),
        ("of somebody else",    both(userinfo("sub", json!("eve")), Box::new(|behaviour| behaviour.sparse_id_token = false)), Refused("userinfo_sub")),
        ("refused",             answers(Endpoint::Userinfo, Answer::Status(401)),   Refused("userinfo_unusable")),
    ];
    run(rows, |raw| raw.oidc.userinfo = Some("always".into())).await;
}

/// What comes back through the browser: parameters that stand there twice are nobody's word (RFC 6749 §3.1).
#[actix_web::test]
async fn each_lie_on_the_way_through_the_browser_is_caught() {
    type Edit = fn(&str) -> String;
    #[rustfmt::skip]
    let rows: Vec<(&str, Edit, Ends)> = vec![
        ("nothing",               str::to_owned,                                        SignedIn),
        ("code twice",            |url| format!("{url}&code=other"),                    Refused("response_parameter_twice")),
        ("iss twice",             |url| format!("{url}&iss=https%3A%2F%2Fid.example.org"), Refused("response_parameter_twice")),
        ("error twice",           |url| format!("{url}&error=a&error=b"),               Refused("response_parameter_twice")),
        ("another code",          |url| url.replace("code=", "code=x"),                 Refused("code_refused")),
        ("code with a line end",  |url| url.replace("code=", "code=%0d%0a"),            Refused("code_refused")),
        ("code without end",      |url| url.replace("code=", &format!("code={}", "x".repeat(9_000))), Refused("code_unusable")),
        ("another iss",           |url| url.replace("iss=http", "iss=https"),           Refused("response_iss")),
        ("iss empty",             |url| format!("{}iss=", &url[..url.find("iss=").expect("iss")]), Refused("response_iss")),
    ];
    let trials = rows.into_iter().map(|(name, edit, ends)| async move {
        let trial = Trial::start();
        trial.expect_with(name, ends, edit).await;
        trial.expect("after", SignedIn).await;
    });
    all(trials).await;
}

/// Each good, and each to be tried with a token that names none.
fn thousand_keys(behaviour: &mut Behaviour) {
    behaviour.edit_jwks = Box::new(|jwks| {
        let keys = jwks["keys"].as_array().expect("keys");
        let many: Vec<_> = keys.iter().cycle().take(1_000).cloned().collect();
        jwks["keys"] = json!(many);
    });
}
