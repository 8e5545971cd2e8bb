//! Whole files that the documents show. A block is whole when its info string says `check`:
//! ` ```toml check ` is a configuration, ` ```caddyfile check ` a Caddyfile.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use config::{Config, File, FileFormat};
use tempfile::TempDir;

use crate::markdown::{Document, documents, root, source};

/// Where the documents keep secrets.
const SECRETS: &str = "/run/secrets";

/// As `portcullis secret` prints them.
const SEALING_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

fn whole_blocks(language: &str, see: impl Fn(&Document, usize, &str)) -> usize {
    let whole = format!("{language} check");
    let mut count = 0;
    for document in documents() {
        for block in document.blocks_of(language) {
            if block.info == whole {
                see(&document, block.line, &block.text);
                count += 1;
            }
        }
    }
    count
}

/// A file that only its owner may read.
pub fn write_secret(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, text).expect("a written file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("a changed mode");
}

/// Where the documents keep sessions: in a folder that is made when the service is installed.
const STATE: &str = "/var/lib/portcullis";

/// Says where sessions are kept, for configurations that leave that out: the folder of the default need not be on
/// this machine.
pub fn with_a_store<'a>(command: &'a mut Command, text: &str) -> &'a mut Command {
    if !text.contains("store = ") {
        command.env("PORTCULLIS__SESSION__STORE", "file:portcullis.redb");
    }
    command
}

/// A folder with the configuration `text` and the secrets that it names.
fn written(text: &str) -> (TempDir, PathBuf) {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("portcullis.toml");
    let here = folder.path().to_str().expect("UTF-8");
    let text = text.replace(SECRETS, here).replace(STATE, here);
    fs::write(&file, &text).expect("a written file");
    for named in text.split(&format!("\"{here}/")).skip(1) {
        let name = named.split('"').next().expect("a name");
        match name {
            // Whoever shares a Redis makes the keys beforehand; else they are made when the service starts.
            "session_secret" if text.contains("store = \"redis") => {
                write_secret(&folder.path().join(name), SEALING_KEY);
            }
            "session_secret" => {}
            _ => write_secret(&folder.path().join(name), "hunter2\n"),
        }
    }
    (folder, file)
}

fn portcullis(arguments: &[&str], file: &Path) -> Output {
    let text = fs::read_to_string(file).expect("a configuration");
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.env_clear();
    with_a_store(&mut command, &text)
        .args(arguments)
        .arg("--config")
        .arg(file)
        .output()
        .expect("the binary runs")
}

#[test]
fn configurations_pass_the_check_without_a_word() {
    let count = whole_blocks("toml", |document, line, text| {
        let (_folder, file) = written(text);
        let checked = portcullis(&["check"], &file);
        let said = String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success(), "{}:{line}: {said}", document.name);
        assert_eq!(said, "", "{}:{line}", document.name);
    });
    assert!(
        count >= 8,
        "the README, the reference and each pattern show one"
    );
}

/// `explain` as the pages of the patterns tell people to call it, on the configuration that they show.
#[test]
fn what_the_patterns_promise_holds() {
    let mut asked = 0;
    for document in documents() {
        let mut blocks = document.blocks_of("toml").into_iter();
        let whole = blocks.find(|block| block.info == "toml check");
        let (true, Some(block)) = (document.name.starts_with("docs/patterns/"), whole) else {
            continue;
        };
        let (_folder, file) = written(&block.text);
        let text = document.text.replace('\n', " ");
        let mut calls = text.split("`portcullis explain --config FILE ").skip(1);
        let call = calls
            .next()
            .expect("each page says how to see that it holds");
        let (arguments, then) = call.split_once('`').expect("the end of the call");
        let arguments: Vec<&str> = ["explain", "--json"]
            .into_iter()
            .chain(arguments.split(' '))
            .collect();
        let answer = portcullis(&arguments, &file);
        let said = String::from_utf8_lossy(&answer.stdout);
        let json: serde_json::Value = serde_json::from_str(&said).expect("JSON");
        let promised = then
            .trim_start()
            .strip_prefix("says `")
            .and_then(|rest| rest.split('`').next());
        assert_eq!(
            json["outcome"],
            promised.unwrap_or("allow"),
            "{}: {said}",
            document.name
        );
        assert!(!said.contains("hunter2"), "{}: {said}", document.name);
        asked += 1;
    }
    assert_eq!(asked, 7, "one a pattern");
}

#[test]
fn every_piece_of_a_configuration_is_toml() {
    for document in documents() {
        for block in document.blocks_of("toml") {
            let file = File::from_str(&block.text, FileFormat::Toml);
            let read = Config::builder().add_source(file).build();
            assert!(read.is_ok(), "{}:{}: {read:?}", document.name, block.line);
        }
    }
}

/// The lines of the snippet `(portcullis)`, without comments and indentation.
fn snippet(caddyfile: &str) -> Vec<&str> {
    let lines = caddyfile
        .lines()
        .skip_while(|line| *line != "(portcullis) {");
    let mut snippet: Vec<&str> = lines.take_while(|line| *line != "}").collect();
    snippet.retain(|line| !line.trim().is_empty() && !line.trim().starts_with('#'));
    snippet.iter().map(|line| line.trim()).collect()
}

/// A Caddyfile in a document is for the configuration that stands before it.
#[test]
fn caddyfiles_have_the_snippet_that_is_printed() {
    let mut count = 0;
    for document in documents() {
        let blocks = document.blocks();
        for (index, block) in blocks.iter().enumerate() {
            if block.info != "caddyfile check" {
                continue;
            }
            let mut before = blocks[..index].iter().rev();
            let configuration = before
                .find(|block| block.info == "toml check")
                .expect("a configuration before it");
            let (_folder, file) = written(&configuration.text);
            let printed = portcullis(&["snippet", "caddy"], &file);
            let printed = String::from_utf8_lossy(&printed.stdout);
            let printed = snippet(&printed);
            assert!(printed.len() > 5, "{printed:?}");
            assert_eq!(
                snippet(&block.text),
                printed,
                "{}:{}",
                document.name,
                block.line
            );
            count += 1;
        }
    }
    assert!(count >= 1, "the README shows one");
}

/// The Caddy that `make tools` installs. Where it is not there, its tests are passed over, unless
/// `PORTCULLIS_TOOLS=required`.
fn caddy() -> Option<PathBuf> {
    let caddy = root().join("target/tools/bin/caddy");
    if caddy.is_file() {
        return Some(caddy);
    }
    let required = std::env::var_os("PORTCULLIS_TOOLS").is_some_and(|value| value == "required");
    assert!(
        !required,
        "no {}: `make tools` installs it",
        caddy.display()
    );
    None
}

/// Those of the documents, and the one that we ship.
#[test]
fn caddy_takes_the_caddyfiles() {
    let Some(caddy) = caddy() else {
        return;
    };
    let mut caddyfiles = vec![("Caddyfile.example".to_owned(), source("Caddyfile.example"))];
    for document in documents() {
        let blocks = document.blocks_of("caddyfile").into_iter();
        let named = blocks.map(|block| (format!("{}:{}", document.name, block.line), block.text));
        caddyfiles.extend(named);
    }
    assert!(
        caddyfiles.len() > 2,
        "the README and the reference show one"
    );
    for (name, text) in caddyfiles {
        let folder = TempDir::new().expect("a folder");
        let file = folder.path().join("Caddyfile");
        fs::write(&file, text).expect("a written file");
        let validated = Command::new(&caddy)
            .args(["validate", "--adapter", "caddyfile", "--config"])
            .arg(&file)
            .env("HOME", folder.path())
            .env("XDG_DATA_HOME", folder.path())
            .env("XDG_CONFIG_HOME", folder.path())
            .output()
            .expect("Caddy runs");
        let said = String::from_utf8_lossy(&validated.stderr);
        assert!(validated.status.success(), "{name}: {said}");
    }
}
