//! Folders for the files of a run.

use std::path::Path;

use tempfile::TempDir;

use super::{Failure, Result};

/// A folder in `parent` that goes when it is dropped.
///
/// What a whole run shares is never dropped, because the process just ends: so what earlier runs have left under this
/// `prefix` goes now.
///
/// # Errors
///
/// When it cannot be made.
pub fn temporary(parent: &Path, prefix: &str) -> Result<TempDir> {
    sweep(parent, prefix);
    tempfile::Builder::new()
        .prefix(&format!("{prefix}{}-", std::process::id()))
        .tempdir_in(parent)
        .map_err(Failure::of(parent.display()))
}

/// Removes the folders of test programs that run no more.
fn sweep(parent: &Path, prefix: &str) {
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name
            .strip_prefix(prefix)
            .and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            // Another program may be sweeping too.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
