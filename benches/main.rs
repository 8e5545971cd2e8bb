//! What the service costs: `make bench`.
//!
//! Each measure is taken beside a reference in the same minute, in turns, because figures of one machine drift by more
//! than the targets leave room for. `cargo bench --bench cost -- cached start` takes some of the measures;
//! `PORTCULLIS_BENCH_ROUNDS` and `PORTCULLIS_BENCH_SESSIONS` make them short, while one works on them.
//! docs/performance.md says how to read it.

#[path = "../tests/kit/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "a part of it is of use here, and none of its own tests"
)]
mod kit;

mod client;
mod compare;
mod filled;
mod instructions;
mod load;
mod machine;
mod people;
mod question;
mod reference;
mod report;
mod rows;
mod service;

use std::path::Path;
use std::process::ExitCode;

use tokio::runtime::{Builder, Runtime};

use crate::kit::{Failure, Result, folder, tools};
use crate::report::Row;

/// What cargo adds for benchmarks of its own.
const CARGOS: &str = "--bench";

/// Of the folder for the files of a run.
const PREFIX: &str = "portcullis-bench-";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments = arguments.iter().map(String::as_str);
    let arguments: Vec<&str> = arguments.filter(|argument| *argument != CARGOS).collect();
    let done = match arguments[..] {
        ["reference", ref which @ ..] => reference::serve(which).map(|()| true),
        ["decisions", ref which @ ..] => instructions::work(which).map(|()| true),
        ["instructions"] => count_instructions(),
        ref wanted => measure(wanted),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            say(&format!("bench: {failure}"));
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "it talks to who started it")]
fn say(text: &str) {
    eprintln!("{text}");
}

/// Takes the measures that are wanted, or all of them. Tells whether every target is met.
fn measure(wanted: &[&str]) -> Result<bool> {
    machine::check()?;
    let folder = folder::temporary(&std::env::temp_dir(), PREFIX)?;
    let rows = runtime()?.block_on(rows(folder.path(), wanted))?;
    report::print(&rows);
    report::write(&rows, None)?;
    say(&format!(
        "\nwritten to {}",
        tools::source_root().join("target/bench.json").display()
    ));
    Ok(rows.iter().all(Row::is_met))
}

/// Counts the instructions of decisions. Tells whether every bound is kept.
fn count_instructions() -> Result<bool> {
    let folder = folder::temporary(&std::env::temp_dir(), PREFIX)?;
    let counted = instructions::measure(folder.path());
    let (instructions, are_met) = runtime()?.block_on(counted)?;
    report::write(&[], Some(instructions))?;
    Ok(are_met)
}

fn runtime() -> Result<Runtime> {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.map_err(Failure::of("runtime"))
}

async fn rows(folder: &Path, wanted: &[&str]) -> Result<Vec<Row>> {
    let is_wanted = |name: &str| wanted.is_empty() || wanted.contains(&name);
    let mut rows = Vec::new();
    if is_wanted("cached") {
        say("cached ...");
        rows.extend(rows::cached::measure(folder).await?);
    }
    if is_wanted("redis") || is_wanted("million") {
        say("redis, million ... (writing the sessions takes a while)");
        rows.extend(rows::stored::measure(folder, is_wanted).await?);
    }
    if is_wanted("caddy") {
        say("caddy ...");
        rows.extend(rows::caddy::measure(folder).await?);
    }
    if is_wanted("memory_idle") || is_wanted("memory_session") {
        say("memory ...");
        rows.extend(rows::memory::measure(folder).await?);
    }
    if is_wanted("start") {
        say("start ...");
        rows.extend(rows::start::measure(folder)?);
    }
    if is_wanted("revocation") {
        say("revocation ...");
        rows.extend(rows::revocation::measure(folder).await?);
    }
    Ok(rows)
}
