//! Memory: of an instance that has answered once, and of each session that it keeps.

use std::path::Path;

use serde_json::json;

use super::answer_about;
use crate::client::Client;
use crate::filled::Filled;
use crate::kit::{Failure, Result};
use crate::machine::resident_memory;
use crate::question::{cookie, request, verify_headers};
use crate::report::{Row, figure};
use crate::service::{Configuration, Store};

const MOST_IDLE_MIB: f64 = 16.0;
const MOST_EACH_KIB: f64 = 1.0;

const SESSIONS: usize = 20_000;
/// Asked first, so that connections and buffers are there already.
const WARM_UP: usize = 2_000;

pub async fn measure(folder: &Path) -> Result<Vec<Row>> {
    let filled = Filled::start(folder, "memory", WARM_UP + SESSIONS).await?;
    let url = filled.redis.url();
    let store = Store {
        url: &url,
        password_file: None,
    };
    // On all cores: each has a worker.
    let configuration = Configuration::write(folder, "memory", &store)?;
    let service = configuration.start_on_all_cores().await?;
    let process = service.running.id();
    answer_about(&service, &filled.first_cookie()?)?;
    let idle = resident_memory(process)? / 1024.0 / 1024.0;
    let file = &filled.cookies.file;
    let cookies = std::fs::read_to_string(file).map_err(Failure::of(file.display()))?;
    let requests: Vec<String> = cookies
        .lines()
        .map(|value| request("/verify", &verify_headers(Some(&cookie(value)))))
        .collect();
    let mut client = Client::connect(service.ports.verify)?;
    let mut ask = |requests: &[String]| -> Result<()> {
        for request in requests {
            let answer = client.ask(request)?;
            if answer.status != 200 {
                return Err(Failure(format!("the answer is {}", answer.status)));
            }
        }
        Ok(())
    };
    let (first, others) = requests.split_at(WARM_UP);
    // Twice: whatever is worked out at the second time is there then.
    ask(first)?;
    ask(first)?;
    let (before, hits_before) = (resident_memory(process)?, hits(&service)?);
    ask(others)?;
    ask(others)?;
    let grown = resident_memory(process)? - before;
    if hits(&service)? - hits_before != SESSIONS as u64 {
        return Err(Failure::new("not all of the sessions are kept"));
    }
    #[expect(clippy::cast_precision_loss, reason = "a small count")]
    let each = grown / SESSIONS as f64 / 1024.0;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(vec![
        Row::small("memory_idle", "MiB", idle, MOST_IDLE_MIB)
            .with(json!({ "workers": cores }))
            .about(&format!(
                "resident after a start with Redis and one request, {cores} workers"
            )),
        Row::small("memory_session", "KiB", each, MOST_EACH_KIB)
            .with(json!({ "sessions": SESSIONS, "grown_mib": figure(grown / 1024.0 / 1024.0) }))
            .about(&format!(
                "growth of resident memory for each of {SESSIONS} sessions in the cache"
            )),
    ])
}

fn hits(service: &crate::service::Service) -> Result<u64> {
    service.counted("portcullis_session_cache_hits_total")
}
