//! The demo without a person: one app after another, each step told.

use std::net::Ipv4Addr;

use super::apps::{GRAFANA, HOOKS, MEALIE, PAPERLESS_AI, PLEX, SONARR};
use super::setup::{Demo, PORTAL};
use crate::kit::ask::Ask;
use crate::kit::browser::Browser;
use crate::kit::page::Page;
use crate::kit::{Failure, Result};

/// Tries every app, says who may and who may not, and what the app got.
///
/// # Errors
///
/// At the first step that does not go as it should.
pub async fn run(demo: &Demo) -> Result<()> {
    let stranger = demo.browser()?;
    a_stranger(demo, &stranger).await?;

    let grafana = demo.url(GRAFANA, "/");
    let ada = signs_in(demo, "ada", &grafana).await?;
    what_the_app_got(demo, GRAFANA, ("ada", "admins"))?;
    let ben = signs_in(demo, "ben", &demo.url(SONARR, "/")).await?;
    what_the_app_got(demo, SONARR, ("ben", "media"))?;
    let cleo = signs_in(demo, "cleo", &demo.url(PAPERLESS_AI, "/")).await?;
    what_the_app_got(demo, PAPERLESS_AI, ("cleo", "home"))?;
    let eve = demo.browser()?;
    let page = eve.sign_in(&grafana, "eve").await?;
    step("grafana, eve signs in: refused", &page, page.status == 403)?;

    who_may(
        demo,
        [("ada", &ada), ("ben", &ben), ("cleo", &cleo), ("eve", &eve)],
    )
    .await?;
    programs(demo, &stranger).await?;
    let browsers = [&stranger, &ada, &ben, &cleo, &eve];
    the_key_is_at_the_app_alone(demo, &browsers)?;
    sign_out(demo, &ada).await?;
    println!("\nAll as it should be.");
    Ok(())
}

/// What somebody meets who has not signed in.
async fn a_stranger(demo: &Demo, stranger: &Browser) -> Result<()> {
    let login = demo.url(PORTAL, "/login?");
    for (host, path) in [
        (GRAFANA, "/"),
        (SONARR, "/"),
        (PAPERLESS_AI, "/"),
        (PLEX, "/admin/"),
    ] {
        let url = demo.url(host, path);
        let page = stranger.ask(Ask::navigation(&url)).await?;
        let sent = page.status == 302 && page.header("location").starts_with(&login);
        step(
            &format!("{host}{path}, a stranger: sent to log in"),
            &page,
            sent,
        )?;
        let page = stranger.ask(Ask::fetch(&url)).await?;
        let told = page.status == 401 && page.header("location").is_empty();
        step(
            &format!("{host}{path}, a stranger's script: told so"),
            &page,
            told,
        )?;
    }
    for host in [MEALIE, PLEX] {
        let forged = Ask::navigation(&demo.url(host, "/")).header("Remote-User", "ada");
        let page = stranger.ask(forged).await?;
        step(
            &format!("{host}, a stranger: the app's own page"),
            &page,
            is_app(&page),
        )?;
        let named = page
            .seen()
            .is_some_and(|seen| seen.all("remote-user").concat().is_empty());
        step(
            &format!("{host}, and a made-up Remote-User is gone"),
            &page,
            named,
        )?;
    }
    Ok(())
}

/// Every app and everybody; nobody has to log in again.
async fn who_may(demo: &Demo, people: [(&str, &Browser); 4]) -> Result<()> {
    #[rustfmt::skip] // the columns are the point
    let places = [
        //                             ada   ben    cleo   eve
        (GRAFANA,      "/",           [true, false, false, false]),
        (SONARR,       "/",           [true, true,  false, false]),
        (PAPERLESS_AI, "/",           [true, false, true,  false]),
        (MEALIE,       "/",           [true, true,  true,  true]),
        (PLEX,         "/",           [true, true,  true,  true]),
        (PLEX,         "/admin/",     [true, false, false, false]),
        (HOOKS,        "/",           [false; 4]),
    ];
    for (host, path, may) in places {
        for ((user, browser), may) in people.into_iter().zip(may) {
            let page = browser.navigate(&demo.url(host, path)).await?;
            let again = page
                .hops
                .iter()
                .any(|hop| hop.url.path().starts_with("/interaction/"));
            let right = !again
                && if may {
                    is_app(&page)
                } else {
                    page.status == 403
                };
            let outcome = if may { "in" } else { "refused" };
            step(&format!("{host}{path}, {user}: {outcome}"), &page, right)?;
        }
    }
    Ok(())
}

/// What comes without a person: by the app's own key, or from a network.
async fn programs(demo: &Demo, stranger: &Browser) -> Result<()> {
    let api = demo.url(SONARR, "/api/v3/queue");
    let keyed = Ask::fetch(&api).header("X-Api-Key", &demo.keys.sonarr);
    let page = stranger.ask(keyed).await?;
    step("sonarr /api/ with the app's key: in", &page, is_app(&page))?;
    let page = stranger
        .ask(Ask::fetch(&api).header("X-Api-Key", "wrong"))
        .await?;
    let by_app = page.status == 401 && page.body.contains("wants its own key");
    step(
        "sonarr /api/ with a wrong key: the app refuses it",
        &page,
        by_app,
    )?;
    let around = demo.url(SONARR, "/api/..%2fsystem");
    let keyed = Ask::fetch(&around).header("X-Api-Key", &demo.keys.sonarr);
    let page = stranger.ask(keyed).await?;
    step(
        "sonarr, around the corner of /api/: refused",
        &page,
        page.status == 401,
    )?;

    let hooks = demo.url(HOOKS, "/backup-done");
    let near = demo.browser_at(Ipv4Addr::LOCALHOST)?;
    let page = near.ask(Ask::fetch(&hooks)).await?;
    step("hooks from 127.0.0.1: in", &page, is_app(&page))?;
    let far = demo.browser_at(Ipv4Addr::new(127, 0, 0, 2))?;
    let lie = Ask::fetch(&hooks).header("X-Forwarded-For", "127.0.0.1");
    let page = far.ask(lie).await?;
    step(
        "hooks from 127.0.0.2: refused, whatever it says",
        &page,
        page.status == 403,
    )
}

/// The key of paperless-ai came with cleo's request, and is nowhere else.
fn the_key_is_at_the_app_alone(demo: &Demo, browsers: &[&Browser]) -> Result<()> {
    let key = demo.keys.paperless_ai.as_str();
    let requests = demo.apps.at(PAPERLESS_AI).requests_with("/");
    let got = !requests.is_empty() && requests.iter().all(|seen| seen.all("x-api-key") == [key]);
    fact("paperless-ai got its key with every request", got)?;
    let others = [GRAFANA, SONARR, MEALIE, PLEX, HOOKS];
    let mut elsewhere = others
        .iter()
        .flat_map(|host| demo.apps.at(host).requests_with("/"));
    let leaked = elsewhere.any(|seen| seen.headers.iter().any(|(_, value)| value.contains(key)));
    fact("no other app got it", !leaked)?;
    let mut hops = browsers.iter().flat_map(|browser| browser.history());
    let leaked = hops.any(|hop| format!("{:?} {}", hop.headers, hop.body).contains(key));
    fact("no browser saw it", !leaked)?;
    fact("no log holds it", !demo.logs().contains(key))
}

async fn sign_out(demo: &Demo, ada: &Browser) -> Result<()> {
    let page = ada
        .navigate(&demo.url(SONARR, "/.portcullis/logout"))
        .await?;
    let ended = page.status == 200 && page.url.path() == "/signed-out" && page.host() == PORTAL;
    step("sonarr, ada signs out: the portal says so", &page, ended)?;
    for (host, path) in [
        (GRAFANA, "/"),
        (SONARR, "/"),
        (PAPERLESS_AI, "/"),
        (PLEX, "/admin/"),
    ] {
        let page = ada.ask(Ask::fetch(&demo.url(host, path))).await?;
        step(
            &format!("{host}{path}, after the logout: refused"),
            &page,
            page.status == 401,
        )?;
    }
    Ok(())
}

/// A new browser in which `user` has signed in and stands at `url`.
async fn signs_in(demo: &Demo, user: &str, url: &str) -> Result<Browser> {
    let browser = demo.browser()?;
    let page = browser.sign_in(url, user).await?;
    let arrived = page.url.as_str() == url && is_app(&page);
    let what = format!(
        "{}, {user} signs in at the provider and comes back",
        page.host()
    );
    step(&what, &page, arrived)?;
    Ok(browser)
}

/// Holds the last request of the app at `host` to who it was, and prints what it got.
fn what_the_app_got(demo: &Demo, host: &str, (user, groups): (&str, &str)) -> Result<()> {
    let requests = demo.apps.at(host).requests_with("/");
    let last = requests
        .last()
        .ok_or_else(|| Failure(format!("{host} was not asked")))?;
    println!("     the app got:");
    for (name, value) in &last.headers {
        match name.as_str() {
            name if name.starts_with("remote-") => println!("       {name}: {value}"),
            "x-api-key" if !value.is_empty() => println!("       {name}: (its key)"),
            _ => {}
        }
    }
    let right = last.all("remote-user") == [user] && last.all("remote-groups") == [groups];
    fact(&format!("{host} knows {user} and the groups"), right)
}

fn is_app(page: &Page) -> bool {
    page.status == 200 && page.seen().is_some()
}

fn fact(what: &str, right: bool) -> Result<()> {
    if !right {
        return Err(Failure(format!("FAILED: {what}")));
    }
    println!("ok   {what}");
    Ok(())
}

/// Tells a step; with every hop and the page when it failed.
fn step(what: &str, page: &Page, right: bool) -> Result<()> {
    if !right {
        return Err(Failure(format!(
            "FAILED: {what}\n{}\n{}",
            page.way(),
            page.body
        )));
    }
    let hops = match page.hops.len() {
        1 => String::new(),
        many => format!(" after {many} steps"),
    };
    println!("ok   {what} ({}{hops})", page.status);
    Ok(())
}
