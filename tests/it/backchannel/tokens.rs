//! What a logout token must be (Back-Channel Logout 1.0 §2.4, §2.6): each check has rows in which the thing is wrong,
//! missing, of the wrong type, or there twice.

use serde_json::{Value, json};

use super::{address, is_in, is_obeyed, is_refused, post, signed_in};
use crate::provider::lies::set;
use crate::support::app::spawn_app;
use crate::support::issuer::{Algorithm, CLIENT_SECRET, LogoutDraft, other_p521_key};
use crate::support::log;

/// What a test does to a draft.
type Edit = Box<dyn Fn(&mut LogoutDraft)>;

/// Why it is refused, if it is.
type Row = (&'static str, Edit, Result<(), &'static str>);

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

fn header(name: &'static str, value: Value) -> Edit {
    Box::new(move |draft| set(&mut draft.header, name, value.clone()))
}

fn claim(name: &'static str, value: Value) -> Edit {
    Box::new(move |draft| set(&mut draft.claims, name, value.clone()))
}

fn claims(several: Value) -> Edit {
    Box::new(move |draft| {
        for (name, value) in several.as_object().expect("claims") {
            set(&mut draft.claims, name, value.clone());
        }
    })
}

/// A date, in seconds from now.
fn date(name: &'static str, from_now: i64) -> Edit {
    Box::new(move |draft| {
        let now = draft.claims["iat"].as_u64().expect("a date");
        set(
            &mut draft.claims,
            name,
            json!(now.saturating_add_signed(from_now)),
        );
    })
}

fn null(name: &'static str) -> Edit {
    Box::new(move |draft| draft.claims[name] = Value::Null)
}

fn signed_with(algorithm: Algorithm, kid: &'static str) -> Edit {
    Box::new(move |draft| {
        draft.algorithm = algorithm;
        draft.header["kid"] = json!(kid);
    })
}

/// Says a member of the header, or of the claims, twice: first this, then what is there.
fn twice(part: usize, name: &'static str, value: Value) -> Edit {
    Box::new(move |draft| draft.first[part] = format!("\"{name}\":{value},"))
}

fn both(one: Edit, other: Edit) -> Edit {
    Box::new(move |draft| {
        one(draft);
        other(draft);
    })
}

/// No key fits, and the provider was asked for its keys a moment ago: the token may be good, and come again.
const TOO_SOON: &str = "logout_token_keys_not_yet";

/// Each row beside one service: what is refused is so for its reason, which the log says and the answer does not, and
/// ends nothing; what is not, ends the session.
async fn run(rows: Vec<Row>) {
    log::capture();
    let app = spawn_app().await;
    for (number, (name, edit, expected)) in rows.into_iter().enumerate() {
        let sid = format!("sid {number}");
        let browser = signed_in(&app, &sid).await;
        let mut draft = app.issuer.logout_draft(&sid);
        edit(&mut draft);
        let from = address();
        let answer = post(&app, &from, &app.issuer.sign(&draft)).await;
        match expected {
            Ok(()) => is_obeyed(&answer, name),
            Err(code) => {
                if code == TOO_SOON {
                    is_refused(&answer, 503, "temporarily_unavailable", name);
                } else {
                    is_refused(&answer, 400, "invalid_request", name);
                }
                let lines = log::with("client", &from);
                let found = lines.iter().any(|line| line["code"] == code);
                assert!(found, "{name}: no line with {code} in {lines:#?}");
            }
        }
        assert_eq!(is_in(&browser).await, expected.is_err(), "{name}");
    }
}

#[rustfmt::skip] // the columns are the point
#[actix_web::test]
async fn each_lie_about_the_signature_is_caught() {
    run(vec![
        ("nothing at all",            Box::new(|_| {}),                              Ok(())),
        ("RS256",                     signed_with(Algorithm::Rs256, "rsa-1"),        Ok(())),
        ("RS384",                     signed_with(Algorithm::Rs384, "rsa-1"),        Ok(())),
        ("RS512",                     signed_with(Algorithm::Rs512, "rsa-1"),        Ok(())),
        ("PS256",                     signed_with(Algorithm::Ps256, "rsa-1"),        Ok(())),
        ("PS384",                     signed_with(Algorithm::Ps384, "rsa-1"),        Ok(())),
        ("PS512",                     signed_with(Algorithm::Ps512, "rsa-1"),        Ok(())),
        ("ES384",                     signed_with(Algorithm::Es384, "ec384-1"),      Ok(())),
        ("EdDSA",                     signed_with(Algorithm::EdDsa, "ed-1"),         Ok(())),
        ("EdDSA under its new name",  signed_with(Algorithm::Ed25519, "ed-1"),       Ok(())),
        ("ES512",                     signed_with(Algorithm::Es512, "ec521-1"),      Err("logout_token_alg")),
        ("no signature",              signed_with(Algorithm::None, "ec-1"),          Err("logout_token_alg")),
        ("our secret as key",         signed_with(Algorithm::Hs256(CLIENT_SECRET), "ec-1"), Err("logout_token_alg")),
        ("alg that nobody knows",     header("alg", json!("XX256")),                 Err("logout_token_alg")),
        ("alg in other letters",      header("alg", json!("es256")),                 Err("logout_token_alg")),
        ("alg not a text",            header("alg", json!(256)),                     Err("logout_token_alg")),
        ("alg twice",                 twice(0, "alg", json!("none")),                Err("logout_token_malformed")),
        ("alg of another key",        header("alg", json!("RS256")),                 Err("logout_token_unknown_key")),
        ("alg of another curve",      header("alg", json!("ES384")),                 Err(TOO_SOON)),
        ("key of another type",       header("kid", json!("rsa-1")),                 Err(TOO_SOON)),
        ("key that is not published", header("kid", json!("ec-0")),                  Err(TOO_SOON)),
        ("no kid",                    header("kid", Value::Null),                    Ok(())),
        ("kid not a text",            header("kid", json!(1)),                       Err("logout_token_malformed")),
        ("kid twice",                 twice(0, "kid", json!("rsa-1")),               Err("logout_token_malformed")),
        ("a key of its own",          header("jwk", json!({ "kty": "oct", "k": "AA" })), Ok(())),
        ("a key's address",           header("jku", json!("http://127.0.0.1:1/jwks")),   Ok(())),
    ])
    .await;
}

#[rustfmt::skip]
#[actix_web::test]
async fn what_is_no_logout_token_is_caught() {
    run(vec![
        ("no typ",                    header("typ", Value::Null),                    Ok(())),
        ("typ JWT",                   header("typ", json!("JWT")),                   Ok(())),
        ("typ as a media type",       header("typ", json!("application/logout+jwt")), Ok(())),
        ("typ in large letters",      header("typ", json!("LOGOUT+JWT")),            Ok(())),
        ("an access token",           header("typ", json!("at+jwt")),                Err("logout_token_typ")),
        ("an access token, in full",  header("typ", json!("application/at+jwt")),    Err("logout_token_typ")),
        ("a security event",          header("typ", json!("secevent+jwt")),          Err("logout_token_typ")),
        ("typ not a text",            header("typ", json!(1)),                       Err("logout_token_malformed")),
        ("typ twice",                 twice(0, "typ", json!("at+jwt")),              Err("logout_token_malformed")),
        ("nested",                    header("cty", json!("JWT")),                   Err("logout_token_typ")),
        ("crit",                      header("crit", json!(["exp"])),                Err("logout_token_crit")),
        ("empty crit",                header("crit", json!([])),                     Err("logout_token_crit")),
        ("a nonce",                   claim("nonce", json!("n")),                    Err("logout_token_nonce")),
        ("a nonce of nothing",        null("nonce"),                                 Err("logout_token_nonce")),
        ("no events",                 claim("events", Value::Null),                  Err("logout_token_claim_missing")),
        ("events not an object",      claim("events", json!([EVENT])),               Err("logout_token_claim_type")),
        ("events a text",             claim("events", json!(EVENT)),                 Err("logout_token_claim_type")),
        ("no event",                  claim("events", json!({})),                    Err("logout_token_events")),
        ("another event",             claim("events", json!({ "http://schemas.openid.net/event/other": {} })), Err("logout_token_events")),
        ("the event in other letters", claim("events", json!({ EVENT.to_uppercase(): {} })), Err("logout_token_events")),
        ("the event not an object",   claim("events", json!({ EVENT: true })),       Err("logout_token_events")),
        ("the event null",            claim("events", json!({ EVENT: null })),       Err("logout_token_events")),
        ("another event too",         claim("events", json!({ EVENT: { "x": 1 }, "https://example.net/": {} })), Ok(())),
        ("events twice",              twice(1, "events", json!({})),                 Err("logout_token_malformed")),
        ("like an ID token",          claims(json!({ "events": null, "nonce": "n", "auth_time": 1 })), Err("logout_token_nonce")),
    ])
    .await;
}

#[rustfmt::skip]
#[actix_web::test]
async fn each_lie_about_the_parties_is_caught() {
    run(vec![
        ("no iss",                    claim("iss", Value::Null),                     Err("logout_token_claim_missing")),
        ("another iss",               claim("iss", json!("https://id.example.org")), Err("logout_token_iss")),
        ("iss not a text",            claim("iss", json!(["https://id"])),           Err("logout_token_claim_type")),
        ("iss twice",                 twice(1, "iss", json!("https://id")),          Err("logout_token_malformed")),
        ("no aud",                    claim("aud", Value::Null),                     Err("logout_token_claim_missing")),
        ("aud as list",               claim("aud", json!(["portcullis"])),           Ok(())),
        ("others too",                claim("aud", json!(["other", "portcullis"])),  Ok(())),
        ("another aud",               claim("aud", json!("other")),                  Err("logout_token_aud")),
        ("aud in other letters",      claim("aud", json!("Portcullis")),             Err("logout_token_aud")),
        ("no audience",               claim("aud", json!([])),                       Err("logout_token_aud")),
        ("aud a number",              claim("aud", json!(1)),                        Err("logout_token_claim_type")),
        ("a number among aud",        claim("aud", json!(["portcullis", 1])),        Err("logout_token_claim_type")),
        ("aud twice",                 twice(1, "aud", json!("other")),               Err("logout_token_malformed")),
        ("azp is us",                 claim("azp", json!("portcullis")),             Ok(())),
        ("azp is not us",             claims(json!({ "aud": ["other", "portcullis"], "azp": "other" })), Err("logout_token_azp")),
        ("azp not a text",            claim("azp", json!(["portcullis"])),           Err("logout_token_claim_type")),
        ("no sub",                    claim("sub", Value::Null),                     Ok(())),
        ("no sid",                    claim("sid", Value::Null),                     Ok(())),
        ("neither",                   claims(json!({ "sub": null, "sid": null })),   Err("logout_token_names_nobody")),
        ("sub null",                  null("sub"),                                   Err("logout_token_claim_type")),
        ("sub a number",              claim("sub", json!(1)),                        Err("logout_token_claim_type")),
        ("empty sub",                 claim("sub", json!("")),                       Err("logout_token_name")),
        ("sub without end",           claim("sub", json!("a".repeat(256))),          Err("logout_token_name")),
        ("sub with a line break",     claim("sub", json!("a\nb")),                   Err("logout_token_name")),
        ("sub twice",                 twice(1, "sub", json!("admin")),               Err("logout_token_malformed")),
        ("sid a list",                claim("sid", json!(["a"])),                    Err("logout_token_claim_type")),
        ("empty sid",                 claim("sid", json!("")),                       Err("logout_token_name")),
        ("sid without end",           claim("sid", json!("a".repeat(256))),          Err("logout_token_name")),
        ("sid twice",                 twice(1, "sid", json!("other")),               Err("logout_token_malformed")),
        ("no jti",                    claim("jti", Value::Null),                     Err("logout_token_claim_missing")),
        ("jti a number",              claim("jti", json!(1)),                        Err("logout_token_claim_type")),
        ("empty jti",                 claim("jti", json!("")),                       Err("logout_token_name")),
        ("jti without end",           claim("jti", json!("a".repeat(256))),          Err("logout_token_name")),
        ("jti twice",                 twice(1, "jti", json!("other")),               Err("logout_token_malformed")),
    ])
    .await;
}

#[rustfmt::skip]
#[actix_web::test]
async fn each_lie_about_the_time_is_caught() {
    run(vec![
        ("no exp",                    claim("exp", Value::Null),                     Err("logout_token_claim_missing")),
        ("exp as text",               claim("exp", json!("1790003600")),             Err("logout_token_claim_type")),
        ("exp null",                  null("exp"),                                   Err("logout_token_claim_type")),
        ("exp negative",              claim("exp", json!(-1)),                       Err("logout_token_claim_type")),
        ("exp with a fraction",       claim("exp", json!(1_790_000_100.5)),          Ok(())),
        ("exp beyond all numbers",    claim("exp", json!(1e300)),                    Ok(())),
        ("exp within the leeway",     date("exp", -59),                              Ok(())),
        ("exp beyond the leeway",     date("exp", -60),                              Err("logout_token_expired")),
        ("exp twice",                 twice(1, "exp", json!(1)),                     Err("logout_token_malformed")),
        ("no iat",                    claim("iat", Value::Null),                     Err("logout_token_claim_missing")),
        ("iat as text",               claim("iat", json!("1790000000")),             Err("logout_token_claim_type")),
        ("iat a little ahead",        date("iat", 60),                               Ok(())),
        ("iat ahead",                 date("iat", 61),                               Err("logout_token_not_yet_valid")),
        ("iat a little back",         date("iat", -480),                             Ok(())),
        ("iat far back",              date("iat", -481),                             Err("logout_token_stale")),
        ("iat twice",                 twice(1, "iat", json!(1)),                     Err("logout_token_malformed")),
        ("nbf now",                   date("nbf", 0),                                Ok(())),
        ("nbf ahead",                 date("nbf", 61),                               Err("logout_token_not_yet_valid")),
        ("nbf as text",               claim("nbf", json!("1")),                      Err("logout_token_claim_type")),
        ("old and without end",       both(date("iat", -481), claim("exp", json!(9_000_000_000_u64))), Err("logout_token_stale")),
    ])
    .await;
}

/// Texts that are no signed token at all.
#[rustfmt::skip]
#[actix_web::test]
async fn what_is_no_token_is_caught() {
    log::capture();
    let app = spawn_app().await;
    let browser = signed_in(&app, "A").await;
    let good = app.issuer.logout_token("A");
    let parts: Vec<&str> = good.split('.').collect();
    let cases = [
        ("nothing",            String::new(),                                        "logout_token_malformed"),
        ("one part",           "e30".to_owned(),                                     "logout_token_malformed"),
        ("two parts",          format!("{}.{}", parts[0], parts[1]),                 "logout_token_malformed"),
        ("encrypted",          format!("{}.x.x.x.x", parts[0]),                      "logout_token_encrypted"),
        ("six parts",          format!("{good}.x.x.x"),                              "logout_token_malformed"),
        ("no base64url",       good.replacen('e', "+", 1),                           "logout_token_malformed"),
        ("padding",            format!("{good}="),                                   "logout_token_signature"),
        ("blank at the end",   format!("{good} "),                                   "logout_token_signature"),
        ("blank before",       format!(" {good}"),                                   "logout_token_malformed"),
        ("no JSON",            format!("eA.{}.{}", parts[1], parts[2]),              "logout_token_malformed"),
        ("a list",             format!("{}.W10.{}", parts[0], parts[2]),             "logout_token_malformed"),
        ("depth without end",  format!("{}.{}.{}", parts[0], "W1tb".repeat(3_000), parts[2]), "logout_token_malformed"),
        ("signature gone",     format!("{}.{}.", parts[0], parts[1]),                "logout_token_signature"),
        ("signature cut",      good[..good.len() - 6].to_owned(),                    "logout_token_signature"),
        ("signature of zeros", format!("{}.{}.{}", parts[0], parts[1], "A".repeat(86)), "logout_token_signature"),
        ("huge",               good.repeat(40),                                      "logout_token_too_large"),
    ];
    for (name, token, code) in cases {
        let from = address();
        let answer = post(&app, &from, &token).await;
        is_refused(&answer, 400, "invalid_request", name);
        let lines = log::with("client", &from);
        assert!(lines.iter().any(|line| line["code"] == code), "{name}: {lines:#?}");
    }
    // An ID token that the provider has given out, as it is.
    let issued = app.issuer.issued();
    let id_token = issued.iter().find(|token| token.split('.').count() == 3).expect("one");
    is_refused(&post(&app, &address(), id_token).await, 400, "invalid_request", "an ID token");
    assert!(is_in(&browser).await);
    is_obeyed(&post(&app, &address(), &good).await, "the token that they were made of");
    assert!(!is_in(&browser).await);
    // No token stands in the log.
    assert!(!log::text().contains(parts[2]));
}

/// Keys that are broken, beside one that is not.
#[actix_web::test]
async fn odd_keys_stand_in_nobodys_way() {
    let app = spawn_app().await;
    let browser = signed_in(&app, "A").await;
    app.issuer.behave(|behaviour| {
        behaviour.edit_jwks = Box::new(|jwks| {
            let keys = jwks["keys"].as_array_mut().expect("keys");
            let kid = "ec-2";
            let mut odd = vec![
                json!({ "kty": "EC", "crv": "P-256", "kid": kid, "x": "AAAA", "y": "AAAA" }),
                json!({ "kty": "EC", "crv": "P-256", "kid": kid }),
                json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": "AAAA" }),
                json!({ "kty": "RSA", "kid": kid, "n": "AAAA", "e": "AQAB" }),
                json!({ "kty": "oct", "kid": kid, "k": "AAAA" }),
            ];
            let other = other_p521_key();
            odd.push(json!({ "kty": "EC", "crv": "P-521", "kid": kid, "x": other["x"], "y": other["y"] }));
            odd.append(keys);
            *keys = odd;
        });
    });
    // The new keys are fetched, since the old ones have another name.
    app.issuer.rotate_keys(2);
    is_obeyed(
        &post(&app, &address(), &app.issuer.logout_token("A")).await,
        "a good key",
    );
    assert!(!is_in(&browser).await);
    for (algorithm, code) in [(Algorithm::EdDsa, "ed"), (Algorithm::Rs256, "rsa")] {
        let mut draft = app.issuer.logout_draft("A");
        draft.algorithm = algorithm;
        draft.header["kid"] = json!("ec-2");
        is_refused(
            &post(&app, &address(), &app.issuer.sign(&draft)).await,
            400,
            "invalid_request",
            code,
        );
    }
}

/// A token that names no key has few of them tried, however many the provider publishes; one that does is found.
#[actix_web::test]
async fn of_many_keys_a_token_has_to_name_its_own() {
    log::capture();
    let app = spawn_app().await;
    let browser = signed_in(&app, "A").await;
    app.issuer.behave(|behaviour| {
        behaviour.edit_jwks = Box::new(|jwks| {
            let keys = jwks["keys"].as_array_mut().expect("keys");
            let zeros = "A".repeat(43);
            let other = |number| json!({ "kty": "EC", "crv": "P-256", "kid": format!("other-{number}"), "x": zeros, "y": zeros });
            keys.splice(0..0, (0..8).map(other));
        });
    });
    app.issuer.rotate_keys(2);
    let mut draft = app.issuer.logout_draft("A");
    let kid = std::mem::take(&mut draft.header["kid"]);
    draft
        .header
        .as_object_mut()
        .expect("a header")
        .remove("kid");
    let from = address();
    is_refused(
        &post(&app, &from, &app.issuer.sign(&draft)).await,
        400,
        "invalid_request",
        "no kid",
    );
    let lines = log::with("client", &from);
    assert!(
        lines
            .iter()
            .any(|line| line["code"] == "logout_token_signature"),
        "{lines:#?}"
    );
    assert!(is_in(&browser).await);
    draft.header["kid"] = kid;
    is_obeyed(
        &post(&app, &address(), &app.issuer.sign(&draft)).await,
        "its kid",
    );
    assert!(!is_in(&browser).await);
}
