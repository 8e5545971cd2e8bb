//! What a client makes up about itself never reaches the app, through a real Caddy.

use crate::kit::ask::Ask;
use crate::setup::{FILMS, MIXED, NOTES, OPEN, PORTAL, Stack};

const FORGED: [(&str, &str); 8] = [
    ("Remote-User", "root"),
    ("Remote-Groups", "admins,root"),
    ("Remote-Name", "The Administrator"),
    ("Remote-Email", "root@example.net"),
    ("remote-user", "toor"),
    ("Remote_User", "root"),
    ("Remote_Groups", "admins"),
    ("Portcullis-Key", "pcl_made_up"),
];

fn with_forged(ask: Ask) -> Ask {
    FORGED
        .iter()
        .fold(ask, |ask, (name, value)| ask.header(name, value))
}

#[tokio::test]
async fn forged_identity_headers_are_replaced_for_a_member() {
    let stack = Stack::shared().await;
    for host in [FILMS, MIXED] {
        let browser = stack.signed_in("ben", host).await;
        let page = browser
            .ask(with_forged(Ask::fetch(&stack.url(host, "/"))))
            .await
            .unwrap();
        let seen = page.seen().expect("the app's own answer");
        assert_eq!(seen.all("remote-user"), ["ben"]);
        assert_eq!(seen.all("remote-groups"), ["media"]);
        assert_eq!(seen.all("remote-name"), ["Ben Okri"]);
        assert_eq!(seen.all("remote-email"), ["ben@example.net"]);
        for name in [
            "remote_user",
            "remote_groups",
            "portcullis-key",
            "portcullis-copy",
        ] {
            assert!(
                seen.all(name).is_empty(),
                "{name} reached the app at {host}"
            );
        }
    }
}

#[tokio::test]
async fn forged_identity_headers_are_gone_where_everybody_may_read() {
    let stack = Stack::shared().await;
    let page = stack
        .browser()
        .ask(with_forged(Ask::fetch(&stack.url(OPEN, "/"))))
        .await
        .unwrap();
    assert_eq!(page.status, 200, "{}", page.body);
    let seen = page.seen().expect("the app's own answer");
    for (name, _) in FORGED {
        let values: Vec<&str> = seen
            .all(name)
            .into_iter()
            .filter(|v| !v.is_empty())
            .collect();
        assert!(values.is_empty(), "{name}: {values:?}");
    }
}

#[tokio::test]
async fn forged_identity_headers_let_no_stranger_in() {
    let stack = Stack::shared().await;
    for host in [FILMS, MIXED] {
        let ask = with_forged(Ask::fetch(&stack.url(host, "/")));
        let page = stack.browser().ask(ask).await.unwrap();
        assert_eq!(page.status, 401, "{}", page.body);
    }
}

#[tokio::test]
async fn a_connection_header_takes_nothing_away() {
    let stack = Stack::shared().await;
    for host in [FILMS, MIXED] {
        let browser = stack.signed_in("ada", host).await;
        for named in [
            "Remote-User",
            "remote-user, Remote-Groups",
            "keep-alive, REMOTE-EMAIL",
        ] {
            let ask = Ask::fetch(&stack.url(host, "/")).header("Connection", named);
            let page = browser.ask(ask).await.unwrap();
            let seen = page.seen().expect("the app's own answer");
            assert_eq!(
                seen.all("remote-user"),
                ["ada"],
                "{host}, Connection: {named}"
            );
            assert_eq!(
                seen.all("remote-groups"),
                ["admins"],
                "{host}, Connection: {named}"
            );
            assert_eq!(
                seen.all("remote-email"),
                ["ada@example.net"],
                "Connection: {named}"
            );
        }
    }
}

#[tokio::test]
async fn a_connection_header_that_names_what_caddy_tells_us_opens_nothing() {
    let stack = Stack::shared().await;
    for named in [
        "X-Forwarded-Host",
        "X-Forwarded-Uri, X-Forwarded-Method",
        "Cookie",
    ] {
        let ask = Ask::fetch(&stack.url(NOTES, "/")).header("Connection", named);
        let page = stack.browser().ask(ask).await.unwrap();
        assert!(
            matches!(page.status, 400 | 401),
            "{named}: {} {}",
            page.status,
            page.body
        );
    }
}

#[tokio::test]
async fn a_query_of_the_client_changes_nothing() {
    let stack = Stack::shared().await;
    let (stranger, eve) = (stack.browser(), stack.signed_in("eve", FILMS).await);
    for host in [FILMS, MIXED] {
        for query in [
            "?policy=bypass",
            "?policy=optional&posture=passthrough",
            "?rd=x&policy=deny",
        ] {
            let url = stack.url(host, &format!("/{query}"));
            let page = stranger.ask(Ask::fetch(&url)).await.unwrap();
            assert_eq!(page.status, 401, "{url}: {}", page.body);
            let page = stranger.ask(Ask::navigation(&url)).await.unwrap();
            assert_eq!(page.status, 302, "{url}: {}", page.body);
        }
    }
    let page = eve
        .ask(Ask::fetch(&stack.url(FILMS, "/?policy=bypass")))
        .await
        .unwrap();
    assert_eq!(page.status, 403, "{}", page.body);
}

#[tokio::test]
async fn what_a_client_says_about_the_request_is_not_believed() {
    let stack = Stack::shared().await;
    let lies = [
        ("X-Forwarded-Host", OPEN),
        ("X-Forwarded-Uri", "/.portcullis/enter"),
        ("X-Forwarded-Method", "OPTIONS"),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Original-URL", "https://open.home.localhost/"),
        ("X-Original-Method", "OPTIONS"),
        ("X-Rewrite-Url", "/"),
        ("X-Real-IP", "127.0.0.1"),
        (
            "Forwarded",
            "for=127.0.0.1;host=open.home.localhost;proto=https",
        ),
        ("X-HTTP-Method-Override", "OPTIONS"),
    ];
    let url = stack.url(FILMS, "/page");
    let all = lies
        .iter()
        .fold(Ask::navigation(&url), |ask, (name, value)| {
            ask.header(name, value)
        });
    let asks = lies
        .iter()
        .map(|(name, value)| Ask::navigation(&url).header(name, value));
    for ask in asks.chain([all]) {
        let page = stack.browser().ask(ask).await.unwrap();
        assert_eq!(page.status, 302, "{}", page.body);
        let location = url::Url::parse(page.header("location")).unwrap();
        assert_eq!(location.host_str(), Some(PORTAL));
        assert!(
            location
                .query_pairs()
                .any(|(name, rd)| name == "rd" && rd == url)
        );
    }
}

#[tokio::test]
async fn no_cookie_of_ours_reaches_the_app_and_all_others_do() {
    let stack = Stack::shared().await;
    for host in [FILMS, MIXED] {
        let browser = stack.signed_in("ada", host).await;
        let url = stack.url(host, "/");
        for line in ["theme=dark; Path=/", "last=1; Path=/"] {
            browser.store_cookie(&url, line).unwrap();
        }
        let session = browser
            .cookie(&url, "__Host-portcullis")
            .expect("the host's own cookie");
        let page = browser.ask(Ask::fetch(&url)).await.unwrap();
        assert!(page.hops[0].sent_cookies.contains(&session), "it was sent");
        let seen = page.seen().expect("the app's own answer");
        let cookies = seen.all("cookie").join("; ");
        assert!(!cookies.contains("__Host-portcullis"), "{cookies}");
        assert!(!page.body.contains(&session), "{}", page.body);
        for kept in ["theme=dark", "last=1"] {
            assert!(cookies.contains(kept), "{kept} is missing in {cookies}");
        }
    }
}
