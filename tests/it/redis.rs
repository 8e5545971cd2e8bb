//! Several instances with one Redis: what one writes down, all of them know.

use std::path::Path;

use portcullis::config::{RawConfig, new_key};
use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;

use crate::replicas::until;
use crate::support::app::{TestApp, spawn_app_with};
use crate::support::browser::Browser;
use crate::support::redis_server::RedisServer;

const FILMS: &str = "https://films.example.net/";
const NOTES: &str = "https://notes.example.net/";

/// A Redis, and the key file that instances share.
pub struct Shared {
    pub redis: RedisServer,
    folder: TempDir,
}

impl Shared {
    pub fn start() -> Self {
        let shared = Self {
            redis: RedisServer::start(),
            folder: tempfile::tempdir().expect("a folder"),
        };
        shared.write("keys", &a_key());
        shared
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("a file");
    }

    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// The configuration of an instance.
    pub fn configure(&self, raw: &mut RawConfig) {
        raw.session.store = Some(SecretString::from(self.redis.url()));
        raw.session.secret_file = Some(self.path("keys"));
    }

    /// The same, with time to answer on a machine that has much to do: for tests in which Redis answers.
    pub fn configure_patiently(&self, raw: &mut RawConfig) {
        self.configure(raw);
        raw.session.store_timeout = Some(std::time::Duration::from_secs(10));
    }

    pub async fn spawn(&self) -> TestApp {
        spawn_app_with(|raw| self.configure_patiently(raw)).await
    }
}

fn a_key() -> String {
    new_key().expose_secret().to_owned()
}

async fn is_let_in(browser: &Browser<'_>, url: &str) -> bool {
    let status = browser.ask(url).fetch().send().await.status.as_u16();
    assert!(status == 200 || status == 401, "{status}");
    status == 200
}

#[actix_web::test]
async fn a_login_at_one_instance_counts_at_the_other_and_so_does_a_logout() {
    let shared = Shared::start();
    let one = shared.spawn().await;
    let other = one.beside(|raw| shared.configure_patiently(raw));
    let mut browser = Browser::new(&one);
    browser.navigate(FILMS).await;
    assert!(is_let_in(&browser, FILMS).await);
    browser.led_to(&other);
    assert!(is_let_in(&browser, FILMS).await);
    // The whole of a login may be spread over both.
    let visit = browser.navigate(NOTES).await;
    assert_eq!((visit.end.status.as_u16(), visit.logins()), (200, 0));
    browser.led_to(&one);
    assert!(is_let_in(&browser, NOTES).await);
    let copied = browser.cookie_header("films.example.net");
    browser
        .navigate("https://films.example.net/.portcullis/logout")
        .await;
    for app in [&one, &other] {
        let with_copy = app.ask(FILMS).fetch().header("cookie", &copied);
        assert_eq!(with_copy.send().await.status, 401);
        browser.led_to(app);
        assert!(!is_let_in(&browser, NOTES).await);
    }
}

#[actix_web::test]
async fn a_session_outlives_the_instances() {
    let shared = Shared::start();
    let first = shared.spawn().await;
    let mut browser = Browser::new(&first);
    browser.navigate(FILMS).await;
    let second = first.beside(|raw| shared.configure_patiently(raw));
    browser.led_to(&second);
    assert!(is_let_in(&browser, FILMS).await);
}

/// The key is added second everywhere, then moved first everywhere, then the old one goes; at each moment the two
/// instances may be one step apart. Whoever signed in at whatever step stays signed in, at both.
#[actix_web::test]
async fn a_new_sealing_key_signs_nobody_out() {
    let shared = Shared::start();
    let (old, new) = (a_key(), a_key());
    let lists = [
        ("old", format!("{old}\n")),
        ("both", format!("{old}\n{new}\n")),
        ("moved", format!("{new}\n{old}\n")),
    ];
    for (name, keys) in &lists {
        shared.write(name, keys);
    }
    let first = spawn_app_with(|raw| {
        shared.configure_patiently(raw);
        raw.session.secret_file = Some(shared.path("old"));
    });
    let first = first.await;
    let with_keys = |name: &str| {
        first.beside(|raw| {
            shared.configure_patiently(raw);
            raw.session.secret_file = Some(shared.path(name));
        })
    };
    let (old, both, moved) = (with_keys("old"), with_keys("both"), with_keys("moved"));
    let rollout = [
        (&old, &old),
        (&both, &old),
        (&both, &both),
        (&moved, &both),
        (&moved, &moved),
    ];
    let mut signed_in: Vec<Browser<'_>> = Vec::new();
    for (step, (one, other)) in rollout.into_iter().enumerate() {
        for app in [one, other] {
            let mut browser = Browser::new(app);
            let visit = browser.navigate(FILMS).await;
            assert_eq!(
                (visit.end.status.as_u16(), visit.logins()),
                (200, 1),
                "{step}"
            );
            signed_in.push(browser);
        }
        for (person, browser) in signed_in.iter_mut().enumerate() {
            for app in [one, other] {
                browser.led_to(app);
                assert!(is_let_in(browser, FILMS).await, "{person} at step {step}");
                let visit = browser.navigate(NOTES).await;
                let found = (visit.end.status.as_u16(), visit.logins());
                assert_eq!(found, (200, 0), "{person} at step {step}");
            }
        }
    }
    // A step too far is seen: who moves a key first that the other does not have signs people out there.
    let mut browser = Browser::new(&moved);
    browser.navigate(FILMS).await;
    browser.led_to(&old);
    assert!(!is_let_in(&browser, FILMS).await);
    browser.led_to(&moved);
    assert!(is_let_in(&browser, FILMS).await);
}

/// With the line of docs/redis.md, word by word, and the password in a file.
/// Whoever only begins a login leaves nothing behind.
#[actix_web::test]
async fn strangers_cost_no_record() {
    let shared = Shared::start();
    let app = shared.spawn().await;
    for path in 0..20 {
        let mut stranger = Browser::new(&app);
        let login = stranger.open(&format!("{FILMS}{path}")).await;
        let provider = stranger.open(login.location()).await;
        assert!(provider.location().starts_with(app.issuer.issuer()));
        stranger
            .open("https://auth.example.net/callback?state=x&code=y")
            .await;
        stranger.ask(FILMS).fetch().send().await;
    }
    assert_eq!(shared.redis.ask(&["DBSIZE"]), "0");
    Browser::new(&app).navigate(FILMS).await;
    assert_ne!(shared.redis.ask(&["DBSIZE"]), "0", "a login does");
}

/// A record that cannot be read is nobody's; whatever it is, it is never a yes.
#[actix_web::test]
async fn a_record_that_cannot_be_read_lets_nobody_in() {
    let shared = Shared::start();
    let app = shared.spawn().await;
    for spoil in [
        &["SETRANGE", "KEY", "20", "spoilt"][..],
        &["SET", "KEY", ""],
        &["SET", "KEY", "{\"identity\":{}}"],
        &["SET", "KEY", "[[[[[[[[[[[[[[[["],
        &["APPEND", "KEY", "x"],
    ] {
        let mut browser = Browser::new(&app);
        browser.navigate(FILMS).await;
        assert!(is_let_in(&browser, FILMS).await);
        for key in shared.redis.ask(&["KEYS", "*"]).lines() {
            let words: Vec<&str> = spoil
                .iter()
                .map(|word| if *word == "KEY" { key } else { word })
                .collect();
            shared.redis.ask(&words);
        }
        // Once word of it is here.
        until("it is nobody's", async || !is_let_in(&browser, FILMS).await).await;
        let whoami = browser.open("https://auth.example.net/whoami").await;
        assert_eq!(whoami.status, 401, "{spoil:?}");
        // And it is in nobody's way.
        shared.redis.ask(&["FLUSHALL"]);
    }
    // What is no record at all is a failure of the store.
    let mut browser = Browser::new(&app);
    browser.navigate(FILMS).await;
    for key in shared.redis.ask(&["KEYS", "*"]).lines() {
        shared.redis.ask(&["DEL", key]);
        shared.redis.ask(&["LPUSH", key, "x"]);
    }
    until("word of it is here", async || {
        browser.ask(FILMS).fetch().send().await.status != 200
    })
    .await;
    let answer = browser.ask(FILMS).fetch().send().await;
    assert_eq!(
        (answer.status.as_u16(), answer.reason()),
        (503, "store_unavailable".into())
    );
}

#[actix_web::test]
async fn the_documented_user_is_enough_for_everything() {
    let shared = Shared::start();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/redis.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let line = page.lines().find_map(|line| line.strip_prefix("user "));
    let words: Vec<&str> = line.expect("the line").split_whitespace().collect();
    let password = words.iter().find_map(|word| word.strip_prefix('>'));
    shared.write("password", password.expect("a password"));
    let command = [&["ACL", "SETUSER"], &words[..]].concat();
    assert_eq!(shared.redis.ask(&command), "OK");
    // Nobody else is let in.
    shared
        .redis
        .ask(&["ACL", "SETUSER", "default", "resetpass", ">other"]);
    let app = spawn_app_with(|raw| {
        shared.configure_patiently(raw);
        let url = format!("redis://portcullis@127.0.0.1:{}/0", shared.redis.port);
        raw.session.store = Some(SecretString::from(url));
        raw.session.store_password_file = Some(shared.path("password"));
    })
    .await;
    let mut browser = Browser::new(&app);
    let visit = browser.navigate(FILMS).await;
    assert_eq!((visit.end.status.as_u16(), visit.logins()), (200, 1));
    // The use is noted, which writes.
    app.clock
        .advance(std::time::Duration::from_secs(12 * 3_600));
    assert!(is_let_in(&browser, FILMS).await);
    app.clock
        .advance(std::time::Duration::from_secs(13 * 3_600));
    assert!(is_let_in(&browser, FILMS).await);
    browser
        .navigate("https://films.example.net/.portcullis/logout")
        .await;
    assert!(!is_let_in(&browser, FILMS).await);
}
