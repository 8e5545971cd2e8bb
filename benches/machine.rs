//! The machine: which core does what, and how busy a program was.

use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::kit::{Failure, Result, tools};

/// Whoever is measured, and nothing else.
pub const MEASURED: usize = 0;
/// The load, Redis, and the apps.
pub const LOAD: usize = 1;

/// Linux counts a process's time in hundredths of a second.
const TICKS_A_SECOND: f64 = 100.0;

/// What `program` has to be started as, to run on one core: a script below `folder`.
pub fn pinned(folder: &Path, core: usize, program: &Path) -> Result<PathBuf> {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let script = folder.join(format!("{name}-on-{core}"));
    let taskset = tools::find("taskset")?;
    let text = format!(
        "#!/bin/sh\nexec {} -c {core} {} \"$@\"\n",
        taskset.display(),
        program.display()
    );
    let written = File::create(&script).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        fs::set_permissions(&script, Permissions::from_mode(0o700))
    });
    written.map_err(Failure::of(script.display()))?;
    Ok(script)
}

/// The processor time that a process has taken so far, in seconds.
pub fn processor_time(process: u32) -> Result<f64> {
    let file = format!("/proc/{process}/stat");
    let text = fs::read_to_string(&file).map_err(Failure::of(&file))?;
    // Behind the name, which may hold anything, the 12th and the 13th (proc_pid_stat(5)).
    let fields = text.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: f64 = ticks.filter_map(|field| field.parse::<f64>().ok()).sum();
    Ok(ticks / TICKS_A_SECOND)
}

/// The memory that a process holds, in bytes.
pub fn resident_memory(process: u32) -> Result<f64> {
    let file = format!("/proc/{process}/status");
    let text = fs::read_to_string(&file).map_err(Failure::of(&file))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    let kibibytes = kibibytes.ok_or_else(|| Failure(format!("{file} has no VmRSS")))?;
    Ok(kibibytes * 1024.0)
}

/// What it is, for whoever reads the figures.
pub fn description() -> String {
    let field = |file: &str, name: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|line| line.split_once(':'));
        value.map_or_else(
            || "?".to_owned(),
            |(_, value)| value.split_whitespace().collect::<Vec<_>>().join(" "),
        )
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{}, {cores} cores, {}, Linux {}",
        field("/proc/cpuinfo", "model name"),
        field("/proc/meminfo", "MemTotal"),
        kernel.trim()
    )
}

/// Whether there is a core for each of the two sides.
pub fn check() -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cores > LOAD {
        return Ok(());
    }
    Err(Failure::new(
        "two cores are needed: one for whoever is measured, one for the load",
    ))
}
