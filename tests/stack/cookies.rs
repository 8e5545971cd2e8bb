//! Our cookies reach no app: neither through the snippet nor at sites that are not protected, whatever else
//! stands in `Cookie`, behind the Caddy that the documents ask for and behind Debian's older one.

use crate::chain::{Chain, POLICIES, Plan};
use crate::kit::ask::Ask;
use crate::kit::caddy;
use crate::kit::upstream::Seen;

const FILMS: &str = "films.home.localhost";
/// Everybody may.
const WIKI: &str = "wiki.home.localhost";
/// Native OIDC: no gate stands before it, and it lies below the cookie domain.
const MEALIE: &str = "mealie.home.localhost";

/// Stands in the values of our cookies.
const OURS: &str = "what-opens-an-app";

/// Lines of `Cookie`, with [`OURS`] as `?`, and the pairs of them that arrive.
#[rustfmt::skip] // one case a line
const LINES: [(&[&str], &[&str]); 18] = [
    (&["a=1; b=2"],                                                        &["a=1", "b=2"]),
    (&["__Host-portcullis=?"],                                             &[]),
    (&["__Host-portcullis=?; a=1; b=2"],                                   &["a=1", "b=2"]),
    (&["a=1; __Secure-portcullis=?; b=2"],                                 &["a=1", "b=2"]),
    (&["a=1; b=2; __Host-portcullis=?"],                                   &["a=1", "b=2"]),
    (&["__Host-portcullis=?; __Secure-portcullis=?; portcullis-sso=?; a=1"], &["a=1"]),
    (&["a=1; __Host-portcullis=?; __Host-portcullis-flow=?; __Host-portcullis-login-aB_-1=?; b=2"], &["a=1", "b=2"]),
    (&["a=1;__Host-portcullis=?;b=2"],                                     &["a=1", "b=2"]),
    (&["__Host-portcullis=?;__Host-portcullis=?;__Secure-portcullis=?;a=1"], &["a=1"]),
    (&["a=1;__Host-portcullis=?;__Host-portcullis-sso=?;portcullis=?;b=2;__Host-portcullis=?"], &["a=1", "b=2"]),
    (&[";;__Host-portcullis=?;; ;__Host-portcullis=?; ;a=1;"],             &["a=1"]),
    (&["a=1;\t__Host-portcullis=?;\t__Secure-portcullis=?;  b=2"],         &["a=1", "b=2"]),
    (&["__Host-portcullis=\"?\"; a=\"x y\""],                             &["a=\"x y\""]),
    (&["a=\"1; __Host-portcullis=?; b=2\""],                               &["a=\"1", "b=2\""]),
    (&["__Host-portcullis=?=?; a=1"],                                      &["a=1"]),
    (&["__Host-portcullis=? ?,?; a=1"],                                    &["a=1"]),
    (&["a=1; __Host-portcullis=?", "__Host-portcullis=?; b=2"],            &["a=1", "b=2"]),
    (&["myportcullis=1; portcullis.x=2; Portcullis=3; a=portcullis=4"],    &["myportcullis=1", "portcullis.x=2", "Portcullis=3", "a=portcullis=4"]),
];

async fn start(caddy: &str) -> Chain {
    let rules = format!(
        r#"{POLICIES}
[services.films]
host = "{FILMS}"
policy = "media"

[services.wiki]
host = "{WIKI}"
policy = "optional"

[services.mealie]
host = "{MEALIE}"
posture = "native_oidc"
"#
    );
    let open =
        format!("{MEALIE} {{\n\timport portcullis_strip\n\treverse_proxy 127.0.0.1:{{app}}\n}}\n");
    Chain::start(&Plan {
        rules: &rules,
        protected: &[FILMS, WIKI],
        sites: &open,
        session: r#"cookie_domains = ["home.localhost"]"#,
        caddy,
        ..Plan::default()
    })
    .await
    .unwrap()
}

fn pairs(seen: &Seen) -> Vec<&str> {
    let lines = seen.all("cookie").into_iter();
    let pairs = lines.flat_map(|line| line.split(';')).map(str::trim);
    pairs.filter(|pair| !pair.is_empty()).collect()
}

async fn our_cookies_reach_no_app(caddy: &str) {
    let chain = start(caddy).await;
    let stranger = chain.browser();
    for host in [WIKI, MEALIE] {
        for (number, (lines, expected)) in LINES.iter().enumerate() {
            let mark = format!("line-{number}-of-{host}");
            let mut ask = Ask::fetch(&chain.url(host, &format!("/{mark}")));
            ask = ask.header("portcullis-key", OURS);
            for line in *lines {
                ask = ask.header("cookie", &line.replace('?', OURS));
            }
            let (_, seen) = chain.reaches_app(&stranger, ask, &mark).await;
            assert_eq!(pairs(&seen), *expected, "{caddy}, {host}: {lines:?}");
            let whole = format!("{:?}", seen.headers);
            assert!(!whole.contains(OURS), "{caddy}, {host}: {lines:?}: {whole}");
        }
    }
}

#[tokio::test]
async fn no_line_hides_a_cookie_of_ours_from_the_current_caddy() {
    our_cookies_reach_no_app(caddy::CURRENT).await;
}

#[tokio::test]
async fn no_line_hides_a_cookie_of_ours_from_debians_caddy() {
    our_cookies_reach_no_app(caddy::DEBIAN).await;
}

/// A browser sends the cookie of a domain to every host of it.
async fn the_cookie_of_a_domain_does_not_arrive_at_an_open_app(caddy: &str) {
    let chain = start(caddy).await;
    let ben = chain.signed_in("ben", FILMS).await;
    let url = chain.url(MEALIE, "/as-ben");
    ben.store_cookie(&url, "theme=dark; Path=/").unwrap();
    let shared = ben
        .cookie(&url, "__Secure-portcullis")
        .expect("browsers send it there too");
    let (page, seen) = chain.reaches_app(&ben, Ask::fetch(&url), "/as-ben").await;
    assert!(page.hops[0].sent_cookies.contains(&shared), "it was sent");
    assert_eq!(pairs(&seen), ["theme=dark"], "{caddy}");
    let whole = format!("{:?}", seen.headers);
    assert!(!whole.contains(&shared), "{caddy}: {whole}");
}

#[tokio::test]
async fn the_cookie_of_a_domain_does_not_arrive_at_an_open_app_behind_the_current_caddy() {
    the_cookie_of_a_domain_does_not_arrive_at_an_open_app(caddy::CURRENT).await;
}

#[tokio::test]
async fn the_cookie_of_a_domain_does_not_arrive_at_an_open_app_behind_debians_caddy() {
    the_cookie_of_a_domain_does_not_arrive_at_an_open_app(caddy::DEBIAN).await;
}
