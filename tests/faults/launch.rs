//! How to start the service in surroundings of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::kit::tools;

/// A launcher that does `set_up`, in the words of the shell, where nobody else sees it: mounts. `None` where this
/// machine does not let us.
pub fn in_own_mounts(set_up: &str) -> Option<Vec<String>> {
    let unshare = tools::find("unshare").ok()?;
    // Whoever is no administrator may be one among themselves, on some machines.
    let ways: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];
    let succeeds = |way: &&&[&str]| {
        let tried = Command::new(&unshare)
            .args(**way)
            .args(["--", "sh", "-c", "mount -t tmpfs tmpfs /mnt"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        tried.is_ok_and(|status| status.success())
    };
    let way = ways.iter().find(succeeds)?;
    let mut words = vec![unshare.display().to_string()];
    words.extend(way.iter().map(|&word| word.to_owned()));
    let script = format!("{set_up} && exec \"$@\"");
    words.extend(["--", "sh", "-c", &script, "sh"].map(str::to_owned));
    Some(words)
}

/// Variables under which the service takes the time that `file` says (`+30` is half a minute ahead) for that of
/// day. Time-outs, which are told by another clock, stay as they are. `None` where `faketime` is not installed.
pub fn with_clock(file: &Path) -> Option<Vec<(String, String)>> {
    let library = library()?.display().to_string();
    let file = file.display().to_string();
    let variables = [
        ("LD_PRELOAD", library.as_str()),
        ("FAKETIME_TIMESTAMP_FILE", &file),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
    ];
    let owned = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Some(owned.to_vec())
}

/// Debian keeps it below the folder of the architecture.
fn library() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?;
    let candidates = folders
        .flatten()
        .map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"));
    candidates
        .chain([PathBuf::from("/usr/lib/faketime/libfaketimeMT.so.1")])
        .find(|file| file.is_file())
}
