//! The six patterns, as the running service keeps them: who passes, and what the app is told.

mod hosts;
mod other_sites;
mod reserved;
mod rules;

use portcullis::config::{RawBypass, RawConfig, RawHeader, RawRule, RawService, RawUpstreamHeader};
use secrecy::SecretString;

use crate::support::app::{Answer, TestApp, owned, spawn_app_with};
use crate::support::browser::Browser;

const PAPERS: &str = "https://papers.example.net/";
const FILMS: &str = "https://films.example.net/";
const KEY: &str = "the-apps-own-key";

/// What the app would see under `name`: the lines of the answer, in order.
fn told<'a>(answer: &'a Answer, name: &str) -> Vec<&'a str> {
    let lines = answer.headers.get_all(name).iter();
    lines
        .map(|line| std::str::from_utf8(line.as_bytes()).expect("UTF-8"))
        .collect()
}

fn service(host: &str, policy: &str) -> RawService {
    RawService {
        host: Some(owned(&[host])),
        policy: Some(policy.into()),
        ..RawService::default()
    }
}

fn with_key(name: &str, only_groups: Option<&[&str]>) -> RawUpstreamHeader {
    RawUpstreamHeader {
        name: Some(name.into()),
        value: Some(SecretString::from(KEY)),
        only_groups: only_groups.map(owned),
        ..RawUpstreamHeader::default()
    }
}

/// Beside the usual services: `papers`, a hybrid for admins and media whose `/open/*` is by.
async fn with_papers(adjust: impl FnOnce(&mut RawConfig)) -> TestApp {
    spawn_app_with(|raw| {
        let mut papers = service("papers.example.net", "media");
        papers.posture = Some("hybrid".into());
        papers.upstream_headers = vec![with_key("X-Api-Key", None)];
        papers.bypass = vec![RawBypass {
            paths: Some(owned(&["/open/*"])),
            ..RawBypass::default()
        }];
        raw.services.insert("papers".into(), papers);
        adjust(raw);
    })
    .await
}

async fn signed_in<'a>(app: &'a TestApp, user: &str, urls: &[&str]) -> Browser<'a> {
    app.issuer.sign_in_as(user);
    let mut browser = Browser::new(app);
    for url in urls {
        browser.navigate(url).await;
    }
    browser
}

#[actix_web::test]
async fn the_key_reaches_the_app_for_somebody_who_may_and_nobody_else() {
    let app = with_papers(|_| {}).await;
    let ben = signed_in(&app, "ben", &[PAPERS, FILMS]).await;
    let forged = ben.ask(PAPERS).fetch().header("x-api-key", "forged");
    let answer = forged.send().await;
    assert_eq!(
        (answer.status.as_u16(), told(&answer, "x-api-key")),
        (200, vec![KEY])
    );
    // On another app the client's own key is left alone, as is one on a path that is let by.
    for url in [FILMS, "https://papers.example.net/open/x"] {
        let answer = ben
            .ask(url)
            .fetch()
            .header("x-api-key", "mine")
            .send()
            .await;
        assert_eq!(
            (answer.status.as_u16(), told(&answer, "x-api-key")),
            (200, vec!["mine"]),
            "{url}"
        );
        let answer = ben.ask(url).fetch().send().await;
        assert_eq!(told(&answer, "x-api-key"), [""], "{url}");
    }
    // Nobody, and somebody who may not.
    let eve = signed_in(&app, "eve", &[PAPERS]).await;
    for ask in [
        app.ask(PAPERS).fetch(),
        app.ask(PAPERS).navigation(),
        eve.ask(PAPERS).fetch(),
        eve.ask(PAPERS).navigation(),
    ] {
        let answer = ask.send().await;
        assert!(!answer.status.is_success());
        let shown = format!("{answer:?}");
        assert!(
            !shown.contains(KEY) && !answer.headers.contains_key("x-api-key"),
            "{shown}"
        );
    }
}

#[actix_web::test]
async fn a_key_for_some_is_kept_from_the_others() {
    let app = with_papers(|raw| {
        let papers = raw.services.get_mut("papers").expect("papers");
        papers.upstream_headers = vec![with_key("X-Api-Key", Some(&["admins"]))];
    })
    .await;
    let ada = signed_in(&app, "ada", &[PAPERS]).await;
    assert_eq!(
        told(&ada.ask(PAPERS).fetch().send().await, "x-api-key"),
        [KEY]
    );
    let ben = signed_in(&app, "ben", &[PAPERS]).await;
    let answer = ben
        .ask(PAPERS)
        .fetch()
        .header("x-api-key", "forged")
        .send()
        .await;
    assert_eq!(
        (answer.status.as_u16(), told(&answer, "x-api-key")),
        (200, vec![""])
    );
}

#[actix_web::test]
async fn basic_and_the_persons_own_tokens_are_shown_in_their_forms() {
    let app = with_papers(|raw| {
        let papers = raw.services.get_mut("papers").expect("papers");
        let token = |name: &str, token: &str| RawUpstreamHeader {
            name: Some(name.into()),
            token: Some(token.into()),
            ..RawUpstreamHeader::default()
        };
        let basic = RawUpstreamHeader {
            name: Some("X-Basic".into()),
            username: Some("robot".into()),
            password: Some(SecretString::from("s3cret")),
            ..RawUpstreamHeader::default()
        };
        papers.upstream_headers = vec![
            basic,
            token("Authorization", "access_token"),
            token("X-Id", "id_token"),
        ];
    })
    .await;
    let ada = signed_in(&app, "ada", &[PAPERS, FILMS]).await;
    let answer = ada
        .ask(PAPERS)
        .fetch()
        .header("authorization", "Bearer mine")
        .send()
        .await;
    assert_eq!(told(&answer, "x-basic"), ["Basic cm9ib3Q6czNjcmV0"]);
    assert!(
        answer.header("authorization").starts_with("Bearer ")
            && answer.header("authorization") != "Bearer mine"
    );
    assert_eq!(answer.header("x-id").split('.').count(), 3);
    let elsewhere = ada
        .ask(FILMS)
        .fetch()
        .header("authorization", "Bearer mine")
        .send()
        .await;
    assert_eq!(told(&elsewhere, "authorization"), ["Bearer mine"]);
}

#[actix_web::test]
async fn an_app_that_believes_headers_gets_one_or_no_request() {
    let app = spawn_app_with(|raw| {
        let grafana = raw.services.get_mut("films").expect("films");
        grafana.posture = Some("trusted_header".into());
        grafana.headers = Some(vec![
            RawHeader {
                name: Some("X-WEBAUTH-USER".into()),
                claim: Some("username".into()),
            },
            RawHeader {
                name: Some("X-Email".into()),
                claim: None,
            },
        ]);
    })
    .await;
    let ada = signed_in(&app, "ada", &[FILMS]).await;
    let answer = ada
        .ask(FILMS)
        .fetch()
        .header("remote-user", "admin")
        .send()
        .await;
    assert_eq!(told(&answer, "x-webauth-user"), ["ada"]);
    assert_eq!(told(&answer, "x-email"), ["ada@example.net"]);
    // Another service sets it, so it is taken away here.
    assert_eq!(told(&answer, "remote-user"), [""]);
    // The proxy says what it copies, and it is not enough.
    let short = ada
        .ask(FILMS)
        .fetch()
        .header("portcullis-copy", "X-Email Remote-User");
    let answer = short.send().await;
    assert_eq!(
        (answer.status.as_u16(), answer.reason()),
        (503, "not_copied".into())
    );
    assert!(
        answer.json()["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("X-WEBAUTH-USER"))
    );
    let enough = ada
        .ask(FILMS)
        .fetch()
        .header("portcullis-copy", "x-email x-webauth-user");
    assert_eq!(enough.send().await.status, 200);
    // A name that would not arrive as it is.
    app.issuer.behave(|behaviour| {
        behaviour.edit_claims = Box::new(|claims| claims["preferred_username"] = "ada\n".into());
    });
    let odd = signed_in(&app, "ada", &[FILMS]).await;
    let answer = odd.ask(FILMS).fetch().send().await;
    assert_eq!(
        (answer.status.as_u16(), answer.reason()),
        (403, "no_user_header".into())
    );
}

#[actix_web::test]
async fn values_are_written_as_the_app_wants_them() {
    let app = spawn_app_with(|raw| {
        let films = raw.services.get_mut("films").expect("films");
        films.header_encoding = Some("percent".into());
        films.group_separator = Some("|".into());
        let lab = raw.services.get_mut("lab").expect("lab");
        lab.header_encoding = Some("ascii".into());
    })
    .await;
    app.issuer.behave(|behaviour| {
        behaviour.edit_claims =
            Box::new(|claims| claims["groups"] = serde_json::json!(["media", "a b", "c,d"]));
    });
    let ben = signed_in(&app, "ben", &[FILMS, "https://a.lab.example.org/"]).await;
    let answer = ben.ask(FILMS).fetch().send().await;
    assert_eq!(told(&answer, "remote-name"), ["Ben%20M%C3%BCller"]);
    assert_eq!(told(&answer, "remote-groups"), ["media|a%20b|c%2Cd"]);
    let answer = ben.ask("https://a.lab.example.org/").fetch().send().await;
    assert_eq!(told(&answer, "remote-name"), [""]);
    assert_eq!(told(&answer, "remote-groups"), ["media,a b"]);
}

#[actix_web::test]
async fn its_own_login_and_native_oidc_pass_and_name_nobody() {
    let app = spawn_app_with(|raw| {
        let mut plex = service("plex.example.net", "x");
        plex.policy = None;
        plex.posture = Some("passthrough".into());
        plex.rules = vec![RawRule {
            paths: Some(owned(&["/admin/*"])),
            policy: Some("admins".into()),
            ..RawRule::default()
        }];
        raw.services.insert("plex".into(), plex);
        let mut mealie = service("mealie.example.net", "x");
        mealie.policy = None;
        mealie.posture = Some("native_oidc".into());
        raw.services.insert("mealie".into(), mealie);
    })
    .await;
    let ada = signed_in(&app, "ada", &["https://plex.example.net/admin/"]).await;
    for url in ["https://plex.example.net/", "https://mealie.example.net/"] {
        let answer = ada
            .ask(url)
            .fetch()
            .method("POST")
            .header("remote-user", "admin")
            .send()
            .await;
        assert_eq!(
            (answer.status.as_u16(), told(&answer, "remote-user")),
            (200, vec![""]),
            "{url}"
        );
    }
    let answer = ada
        .ask("https://plex.example.net/admin/x")
        .fetch()
        .send()
        .await;
    assert_eq!(
        (answer.status.as_u16(), told(&answer, "remote-user")),
        (200, vec!["ada"])
    );
    for path in [
        "admin",
        "admin/x",
        "Admin/x",
        "%61dmin/x",
        "x/../admin/x",
        "admin;x/y",
        "x//../admin/",
    ] {
        let url = format!("https://plex.example.net/{path}");
        assert_eq!(app.ask(&url).fetch().send().await.status, 401, "{url}");
    }
}

#[actix_web::test]
async fn an_internal_service_is_for_its_networks_and_never_asks_for_a_login() {
    let app = spawn_app_with(|raw| {
        let mut hooks = service("hooks.example.net", "x");
        hooks.policy = None;
        hooks.posture = Some("internal".into());
        hooks.allowed_networks = Some(owned(&["10.0.0.0/8"]));
        raw.services.insert("hooks".into(), hooks);
    })
    .await;
    let hooks = "https://hooks.example.net/deploy";
    let inside = app
        .ask(hooks)
        .method("POST")
        .header("x-forwarded-for", "10.1.2.3")
        .send()
        .await;
    assert_eq!(
        (inside.status.as_u16(), told(&inside, "remote-user")),
        (200, vec![""])
    );
    for from in ["203.0.113.7", "junk", "10.1.2.3, junk"] {
        for ask in [app.ask(hooks).navigation(), app.ask(hooks).fetch()] {
            let answer = ask.header("x-forwarded-for", from).send().await;
            assert_eq!(answer.status, 403, "{from}");
            assert!(!answer.headers.contains_key("location"));
        }
    }
}

#[actix_web::test]
async fn no_app_is_made_to_send_its_key_back() {
    let app = with_papers(|_| {}).await;
    let ben = signed_in(&app, "ben", &[PAPERS, FILMS]).await;
    for method in ["TRACE", "trace"] {
        let answer = ben.ask(PAPERS).fetch().method(method).send().await;
        assert_eq!(
            (answer.status.as_u16(), answer.reason()),
            (403, "echo_method".into()),
            "{method}"
        );
    }
    assert_eq!(
        ben.ask(FILMS).fetch().method("TRACE").send().await.status,
        200
    );
}

#[actix_web::test]
async fn an_internal_service_sends_nobody_to_sign_in_whatever_a_policy_asks() {
    let app = spawn_app_with(|raw| {
        let mut hooks = service("hooks.example.net", "x");
        hooks.policy = None;
        hooks.posture = Some("internal".into());
        hooks.allowed_networks = Some(owned(&["10.0.0.0/8"]));
        raw.services.insert("hooks".into(), hooks);
    })
    .await;
    let inside = app
        .ask("https://hooks.example.net/")
        .header("x-forwarded-for", "10.1.2.3");
    let answer = inside.navigation().at("/verify/policy/media").send().await;
    assert_eq!(answer.status, 403);
    assert!(
        answer.body.contains("Only machines use this"),
        "{}",
        answer.body
    );
}
