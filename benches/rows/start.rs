//! From the start of the program to its first answer, while the provider does not answer.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::client;
use crate::compare::{Spread, rounds};
use crate::kit::{Failure, Result};
use crate::question::{request, verify_headers};
use crate::report::{Row, spread};
use crate::service::{Configuration, Store, program};

const MOST_MS: f64 = 100.0;
const LIMIT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_micros(200);

pub fn measure(folder: &Path) -> Result<Vec<Row>> {
    let file = folder.join("start.redb");
    let store = Store {
        url: &format!("file:{}", file.display()),
        password_file: None,
    };
    let configuration = Configuration::write(folder, "start", &store)?;
    // The first makes the file.
    first_answer(&configuration)?;
    let times: Result<Vec<f64>> = (0..rounds())
        .map(|_| first_answer(&configuration))
        .collect();
    let times = Spread::of(times?);
    Ok(vec![
        Row::small("start", "ms", times.median, MOST_MS)
            .with(json!({ "rounds": rounds(), "quartiles": spread(&times)["quartiles"] }))
            .about(&format!(
                "to the first answer of /verify, sessions in a file, provider down; quartiles {:.1} to {:.1}",
                times.lower, times.upper
            )),
    ])
}

/// In milliseconds.
fn first_answer(configuration: &Configuration) -> Result<f64> {
    let question = request("/verify", &verify_headers(None));
    let begun = Instant::now();
    let mut child = Command::new(program())
        .args(["serve", "--config"])
        .arg(&configuration.file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(Failure::of("portcullis"))?;
    let answer = loop {
        match client::ask(configuration.ports.verify, &question) {
            Err(_) if begun.elapsed() < LIMIT => std::thread::sleep(POLL),
            answer => break answer,
        }
    };
    let took = begun.elapsed();
    // It had nothing to keep.
    let _ = child.kill();
    let _ = child.wait();
    match answer?.status {
        401 => Ok(took.as_secs_f64() * 1e3),
        other => Err(Failure(format!("the first answer is {other}"))),
    }
}
