//! What happens when something breaks: the real service behind real proxies, with visitors who ask all the time
//! while the store, the provider, the clock or the network fails.
//!
//! `cargo test --test faults` has each fault last a second or two; with `PORTCULLIS_FAULTS=all` (`make faults`) they
//! last, and a table of what was measured is printed. One visitor who gets in that should not fails a scenario,
//! whatever else holds. [`scenarios`] is the list.

#![allow(clippy::panic, reason = "one of the faults is a panic")]

#[path = "../kit/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "these tests use a part of it, and have no use for its own tests"
)]
mod kit;

mod launch;
mod ledger;
mod load;
mod people;
mod probes;
mod proc;
mod provider;
mod scenarios;
mod seen;
mod service;
mod sites;
mod sockets;
mod stage;
mod table;
mod world;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::Semaphore;

use crate::kit::{Failure, Result};
use crate::ledger::Ledger;
use crate::scenarios::{Length, Outcome, Scenario};
use crate::stage::{Extent, Stage};
use crate::table::{Row, Table, Verdict};
use crate::world::World;

/// Scenarios at once, unless the command line says otherwise: they wait more than they work.
const BRIEF_AT_ONCE: usize = 8;
/// How many of these may be of those that keep the machine busy.
static BUSY: Semaphore = Semaphore::const_new(2);
/// Four times as many requests a second come from each then.
const WHOLE_AT_ONCE: usize = 2;

fn main() -> ExitCode {
    let extent = match std::env::var("PORTCULLIS_FAULTS").as_deref() {
        Ok("all") => Extent::Whole,
        _ => Extent::Brief,
    };
    have_enough_files();
    let mut arguments = Arguments::from_args();
    let at_once = match extent {
        Extent::Brief => BRIEF_AT_ONCE,
        Extent::Whole => WHOLE_AT_ONCE,
    };
    arguments.test_threads.get_or_insert(at_once);
    let table = Arc::new(Table::default());
    let list = scenarios::list();
    let instances: Arc<[usize]> = list.iter().map(|scenario| scenario.instances).collect();
    let mut numbered: Vec<(usize, Scenario)> = list.into_iter().enumerate().collect();
    numbered
        .retain(|(_, scenario)| extent == Extent::Whole || scenario.length != Length::OnRequest);
    let numbered = in_turn(numbered);
    let trials = numbered.into_iter().map(|(number, scenario)| {
        let (table, instances) = (Arc::clone(&table), Arc::clone(&instances));
        Trial::ignorable_test(scenario.name, move || {
            run(number, &instances, &scenario, extent, &table)
        })
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    if extent == Extent::Whole || conclusion.has_failed() {
        table.print();
    }
    conclusion.exit_code()
}

/// Those that take long begin first, so that none is left alone at the end. Those that keep the machine busy are spread
/// among the others.
fn in_turn(list: Vec<(usize, Scenario)>) -> Vec<(usize, Scenario)> {
    let is_busy = |(_, scenario): &(usize, Scenario)| scenario.length == Length::Busy;
    let (busy, mut others): (Vec<_>, Vec<_>) = list.into_iter().partition(is_busy);
    others.sort_by_key(|(_, scenario)| scenario.length == Length::Short);
    let apart = others.len() / (busy.len() + 1) + 1;
    for (place, scenario) in busy.into_iter().enumerate() {
        let place = (place * apart).min(others.len());
        others.insert(place, scenario);
    }
    others
}

/// Some faults are thousands of connections, at both ends. What is started here may have as many.
fn have_enough_files() {
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: limit.maximum,
        ..limit
    };
    // Where it may not be, they make do with fewer.
    let _ = setrlimit(Resource::Nofile, most);
}

fn run(
    number: usize,
    instances: &[usize],
    scenario: &Scenario,
    extent: Extent,
    table: &Table,
) -> std::result::Result<Completion, Failed> {
    let ledger = Arc::new(Ledger::default());
    let mut outcome = play(number, instances, scenario, extent, &ledger);
    let figures = ledger.figures();
    // Whatever else a scenario comes to.
    if figures.forbidden_passes > 0 {
        let before = outcome
            .err()
            .map_or_else(String::new, |failure| failure.to_string());
        let count = figures.forbidden_passes;
        outcome = Err(Failure(format!(
            "LET IN {count} times who may not be let in\n{before}"
        )));
    }
    if let Ok(Outcome::Held(remark)) = &mut outcome
        && figures.given_up > 0
    {
        let count = figures.given_up.to_string();
        remark.extend(["; ", &count, " given up by Caddy on a busy machine"]);
    }
    let (verdict, remark) = match &outcome {
        Ok(Outcome::Held(remark)) => (Verdict::Held, remark.clone()),
        Ok(Outcome::NotHere(why)) => (Verdict::NotRun, why.clone()),
        Err(_) => (Verdict::Failed, String::new()),
    };
    table.add(Row {
        number,
        name: scenario.name,
        verdict,
        figures,
        remark,
    });
    match outcome {
        Ok(Outcome::Held(_)) => Ok(Completion::Completed),
        Ok(Outcome::NotHere(why)) => Ok(Completion::ignored_with(why)),
        Err(failure) => Err(Failed::from(failure.to_string())),
    }
}

fn play(
    number: usize,
    instances: &[usize],
    scenario: &Scenario,
    extent: Extent,
    ledger: &Arc<Ledger>,
) -> Result<Outcome> {
    let world = World::of(instances)?;
    // Two threads: the visitors go on asking while a scenario waits for a program to end.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(Failure::of("runtime"))?;
    let mut stage = Stage::new(world, number, extent, Arc::clone(ledger))?;
    let outcome = runtime.block_on(async {
        let _place = match scenario.length {
            Length::Busy => Some(BUSY.acquire().await.map_err(Failure::new)?),
            _ => None,
        };
        (scenario.play)(&mut stage).await
    });
    runtime.shutdown_background();
    outcome
}
