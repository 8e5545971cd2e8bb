//! From a stranger's request to a session on each host, and everything that can go wrong on the way.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};

use crate::support::app::{answer, spawn_app};
use crate::support::browser::Browser;
use crate::support::issuer::{Answer as Lie, Endpoint, ResponseIss};

const FILMS: &str = "https://films.example.net/";
const NOTES: &str = "https://notes.example.net/";
const LAB: &str = "https://a.lab.example.org/";
const PORTAL: &str = "auth.example.net";
const SESSION: &str = "__Host-portcullis";
const FLOW: &str = "__Host-portcullis-flow";
/// Gone by itself after ten seconds.
const HOPS: &str = "__Host-portcullis-hops";
const SSO: &str = "__Host-portcullis-sso";

#[actix_web::test]
async fn a_login_ends_where_it_began_byte_for_byte() {
    let app = spawn_app().await;
    let mut browser = Browser::new(&app);
    let url = "https://films.example.net/a/b%20c?x=1&y=%2F%3f+z&u=https://evil.example/&t=~!*()";
    let visit = browser.navigate(url).await;
    assert_eq!((visit.end.status.as_u16(), visit.url()), (200, url));
    assert_eq!(visit.logins(), 1);
    // The host's own cookie is there, and the flow's has served its time.
    assert_eq!(browser.cookie_names("films.example.net"), [SESSION, HOPS]);
    assert_eq!(browser.cookie_names(PORTAL), [SSO]);
}

#[actix_web::test]
async fn a_second_app_on_another_root_domain_needs_no_second_login() {
    let app = spawn_app().await;
    let mut browser = Browser::new(&app);
    assert_eq!(browser.navigate(FILMS).await.logins(), 1);
    for url in [NOTES, LAB] {
        let visit = browser.navigate(url).await;
        assert_eq!(
            (visit.end.status.as_u16(), visit.url(), visit.logins()),
            (200, url, 0)
        );
    }
    assert_eq!(app.issuer.requests(Endpoint::Token), 1);
}

#[actix_web::test]
async fn a_cookie_is_refused_on_every_other_host() {
    let app = spawn_app().await;
    let mut browser = Browser::new(&app);
    browser.navigate(FILMS).await;
    let films = browser
        .cookie("films.example.net", SESSION)
        .expect("a cookie")
        .to_owned();
    let sso = browser.cookie(PORTAL, SSO).expect("a cookie").to_owned();
    for (host, value) in [
        ("https://notes.example.net/", &films),
        ("https://a.lab.example.org/", &films),
        ("https://films.example.net/", &sso),
    ] {
        let ask = app
            .ask(host)
            .fetch()
            .header("cookie", &format!("{SESSION}={value}"));
        assert_eq!(ask.send().await.status, 401, "{host}");
    }
    for (name, value) in [(SSO, &films), (SESSION, &sso), (SESSION, &films)] {
        let request = app.portal(Method::GET, "/whoami");
        let answer = answer(request.header("cookie", format!("{name}={value}"))).await;
        assert_eq!(answer.status, 401, "{name}");
    }
}

#[actix_web::test]
async fn tabs_that_begin_at_once_all_arrive() {
    let app = spawn_app().await;
    let mut browser = Browser::new(&app);
    let urls: Vec<String> = (0..3).map(|tab| format!("{FILMS}tab?n={tab}")).collect();
    // Each tab gets as far as the provider before any of them goes on.
    let mut callbacks = Vec::new();
    for url in &urls {
        let login = browser.open(url).await;
        let provider = browser.open(login.location()).await;
        let callback = browser.open(provider.location()).await;
        callbacks.push(callback.location().to_owned());
    }
    // They come back in another order.
    for (url, callback) in urls.iter().zip(&callbacks).rev() {
        let visit = browser.navigate(callback).await;
        assert_eq!(
            (visit.end.status.as_u16(), visit.url()),
            (200, url.as_str())
        );
    }
}

#[actix_web::test]
async fn a_fourth_tab_takes_the_place_of_the_first() {
    let app = spawn_app().await;
    let mut browser = Browser::new(&app);
    let mut callbacks = Vec::new();
    for tab in 0..4 {
        let login = browser.open(&format!("{FILMS}{tab}")).await;
        let provider = browser.open(login.location()).await;
        callbacks.push(
            browser
                .open(provider.location())
                .await
                .location()
                .to_owned(),
        );
        app.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(browser.cookie_names(PORTAL).len(), 3);
    let first = browser.navigate(&callbacks[0]).await;
    assert_eq!(first.end.status, 400);
    assert!(first.end.body.contains("That sign-in is over"));
    let last = browser.navigate(&callbacks[3]).await;
    assert_eq!(last.end.status, 200);
}

#[actix_web::test]
async fn a_callback_works_once_and_in_one_browser() {
    let app = spawn_app().await;
    let mut browser = Browser::new(&app);
    let login = browser.open(FILMS).await;
    let provider = browser.open(login.location()).await;
    let callback = browser
        .open(provider.location())
        .await
        .location()
        .to_owned();
    let other = Browser::new(&app).navigate(&callback).await;
    assert_eq!(other.end.status, 400);
    assert_eq!(app.issuer.requests(Endpoint::Token), 0);
    assert_eq!(browser.navigate(&callback).await.end.status, 200);
    // Again, by the back button: signed in already, so on to where they wanted to go.
    let again = browser.navigate(&callback).await;
    assert_eq!((again.end.status.as_u16(), again.url()), (200, FILMS));
    assert_eq!(app.issuer.requests(Endpoint::Token), 1);
}

#[actix_web::test]
async fn an_attempt_is_over_after_ten_minutes() {
    let app = spawn_app().await;
    let mut browser = Browser::new(&app);
    let login = browser.open(FILMS).await;
    let provider = browser.open(login.location()).await;
    let callback = browser
        .open(provider.location())
        .await
        .location()
        .to_owned();
    app.clock.advance(Duration::from_secs(600));
    assert_eq!(browser.navigate(&callback).await.end.status, 400);
}

#[actix_web::test]
async fn every_login_gets_a_new_session_and_ends_the_old_one() {
    let app = spawn_app().await;
    let mut browser = Browser::new(&app);
    browser.navigate(FILMS).await;
    let old = browser
        .cookie("films.example.net", SESSION)
        .expect("a cookie")
        .to_owned();
    let old_sso = browser.cookie(PORTAL, SSO).expect("a cookie").to_owned();
    // Somebody begins a second login while the first one lives.
    app.clock.advance(Duration::from_secs(1));
    browser.set_cookie(PORTAL, SSO, "lost");
    let login = browser.open("https://auth.example.net/login").await;
    let callback = browser.open(login.location()).await.location().to_owned();
    browser.set_cookie(PORTAL, SSO, &old_sso);
    browser.navigate(&callback).await;
    assert_ne!(browser.cookie(PORTAL, SSO), Some(old_sso.as_str()));
    let ask = app
        .ask(FILMS)
        .fetch()
        .header("cookie", &format!("{SESSION}={old}"));
    assert_eq!(ask.send().await.status, 401);
}

/// The ticket's redirect of a login that began at `films`.
async fn ticket(browser: &mut Browser<'_>) -> String {
    let login = browser.open(&format!("{FILMS}x?y=z")).await;
    let provider = browser.open(login.location()).await;
    let callback = browser.open(provider.location()).await;
    let enter = browser.open(callback.location()).await;
    assert!(
        enter
            .location()
            .starts_with("https://films.example.net/.portcullis/enter?ticket=")
    );
    enter.location().to_owned()
}

#[actix_web::test]
async fn a_ticket_is_for_the_browser_that_asked() {
    let app = spawn_app().await;
    let mut browser = Browser::new(&app);
    let enter = ticket(&mut browser).await;
    // Somebody else follows the link: no session, but a login of their own.
    let mut thief = Browser::new(&app);
    let stolen = thief.open(&enter).await;
    assert_eq!(stolen.status, 302);
    assert!(
        stolen
            .location()
            .starts_with("https://auth.example.net/login?")
    );
    assert_eq!(thief.cookie("films.example.net", SESSION), None);
    // Whoever is signed in keeps their own session.
    app.issuer.sign_in_as("ben");
    let mut ben = Browser::new(&app);
    ben.navigate(FILMS).await;
    let mine = ben.cookie("films.example.net", SESSION).map(str::to_owned);
    let visit = ben.navigate(&enter).await;
    assert_eq!(
        (visit.end.status.as_u16(), visit.end.header("remote-user")),
        (200, "ben")
    );
    assert_eq!(
        ben.cookie("films.example.net", SESSION).map(str::to_owned),
        mine
    );
    // It still works where it belongs, once.
    let visit = browser.navigate(&enter).await;
    assert_eq!(
        (visit.end.status.as_u16(), visit.url()),
        (200, "https://films.example.net/x?y=z")
    );
    browser.set_cookie("films.example.net", SESSION, "lost");
    let again = browser.open(&enter).await;
    assert!(
        again
            .location()
            .starts_with("https://auth.example.net/login?"),
        "{again:?}"
    );
}

#[actix_web::test]
async fn a_ticket_is_good_for_a_minute_and_no_longer_than_its_session() {
    let app = spawn_app().await;
    let mut browser = Browser::new(&app);
    let enter = ticket(&mut browser).await;
    app.clock.advance(Duration::from_secs(60));
    let late = browser.open(&enter).await;
    assert!(
        late.location()
            .starts_with("https://auth.example.net/login?"),
        "{late:?}"
    );
    assert_eq!(browser.cookie("films.example.net", SESSION), None);
    // It says where to go, so one more hop arrives.
    let visit = browser.navigate(&enter).await;
    assert_eq!(
        (visit.end.status.as_u16(), visit.url()),
        (200, "https://films.example.net/x?y=z")
    );

    let mut browser = Browser::new(&app);
    let enter = ticket(&mut browser).await;
    browser.post("/logout", "same-origin").await;
    let dead = browser.open(&enter).await;
    assert!(
        dead.location()
            .starts_with("https://auth.example.net/login?"),
        "{dead:?}"
    );
}

#[actix_web::test]
async fn a_ticket_is_not_used_up_by_a_guess_nor_taken_from_a_form() {
    let app = spawn_app().await;
    let mut browser = Browser::new(&app);
    let enter = ticket(&mut browser).await;
    let guess = browser
        .ask(&enter)
        .navigation()
        .header("sec-purpose", "prefetch")
        .send()
        .await;
    let form = browser.ask(&enter).navigation().method("POST").send().await;
    for answer in [guess, form] {
        assert_eq!(
            (answer.status.as_u16(), answer.location()),
            (302, "https://films.example.net/x?y=z")
        );
        assert!(!answer.headers.contains_key("set-cookie"));
    }
    assert_eq!(browser.navigate(&enter).await.end.status, 200);
}

#[actix_web::test]
async fn a_ticket_opens_on_its_own_host_only() {
    let app = spawn_app().await;
    let mut browser = Browser::new(&app);
    let enter = ticket(&mut browser).await;
    let foreign = enter.replace("films.example.net", "notes.example.net");
    let flow = browser
        .cookie("films.example.net", FLOW)
        .expect("a flow")
        .to_owned();
    browser.set_cookie("notes.example.net", FLOW, &flow);
    let answer = browser.open(&foreign).await;
    assert!(
        answer
            .location()
            .starts_with("https://auth.example.net/login?")
    );
    assert_eq!(browser.cookie("notes.example.net", SESSION), None);
}

#[actix_web::test]
async fn a_browser_without_cookies_ends_at_a_page() {
    let app = spawn_app().await;
    // No cookie of the app stays: the chain of tickets is counted.
    let mut browser = Browser::new(&app).forgetting("films.example.net");
    let visit = browser.navigate(FILMS).await;
    assert_eq!(visit.end.status, 403);
    assert!(
        visit.end.body.contains("films.example.net"),
        "{}",
        visit.end.body
    );
    assert!(visit.end.body.contains("round in circles") && visit.end.body.contains("cookies"));
    assert!(visit.urls.len() < 16, "{:?}", visit.urls);
    assert_eq!(visit.logins(), 1);
    // No cookie of the portal stays: the callback has nothing to go by.
    let mut browser = Browser::new(&app).forgetting(PORTAL);
    let visit = browser.navigate(FILMS).await;
    assert_eq!(visit.end.status, 400);
    assert!(visit.end.body.contains("keeps no cookies"));
}

#[actix_web::test]
async fn a_link_that_the_portal_does_not_accept_cannot_loop_either() {
    let app = spawn_app().await;
    let mut browser = Browser::new(&app);
    browser.navigate(FILMS).await;
    // Two replicas with different secrets: the host's links are never ours.
    let link = "/login?rd=https%3A%2F%2Ffilms.example.net%2F&f=not-ours";
    let mut sent_on = 0;
    loop {
        let answer = browser.open(&format!("https://{PORTAL}{link}")).await;
        if answer.status != StatusCode::FOUND {
            assert_eq!(answer.status, 403);
            assert!(answer.body.contains("session secret"));
            break;
        }
        assert_eq!(answer.location(), FILMS);
        sent_on += 1;
        assert!(sent_on < 5);
    }
    assert_eq!(sent_on, 3);
}

#[actix_web::test]
#[rustfmt::skip] // the columns are the point
async fn addresses_to_return_to_are_our_own_or_none() {
    let app = spawn_app().await;
    let mut browser = Browser::new(&app);
    browser.navigate(FILMS).await;
    let cases = [
        ("https://films.example.net/x?y",           "https://films.example.net/x?y"),
        ("https://evil.example/",                   "https://auth.example.net/"),
        ("//evil.example/",                         "https://auth.example.net/"),
        ("https://films.example.net@evil.example/", "https://auth.example.net/"),
        ("https:\\\\evil.example\\",                "https://auth.example.net/"),
        ("http://films.example.net/",               "https://auth.example.net/"),
        ("javascript:alert(1)",                     "https://auth.example.net/"),
        ("https://auth.example.net/logout",         "https://auth.example.net/"),
        ("https://films.example.net/.portcullis/logout", "https://auth.example.net/"),
        ("",                                        "https://auth.example.net/"),
    ];
    for (raw, expected) in cases {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("rd", raw);
        let answer = browser.open(&format!("https://{PORTAL}/login?{}", query.finish())).await;
        assert_eq!((answer.status.as_u16(), answer.location()), (302, expected), "{raw}");
        browser.open(&format!("https://{PORTAL}/login")).await;
    }
}

#[actix_web::test]
async fn an_address_too_long_is_cut_and_that_is_said() {
    let app = spawn_app().await;
    let mut browser = Browser::new(&app);
    let long = format!("{FILMS}report?q={}", "x".repeat(8_000));
    let login = browser.open(&long).await;
    let page = browser.open(login.location()).await;
    assert_eq!(page.status, 200);
    assert!(
        page.body.contains("too long") && page.body.contains("https://films.example.net/report")
    );
    let link = page
        .body
        .split("href=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    let link = link
        .expect("a link")
        .replace("&#38;", "&")
        .replace("&amp;", "&");
    let visit = browser.navigate(&link).await;
    assert_eq!(
        (visit.end.status.as_u16(), visit.url()),
        (200, "https://films.example.net/report")
    );
    assert_eq!(browser.cookie_names("films.example.net"), [SESSION, HOPS]);
}

#[actix_web::test]
async fn the_longest_address_that_is_kept_fits_its_cookie() {
    let app = spawn_app().await;
    let mut browser = Browser::new(&app);
    let url = format!("{FILMS}?q={}", "x".repeat(1_990 - FILMS.len()));
    let visit = browser.navigate(&url).await;
    assert_eq!(
        (visit.end.status.as_u16(), visit.url()),
        (200, url.as_str())
    );
}

#[actix_web::test]
async fn sessions_end_when_nobody_uses_them() {
    let app = spawn_app().await;
    let mut browser = Browser::new(&app);
    browser.navigate(FILMS).await;
    let hours = |hours: u64| Duration::from_secs(hours * 3_600);
    for _ in 0..5 {
        app.clock.advance(hours(23));
        assert_eq!(browser.ask(FILMS).fetch().send().await.status, 200);
    }
    app.clock.advance(hours(24));
    assert_eq!(browser.ask(FILMS).fetch().send().await.status, 401);
}

#[actix_web::test]
async fn with_the_provider_down_only_logins_wait() {
    let app = spawn_app().await;
    let mut browser = Browser::new(&app);
    browser.navigate(FILMS).await;
    app.issuer.answer(Endpoint::Token, Lie::Status(500));
    let mut stranger = Browser::new(&app);
    let visit = stranger.navigate(FILMS).await;
    assert_eq!(visit.end.status, 503);
    assert_eq!(visit.end.header("retry-after"), "5");
    assert!(visit.end.body.contains("Sign-in is not available"));
    assert_eq!(stranger.cookie(PORTAL, SSO), None);
    assert_eq!(browser.ask(FILMS).fetch().send().await.status, 200);
    assert_eq!(app.health("ready").await.status, 200);
}

#[actix_web::test]
async fn a_provider_that_was_never_there_is_said_within_a_second() {
    let app = crate::support::app::spawn_app_with(|raw| {
        let nobody = crate::support::issuer::FakeIssuer::free_address();
        raw.oidc.issuer = Some(format!("http://{nobody}"));
    })
    .await;
    // The first login waits for the first try; from then on it is known.
    assert_eq!(Browser::new(&app).navigate(FILMS).await.end.status, 503);
    let begun = Instant::now();
    assert_eq!(Browser::new(&app).navigate(FILMS).await.end.status, 503);
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(app.health("ready").await.json()["provider"], "down");
}

#[actix_web::test]
async fn a_response_of_another_issuer_or_of_none_is_refused() {
    let app = spawn_app().await;
    for iss in [
        ResponseIss::Missing,
        ResponseIss::Other("https://evil.example"),
    ] {
        app.issuer.behave(|behaviour| behaviour.response_iss = iss);
        let mut browser = Browser::new(&app);
        let visit = browser.navigate(FILMS).await;
        assert_eq!(visit.end.status, 403, "{iss:?}");
        assert_eq!(browser.cookie_names(PORTAL), Vec::<&str>::new(), "{iss:?}");
    }
    assert_eq!(app.issuer.requests(Endpoint::Token), 0);
}

#[actix_web::test]
async fn a_refusal_of_the_provider_is_a_page() {
    let app = spawn_app().await;
    app.issuer
        .behave(|behaviour| behaviour.refuse_login = Some("access_denied"));
    let visit = Browser::new(&app).navigate(FILMS).await;
    assert_eq!(visit.end.status, 403);
    assert!(visit.end.body.contains("access_denied"));
    app.issuer
        .behave(|behaviour| behaviour.refuse_login = Some("<script>alert(1)</script>"));
    let visit = Browser::new(&app).navigate(FILMS).await;
    assert!(visit.end.body.contains("unknown_error") && !visit.end.body.contains("<script"));
}

#[actix_web::test]
async fn a_frame_is_led_out_of_itself() {
    let app = spawn_app().await;
    let mut browser = Browser::new(&app);
    let frame = browser
        .ask(FILMS)
        .navigation()
        .header("sec-fetch-dest", "iframe");
    let login = frame.header("sec-fetch-site", "same-origin").send().await;
    let page = browser.open(login.location()).await;
    assert_eq!(page.status, 401);
    assert!(
        page.body.contains("target=\"_blank\"") && !page.headers.contains_key("x-frame-options")
    );
    assert!(
        page.header("content-security-policy")
            .ends_with("frame-ancestors https:")
    );
    // With a session at the portal it goes straight through.
    browser.navigate(NOTES).await;
    let frame = browser
        .ask(FILMS)
        .navigation()
        .header("sec-fetch-dest", "iframe");
    let login = frame.header("sec-fetch-site", "same-origin").send().await;
    let enter = browser.open(login.location()).await;
    assert!(enter.location().contains("/.portcullis/enter?ticket="));
}

#[actix_web::test]
async fn the_portal_says_who_is_signed_in_and_what_they_may_open() {
    let app = spawn_app().await;
    app.issuer.sign_in_as("ben");
    let mut browser = Browser::new(&app);
    let stranger = browser.open("https://auth.example.net/").await;
    assert!(stranger.body.contains("You are not signed in"));
    assert_eq!(
        browser.open("https://auth.example.net/whoami").await.status,
        401
    );
    browser.navigate("https://auth.example.net/login").await;
    let front = browser.open("https://auth.example.net/").await;
    assert!(front.body.contains("Hello, ben") && front.body.contains("https://films.example.net/"));
    assert!(!front.body.contains("notes.example.net"));
    let whoami = browser.open("https://auth.example.net/whoami").await.json();
    assert_eq!(whoami["username"], "ben");
    assert_eq!(whoami["groups"], serde_json::json!(["media"]));
}
