//! Where the programs are that we do not build: `make tools` installs them.

use std::path::{Path, PathBuf};

use super::{Failure, Result};

/// The root of the source tree.
pub fn source_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A program that `make tools` installed, else one of that name on the search path.
///
/// # Errors
///
/// When there is none: then the message says how to get it.
pub fn find(program: &str) -> Result<PathBuf> {
    let installed = source_root().join("target/tools/bin");
    let search_path = std::env::var_os("PATH").unwrap_or_default();
    std::iter::once(installed)
        .chain(std::env::split_paths(&search_path))
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| Failure(format!("no `{program}` here: run `make tools`")))
}
