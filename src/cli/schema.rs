//! `portcullis schema`: the JSON schema of the configuration, for editors and generators.

use std::process::ExitCode;

use crate::config::schema;

/// Prints it.
pub(super) fn run() -> ExitCode {
    super::print(&format!("{:#}\n", schema()))
}
