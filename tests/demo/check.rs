//! The demo without a person: one browser after another, each step told.

use super::setup::{Demo, FILMS, NOTES, PORTAL};
use crate::kit::ask::Ask;
use crate::kit::browser::Browser;
use crate::kit::page::Page;
use crate::kit::{Failure, Result};

/// Goes the whole way once and prints what it saw.
///
/// # Errors
///
/// At the first step that does not go as it should.
pub async fn run(demo: &Demo) -> Result<()> {
    let films = demo.url(FILMS, "/");
    let browser = demo.browser()?;

    let page = browser.ask(Ask::navigation(&films)).await?;
    let login = demo.url(PORTAL, "/login?");
    let sent = page.status == 302 && page.header("location").starts_with(&login);
    step(
        "films, nobody signed in: sent to the portal to log in",
        &page,
        sent,
    )?;
    let page = browser.ask(Ask::fetch(&films)).await?;
    step(
        "films, a script of nobody: told to log in, not redirected",
        &page,
        page.status == 401,
    )?;

    signs_in(&browser, &films, "ada", "admins").await?;
    let page = browser.navigate(&demo.url(NOTES, "/")).await?;
    let known = user_at_app(&page).as_deref() == Some("ada");
    let asked_again = page
        .hops
        .iter()
        .any(|hop| hop.url.path().starts_with("/interaction/"));
    step(
        "notes, ada: in without a second login",
        &page,
        known && !asked_again,
    )?;

    let page = browser
        .navigate(&demo.url(FILMS, "/.portcullis/logout"))
        .await?;
    let ended = page.status == 200 && page.url.path() == "/signed-out" && page.host() == PORTAL;
    step("films, ada signs out: the portal says so", &page, ended)?;
    for host in [FILMS, NOTES] {
        let page = browser.ask(Ask::fetch(&demo.url(host, "/"))).await?;
        step(
            &format!("{host}, after the logout: refused"),
            &page,
            page.status == 401,
        )?;
    }

    browser.forget_cookies();
    println!("     all cookies deleted");
    signs_in(&browser, &films, "ada", "admins").await?;

    let ben = demo.browser()?;
    signs_in(&ben, &films, "ben", "media").await?;
    let page = ben.navigate(&demo.url(NOTES, "/")).await?;
    step(
        "notes, ben is no admin: refused, and not sent to log in",
        &page,
        page.status == 403,
    )?;

    let eve = demo.browser()?;
    let page = eve.sign_in(&films, "eve").await?;
    step(
        "films, eve is in no group: refused",
        &page,
        page.status == 403,
    )?;
    let page = eve.navigate(&demo.url(NOTES, "/")).await?;
    step("notes, eve: refused", &page, page.status == 403)?;
    println!("\nAll as it should be.");
    Ok(())
}

async fn signs_in(browser: &Browser, url: &str, user: &str, groups: &str) -> Result<()> {
    let page = browser.sign_in(url, user).await?;
    let seen = page.seen();
    let right = page.url.as_str() == url
        && seen.as_ref().is_some_and(|seen| {
            seen.all("remote-user") == [user] && seen.all("remote-groups") == [groups]
        });
    step(
        &format!("films, {user} signs in at the provider and comes back"),
        &page,
        right,
    )?;
    println!("     the app got:");
    for (name, value) in seen.iter().flat_map(|seen| &seen.headers) {
        if name.starts_with("remote-") {
            println!("       {name}: {value}");
        }
    }
    Ok(())
}

fn user_at_app(page: &Page) -> Option<String> {
    page.seen()?.one("remote-user").map(str::to_owned)
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
