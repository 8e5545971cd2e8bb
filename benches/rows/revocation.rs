//! How long another instance goes on letting somebody in who signs out at this one.

use std::path::Path;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::answer_about;
use crate::client::Client;
use crate::compare::quantile;
use crate::filled::Filled;
use crate::kit::{Failure, Result};
use crate::question::{cookie, request, verify_headers, verify_headers_at};
use crate::report::{Row, figure};
use crate::service::{Configuration, Service, Store};

const MOST_MS: f64 = 100.0;
const REVOCATIONS: usize = 300;
const LIMIT: Duration = Duration::from_secs(10);

pub async fn measure(folder: &Path) -> Result<Vec<Row>> {
    let filled = Filled::start(folder, "revocation", REVOCATIONS).await?;
    let url = filled.redis.url();
    let store = Store {
        url: &url,
        password_file: None,
    };
    let one = Configuration::write(folder, "one", &store)?
        .start_on_all_cores()
        .await?;
    let other = Configuration::write(folder, "other", &store)?
        .start_on_all_cores()
        .await?;
    let file = &filled.cookies.file;
    let cookies = std::fs::read_to_string(file).map_err(Failure::of(file.display()))?;
    let times: Result<Vec<f64>> = cookies
        .lines()
        .map(|value| obeyed(&one, &other, value))
        .collect();
    let mut times = times?;
    times.sort_by(f64::total_cmp);
    let (median, p99) = (quantile(&times, 0.5), quantile(&times, 0.99));
    let longest = quantile(&times, 1.0);
    Ok(vec![
        Row::small("revocation", "ms", p99, MOST_MS)
            .with(json!({ "revocations": times.len(), "p50": figure(median), "longest": figure(longest) }))
            .about(&format!(
                "p99 of {} sign-outs, from the request at one instance to the first refusal at another that had the session \
                 in memory; p50 {median:.2}, longest {longest:.2}",
                times.len()
            )),
    ])
}

/// In milliseconds, from when the sign-out was asked for.
fn obeyed(one: &Service, other: &Service, value: &str) -> Result<f64> {
    for _ in 0..2 {
        answer_about(one, value)?;
        answer_about(other, value)?;
    }
    let mut probing = Client::connect(other.ports.verify)?;
    let question = request("/verify", &verify_headers(Some(&cookie(value))));
    let (under_way, begins) = channel();
    let probe = thread::spawn(move || -> Result<Instant> {
        let begun = Instant::now();
        let mut answers = 0_u32;
        while begun.elapsed() < LIMIT {
            let answer = probing.ask(&question)?;
            if answer.status != 200 {
                return Ok(Instant::now());
            }
            answers += 1;
            if answers == 10 {
                // Whoever waits for it is there.
                let _ = under_way.send(());
            }
        }
        Err(Failure::new("the other instance did not obey"))
    });
    begins.recv().map_err(Failure::of("probe"))?;
    let headers = verify_headers_at("/.portcullis/logout", &cookie(value));
    let mut leaving = Client::connect(one.ports.verify)?;
    let begun = Instant::now();
    let answer = leaving.ask(&request("/verify", &headers))?;
    if answer.status != 302 {
        return Err(Failure(format!(
            "the sign-out is answered {}",
            answer.status
        )));
    }
    let refused = probe
        .join()
        .map_err(|_| Failure::new("the probe panicked"))??;
    Ok(refused.saturating_duration_since(begun).as_secs_f64() * 1e3)
}
