//! `/metrics`: one decision counts once and as what it was, logins by how they ended, the store by how it does; in
//! two formats, on the listener for it alone, and without a word from outside.

#![allow(clippy::float_cmp, reason = "counts are whole, and small")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use portcullis::config::RawConfig;
use reqwest::Method;

use crate::redis::Shared;
use crate::refresh::{self, LAPSED, Person};
use crate::step_up::asks_for_more;
use crate::support::app::{Answer, Ask, TestApp, answer, spawn_app, spawn_app_with};
use crate::support::browser::Browser;
use crate::support::exposition::{Format, Labels, Scrape, labels};
use crate::support::issuer::{self, Behaviour, Endpoint};

const FILMS: &str = "https://films.example.net/";
const NOTES: &str = "https://notes.example.net/";

/// As Prometheus 3 asks.
const ACCEPT: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                      application/openmetrics-text;version=0.0.1;q=0.4,\
                      text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";

async fn scrape(app: &TestApp) -> Scrape {
    let request = app.admin(Method::GET, "/metrics");
    let told = answer(request.header("accept", ACCEPT)).await;
    assert_eq!(told.status, 200, "{told:?}");
    Scrape::parse(&told.body, Format::OpenMetrics)
}

async fn value(app: &TestApp, name: &str, wanted: &[(&str, &str)]) -> f64 {
    scrape(app).await.value(name, wanted).unwrap_or_default()
}

/// What has risen between two answers, by how much, of the metrics of this name.
fn risen(name: &str, before: &Scrape, after: &Scrape) -> BTreeMap<Labels, f64> {
    let before = before.samples();
    let rise = |(series, value): ((String, Labels), f64)| {
        let rise = value - before.get(&series).copied().unwrap_or_default();
        (series.0 == name && rise > 0.0).then_some((series.1, rise))
    };
    after.samples().into_iter().filter_map(rise).collect()
}

/// Asks, and holds against `expected` what it is counted as: service, outcome and reason.
async fn counts_as(
    app: &TestApp,
    what: &str,
    ask: Ask<'_>,
    expected: (&str, &str, &str),
) -> Answer {
    let before = scrape(app).await;
    let answer = ask.send().await;
    let after = scrape(app).await;
    let (service, outcome, reason) = expected;
    let expected = labels(&[
        ("service", service),
        ("outcome", outcome),
        ("reason", reason),
    ]);
    let decisions = risen("portcullis_decisions_total", &before, &after);
    assert_eq!(decisions, BTreeMap::from([(expected, 1.0)]), "{what}");
    let durations = risen(
        "portcullis_decision_duration_seconds_count",
        &before,
        &after,
    );
    assert_eq!(durations, BTreeMap::from([(Labels::new(), 1.0)]), "{what}");
    answer
}

#[actix_web::test]
async fn one_decision_counts_once_and_as_what_it_was() {
    let app = spawn_app().await;
    let mut ada = Browser::new(&app);
    ada.navigate(FILMS).await;
    app.issuer.sign_in_as("ben");
    let mut ben = Browser::new(&app);
    ben.navigate(FILMS).await;
    ben.navigate(NOTES).await;
    let logout = "https://films.example.net/.portcullis/logout";
    let enter = "https://films.example.net/.portcullis/enter?ticket=none";
    #[rustfmt::skip]
    let cases = [
        ("a bypass",          app.ask("https://films.example.net/ping").fetch(), ("films", "allow", "bypassed_by_rule")),
        ("a member",          ada.ask(FILMS).fetch(),                   ("films", "allow",     "member")),
        ("an open page",      app.ask("https://films.example.net/open/").fetch(), ("films", "allow", "optional")),
        ("a stranger",        app.ask(FILMS).fetch(),                   ("films", "challenge", "not_signed_in")),
        ("a stranger's page", app.ask(FILMS).navigation(),              ("films", "challenge", "not_signed_in")),
        ("an outsider",       ben.ask(NOTES).fetch(),                   ("notes", "deny",      "not_a_member")),
        ("a forged write",    ada.ask(FILMS).method("POST").header("sec-fetch-site", "cross-site"), ("films", "deny", "cross_site")),
        ("a wildcard",        app.ask("https://a.b.lab.example.org/").fetch(), ("lab", "challenge", "not_signed_in")),
        ("an unknown host",   app.ask("https://x.example.com/").fetch(), ("none", "deny",      "unknown_host")),
        ("the portal's host", app.ask("https://auth.example.net/").fetch(), ("none", "deny",   "own_host")),
        ("another policy",    ada.ask(FILMS).fetch().at("/verify/policy/deny"), ("films", "deny", "closed")),
        ("an unknown policy", ada.ask(FILMS).fetch().at("/verify/policy/none"), ("films", "deny", "unknown_policy")),
        ("plain http",        app.ask("http://films.example.net/").navigation(), ("films", "deny", "insecure_scheme")),
        ("a bad ticket",      ada.ask(enter).navigation(),              ("films", "redirect",  "enter")),
        ("a ticket alone",    app.ask(enter).navigation(),              ("films", "challenge", "not_signed_in")),
        ("below our paths",   app.ask("https://films.example.net/.portcullis/x"), ("films", "deny", "reserved_path")),
        ("no host",           app.ask(FILMS).without("x-forwarded-host"), ("none", "deny",     "malformed_request")),
        ("no such address",   app.ask(FILMS).at("/auth"),               ("none", "deny",       "no_such_question")),
        ("a sign-out",        ada.ask(logout).navigation(),             ("films", "redirect",  "logout")),
        ("after it",          ada.ask(FILMS).fetch(),                   ("films", "challenge", "not_signed_in")),
    ];
    for (what, ask, expected) in cases {
        counts_as(&app, what, ask, expected).await;
    }
}

#[actix_web::test]
async fn a_peer_that_is_not_trusted_is_counted() {
    let app = spawn_app_with(|raw: &mut RawConfig| {
        raw.server.trusted_proxies = Some(vec!["192.0.2.1/32".into()]);
    })
    .await;
    let expected = ("none", "deny", "untrusted_peer");
    for path in ["/verify", "/elsewhere"] {
        let ask = app.ask(FILMS).at(path);
        let answer = counts_as(&app, path, ask, expected).await;
        assert_eq!(answer.status, 403);
    }
}

#[actix_web::test]
async fn logins_are_counted_by_how_they_end_and_logouts_too() {
    let app = spawn_app().await;
    let logins = |result: &'static str| {
        let app = &app;
        async move { value(app, "portcullis_logins_total", &[("result", result)]).await }
    };
    let mut browser = Browser::new(&app);
    browser.navigate(FILMS).await;
    assert_eq!(logins("success").await, 1.0);
    // From one host to the next is no login.
    browser.navigate(NOTES).await;
    assert_eq!(logins("success").await, 1.0);
    // What the provider says is no label unless the specifications know it.
    for (said, counted) in [
        ("access_denied", "access_denied"),
        ("made_up_by_somebody", "unknown_error"),
        ("made_up_by_another", "unknown_error"),
        ("\"}\\evil", "unknown_error"),
    ] {
        let before = logins(counted).await;
        app.issuer.behave(|now| now.refuse_login = Some(said));
        let mut refused = Browser::new(&app);
        assert_eq!(refused.navigate(FILMS).await.end.status, 403, "{said}");
        assert_eq!(logins(counted).await, before + 1.0, "{said}");
    }
    app.issuer.behave(|now| now.refuse_login = None);
    app.issuer.behave(|now| {
        now.edit_claims = Box::new(|claims| claims["aud"] = "another".into());
    });
    let mut deceived = Browser::new(&app);
    assert_eq!(deceived.navigate(FILMS).await.end.status, 403);
    assert_eq!(logins("id_token_aud").await, 1.0);
    app.issuer.behave(|now| *now = Behaviour::default());
    let stray = app.portal(Method::GET, "/callback?state=x&code=y");
    assert_eq!(answer(stray).await.status, 400);
    assert_eq!(logins("unknown_attempt").await, 1.0);
    assert_eq!(logins("success").await, 1.0);

    let logouts = || value(&app, "portcullis_logouts_total", &[("how", "rp")]);
    assert_eq!(browser.post("/logout", "same-origin").await.status, 303);
    assert_eq!(logouts().await, 1.0);
    // Nobody is left to sign out.
    assert_eq!(browser.post("/logout", "same-origin").await.status, 303);
    assert_eq!(logouts().await, 1.0);
    browser.navigate(FILMS).await;
    browser
        .navigate("https://films.example.net/.portcullis/logout")
        .await;
    assert_eq!(logouts().await, 2.0);
}

/// A challenge says what is missing, and so does the denial after a sign-in that did not bring it.
#[actix_web::test]
async fn a_step_up_is_counted_as_what_is_missing() {
    let app = spawn_app_with(|raw| asks_for_more(raw, "notes", Duration::from_secs(900))).await;
    let mut browser = Browser::new(&app);
    browser.navigate(FILMS).await;
    browser.navigate(NOTES).await;
    app.issuer.behave(|issuer| issuer.asks_again = false);
    app.clock.advance(Duration::from_secs(961));
    for ask in [browser.ask(NOTES).fetch(), browser.ask(NOTES).navigation()] {
        let challenge = ("notes", "challenge", "auth_too_old");
        counts_as(&app, "too long ago", ask, challenge).await;
    }
    browser.navigate(NOTES).await;
    let in_vain = [("result", "auth_too_old")];
    let logins = value(&app, "portcullis_logins_total", &in_vain).await;
    assert_eq!(logins, 1.0);
    let denial = ("notes", "deny", "auth_too_old");
    counts_as(&app, "in vain", browser.ask(NOTES).fetch(), denial).await;
}

/// What the provider does, how the renewal ends then, and what the person gets.
type Renewal = (fn(&mut Behaviour), &'static str, u16);

#[actix_web::test]
async fn renewals_are_counted_by_how_they_end() {
    let app = refresh::spawn(|_| {}).await;
    let ada = Person::sign_in(&app, FILMS).await;
    let before = scrape(&app).await;
    let mut expected = BTreeMap::new();
    let rows: [Renewal; 3] = [
        (|_| {}, "renewed", 200),
        (
            |now| {
                let answer = issuer::Answer::Status(503);
                now.answers.insert(Endpoint::Refresh, answer);
            },
            "provider_unavailable",
            200,
        ),
        (
            |now| {
                now.answers.clear();
                now.refuse_refresh = Some("invalid_grant");
            },
            "grant_ended",
            401,
        ),
    ];
    for (behave, result, status) in rows {
        app.issuer.behave(behave);
        app.clock.advance(LAPSED);
        // After a failure it is tried beside the requests.
        refresh::until(result, async || ada.status(&app).await == status).await;
        expected.insert(labels(&[("result", result)]), 1.0);
        refresh::until(result, async || {
            risen("portcullis_refreshes_total", &before, &scrape(&app).await) == expected
        })
        .await;
    }
}

#[actix_web::test]
async fn whoever_comes_too_often_is_counted() {
    let app = spawn_app().await;
    let limited = [("endpoint", "login")];
    let mut refused = 0.0;
    while refused < 3.0 {
        let status = answer(app.portal(Method::GET, "/login")).await.status;
        refused += f64::from(u8::from(status == 429));
    }
    assert_eq!(
        value(&app, "portcullis_rate_limited_total", &limited).await,
        3.0
    );
}

#[actix_web::test]
async fn no_label_comes_from_outside() {
    let app = spawn_app().await;
    let mut browser = Browser::new(&app);
    browser.navigate(FILMS).await;
    let before = scrape(&app).await.samples().len();
    for n in 0..50 {
        let url = format!("https://marked{n}.example.com/marked?marked={n}");
        app.ask(&url).fetch().send().await;
        let url = format!("https://marked{n}.lab.example.org/marked{n}");
        app.ask(&url).method("MARKED").send().await;
        app.ask(FILMS)
            .header("x-forwarded-host", "mar ked")
            .send()
            .await;
        app.ask(FILMS)
            .at(&format!("/verify/policy/marked{n}"))
            .send()
            .await;
    }
    let request = app.admin(Method::GET, "/metrics");
    let told = answer(request.header("accept", ACCEPT)).await.body;
    for word in [
        "marked",
        "MARKED",
        "ada",
        "films.example.net",
        "127.0.0.1",
        "203.0.113.7",
    ] {
        assert!(!told.contains(word), "{word}: {told}");
    }
    let after = Scrape::parse(&told, Format::OpenMetrics).samples();
    assert!(after.len() <= before + 5, "{before}, then {}", after.len());
    let services = after.keys().filter_map(|(_, labels)| labels.get("service"));
    for service in services {
        let known = ["films", "notes", "lab", "wild", "none"];
        assert!(known.contains(&&**service), "{service}");
    }
}

#[actix_web::test]
async fn both_formats_are_whole_and_say_the_same() {
    let app = spawn_app().await;
    let mut browser = Browser::new(&app);
    browser.navigate(FILMS).await;
    app.ask("https://x.example.com/").fetch().send().await;
    let cases = [
        (
            None,
            "text/plain; version=0.0.4; charset=utf-8",
            Format::PlainText,
        ),
        (
            Some("*/*"),
            "text/plain; version=0.0.4; charset=utf-8",
            Format::PlainText,
        ),
        (
            Some("text/plain"),
            "text/plain; version=0.0.4; charset=utf-8",
            Format::PlainText,
        ),
        (
            Some(ACCEPT),
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::OpenMetrics,
        ),
    ];
    let mut series = Vec::new();
    for (accept, content_type, format) in cases {
        for method in [Method::GET, Method::HEAD] {
            let mut request = app.admin(method.clone(), "/metrics");
            if let Some(accept) = accept {
                request = request.header("accept", accept);
            }
            let told = answer(request).await;
            assert_eq!(told.status, 200, "{accept:?}");
            assert_eq!(told.header("content-type"), content_type);
            assert_eq!(told.header("cache-control"), "no-store");
            assert_eq!(told.header("x-content-type-options"), "nosniff");
            if method == Method::HEAD {
                assert_eq!(told.body, "");
                continue;
            }
            let scrape = Scrape::parse(&told.body, format);
            // What changes by being asked, and what there is not yet when first asked, aside.
            let names = scrape.samples().into_keys();
            series.push(
                names
                    .filter(|(_, labels)| labels.get("op").is_none_or(|op| op != "ping"))
                    .collect::<Vec<_>>(),
            );
        }
    }
    assert!(series.windows(2).all(|two| two[0] == two[1]), "{series:?}");
    let found = scrape(&app).await;
    let peers = [
        ("service", "none"),
        ("outcome", "deny"),
        ("reason", "untrusted_peer"),
    ];
    assert_eq!(found.value("portcullis_decisions_total", &peers), Some(0.0));
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    assert_eq!(found.value("portcullis_build_info", &version), Some(1.0));
    let started = found
        .value("process_start_time_seconds", &[])
        .expect("a time");
    assert!(started > 1.7e9, "{started}");
    for name in [
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_max_fds",
        "process_cpu_seconds_total",
    ] {
        assert!(
            found.value(name, &[]).is_some_and(|value| value > 0.0),
            "{name}"
        );
    }
}

#[actix_web::test]
async fn it_is_read_only_and_on_its_own_listener() {
    let app = spawn_app().await;
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let told = answer(app.admin(method.clone(), "/metrics")).await;
        assert_eq!(told.status, 404, "{method}");
    }
    for path in ["/metrics", "/metrics/", "//metrics"] {
        let told = answer(app.portal(Method::GET, path)).await;
        assert!(
            told.status == 404 && !told.body.contains("portcullis_"),
            "{path}"
        );
        let told = app.ask(FILMS).at(path).send().await;
        assert!(
            told.status == 404 && !told.body.contains("portcullis_"),
            "{path}"
        );
    }
}

/// What a scrape may take, on a machine that has other things to do too.
const PATIENCE: Duration = Duration::from_secs(8);

/// Until a scrape says `expected` of it.
async fn until(app: &TestApp, name: &str, expected: f64) {
    let begun = Instant::now();
    loop {
        let asked = Instant::now();
        let found = value(app, name, &[]).await;
        // It gives up on the store after 800 ms; whoever waits for as long as it hangs waits for ever.
        assert!(asked.elapsed() < PATIENCE, "{:?}", asked.elapsed());
        if found == expected {
            return;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{name} is {found}"
        );
    }
}

#[actix_web::test]
async fn the_store_is_told_to_be_down_and_its_errors_are_counted() {
    let mut shared = Shared::start();
    let app = spawn_app_with(|raw: &mut RawConfig| shared.configure(raw)).await;
    until(&app, "portcullis_store_up", 1.0).await;
    let mut browser = Browser::new(&app);
    browser.navigate(FILMS).await;
    // Nothing is kept of a session that has ended, so each request with its cookie reads.
    let cookie = browser.cookie_header("films.example.net");
    shared.redis.ask(&["FLUSHALL"]);
    let ask = || app.ask(FILMS).fetch().header("cookie", &cookie);
    crate::replicas::until("it is told", async || ask().send().await.status == 401).await;
    let before = scrape(&app).await;
    assert_eq!(ask().send().await.status, 401);
    let after = scrape(&app).await;
    let read = risen("portcullis_store_duration_seconds_count", &before, &after);
    let op = |op| labels(&[("op", op)]);
    // One by the request, and one by the scrape.
    assert_eq!(read, BTreeMap::from([(op("get"), 1.0), (op("ping"), 1.0)]));

    shared.redis.freeze();
    until(&app, "portcullis_store_up", 0.0).await;
    shared.redis.thaw();
    until(&app, "portcullis_store_up", 1.0).await;

    shared.redis.kill();
    until(&app, "portcullis_store_up", 0.0).await;
    let unread = [("op", "get"), ("error", "unreachable")];
    let before = value(&app, "portcullis_store_errors_total", &unread).await;
    let refused = counts_as(
        &app,
        "no store",
        ask(),
        ("films", "unavailable", "store_unavailable"),
    );
    assert_eq!(refused.await.status, 503);
    let after = value(&app, "portcullis_store_errors_total", &unread).await;
    assert_eq!(after, before + 1.0);
}

/// What is told of the sessions in memory: one that is known, one that has to be read, and word of an end.
#[actix_web::test]
async fn sessions_in_memory_are_counted() {
    let app = spawn_app().await;
    let mut browser = Browser::new(&app);
    browser.navigate(FILMS).await;
    let cookie = browser.cookie_header("films.example.net");
    let ask = async || {
        let asked = app.ask(FILMS).fetch().header("cookie", &cookie);
        asked.send().await.status.as_u16()
    };
    assert_eq!(ask().await, 200);
    let counted = async || {
        let found = scrape(&app).await;
        ["hits", "misses", "invalidations"].map(|what| {
            let name = format!("portcullis_session_cache_{what}_total");
            found
                .value(&name, &[])
                .expect("it is there from the beginning")
        })
    };
    let [hits, misses, invalidations] = counted().await;
    assert_eq!(ask().await, 200);
    assert_eq!(counted().await, [hits + 1.0, misses, invalidations]);
    // Whoever brings nothing is not looked for.
    assert_eq!(app.ask(FILMS).fetch().send().await.status, 401);
    assert_eq!(counted().await, [hits + 1.0, misses, invalidations]);
    let logout = "https://films.example.net/.portcullis/logout";
    assert_eq!(browser.ask(logout).navigation().send().await.status, 302);
    let [hits, misses, after] = counted().await;
    assert!(after > invalidations, "{after}");
    assert_eq!(ask().await, 401);
    assert_eq!(counted().await, [hits, misses + 1.0, after]);
}

#[actix_web::test]
async fn the_provider_is_told_to_be_down_and_a_login_that_cannot_begin_is_counted() {
    let app = spawn_app().await;
    until(&app, "portcullis_provider_up", 1.0).await;
    for endpoint in [Endpoint::Discovery, Endpoint::Token] {
        app.issuer.answer(endpoint, issuer::Answer::Status(503));
    }
    let failed = [("result", "provider_error")];
    // A login in progress finds out; the next one does not begin.
    let mut browser = Browser::new(&app);
    for count in [1.0, 2.0] {
        assert_eq!(browser.navigate(FILMS).await.end.status, 503);
        assert_eq!(value(&app, "portcullis_logins_total", &failed).await, count);
        until(&app, "portcullis_provider_up", 0.0).await;
    }
    app.issuer.behave(|now| now.answers.clear());
    until(&app, "portcullis_provider_up", 1.0).await;
}
