//! The log: one line an event, JSON for machines or plain for people, on standard output.

use std::fmt;
use std::io;
use std::time::Duration;

use tracing::field::Field;
use tracing::level_filters::LevelFilter;
use tracing::{Level, Subscriber};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::Layer;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
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
    /// So many until now.
    #[must_use]
    pub fn lines(&self) -> usize {
        self.0.dropped_lines()
    }

    /// Tells in the log when there are more than before. Never returns; ends when dropped.
    pub async fn keep_telling(self) {
        let mut told = 0;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let total = self.lines();
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
    tracing_subscriber::registry()
        .with(layer(writer, level, format))
        .try_init()?;
    Ok(Log {
        _writer: guard,
        dropped,
    })
}

/// What is written, and how.
fn layer<S, W>(writer: W, level: Level, format: Format) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    // Other crates log what passes through them at their lower levels, cookies and tokens among it. So
    // `log.level` is for us alone.
    let ours = LevelFilter::from_level(level);
    let filter = Targets::new()
        .with_default(LevelFilter::WARN.min(ours))
        .with_target("portcullis", ours)
        .with_target("audit", LevelFilter::INFO.max(ours));
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    match format {
        Format::Json => layer.json().flatten_event(true).with_filter(filter).boxed(),
        Format::Pretty => layer
            .fmt_fields(debug_fn(write_field).delimited(" "))
            .with_filter(filter)
            .boxed(),
    }
}

/// One field of a line for people. What would end the line or act on a terminal is escaped: names and errors come from
/// outside.
fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    if field.name() != "message" {
        write!(writer, "{}=", field.name())?;
    }
    for c in format!("{value:?}").chars() {
        if c.is_control() {
            write!(writer, "{}", c.escape_default())?;
        } else {
            writer.write_char(c)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};
    use std::sync::Arc;

    use serde_json::Value;

    use super::*;
    use crate::domain::decision::{Decision, Reason};
    use crate::domain::forwarded::ForwardedRequest;
    use crate::domain::identity::Identity;
    use crate::domain::navigation::Initiator;
    use crate::domain::proxies::ClientAddress;
    use crate::telemetry::audit;

    /// Ends a line, begins one, moves the cursor, and turns the terminal's colours and title.
    const ATTACK: &str = "ada\r\n{\"event\":\"login\",\"subject\":\"root\"}\n\u{1b}[2J\u{1b}]0;root\u{7}\u{9b}2J\0\u{7f}";

    /// What `speak` has written.
    fn written(format: Format, speak: impl FnOnce()) -> String {
        let file = Arc::new(tempfile::tempfile().expect("a file"));
        let logs =
            tracing_subscriber::registry().with(layer(Arc::clone(&file), Level::TRACE, format));
        tracing::subscriber::with_default(logs, speak);
        let (mut file, mut text) = (&*file, String::new());
        file.rewind().expect("a file");
        file.read_to_string(&mut text).expect("UTF-8");
        text
    }

    /// One event for each way in which text from outside gets here.
    fn speak() {
        let somebody = Identity {
            issuer: ATTACK.into(),
            subject: ATTACK.into(),
            username: Some(ATTACK.into()),
            name: None,
            email: None,
            groups: vec![ATTACK.into()],
        };
        let client = ClientAddress::Unknown;
        audit::login(&somebody, client);
        audit::logout(&somebody, audit::LogoutBy::Rp, client);
        let revoked = audit::Revoked {
            subject: Some(ATTACK),
            ..audit::Revoked::default()
        };
        audit::revoke(&revoked, ATTACK);
        audit::login_failed(ATTACK, client);
        let path = "/%0d%0a%1b[2J<b>\"quoted\"";
        let request = ForwardedRequest::parse(
            "GET",
            "https",
            "films.example.net",
            path,
            client,
            Initiator::default(),
            false,
        );
        let request = request.expect("a request");
        let refused = Decision::Deny(Reason::ReservedUser(ATTACK));
        audit::refused(ATTACK, &request, &refused, Some(ATTACK), Some(&somebody));
        // As what a library says about somebody's answer.
        tracing::warn!(error = %ATTACK, "as it displays");
        tracing::warn!(groups = ?somebody.groups, "as it debugs");
        tracing::warn!("within the message: {ATTACK}");
    }

    #[test]
    fn whatever_is_logged_stays_within_its_line() {
        const EVENTS: usize = 8;
        for format in [Format::Json, Format::Pretty] {
            let text = written(format, speak);
            let lines: Vec<&str> = text.lines().collect();
            assert_eq!(lines.len(), EVENTS, "{format:?}: {text}");
            let acts = |c: &char| match format {
                // Below a blank, as JSON has it. Whoever reads it as text has to know that it is not.
                Format::Json => *c < ' ',
                // The colours are ours.
                Format::Pretty => c.is_control() && *c != '\u{1b}',
            };
            let acting: Vec<char> = lines.concat().chars().filter(acts).collect();
            assert!(acting.is_empty(), "{format:?}: {acting:?} in {text}");
            let foreign = text.contains("\u{1b}[2J") || text.contains("\u{1b}]");
            assert!(!foreign, "{format:?}: {text:?}");
            // Nothing is lost by that.
            assert!(lines.iter().all(|line| line.contains("root")), "{text}");
        }
        for line in written(Format::Json, speak).lines() {
            let line: Value = serde_json::from_str(line).expect("JSON");
            assert!(line["level"].is_string(), "{line}");
        }
    }
}
