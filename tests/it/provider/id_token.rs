//! What signs an ID token, what it is, and whom it is for (OIDC Core §3.1.3.7): each check has rows in which the thing is
//! wrong, missing, of the wrong type, or there twice.

use serde_json::{Value, json};

use super::lies::{both, claim, claims, date, header, published, set, signed_with, token, twice};
use super::trial::{Ends, Row, run};
use crate::support::issuer::{Algorithm, Behaviour, CLIENT_SECRET, Part};
use Ends::{Refused, SignedIn};

#[rustfmt::skip] // the columns are the point
#[actix_web::test]
async fn each_lie_about_the_signature_is_caught() {
    let rows: Vec<Row> = vec![
        ("nothing at all",            Box::new(|_| {}),                                 SignedIn),
        ("RS256",                     signed_with(Algorithm::Rs256),                    SignedIn),
        ("RS384",                     signed_with(Algorithm::Rs384),                    SignedIn),
        ("RS512",                     signed_with(Algorithm::Rs512),                    SignedIn),
        ("PS256",                     signed_with(Algorithm::Ps256),                    SignedIn),
        ("PS384",                     signed_with(Algorithm::Ps384),                    SignedIn),
        ("PS512",                     signed_with(Algorithm::Ps512),                    SignedIn),
        ("ES384",                     signed_with(Algorithm::Es384),                    SignedIn),
        ("ES512",                     signed_with(Algorithm::Es512),                    SignedIn),
        ("EdDSA",                     signed_with(Algorithm::EdDsa),                    SignedIn),
        ("EdDSA under its new name",  signed_with(Algorithm::Ed25519),                  SignedIn),
        ("the same for keys",         both(signed_with(Algorithm::EdDsa), published("alg", json!("Ed25519"))), SignedIn),
        ("no signature",              signed_with(Algorithm::None),                     Refused("id_token_alg")),
        ("our secret as key",         signed_with(Algorithm::Hs256(CLIENT_SECRET)),     Refused("id_token_alg")),
        ("alg that nobody knows",     header("alg", json!("XX256")),                    Refused("id_token_alg")),
        ("alg in other letters",      header("alg", json!("es256")),                    Refused("id_token_alg")),
        ("alg not a text",            header("alg", json!(256)),                        Refused("id_token_alg")),
        ("no alg",                    header("alg", Value::Null),                       Refused("id_token_alg")),
        ("alg twice",                 twice(Part::Header, "alg", json!("none")),        Refused("id_token_malformed")),
        ("alg of another key",        header("alg", json!("RS256")),                    Refused("id_token_unknown_key")),
        ("alg of another curve",      header("alg", json!("ES512")),                    Refused("id_token_unknown_key")),
        ("alg that is not listed",    both(signed_with(Algorithm::EdDsa), listed(&["ES256"])), Refused("id_token_alg")),
        ("key of another type",       header("kid", json!("rsa-1")),                    Refused("id_token_unknown_key")),
        ("key that is not published", header("kid", json!("ec-0")),                     Refused("id_token_unknown_key")),
        ("key for encryption",        published("use", json!("enc")),                   Refused("id_token_unknown_key")),
        ("key for another algorithm", published("alg", json!("ES384")),                 Refused("id_token_unknown_key")),
        ("key on another curve",      published("crv", json!("P-384")),                 Refused("id_token_signature")),
        ("ES512, key cut",            both(signed_with(Algorithm::Es512), published("x", json!("AAAA"))), Refused("id_token_signature")),
        ("ES512, key without y",      both(signed_with(Algorithm::Es512), published("y", Value::Null)),   Refused("id_token_signature")),
        ("ES512, key of somebody else", both(signed_with(Algorithm::Es512), stale_p521()), Refused("id_token_signature")),
        ("RSA of 1024 bits",          both(signed_with(Algorithm::Rs256), short_rsa()), Refused("id_token_weak_key")),
        ("a symmetric key",           published("kty", json!("oct")),                   Refused("id_token_unknown_key")),
        ("no kid",                    header("kid", Value::Null),                       SignedIn),
        ("kid not a text",            header("kid", json!(1)),                          Refused("id_token_malformed")),
        ("kid twice",                 twice(Part::Header, "kid", json!("rsa-1")),       Refused("id_token_malformed")),
        ("a key of its own",          header("jwk", json!({ "kty": "oct", "k": "AA" })), SignedIn),
        ("a key's address",           header("jku", json!("http://127.0.0.1:1/jwks")),  SignedIn),
        ("signature cut",             token(|t| t[..t.len() - 6].to_owned()),           Refused("id_token_signature")),
        ("signature gone",            token(|t| t[..=t.rfind('.').expect("a dot")].to_owned()), Refused("id_token_signature")),
        ("signature of zeros",        token(|t| format!("{}{}", &t[..=t.rfind('.').expect("a dot")], "A".repeat(86))), Refused("id_token_signature")),
        ("claims exchanged",          token(exchange_claims),                           Refused("id_token_signature")),
    ];
    run(rows, |_| {}).await;
}

#[rustfmt::skip]
#[actix_web::test]
async fn what_is_no_id_token_is_caught() {
    let rows: Vec<Row> = vec![
        ("crit",                      header("crit", json!(["exp"])),                   Refused("id_token_crit")),
        ("empty crit",                header("crit", json!([])),                        Refused("id_token_crit")),
        ("an access token",           header("typ", json!("at+jwt")),                   Refused("id_token_typ")),
        ("a logout token",            header("typ", json!("logout+jwt")),               Refused("id_token_typ")),
        ("typ not a text",            header("typ", json!(1)),                          Refused("id_token_malformed")),
        ("typ in small letters",      header("typ", json!("jwt")),                      SignedIn),
        ("no typ",                    header("typ", Value::Null),                       SignedIn),
        ("nested",                    header("cty", json!("JWT")),                      Refused("id_token_typ")),
        ("encrypted",                 token(|_| "e30.x.x.x.x".to_owned()),              Refused("id_token_encrypted")),
        ("two parts",                 token(|_| "e30.e30".to_owned()),                  Refused("id_token_malformed")),
        ("six parts",                 token(|_| "e30.e.e.e.e.e".to_owned()),            Refused("id_token_malformed")),
        ("nothing",                   token(|_| String::new()),                         Refused("id_token_malformed")),
        ("no base64url",              token(|t| t.replacen('e', "+", 1)),               Refused("id_token_malformed")),
        ("padding",                   token(|t| format!("{t}=")),                       Refused("id_token_malformed")),
        ("huge",                      token(|t| t.repeat(200)),                         Refused("id_token_too_large")),
    ];
    run(rows, |_| {}).await;
}

#[rustfmt::skip]
#[actix_web::test]
async fn each_lie_about_the_parties_is_caught() {
    let among = |others: Value, azp: Value| claims(json!({ "aud": others, "azp": azp }));
    let rows: Vec<Row> = vec![
        ("no iss",                    claim("iss", Value::Null),                        Refused("id_token_claim_missing")),
        ("another iss",               claim("iss", json!("https://id.example.org")),    Refused("id_token_iss")),
        ("iss not a text",            claim("iss", json!(["https://id"])),              Refused("id_token_claim_type")),
        ("iss twice",                 twice(Part::Claims, "iss", json!("https://id")),  Refused("id_token_malformed")),
        ("no aud",                    claim("aud", Value::Null),                        Refused("id_token_claim_missing")),
        ("aud as text",               claim("aud", json!("portcullis")),                SignedIn),
        ("another aud",               claim("aud", json!("other")),                     Refused("id_token_aud")),
        ("aud in other letters",      claim("aud", json!("Portcullis")),                Refused("id_token_aud")),
        ("aud twice",                 twice(Part::Claims, "aud", json!("other")),       Refused("id_token_malformed")),
        ("no audience",               claim("aud", json!([])),                          Refused("id_token_aud")),
        ("aud a number",              claim("aud", json!(1)),                           Refused("id_token_claim_type")),
        ("aud with us alone",         among(json!(["portcullis"]), Value::Null),        SignedIn),
        ("a number among aud",        claim("aud", json!(["portcullis", 1])),           Refused("id_token_claim_type")),
        // Core §3.1.3.7 no. 3 to 5: others beside us only where `azp` says that the token was issued to us.
        ("others too, no azp",        among(json!(["portcullis", "other"]), Value::Null),          Refused("id_token_foreign_aud")),
        ("others too, azp is us",     among(json!(["other", "portcullis"]), json!("portcullis")),  SignedIn),
        ("others too, azp is not",    among(json!(["portcullis", "other"]), json!("other")),       Refused("id_token_azp")),
        ("others alone, azp is us",   among(json!(["other"]), json!("portcullis")),                Refused("id_token_aud")),
        ("we twice, no azp",          among(json!(["portcullis", "portcullis"]), Value::Null),     Refused("id_token_foreign_aud")),
        ("azp is us",                 claim("azp", json!("portcullis")),                SignedIn),
        ("azp is not us",             claim("azp", json!("evil")),                      Refused("id_token_azp")),
        ("azp not a text",            claim("azp", json!(["portcullis"])),              Refused("id_token_claim_type")),
        ("azp twice",                 both(claim("azp", json!("portcullis")), twice(Part::Claims, "azp", json!("evil"))), Refused("id_token_malformed")),
        ("no sub",                    claim("sub", Value::Null),                        Refused("id_token_claim_missing")),
        ("empty sub",                 claim("sub", json!("")),                          Refused("id_token_sub")),
        ("sub with a line break",     claim("sub", json!("a\nb")),                      Refused("id_token_sub")),
        ("sub without end",           claim("sub", json!("a".repeat(256))),             Refused("id_token_sub")),
        ("sub a number",              claim("sub", json!(1)),                           Refused("id_token_claim_type")),
        ("sub twice",                 twice(Part::Claims, "sub", json!("admin")),       Refused("id_token_malformed")),
        ("no nonce",                  claim("nonce", Value::Null),                      Refused("id_token_claim_missing")),
        ("another nonce",             claim("nonce", json!("n")),                       Refused("id_token_nonce")),
        ("nonce not a text",          claim("nonce", json!(0)),                         Refused("id_token_claim_type")),
        ("nonce twice",               twice(Part::Claims, "nonce", json!("n")),         Refused("id_token_malformed")),
        ("no at_hash",                claim("at_hash", Value::Null),                    SignedIn),
        ("another at_hash",           claim("at_hash", json!("x")),                     Refused("id_token_at_hash")),
        ("another at_hash, ES512",    both(signed_with(Algorithm::Es512), claim("at_hash", json!("x"))), Refused("id_token_at_hash")),
        ("at_hash not a text",        claim("at_hash", json!(0)),                       Refused("id_token_claim_type")),
        ("at_hash twice",             twice(Part::Claims, "at_hash", json!("x")),       Refused("id_token_malformed")),
    ];
    run(rows, |_| {}).await;
}

#[rustfmt::skip]
#[actix_web::test]
async fn each_lie_about_the_time_is_caught() {
    let rows: Vec<Row> = vec![
        ("no exp",                    claim("exp", Value::Null),                        Refused("id_token_claim_missing")),
        ("exp as text",               claim("exp", json!("1790003600")),                Refused("id_token_claim_type")),
        ("exp null",                  Box::new(null_exp),                               Refused("id_token_claim_missing")),
        ("exp with a fraction",       claim("exp", json!(1_790_000_100.5)),             SignedIn),
        ("exp negative",              claim("exp", json!(-1)),                          Refused("id_token_claim_type")),
        ("exp beyond all numbers",    claim("exp", json!(1e300)),                       SignedIn),
        ("exp twice",                 twice(Part::Claims, "exp", json!(1)),             Refused("id_token_malformed")),
        ("lapsed within the leeway",  date("exp", -59),                                 SignedIn),
        ("lapsed",                    date("exp", -60),                                 Refused("id_token_expired")),
        ("no iat",                    claim("iat", Value::Null),                        Refused("id_token_claim_missing")),
        ("iat as text",               claim("iat", json!("2026-09-21T00:00:00Z")),      Refused("id_token_claim_type")),
        ("iat twice",                 twice(Part::Claims, "iat", json!(1)),             Refused("id_token_malformed")),
        ("iat within the leeway",     date("iat", 60),                                  SignedIn),
        ("iat ahead",                 date("iat", 61),                                  Refused("id_token_not_yet_valid")),
        ("iat ahead, nbf not",        Box::new(iat_ahead_of_nbf),                       Refused("id_token_not_yet_valid")),
        ("dated back, like Entra's",  Box::new(like_entra),                             SignedIn),
        ("iat some minutes ago",      date("iat", -480),                                SignedIn),
        ("iat long ago",              date("iat", -481),                                Refused("id_token_stale")),
        ("nbf within the leeway",     date("nbf", 60),                                  SignedIn),
        ("nbf ahead",                 date("nbf", 61),                                  Refused("id_token_not_yet_valid")),
        ("nbf as text",               claim("nbf", json!("0")),                         Refused("id_token_claim_type")),
        ("nbf twice",                 both(date("nbf", 0), twice(Part::Claims, "nbf", json!(1))), Refused("id_token_malformed")),
    ];
    run(rows, |_| {}).await;
}

/// What nobody asked for may be as odd as it likes.
#[rustfmt::skip]
#[actix_web::test]
async fn odd_claims_do_not_fail_a_login() {
    let rows: Vec<Row> = vec![
        ("name a number",             claim("name", json!(5)),                          SignedIn),
        ("address a text",            claim("address", json!("here")),                  SignedIn),
        ("email_verified a text",     claim("email_verified", json!("true")),           SignedIn),
        ("auth_time a text",          claim("auth_time", json!("now")),                 SignedIn),
        ("amr a text",                claim("amr", json!("pwd")),                       SignedIn),
        ("sid a number",              claim("sid", json!(7)),                           SignedIn),
        ("updated_at a text",         claim("updated_at", json!("2026-01-01T00:00:00Z")), SignedIn),
        ("groups one text",           claim("groups", json!("media")),                  SignedIn),
        ("groups with nonsense",      claim("groups", json!(["media", 1, null, {}])),   SignedIn),
        ("groups without end",        claim("groups", json!(vec!["g"; 1_001])),         Refused("too_many_groups")),
        ("groups kept elsewhere",     Box::new(groups_elsewhere),                       Refused("groups_elsewhere")),
        ("another claim elsewhere",   claim("_claim_names", json!({ "address": "src1" })), SignedIn),
        ("nonsense about elsewhere",  claim("_claim_names", json!("src1")),             SignedIn),
        ("depth without end",         token(deep_claims),                               Refused("id_token_signature")),
    ];
    run(rows, |_| {}).await;
}

/// What the metadata list.
fn listed(names: &'static [&'static str]) -> super::trial::Lie {
    super::lies::metadata("id_token_signing_alg_values_supported", json!(names))
}

/// A key on P-521 that is a good one and not the issuer's.
fn stale_p521() -> super::trial::Lie {
    Box::new(|behaviour| {
        behaviour.edit_jwks = Box::new(|jwks| {
            let other = crate::support::issuer::other_p521_key();
            for key in jwks["keys"].as_array_mut().expect("keys") {
                if key["crv"] == "P-521" {
                    key["x"] = other["x"].clone();
                    key["y"] = other["y"].clone();
                }
            }
        });
    })
}

/// The issuer's RSA key, cut in half.
fn short_rsa() -> super::trial::Lie {
    Box::new(|behaviour| {
        behaviour.edit_jwks = Box::new(|jwks| {
            for key in jwks["keys"].as_array_mut().expect("keys") {
                if let Some(n) = key["n"].as_str() {
                    key["n"] = json!(n[..168].to_owned());
                }
            }
        });
    })
}

fn null_exp(behaviour: &mut Behaviour) {
    behaviour.edit_claims = Box::new(|claims| claims["exp"] = Value::Null);
}

/// What Entra says of somebody with more groups than fit: where to ask for them.
fn groups_elsewhere(behaviour: &mut Behaviour) {
    behaviour.edit_claims = Box::new(|claims| {
        set(claims, "groups", Value::Null);
        claims["_claim_names"] = json!({ "groups": "src1" });
        claims["_claim_sources"] =
            json!({ "src1": { "endpoint": "https://id.example.org/groups" } });
    });
    behaviour.edit_userinfo = Box::new(|claims| set(claims, "groups", Value::Null));
}

fn iat_ahead_of_nbf(behaviour: &mut Behaviour) {
    behaviour.edit_claims = Box::new(|claims| {
        let now = claims["iat"].as_u64().expect("a date");
        claims["nbf"] = json!(now);
        claims["iat"] = json!(now + 61);
    });
}

/// A little over five minutes back, valid for an hour from now, and without `azp`.
fn like_entra(behaviour: &mut Behaviour) {
    behaviour.edit_claims = Box::new(|claims| {
        let back = claims["iat"].as_u64().expect("a date") - 302;
        claims["iat"] = json!(back);
        claims["nbf"] = json!(back);
        claims["exp"] = json!(back + 3_900);
        set(claims, "azp", Value::Null);
    });
}

/// Puts an administrator's claims under somebody else's signature.
fn exchange_claims(token: &str) -> String {
    let parts: Vec<&str> = token.split('.').collect();
    format!("{}.{}.{}", parts[0], "eyJzdWIiOiJhZG1pbiJ9", parts[2])
}

/// Claims of brackets alone.
fn deep_claims(token: &str) -> String {
    let parts: Vec<&str> = token.split('.').collect();
    // "[[[" in base64url
    format!("{}.{}.{}", parts[0], "W1tb".repeat(20_000), parts[2])
}
