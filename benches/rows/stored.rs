//! Sessions that have to be read from Redis: against one `GET`, and many of them against few.

use std::path::Path;

use serde_json::json;

use super::{answer_about, check_allowed};
use crate::compare::{Side, in_turns};
use crate::filled::Filled;
use crate::kit::{Failure, Result};
use crate::load::{Asks, CONNECTIONS, Load, PLACE, Values};
use crate::question::{cookie, request, verify_headers};
use crate::reference::{Kind, Reference};
use crate::report::{Row, figure};
use crate::service::{Configuration, Service, Store};

const REDIS_TARGET: f64 = 0.85;
const MILLION_TARGET: f64 = 0.95;

const MANY: usize = 1_000_000;
const FEW: usize = 1_000;

/// How many are many, unless `PORTCULLIS_BENCH_SESSIONS` says otherwise: a million takes minutes to write.
fn many() -> usize {
    let asked = std::env::var("PORTCULLIS_BENCH_SESSIONS").ok();
    asked
        .and_then(|count| count.parse().ok())
        .filter(|count| *count > FEW)
        .unwrap_or(MANY)
}

/// Both rows, or the one that is wanted.
pub async fn measure(folder: &Path, wanted: impl Fn(&str) -> bool) -> Result<Vec<Row>> {
    let filled = Filled::start(folder, "many", many()).await?;
    let mut rows = Vec::new();
    if wanted("redis") {
        rows.push(against_a_get(folder, &filled).await?);
    }
    if wanted("million") {
        rows.push(against_few(folder, &filled).await?);
    }
    Ok(rows)
}

/// Requests of those who are signed in, in no order.
fn load<'a>(port: u16, text: &'a str, values: &'a Values, round: usize) -> Load<'a> {
    Load {
        url: format!("http://127.0.0.1:{port}/verify"),
        asks: Asks::Any {
            request: text,
            values,
            seed: round as u64,
        },
        connections: CONNECTIONS,
    }
}

fn text() -> String {
    request("/verify", &verify_headers(Some(&cookie(PLACE))))
}

/// The cache is on, as it is. It has room for few of so many.
async fn against_a_get(folder: &Path, filled: &Filled) -> Result<Row> {
    let url = filled.redis.url();
    let store = Store {
        url: &url,
        password_file: None,
    };
    let service = Configuration::write(folder, "redis", &store)?
        .start()
        .await?;
    let answer = answer_about(&service, &filled.first_cookie()?)?;
    let keys = filled.names().await?;
    let kind = Kind::Redis {
        url: &url,
        keys: &keys,
    };
    let reference = Reference::start(folder, "redis-get", &kind, &answer).await?;
    let text = text();
    let before = service.decisions()?;
    let hits = service.counted("portcullis_session_cache_hits_total")?;
    let comparison = in_turns(
        folder,
        &Side {
            load: &|round| load(service.ports.verify, &text, &filled.cookies, round),
            processes: &[service.running.id()],
        },
        &Side {
            load: &|round| load(reference.port, &text, &filled.cookies, round),
            processes: &[reference.running.id()],
        },
    )?;
    check_allowed(&service, before, &comparison)?;
    let hits = service.counted("portcullis_session_cache_hits_total")? - hits;
    let read = 1.0 - share(hits, service.decisions()?.0 - before.0);
    let row = Row::compared("redis", REDIS_TARGET, &comparison);
    let about = format!(
        "/verify about {} sessions, {:.1} % of them read from Redis, against one GET",
        filled.cookies.count,
        read * 100.0
    );
    Ok(row
        .with(json!({ "sessions": filled.cookies.count, "read_from_redis": figure(read) }))
        .about(&about))
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// An instance that Redis may not tell of changes looks every session up: else the few would be in memory.
async fn against_few(folder: &Path, many: &Filled) -> Result<Row> {
    let few = Filled::start(folder, "few", FEW).await?;
    // The reference has to draw from as large a file.
    let drawn_from = few.repeated_like(&many.cookies)?;
    let (ours, reference) = (
        deaf(folder, "million", many).await?,
        deaf(folder, "thousand", &few).await?,
    );
    let text = text();
    let before = ours.decisions()?;
    let comparison = in_turns(
        folder,
        &Side {
            load: &|round| load(ours.ports.verify, &text, &many.cookies, round),
            processes: &[ours.running.id()],
        },
        &Side {
            load: &|round| load(reference.ports.verify, &text, &drawn_from, round),
            processes: &[reference.running.id()],
        },
    )?;
    check_allowed(&ours, before, &comparison)?;
    let row = Row::compared("million", MILLION_TARGET, &comparison);
    let about = format!(
        "/verify with {} sessions in Redis against {FEW}, each read from Redis",
        many.cookies.count
    );
    Ok(row
        .with(json!({ "sessions": many.cookies.count }))
        .about(&about))
}

async fn deaf(folder: &Path, name: &str, filled: &Filled) -> Result<Service> {
    let (url, password) = filled.deaf(folder)?;
    let store = Store {
        url: &url,
        password_file: Some(&password),
    };
    let service = Configuration::write(folder, name, &store)?.start().await?;
    let value = filled.first_cookie()?;
    answer_about(&service, &value)?;
    answer_about(&service, &value)?;
    if service.counted("portcullis_session_cache_hits_total")? > 0 {
        return Err(Failure::new("the session was in memory"));
    }
    Ok(service)
}
