//! `docs/security-cases.md` and `docs/provider.md`: each row names tests, and each of them is there.

use crate::markdown::{code_spans, documents, root, source};

/// Where the cases are that are run behind every proxy.
const CASES: &str = "tests/proxies/cases/";

/// Whether `file` holds a test called `name`: a case is one when it is in the list of them.
fn is_test(file: &str, name: &str) -> bool {
    let Some(subject) = file.strip_prefix(CASES) else {
        return has_test(&source(file), name);
    };
    let subject = subject.trim_end_matches(".rs");
    source(&format!("{CASES}mod.rs")).contains(&format!("{subject}::{name}(stack"))
}

/// Whether `code` holds a test called `name`: a function with an attribute of a test above it, or one of a block
/// of properties.
fn has_test(code: &str, name: &str) -> bool {
    let lines: Vec<&str> = code.lines().map(str::trim).collect();
    let begins = [format!("fn {name}("), format!("async fn {name}(")];
    let place = lines
        .iter()
        .position(|line| begins.iter().any(|begin| line.starts_with(begin)));
    place.is_some_and(|place| {
        let mut above = lines[..place].iter().rev();
        let attributes = above.by_ref().take_while(|line| line.starts_with("#["));
        attributes
            .into_iter()
            .any(|line| line.ends_with("test]") || line.contains("::test("))
    })
}

#[test]
fn every_test_that_is_named_exists() {
    tests_are_there("docs/security-cases.md", 80);
    tests_are_there("docs/provider.md", 20);
}

/// The document has more than so many rows, and what they name is there.
fn tests_are_there(document: &str, rows_at_least: usize) {
    let is_it = |name: &str| name == document;
    let document = documents()
        .into_iter()
        .find(|document| is_it(&document.name));
    let document = document.expect("the document");
    let prose = document.prose();
    let rows = prose
        .iter()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| ---"))
        .filter(|line| !line.ends_with("| shown by |"));
    let mut count = 0;
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        let [fault, _, tests] = cells[..] else {
            unreachable!("three cells: {row}")
        };
        let mut named = 0;
        for span in code_spans(tests) {
            let (file, name) = span.split_once("::").expect("file::test");
            assert!(root().join(file).is_file(), "{file}: {fault}");
            assert!(is_test(file, name), "{span}: {fault}");
            named += 1;
        }
        assert!(named > 0, "no test: {fault}");
        count += 1;
    }
    assert!(count > rows_at_least, "{count} rows");
}

#[test]
fn what_is_no_test_is_not_taken_for_one() {
    let code = "/// fn other(\nfn helper() {}\n#[test]\nfn real() {}\n#[tokio::test]\nasync fn later() {}\n";
    for (name, expected) in [
        ("real", true),
        ("later", true),
        ("helper", false),
        ("other", false),
        ("rea", false),
    ] {
        assert_eq!(has_test(code, name), expected, "{name}");
    }
}
