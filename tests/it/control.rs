//! The control socket and `portcullis sessions`: who is signed in, and ending it, at every store.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use actix_web::rt::task::spawn_blocking;
use portcullis::config::{Config, RawConfig};
use portcullis::startup::Application;
use reqwest::{Client, Method};
use secrecy::SecretString;
use serde_json::Value;
use tempfile::TempDir;

use crate::redis::Shared;
use crate::support::app::{Answer, TestApp, answer, spawn_app_with, test_config};
use crate::support::browser::Browser;
use crate::support::issuer::USERS;
use crate::support::log;

const FILMS: &str = "https://films.example.net/";

/// How a command ended.
#[derive(Debug)]
struct Done {
    code: i32,
    stdout: String,
    stderr: String,
}

/// A control socket, and those who ask at it.
struct Control {
    folder: TempDir,
}

impl Control {
    fn new() -> Self {
        Self {
            folder: TempDir::new().expect("a folder"),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("control.sock")
    }

    fn configure(&self, raw: &mut RawConfig) {
        raw.server.control_socket = Some(self.path().display().to_string());
    }

    /// `portcullis sessions`, as administrators call it.
    async fn sessions(&self, arguments: &[&str]) -> Done {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command
            .env_clear()
            .args(["sessions", "--socket"])
            .arg(self.path())
            .args(arguments);
        let output = spawn_blocking(move || command.output()).await;
        let output = output.expect("no panic").expect("the binary runs");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Done {
            code: output.status.code().expect("an exit code"),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// The sessions that it lists.
    async fn listed(&self, arguments: &[&str]) -> Vec<Value> {
        let arguments: Vec<&str> = ["list", "--json"]
            .iter()
            .chain(arguments)
            .copied()
            .collect();
        let done = self.sessions(&arguments).await;
        assert_eq!((done.code, &*done.stderr), (0, ""), "{done:?}");
        let parse = |line| serde_json::from_str(line).expect("JSON");
        done.stdout.lines().map(parse).collect()
    }

    /// The id of the only session of this user.
    async fn id_of(&self, username: &str) -> String {
        let listed = self.listed(&["--user", username]).await;
        assert_eq!(listed.len(), 1, "{listed:?}");
        listed[0]["id"].as_str().expect("an id").to_owned()
    }

    /// A request as it is.
    async fn ask(&self, method: Method, path_and_query: &str) -> Answer {
        let client = Client::builder().unix_socket(self.path()).no_proxy();
        let client = client.build().expect("a client");
        let url = format!("http://localhost{path_and_query}");
        answer(client.request(method, url)).await
    }
}

async fn sign_in<'a>(app: &'a TestApp, username: &str) -> Browser<'a> {
    app.issuer.sign_in_as(username);
    let mut browser = Browser::new(app);
    let visit = browser.navigate(FILMS).await;
    assert_eq!(visit.end.status, 200, "{username}");
    browser
}

async fn is_let_in(browser: &Browser<'_>) -> bool {
    let status = browser.ask(FILMS).fetch().send().await.status.as_u16();
    assert!(status == 200 || status == 401, "{status}");
    status == 200
}

#[actix_web::test]
async fn those_who_are_signed_in_are_shown_without_anything_that_lets_one_in() {
    let control = Control::new();
    let app = spawn_app_with(|raw| control.configure(raw)).await;
    let none = control.sessions(&["list"]).await;
    assert_eq!((none.code, &*none.stdout), (0, "Nobody is signed in.\n"));
    assert!(control.listed(&[]).await.is_empty());

    let ada = sign_in(&app, "ada").await;
    let ben = sign_in(&app, "ben").await;
    let other = sign_in(&app, "ben").await;
    let table = control.sessions(&["list"]).await;
    assert_eq!((table.code, &*table.stderr), (0, ""));
    let users: Vec<&str> = table
        .stdout
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1))
        .collect();
    assert_eq!(users, ["USER", "ada", "ben", "ben"], "{}", table.stdout);

    let listed = control.listed(&["--user", "ada"]).await;
    let [session] = &*listed else {
        unreachable!("one session: {listed:?}");
    };
    assert_eq!(session["subject"], USERS[0].subject);
    assert_eq!(session["issuer"], app.issuer.issuer());
    assert_eq!(session["username"], "ada");
    assert_eq!(session["name"], "Ada Lovelace");
    assert_eq!(session["email"], "ada@example.net");
    assert_eq!(session["groups"], serde_json::json!(["admins"]));
    for time in ["created", "seen", "expires", "ends"] {
        let time = session[time].as_str().expect("a time");
        assert!(time.len() == 20 && time.ends_with('Z'), "{time}");
    }
    for (who, count) in [
        (USERS[1].subject, 2),
        ("ben", 2),
        ("name:ben", 2),
        ("email:BEN@example.net", 2),
        ("eve", 0),
        ("name:", 0),
        ("email:eve@example.net", 0),
    ] {
        assert_eq!(control.listed(&["--user", who]).await.len(), count, "{who}");
    }
    let nobody = control.sessions(&["list", "--user", "eve"]).await;
    assert_eq!(nobody.stdout, "Nobody is signed in as eve.\n");

    // Neither what a cookie holds nor a token.
    let everything = control.ask(Method::GET, "/v1/sessions").await;
    for browser in [&ada, &ben, &other] {
        let cookies = browser.cookie_header("films.example.net");
        let values = cookies.split("; ").filter_map(|one| one.split_once('='));
        let secrets: Vec<&str> = values
            .map(|(_, value)| value)
            .filter(|value| value.len() > 20)
            .collect();
        assert!(!secrets.is_empty(), "{cookies}");
        for secret in secrets {
            assert!(!everything.body.contains(secret), "{}", everything.body);
        }
    }
    for token in app.issuer.issued() {
        assert!(!everything.body.contains(&token), "{}", everything.body);
    }
}

#[actix_web::test]
async fn a_limit_cuts_the_list_and_says_so() {
    let control = Control::new();
    let app = spawn_app_with(|raw| control.configure(raw)).await;
    for _ in 0..3 {
        sign_in(&app, "ada").await;
    }
    let cut = control.sessions(&["list", "--limit", "2"]).await;
    assert_eq!((cut.code, cut.stdout.lines().count()), (0, 3));
    assert!(
        cut.stderr.starts_with("note: there are more than these 2"),
        "{}",
        cut.stderr
    );
    let whole = control.sessions(&["list", "--limit", "3"]).await;
    assert_eq!((whole.stdout.lines().count(), &*whole.stderr), (4, ""));
}

/// The same on every store: `app` takes the commands, and the browsers are led to `other` as well.
async fn sessions_are_ended(control: &Control, app: &TestApp, other: &TestApp) {
    let mut ada = sign_in(app, "ada").await;
    let mut elsewhere = sign_in(app, "ada").await;
    let mut ben = sign_in(app, "ben").await;
    let id = control.id_of("ben").await;
    let done = control.sessions(&["revoke", &id[..8]]).await;
    assert_eq!((done.code, &*done.stderr), (0, ""));
    let expected = format!("Session {id} of ben ({}) has ended.\n", USERS[1].subject);
    assert_eq!(done.stdout, expected);
    for at in [app, other] {
        ben.led_to(at);
        ada.led_to(at);
        assert!(!is_let_in(&ben).await);
        assert!(is_let_in(&ada).await);
    }
    let again = control.sessions(&["revoke", &id]).await;
    assert_eq!((again.code, &*again.stdout), (1, ""));
    assert_eq!(again.stderr, "error: There is no such session.\n");

    let done = control.sessions(&["revoke-user", USERS[0].subject]).await;
    let expected = format!("2 sessions of {} have ended.\n", USERS[0].subject);
    assert_eq!((done.code, &*done.stdout), (0, &*expected));
    for at in [app, other] {
        for browser in [&mut ada, &mut elsewhere] {
            browser.led_to(at);
            assert!(!is_let_in(browser).await);
        }
    }
    let again = control.sessions(&["revoke-user", USERS[0].subject]).await;
    assert_eq!(again.code, 0);
    assert!(
        again.stdout.contains(" had no session."),
        "{}",
        again.stdout
    );
    assert!(control.listed(&[]).await.is_empty());
    // Whoever was signed out signs in again.
    assert!(is_let_in(&sign_in(app, "ben").await).await);
}

#[actix_web::test]
async fn sessions_are_ended_in_memory() {
    let control = Control::new();
    let app = spawn_app_with(|raw| control.configure(raw)).await;
    sessions_are_ended(&control, &app, &app).await;
}

#[actix_web::test]
async fn sessions_are_ended_in_a_file_and_stay_so() {
    let control = Control::new();
    let store = format!("file:{}/portcullis.redb", control.folder.path().display());
    let app = spawn_app_with(|raw| {
        control.configure(raw);
        raw.session.store = Some(SecretString::from(store));
    })
    .await;
    sessions_are_ended(&control, &app, &app).await;
    // The one that signed in last.
    assert_eq!(control.listed(&[]).await.len(), 1);
    let app = app.restart().await;
    let id = control.id_of("ben").await;
    assert_eq!(control.sessions(&["revoke", &id]).await.code, 0);
    let _app = app.restart().await;
    assert!(control.listed(&[]).await.is_empty());
}

#[actix_web::test]
async fn what_is_ended_at_one_instance_is_ended_at_the_other() {
    let shared = Shared::start();
    let control = Control::new();
    let app = spawn_app_with(|raw| {
        shared.configure_patiently(raw);
        control.configure(raw);
    })
    .await;
    let other = app.beside(|raw| shared.configure_patiently(raw));
    sessions_are_ended(&control, &app, &other).await;
}

#[actix_web::test]
async fn what_could_not_be_recorded_is_told_and_nothing_is_listed() {
    let mut shared = Shared::start();
    let control = Control::new();
    let app = spawn_app_with(|raw| {
        shared.configure(raw);
        control.configure(raw);
    })
    .await;
    sign_in(&app, "ada").await;
    let id = control.id_of("ada").await;
    shared.redis.kill();
    for arguments in [
        &["revoke", &id][..],
        &["revoke-user", USERS[0].subject],
        &["revoke", &id[..8]],
    ] {
        let done = control.sessions(arguments).await;
        assert_eq!((done.code, &*done.stdout), (1, ""), "{arguments:?}");
        let told =
            "error: It could not be recorded, so it may still be in force: the session store ";
        assert!(
            done.stderr.starts_with(told),
            "{arguments:?}: {}",
            done.stderr
        );
    }
    let done = control.sessions(&["list"]).await;
    assert_eq!((done.code, &*done.stdout), (1, ""));
    assert!(
        done.stderr.contains("The sessions cannot be read"),
        "{}",
        done.stderr
    );
}

#[actix_web::test]
async fn who_ended_what_is_an_audit_event() {
    log::capture();
    let control = Control::new();
    let app = spawn_app_with(|raw| control.configure(raw)).await;
    sign_in(&app, "ada").await;
    let id = control.id_of("ada").await;
    control.sessions(&["revoke", &id]).await;
    let events = log::with("session", &id);
    let [event] = &*events else {
        unreachable!("one event: {events:?}");
    };
    assert_eq!(event["event"], "revoke");
    assert_eq!(event["subject"], USERS[0].subject);
    assert_eq!(event["username"], "ada");
    let own = rustix::process::geteuid().as_raw();
    assert_eq!(event["by"], format!("uid {own}"));
    sign_in(&app, "ada").await;
    control.sessions(&["revoke-user", USERS[0].subject]).await;
    let issuer = app.issuer.issuer();
    let events = log::with("issuer", issuer);
    let of_user = events.iter().find(|event| {
        event["event"] == "revoke" && event.get("session").is_none() && event["sessions"] == 1
    });
    assert!(of_user.is_some(), "{events:?}");
}

#[actix_web::test]
async fn the_socket_is_its_owner_s_alone() {
    let control = Control::new();
    // One that a killed process has left over is replaced.
    drop(std::os::unix::net::UnixListener::bind(control.path()).expect("a socket"));
    let app = spawn_app_with(|raw| {
        control.configure(raw);
        // That is for the proxy's sockets.
        raw.server.socket_mode = Some("0666".into());
    })
    .await;
    let metadata = std::fs::metadata(control.path()).expect("a socket");
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
    assert_eq!(
        control.folder.path().read_dir().expect("a folder").count(),
        1
    );
    // A second instance leaves it to the first.
    let mut raw = test_config(app.issuer.issuer());
    control.configure(&mut raw);
    let config = Config::from_raw(&raw, Path::new("/nowhere")).expect("a configuration");
    let refused = Application::build(config, Arc::new(app.clock.clone()));
    let refused = refused.err().expect("it does not start").to_string();
    assert!(refused.contains("control.sock"), "{refused}");
    assert_eq!(control.sessions(&["list"]).await.code, 0);
}

/// A socket that nobody asked for is none that anybody has to have, and nobody gets it elsewhere.
#[actix_web::test]
async fn without_a_control_socket_nothing_else_answers_to_administrators() {
    let app = spawn_app_with(|_| {}).await;
    let browser = sign_in(&app, "ada").await;
    for door in [&app.verify, &app.portal, &app.admin] {
        for method in [Method::GET, Method::DELETE] {
            let asked = answer(door.request(method, "/v1/sessions?subject=1")).await;
            assert!(asked.status.is_client_error(), "{asked:?}");
            assert!(!asked.body.contains("sessions\""), "{asked:?}");
        }
    }
    assert!(is_let_in(&browser).await);
}

#[actix_web::test]
async fn what_is_not_understood_does_nothing() {
    let control = Control::new();
    let app = spawn_app_with(|raw| control.configure(raw)).await;
    let browser = sign_in(&app, "ada").await;
    let id = control.id_of("ada").await;
    #[rustfmt::skip] // the columns are the point
    let cases = [
        (Method::GET,    "/v1/sessions?who=ada",                   400, "malformed_question"),
        (Method::GET,    "/v1/sessions?subject=1&username=ada",    400, "malformed_question"),
        (Method::GET,    "/v1/sessions?issuer=https://x",          400, "malformed_question"),
        (Method::DELETE, "/v1/sessions",                           400, "malformed_question"),
        (Method::DELETE, "/v1/sessions?username=ada",              400, "malformed_question"),
        (Method::DELETE, "/v1/sessions?issuer=https://x",          400, "malformed_question"),
        (Method::DELETE, "/v1/sessions/",                          404, "no_such_question"),
        (Method::DELETE, "/v1/sessions/*",                         400, "malformed_id"),
        (Method::DELETE, "/v1/sessions/abcdefg",                   400, "malformed_id"),
        (Method::DELETE, "/v1/sessions/********",                  400, "malformed_id"),
        (Method::DELETE, "/v1/sessions/AAAAAAAAAAAAAA",            404, "no_such_session"),
        (Method::POST,   "/v1/sessions",                           404, "no_such_question"),
        (Method::GET,    "/v1/sessions/AAAAAAAAAAAAAA",            404, "no_such_question"),
        (Method::GET,    "/v2/sessions",                           404, "no_such_question"),
        (Method::GET,    "/",                                      404, "no_such_question"),
        (Method::GET,    "/verify",                                404, "no_such_question"),
    ];
    for (method, path, status, reason) in cases {
        let asked = control.ask(method.clone(), path).await;
        assert_eq!(
            (asked.status.as_u16(), &*asked.reason()),
            (status, reason),
            "{method} {path}"
        );
        assert_eq!(asked.header("cache-control"), "no-store");
    }
    let foreign = format!("/v1/sessions?subject={}&issuer=https://x", USERS[0].subject);
    let ended = control.ask(Method::DELETE, &foreign).await;
    assert_eq!(ended.json()["ended"], 0);
    assert!(is_let_in(&browser).await);
    assert_eq!(control.id_of("ada").await, id);
}
