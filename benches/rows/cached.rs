//! Somebody who was here a moment ago, against a handler that knows nothing and answers the same.

use std::path::Path;

use super::{answer_about, check_allowed};
use crate::compare::{Side, in_turns};
use crate::filled::Filled;
use crate::kit::Result;
use crate::load::{Asks, CONNECTIONS, Load};
use crate::question::{cookie, verify_headers};
use crate::reference::{Kind, Reference};
use crate::report::Row;
use crate::service::{Configuration, Store};

const TARGET: f64 = 0.90;
/// How many times the reference's time may 99 of 100 requests take.
const MOST_P99: f64 = 1.5;

pub async fn measure(folder: &Path) -> Result<Vec<Row>> {
    let filled = Filled::start(folder, "cached", 100).await?;
    let url = filled.redis.url();
    let store = Store {
        url: &url,
        password_file: None,
    };
    let service = Configuration::write(folder, "cached", &store)?
        .start()
        .await?;
    let value = filled.first_cookie()?;
    let answer = answer_about(&service, &value)?;
    let reference = Reference::start(folder, "bare", &Kind::Bare, &answer).await?;
    let headers = verify_headers(Some(&cookie(&value)));
    let load = |port: u16| Load {
        url: format!("http://127.0.0.1:{port}/verify"),
        asks: Asks::The(&headers),
        connections: CONNECTIONS,
    };
    let before = service.decisions()?;
    let comparison = in_turns(
        folder,
        &Side {
            load: &|_| load(service.ports.verify),
            processes: &[service.running.id()],
        },
        &Side {
            load: &|_| load(reference.port),
            processes: &[reference.running.id()],
        },
    )?;
    check_allowed(&service, before, &comparison)?;
    let mut row = Row::compared("cached", TARGET, &comparison);
    row.is_met_otherwise = comparison.p99_ratio.median <= MOST_P99;
    Ok(vec![row.about(
        "/verify, session in memory, against a bare handler",
    )])
}
