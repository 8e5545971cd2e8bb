//! Files and environment → one tree, the later source winning.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use config::{ConfigError, Environment, FileFormat};

use super::drop_ins::{self, Tree};
use super::problems::Problems;
use super::raw::RawConfig;
use super::{read, secrets};

/// Where the configuration is when nobody says so.
const DEFAULT_PATH: &str = "/etc/portcullis/portcullis.toml";

/// Before every variable that is a setting: `PORTCULLIS__SESSION__STORE`.
const PREFIX: &str = "PORTCULLIS__";

/// The longest file that is read, in bytes.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// Variables of the environment. Handed in, so that tests need not change those of the process.
pub type Variables = Vec<(OsString, OsString)>;

/// What was read, and where relative paths in it begin.
pub(super) struct Loaded {
    pub(super) raw: RawConfig,
    pub(super) folders: Folders,
}

/// Where relative paths of the configuration begin.
pub(super) struct Folders {
    /// The configuration's own folder.
    pub(super) configuration: PathBuf,
    /// Where systemd puts credentials; read-only.
    pub(super) credentials: Option<PathBuf>,
}

impl Folders {
    /// The file that `written` means: the credential of that name if there is one, else the file beside the
    /// configuration, which may be still to be made.
    pub(super) fn find(&self, written: &Path) -> PathBuf {
        let credential = self.credentials.as_ref().map(|folder| folder.join(written));
        let credential = credential.filter(|file| file.exists());
        credential.unwrap_or_else(|| self.configuration.join(written))
    }
}

/// Reads `path`, else what `$PORTCULLIS_CONFIG` names, else the default file; then the environment.
/// What cannot be read at all is a problem and no [`Loaded`].
pub(super) fn load(
    path: Option<&Path>,
    variables: &Variables,
    problems: &mut Problems,
) -> Option<Loaded> {
    let named = path
        .map(Path::to_owned)
        .or_else(|| variable(variables, "PORTCULLIS_CONFIG"));
    let path = named.clone().unwrap_or_else(|| DEFAULT_PATH.into());
    let shown = path.display().to_string();
    let settings = settings(variables, problems);
    let text = match read_file(&path) {
        Ok(text) => text,
        Err(reason) => {
            let hint = if named.is_none() {
                "; --config or PORTCULLIS_CONFIG names another file"
            } else {
                ""
            };
            problems.at(shown, format!("cannot be read: {reason}{hint}"));
            return None;
        }
    };
    let is_json = path.extension().is_some_and(|ending| ending == "json");
    let format = if is_json {
        FileFormat::Json
    } else {
        FileFormat::Toml
    };
    let environment = Environment::with_prefix("PORTCULLIS")
        .prefix_separator("__")
        .separator("__")
        .source(Some(settings));
    let root = drop_ins::parse(&text, format)
        .map_err(|error| problems.at(&shown, explain(&error, &text)))
        .ok();
    let is_read = root.is_some();
    let mut tree = Tree::new(root.unwrap_or_default(), &path);
    // Looked at in any case: what is wrong there is said at once.
    tree.add_drop_ins(&path, problems);
    if !is_read {
        return None;
    }
    let tree = config::Config::builder()
        .add_source(tree)
        .add_source(environment)
        .build()
        .and_then(config::Config::try_deserialize);
    let tree = match tree {
        Ok(tree) => tree,
        Err(error) => {
            problems.at(shown, explain(&error, &text));
            return None;
        }
    };
    let folders = Folders {
        configuration: path.parent().map(Path::to_owned).unwrap_or_default(),
        credentials: variable(variables, "CREDENTIALS_DIRECTORY"),
    };
    Some(Loaded {
        raw: read::read(tree, problems),
        folders,
    })
}

/// The variables of this process.
pub(super) fn variables() -> Variables {
    env::vars_os().collect()
}

/// A path from the environment; an empty one counts as none.
fn variable(variables: &Variables, name: &str) -> Option<PathBuf> {
    let (_, value) = variables.iter().find(|(key, _)| key == name)?;
    Some(PathBuf::from(value)).filter(|path| !path.as_os_str().is_empty())
}

/// The variables that are settings. `config` takes their names in any case, so two that differ in
/// case alone would leave it to chance which of them counts.
fn settings(variables: &Variables, problems: &mut Problems) -> config::Map<String, String> {
    let mut settings = config::Map::new();
    for (name, value) in variables {
        let Some(name) = name.to_str().map(str::to_ascii_uppercase) else {
            continue;
        };
        if !name.starts_with(PREFIX) {
            continue;
        }
        // `config` would take dots and brackets for steps into tables and lists.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        match value.to_str() {
            // The value is not shown: it may be a secret.
            None => problems.at(name, "does not hold UTF-8"),
            Some(_) if !name.bytes().all(plain) => {
                problems.at(
                    name,
                    "is not the name of a setting: PORTCULLIS__SECTION__KEY",
                );
            }
            Some(value) => {
                if settings.insert(name.clone(), value.to_owned()).is_some() {
                    problems.at(name, "is set twice, in different letter case");
                }
            }
        }
    }
    settings
}

pub(super) fn read_file(path: &Path) -> Result<String, String> {
    let reason = |error: std::io::Error| secrets::why_unreadable(&error, path);
    let metadata = fs::metadata(path).map_err(reason)?;
    if metadata.is_dir() {
        return Err("it is a folder".to_owned());
    }
    // Opening a pipe would wait for its other end.
    if !metadata.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(reason)?;
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(reason)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("it is longer than {MAX_BYTES} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}

/// Where the file stops making sense, and why. The parsers quote the line, which may hold a secret,
/// so only their place and their last line are taken.
pub(super) fn explain(error: &ConfigError, text: &str) -> String {
    let ConfigError::FileParse { cause, .. } = error else {
        return "cannot be read as a table of settings".to_owned();
    };
    if let Some(error) = cause.downcast_ref::<toml::de::Error>() {
        let (line, column) = place(text, error.span().map_or(0, |span| span.start));
        return format!("line {line}, column {column}: {}", error.message().trim());
    }
    if let Some(error) = cause.downcast_ref::<serde_json::Error>() {
        let (line, column) = (error.line(), error.column());
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        return format!("line {line}, column {column}: {message}");
    }
    "cannot be read as a table of settings".to_owned()
}

/// The line and column of a byte, both counted from one.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let begins = before.rfind('\n').map_or(0, |end| end + 1);
    (line, before[begins..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_lines_and_columns_from_one() {
        assert_eq!(place("", 0), (1, 1));
        assert_eq!(place("ab\ncü d", 3), (2, 1));
        assert_eq!(place("ab\ncü d", 6), (2, 3));
        assert_eq!(place("ab\n", 99), (2, 1));
    }
}
