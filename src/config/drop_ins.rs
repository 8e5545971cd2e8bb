//! `conf.d/*.toml` beside the configuration: services and policies, a file for each app say, which come and go
//! with it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use config::{ConfigError, FileFormat, Map, Source, Value, ValueKind};

use super::load::{explain, read_file};
use super::problems::Problems;
use super::secrets;

/// What may stand in such a file: tables of tables, each under a name of its own.
const SECTIONS: [&str; 2] = ["policies", "services"];

/// What was read so far, and which file each name comes from.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    root: Map<String, Value>,
    defined: BTreeMap<(String, String), PathBuf>,
}

impl Source for Tree {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.root.clone())
    }
}

impl Tree {
    /// What the configuration itself, `path`, says.
    pub(super) fn new(root: Map<String, Value>, path: &Path) -> Self {
        let mut defined = BTreeMap::new();
        for section in SECTIONS {
            if let Some(ValueKind::Table(tables)) = root.get(section).map(|value| &value.kind) {
                for name in tables.keys() {
                    defined.insert((section.to_owned(), name.clone()), path.to_owned());
                }
            }
        }
        Self { root, defined }
    }

    /// Adds every file of `conf.d` beside `path`, in the order of their names. A name that is defined twice is a
    /// problem, whichever of the files would have won.
    pub(super) fn add_drop_ins(&mut self, path: &Path, problems: &mut Problems) {
        let folder = path.parent().unwrap_or(Path::new("")).join("conf.d");
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => {
                let reason = secrets::why_unreadable(&error, &folder);
                problems.at(shown(&folder), format!("cannot be read: {reason}"));
                return;
            }
        };
        let mut files = Vec::new();
        for entry in entries {
            match entry {
                Ok(entry) => files.push(entry.path()),
                Err(error) => {
                    problems.at(
                        shown(&folder),
                        format!("cannot be read: {}", secrets::plain(&error)),
                    );
                }
            }
        }
        files.retain(|file| {
            // Editors keep copies and locks beside a file, under names that begin with a dot.
            let hidden = file
                .file_name()
                .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            !hidden && file.extension().is_some_and(|ending| ending == "toml")
        });
        files.sort();
        for file in files {
            self.add(&file, problems);
        }
    }

    fn add(&mut self, file: &Path, problems: &mut Problems) {
        let text = match read_file(file) {
            Ok(text) => text,
            Err(reason) => {
                problems.at(shown(file), format!("cannot be read: {reason}"));
                return;
            }
        };
        let read = parse(&text, FileFormat::Toml);
        let root = match read {
            Ok(root) => root,
            Err(error) => {
                problems.at(shown(file), explain(&error, &text));
                return;
            }
        };
        let mut sections: Vec<(String, Value)> = root.into_iter().collect();
        sections.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (section, value) in sections {
            let known = SECTIONS.contains(&section.as_str());
            match value.kind {
                ValueKind::Table(tables) if known => {
                    self.add_tables(file, &section, tables, problems);
                }
                _ if known => {
                    let message = format!(
                        "{section} must be a table of tables, each under a name of its own"
                    );
                    problems.at(shown(file), message);
                }
                _ => {
                    let message = format!(
                        "only [services] and [policies] may stand here, and this is [{section}]"
                    );
                    problems.at(shown(file), message);
                }
            }
        }
    }

    fn add_tables(
        &mut self,
        file: &Path,
        section: &str,
        tables: Map<String, Value>,
        problems: &mut Problems,
    ) {
        let mut tables: Vec<(String, Value)> = tables.into_iter().collect();
        tables.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (name, table) in tables {
            let key = (section.to_owned(), name.clone());
            if let Some(other) = self.defined.get(&key) {
                let message = format!(
                    "is defined twice: in {} and in {}",
                    shown(other),
                    shown(file)
                );
                problems.at(format!("{section}.{name}"), message);
                continue;
            }
            self.defined.insert(key, file.to_owned());
            let empty = || Value::new(None, ValueKind::Table(Map::new()));
            let section = self.root.entry(section.to_owned()).or_insert_with(empty);
            // Where the configuration itself has something else there, that is reported when it is read.
            if let ValueKind::Table(all) = &mut section.kind {
                all.insert(name, table);
            }
        }
    }
}

/// A text as a tree.
pub(super) fn parse(text: &str, format: FileFormat) -> Result<Map<String, Value>, ConfigError> {
    config::Config::builder()
        .add_source(config::File::from_str(text, format))
        .build()?
        .try_deserialize()
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
