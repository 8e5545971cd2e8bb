//! Signing in again, because a policy asks for a more recent sign-in or for another way to do it.

use std::time::Duration;

use portcullis::clock::Clock;
use portcullis::config::{RawConfig, RawPolicy, RawRule, RawService};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::refresh::{self, LAPSED, Person};
use crate::support::app::{
    Ask, Proxy, TestApp, answer, every_dialect, owned, spawn_app_at, spawn_app_with,
};
use crate::support::browser::Browser;
use crate::support::clock::TestClock;
use crate::support::issuer::{Endpoint, FakeIssuer};

/// Within a quarter of an hour.
const DANGER: &str = "https://vault.example.net/danger/wipe?all=1&x=%2F%3f+z";
/// By a passkey.
const KEYS: &str = "https://vault.example.net/keys/list";
/// Both, for administrators.
const BOTH: &str = "https://vault.example.net/both/";
/// For whoever signs in.
const VAULT: &str = "https://vault.example.net/";
const FILMS: &str = "https://films.example.net/";
const PORTAL: &str = "auth.example.net";
const HOST: &str = "vault.example.net";
const SESSION: &str = "__Host-portcullis";
/// Gone by themselves after ten seconds.
const HOPS: &str = "__Host-portcullis-hops";
const BOUNCES: &str = "__Host-portcullis-bounces";
const SSO: &str = "__Host-portcullis-sso";

const QUARTER: Duration = Duration::from_secs(900);
/// When a sign-in of before does no longer, with the minute by which clocks may differ.
const TOO_LONG: Duration = Duration::from_secs(961);

/// What programs are told (RFC 9470 §3).
const ERROR: &str = "Bearer error=\"insufficient_user_authentication\", \
        error_description=\"a more recent or another sign-in is required\"";

fn with_vault(raw: &mut RawConfig) {
    let policy = |max_auth_age, amr: &[&str], groups: &[&str]| RawPolicy {
        max_auth_age,
        amr: (!amr.is_empty()).then(|| owned(amr)),
        allowed_groups: (!groups.is_empty()).then(|| owned(groups)),
        ..RawPolicy::default()
    };
    let policies = &mut raw.policies;
    policies.insert("recent".into(), policy(Some(QUARTER), &[], &[]));
    policies.insert("passkey".into(), policy(None, &["phr", "hwk"], &[]));
    policies.insert("both".into(), policy(Some(QUARTER), &["phr"], &["admins"]));
    let rule = |path: &str, policy: &str| RawRule {
        paths: Some(owned(&[path])),
        policy: Some(policy.into()),
        ..RawRule::default()
    };
    let vault = RawService {
        host: Some(owned(&[HOST])),
        policy: Some("authenticated".into()),
        rules: vec![
            rule("/danger/*", "recent"),
            rule("/keys/*", "passkey"),
            rule("/both/*", "both"),
        ],
        ..RawService::default()
    };
    raw.services.insert("vault".into(), vault);
}

/// Has `service` ask for a sign-in that is no older.
pub fn asks_for_more(raw: &mut RawConfig, service: &str, max_auth_age: Duration) {
    let policy = RawPolicy {
        max_auth_age: Some(max_auth_age),
        ..RawPolicy::default()
    };
    raw.policies.insert("fresh".into(), policy);
    let service = raw.services.get_mut(service).expect("a service");
    service.policy = Some("fresh".into());
}

async fn spawn() -> TestApp {
    spawn_app_with(with_vault).await
}

/// Whether the request goes through with the cookies that `browser` has.
async fn passes(ask: Ask<'_>) -> bool {
    ask.fetch().send().await.status == StatusCode::OK
}

#[actix_web::test]
async fn an_old_sign_in_is_asked_for_again_and_comes_back_byte_for_byte() {
    for proxy in [Proxy::Caddy, Proxy::Nginx, Proxy::Envoy] {
        let app = spawn_app_with(|raw| {
            with_vault(raw);
            every_dialect(raw);
        })
        .await;
        let mut browser = Browser::new(&app).through(proxy);
        assert_eq!(browser.navigate(DANGER).await.logins(), 1);
        let before = browser.cookie(HOST, SESSION).map(str::to_owned);
        // For a quarter of an hour nobody is asked.
        app.clock.advance(QUARTER);
        assert_eq!(browser.navigate(DANGER).await.urls, [DANGER]);
        app.clock.advance(Duration::from_secs(61));
        // The rest of the app is as open as before.
        assert_eq!(browser.navigate(VAULT).await.urls, [VAULT]);
        let visit = browser.navigate(DANGER).await;
        assert_eq!((visit.end.status.as_u16(), visit.url()), (200, DANGER));
        assert_eq!(visit.logins(), 1);
        let asked = app.issuer.authorization();
        assert_eq!(asked.get("max_age").map(String::as_str), Some("900"));
        assert_eq!(asked.get("prompt"), None);
        // The session is a new one, and the old one is over.
        let after = browser.cookie(HOST, SESSION).map(str::to_owned);
        assert_ne!(before, after);
        let old = format!("{SESSION}={}", before.expect("a session"));
        assert!(!passes(app.ask(VAULT).header("cookie", &old)).await);
        assert_eq!(browser.navigate(DANGER).await.urls, [DANGER]);
    }
}

#[actix_web::test]
async fn another_way_to_sign_in_is_asked_for() {
    let app = spawn().await;
    let mut browser = Browser::new(&app);
    app.issuer.behave(|issuer| issuer.methods = &["otp"]);
    assert_eq!(browser.navigate(VAULT).await.end.status, 200);
    app.issuer.behave(|issuer| issuer.methods = &["hwk", "pin"]);
    app.clock.advance(Duration::from_secs(10));
    let visit = browser.navigate(KEYS).await;
    assert_eq!((visit.end.status.as_u16(), visit.url()), (200, KEYS));
    assert_eq!(visit.logins(), 1);
    let asked = app.issuer.authorization();
    assert_eq!(asked.get("prompt").map(String::as_str), Some("login"));
    assert_eq!(asked.get("max_age"), None);
    assert_eq!(asked.get("acr_values"), None);
}

#[actix_web::test]
async fn classes_that_the_provider_knows_are_named_to_it_and_preferences_give_way() {
    let clock = TestClock::new();
    let issuer = FakeIssuer::start(&clock);
    issuer.behave(|issuer| {
        issuer.edit_metadata =
            Box::new(|metadata| metadata["acr_values_supported"] = json!(["low", "phr"]));
    });
    let app = spawn_app_at(issuer, clock, |raw| {
        with_vault(raw);
        let params = &mut raw.oidc.authorize_params;
        params.insert("prompt".into(), "login".into());
        params.insert("max_age".into(), "86400".into());
        params.insert("acr_values".into(), "low".into());
    });
    let mut browser = Browser::new(&app);
    app.issuer.behave(|issuer| issuer.methods = &["otp"]);
    browser.navigate(VAULT).await;
    assert_eq!(app.issuer.authorization()["acr_values"], "low");
    app.issuer.behave(|issuer| issuer.methods = &["phr"]);
    let login = browser.open(BOTH).await;
    let provider = browser.open(login.location()).await;
    for (name, value) in [
        ("max_age", "900"),
        ("prompt", "login"),
        ("acr_values", "phr"),
    ] {
        let said = format!("{name}={value}");
        let pairs = provider.location().split(['?', '&']);
        let of_name: Vec<&str> = pairs
            .filter(|pair| pair.starts_with(&format!("{name}=")))
            .collect();
        assert_eq!(of_name, [said], "once");
    }
    assert_eq!(browser.navigate(provider.location()).await.url(), BOTH);
}

/// A provider that lets people pass without asking them again, as some do.
#[actix_web::test]
async fn a_provider_that_does_not_ask_again_ends_in_a_page_and_signs_nobody_out() {
    let app = spawn().await;
    let mut browser = Browser::new(&app);
    browser.navigate(VAULT).await;
    app.issuer.behave(|issuer| issuer.asks_again = false);
    app.clock.advance(TOO_LONG);
    let session = browser.cookie(HOST, SESSION).map(str::to_owned);
    let sso = browser.cookie(PORTAL, SSO).map(str::to_owned);

    let visit = browser.navigate(DANGER).await;
    assert_eq!((visit.end.status.as_u16(), visit.logins()), (403, 1));
    assert!(
        visit
            .url()
            .starts_with("https://auth.example.net/callback?")
    );
    let page = &visit.end.body;
    for said in [
        "Signing in again was not enough",
        "15 minutes",
        "auth_too_old",
        "Sign out at the identity provider",
        "ada",
    ] {
        assert!(page.contains(said), "{said}: {page}");
    }
    // Everything is as it was.
    assert_eq!(browser.cookie(HOST, SESSION).map(str::to_owned), session);
    assert_eq!(browser.cookie(PORTAL, SSO).map(str::to_owned), sso);
    assert_eq!(browser.navigate(VAULT).await.urls, [VAULT]);
    assert_eq!(browser.navigate(FILMS).await.end.status, 200);

    // For a while nobody is sent there again by themselves.
    let again = browser.navigate(DANGER).await;
    assert_eq!((again.end.status.as_u16(), again.logins()), (403, 0));
    assert!(again.end.body.contains("You have just signed in again"));
    let refused = browser.ask(DANGER).fetch().send().await;
    assert_eq!(
        (refused.status.as_u16(), refused.reason()),
        (403, "auth_too_old".into())
    );
    // Another policy has not been tried.
    app.issuer.behave(|issuer| issuer.methods = &["otp"]);
    assert_eq!(browser.navigate(KEYS).await.end.status, 200);

    // Whoever asks for it is.
    app.issuer.behave(|issuer| issuer.asks_again = true);
    let link = refused.json()["login_url"]
        .as_str()
        .expect("a link")
        .to_owned();
    assert_eq!(browser.navigate(&link).await.logins(), 1);
    assert_eq!(browser.navigate(DANGER).await.end.status, 200);
}

#[actix_web::test]
async fn what_was_in_vain_is_tried_again_after_five_minutes() {
    let app = spawn().await;
    let mut browser = Browser::new(&app);
    browser.navigate(VAULT).await;
    app.issuer.behave(|issuer| issuer.asks_again = false);
    app.clock.advance(TOO_LONG);
    assert_eq!(browser.navigate(DANGER).await.logins(), 1);
    app.clock.advance(Duration::from_secs(299));
    assert_eq!(browser.navigate(DANGER).await.logins(), 0);
    app.clock.advance(Duration::from_secs(1));
    let visit = browser.navigate(DANGER).await;
    assert_eq!((visit.end.status.as_u16(), visit.logins()), (403, 1));
    app.issuer.behave(|issuer| issuer.asks_again = true);
    app.clock.advance(Duration::from_secs(300));
    assert_eq!(browser.navigate(DANGER).await.end.status, 200);
}

/// `auth_time` is required where `max_age` was sent (OIDC Core §2); one that is missing, still to come or no time is
/// no recent one.
#[actix_web::test]
async fn an_auth_time_that_says_nothing_is_none() {
    for auth_time in [
        json!(null),
        json!(4_000_000_000_u64),
        json!("now"),
        json!(-1),
    ] {
        let app = spawn().await;
        let claimed = auth_time.clone();
        app.issuer.behave(|issuer| {
            issuer.edit_claims = Box::new(move |claims| {
                if claimed.is_null() {
                    claims.as_object_mut().expect("claims").remove("auth_time");
                } else {
                    claims["auth_time"] = claimed.clone();
                }
            });
        });
        let mut browser = Browser::new(&app);
        let visit = browser.navigate(DANGER).await;
        // One to sign in, and one because that was not enough.
        assert_eq!(
            (visit.end.status.as_u16(), visit.logins()),
            (403, 2),
            "{auth_time}"
        );
        assert!(visit.end.body.contains("auth_time_unknown"), "{auth_time}");
        assert_eq!(browser.navigate(VAULT).await.urls, [VAULT], "{auth_time}");
    }
}

#[actix_web::test]
async fn a_way_that_is_still_another_one_is_refused() {
    let app = spawn().await;
    app.issuer.behave(|issuer| issuer.methods = &["otp"]);
    let mut browser = Browser::new(&app);
    let visit = browser.navigate(KEYS).await;
    assert_eq!((visit.end.status.as_u16(), visit.logins()), (403, 2));
    for said in ["phr or hwk", "auth_method", "signed in another way"] {
        assert!(visit.end.body.contains(said), "{said}: {}", visit.end.body);
    }
    let again = browser.navigate(KEYS).await;
    assert_eq!((again.end.status.as_u16(), again.logins()), (403, 0));
}

#[actix_web::test]
async fn who_would_be_refused_anyway_is_not_sent_to_sign_in_again() {
    let app = spawn().await;
    app.issuer.sign_in_as("ben");
    let mut browser = Browser::new(&app);
    browser.navigate(VAULT).await;
    app.clock.advance(TOO_LONG);
    let visit = browser.navigate(BOTH).await;
    assert_eq!((visit.end.status.as_u16(), visit.urls.len()), (403, 1));
    assert!(visit.end.body.contains("none of the groups"));
}

#[actix_web::test]
async fn programs_are_told_what_is_missing() {
    let app = spawn().await;
    app.issuer.behave(|issuer| issuer.methods = &["otp"]);
    let mut browser = Browser::new(&app);
    browser.navigate(VAULT).await;
    app.clock.advance(TOO_LONG);
    let with_age = format!("{ERROR}, max_age=\"900\"");
    for (url, challenge, reason, names) in [
        (DANGER, with_age.as_str(), "auth_too_old", "recent"),
        (KEYS, ERROR, "auth_method", "passkey"),
        (BOTH, with_age.as_str(), "auth_method", "both"),
    ] {
        let refused = browser.ask(url).fetch().send().await;
        assert_eq!(
            (refused.status.as_u16(), refused.reason().as_str()),
            (401, reason),
            "{url}"
        );
        assert_eq!(refused.header("www-authenticate"), challenge, "{url}");
        let problem = refused.json();
        let link = problem["login_url"].as_str().expect("a link");
        assert_eq!(
            link,
            format!(
                "https://auth.example.net/login?rd=https%3A%2F%2Fvault.example.net%2F&step_up={names}"
            )
        );
        assert!(!refused.headers.contains_key("set-cookie"));
    }
    // A stranger learns nothing of it.
    let stranger = app.ask(DANGER).fetch().send().await;
    assert_eq!(stranger.header("www-authenticate"), "Bearer");
    assert!(!stranger.body.contains("recent"));
    // The link of a script signs in again, and the app goes on with the new session.
    app.issuer.behave(|issuer| issuer.methods = &["phr"]);
    let refused = browser.ask(BOTH).fetch().send().await;
    let link = refused.json()["login_url"]
        .as_str()
        .expect("a link")
        .to_owned();
    let visit = browser.navigate(&link).await;
    assert_eq!(
        (visit.end.status.as_u16(), visit.logins(), visit.url()),
        (200, 1, VAULT)
    );
    assert!(passes(browser.ask(BOTH)).await);
}

#[actix_web::test]
async fn a_form_on_its_way_is_not_delivered_and_says_so() {
    let app = spawn().await;
    let mut browser = Browser::new(&app);
    browser.navigate(VAULT).await;
    app.clock.advance(TOO_LONG);
    let posted = |site: &str| {
        let ask = browser.ask(DANGER).navigation().method("POST");
        ask.header("sec-fetch-site", site)
    };
    let page = posted("same-origin").send().await;
    assert_eq!(page.status, 401);
    for said in [
        "Please sign in again",
        "was not delivered",
        "step_up=recent",
        "Signed in as",
    ] {
        assert!(page.body.contains(said), "{said}: {}", page.body);
    }
    assert!(page.header("www-authenticate").contains("max_age=\"900\""));
    // Signing in again would not help another site's page.
    assert_eq!(posted("cross-site").send().await.status, 403);
}

#[actix_web::test]
async fn a_frame_is_led_out_of_itself() {
    let app = spawn().await;
    let mut browser = Browser::new(&app);
    browser.navigate(VAULT).await;
    app.clock.advance(TOO_LONG);
    let frame = browser
        .ask(DANGER)
        .navigation()
        .header("sec-fetch-dest", "iframe");
    let login = frame.header("sec-fetch-site", "same-origin").send().await;
    let page = browser.open(login.location()).await;
    assert_eq!(page.status, 401);
    assert!(page.body.contains("sign in again") && page.body.contains("target=\"_blank\""));
    // The page's link works.
    let link = link_on(&page.body);
    browser.set_cookie(HOST, "__Host-portcullis-flow", flow_of(&login));
    let visit = browser.navigate(&link).await;
    assert_eq!(
        (visit.end.status.as_u16(), visit.logins(), visit.url()),
        (200, 1, DANGER)
    );
}

/// The flow cookie that an answer sets.
fn flow_of(answer: &crate::support::app::Answer) -> &str {
    let cookies = answer.headers.get_all("set-cookie").into_iter();
    let mut values = cookies.filter_map(|line| {
        let rest = line
            .to_str()
            .ok()?
            .strip_prefix("__Host-portcullis-flow=")?;
        rest.split(';').next()
    });
    values.next().expect("a flow cookie")
}

#[actix_web::test]
async fn tabs_that_step_up_at_once_all_arrive_and_one_serves_the_others() {
    let app = spawn().await;
    let mut browser = Browser::new(&app);
    browser.navigate(VAULT).await;
    app.clock.advance(TOO_LONG);
    let urls: Vec<String> = (0..3).map(|tab| format!("{DANGER}&tab={tab}")).collect();
    let mut on_their_way = Vec::new();
    for url in &urls {
        let login = browser.open(url).await;
        on_their_way.push(login.location().to_owned());
    }
    // Two get as far as the provider, and come back in another order.
    let mut callbacks = Vec::new();
    for login in &on_their_way[..2] {
        let provider = browser.open(login).await;
        callbacks.push(
            browser
                .open(provider.location())
                .await
                .location()
                .to_owned(),
        );
    }
    for (url, callback) in urls.iter().zip(&callbacks).rev() {
        let visit = browser.navigate(callback).await;
        assert_eq!(
            (visit.end.status.as_u16(), visit.url()),
            (200, url.as_str())
        );
    }
    // The third finds it done.
    let visit = browser.navigate(&on_their_way[2]).await;
    assert_eq!(
        (visit.end.status.as_u16(), visit.url(), visit.logins()),
        (200, urls[2].as_str(), 0)
    );
    assert_eq!(app.issuer.requests(Endpoint::Token), 3);
}

#[actix_web::test]
async fn other_apps_go_on_after_one_round_without_a_login() {
    let app = spawn().await;
    let mut browser = Browser::new(&app);
    browser.navigate(VAULT).await;
    browser.navigate(FILMS).await;
    app.clock.advance(TOO_LONG);
    assert_eq!(browser.navigate(DANGER).await.end.status, 200);
    let visit = browser.navigate(FILMS).await;
    assert_eq!(
        (visit.end.status.as_u16(), visit.logins(), visit.url()),
        (200, 0, FILMS)
    );
}

#[actix_web::test]
async fn hosts_that_share_a_cookie_need_no_ticket() {
    let app = spawn_app_with(|raw| {
        with_vault(raw);
        raw.session.cookie_domains = Some(owned(&["example.net"]));
    })
    .await;
    let mut browser = Browser::new(&app).sharing("example.net");
    browser.navigate(VAULT).await;
    app.clock.advance(TOO_LONG);
    let visit = browser.navigate(DANGER).await;
    assert_eq!(
        (visit.end.status.as_u16(), visit.logins(), visit.url()),
        (200, 1, DANGER)
    );
    assert_eq!(browser.navigate(FILMS).await.urls, [FILMS]);
}

#[actix_web::test]
async fn somebody_else_has_simply_signed_in_and_is_judged_anew() {
    let app = spawn().await;
    let mut browser = Browser::new(&app);
    browser.navigate(VAULT).await;
    app.clock.advance(TOO_LONG);
    app.issuer.sign_in_as("ben");
    let visit = browser.navigate(DANGER).await;
    assert_eq!((visit.end.status.as_u16(), visit.url()), (200, DANGER));
    assert_eq!(visit.end.header("remote-user"), "ben");
    // And where that is not enough for them either, it ends.
    app.issuer.behave(|issuer| issuer.methods = &["otp"]);
    app.issuer.sign_in_as("eve");
    app.clock.advance(TOO_LONG);
    assert_eq!(
        browser.navigate(DANGER).await.end.header("remote-user"),
        "eve"
    );
    app.issuer.sign_in_as("ada");
    browser.set_cookie(HOST, HOPS, "0");
    let visit = browser.navigate(KEYS).await;
    assert_eq!((visit.end.status.as_u16(), visit.logins()), (403, 2));
    assert!(visit.end.body.contains("auth_method"));
    let page = browser.navigate(VAULT).await.end;
    assert_eq!(page.header("remote-user"), "ada");
}

/// All that a foreign page can do with a link is what it can do with the app's own address.
#[actix_web::test]
async fn a_link_of_others_opens_nothing() {
    let app = spawn().await;
    let mut browser = Browser::new(&app);
    browser.navigate(VAULT).await;
    let login = |names: &str| format!("https://auth.example.net/login?rd={VAULT}&step_up={names}");
    // Nothing is to be done, or nothing of that name is known: on to the page.
    for names in [
        "recent",
        "nonsense",
        "authenticated+bypass",
        "",
        &"x".repeat(500),
        "%00+%ff",
    ] {
        let visit = browser.navigate(&login(names)).await;
        assert_eq!(
            (visit.end.status.as_u16(), visit.logins()),
            (200, 0),
            "{names}"
        );
        browser.set_cookie(PORTAL, BOUNCES, "");
    }
    app.clock.advance(TOO_LONG);
    // Taking it out of a link leaves nothing to take over, and the page asks again.
    let begun = browser.open(DANGER).await;
    let stripped = begun.location().replace("&step_up=recent", "");
    assert_ne!(stripped, begun.location());
    let onward = browser.open(&stripped).await;
    assert_eq!(onward.location(), DANGER, "no ticket");
    assert_eq!(browser.open(DANGER).await.status, 302);
    // At worst somebody signs in again.
    let visit = browser.navigate(&login("recent")).await;
    assert_eq!((visit.end.status.as_u16(), visit.logins()), (200, 1));
}

#[actix_web::test]
async fn a_step_up_that_the_provider_refuses_leaves_all_as_it_was() {
    let app = spawn().await;
    let mut browser = Browser::new(&app);
    browser.navigate(VAULT).await;
    app.clock.advance(TOO_LONG);
    app.issuer
        .behave(|issuer| issuer.refuse_login = Some("unmet_authentication_requirements"));
    let visit = browser.navigate(DANGER).await;
    assert_eq!(visit.end.status, 403);
    assert!(visit.end.body.contains("unmet_authentication_requirements"));
    assert!(visit.end.body.contains("step_up=recent"), "to try again");
    assert_eq!(browser.navigate(VAULT).await.urls, [VAULT]);
}

#[actix_web::test]
async fn a_step_up_that_ends_after_a_logout_begins_a_session_of_its_own() {
    let app = spawn().await;
    let mut browser = Browser::new(&app);
    browser.navigate(VAULT).await;
    app.clock.advance(TOO_LONG);
    let login = browser.open(DANGER).await;
    let provider = browser.open(login.location()).await;
    let callback = browser
        .open(provider.location())
        .await
        .location()
        .to_owned();
    browser.post("/logout", "same-origin").await;
    let visit = browser.navigate(&callback).await;
    assert_eq!((visit.end.status.as_u16(), visit.url()), (200, DANGER));
}

#[actix_web::test]
async fn the_front_page_shows_apps_that_ask_for_a_sign_in_again() {
    let app = spawn_app_with(|raw| {
        with_vault(raw);
        raw.services.get_mut("vault").expect("the vault").policy = Some("both".into());
    })
    .await;
    let mut browser = Browser::new(&app);
    browser.navigate(FILMS).await;
    app.clock.advance(TOO_LONG);
    let front = app
        .portal(Method::GET, "/")
        .header("cookie", browser.cookie_header(PORTAL));
    assert!(
        answer(front)
            .await
            .body
            .contains("https://vault.example.net/")
    );
}

/// The attempt's cookie holds the address and the names of the policies.
#[actix_web::test]
async fn the_longest_address_and_the_longest_names_fit_their_cookie() {
    let names = ["a", "b", "c"].map(|letter| letter.repeat(99));
    let app = spawn_app_with(|raw| {
        with_vault(raw);
        for name in &names {
            let policy = raw.policies["recent"].clone();
            raw.policies.insert(name.clone(), policy);
        }
        let vault = raw.services.get_mut("vault").expect("the vault");
        vault.policy = Some(names[0].clone());
        for (rule, name) in vault.rules.iter_mut().zip(&names[1..]) {
            rule.paths = Some(owned(&["/*"]));
            rule.policy = Some(name.clone());
        }
    })
    .await;
    let mut browser = Browser::new(&app);
    browser.navigate(FILMS).await;
    app.clock.advance(TOO_LONG);
    // Not plain, so every policy has to allow.
    let url = format!("{VAULT}/x?q={}", "x".repeat(1_980 - VAULT.len()));
    let visit = browser.navigate(&url).await;
    assert_eq!(
        (visit.end.status.as_u16(), visit.url(), visit.logins()),
        (200, url.as_str(), 1)
    );
    let named = |url: &String| url.contains("&step_up=") && url.contains(&names[0]);
    assert!(visit.urls.iter().any(named));
}

/// A renewal is no sign-in, whatever the provider says of one then.
#[actix_web::test]
async fn a_renewal_makes_a_sign_in_neither_newer_nor_another() {
    let app = refresh::spawn(with_vault).await;
    app.issuer.behave(|issuer| issuer.methods = &["otp"]);
    let ada = Person::sign_in(&app, VAULT).await;
    app.clock.advance(LAPSED);
    let now = app.clock.now().seconds();
    app.issuer.behave(|issuer| {
        issuer.edit_claims = Box::new(move |claims| {
            claims["auth_time"] = now.into();
            claims["amr"] = json!(["phr"]);
        });
    });
    assert_eq!(ada.asks(&app, VAULT).await.status, 200);
    assert_eq!(app.issuer.renewals(), 1);
    for (url, reason) in [(DANGER, "auth_too_old"), (KEYS, "auth_method")] {
        let refused = ada.browser.ask(url).fetch().send().await;
        assert_eq!(
            (refused.status.as_u16(), &*refused.reason()),
            (401, reason),
            "{url}"
        );
    }
    assert_eq!(app.issuer.renewals(), 1);
}

/// Which policies there are, and what they ask for, is told to nobody who is not signed in.
#[actix_web::test]
async fn a_stranger_s_link_asks_the_provider_for_nothing() {
    let app = spawn().await;
    for names in ["recent", "passkey", "both", "nonsense"] {
        let rd = "rd=https%3A%2F%2Fvault.example.net%2F";
        let link = format!("https://auth.example.net/login?{rd}&step_up={names}");
        let mut stranger = Browser::new(&app);
        let begun = stranger.open(&link).await;
        for asked in ["max_age=", "prompt=", "acr_values="] {
            assert!(!begun.location().contains(asked), "{names}: {begun:?}");
        }
        // It signs in all the same, and what needs more asks for it then.
        assert_eq!(stranger.navigate(begun.location()).await.url(), VAULT);
    }
    // A session that has ended is nobody's.
    let mut browser = Browser::new(&app);
    browser.navigate(VAULT).await;
    let sso = browser.cookie(PORTAL, SSO).map(str::to_owned);
    browser.post("/logout", "same-origin").await;
    browser.set_cookie(PORTAL, SSO, &sso.expect("a session"));
    let link = "https://auth.example.net/login?step_up=recent";
    assert!(!browser.open(link).await.location().contains("max_age="));
}

/// The link of the page that says so comes back to what was asked for.
#[actix_web::test]
async fn whoever_tries_again_comes_back_to_the_page_that_they_opened() {
    let app = spawn().await;
    let mut browser = Browser::new(&app);
    browser.navigate(VAULT).await;
    app.issuer.behave(|issuer| issuer.asks_again = false);
    app.clock.advance(TOO_LONG);
    browser.navigate(DANGER).await;
    let page = browser.navigate(DANGER).await.end;
    assert_eq!(page.status, 403);
    app.issuer.behave(|issuer| issuer.asks_again = true);
    let visit = browser.navigate(&link_on(&page.body)).await;
    assert_eq!((visit.end.status.as_u16(), visit.url()), (200, DANGER));
}

/// The first link on a page.
fn link_on(page: &str) -> String {
    let link = page.split("href=\"").nth(1);
    let link = link.and_then(|rest| rest.split('"').next());
    let link = link.expect("a link");
    link.replace("&amp;", "&").replace("&#38;", "&")
}

/// Pages of several policies, one right after the other, are no loop.
#[actix_web::test]
async fn several_step_ups_right_after_a_sign_in_are_no_loop() {
    let app = spawn().await;
    let mut browser = Browser::new(&app);
    app.issuer.behave(|issuer| issuer.methods = &["otp"]);
    browser.navigate(VAULT).await;
    app.clock.advance(TOO_LONG);
    assert_eq!(browser.navigate(DANGER).await.end.status, 200);
    app.issuer.behave(|issuer| issuer.methods = &["hwk"]);
    assert_eq!(browser.navigate(KEYS).await.end.status, 200);
    app.issuer.behave(|issuer| issuer.methods = &["phr"]);
    let visit = browser.navigate(BOTH).await;
    assert_eq!((visit.end.status.as_u16(), visit.url()), (200, BOTH));
    // But there is an end to them as well.
    browser.set_cookie(HOST, HOPS, "6");
    app.clock.advance(TOO_LONG);
    let stopped = browser.navigate(DANGER).await;
    assert_eq!((stopped.end.status.as_u16(), stopped.logins()), (403, 0));
    assert!(
        stopped.end.body.contains("goes round in circles"),
        "{stopped:?}"
    );
}
