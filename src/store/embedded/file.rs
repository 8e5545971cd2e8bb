//! The file: made once, opened by one process at a time, and never written over when it is not ours.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Builder, Database, DatabaseError, StorageError};
use thiserror::Error;

use super::describe;
use super::overlay::Overlay;
use super::tables::{self, Form};

/// What is kept of the file in memory, in bytes. The system keeps what else it has room for.
const CACHE_BYTES: usize = 8 * 1024 * 1024;

/// Why the session store could not be opened. What is there is left as it is.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "the session store {0} is in use by another process: a file serves one instance at a time"
    )]
    InUse(String),
    /// The system refuses.
    #[error("the session store {path} cannot be opened: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system says.
        reason: String,
    },
    /// It holds something else.
    #[error(
        "{0} is not a session store of this program: name another file in session.store; this one is left as \
         it is"
    )]
    Foreign(String),
    /// It was one once.
    #[error(
        "the session store {path} is damaged ({reason}): move it away, and a new one is made; everybody has \
         to sign in again"
    )]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The system refuses a thread.
    #[error("the session store cannot be started: {0}")]
    Thread(io::Error),
    /// A later version made it.
    #[error(
        "the session store {0} was written by another version of this program: run that one, or move the \
         file away"
    )]
    OfAnotherVersion(String),
}

/// Opens the store at `path`, or makes one where there is none.
pub(super) fn open_or_make(path: &Path) -> Result<Database, OpenError> {
    let followed = followed(path)?;
    let path = followed.as_path();
    if !is_there(path)? {
        return make(path);
    }
    let database = open(path, false)?;
    match tables::form(&database) {
        Ok(Form::Ours) => Ok(database),
        Ok(Form::Foreign) => Err(OpenError::Foreign(shown(path))),
        Ok(Form::OfAnotherVersion) => Err(OpenError::OfAnotherVersion(shown(path))),
        Err(error) => Err(OpenError::Damaged {
            path: shown(path),
            reason: describe(&error),
        }),
    }
}

/// Makes a store under a name that nobody looks for, and gives it its own when it is whole: a file that was
/// left half made could never be opened. Whoever makes it has it locked all the while.
fn make(path: &Path) -> Result<Database, OpenError> {
    let new = name_while_made(path);
    let database = match open(&new, true) {
        Err(error @ (OpenError::InUse(_) | OpenError::Unreadable { .. })) => return Err(error),
        // Somebody began to make it, and was killed.
        Err(_) => {
            fs::remove_file(&new).map_err(|error| unreadable(&new, &error))?;
            open(&new, true)?
        }
        Ok(database) => database,
    };
    if is_there(path)? {
        // Another process has made it since we looked. What is locked here is of no use to anybody.
        let _ = fs::remove_file(&new);
        drop(database);
        return open_or_make(path);
    }
    let made = tables::lay_out(&database).and_then(|()| {
        fs::rename(&new, path)?;
        Ok(sync_folder(path)?)
    });
    match made {
        Ok(()) => Ok(database),
        Err(error) => {
            // The name may be free again already.
            let _ = fs::remove_file(&new);
            Err(OpenError::Unreadable {
                path: shown(path),
                reason: describe(&error),
            })
        }
    }
}

/// Opens the store at `path` once more, after something has failed. A file that is gone is not made anew: that
/// would be a store without anybody in it.
pub(super) fn reopen(path: &Path, access: Access) -> Result<Database, redb::Error> {
    Ok(match access {
        Access::Write => raw_open(path, false)?,
        Access::Read => read_only(path)?,
    })
}

/// What a database is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// To write to it, and read.
    Write,
    /// To read, where it cannot be written.
    Read,
}

fn read_only(path: &Path) -> Result<Database, DatabaseError> {
    // Only what may be written can be locked; what nobody may write needs no lock.
    let (file, may_lock) = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => (file, true),
        Err(_) => (File::open(path)?, false),
    };
    build(Overlay::new(FileBackend::new(file)?, may_lock)?)
}

fn open(path: &Path, may_make: bool) -> Result<Database, OpenError> {
    // A damaged file may lead anywhere in what reads it.
    let opened = catch_unwind(AssertUnwindSafe(|| raw_open(path, may_make)));
    let damaged = |reason: String| OpenError::Damaged {
        path: shown(path),
        reason,
    };
    let error = match opened {
        Ok(Ok(database)) => return Ok(database),
        Ok(Err(error)) => error,
        Err(_) => return Err(damaged("its parts contradict each other".into())),
    };
    Err(match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            OpenError::InUse(shown(path))
        }
        DatabaseError::UpgradeRequired(_) => OpenError::OfAnotherVersion(shown(path)),
        DatabaseError::Storage(StorageError::Io(error)) => match error.kind() {
            ErrorKind::InvalidData => OpenError::Foreign(shown(path)),
            ErrorKind::UnexpectedEof => damaged("its end is missing".into()),
            _ => unreadable(path, &error),
        },
        DatabaseError::Storage(StorageError::Corrupted(reason)) => damaged(reason),
        other => damaged(other.to_string()),
    })
}

fn raw_open(path: &Path, may_make: bool) -> Result<Database, DatabaseError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(may_make)
        .mode(0o600)
        .open(path)?;
    build(FileBackend::new(file)?)
}

/// Opens what is kept in `backend`.
pub(super) fn build(backend: impl redb::StorageBackend) -> Result<Database, DatabaseError> {
    Builder::new()
        .set_cache_size(CACHE_BYTES)
        .create_with_backend(backend)
}

/// An empty file is none: whoever made it had a store in mind.
fn is_there(path: &Path) -> Result<bool, OpenError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(metadata.len() > 0),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        // Nobody knows what a new one would be put in the place of.
        Err(error) => Err(unreadable(path, &error)),
    }
}

/// Where a link leads. One that leads nowhere is left as it is: what it leads to may only be not mounted, and a new
/// file in its place would be a store without anybody in it.
fn followed(path: &Path) -> Result<PathBuf, OpenError> {
    if path.is_symlink() {
        fs::canonicalize(path).map_err(|error| unreadable(path, &error))
    } else {
        Ok(path.to_owned())
    }
}

fn name_while_made(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

/// The new name has to outlive a loss of power.
fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

fn unreadable(path: &Path, error: &io::Error) -> OpenError {
    OpenError::Unreadable {
        path: shown(path),
        reason: error.to_string(),
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
