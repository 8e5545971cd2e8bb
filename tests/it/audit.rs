//! Audit events as the running service writes them: who, from where, and how; a line for each, until a stranger wants
//! too many. docs/audit.md has their fields, and these have those.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use portcullis::config::RawConfig;
use reqwest::Method;
use serde_json::Value;

use crate::refresh::{self, LAPSED, Person};
use crate::step_up::asks_for_more;
use crate::support::app::{TestApp, answer, spawn_app_with};
use crate::support::browser::Browser;
use crate::support::issuer::{self, Endpoint};
use crate::support::log;

const FILMS: &str = "https://films.example.net/";
const NOTES: &str = "https://notes.example.net/";

/// The service, with browsers at an address of its own, by which its lines are found.
async fn spawn() -> TestApp {
    spawn_with(|_| {}).await
}

async fn spawn_with(adjust: impl FnOnce(&mut RawConfig)) -> TestApp {
    static ADDRESSES: AtomicU32 = AtomicU32::new(1);
    log::capture();
    let mut app = spawn_app_with(adjust).await;
    let [_, _, a, b] = ADDRESSES.fetch_add(1, Ordering::SeqCst).to_be_bytes();
    app.from = format!("198.19.{a}.{b}");
    app
}

/// The lines about `client`, of one event.
fn events(client: &str, event: &str) -> Vec<Value> {
    let lines = log::with("client", client).into_iter();
    lines.filter(|line| line["event"] == event).collect()
}

fn the_only(client: &str, event: &str) -> Value {
    let mut found = events(client, event);
    assert_eq!(found.len(), 1, "{event}: {found:#?}");
    found.remove(0)
}

/// The fields that docs/audit.md gives an event, and which of them may be left out.
fn documented(event: &str) -> BTreeMap<String, bool> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/audit.md");
    let text = std::fs::read_to_string(path).expect("the document");
    let heading = format!("\n### `{event}`\n");
    let section = text.split(&heading).nth(1).expect(event);
    let section = section.split("\n#").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut fields = BTreeMap::new();
    for row in rows {
        let names = row.split(" |").next().unwrap_or_default();
        // What stands between backquotes, the first of which is gone.
        for name in names.split('`').step_by(2) {
            fields.insert(name.to_owned(), row.contains("left out"));
        }
    }
    fields
}

/// It is an audit event, and has its fields, and no others.
fn has_its_fields(line: &Value) {
    let event = line["event"].as_str().expect("an event");
    assert_eq!(line["target"], "audit", "{line}");
    let keys = line.as_object().expect("an object").keys();
    let around = ["timestamp", "level", "target", "event", "message"];
    let own = keys.filter(|key| !around.contains(&key.as_str())).cloned();
    let own: BTreeSet<String> = own.collect();
    let documented = documented(event);
    for name in &own {
        assert!(documented.contains_key(name), "{name}: {line}");
    }
    for (name, may_be_left_out) in documented {
        assert!(may_be_left_out || own.contains(&name), "{name}: {line}");
    }
}

/// A login that was on its way, in a browser where somebody else has signed in meanwhile, ends their session.
#[actix_web::test]
async fn a_session_that_a_login_replaces_ends_with_an_event() {
    let app = spawn().await;
    let mut browser = Browser::new(&app);
    app.issuer.sign_in_as("ben");
    let back = browser.until_callback(NOTES).await;
    app.issuer.sign_in_as("ada");
    browser.navigate(FILMS).await;
    assert!(events(&app.from, "logout").is_empty());
    browser.open(&back).await;
    assert_eq!(events(&app.from, "login").len(), 2);
    let replaced = the_only(&app.from, "logout");
    has_its_fields(&replaced);
    assert_eq!(
        (&replaced["by"], &replaced["username"]),
        (&"replaced".into(), &"ada".into())
    );
}

#[actix_web::test]
async fn a_login_and_a_logout_say_who_from_where_and_how() {
    let app = spawn().await;
    let mut browser = Browser::new(&app);
    browser.navigate(FILMS).await;
    let login = the_only(&app.from, "login");
    has_its_fields(&login);
    assert_eq!(login["username"], "ada");
    assert_eq!(login["issuer"], app.issuer.issuer());
    browser.navigate(NOTES).await;
    browser
        .navigate("https://films.example.net/.portcullis/logout")
        .await;
    let logout = the_only(&app.from, "logout");
    has_its_fields(&logout);
    assert_eq!(
        (&logout["username"], &logout["by"]),
        (&"ada".into(), &"rp".into())
    );
    assert_eq!(logout["subject"], login["subject"]);
    browser.navigate(FILMS).await;
    browser.post("/logout", "same-origin").await;
    let logouts = events(&app.from, "logout");
    assert_eq!(logouts.len(), 2);
    assert_eq!(logouts[1]["subject"], login["subject"]);
    // Somebody who is not signed in signs nobody out.
    browser.post("/logout", "same-origin").await;
    assert_eq!(events(&app.from, "logout").len(), 2);
}

#[actix_web::test]
async fn a_login_that_fails_says_why() {
    let app = spawn().await;
    app.issuer
        .behave(|now| now.refuse_login = Some("access_denied"));
    Browser::new(&app).navigate(FILMS).await;
    let failed = the_only(&app.from, "login_failed");
    has_its_fields(&failed);
    assert_eq!(failed["reason"], "access_denied");
    assert!(events(&app.from, "login").is_empty());
}

/// Somebody who is signed in, and has to sign in again by another way, which they do not.
#[actix_web::test]
async fn a_step_up_in_vain_says_who_stays_signed_in() {
    let app = spawn_with(|raw| asks_for_more(raw, "notes", Duration::from_secs(900))).await;
    let mut browser = Browser::new(&app);
    browser.navigate(FILMS).await;
    let login = the_only(&app.from, "login");
    app.issuer.behave(|issuer| issuer.asks_again = false);
    app.clock.advance(Duration::from_secs(961));
    assert_eq!(browser.navigate(NOTES).await.end.status, 403);
    let failed = the_only(&app.from, "step_up_failed");
    has_its_fields(&failed);
    assert_eq!(failed["reason"], "auth_too_old");
    for field in ["issuer", "subject", "username"] {
        assert_eq!(failed[field], login[field], "{field}");
    }
    assert!(events(&app.from, "login_failed").is_empty());
    the_only(&app.from, "login");
}

/// There is no browser to a renewal: its lines are found by the issuer.
#[actix_web::test]
async fn renewals_say_whose_session_lives_on_or_has_ended() {
    log::capture();
    let app = refresh::spawn(|_| {}).await;
    let told = |event: &str| -> Vec<Value> {
        let lines = log::with("issuer", app.issuer.issuer()).into_iter();
        lines.filter(|line| line["event"] == event).collect()
    };
    let ada = Person::sign_in(&app, FILMS).await;
    let login = &told("login")[0];
    let is_ada = |line: &Value| {
        has_its_fields(line);
        for field in ["issuer", "subject", "username"] {
            assert_eq!(line[field], login[field], "{field}");
        }
    };
    app.clock.advance(LAPSED);
    assert_eq!(ada.status(&app).await, 200);
    refresh::until("it is told", async || told("refresh").len() == 1).await;
    is_ada(&told("refresh")[0]);
    // What is only put off is no event.
    app.issuer
        .answer(Endpoint::Refresh, issuer::Answer::Status(503));
    app.clock.advance(LAPSED);
    assert_eq!(ada.status(&app).await, 200);
    app.issuer.behave(|issuer| {
        issuer.answers.clear();
        issuer.refuse_refresh = Some("invalid_grant");
    });
    app.clock.advance(LAPSED);
    // After a failure it is tried beside the requests.
    refresh::until("she is out", async || ada.status(&app).await == 401).await;
    refresh::until("it is told", async || !told("refresh_ended").is_empty()).await;
    let ended = told("refresh_ended");
    assert_eq!(ended.len(), 1, "{ended:#?}");
    is_ada(&ended[0]);
    assert_eq!(ended[0]["reason"], "grant_ended");
    assert_eq!(told("refresh").len(), 1);
}

#[actix_web::test]
async fn a_denial_is_found_by_the_id_on_its_page() {
    let app = spawn().await;
    app.issuer.sign_in_as("ben");
    let mut ben = Browser::new(&app);
    let page = ben
        .navigate("https://notes.example.net/secret?token=hidden")
        .await
        .end;
    assert_eq!(page.status, 403);
    let id = page.header("portcullis-decision");
    assert!(page.body.contains(id), "{}", page.body);
    let denied = the_only(&app.from, "deny");
    has_its_fields(&denied);
    assert_eq!(denied["decision"], id);
    assert_eq!(
        (&denied["outcome"], &denied["reason"]),
        (&"deny".into(), &"not_a_member".into())
    );
    assert_eq!(
        (&denied["service"], &denied["username"]),
        (&"notes".into(), &"ben".into())
    );
    assert_eq!(
        (&denied["host"], &denied["path"]),
        (&"notes.example.net".into(), &"/secret".into())
    );
    assert!(!denied.to_string().contains("hidden"), "{denied}");
    // Everything that somebody is denied who is signed in.
    for _ in 0..60 {
        ben.ask(NOTES).fetch().send().await;
    }
    assert_eq!(events(&app.from, "deny").len(), 61);
}

#[actix_web::test]
async fn a_stranger_gets_a_few_lines_and_a_number() {
    const DENIALS: usize = 100;
    let app = spawn().await;
    let mut last = String::new();
    for n in 0..DENIALS {
        let host = format!("https://x{n}.example.com/");
        last = app
            .ask(&host)
            .fetch()
            .send()
            .await
            .header("portcullis-decision")
            .to_owned();
    }
    let lines = events(&app.from, "deny");
    assert_eq!(lines.len(), 20);
    assert!(lines.iter().all(|line| line["reason"] == "unknown_host"));
    assert!(log::with("decision", &last).is_empty());
    // Others are not affected.
    let other = app
        .ask("https://x.example.com/")
        .header("x-forwarded-for", "198.18.0.7");
    let id = other
        .fetch()
        .send()
        .await
        .header("portcullis-decision")
        .to_owned();
    let line = log::with("decision", &id);
    assert!(
        line.len() == 1 && line[0]["client"] == "198.18.0.7",
        "{line:?}"
    );
    // All are counted all the same.
    let told = answer(app.admin(Method::GET, "/metrics")).await.body;
    let left_out = format!("portcullis_audit_denials_left_out_total {}", DENIALS - 20);
    assert!(told.contains(&left_out), "{told}");
    let denied = format!(
        "{{service=\"none\",outcome=\"deny\",reason=\"unknown_host\"}} {}",
        DENIALS + 1
    );
    assert!(told.contains(&denied), "{told}");
    let from = app.from.clone();
    // It tells before it stops.
    app.restart().await;
    let told = the_only(&from, "deny_left_out");
    has_its_fields(&told);
    assert_eq!(told["denials"], DENIALS - 20);
}

/// Whoever writes nonsense does not say who it was.
#[actix_web::test]
async fn nonsense_gets_a_few_lines_too() {
    let app = spawn().await;
    let mut ids = Vec::new();
    for _ in 0..60 {
        let told = app
            .ask(FILMS)
            .header("x-forwarded-host", "a b")
            .send()
            .await;
        assert_eq!(told.status, 400);
        ids.push(told.header("portcullis-decision").to_owned());
    }
    let written = ids
        .iter()
        .filter(|id| !log::with("decision", id).is_empty());
    assert_eq!(written.count(), 20);
}
