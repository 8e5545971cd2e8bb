//! `portcullis secret`: a new key for `session.secret_file`.

use std::process::ExitCode;

use secrecy::ExposeSecret;

use crate::config;

/// Prints 32 new random bytes in base64url, on a line of their own.
pub(super) fn run() -> ExitCode {
    super::print(&format!("{}\n", config::new_key().expose_secret()))
}
