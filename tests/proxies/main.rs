//! Every proxy and every case: one table, whose rows are [`cases::LIST`] and whose columns are [`column::COLUMNS`].
//!
//! Each cell is a run through the real proxy, started with what `portcullis snippet` prints for it, with the real
//! service and a real provider. A column's proxy and service are started once, and its cells share them, at the same
//! time: a case puts a mark of its own into its URLs. What was run is printed as a table at the end.
//!
//! `make proxies` runs this alone; `cargo test --test proxies nginx` runs the columns of one proxy, and
//! `cargo test --test proxies 'logout'` one row.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

#[path = "../kit/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "these tests use a part of it, and have no use for its own tests"
)]
mod kit;

mod cases;
mod column;
mod configured;
mod rules;
mod stack;
mod table;
mod world;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};

use crate::cases::{Case, LIST};
use crate::column::COLUMNS;
use crate::kit::Failure;
use crate::stack::Stack;
use crate::table::Table;

/// Cells at once, unless the command line says otherwise: they wait more than they work.
const AT_ONCE: usize = 8;
/// Rows between what two columns are at.
const APART: usize = 5;

fn main() -> ExitCode {
    open_many_files();
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    let table = Arc::new(Table::default());
    let mut trials = Vec::new();
    for step in 0..LIST.len() {
        for (column, head) in COLUMNS.iter().enumerate() {
            // Each column begins at another row: what works hard in one is not run in all of them at once.
            let row = (step + column * APART) % LIST.len();
            let case = &LIST[row];
            let table = Arc::clone(&table);
            let name = format!("{} | {}", head.name, case.name);
            trials.push(Trial::test(name, move || run(row, case, column, &table)));
        }
    }
    let listing = arguments.list;
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !listing {
        table.print();
    }
    conclusion.exit_code()
}

/// Hundreds of connections have two ends here each, and shells allow few by default.
fn open_many_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it is not allowed, what is there may do.
    let _ = setrlimit(Resource::Nofile, limit);
}

fn run(row: usize, case: &Case, column: usize, table: &Table) -> Result<(), Failed> {
    let held = std::panic::catch_unwind(|| play(case, column));
    table.add(row, column, matches!(held, Ok(Ok(()))));
    match held {
        Ok(Ok(())) => Ok(()),
        Ok(Err(failure)) => Err(Failed::from(failure.to_string())),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            Err(Failed::from(text.unwrap_or_default()))
        }
    }
}

fn play(case: &Case, column: usize) -> kit::Result<()> {
    let stack = Stack::of(column)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::of("runtime"))?;
    // Whoever stops the service waits for all others.
    let running = (!case.stops_the_service).then(|| stack.gate.blocking_read());
    runtime.block_on((case.check)(stack, case.bound(stack.program)));
    drop(running);
    Ok(())
}
