//! What `portcullis snippet` prints for the configuration of a run, with what it leaves open filled in.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Failure, Result};

/// What is printed, and what is filled in.
pub struct Places<'a> {
    pub program: &'a Path,
    /// The service's configuration.
    pub configuration: &'a Path,
    pub services: &'a [&'a str],
    pub https_port: u16,
    /// Every host that is served.
    pub hosts: &'a [&'a str],
    pub app_port: u16,
    /// What an operator changes beside that.
    pub changes: &'a [(&'a str, &'a str)],
    /// Certificate chain and key of a host.
    pub certificate: &'a dyn Fn(&str) -> (PathBuf, PathBuf),
}

impl Places<'_> {
    /// The snippet for `proxy` as it is printed.
    ///
    /// # Errors
    ///
    /// When it is not printed, or something is said beside it.
    pub fn printed(&self, proxy: &str) -> Result<String> {
        let printed = Command::new(self.program)
            .args(["snippet", proxy])
            .args(self.services)
            .arg("--config")
            .arg(self.configuration)
            .output()
            .map_err(Failure::of("snippet"))?;
        let said = String::from_utf8_lossy(&printed.stderr);
        if !printed.status.success() || !said.is_empty() {
            return Err(Failure(format!("snippet {proxy}: {said}")));
        }
        String::from_utf8(printed.stdout).map_err(Failure::of("snippet"))
    }

    /// The same with all apps at the one port, and what an operator changes.
    ///
    /// # Errors
    ///
    /// As [`printed`](Self::printed), and when it leaves no app to be filled in.
    pub fn snippet(&self, proxy: &str) -> Result<String> {
        let mut text = self.printed(proxy)?;
        for (from, to) in self.changes {
            text = replaced(&text, from, to)?;
        }
        // A Caddyfile has the app's address behind a #.
        let open = text.replace("# reverse_proxy ", "reverse_proxy ");
        let lines = open.lines().map(|line| match line.trim_start() {
            comment if comment.starts_with('#') => line.to_owned(),
            _ => line.replace("PORT", &self.app_port.to_string()),
        });
        let filled = lines.collect::<Vec<_>>().join("\n") + "\n";
        if filled == text {
            return Err(Failure(format!("snippet {proxy} leaves no app open")));
        }
        Ok(filled)
    }
}

/// Replaces what has to be in `text`.
///
/// # Errors
///
/// When it is not.
pub fn replaced(text: &str, from: &str, to: &str) -> Result<String> {
    if text.contains(from) {
        Ok(text.replace(from, to))
    } else {
        Err(Failure(format!("there is no `{from}` to be replaced")))
    }
}
