//! Rules that ask for more than a path, and what does not get round them.

use portcullis::config::{RawBypass, RawRequiredHeader, RawRule};
use secrecy::SecretString;

use super::{FILMS, signed_in};
use crate::support::app::{owned, spawn_app_with};

#[actix_web::test]
async fn a_rule_can_ask_for_a_header() {
    let app = spawn_app_with(|raw| {
        let films = raw.services.get_mut("films").expect("films");
        films.bypass = vec![RawBypass {
            paths: Some(owned(&["/api/*"])),
            requires_header: Some(RawRequiredHeader {
                name: Some("X-Hook-Secret".into()),
                value: Some(SecretString::from("hush")),
                ..RawRequiredHeader::default()
            }),
            ..RawBypass::default()
        }];
    })
    .await;
    let api = || app.ask("https://films.example.net/api/x");
    assert_eq!(
        api().header("x-hook-secret", "hush").send().await.status,
        200
    );
    assert_eq!(api().send().await.status, 401);
    assert_eq!(
        api().header("x-hook-secret", "hus").send().await.status,
        401
    );
    assert_eq!(api().header("x-hook-secret", "").send().await.status, 401);
    let twice = api()
        .header("x-hook-secret", "hush")
        .another("x-hook-secret", b"hush");
    assert_eq!(twice.send().await.status, 401);
    assert_eq!(
        api().header("x_hook_secret", "hush").send().await.status,
        401
    );
}

#[actix_web::test]
async fn what_closes_is_not_got_round_by_another_spelling() {
    let app = spawn_app_with(|raw| {
        let films = raw.services.get_mut("films").expect("films");
        let admins = |rule: RawRule| RawRule {
            policy: Some("admins".into()),
            ..rule
        };
        films.rules = vec![
            admins(RawRule {
                methods: Some(owned(&["DELETE"])),
                ..RawRule::default()
            }),
            admins(RawRule {
                requires_header: Some(RawRequiredHeader {
                    name: Some("X-Impersonate".into()),
                    ..RawRequiredHeader::default()
                }),
                ..RawRule::default()
            }),
        ];
    })
    .await;
    let ben = signed_in(&app, "ben", &[FILMS]).await;
    let ask = || ben.ask(FILMS).fetch();
    assert_eq!(ask().send().await.status, 200);
    for method in ["DELETE", "delete", "Delete"] {
        assert_eq!(ask().method(method).send().await.status, 403, "{method}");
    }
    for name in ["x-impersonate", "x_impersonate", "x.impersonate"] {
        assert_eq!(ask().header(name, "ada").send().await.status, 403, "{name}");
    }
    let twice = ask()
        .header("x-impersonate", "")
        .another("x-impersonate", b"ada");
    assert_eq!(twice.send().await.status, 403);
}
