//! `docs/explain.md`: the command that it shows prints what it shows.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use crate::examples::{with_a_store, write_secret};
use crate::markdown::documents;

#[test]
fn the_example_says_what_the_program_says() {
    let is_it = |name: &str| name == "docs/explain.md";
    let document = documents().into_iter().find(|one| is_it(&one.name));
    let document = document.expect("the document");
    let block = |language: &str| {
        let blocks = document.blocks_of(language);
        assert_eq!(blocks.len(), 1, "one block of {language}");
        blocks[0].text.clone()
    };
    let folder = TempDir::new().expect("a folder");
    let here = folder.path().to_str().expect("UTF-8");
    write_secret(&folder.path().join("oidc_client_secret"), "hunter2\n");
    let configuration = block("toml").replace("/run/secrets", here);
    fs::write(folder.path().join("portcullis.toml"), configuration).expect("a written file");

    let command = block("sh");
    let mut words = command.split_whitespace();
    assert_eq!(words.next(), Some("portcullis"));
    let mut explained = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    explained.env_clear();
    let explained = with_a_store(&mut explained, &block("toml"))
        .current_dir(folder.path())
        .args(words)
        .output()
        .expect("the binary runs");
    assert_eq!(String::from_utf8_lossy(&explained.stderr), "");
    assert_eq!(String::from_utf8_lossy(&explained.stdout), block("text"));
    assert_eq!(explained.status.code(), Some(10));
}
