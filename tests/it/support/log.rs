//! What the program logs while the tests run: warnings and errors, audit events, and whatever the OIDC side says at any
//! level.
//!
//! One subscriber for the whole process, because the service has threads of its own. A test finds its lines by the address
//! of its client, or by its issuer.

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use serde_json::Value;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn lines() -> MutexGuard<'static, Vec<String>> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Kept;

impl Write for Kept {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        lines().push(String::from_utf8_lossy(line).into_owned());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps what is logged from now on.
pub fn capture() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let filter = Targets::new()
            .with_default(LevelFilter::WARN)
            .with_target("portcullis::oidc", LevelFilter::TRACE)
            .with_target("portcullis::config", LevelFilter::TRACE)
            .with_target("audit", LevelFilter::INFO);
        let layer = tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_writer(|| Kept);
        tracing_subscriber::registry()
            .with(layer.with_filter(filter))
            .try_init()
            .expect("the only one of this process");
    });
}

/// The lines in which `field` is `value`.
pub fn with(field: &str, value: &str) -> Vec<Value> {
    // There are thousands: those without its text need no reading.
    let written = Value::from(value).to_string();
    let all: Vec<String> = lines()
        .iter()
        .filter(|line| line.contains(&written))
        .cloned()
        .collect();
    let parsed = all
        .iter()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    parsed.filter(|line: &Value| line[field] == value).collect()
}

/// All of it, as it was written.
pub fn text() -> String {
    lines().concat()
}
