//! What is run behind every proxy is what the document says, and so is what does not hold behind one of them.

use std::collections::BTreeSet;

use crate::markdown::{code_spans, documents, source};

/// A case, the proxy and what is otherwise there; `None` for the case itself.
type Told = BTreeSet<(String, Option<(String, String)>)>;

/// From the list of cases: a line each, and below it a line for each difference.
fn tried() -> Told {
    let list = source("tests/proxies/cases/mod.rs");
    let mut told = Told::new();
    let mut case = "";
    for line in list.lines().map(str::trim) {
        let mut texts = line.split('"').skip(1).step_by(2);
        if line.starts_with("case(\"") {
            case = texts.next().expect("its name");
            told.insert((case.to_owned(), None));
        } else if line.starts_with("differs(&[") || line.starts_with("cannot(&[") {
            let proxies = line.split(['[', ']']).nth(1).expect("for some proxies");
            let text = texts.next().expect("what is otherwise");
            for proxy in proxies.split(", ") {
                let bound = (proxy.to_lowercase(), text.to_owned());
                told.insert((case.to_owned(), Some(bound)));
            }
        }
    }
    told
}

#[test]
fn each_case_is_told_and_each_that_is_told_is_tried() {
    let documents = documents();
    let document = documents
        .iter()
        .find(|document| document.name == "docs/proxies.md")
        .expect("the document");
    let prose = document.prose();
    let rows = prose.iter().filter(|line| line.starts_with("| "));
    let mut told = Told::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        match cells[..] {
            // What holds, and the cases that show it.
            [_, cases] => {
                let names = code_spans(cases);
                told.extend(names.into_iter().map(|name| (name.to_owned(), None)));
            }
            // A case, a proxy, and what is otherwise there.
            [case, proxy, text] if case.starts_with('`') => {
                let bound = (proxy.to_lowercase(), text.to_owned());
                told.insert((case.trim_matches('`').to_owned(), Some(bound)));
            }
            // What they can do.
            _ => {}
        }
    }
    let tried = tried();
    assert!(tried.len() > 40, "cases are found: {tried:?}");
    assert_eq!(told, tried);
}
