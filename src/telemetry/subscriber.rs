//! The log: one line an event, JSON for machines or plain for people, on standard output.

use std::io;
use std::time::Duration;

use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
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

/// Between two looks at how many lines were dropped.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The log. Lines are written while this lives.
#[derive(Debug)]
pub struct Log {
    _writer: WorkerGuard,
    dropped: ErrorCounter,
}

impl Log {
    /// Counts the lines that were dropped because nobody read them in time.
    #[must_use]
    pub fn dropped(&self) -> Dropped {
        Dropped(self.dropped.clone())
    }
}

/// How many lines were dropped.
#[derive(Debug)]
pub struct Dropped(ErrorCounter);

impl Dropped {
    /// Tells in the log when there are more than before. Never returns; ends when dropped.
    pub async fn keep_telling(self) {
        let mut told = 0;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let total = self.0.dropped_lines();
            if total > told {
                let lines = total - told;
                // This line may be dropped as well; then the next one counts it.
                tracing::warn!(
                    lines,
                    total,
                    "lines of this log were dropped: whoever reads it was too slow"
                );
                told = total;
            }
        }
    }
}

/// Starts logging, from `level` on.
///
/// # Errors
///
/// When logging was started before.
pub fn start(level: Level, format: Format) -> Result<Log, TryInitError> {
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(MAX_WAITING_LINES)
        .finish(io::stdout());
    let dropped = writer.error_counter();
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
    Ok(Log {
        _writer: guard,
        dropped,
    })
}
