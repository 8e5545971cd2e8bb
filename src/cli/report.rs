//! What commands write: results to standard output, complaints to standard error, a line for each.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::config::{Problem, Problems};

/// Says everything that is wrong or questionable.
pub(super) fn problems(problems: &Problems) {
    warnings(problems.warnings());
    lines("error", problems.errors());
}

/// Says what is only questionable.
pub(super) fn warnings(warnings: &[Problem]) {
    lines("warning", warnings);
}

/// Says why the command could not do its work.
pub(super) fn error(message: &str) {
    // There is nowhere left to complain to.
    let _ = writeln!(io::stderr().lock(), "error: {message}");
}

/// Writes `text` to standard output. A reader that has seen enough (`| head`) is no failure.
pub(super) fn print(text: &str) -> ExitCode {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes());
    match written.and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            self::error(&format!("standard output: {error}"));
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

fn lines(kind: &str, problems: &[Problem]) {
    let mut stderr = io::stderr().lock();
    for problem in problems {
        let _ = writeln!(stderr, "{kind}: {problem}");
    }
}
