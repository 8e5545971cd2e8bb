//! Records that are not what was written.

use crate::kit::redis_server::RedisServer;
use crate::kit::{Failure, Result};
use crate::scenarios::Outcome;
use crate::scenarios::redis::{each_key, plan};
use crate::seen::Expect;
use crate::stage::{DECISION_LIMIT, MARGIN, NOTICE_LIMIT, Stage};

const SESSIONS: &str = "portcullis:session:*";
const KEPT: &str = "kept:portcullis:session:*";

/// What stands there is not what was written: nobody's session, and nothing breaks.
pub async fn broken(stage: &mut Stage) -> Result<Outcome> {
    let redis = RedisServer::start();
    let mut service = stage.start(&plan(stage, &redis.url())).await?;
    stage.gather().await?;
    each_key(&redis, SESSIONS, "redis.call('COPY', key, 'kept:' .. key)")?;
    stage.watch().await?;
    #[rustfmt::skip] // the columns are the point
    let kinds = [
        ("garbage",            "'what is this'"),
        ("empty",              "''"),
        ("cut short",          "string.sub(value, 1, -20)"),
        ("a byte changed",     "string.sub(value, 1, 60) .. string.char((string.byte(value, 61) + 1) % 256) .. string.sub(value, 62)"),
        ("of another format",  "string.sub(value, 1, 8) .. string.char(0) .. string.sub(value, 10)"),
        ("another session's",  "other"),
    ];
    for (name, becomes) in kinds {
        stage.changing();
        rewrite_sessions(&redis, becomes).map_err(Failure::of(name))?;
        stage.hold(NOTICE_LIMIT).await;
        stage.fault(Expect::SIGNED_OUT);
        stage.hold(stage.time(0.4, 5.0)).await;
    }
    stage.changing();
    each_key(
        &redis,
        SESSIONS,
        "redis.call('DEL', key); redis.call('LPUSH', key, 'x')",
    )?;
    // That is no record at all: the store is not what it should be, and says so.
    stage.hold(stage.time(0.4, 5.0)).await;
    each_key(&redis, SESSIONS, "redis.call('DEL', key)")?;
    each_key(&redis, KEPT, "redis.call('COPY', key, string.sub(key, 6))")?;
    stage.recover(Expect::CALM).await?;
    if service.log().contains("a panic") {
        return Err(Failure::new("a handler panicked"));
    }
    service.running()?;
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    let names = kinds.map(|(name, _)| name);
    Outcome::held(format!("nobody's session: {}", names.join(", ")))
}

/// Writes what Lua makes of each session's kept `value`, or of that of the `other` one beside it.
fn rewrite_sessions(redis: &RedisServer, becomes: &str) -> Result<()> {
    let script = format!(
        "local keys = redis.call('KEYS', '{KEPT}')
         for i, key in ipairs(keys) do
           local value, other = redis.call('GET', key), redis.call('GET', keys[i % #keys + 1])
           redis.call('SET', string.sub(key, 6), {becomes}, 'KEEPTTL')
         end
         return #keys"
    );
    let answer = redis.ask(&["EVAL", &script, "0"]);
    match answer.parse::<usize>() {
        // Two at least, so that there is another one.
        Ok(2..) => Ok(()),
        _ => Err(Failure(format!("nothing was changed in Redis: {answer}"))),
    }
}
