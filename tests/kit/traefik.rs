//! A real Traefik with its file provider.

use std::path::Path;
use std::time::Duration;

use super::ask::Ask;
use super::browser::Browser;
use super::child::Running;
use super::{Failure, Result, tools};

const START_LIMIT: Duration = Duration::from_secs(30);

/// What it works with.
pub struct Files<'a> {
    /// For what it reads and writes.
    pub folder: &'a Path,
    /// YAML: its dynamic configuration.
    pub routes: &'a str,
    /// The certificate of the authority that signed what it shows.
    pub root: &'a [u8],
}

/// Starts Traefik with these `further` arguments and waits until `probe`, the URL of something protected, is answered with a status that
/// `is_up` takes.
///
/// # Errors
///
/// When it does not start, with what it said.
pub async fn start(
    files: &Files<'_>,
    https_port: u16,
    further: &[&str],
    probe: &str,
    is_up: impl Fn(u16) -> bool,
) -> Result<Running> {
    let Files {
        folder,
        routes,
        root,
    } = *files;
    let file = folder.join("routes.yml");
    std::fs::write(&file, routes).map_err(Failure::of(file.display()))?;
    let log = folder.join("traefik.log");
    let mut running = Running::start("Traefik", &tools::find("traefik")?, &log, |command| {
        command
            .arg(format!("--entryPoints.web.address=127.0.0.1:{https_port}"))
            .arg(format!("--providers.file.filename={}", file.display()))
            .args([
                "--providers.file.watch=false",
                "--global.checkNewVersion=false",
            ])
            .args(["--global.sendAnonymousUsage=false", "--log.level=INFO"])
            .args(further);
    })?;
    let browser = Browser::new(root)?;
    let started = running.wait_for(START_LIMIT, || async {
        let page = browser.ask(Ask::fetch(probe)).await?;
        if is_up(page.status) {
            Ok(())
        } else {
            Err(Failure(format!("{}", page.status)))
        }
    });
    started.await?;
    Ok(running)
}
