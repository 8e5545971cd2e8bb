//! What the documents tell people to type, and the words that programs are told, are the real ones.

use std::collections::BTreeSet;
use std::process::Command;

use portcullis::domain::reason::ReasonKind;

use crate::markdown::{Document, code_spans, documents, source};

/// What the shell blocks and the code spans of all documents hold, with the document's name.
fn commands() -> Vec<(String, String)> {
    let mut commands = Vec::new();
    for document in documents() {
        let blocks = document.blocks_of("sh");
        let lines = blocks.iter().flat_map(|block| block.text.lines());
        // A span may be broken at the end of a line.
        let prose = document.prose().join("\n").replace('\n', " ");
        let spans = code_spans(&prose);
        let found = lines.chain(spans).map(str::trim);
        commands.extend(found.map(|text| (document.name.clone(), text.to_owned())));
    }
    commands
}

/// The words that follow `before` in a command line: `check` in `portcullis check --config FILE`.
fn words_after(before: &str) -> BTreeSet<(String, String)> {
    let mut words = BTreeSet::new();
    for (document, command) in commands() {
        let mut parts = command.split_whitespace().peekable();
        // Variables may stand before a program.
        while parts.next_if(|part| part.contains('=')).is_some() {}
        if parts.next() == Some(before)
            && let Some(word) = parts.next()
        {
            words.insert((document, word.to_owned()));
        }
    }
    words
}

#[test]
fn commands_of_the_program_exist() {
    let help = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .arg("--help")
        .output()
        .expect("the binary runs");
    let help = String::from_utf8(help.stdout).expect("text");
    let listed: BTreeSet<&str> = help
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let shown = words_after("portcullis");
    assert!(shown.len() > 3, "commands are found: {shown:?}");
    for (document, word) in &shown {
        assert!(listed.contains(word.as_str()), "{document}: {word}");
    }
    let named: BTreeSet<&str> = shown.iter().map(|(_, word)| word.as_str()).collect();
    for command in [
        "serve", "check", "explain", "health", "snippet", "sessions", "schema", "secret", "presets",
    ] {
        assert!(named.contains(command), "{command} is not documented");
    }
}

#[test]
fn targets_of_make_exist() {
    let makefile = source("Makefile");
    let shown = words_after("make");
    assert!(shown.len() > 3, "targets are found: {shown:?}");
    for (document, target) in shown {
        let rule = format!("\n{target}:");
        assert!(makefile.contains(&rule), "{document}: make {target}");
    }
}

#[test]
fn test_programs_exist() {
    let manifest = source("Cargo.toml");
    for (document, command) in commands() {
        let Some(words) = command.strip_prefix("cargo test --test ") else {
            continue;
        };
        // Which of its tests may stand behind it.
        let name = words.split(' ').next().unwrap_or_default();
        let entry = format!("[[test]]\nname = \"{name}\"\n");
        assert!(manifest.contains(&entry), "{document}: {name}");
    }
}

fn reasons() -> BTreeSet<String> {
    let codes = ReasonKind::ALL.iter().map(|kind| kind.code().to_owned());
    codes.collect()
}

#[test]
fn every_reason_is_documented_and_no_other() {
    let is_it = |document: &Document| document.name == "docs/how-it-works.md";
    let document = documents().into_iter().find(is_it).expect("the document");
    let mut expected = reasons();
    assert!(expected.len() > 20, "{expected:?}");
    // Those of a request that no decision is made about.
    expected.extend(["malformed_request", "no_such_question", "untrusted_peer"].map(str::to_owned));

    let prose = document.prose();
    let mut rows = prose
        .iter()
        .skip_while(|line| !line.starts_with("| `reason` | status |"))
        .skip(2);
    let mut found = BTreeSet::new();
    for row in rows.by_ref().take_while(|line| line.starts_with('|')) {
        let first = row.split(" |").next().unwrap_or_default();
        found.extend(code_spans(first).map(str::to_owned));
    }
    let passing: Vec<&str> = rows.take_while(|line| !line.is_empty()).copied().collect();
    let passing = passing.join(" ");
    let passing = code_spans(&passing).filter(|word| *word != "debug");
    found.extend(passing.map(str::to_owned));
    assert_eq!(found, expected);
}
