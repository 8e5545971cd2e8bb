//! Nothing secret is ever written, not even at the most talkative level.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::Value;

use crate::kit::ask::Ask;
use crate::kit::cookies::FetchSite;
use crate::kit::page::Hop;
use crate::setup::{FILMS, NOTES, PORTAL, Stack};

/// Shorter ones (`1`, `en`) would be found anywhere.
const SHORTEST: usize = 12;

/// Names in a query whose values let somebody in, or tie a login to a browser.
const SECRET_PARAMETERS: [&str; 8] = [
    "code",
    "state",
    "nonce",
    "ticket",
    "f",
    "id_token_hint",
    "code_challenge",
    "code_verifier",
];

#[tokio::test]
async fn no_secret_is_written_to_the_log() {
    let stack = Stack::start("trace").await.unwrap();
    let mut secrets = BTreeSet::new();
    let mut keep = |what: &str, value: &str| {
        if value.len() >= SHORTEST {
            secrets.insert((what.to_owned(), value.to_owned()));
        }
    };

    let browser = stack.signed_in("ada", FILMS).await;
    browser.navigate(&stack.url(NOTES, "/")).await.unwrap();
    for token in ["access_token", "refresh_token", "id_token"] {
        assert!(
            issued(&stack, token).count() > 0,
            "the provider issued an {token}"
        );
    }

    let films = stack.url(FILMS, "/");
    let bad = bad_credentials(
        &browser
            .cookie(&films, "__Host-portcullis")
            .expect("signed in"),
    );
    for (name, value) in &bad {
        let ask = Ask::fetch(&films).header(name, value);
        let page = stack.browser().ask(ask).await.unwrap();
        assert!(
            (400..500).contains(&page.status),
            "{name}: {value}: {}",
            page.status
        );
        keep(
            name,
            value.split_once('=').map_or(value, |(_, value)| value),
        );
    }
    let unknown = [
        "/callback?code=an-unknown-code-1&state=an-unknown-state",
        "/login?f=no-such-flow-mac-1",
    ];
    for path in unknown {
        let url = url::Url::parse(&stack.url(PORTAL, path)).unwrap();
        stack
            .browser()
            .ask(Ask::navigation(url.as_str()))
            .await
            .unwrap();
        url.query_pairs()
            .for_each(|(name, value)| keep(&name, &value));
    }
    let page = browser
        .navigate(&stack.url(FILMS, "/.portcullis/logout"))
        .await
        .unwrap();
    assert_eq!(page.status, 200, "{}", page.way());

    for hop in browser.history() {
        secrets_of(&hop, &mut keep);
    }
    for token in ["access_token", "refresh_token", "id_token"] {
        issued(&stack, token).for_each(|value| {
            // A token's signature alone would do harm too, and a decoder may log the parts.
            value.split('.').for_each(|part| keep(token, part));
        });
    }
    for file in [
        &stack.provider.client_secret_file,
        &stack.gate.session_secret_file,
    ] {
        let text = std::fs::read_to_string(file).unwrap();
        text.lines()
            .for_each(|line| keep(&file.display().to_string(), line.trim()));
    }

    let output = stack.gate.running.output();
    assert!(
        output.lines().count() > 3,
        "the service says something:\n{output}"
    );
    assert!(
        secrets.len() > 20,
        "there is something to look for: {secrets:?}"
    );
    for (what, secret) in &secrets {
        let line = output.lines().find(|line| line.contains(secret.as_str()));
        assert!(
            line.is_none(),
            "{what} is in the log:\n{}",
            line.unwrap_or_default()
        );
    }
}

fn issued(stack: &Stack, token: &str) -> impl Iterator<Item = String> {
    let answers = stack.provider.issued();
    let values = answers
        .iter()
        .filter_map(|answer| answer[token].as_str().map(str::to_owned));
    values.collect::<Vec<_>>().into_iter()
}

/// What a browser and the service told each other in one step.
fn secrets_of(hop: &Hop, keep: &mut impl FnMut(&str, &str)) {
    let location = url::Url::parse(hop.header("location")).ok();
    for url in std::iter::once(&hop.url).chain(&location) {
        for (name, value) in url.query_pairs() {
            if SECRET_PARAMETERS.contains(&&*name) {
                keep(&name, &value);
            }
        }
    }
    for line in hop.set_cookies() {
        let pair = line.split(';').next().unwrap_or_default();
        if let Some((name, value)) = pair.split_once('=') {
            keep(name, value);
        }
    }
}

/// Credentials that are refused: these are not written either, they may be nearly right.
fn bad_credentials(good: &str) -> Vec<(&'static str, String)> {
    let cut = &good[..good.len() - 2];
    vec![
        ("Cookie", format!("__Host-portcullis={cut}")),
        (
            "Cookie",
            "__Host-portcullis=made-up-cookie-value-1234567890".to_owned(),
        ),
        (
            "Cookie",
            "__Host-portcullis-flow=made-up-flow-value-1234567890".to_owned(),
        ),
        (
            "Authorization",
            "Bearer made-up-bearer-token-1234567890".to_owned(),
        ),
        ("Portcullis-Key", "pcl_made_up_1234567890".to_owned()),
    ]
}

#[tokio::test]
async fn the_log_is_one_json_object_a_line() {
    let stack = Stack::shared().await;
    let browser = stack.signed_in("ada", FILMS).await;
    // A neighbour's page that writes is refused, and that is written down with its path.
    let path = "/%0d%0a%7b%22event%22:%22login%22%7d%1b%5b2J-in-a-path";
    let agent = "an-agent-that-nobody-writes-down";
    let ask = Ask::fetch(&stack.url(FILMS, path)).method(Method::POST);
    let ask = ask.site(FetchSite::SameSite).header("User-Agent", agent);
    assert_eq!(browser.ask(ask).await.unwrap().status, 403);
    let is_there = |line: &str| line.contains(path);
    stack.gate.running.wait_for_line(is_there).await.unwrap();
    let output = stack.gate.running.output();
    for line in output.lines() {
        let parsed: Result<Value, _> = serde_json::from_str(line);
        assert!(parsed.is_ok_and(|value| value.is_object()), "{line}");
    }
    assert!(!output.contains(agent), "{output}");
}

#[tokio::test]
async fn without_the_service_nobody_gets_in() {
    let mut stack = Stack::start("info").await.unwrap();
    let browser = stack.signed_in("ada", FILMS).await;
    let status = stack.gate.running.stop();
    assert!(
        status.is_some_and(|status| status.success()),
        "a clean stop: {status:?}"
    );
    let url = stack.url(FILMS, "/after-the-end");
    for ask in [Ask::navigation(&url), Ask::fetch(&url)] {
        let page = browser.ask(ask).await.unwrap();
        assert_eq!(page.status, 502, "{}", page.body);
    }
    assert_eq!(stack.films.requests_with("after-the-end").len(), 0);
}
