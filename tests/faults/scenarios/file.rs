//! The file with the sessions: power is lost, the disk is full, and somebody else wants it too.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::kit::gate::Ports;
use crate::kit::{Failure, Result};
use crate::launch;
use crate::provider::{Login, expect_page};
use crate::scenarios::Outcome;
use crate::scenarios::redis::NOT_STORED;
use crate::seen::{Expect, Seen};
use crate::service::{Plan, Service};
use crate::stage::{DECISION_LIMIT, MARGIN, RECOVERY_LIMIT, Stage};
use crate::world::folder;

/// Room for the file, and for what fills the rest.
const DISK: &str = "24m";
/// Logins that a full disk may still have room for within the file.
const MOST_LOGINS: usize = 200;

fn plan(stage: &Stage, folder: &Path) -> Plan {
    Plan {
        store: format!("file:{}", folder.join("portcullis.redb").display()),
        ..stage.plan()
    }
}

/// The process is killed while people sign in and out, again and again.
pub async fn killed(stage: &mut Stage) -> Result<Outcome> {
    let plan = plan(stage, stage.folder.path());
    let mut service = stage.start(&plan).await?;
    stage.gather().await?;
    stage.watch().await?;
    let rounds = stage.rounds(4, 50);
    let mut signed_out = vec![stage.cookies.logged_out.clone()];
    let mut slowest = Duration::ZERO;
    for round in 0..rounds {
        signed_out.push(stage.logged_out().await?);
        let login = Login::at_the_provider(stage, "ben").await?;
        stage.changing();
        // The write of this one may be done, half done or not begun.
        let (came_back, ()) = tokio::join!(stage.step(&login.tab, &login.back), async {
            tokio::time::sleep(Duration::from_millis((round % 5) as u64)).await;
            service.kill();
        });
        drop(came_back);
        slowest = slowest.max(service.start(&plan).await?);
        stage.until_calm(Expect::CALM, RECOVERY_LIMIT).await?;
        for cookie in &signed_out {
            let seen = stage.seen_with(cookie).await?;
            if seen != Seen::SignIn {
                return Err(Failure(format!(
                    "a session that was signed out of: {seen:?}"
                )));
            }
        }
    }
    service.running()?;
    // While the process is away, its proxies wait for it as long as their own time-outs say.
    stage.conclude(DECISION_LIMIT + MARGIN + RECOVERY_LIMIT)?;
    Outcome::held(format!(
        "killed {rounds} times; up again within {slowest:.2?}"
    ))
}

/// A second process is started on the same file.
pub async fn second_process(stage: &mut Stage) -> Result<Outcome> {
    let plan = plan(stage, stage.folder.path());
    let mut service = stage.start(&plan).await?;
    stage.gather().await?;
    stage.watch().await?;
    let (elsewhere, mut slot) = (folder()?, stage.slot.clone());
    slot.ports = Ports::free();
    let mut second = Service::prepare(elsewhere.path(), &slot, &stage.public_url(), &plan)?;
    stage.fault(Expect::CALM);
    let Err(refusal) = second.start(&plan).await else {
        return Err(Failure::new("a second process runs on the same file"));
    };
    if !refusal.to_string().contains("in use by another process") {
        return Err(refusal);
    }
    stage.hold(stage.time(0.5, 5.0)).await;
    stage.recover(Expect::CALM).await?;
    service.running()?;
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    Outcome::held("the second one says who has the file, and ends")
}

/// There is no room on the disk.
pub async fn disk_full(stage: &mut Stage) -> Result<Outcome> {
    let disk = stage.folder.path().join("disk");
    fs::create_dir_all(&disk).map_err(Failure::of("disk"))?;
    let mount = format!("mount -t tmpfs -o size={DISK} tmpfs '{}'", disk.display());
    let Some(launcher) = launch::in_own_mounts(&mount) else {
        return Outcome::not_here("no mounts of one's own on this machine");
    };
    let plan = Plan {
        launcher,
        ..plan(stage, &disk)
    };
    let mut service = stage.start(&plan).await?;
    stage.gather().await?;
    stage.watch().await?;
    // The disk is the service's alone: it is reached through the process.
    let seen_from_here = format!("/proc/{}/root{}", service.running()?.id(), disk.display());
    let filler = Path::new(&seen_from_here).join("filler");
    stage.fault(Expect::CALM);
    fill(&filler)?;
    let mut signed_in = 0;
    let page = loop {
        let login = Login::at_the_provider(stage, "ben").await?;
        let (page, _) = stage.step(&login.tab, &login.back).await?;
        if page.status != 302 {
            break page;
        }
        signed_in += 1;
        if signed_in > MOST_LOGINS {
            return Err(Failure(format!(
                "the disk is full, and {signed_in} signed in"
            )));
        }
    };
    expect_page(&page, 503, NOT_STORED)?;
    stage.hold(stage.time(1.0, 10.0)).await;
    fs::remove_file(&filler).map_err(Failure::of("filler"))?;
    stage.recover(Expect::CALM).await?;
    let back = stage.until_login_works().await?;
    if back > RECOVERY_LIMIT + MARGIN {
        return Err(Failure(format!("a login worked only {back:?} later")));
    }
    service.expect_health(200, 200).await?;
    service.running()?;
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    Outcome::held(format!(
        "{signed_in} logins still had room in the file, the next ended with 503; one worked {back:.1?} after there was room"
    ))
}

/// Writes until there is no room.
fn fill(file: &Path) -> Result<()> {
    use std::io::Write;
    let mut filler = fs::File::create(file).map_err(Failure::of(file.display()))?;
    let mut chunk = vec![0; 64 * 1024];
    while !chunk.is_empty() {
        if filler.write_all(&chunk).is_err() {
            chunk.truncate(chunk.len() / 2);
        }
    }
    Ok(())
}
