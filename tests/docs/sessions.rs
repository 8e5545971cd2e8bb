//! `docs/sessions.md`: the table is what the program makes of these sessions, the line of JSON is what it prints, and the
//! words of a refusal are those that there are.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::markdown::{Document, code_spans, documents, source};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

fn document() -> Document {
    let is_it = |document: &Document| document.name == "docs/sessions.md";
    documents().into_iter().find(is_it).expect("the document")
}

/// What the binary prints when a service answers with this one page.
fn printed(arguments: &[&str], sessions: &Value) -> String {
    let folder = TempDir::new().expect("a folder");
    let socket = folder.path().join("control.sock");
    let page = json!({ "sessions": sessions, "unreadable": 0, "next": null }).to_string();
    serve(&socket, page);
    let output = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .env_clear()
        .args(arguments)
        .arg("--socket")
        .arg(&socket)
        .output()
        .expect("the binary runs");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(output.status.success());
    String::from_utf8(output.stdout).expect("text")
}

fn serve(socket: &Path, page: String) {
    let listener = UnixListener::bind(socket).expect("a socket");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // A connection that asks nothing only looks whether anybody is there.
            if stream.read(&mut [0; 4_096]).is_ok_and(|length| length > 0) {
                let length = page.len();
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
                let _ = stream.write_all((head + &page).as_bytes());
            }
        }
    });
}

/// The sessions of the table: their ids are longer, and how long ago was rounded.
fn sessions() -> Value {
    let now = SystemTime::now();
    let at = |time| humantime::format_rfc3339_seconds(time).to_string();
    let ago = |seconds| at(now - Duration::from_secs(seconds + 20));
    let ahead = |seconds| at(now + Duration::from_secs(seconds + 20));
    let session = |id: &str, username: &str, subject: &str, times: [String; 3]| {
        let [created, seen, expires] = times;
        json!({
            "id": format!("{id}{}", "A".repeat(31)), "issuer": "https://id.example.net",
            "subject": subject, "username": username, "name": null, "email": null, "groups": [],
            "created": created, "seen": seen, "expires": expires, "ends": expires,
            "auth_time": null, "amr": [],
        })
    };
    let (ada, ben) = (
        "7f3c1d52-0b9e-4f6a-8f0e-5f3d1f0c2a11",
        "2b60a9e4-7c1d-4a53-9d0e-8f2f6f0f9b72",
    );
    let of_ada = [ago(3 * DAY), ago(12 * MINUTE), ahead(23 * HOUR)];
    let of_ben = [ago(5 * HOUR), ago(5 * HOUR), ahead(19 * HOUR)];
    json!([
        session("Qm9yZXMtaXMt", "ben", ben, of_ben),
        session("tV2sJq0dXk4H", "ada", ada, of_ada),
    ])
}

#[test]
fn the_table_is_what_the_program_prints() {
    let document = document();
    let shown = document.blocks_of("text").remove(0);
    assert_eq!(printed(&["sessions", "list"], &sessions()), shown.text);
}

#[test]
fn the_line_of_json_is_what_the_program_prints() {
    let document = document();
    let shown = document.blocks_of("json").remove(0);
    let session: Value = serde_json::from_str(&shown.text).expect("JSON");
    let printed = printed(&["sessions", "list", "--json"], &json!([session]));
    assert_eq!(printed, shown.text);
}

#[test]
fn the_words_of_refusals_are_all_there() {
    let code = source("src/http/control.rs");
    let words = code.split('"').skip(1).step_by(2);
    let snake = |word: &str| {
        word.contains('_') && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
    };
    let expected: BTreeSet<&str> = words.filter(|word| snake(word)).collect();
    assert!(expected.len() > 5, "{expected:?}");
    let document = document();
    let start = document
        .text
        .find("A refusal is a problem")
        .expect("it is there");
    let text = &document.text[start..];
    let paragraph = text
        .split("\n\n")
        .next()
        .expect("a paragraph")
        .replace('\n', " ");
    let found: BTreeSet<&str> = code_spans(&paragraph).filter(|word| snake(word)).collect();
    assert_eq!(found, expected);
}
