//! Clocks that are wrong.

use std::fs;
use std::path::Path;

use crate::kit::{Failure, Result};
use crate::launch;
use crate::provider::{Login, Own};
use crate::scenarios::Outcome;
use crate::seen::{Expect, Seen};
use crate::service::Plan;
use crate::stage::{DECISION_LIMIT, MARGIN, Stage};

const NO_FAKETIME: &str = "`faketime` is not installed: run `make tools`";
const HOUR: i64 = 3_600;

fn set(clock: &Path, seconds: i64) -> Result<()> {
    // In one step, because it is read all the time.
    let new = clock.with_extension("new");
    fs::write(&new, format!("{seconds:+}\n"))
        .and_then(|()| fs::rename(&new, clock))
        .map_err(Failure::of(clock.display()))
}

/// The provider's clock and ours differ.
pub async fn skewed(stage: &mut Stage) -> Result<Outcome> {
    let clock = stage.folder.path().join("clock");
    let Some(environment) = launch::with_clock(&clock) else {
        return Outcome::not_installed(NO_FAKETIME);
    };
    set(&clock, 0)?;
    let mut own = Own::start(stage).await?;
    own.environment = environment;
    own.run(stage).await?;
    let mut service = stage.start(&own.plan(stage)).await?;
    stage.gather().await?;
    stage.watch().await?;
    stage.fault(Expect::CALM);
    for seconds in [-30, 30] {
        set(&clock, seconds)?;
        stage
            .signed_in("ben", 200)
            .await
            .map_err(Failure::of(seconds))?;
    }
    // Ten minutes ahead, what it says comes from the future.
    set(&clock, 600)?;
    let login = Login::at_the_provider(stage, "ben").await?;
    login.must_fail(stage).await.map_err(Failure::of("ahead"))?;
    // Ten minutes behind, it is stale.
    set(&clock, 0)?;
    let login = Login::at_the_provider(stage, "ben").await?;
    set(&clock, -600)?;
    login
        .must_fail(stage)
        .await
        .map_err(Failure::of("behind"))?;
    service.logs("clock", 2).await?;
    set(&clock, 0)?;
    stage.recover(Expect::CALM).await?;
    stage.signed_in("ben", 200).await?;
    service.running()?;
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    Outcome::held("half a minute either way works; ten minutes are refused, and named in the log")
}

/// Our own clock jumps.
pub async fn jumps(stage: &mut Stage) -> Result<Outcome> {
    let clock = stage.folder.path().join("clock");
    let Some(environment) = launch::with_clock(&clock) else {
        return Outcome::not_installed(NO_FAKETIME);
    };
    set(&clock, 0)?;
    let plan = Plan {
        environment,
        // Sessions end before a day is over.
        session: "idle_timeout = \"2h\"\nlifetime = \"20h\"".to_owned(),
        ..stage.plan()
    };
    let mut service = stage.start(&plan).await?;
    stage.gather().await?;
    stage.watch().await?;
    stage.changing();
    set(&clock, -HOUR)?;
    // A session that has not begun yet is none: else it would live an hour longer.
    stage.fault(Expect::SIGNED_OUT);
    stage.hold(stage.time(0.6, 5.0)).await;
    stage.changing();
    set(&clock, 24 * HOUR)?;
    stage.fault(Expect::SIGNED_OUT);
    stage.hold(stage.time(0.6, 5.0)).await;
    // The provider's clock did not jump.
    let login = Login::at_the_provider(stage, "ben").await?;
    login.must_fail(stage).await?;
    stage.changing();
    set(&clock, 0)?;
    stage.hold(stage.time(0.3, 3.0)).await;
    let seen = stage.seen_with(&stage.cookies.valid).await?;
    if !matches!(seen, Seen::SignIn | Seen::Pass) {
        return Err(Failure(format!("after the clock was set right: {seen:?}")));
    }
    stage.signed_in("ben", 200).await?;
    service.expect_health(200, 200).await?;
    service.running()?;
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    Outcome::held(format!(
        "an hour back, a day on: signed out, and no login; set right again: {seen:?}"
    ))
}
