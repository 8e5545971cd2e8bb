//! What an attacker makes of `/verify` and of malformed requests.

use reqwest::Method;

use crate::support::app::{Proxy, answer, every_dialect, owned, spawn_app, spawn_app_with};
use crate::support::browser::Browser;
use portcullis::config::RawRule;

const FILMS: &str = "https://films.example.net/";

#[actix_web::test]
async fn the_refusal_of_an_unknown_host_names_it() {
    let app = spawn_app().await;
    let refused = app.ask("https://nobody.example.net/").fetch().send().await;
    assert_eq!(refused.status, 403);
    assert!(
        refused.body.contains("nobody.example.net"),
        "{}",
        refused.body
    );
}

/// Traefik passes names with `_` on, and CGI-like apps read them as if they had `-`.
#[actix_web::test]
async fn a_method_override_in_another_spelling_is_one_too() {
    let app = spawn_app_with(|raw| {
        let films = raw.services.get_mut("films").expect("films");
        films.rules.insert(
            0,
            RawRule {
                paths: Some(owned(&["/api/*"])),
                methods: Some(owned(&["GET"])),
                policy: Some("bypass".into()),
                ..RawRule::default()
            },
        );
    })
    .await;
    let url = "https://films.example.net/api/x";
    assert_eq!(app.ask(url).send().await.status, 200);
    for name in [
        "x-http-method-override",
        "x_http_method_override",
        "x.http.method.override",
    ] {
        let found = app.ask(url).header(name, "DELETE").send().await;
        assert_eq!(found.status, 401, "{name}");
    }
}

/// Some apps take their path from these (IIS behind a rewriting module, some frameworks), whatever was asked for.
#[actix_web::test]
async fn a_path_that_a_header_may_replace_is_let_by_nowhere() {
    let app = spawn_app_with(every_dialect).await;
    let url = "https://films.example.net/ping";
    for proxy in [Proxy::Caddy, Proxy::Nginx, Proxy::Envoy] {
        assert_eq!(app.ask_as(proxy, url).send().await.status, 200, "{proxy:?}");
        for name in [
            "x-rewrite-url",
            "x_rewrite_url",
            "X-Rewrite.Url",
            "x_original_url",
            "x-original.url",
        ] {
            let found = app.ask_as(proxy, url).header(name, "/admin").send().await;
            assert_eq!(found.status, 401, "{proxy:?} {name}");
        }
        // nginx says by this one what was asked for.
        if proxy != Proxy::Nginx {
            let found = app.ask_as(proxy, url).header("x-original-url", "/admin");
            assert_eq!(found.send().await.status, 401, "{proxy:?}");
        }
    }
}

/// "Every malformed request gets a 4xx with one plain sentence"; every own answer is `no-store`.
#[actix_web::test]
async fn every_refusal_says_something_and_is_not_stored() {
    let app = spawn_app().await;
    let mut wrong = Vec::new();
    for (method, path) in [
        (Method::POST, "/callback"),
        (Method::POST, "/login"),
        (Method::DELETE, "/logout"),
        (Method::POST, "/whoami"),
    ] {
        let found = answer(app.portal(method, path)).await;
        if found.body.is_empty() || found.header("cache-control") != "no-store" {
            wrong.push(format!(
                "portal {path}: {} {:?}",
                found.status, found.headers
            ));
        }
    }
    for path in ["/verify/", "/", "/verify/policy/", "/verify/nginx"] {
        let found = app.ask(FILMS).at(path).send().await;
        if found.body.is_empty() || found.header("cache-control") != "no-store" {
            wrong.push(format!(
                "verify {path}: {} {:?}",
                found.status, found.headers
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Nothing is answered to a stranger's address, not even a complaint about the path.
#[actix_web::test]
async fn odd_policy_names_are_refused_like_any_other() {
    let app = spawn_app().await;
    for path in [
        "/verify/policy/%ff",
        "/verify/policy/%00",
        "/verify/policy/a%2fb",
        "/verify/policy/%zz",
    ] {
        let found = app.ask(FILMS).at(path).send().await;
        assert_eq!(found.status, 403, "{path}");
        assert_eq!(found.header("cache-control"), "no-store", "{path}");
        assert!(!found.header("portcullis-decision").is_empty(), "{path}");
    }
}

/// Heads over 32 KiB are refused. (An odd path of 96 KB costs a debug build 0.14 s and 1.2 MB of readings.)
#[actix_web::test]
async fn a_head_over_32_kib_is_refused() {
    let app = spawn_app().await;
    let cookie = format!("a={}", "x".repeat(60_000));
    let portal = app.portal(Method::GET, "/whoami").header("cookie", &cookie);
    let portal = answer(portal).await;
    let url = format!(
        "https://films.example.net/{}",
        "%25;a\\//../b".repeat(8_000)
    );
    let verify = app.ask(&url).fetch().send().await;
    let found = [portal.status.as_u16(), verify.status.as_u16()];
    let refused = found.iter().all(|status| [400, 414, 431].contains(status));
    assert!(refused, "{found:?}");
}

/// `rd` must not lead to our own logout, in whatever spelling a proxy resolves to it (Traefik merges slashes and
/// decodes dots).
#[actix_web::test]
async fn rd_does_not_lead_below_our_own_paths_in_any_reading() {
    let app = spawn_app().await;
    let mut browser = Browser::new(&app);
    browser.navigate(FILMS).await;
    let mut wrong = Vec::new();
    for raw in [
        "https://films.example.net//.portcullis/logout",
        "https://films.example.net/%2eportcullis/logout",
        "https://films.example.net/%2Fx/../.portcullis/logout",
    ] {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("rd", raw);
        let found = browser
            .open(&format!(
                "https://auth.example.net/login?{}",
                query.finish()
            ))
            .await;
        if found.location() != "https://auth.example.net/" {
            wrong.push(format!("{raw} -> {}", found.location()));
        }
        browser.open("https://auth.example.net/login").await;
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// "No answer below `/.portcullis/` is 2xx", for a proxy or an app that decodes as well.
#[actix_web::test]
async fn reserved_paths_in_another_spelling_are_no_2xx() {
    let app = spawn_app().await;
    let mut browser = Browser::new(&app);
    browser.navigate(FILMS).await;
    let mut wrong = Vec::new();
    for path in [
        "%2eportcullis/enter",
        "/.portcullis/enter",
        "x/../.portcullis/x",
        ".portcullis%2fenter",
    ] {
        let found = browser.ask(&format!("{FILMS}{path}")).fetch().send().await;
        if found.status.is_success() {
            wrong.push(path);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// RFC 9110 §15.5.2: a 401 carries `WWW-Authenticate`.
#[actix_web::test]
async fn every_401_has_a_challenge() {
    let app = spawn_app().await;
    let page = app.ask(FILMS).navigation().method("POST").send().await;
    assert_eq!(page.status, 401);
    assert!(
        page.headers.contains_key("www-authenticate"),
        "{:?}",
        page.headers
    );
}
