//! The log: one line an event, JSON for machines or plain for people, on standard output.

use std::io;

use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// One JSON object a line.
    #[default]
    Json,
    /// For reading.
    Pretty,
}

/// How many lines may wait for a reader. Further ones are dropped: a log that nobody reads must not stop
/// the door.
const MAX_WAITING_LINES: usize = 16_384;

/// Starts logging, from `level` on. Lines are written while the guard lives.
///
/// # Errors
///
/// When logging was started before.
pub fn start(level: Level, format: Format) -> Result<WorkerGuard, TryInitError> {
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(MAX_WAITING_LINES)
        .finish(io::stdout());
    // Other crates log what passes through them at their lower levels, cookies and tokens among it. So
    // `log.level` is for us alone.
    let ours = LevelFilter::from_level(level);
    let filter = Targets::new()
        .with_default(LevelFilter::WARN.min(ours))
        .with_target("portcullis", ours)
        .with_target("audit", LevelFilter::INFO.max(ours));
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    let layer = match format {
        Format::Json => layer.json().flatten_event(true).boxed(),
        Format::Pretty => layer.boxed(),
    };
    tracing_subscriber::registry()
        .with(layer.with_filter(filter))
        .try_init()?;
    Ok(guard)
}
