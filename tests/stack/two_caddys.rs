//! What a client makes up, behind the Caddy that the documents ask for and behind Debian's older one.
//!
//! They treat a copied header differently: the new one takes the client's own away first and skips an empty
//! answer, the old one always puts the answer's value in its place, and its own placeholder's text where the
//! answer lacks the header.

use crate::chain::{Chain, POLICIES, Plan};
use crate::kit::ask::Ask;
use crate::kit::browser::Browser;
use crate::kit::caddy;
use crate::kit::upstream::Seen;

const PAPERS: &str = "paperless-ai.home.localhost";
const SONARR: &str = "sonarr.home.localhost";
const WIKI: &str = "wiki.home.localhost";
const KEY: &str = "key-of-paperless-ai-4711-0815-abcdef";
const OWN_KEY: &str = "the-clients-own-key-for-sonarr";

const FORGED: [(&str, &str); 12] = [
    ("Remote-User", "root"),
    ("Remote-Groups", "admins,root"),
    ("Remote-Name", "The Administrator"),
    ("Remote-Email", "root@example.net"),
    ("remote-user", "toor"),
    ("Connection", "Remote-User, Remote-Groups"),
    // Apps that see headers as CGI variables know these by the same names.
    ("Remote_User", "root"),
    ("REMOTE_GROUPS", "root"),
    ("Remote.User", "root"),
    ("X_Api_Key", "root"),
    ("X-Api_Key", "root"),
    ("X.Api-Key", "root"),
];

async fn start(caddy: &str) -> Chain {
    let rules = format!(
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

[services.wiki]
host = "{WIKI}"
policy = "optional"
"#
    );
    Chain::start(&Plan {
        rules: &rules,
        protected: &[PAPERS, SONARR, WIKI],
        also_copied: &["X-Api-Key"],
        files: &[("paperless_ai_api_key", KEY)],
        caddy,
        ..Plan::default()
    })
    .await
    .unwrap()
}

/// The values that are not empty: an app takes an empty one for none.
fn values<'s>(seen: &'s Seen, name: &str) -> Vec<&'s str> {
    let all = seen.all(name).into_iter();
    all.filter(|value| !value.is_empty()).collect()
}

struct Case<'a> {
    what: &'a str,
    browser: &'a Browser,
    host: &'a str,
    path: &'a str,
    user: &'a [&'a str],
    groups: &'a [&'a str],
    /// What the app gets as `X-Api-Key` when the client sends one, and when it does not.
    key: [&'a [&'a str]; 2],
}

#[tokio::test]
async fn nothing_made_up_arrives_through_the_current_caddy() {
    nothing_made_up_arrives(caddy::CURRENT).await;
}

#[tokio::test]
async fn nothing_made_up_arrives_through_debians_caddy() {
    nothing_made_up_arrives(caddy::DEBIAN).await;
}

async fn nothing_made_up_arrives(program: &str) {
    let chain = start(program).await;
    let (stranger, ada) = (chain.browser(), chain.signed_in("ada", PAPERS).await);
    ada.navigate(&chain.url(SONARR, "/")).await.unwrap();
    #[rustfmt::skip] // the columns are the point
    let cases = [
        Case { what: "allowed, hybrid",  browser: &ada,      host: PAPERS, path: "/",      user: &["ada"], groups: &["admins"], key: [&[KEY], &[KEY]] },
        Case { what: "allowed, protect", browser: &ada,      host: SONARR, path: "/",      user: &["ada"], groups: &["admins"], key: [&[OWN_KEY], &[]] },
        Case { what: "bypassed",         browser: &stranger, host: SONARR, path: "/api/",  user: &[],      groups: &[],         key: [&[OWN_KEY], &[]] },
        Case { what: "bypassed, ada",    browser: &ada,      host: SONARR, path: "/api/",  user: &[],      groups: &[],         key: [&[OWN_KEY], &[]] },
        Case { what: "anonymous",        browser: &stranger, host: WIKI,   path: "/",      user: &[],      groups: &[],         key: [&[OWN_KEY], &[]] },
    ];
    for (number, case) in cases.iter().enumerate() {
        for (sends_key, expected_key) in [true, false].into_iter().zip(case.key) {
            let mark = format!("made-up-{number}-{sends_key}");
            let what = format!(
                "{program}: {}, with a key of its own: {sends_key}",
                case.what
            );
            let url = chain.url(case.host, &format!("{}?{mark}", case.path));
            let mut ask = FORGED.iter().fold(Ask::fetch(&url), |ask, (name, value)| {
                ask.header(name, value)
            });
            if sends_key {
                ask = ask.header("x-api-key", OWN_KEY);
            }
            let (page, seen) = chain.reaches_app(case.browser, ask, &mark).await;
            assert_eq!(page.status, 200, "{what}");
            assert_eq!(values(&seen, "remote-user"), case.user, "{what}");
            assert_eq!(values(&seen, "remote-groups"), case.groups, "{what}");
            assert_eq!(values(&seen, "x-api-key"), expected_key, "{what}");
            for (name, value) in &seen.headers {
                let made_up = ["root", "toor", "Administrator"]
                    .iter()
                    .any(|word| value.contains(word));
                assert!(!made_up, "{what}: {name}: {value}");
                assert!(!value.contains("{http."), "{what}: {name}: {value}");
            }
            let text = format!("{:?} {}", page.headers, page.body);
            assert!(
                !text.contains(KEY),
                "{what}: the browser sees the app's key"
            );
        }
    }
    // Whoever calls it a header of the connection alone does not keep it from the app.
    let ask = Ask::fetch(&chain.url(PAPERS, "/?by-connection"));
    let ask = ask
        .header("x-api-key", OWN_KEY)
        .header("Connection", "X-Api-Key, close");
    let (_, seen) = chain.reaches_app(&ada, ask, "?by-connection").await;
    assert_eq!(values(&seen, "x-api-key"), [KEY], "{program}");

    let ask = FORGED.iter().fold(
        Ask::fetch(&chain.url(PAPERS, "/?refused")),
        |ask, (name, value)| ask.header(name, value),
    );
    let page = stranger.ask(ask.header("x-api-key", KEY)).await.unwrap();
    assert_eq!(
        page.status, 401,
        "{program}: the app's own key opens nothing here: {}",
        page.body
    );
    assert!(chain.app.requests_with("?refused").is_empty(), "{program}");
}
