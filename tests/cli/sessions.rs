//! `portcullis sessions`: which socket it asks, what it makes of the answers, and what it says when there are none.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::support::{Done, Folder, Run, set_mode};

/// A service of the test's own, which gives these answers one after the other to requests, and tells what was asked.
fn answering(socket: &Path, answers: &[String]) -> thread::JoinHandle<Vec<String>> {
    let listener = UnixListener::bind(socket).expect("a socket");
    let answers = answers.to_vec();
    thread::spawn(move || {
        let mut asked = Vec::new();
        while asked.len() < answers.len() {
            let (mut stream, _) = listener.accept().expect("a connection");
            let request = head(&mut stream);
            // A connection that asks nothing only looks whether anybody is there.
            if let Some(line) = request.lines().next() {
                let answer = answers[asked.len()].as_bytes();
                stream.write_all(answer).expect("it is read");
                asked.push(line.to_owned());
            }
        }
        asked
    })
}

fn head(stream: &mut UnixStream) -> String {
    let patience = Some(Duration::from_secs(20));
    stream.set_read_timeout(patience).expect("a time-out");
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).expect("a request") == 1 {
        head.push(byte[0]);
    }
    String::from_utf8(head).expect("text")
}

fn answer(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

fn session(id: &str, username: &str) -> String {
    let id = format!("{id}{}", "_".repeat(43 - id.len()));
    format!(
        r#"{{"id":"{id}","issuer":"https://id.example.net","subject":"1","username":{username},"name":null,
        "email":null,"groups":[],"created":"2026-01-01T00:00:00Z","seen":"2026-01-01T00:00:00Z",
        "expires":"2026-01-01T00:00:00Z","ends":"2026-01-01T00:00:00Z","auth_time":null,"amr":[]}}"#
    )
}

fn page(sessions: &[String], unreadable: usize, next: &str) -> String {
    let sessions = sessions.join(",");
    let page = format!(r#"{{"sessions":[{sessions}],"unreadable":{unreadable},"next":{next}}}"#);
    answer("200 OK", &page)
}

fn problem(status: &str, reason: &str) -> String {
    let body = format!(r#"{{"reason":"{reason}","detail":"It is {reason}."}}"#);
    answer(status, &body)
}

fn sessions(socket: &Path, arguments: &[&str]) -> Done {
    let run = Run::new(["sessions", "--socket"]).arg(socket);
    arguments.iter().fold(run, Run::arg).done()
}

/// A command against a service that gives these answers; and what that was asked.
fn told(arguments: &[&str], answers: &[String]) -> (Done, Vec<String>) {
    let folder = Folder::new();
    let socket = folder.path().join("control.sock");
    let service = answering(&socket, answers);
    let done = sessions(&socket, arguments);
    (done, service.join().expect("no panic"))
}

#[test]
fn all_pages_are_asked_for_and_nobody_is_shown_twice() {
    let pages = [
        page(
            &[session("a", "\"ada\""), session("b", "null")],
            0,
            "\"one/two\"",
        ),
        page(&[], 1, "\"3\""),
        page(&[session("b", "null"), session("c", "\"cy\"")], 1, "null"),
    ];
    let (done, asked) = told(&["list", "--json"], &pages);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let ids: Vec<String> = done
        .stdout
        .lines()
        .map(|line| {
            let session: serde_json::Value = serde_json::from_str(line).expect("JSON");
            session["id"].as_str().expect("an id")[..1].to_owned()
        })
        .collect();
    assert_eq!(ids, ["a", "b", "c"]);
    assert!(
        done.stderr.contains("note: 2 sessions could not be opened"),
        "{}",
        done.stderr
    );
    let expected = [
        "GET /v1/sessions HTTP/1.1",
        "GET /v1/sessions?after=one%2Ftwo HTTP/1.1",
        "GET /v1/sessions?after=3 HTTP/1.1",
    ];
    assert_eq!(asked, expected);
}

#[test]
fn a_name_does_not_act_on_the_terminal() {
    let evil = r#""\u001b[2J\u009b31m\u202eada\nroot""#;
    for arguments in [&["list"][..], &["list", "--json"]] {
        let (done, _) = told(arguments, &[page(&[session("a", evil)], 0, "null")]);
        assert_eq!(done.code, 0);
        assert!(done.stdout.contains("ada"), "{}", done.stdout);
        let acts = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!done.stdout.contains(acts), "{:?}", done.stdout);
        let lines = if arguments.len() == 1 { 2 } else { 1 };
        assert_eq!(done.stdout.lines().count(), lines);
    }
}

#[test]
fn a_subject_comes_before_a_name() {
    let (one, none) = (
        page(&[session("a", "null")], 0, "null"),
        page(&[], 0, "null"),
    );
    let by = |what: &str, who: &str| format!("GET /v1/sessions?{what}={who} HTTP/1.1");
    #[rustfmt::skip] // the columns are the point
    let cases = [
        ("1",          vec![one.clone()],         vec![by("subject", "1")]),
        ("a b&c",      vec![none, one.clone()],   vec![by("subject", "a+b%26c"), by("username", "a+b%26c")]),
        ("name:ada",   vec![one.clone()],         vec![by("username", "ada")]),
        ("email:a@b",  vec![one],                 vec![by("email", "a%40b")]),
    ];
    for (who, answers, expected) in cases {
        let (done, asked) = told(&["list", "--user", who], &answers);
        assert_eq!(
            (done.code, done.stdout.lines().count()),
            (0, 2),
            "{who}: {}",
            done.stderr
        );
        assert_eq!(asked, expected, "{who}");
    }
}

/// Ids are base64url, so they may begin like an option does.
#[test]
fn ids_may_look_like_options() {
    for id in ["abcdefgh", "-habcdef", "--abcdef", "-Vabcdef", "-_-_-_-_"] {
        let ended = format!(r#"{{"id":"{id}","subject":"1","username":null}}"#);
        let (done, asked) = told(&["revoke", id], &[answer("200 OK", &ended)]);
        assert_eq!((done.code, &*done.stderr), (0, ""), "{id}");
        assert_eq!(done.stdout, format!("Session {id} of 1 has ended.\n"));
        assert_eq!(asked, [format!("DELETE /v1/sessions/{id} HTTP/1.1")]);
    }
}

#[test]
fn a_person_s_sessions_end_at_one_provider() {
    let (done, asked) = told(
        &["revoke-user", "ada/1", "--issuer", "https://id.example.net"],
        &[answer("200 OK", r#"{"ended":3}"#)],
    );
    assert_eq!(
        (done.code, &*done.stdout),
        (0, "3 sessions of ada/1 have ended.\n")
    );
    let expected =
        "DELETE /v1/sessions?subject=ada%2F1&issuer=https%3A%2F%2Fid.example.net HTTP/1.1";
    assert_eq!(asked, [expected]);
}

/// Whoever takes a user name for a subject is not told that all is done.
#[test]
fn a_user_name_is_no_subject_and_the_subject_is_told() {
    let none = answer("200 OK", r#"{"ended":0}"#);
    let found = page(
        &[session("a", "\"ada\""), session("b", "\"ada\"")],
        0,
        "null",
    );
    let (done, asked) = told(&["revoke-user", "ada"], &[none.clone(), found.clone()]);
    assert_eq!((done.code, &*done.stdout), (1, ""));
    assert!(
        done.stderr.contains("no session has ended"),
        "{}",
        done.stderr
    );
    assert!(done.stderr.ends_with("subject: 1\n"), "{}", done.stderr);
    let expected = [
        "DELETE /v1/sessions?subject=ada HTTP/1.1",
        "GET /v1/sessions?username=ada HTTP/1.1",
    ];
    assert_eq!(asked, expected);
    // Nobody of that name, or at another provider; or nobody can say.
    let elsewhere = [
        "revoke-user",
        "ada",
        "--issuer",
        "https://other.example.net",
    ];
    let unread = problem("503 Service Unavailable", "store_unavailable");
    for (arguments, listed, noted) in [
        (&["revoke-user", "ada"][..], page(&[], 0, "null"), ""),
        (&elsewhere, found, ""),
        (
            &["revoke-user", "ada"],
            unread,
            "note: whether ada is somebody's user name is not known",
        ),
    ] {
        let (done, _) = told(arguments, &[none.clone(), listed]);
        assert_eq!(done.code, 0, "{}", done.stderr);
        assert!(
            done.stdout.starts_with("ada had no session."),
            "{}",
            done.stdout
        );
        assert!(done.stderr.starts_with(noted), "{}", done.stderr);
        assert_eq!(done.stderr.is_empty(), noted.is_empty(), "{}", done.stderr);
    }
}

/// A cluster that has another primary in the midst of the walk.
#[test]
fn a_walk_that_loses_its_place_begins_again_once() {
    let first = page(&[session("a", "null")], 1, "\"1\"");
    let lost = problem("400 Bad Request", "unknown_cursor");
    let end = page(&[session("b", "null")], 0, "null");
    let answers = [first.clone(), lost.clone(), first.clone(), end];
    let (done, asked) = told(&["list", "--json"], &answers);
    assert_eq!(
        (done.code, done.stdout.lines().count()),
        (0, 2),
        "{}",
        done.stderr
    );
    assert!(
        done.stderr.contains("note: one session could not"),
        "{}",
        done.stderr
    );
    assert_eq!(asked[2], "GET /v1/sessions HTTP/1.1");
    let (done, _) = told(
        &["list", "--json"],
        &[first.clone(), lost.clone(), first, lost],
    );
    assert_eq!(done.code, 1);
    assert!(
        done.stderr.contains("It is unknown_cursor."),
        "{}",
        done.stderr
    );
}

#[test]
fn what_is_not_done_is_told_and_is_a_failure() {
    #[rustfmt::skip] // the columns are the point
    let cases = [
        (problem("404 Not Found", "no_such_session"),           "It is no_such_session."),
        (problem("409 Conflict", "ambiguous_id"),               "It is ambiguous_id."),
        (problem("400 Bad Request", "malformed_id"),            "It is malformed_id."),
        (problem("503 Service Unavailable", "not_recorded"),    "It is not_recorded."),
        (problem("404 Not Found", "no_such_question"),          "another version, or not Portcullis"),
        (problem("400 Bad Request", "malformed_question"),      "another version, or not Portcullis"),
        (answer("404 Not Found", "There is nothing here."),     "another version, or not Portcullis"),
        (answer("200 OK", "<html>"),                            "another version, or not Portcullis"),
        (answer("200 OK", r#"{"other":1}"#),                    "another version, or not Portcullis"),
        (answer("302 Found", ""),                               "another version, or not Portcullis"),
        ("SSH-2.0-OpenSSH_9.2\r\n".to_owned(),                  "does not answer: "),
        (String::new(),                                         "does not answer: "),
    ];
    for (answer, expected) in cases {
        for command in [
            ["revoke", "abcdefgh"],
            ["revoke-user", "1"],
            ["list", "--json"],
        ] {
            let (done, _) = told(&command, std::slice::from_ref(&answer));
            assert_eq!(
                (done.code, &*done.stdout),
                (1, ""),
                "{command:?} {answer:?}"
            );
            assert!(
                done.stderr.contains(expected),
                "{command:?} {answer:?}: {}",
                done.stderr
            );
            assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
        }
    }
}

#[test]
fn a_service_that_does_not_run_is_told_apart_from_a_socket_that_may_not_be_opened() {
    let folder = Folder::new();
    let missing = folder.path().join("missing.sock");
    let done = sessions(&missing, &["list"]);
    assert_eq!((done.code, &*done.stdout), (1, ""));
    let told = format!(
        "error: no service listens at {}: it does not run",
        missing.display()
    );
    assert!(done.stderr.starts_with(&told), "{}", done.stderr);

    let left = folder.path().join("left.sock");
    drop(UnixListener::bind(&left).expect("a socket"));
    let done = sessions(&left, &["list"]);
    let told = format!("error: no service listens at {} any more", left.display());
    assert!(
        done.code == 1 && done.stderr.starts_with(&told),
        "{}",
        done.stderr
    );

    let forbidden = folder.path().join("forbidden.sock");
    let _listener = UnixListener::bind(&forbidden).expect("a socket");
    set_mode(&forbidden, 0o600);
    set_mode(folder.path(), 0o711);
    let run = ["sessions", "--socket"].map(str::to_owned);
    let mut command = if rustix::process::geteuid().is_root() {
        // Nobody is root to a socket of root's.
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
            .arg(readable_binary(&folder));
        command
    } else {
        set_mode(&forbidden, 0o000);
        Command::new(env!("CARGO_BIN_EXE_portcullis"))
    };
    let output = command.args(run).arg(&forbidden).arg("list").output();
    let output = output.expect("setpriv, of util-linux");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let told = format!(
        "error: {} may not be opened: run this as root",
        forbidden.display()
    );
    assert!(said.starts_with(&told), "{said}");
}

/// The binary, where every user gets at it.
fn readable_binary(folder: &Folder) -> PathBuf {
    let binary = folder.path().join("portcullis");
    std::fs::copy(env!("CARGO_BIN_EXE_portcullis"), &binary).expect("a copy");
    set_mode(&binary, 0o755);
    binary
}

/// The configuration says which socket; mistakes elsewhere in it, and secrets that cannot be read, are no matter.
#[test]
fn the_configuration_names_the_socket() {
    let folder = Folder::new();
    let socket = folder.path().join("control.sock");
    let text = format!(
        "[server]\ncontrol_socket = \"{}\"\nlisten = \"here\"\n[oidc]\nclient_secret_file = \"/nowhere\"\nscoops = 1\n",
        socket.display()
    );
    let file = folder.write("portcullis.toml", &text);
    let broken = folder.write("broken.toml", "[server\n");
    for is_broken in [false, true] {
        let service = answering(&socket, &[page(&[], 0, "null")]);
        let run = Run::new(["sessions", "list", "--config"]);
        let run = if is_broken {
            let variable = "PORTCULLIS__SERVER__CONTROL_SOCKET";
            run.arg(&broken).env(variable, &socket)
        } else {
            run.arg(&file)
        };
        let done = run.done();
        let ended = (done.code, &*done.stdout, &*done.stderr);
        assert_eq!(ended, (0, "Nobody is signed in.\n", ""));
        service.join().expect("no panic");
        std::fs::remove_file(&socket).expect("the socket");
    }
    let off = folder.write("off.toml", "[server]\ncontrol_socket = \"off\"\n");
    let done = Run::new(["sessions", "list"])
        .arg("--config")
        .arg(off)
        .done();
    assert_eq!(done.code, 1);
    assert!(
        done.stderr.contains("server.control_socket is \"off\""),
        "{}",
        done.stderr
    );
}

/// Nobody listens where the socket is by itself, and the configuration could not say otherwise: both are told.
#[test]
fn a_configuration_that_cannot_be_read_is_told_when_nobody_answers() {
    let folder = Folder::new();
    let file = folder.path().join("nothing.toml");
    let done = Run::new(["sessions", "list"])
        .env("PORTCULLIS_CONFIG", &file)
        .done();
    // Where a service runs on this machine, it answers.
    if done.code != 0 {
        let told = format!("warning: {}: cannot be read", file.display());
        assert!(done.stderr.starts_with(&told), "{}", done.stderr);
        let usual = "/run/portcullis/control.sock";
        assert!(done.stderr.contains(usual), "{}", done.stderr);
    }
}

/// Run in a namespace, where /run is empty but for the folder. Its arguments are the program, and the configurations of
/// two instances.
const OUT_OF_THE_BOX: &str = r#"
mount -t tmpfs none /run 2>/dev/null && mkdir /run/portcullis || exit 77
wait_for() {
	for _ in $(seq 300); do
		"$@" >/dev/null 2>&1 && return
		sleep 0.1
	done
	echo "gave up waiting for: $*"
	exit 1
}
"$1" serve --config "$2" >"$2.log" 2>&1 &
first=$!
wait_for "$1" sessions list
"$1" sessions list --config "$2"
stat -c %a /run/portcullis/control.sock
"$1" serve --config "$3" >"$3.log" 2>&1 &
second=$!
wait_for grep "portcullis is up" "$3.log"
grep -c "there is no control socket" "$2.log" "$3.log" | sed 's/.*://'
kill "$second"
wait "$second" && "$1" sessions list
kill "$first"
wait "$first"
"#;

/// With the folder that the unit of systemd and the image bring along, no key is needed; and a second instance on the
/// same machine neither takes the socket away nor fails for want of it.
#[test]
fn nothing_has_to_be_configured() {
    let folder = Folder::new();
    let configuration = |name: &str| {
        let socket = |door: &str| folder.path().join(format!("{name}-{door}.sock"));
        let text = format!(
            r#"
[server]
listen = "unix:{}"
portal_listen = "unix:{}"
admin_listen = "unix:{}"
public_url = "https://auth.example.net"
[oidc]
issuer = "https://127.0.0.1:9"
client_id = "portcullis"
[session]
store = "memory:"
[services.app]
host = "app.example.net"
policy = "authenticated"
"#,
            socket("verify").display(),
            socket("portal").display(),
            socket("admin").display()
        );
        folder.write(&format!("{name}.toml"), &text)
    };
    let ended = Command::new("unshare")
        .args(["--mount", "--", "sh", "-c", OUT_OF_THE_BOX, "sh"])
        .arg(env!("CARGO_BIN_EXE_portcullis"))
        .args([configuration("first"), configuration("second")])
        .output();
    let ended = ended.expect("unshare, of util-linux");
    let (stdout, stderr) = (
        String::from_utf8_lossy(&ended.stdout),
        String::from_utf8_lossy(&ended.stderr),
    );
    if ended.status.code() == Some(77) || stderr.contains("unshare failed") {
        let word = "no namespaces here: the usual place of the control socket is not looked at";
        let _ = writeln!(std::io::stderr(), "{word}");
        return;
    }
    let nobody = "Nobody is signed in.";
    assert_eq!(
        stdout.lines().collect::<Vec<_>>(),
        [nobody, "600", "0", "1", nobody],
        "{stderr}"
    );
    assert!(ended.status.success(), "{stderr}");
}
