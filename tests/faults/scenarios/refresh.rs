//! Access tokens lapse while the provider is away. Whoever is signed in notices nothing, and is known better afterwards.

use std::time::{Duration, Instant};

use crate::kit::fault::{Endpoint, Fault};
use crate::kit::{Failure, Result};
use crate::provider::Own;
use crate::scenarios::Outcome;
use crate::seen::Expect;
use crate::stage::{DECISION_LIMIT, MARGIN, Stage};

/// The least that counts, in seconds.
const ACCESS_TTL: u32 = 10;

/// How long a session may take that is tried again at last, with what a busy machine adds.
const RENEWED_WITHIN: Duration = Duration::from_secs(20);

/// The token endpoint breaks each connection, for longer than any token lives.
pub async fn lapse_while_away(stage: &mut Stage) -> Result<Outcome> {
    let mut own = Own::start(stage).await?;
    let ttl = ("PROVIDER_ACCESS_TTL".to_owned(), ACCESS_TTL.to_string());
    own.environment.push(ttl);
    own.run(stage).await?;
    let mut service = stage.start(&own.plan(stage)).await?;
    stage.gather().await?;
    stage.watch().await?;
    let issued = |own: &Own| own.provider.as_ref().map_or(0, |it| it.issued().len());
    let before = own.proxy.asked(Endpoint::Token);
    own.proxy.set(Endpoint::Token, Fault::Reset);
    stage.fault(Expect::CALM);
    let away = stage.time(12.0, 35.0);
    stage.hold(away).await;
    let tries = own.proxy.asked(Endpoint::Token) - before;
    if tries == 0 {
        return Err(Failure::new("nothing was to be renewed"));
    }
    let before = issued(&own);
    own.proxy.clear();
    stage.recover(Expect::CALM).await?;
    let healed = Instant::now();
    while issued(&own) == before {
        if healed.elapsed() > RENEWED_WITHIN {
            return Err(Failure::new("nothing is renewed any more"));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    service.expect_health(200, 200).await?;
    service.running()?;
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    Outcome::held(format!(
        "asked {tries} times in {:.0} s",
        away.as_secs_f64()
    ))
}
