//! Cookies that a neighbour set, that pile up, or that were taken from elsewhere.

use reqwest::Method;

use crate::support::app::{TestApp, answer, owned, spawn_app, spawn_app_with};
use crate::support::browser::Browser;

const FILMS: &str = "https://films.example.net/";
const NOTES: &str = "https://notes.example.net/";
const LAB: &str = "https://a.lab.example.org/";
const PORTAL: &str = "auth.example.net";
const SESSION: &str = "__Host-portcullis";
const SSO: &str = "__Host-portcullis-sso";

async fn signed_in<'a>(app: &'a TestApp, user: &str) -> Browser<'a> {
    app.issuer.sign_in_as(user);
    let mut browser = Browser::new(app);
    for url in [FILMS, LAB] {
        assert_eq!(browser.navigate(url).await.end.status, 200, "{user}");
    }
    browser
}

/// Who the app is told of when these lines of cookies come; nothing for a refusal.
async fn told(app: &TestApp, url: &str, lines: &[&str]) -> Vec<String> {
    let ask = lines.iter().fold(app.ask(url).fetch(), |ask, line| {
        ask.another("cookie", line.as_bytes())
    });
    let answer = ask.send().await;
    if answer.status == 401 {
        return Vec::new();
    }
    assert_eq!(answer.status, 200, "{lines:?}");
    ["remote-user", "remote-email"]
        .map(|name| answer.header(name).to_owned())
        .into()
}

/// A page of a neighbour can set more cookies of a name, for a longer path or the whole domain; browsers send them all.
#[actix_web::test]
async fn of_several_cookies_of_one_name_one_counts_and_only_if_it_opens() {
    let app = spawn_app().await;
    let (ada, ben) = (signed_in(&app, "ada").await, signed_in(&app, "ben").await);
    let pair = |browser: &Browser<'_>, host: &str| {
        format!(
            "{SESSION}={}",
            browser.cookie(host, SESSION).expect("a cookie")
        )
    };
    let films = "films.example.net";
    let (hers, his) = (pair(&ada, films), pair(&ben, films));
    let elsewhere = pair(&ben, "a.lab.example.org");
    let forged = format!("{SESSION}={}", "A".repeat(86));
    let cut = &his[..his.len() - 1];
    let many = |count: usize| vec![forged.as_str(); count].join("; ");
    let join = |pairs: &[&str]| pairs.join("; ");
    let cases = [
        (join(&[&forged, &hers]), "ada"),
        (join(&[&hers, &forged]), "ada"),
        (join(&[&elsewhere, &hers]), "ada"),
        (join(&[cut, &format!("{his}x"), &hers]), "ada"),
        (join(&[&format!("{SESSION}="), SESSION, &hers]), "ada"),
        (join(&[&format!("\"{his}\""), &hers]), "ada"),
        // Both are real: the first one, whole.
        (join(&[&hers, &his]), "ada"),
        (join(&[&his, &hers]), "ben"),
        (join(&[&many(7), &hers]), "ada"),
        // The work is bounded, and what lies beyond is nobody.
        (join(&[&many(8), &hers]), ""),
        (join(&[&many(300), &hers]), ""),
        (join(&[&forged, &elsewhere, cut]), ""),
    ];
    for (line, expected) in cases {
        let found = told(&app, FILMS, &[&line]).await;
        let expected: Vec<String> = match expected {
            "" => Vec::new(),
            user => vec![user.into(), format!("{user}@example.net")],
        };
        assert_eq!(found, expected, "{line}");
    }
    let two_lines = told(&app, FILMS, &[&forged, &his]).await;
    assert_eq!(two_lines, ["ben", "ben@example.net"]);
    // The portal does the same.
    let sso =
        |browser: &Browser<'_>| format!("{SSO}={}", browser.cookie(PORTAL, SSO).expect("a cookie"));
    let forged = format!("{SSO}={}", "A".repeat(86));
    for (line, expected) in [
        (join(&[&forged, &sso(&ada)]), "ada"),
        (join(&[&sso(&ben), &sso(&ada)]), "ben"),
        (join(&[&forged, &hers]), ""),
    ] {
        let request = app.portal(Method::GET, "/whoami").header("cookie", &line);
        let whoami = answer(request).await.json();
        assert_eq!(
            whoami["username"].as_str().unwrap_or_default(),
            expected,
            "{line}"
        );
    }
}

/// The record of a login on its way is no session, and neither is anything else of it.
#[actix_web::test]
async fn a_login_on_its_way_is_nobody() {
    let app = spawn_app().await;
    let mut browser = Browser::new(&app);
    let login = browser.open(FILMS).await;
    let provider = browser.open(login.location()).await;
    let mut values = Vec::new();
    for host in [PORTAL, "films.example.net"] {
        for name in browser.cookie_names(host) {
            values.push(browser.cookie(host, name).expect("a cookie").to_owned());
        }
    }
    assert_eq!(values.len(), 2, "the attempt, and the flow");
    let state = url::Url::parse(provider.location()).expect("a URL");
    let state = state.query_pairs().find(|(name, _)| name == "state");
    values.push(state.expect("a state").1.into_owned());
    for value in &values {
        for url in [FILMS, NOTES] {
            let line = format!("{SESSION}={value}");
            assert!(told(&app, url, &[&line]).await.is_empty(), "{value}");
        }
        let request = app.portal(Method::GET, "/whoami");
        let whoami = answer(request.header("cookie", format!("{SSO}={value}"))).await;
        assert_eq!(whoami.status, 401, "{value}");
    }
    // Nor does a ticket in the place of a cookie say who somebody is.
    let callback = browser.open(provider.location()).await;
    let enter = browser.open(callback.location()).await;
    let (_, ticket) = enter.location().split_once("ticket=").expect("a ticket");
    let line = format!("{SESSION}={ticket}");
    assert!(told(&app, FILMS, &[&line]).await.is_empty());
}

/// An attempt's cookie that a neighbour set beside the real one does not take its place.
#[actix_web::test]
async fn a_forged_attempt_does_not_hide_the_real_one() {
    let app = spawn_app().await;
    let mut browser = Browser::new(&app);
    let login = browser.open(FILMS).await;
    let provider = browser.open(login.location()).await;
    let callback = browser.open(provider.location()).await;
    let callback = url::Url::parse(callback.location()).expect("a URL");
    let path = &callback[url::Position::BeforePath..url::Position::AfterQuery];
    let real = browser.cookie_header(PORTAL);
    let (name, value) = real.split_once('=').expect("a cookie");
    let forged = format!("{name}=forged; {name}={}", "A".repeat(value.len()));
    let request = app.portal(Method::GET, path);
    let end = answer(request.header("cookie", format!("{forged}; {real}"))).await;
    assert_eq!(end.status, 302, "{}", end.body);
    assert!(
        end.location().contains("/.portcullis/enter?ticket="),
        "{}",
        end.location()
    );
}

/// A session that somebody else planted in the browser, while its owner is signing in, is not the one that they get.
#[actix_web::test]
async fn a_planted_session_is_not_signed_in_to() {
    let app = spawn_app().await;
    let mut victim = Browser::new(&app);
    let login = victim.open(FILMS).await;
    app.issuer.sign_in_as("ada");
    let provider = victim.open(login.location()).await;
    let callback = victim.open(provider.location()).await;
    // It is newer than this login, as that of another tab would be.
    app.clock.advance(std::time::Duration::from_secs(1));
    app.issuer.sign_in_as("eve");
    let mut eve = Browser::new(&app);
    assert_eq!(eve.navigate(LAB).await.end.status, 200);
    let planted = eve.cookie(PORTAL, SSO).expect("a cookie").to_owned();
    victim.set_cookie(PORTAL, SSO, &planted);
    let visit = victim.navigate(callback.location()).await;
    let found = (visit.end.status.as_u16(), visit.end.header("remote-user"));
    assert_eq!(found, (200, "ada"), "{visit:?}");
    assert_ne!(victim.cookie(PORTAL, SSO), Some(planted.as_str()));
    // Whoever planted it holds nothing any more.
    let line = eve.cookie_header("a.lab.example.org");
    assert!(told(&app, LAB, &[&line]).await.is_empty());
    let whoami = app.portal(Method::GET, "/whoami");
    let whoami = answer(whoami.header("cookie", format!("{SSO}={planted}"))).await;
    assert_eq!(whoami.status, 401);
}

/// Where hosts share a cookie, each still judges by its own policy.
#[actix_web::test]
async fn a_shared_cookie_is_judged_anew_at_each_host() {
    let app = spawn_app_with(|raw| {
        raw.session.cookie_domains = Some(owned(&["example.net"]));
    })
    .await;
    app.issuer.sign_in_as("ben");
    let mut ben = Browser::new(&app).sharing("example.net");
    for _ in 0..3 {
        assert_eq!(ben.navigate(FILMS).await.end.status, 200);
        let refused = ben.navigate(NOTES).await;
        assert_eq!((refused.end.status.as_u16(), refused.url()), (403, NOTES));
    }
}
