//! The faults that are tried are those that the document tells operators about.

use std::collections::BTreeSet;

use crate::markdown::{code_spans, documents, source};

/// The names in the list of scenarios: the first text of each of its lines.
fn tried() -> BTreeSet<String> {
    let list = source("tests/faults/scenarios/mod.rs");
    let lines = list
        .lines()
        .filter(|line| line.contains("|stage| Box::pin("));
    lines
        .filter_map(|line| line.split('"').nth(1))
        .map(str::to_owned)
        .collect()
}

#[test]
fn each_fault_is_told_and_each_that_is_told_is_tried() {
    let documents = documents();
    let document = documents
        .iter()
        .find(|document| document.name == "docs/reliability.md")
        .expect("the document");
    let prose = document.prose();
    let rows = prose
        .iter()
        .filter(|line| line.starts_with("| ") && !line.contains("---"));
    let last_cells = rows.filter_map(|row| row.trim_end_matches(" |").rsplit("| ").next());
    let told: BTreeSet<String> = last_cells.flat_map(code_spans).map(str::to_owned).collect();
    let tried = tried();
    assert!(tried.len() > 20, "scenarios are found: {tried:?}");
    assert_eq!(told, tried);
}
