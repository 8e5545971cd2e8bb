//! Every page, and every other answer of ours to a browser: what its headers say.

use std::path::Path;

use portcullis::config::Texts;
use reqwest::Method;

use crate::backchannel;
use crate::redis::Shared;
use crate::replicas::until;
use crate::support::app::{Answer, TestApp, answer, owned, spawn_app, spawn_app_with};
use crate::support::browser::Browser;
use crate::support::issuer::{Answer as Lie, Endpoint, FakeIssuer};

const FILMS: &str = "https://films.example.net/";
const NOTES: &str = "https://notes.example.net/";
const AUTH: &str = "https://auth.example.net";

/// A kind of page, its status, and one of them.
type Kind = (&'static str, u16, Answer);

#[actix_web::test]
async fn every_page_is_guarded_by_its_headers() {
    let mut pages = pages_of_the_portal().await;
    pages.extend(pages_of_a_login().await);
    pages.extend(pages_of_a_step_up().await);
    pages.extend(pages_at_an_app().await);
    pages.extend(pages_without_a_store().await);
    for (kind, status, page) in &pages {
        assert_eq!(page.status.as_u16(), *status, "{kind}: {}", page.body);
        let headers = &page.headers;
        let is =
            |name: &str, value: &str| assert_eq!(page.header(name), value, "{kind}: {headers:?}");
        is("content-type", "text/html; charset=utf-8");
        is("cache-control", "no-store");
        is("x-content-type-options", "nosniff");
        let framed = *kind == "login in a frame";
        is("x-frame-options", if framed { "" } else { "DENY" });
        // With a form a page has to say where it comes from, to ourselves alone.
        let form = page.body.contains("<form");
        is(
            "referrer-policy",
            if form { "same-origin" } else { "no-referrer" },
        );
        let policy = page.header("content-security-policy");
        let directives: Vec<&str> = policy.split("; ").collect();
        let ancestors = if framed {
            "frame-ancestors https:"
        } else {
            "frame-ancestors 'none'"
        };
        let [default, style, base, frame] = directives[..] else {
            unreachable!("{kind}: {policy}")
        };
        assert_eq!(
            [default, base, frame],
            ["default-src 'none'", "base-uri 'none'", ancestors],
            "{kind}"
        );
        assert!(style.starts_with("style-src 'sha256-"), "{kind}: {style}");
        loads_nothing(kind, &page.body);
    }
    for title in titles() {
        let shown = format!("<h1>{title}</h1>");
        let is_there = pages.iter().any(|(_, _, page)| page.body.contains(&shown));
        assert!(is_there, "no page here is called {title:?}");
    }
}

/// The titles of all pages, as the source has them.
fn titles() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http");
    let files = std::fs::read_dir(&folder).expect("a folder");
    let files = files.map(|file| file.expect("a file").path());
    let source: String = files
        .filter(|path| path.is_file())
        .map(|path| std::fs::read_to_string(path).expect("a text"))
        .collect();
    let (_, by_reason) = source
        .split_once("fn title(")
        .expect("the titles of refusals");
    let (by_reason, _) = by_reason.split_once("\n}\n").expect("its end");
    let quoted = |rest: &str| Some(rest.split_once('"')?.0.to_owned());
    let pages = source.split("Page::new(\"").skip(1).filter_map(quoted);
    let refusals = by_reason.split("=> \"").skip(1).filter_map(quoted);
    let titles: Vec<String> = pages.chain(refusals).collect();
    assert!(titles.len() > 15, "{titles:?}");
    titles
}

/// No script, and nothing that a browser would fetch by itself.
fn loads_nothing(kind: &str, html: &str) {
    for fetches in [
        "<script",
        "src=",
        "<link",
        "<iframe",
        "@import",
        "url(",
        "http-equiv",
        "onload",
        " style=",
    ] {
        assert!(!html.contains(fetches), "{kind}: {fetches} in {html}");
    }
}

pub async fn get(app: &TestApp, path: &str) -> Answer {
    answer(app.portal(Method::GET, path)).await
}

async fn pages_of_the_portal() -> Vec<Kind> {
    let app = spawn_app().await;
    let mut ben = Browser::new(&app);
    app.issuer.sign_in_as("ben");
    ben.navigate(FILMS).await;
    let mut pages = vec![
        ("front page of a stranger", 200, get(&app, "/").await),
        (
            "question whether to sign out",
            200,
            get(&app, "/logout").await,
        ),
        ("signed out", 200, get(&app, "/signed-out").await),
        ("no such page", 404, get(&app, "/nothing").await),
        (
            "wrong method",
            405,
            answer(app.portal(Method::PUT, "/login")).await,
        ),
        ("front page", 200, ben.open(&format!("{AUTH}/")).await),
        (
            "not signed out",
            200,
            ben.open(&format!("{AUTH}/signed-out")).await,
        ),
        (
            "sign-out of another site",
            403,
            ben.post("/logout", "cross-site").await,
        ),
    ];
    for _ in 0..150 {
        let limited = get(&app, "/callback").await;
        if limited.status == 429 {
            pages.push(("too many logins", 429, limited));
            break;
        }
    }
    pages
}

async fn pages_of_a_login() -> Vec<Kind> {
    let app = spawn_app().await;
    let stranger = || Browser::new(&app);
    let mut pages = vec![(
        "login that is over",
        400,
        get(&app, "/callback?state=x&code=y").await,
    )];
    let too_long = format!("{FILMS}?q={}", "x".repeat(3_000));
    pages.push((
        "address too long",
        200,
        stranger().navigate(&too_long).await.end,
    ));
    let frame = app
        .ask(FILMS)
        .navigation()
        .header("sec-fetch-dest", "iframe");
    let framed = frame.header("sec-fetch-site", "same-origin").send().await;
    pages.push((
        "login in a frame",
        401,
        stranger().open(framed.location()).await,
    ));
    let mut signed_in = stranger();
    signed_in.navigate(NOTES).await;
    for round in 0..4 {
        let link = format!("{AUTH}/login?rd={FILMS}&f=x");
        let end = signed_in.open(&link).await;
        if round == 3 {
            pages.push(("loop at the portal", 403, end));
        }
    }
    let mut forgetful = stranger().forgetting("films.example.net");
    pages.push(("loop at an app", 403, forgetful.navigate(FILMS).await.end));
    let mut late = stranger();
    app.issuer.name_sessions("ended");
    let back = late.until_callback(FILMS).await;
    let told = backchannel::post(&app, &app.from, &app.issuer.logout_token("ended")).await;
    assert_eq!(told.status, 200);
    pages.push(("ended meanwhile", 403, late.open(&back).await));
    app.issuer
        .behave(|behaviour| behaviour.refuse_login = Some("access_denied"));
    pages.push((
        "refused by the provider",
        403,
        stranger().navigate(FILMS).await.end,
    ));
    app.issuer.behave(|behaviour| behaviour.refuse_login = None);
    app.issuer.answer(Endpoint::Token, Lie::Json("{}".into()));
    pages.push(("not believed", 403, stranger().navigate(FILMS).await.end));
    app.issuer.answer(Endpoint::Token, Lie::Status(500));
    pages.push((
        "provider gone at the end",
        503,
        stranger().navigate(FILMS).await.end,
    ));
    let alone = spawn_app_with(|raw| {
        raw.oidc.issuer = Some(format!("http://{}", FakeIssuer::free_address()));
    });
    pages.push((
        "provider gone at the start",
        503,
        get(&alone.await, "/login").await,
    ));
    pages
}

async fn pages_of_a_step_up() -> Vec<Kind> {
    let app = spawn_app_with(|raw| {
        let media = raw.policies.get_mut("media").expect("media");
        media.amr = Some(owned(&["hwk"]));
    })
    .await;
    let mut ada = Browser::new(&app);
    ada.navigate(NOTES).await;
    let form = ada.ask(FILMS).navigation().method("POST").send().await;
    let unmet = ada.navigate(FILMS).await.end;
    let in_vain = ada.open(FILMS).await;
    vec![
        ("form of somebody who has to sign in again", 401, form),
        ("step-up in vain", 403, unmet),
        ("step-up in vain, at the app", 403, in_vain),
    ]
}

async fn pages_at_an_app() -> Vec<Kind> {
    let app = spawn_app_with(|raw| {
        let notes = raw.services.get_mut("notes").expect("notes");
        let reserved = notes.reserved_users.get_or_insert_default();
        reserved.insert("ada".into(), Texts(owned(&["somebody-else"])));
    })
    .await;
    let mut ben = Browser::new(&app);
    app.issuer.sign_in_as("ben");
    ben.navigate(NOTES).await;
    let mut ada = Browser::new(&app);
    app.issuer.sign_in_as("ada");
    let reserved = ada.navigate(NOTES).await.end;
    let mut elsewhere = Browser::new(&app);
    elsewhere.navigate(FILMS).await;
    elsewhere.post("/logout/everywhere", "same-origin").await;
    let ended = ada.post("/logout/everywhere", "same-origin").await;
    vec![
        ("sign-out everywhere of an ended session", 200, ended),
        (
            "not a member",
            403,
            ben.ask(NOTES).navigation().send().await,
        ),
        ("reserved name", 403, reserved),
        (
            "malformed",
            400,
            app.ask(FILMS)
                .header("x-forwarded-host", "<b>")
                .navigation()
                .send()
                .await,
        ),
        (
            "unknown host",
            403,
            app.ask("https://other.example.net/")
                .navigation()
                .send()
                .await,
        ),
        (
            "form of a stranger",
            401,
            app.ask(FILMS).navigation().method("POST").send().await,
        ),
        (
            "over http",
            403,
            app.ask("http://films.example.net/")
                .navigation()
                .send()
                .await,
        ),
        (
            "reserved path",
            404,
            app.ask(&format!("{FILMS}.portcullis/x"))
                .navigation()
                .send()
                .await,
        ),
    ]
}

async fn pages_without_a_store() -> Vec<Kind> {
    let mut shared = Shared::start();
    let app = spawn_app_with(|raw| shared.configure(raw)).await;
    let mut ben = Browser::new(&app);
    ben.navigate(FILMS).await;
    let mut late = Browser::new(&app);
    let login = late.open(NOTES).await;
    let provider = late.open(login.location()).await;
    let callback = late.open(provider.location()).await;
    shared.redis.kill();
    // Until the connection that tells has ended here too, whoever was here goes on.
    until("it is noticed", async || {
        ben.ask(FILMS).fetch().send().await.status == 503
    })
    .await;
    vec![
        (
            "front page without a store",
            503,
            ben.open(&format!("{AUTH}/")).await,
        ),
        (
            "app without a store",
            503,
            ben.ask(FILMS).navigation().send().await,
        ),
        (
            "sign-out without a store",
            503,
            ben.post("/logout", "same-origin").await,
        ),
        (
            "sign-out everywhere without a store",
            503,
            ben.post("/logout/everywhere", "same-origin").await,
        ),
        (
            "sign-out at an app without a store",
            503,
            ben.open(&format!("{FILMS}.portcullis/logout")).await,
        ),
        (
            "callback without a store",
            503,
            late.open(callback.location()).await,
        ),
    ]
}

/// Answers that are no pages: nothing of them is stored, or taken for something else.
#[actix_web::test]
async fn every_other_answer_is_guarded_too() {
    let app = spawn_app().await;
    let mut ben = Browser::new(&app);
    app.issuer.sign_in_as("ben");
    ben.navigate(FILMS).await;
    ben.navigate(NOTES).await;
    let long = "x".repeat(40_000);
    let json = "application/json";
    let problem = "application/problem+json";
    let text = "text/plain; charset=utf-8";
    let cases = [
        (200, json, ben.open(&format!("{AUTH}/whoami")).await),
        (401, json, get(&app, "/whoami").await),
        (
            431,
            text,
            answer(app.portal(Method::GET, "/").header("x-long", &long)).await,
        ),
        (
            400,
            problem,
            app.ask(FILMS)
                .header("x-forwarded-host", "<b>")
                .fetch()
                .send()
                .await,
        ),
        (401, problem, app.ask(FILMS).fetch().send().await),
        (403, problem, ben.ask(NOTES).fetch().send().await),
        (
            403,
            problem,
            app.ask("https://other.example.net/").fetch().send().await,
        ),
        (404, problem, app.ask(FILMS).at("/elsewhere").send().await),
        (200, json, app.health("live").await),
        (404, text, app.health("elsewhere").await),
    ];
    for (status, kind, answer) in cases {
        let found = (answer.status.as_u16(), answer.header("content-type"));
        assert_eq!(found, (status, kind), "{answer:?}");
        let guards = (
            answer.header("cache-control"),
            answer.header("x-content-type-options"),
        );
        assert_eq!(guards, ("no-store", "nosniff"), "{answer:?}");
    }
    // A redirect's address holds secrets, so the next page is not told it.
    let login = app.ask(FILMS).navigation().send().await;
    let mut stranger = Browser::new(&app);
    let provider = stranger.open(&format!("{AUTH}/login")).await;
    let out = ben.post("/logout", "same-origin").await;
    for redirect in [login, provider, out] {
        assert!(redirect.status.is_redirection(), "{redirect:?}");
        let guards = (
            redirect.header("cache-control"),
            redirect.header("referrer-policy"),
        );
        assert_eq!(guards, ("no-store", "no-referrer"), "{redirect:?}");
    }
    // What lets pass is for the proxy, and not for the next one who asks.
    assert_eq!(
        app.ask(&format!("{FILMS}ping"))
            .send()
            .await
            .header("cache-control"),
        "no-store"
    );
}
