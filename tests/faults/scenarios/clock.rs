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

/// The provider's clock and ours differ. It is ours that is set, which comes to the same.
pub async fn skewed(stage: &mut Stage) -> Result<Outcome> {
    let clock = stage.folder.path().join("clock");
    let Some(environment) = launch::with_clock(&clock) else {
        return Outcome::not_here(NO_FAKETIME);
    };
    set(&clock, 0)?;
    let own = Own::start(stage).await?;
    let plan = Plan {
        environment,
        ..own.plan(stage)
    };
    let mut service = stage.start(&plan).await?;
    stage.gather().await?;
    stage.watch().await?;
    stage.fault(Expect::CALM);
    for seconds in [-30, 30] {
        set(&clock, seconds)?;
        stage.signed_in("ben", 200).await.map_err(Failure::of(seconds))?;
    }
    // The provider's is ten minutes ahead: what it says comes from the future.
    set(&clock, -600)?;
    let login = Login::at_the_provider(stage, "ben").await?;
    login.must_fail(stage).await.map_err(Failure::of("ten minutes ahead"))?;
    // And it has been too long underway when it is behind by more than its tokens live.
    set(&clock, 2 * HOUR)?;
    let login = Login::at_the_provider(stage, "ben").await?;
    login.must_fail(stage).await.map_err(Failure::of("two hours behind"))?;
    let log = service.log();
    let named = log.lines().filter(|line| line.contains("clock")).count();
    if named < 2 {
        return Err(Failure(format!("the log does not name the clocks:\n{}", service.running()?.last_words())));
    }
    set(&clock, 0)?;
    stage.recover(Expect::CALM).await?;
    stage.signed_in("ben", 200).await?;
    service.running()?;
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    Outcome::held("half a minute either way works; ten minutes ahead and two hours behind are refused, and named in the log")
}

/// Our own clock jumps.
pub async fn jumps(stage: &mut Stage) -> Result<Outcome> {
    let clock = stage.folder.path().join("clock");
    let Some(environment) = launch::with_clock(&clock) else {
        return Outcome::not_here(NO_FAKETIME);
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
    stage.fault(Expect::CALM);
    stage.signed_in("ben", 200).await?;
    stage.hold(stage.time(0.6, 5.0)).await;
    stage.changing();
    set(&clock, 24 * HOUR)?;
    stage.fault(Expect::SIGNED_OUT);
    stage.hold(stage.time(0.6, 5.0)).await;
    // A login of the new day is as good as any, and does not end with the old one.
    stage.signed_in("ben", 200).await?;
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
    Outcome::held(format!("an hour back: nothing; a day on: signed out; set right again: {seen:?}"))
}
