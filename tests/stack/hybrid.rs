//! Pattern 4: an app that wants an API key gets it for people who may use it, and nobody else ever sees it.

use std::process::Command;
use std::time::{Duration, Instant};

use reqwest::Method;

use crate::chain::{Chain, POLICIES, Plan};
use crate::kit::ask::Ask;
use crate::kit::browser::Browser;
use crate::kit::example;
use crate::kit::gate::plain_client;
use crate::kit::page::Hop;
use crate::kit::provider::write_secret;
use crate::kit::upstream::OwnKey;
use crate::setup::{ISSUER, PORTAL, program};

const PAPERS: &str = "paperless-ai.home.localhost";
const SONARR: &str = "sonarr.home.localhost";
const KEY: &str = "key-of-paperless-ai-4711-0815-abcdef";
const NEXT_KEY: &str = "next-key-of-paperless-ai-1234-56789";
/// The service looks at its secret files now and then.
const RENEWAL_LIMIT: Duration = Duration::from_secs(30);

fn rules() -> String {
    format!(
        r#"{POLICIES}
[services.paperless-ai]
host = "{PAPERS}"
posture = "hybrid"
policy = "home"
upstream_headers = [{{ name = "x-api-key", value_file = "{{folder}}/paperless_ai_api_key" }}]

[services.sonarr]
host = "{SONARR}"
policy = "media"
[[services.sonarr.bypass]]
paths = ["/api/*"]
"#
    )
}

async fn start(log_level: &str) -> Chain {
    Chain::start(&Plan {
        rules: &rules(),
        protected: &[PAPERS, SONARR],
        also_copied: &["x-api-key"],
        own_key: Some(OwnKey {
            below: "/documents",
            key: KEY.to_owned(),
        }),
        files: &[("paperless_ai_api_key", KEY)],
        log_level,
        ..Plan::default()
    })
    .await
    .unwrap()
}

/// Everything that these browsers were told, head and body, without what they sent themselves.
fn told(browsers: &[&Browser]) -> String {
    let hops = browsers.iter().flat_map(|browser| browser.history());
    let text = |hop: Hop| format!("{} {:?} {}", hop.url, hop.headers, hop.body);
    hops.map(text).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn the_five_steps_of_the_pattern_and_the_key_is_nowhere_but_at_the_app() {
    let chain = start("trace").await;
    let url = chain.url(PAPERS, "/documents?step=five");
    let cleo = chain.browser();

    // 1. A person opens the app. 2. The proxy leads to the provider.
    let login = cleo.navigate(&url).await.unwrap();
    assert_eq!(login.host(), ISSUER, "{}", login.way());
    assert_eq!(
        login.hops[1].url.host_str(),
        Some(PORTAL),
        "{}",
        login.way()
    );
    assert!(
        chain.app.requests_with("step=five").is_empty(),
        "nothing reached the app yet"
    );

    // 3. After the login the request carries the key. 4. The app takes it. 5. No further login.
    let page = cleo.submit(&login, &[("user", "cleo")]).await.unwrap();
    assert_eq!(
        (page.status, page.url.as_str()),
        (200, &*url),
        "{}",
        page.way()
    );
    let [seen] = &chain.app.requests_with("step=five")[..] else {
        panic!("one request, no second login:\n{}", page.way())
    };
    assert_eq!(seen.all("x-api-key"), [KEY]);
    assert_eq!(seen.all("remote-user"), ["cleo"]);
    assert_eq!(seen.all("remote-groups"), ["home"]);

    // The same identity for everybody who may: but not for those who may not.
    let ada = chain.signed_in("ada", PAPERS).await;
    let eve = chain.browser();
    let refused = eve.sign_in(&url, "eve").await.unwrap();
    assert_eq!(refused.status, 403, "{}", refused.way());
    let ben = chain.browser();
    let refused = ben.sign_in(&url, "ben").await.unwrap();
    assert_eq!(refused.status, 403, "{}", refused.way());
    let stranger = chain.browser();
    for ask in [
        Ask::fetch(&url),
        Ask::navigation(&url),
        Ask::navigation(&url).method(Method::POST),
        Ask::fetch(&chain.url(PAPERS, "/.portcullis/nothing")),
    ] {
        let page = stranger.ask(ask).await.unwrap();
        assert!(!(200..300).contains(&page.status), "{}", page.body);
    }
    // One request only has reached the app, cleo's: with the key none of theirs would be refused there.
    assert_eq!(chain.app.requests_with("step=five").len(), 1);
    cleo.navigate(&chain.url(PAPERS, "/.portcullis/logout"))
        .await
        .unwrap();
    let gone = cleo.ask(Ask::fetch(&url)).await.unwrap();
    assert_eq!(gone.status, 401, "{}", gone.body);

    let metrics = format!("http://127.0.0.1:{}/metrics", chain.gate.ports.admin);
    let metrics = plain_client().unwrap().get(metrics).send().await.unwrap();
    let caddy_log = chain.caddy.running.output();
    let places = [
        (
            "what browsers were told",
            told(&[&cleo, &ada, &eve, &ben, &stranger]),
        ),
        ("the service's log", chain.gate.running.output()),
        ("Caddy's log", caddy_log),
        ("the provider's log", chain.provider.running.output()),
        ("the metrics", metrics.text().await.unwrap()),
    ];
    for (place, text) in places {
        assert!(!text.contains(KEY), "the key is in {place}");
    }
    assert!(
        chain.gate.running.output().lines().count() > 20,
        "the log is a talkative one"
    );
}

#[tokio::test]
async fn the_snippet_that_is_printed_is_the_one_that_does_it() {
    let chain = start("info").await;
    let file = chain.folder().join("portcullis.toml");
    let printed = Command::new(program())
        .args(["snippet", "caddy", "--config"])
        .arg(file)
        .output()
        .unwrap();
    let printed = String::from_utf8(printed.stdout).unwrap();
    let used = example::snippet(chain.gate.ports.verify, &["x-api-key"]).unwrap();
    assert_eq!(
        example::directives(example::snippet_in(&printed).unwrap()),
        example::directives(&used)
    );
}

#[tokio::test]
async fn only_an_allowed_answer_to_the_proxy_holds_the_key() {
    let chain = start("info").await;
    let cleo = chain.signed_in("cleo", PAPERS).await;
    let eve = chain.browser();
    eve.sign_in(&chain.url(PAPERS, "/"), "eve").await.unwrap();
    let cookie = |browser: &Browser| {
        let value = browser.cookie(&chain.url(PAPERS, "/"), "__Host-portcullis");
        value.map_or(String::new(), |value| format!("__Host-portcullis={value}"))
    };
    #[rustfmt::skip] // the columns are the point
    let cases = [
        ("cleo",                     PAPERS, "/",                    cookie(&cleo), true),
        ("eve",                      PAPERS, "/",                    cookie(&eve),  false),
        ("a stranger",               PAPERS, "/",                    String::new(), false),
        ("cleo below our own path",  PAPERS, "/.portcullis/nothing", cookie(&cleo), false),
        ("a bypass at another app",  SONARR, "/api/x",               String::new(), false),
    ];
    for (who, host, path, cookie, holds) in cases {
        let request = plain_client()
            .unwrap()
            .get(format!(
                "http://127.0.0.1:{}/verify",
                chain.gate.ports.verify
            ))
            .header("x-forwarded-method", "GET")
            .header("x-forwarded-proto", "https")
            .header(
                "x-forwarded-host",
                format!("{host}:{}", chain.caddy.https_port),
            )
            .header("x-forwarded-uri", path)
            .header("x-forwarded-for", "192.0.2.7")
            .header("cookie", cookie);
        let answer = request.send().await.unwrap();
        let head = format!("{} {:?}", answer.status(), answer.headers());
        let told = format!("{head} {}", answer.text().await.unwrap());
        assert_eq!(
            told.contains(KEY),
            holds,
            "{who}: {}",
            told.replace(KEY, "(the key)")
        );
    }
}

#[tokio::test]
async fn a_new_key_in_the_file_is_the_one_that_is_sent() {
    let chain = start("info").await;
    let cleo = chain.signed_in("cleo", PAPERS).await;
    write_secret(&chain.folder().join("paperless_ai_api_key"), NEXT_KEY).unwrap();
    let start = Instant::now();
    for attempt in 0.. {
        let mark = format!("renewed-{attempt}-");
        let ask = Ask::fetch(&chain.url(PAPERS, &format!("/{mark}")));
        let (_, seen) = chain.reaches_app(&cleo, ask, &mark).await;
        match seen.one("x-api-key") {
            Some(NEXT_KEY) => break,
            Some(KEY) => {}
            other => panic!("neither the old key nor the new one: {other:?}"),
        }
        assert!(start.elapsed() < RENEWAL_LIMIT, "the new key is not sent");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(!chain.gate.running.output().contains(NEXT_KEY));
}
