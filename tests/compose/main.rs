//! One login through the Caddy of docker-compose.yml, as a browser goes. `tests/compose/run.sh` starts it.
//!
//! Arguments: the protected app's address, the file with the certificate that its Caddy signs with, and, where sessions
//! outlive it, the command that restarts what decides and what remembers.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it talks to who started it"
)]

#[path = "../kit/mod.rs"]
#[allow(dead_code, reason = "the login needs a part of it")]
mod kit;

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use kit::ask::Ask;
use kit::browser::Browser;
use kit::page::Page;
use kit::{Failure, Result};

/// For the provider's metadata to reach the service after everything has started.
const START_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(300);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (app, root, restart) = match arguments.as_slice() {
        [app, root] => (app, root, None),
        [app, root, restart @ ..] if !restart.is_empty() => (app, root, Some(restart)),
        _ => {
            eprintln!("usage: compose_login URL ROOT_CERTIFICATE [COMMAND...]");
            return ExitCode::FAILURE;
        }
    };
    match run(app, root, restart).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("compose-test: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run(app: &str, root: &str, restart: Option<&[String]>) -> Result<()> {
    let root = std::fs::read(root).map_err(Failure::of(root))?;
    let stranger = Browser::new(&root)?;
    let page = stranger.ask(Ask::fetch(app)).await?;
    step(
        "a stranger's script is told to sign in",
        &page,
        page.status == 401,
    )?;

    let browser = Browser::new(&root)?;
    let page = signed_in(&browser, app).await?;
    step("ada signs in and is back at the app", &page, is_app(&page))?;
    let named = page.body.contains("\nRemote-User: ada\n");
    step("the app sees Remote-User: ada", &page, named)?;
    let cookies = |line: &str| line.starts_with("Cookie:") && line.contains("portcullis");
    let ours = page.body.lines().any(cookies);
    step("the app sees no cookie of ours", &page, !ours)?;

    let forged = Ask::navigation(app).header("Remote-User", "root");
    let page = browser.ask(forged).await?;
    let replaced = page.body.contains("\nRemote-User: ada\n") && !page.body.contains(": root");
    step(
        "a made-up Remote-User is replaced",
        &page,
        is_app(&page) && replaced,
    )?;

    if let Some(command) = restart {
        restarted(command)?;
        let page = signed_in_still(&browser, app).await?;
        step("ada is signed in after a restart", &page, is_app(&page))?;
    }

    let page = browser
        .navigate(&format!("{app}.portcullis/logout"))
        .await?;
    step("signing out ends at the portal", &page, page.status == 200)?;
    let page = browser.ask(Ask::fetch(app)).await?;
    step("and the app is closed again", &page, page.status == 401)
}

/// Signs in; at first, as often as the provider is not known yet.
async fn signed_in(browser: &Browser, app: &str) -> Result<Page> {
    let start = Instant::now();
    loop {
        let page = browser.sign_in(app, "ada").await?;
        if page.status != 503 || start.elapsed() > START_LIMIT {
            return Ok(page);
        }
        tokio::time::sleep(POLL).await;
    }
}

fn restarted(command: &[String]) -> Result<()> {
    let (program, arguments) = command.split_first().expect("a command is not empty");
    let ended = Command::new(program).args(arguments).output();
    let ended = ended.map_err(Failure::of(program))?;
    if ended.status.success() {
        return Ok(());
    }
    Err(Failure(format!(
        "{program}: {}",
        String::from_utf8_lossy(&ended.stderr)
    )))
}

/// Asks for the app, without signing in, until it is there or it is plain that nobody is signed in.
async fn signed_in_still(browser: &Browser, app: &str) -> Result<Page> {
    let start = Instant::now();
    loop {
        let page = browser.ask(Ask::navigation(app)).await?;
        if !matches!(page.status, 502 | 503) || start.elapsed() > START_LIMIT {
            return Ok(page);
        }
        tokio::time::sleep(POLL).await;
    }
}

fn is_app(page: &Page) -> bool {
    page.status == 200 && page.body.starts_with("GET / HTTP/1.1\n")
}

fn step(what: &str, page: &Page, right: bool) -> Result<()> {
    if right {
        println!("compose-test: ok: {what}");
        return Ok(());
    }
    Err(Failure(format!(
        "{what}: it is not so\n{}\n{}",
        page.way(),
        page.body
    )))
}
