//! How many instructions a decision takes: a figure that does not drift, so that a loss shows on a busy machine too.
//!
//! Each kind of decision is made so many times, and twice as often, under `valgrind --tool=callgrind`. What the second run
//! takes more is what the decisions cost, and nothing of their set-up.

mod bounds;
mod work;

use std::path::Path;
use std::process::Command;

use serde_json::{Map, Value, json};

use self::bounds::Bounds;
pub use self::work::{Decision, work};
use crate::kit::{Failure, Result, tools};
use crate::machine;
use crate::people::People;
use crate::service::{Configuration, Store};

/// What each kind took, for programs, and whether all of them keep their bounds.
pub async fn measure(folder: &Path) -> Result<(Value, bool)> {
    let store = Store {
        url: &format!("file:{}", folder.join("decisions.redb").display()),
        password_file: None,
    };
    let configuration = Configuration::write(folder, "decisions", &store)?;
    let people = People::of(&configuration.file).await?;
    let cookies = folder.join("decisions.cookies");
    people.sign_in_many(work::PEOPLE, &cookies).await?;
    people.close().await;
    let bounds = Bounds::read()?;
    let mut found = Vec::new();
    for decision in Decision::ALL {
        let count = decision.count();
        let few = instructions(decision, count, &configuration.file, &cookies)?;
        let many = instructions(decision, 2 * count, &configuration.file, &cookies)?;
        found.push((decision.name(), many.saturating_sub(few) / count as u64));
    }
    let verdicts: Vec<_> = found
        .iter()
        .map(|(name, each)| bounds.judge(name, *each))
        .collect();
    print(&verdicts);
    let members: Map<String, Value> = verdicts
        .iter()
        .map(|verdict| {
            let value = json!({ "ours": verdict.instructions, "bound": verdict.bound, "met": verdict.is_met() });
            (verdict.name.to_owned(), value)
        })
        .collect();
    let are_met = verdicts.iter().all(bounds::Verdict::is_met);
    Ok((Value::Object(members), are_met))
}

/// How many a whole run takes.
fn instructions(
    decision: Decision,
    count: usize,
    configuration: &Path,
    cookies: &Path,
) -> Result<u64> {
    let this = std::env::current_exe().map_err(Failure::of("this program"))?;
    // On one core, so that there are as many threads on every machine.
    let output = Command::new(tools::find("taskset")?)
        .args(["-c", &machine::MEASURED.to_string()])
        .arg(tools::find("valgrind")?)
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(this)
        .args(["decisions", decision.name(), &count.to_string()])
        .args([configuration, cookies])
        .output()
        .map_err(Failure::of("valgrind"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let collected = said.lines().find_map(|line| line.split_once("Collected :"));
    let collected = collected.and_then(|(_, number)| number.trim().parse().ok());
    match collected {
        Some(collected) if output.status.success() => Ok(collected),
        _ => Err(Failure(format!("{}: {said}", decision.name()))),
    }
}

#[expect(clippy::print_stdout, reason = "it is what was asked for")]
fn print(verdicts: &[bounds::Verdict]) {
    println!(
        "\n{:12} {:>12} {:>8}  ",
        "decision", "instructions", "bound"
    );
    for verdict in verdicts {
        println!("{verdict}");
    }
}
