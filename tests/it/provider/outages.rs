//! Faults that show at once: each endpoint with each of them, at the start and later.

use futures_util::future::join_all;

use super::trial::{Ends, FILMS, MARK, Outage, Trial, all, run_outage};
use crate::support::browser::Browser;
use crate::support::front::Fault;
use Ends::{Refused, SignedIn, Unavailable};

const DISCOVERY: &str = "/openid-configuration";
const JWKS: &str = "/jwks";
const TOKEN: &str = "/token";
const USERINFO: &str = "/userinfo";

/// Far beyond what anybody reads, and the memory for it.
const TAKEN_AT_MOST: usize = 24 * 1024 * 1024;

fn html(status: &str) -> Fault {
    let page = format!("<h1>{MARK}</h1>");
    Fault::answer(
        status,
        "Content-Type: text/html\r\nRetry-After: 3600\r\n",
        page.as_bytes(),
    )
}

/// An answer that ends before its length.
fn truncated() -> Fault {
    let text = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n{{\"{MARK}\":"
    );
    Fault::Raw(text.into_bytes())
}

/// A megabyte of blanks in a kilobyte, a thousand times: `gzip -9` makes about this of a gigabyte.
fn gzip_bomb() -> Fault {
    const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 3];
    let mut bomb = HEAD.to_vec();
    bomb.resize(1_000_000, 0);
    let headers = "Content-Type: application/json\r\nContent-Encoding: gzip\r\n";
    Fault::answer("200 OK", headers, &bomb)
}

fn redirect() -> Fault {
    Fault::answer("302 Found", "Location: /.well-known/jwks?followed\r\n", b"")
}

/// What any endpoint may do.
#[rustfmt::skip] // the columns are the point
fn everywhere() -> Vec<Outage> {
    let huge = vec![b' '; 2 * 1024 * 1024];
    vec![
        ("reset",              Fault::Reset,                                Unavailable("provider_unreachable")),
        ("closed",             Fault::Close,                                Unavailable("provider_unreachable")),
        ("no HTTP",            Fault::Raw(MARK.as_bytes().to_vec()),        Unavailable("provider_unreachable")),
        ("truncated",          truncated(),                                 Unavailable("provider_unreachable")),
        ("500",                html("500 Internal Server Error"),           Unavailable("provider_error")),
        ("502",                html("502 Bad Gateway"),                     Unavailable("provider_error")),
        ("503, Retry-After",   html("503 Service Unavailable"),             Unavailable("provider_error")),
        ("429",                html("429 Too Many Requests"),               Unavailable("provider_error")),
        ("huge",               Fault::json(&huge),                          Unavailable("answer_too_large")),
        ("endless",            Fault::EndlessBody,                          Unavailable("answer_too_large")),
        ("endless head",       Fault::EndlessHead,                          Unavailable("provider_unreachable")),
        ("gzip bomb",          gzip_bomb(),                                 Unavailable("answer_encoded")),
        ("redirect",           redirect(),                                  Unavailable("provider_redirect")),
    ]
}

/// What metadata and keys may be beside.
#[rustfmt::skip]
fn of_documents() -> Vec<Outage> {
    vec![
        ("404",                html("404 Not Found"),                       Unavailable("provider_refused")),
        ("403",                html("403 Forbidden"),                       Unavailable("provider_refused")),
        ("HTML",               html("200 OK"),                              Unavailable("metadata_malformed")),
        ("empty",              Fault::json(b""),                            Unavailable("metadata_malformed")),
        ("no JSON",            Fault::json(MARK.as_bytes()),                Unavailable("metadata_malformed")),
        ("half of it",         Fault::json(b"{\"issuer\":"),                Unavailable("metadata_malformed")),
        ("deep",               Fault::json("[".repeat(100_000).as_bytes()), Unavailable("metadata_malformed")),
        ("no UTF-8",           Fault::json(b"{\"issuer\":\"\xff\"}"),       Unavailable("metadata_malformed")),
    ]
}

/// What a token answer may be beside.
#[rustfmt::skip]
fn of_tokens() -> Vec<Outage> {
    let error = |text: &str| {
        let body = format!("{{\"error\":\"{text}\",\"error_description\":\"{MARK}\"}}");
        Fault::answer("400 Bad Request", "Content-Type: application/json\r\n", body.as_bytes())
    };
    vec![
        ("HTML",               html("200 OK"),                              Refused("token_answer_malformed")),
        ("404",                html("404 Not Found"),                       Refused("token_answer_malformed")),
        ("empty",              Fault::json(b""),                            Refused("token_answer_malformed")),
        ("no JSON",            Fault::json(MARK.as_bytes()),                Refused("token_answer_malformed")),
        ("deep",               Fault::json("[".repeat(100_000).as_bytes()), Refused("token_answer_malformed")),
        ("a spent code",       error("invalid_grant"),                      Refused("code_refused")),
        ("we are unknown",     error("invalid_client"),                     Refused("client_refused")),
        ("an odd error",       error(&format!("{MARK} at large")),                               Refused("code_refused")),
    ]
}

#[rustfmt::skip]
fn of_userinfo() -> Vec<Outage> {
    vec![
        ("HTML",               html("200 OK"),                              Refused("userinfo_unusable")),
        ("404",                html("404 Not Found"),                       Refused("userinfo_unusable")),
        ("empty",              Fault::json(b""),                            Refused("userinfo_unusable")),
        ("no JSON",            Fault::json(MARK.as_bytes()),                Refused("userinfo_unusable")),
        ("deep",               Fault::json("[".repeat(100_000).as_bytes()), Refused("userinfo_unusable")),
    ]
}

async fn each(path: &'static str, outages: Vec<Outage>) {
    all(outages
        .into_iter()
        .map(|outage| run_outage(path, outage, |_| {})))
    .await;
}

#[actix_web::test]
async fn each_fault_of_the_metadata_is_survived() {
    each(DISCOVERY, [everywhere(), of_documents()].concat()).await;
}

#[actix_web::test]
async fn each_fault_of_the_keys_is_survived() {
    each(JWKS, [everywhere(), of_documents()].concat()).await;
}

#[actix_web::test]
async fn each_fault_of_the_token_endpoint_is_survived() {
    each(TOKEN, [everywhere(), of_tokens()].concat()).await;
}

#[actix_web::test]
async fn each_fault_of_userinfo_is_survived() {
    let outages = [everywhere(), of_userinfo()].concat();
    all(outages.into_iter().map(|outage| {
        run_outage(USERINFO, outage, |raw| {
            raw.oidc.userinfo = Some("always".into());
        })
    }))
    .await;
}

#[actix_web::test]
async fn an_answer_without_end_is_read_to_its_limit() {
    let endless = [Fault::EndlessBody, Fault::EndlessHead];
    join_all(endless.map(|fault| async move {
        let trial = Trial::start();
        trial.front.spoil(TOKEN, fault.clone());
        let code = match fault {
            Fault::EndlessBody => "answer_too_large",
            _ => "provider_unreachable",
        };
        trial
            .expect("an answer without end", Unavailable(code))
            .await;
        let sent = trial.front.sent();
        // What the kernel holds on the way counts too.
        assert!(sent > 0 && sent < TAKEN_AT_MOST, "{fault:?}: {sent} bytes");
    }))
    .await;
}

/// Sessions go on; a login that fails has the provider looked at, and from then on nobody is sent to it in vain.
#[actix_web::test]
async fn a_provider_that_goes_away_later_stops_logins_alone() {
    let trial = Trial::start();
    let mut ada = Browser::new(&trial.app);
    assert_eq!(ada.navigate(FILMS).await.end.status, 200);
    for path in [DISCOVERY, JWKS, TOKEN, USERINFO] {
        trial.front.spoil(path, Fault::Reset);
    }
    let late = Unavailable("provider_unreachable");
    trial.expect("a login on its way", late).await;
    let mut sent_away = false;
    for _ in 0..50 {
        let mut browser = Browser::new(&trial.app);
        let login = browser.open(FILMS).await;
        let page = browser.open(login.location()).await;
        if page.status == 503 {
            sent_away = true;
            break;
        }
        actix_web::rt::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(sent_away, "logins still go to a provider that is gone");
    assert_eq!(ada.ask(FILMS).fetch().send().await.status, 200);
    let ready = trial.app.health("ready").await;
    assert_eq!(
        (ready.status.as_u16(), &ready.json()["provider"]),
        (200, &"down".into())
    );
    trial.front.heal();
    trial.expect("back", SignedIn).await;
}
