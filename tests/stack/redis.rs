//! Sessions in a real Redis, behind a real Caddy: an outage as people see it, and as the log tells it.

use std::path::Path;

use serde_json::Value;

use crate::chain::{Chain, POLICIES, Plan};
use crate::kit::ask::Ask;
use crate::kit::redis_server::RedisServer;

const FILMS: &str = "films.home.localhost";

/// As `portcullis secret` prints them.
const SEALING_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

/// The line of docs/redis.md, as words behind `ACL SETUSER`, and the password in it.
fn documented_user() -> (Vec<String>, String) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/redis.md");
    let page = std::fs::read_to_string(page).unwrap();
    let line = page.lines().find_map(|line| line.strip_prefix("user "));
    let words: Vec<String> = line
        .unwrap()
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    let password = words.iter().find_map(|word| word.strip_prefix('>'));
    let password = password.unwrap().to_owned();
    (words, password)
}

/// How often the log has exactly this message.
fn logged(chain: &Chain, message: &str) -> usize {
    let output = chain.gate.running.output();
    let lines = output.lines().map(serde_json::from_str::<Value>);
    let messages = lines.map(|line| line.unwrap()["message"].clone());
    messages.filter(|found| found == message).count()
}

async fn wait_for(chain: &Chain, message: &str, count: usize) {
    let is_there = |_: &str| logged(chain, message) >= count;
    chain.gate.running.wait_for_line(is_there).await.unwrap();
}

#[tokio::test]
async fn an_outage_is_seen_by_people_and_told_once_in_the_log() {
    let mut redis = RedisServer::start();
    let (words, password) = documented_user();
    let make_user = |redis: &RedisServer| {
        let words = words.iter().map(String::as_str);
        let command: Vec<&str> = ["ACL", "SETUSER"].into_iter().chain(words).collect();
        assert_eq!(redis.ask(&command), "OK");
    };
    make_user(&redis);
    let session = format!(
        "store = \"redis://portcullis@localhost:{}/0\"\nstore_password_file = \"{{folder}}/redis_password\"",
        redis.port
    );
    let rules = format!("{POLICIES}\n[services.films]\nhost = \"{FILMS}\"\npolicy = \"media\"\n");
    let chain = Chain::start(&Plan {
        rules: &rules,
        protected: &[FILMS],
        files: &[
            ("redis_password", &password),
            ("session_secret", SEALING_KEY),
        ],
        session: &session,
        ..Plan::default()
    })
    .await
    .unwrap();
    let url = chain.url(FILMS, "/");
    let browser = chain.signed_in("ada", FILMS).await;
    assert_eq!(logged(&chain, "the session store answers"), 1);

    redis.kill();
    for _ in 0..3 {
        let page = browser.ask(Ask::navigation(&url)).await.unwrap();
        assert_eq!(page.status, 503, "{}", page.body);
        assert!(!page.header("retry-after").is_empty() && page.header("location").is_empty());
        let fetched = browser.ask(Ask::fetch(&url)).await.unwrap();
        assert_eq!(fetched.status, 503, "{}", fetched.body);
    }
    wait_for(&chain, "the session store does not answer", 1).await;
    redis.restart();
    make_user(&redis);
    wait_for(&chain, "the session store answers", 2).await;
    let page = browser.sign_in(&url, "ada").await.unwrap();
    assert_eq!(
        (page.status, page.url.as_str()),
        (200, url.as_str()),
        "{}",
        page.way()
    );

    redis.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    for _ in 0..2 {
        let page = chain.browser().sign_in(&url, "ben").await.unwrap();
        assert_eq!(page.status, 503, "{}", page.way());
        assert!(page.body.contains("You are not signed in"), "{}", page.body);
    }
    assert_eq!(browser.ask(Ask::fetch(&url)).await.unwrap().status, 200);
    redis.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    chain.signed_in("ben", FILMS).await;
    wait_for(&chain, "the session store takes writes again", 1).await;
    assert_eq!(logged(&chain, "the session store takes no writes"), 1);
    // Each attempt that failed while it was down was no line of its own: its user was not there at first.
    let downs = logged(&chain, "the session store does not answer");
    assert!(
        (1..=2).contains(&downs),
        "{}",
        chain.gate.running.last_words()
    );
    assert!(!chain.gate.running.output().contains(&password));
}
