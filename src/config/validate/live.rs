//! Secrets that follow their files while the service runs.

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use super::Files;
use crate::config::problems::Problems;
use crate::config::secrets;
use crate::config::watch::{SecretForm, WatchedSecret};
use crate::domain::upstream_key::LiveSecret;

/// Reads such secrets, and notes which files they come from.
pub(super) struct LiveFiles<'a> {
    files: &'a Files<'a>,
    /// `danger_allow_inline_secrets`
    inline: bool,
    watched: Vec<WatchedSecret>,
}

/// A secret as it is written: in a file, `value_file`, or where that is allowed as `value` itself.
pub(super) struct Written<'a> {
    /// The path of the table that it stands in.
    pub(super) owner: &'a str,
    /// The key of the secret itself; `_file` behind it is the other.
    pub(super) key: &'a str,
    pub(super) inline: Option<&'a SecretString>,
    pub(super) file: Option<&'a Path>,
    pub(super) form: SecretForm,
}

impl Written<'_> {
    pub(super) fn is_given(&self) -> bool {
        self.inline.is_some() || self.file.is_some()
    }
}

impl<'a> LiveFiles<'a> {
    pub(super) fn new(files: &'a Files<'a>, inline: bool) -> Self {
        Self {
            files,
            inline,
            watched: Vec::new(),
        }
    }

    pub(super) fn into_watched(self) -> Vec<WatchedSecret> {
        self.watched
    }

    /// What `file` holds, which `key` names: a text that is no secret, so whoever may read it may.
    pub(super) fn public_text(
        &mut self,
        key: &str,
        file: &Path,
        problems: &mut Problems,
    ) -> Option<LiveSecret> {
        let path = self.files.folders.find(file);
        match secrets::read_secret(&path) {
            Ok(read) => Some(self.watch(key, path, SecretForm::Text, read.value)),
            Err(error) => {
                problems.at(key, error.to_string());
                None
            }
        }
    }

    /// The secret; `None` where there is none, and where that has been reported.
    pub(super) fn secret(
        &mut self,
        written: &Written<'_>,
        problems: &mut Problems,
    ) -> Option<LiveSecret> {
        let Written { owner, key, .. } = written;
        if written.inline.is_some() && written.file.is_some() {
            let message = format!("is given twice: here and by {key}_file");
            problems.at(format!("{owner}.{key}"), message);
            return None;
        }
        match (written.inline, written.file) {
            (Some(secret), _) => self.inline(written, secret, problems),
            (None, Some(file)) => self.file(written, file, problems),
            (None, None) => None,
        }
    }

    fn inline(
        &self,
        written: &Written<'_>,
        secret: &SecretString,
        problems: &mut Problems,
    ) -> Option<LiveSecret> {
        let path = format!("{}.{}", written.owner, written.key);
        let text = secret.expose_secret();
        if !self.inline {
            problems.at(
                path,
                format!(
                    "secrets do not belong here: put it into a file and name that in {}_file \
                     (danger_allow_inline_secrets = true would allow it)",
                    written.key
                ),
            );
        } else if text.trim().is_empty() {
            problems.at(path, "is empty");
        } else if written.form == SecretForm::HeaderValue && !secrets::is_header_value(text) {
            problems.at(
                path,
                "holds something that no header can carry: only visible ASCII can be sent",
            );
        } else {
            return Some(LiveSecret::new(secret.clone()));
        }
        None
    }

    fn file(
        &mut self,
        written: &Written<'_>,
        file: &Path,
        problems: &mut Problems,
    ) -> Option<LiveSecret> {
        let key = format!("{}.{}_file", written.owner, written.key);
        let path = self.files.folders.find(file);
        let read = secrets::read_in_form(&path, written.form);
        let value = Files::take(&key, &path, read, problems)?;
        Some(self.watch(&key, path, written.form, value))
    }

    fn watch(
        &mut self,
        key: &str,
        path: PathBuf,
        form: SecretForm,
        value: SecretString,
    ) -> LiveSecret {
        let secret = LiveSecret::new(value);
        self.watched.push(WatchedSecret {
            key: key.to_owned(),
            path,
            form,
            secret: secret.clone(),
        });
        secret
    }
}
