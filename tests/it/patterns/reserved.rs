//! User names and addresses that an app takes for its administrator's.

use portcullis::config::{RawHeader, Texts};

use super::{FILMS, signed_in, told};
use crate::support::app::{owned, spawn_app_with};
use crate::support::issuer::USERS;

#[actix_web::test]
async fn the_apps_own_administrator_is_nobody_by_accident() {
    let app = spawn_app_with(|raw| {
        let films = raw.services.get_mut("films").expect("films");
        films
            .reserved_users
            .get_or_insert_default()
            .insert("Ada".into(), Texts(owned(&["somebody-else"])));
        let notes = raw.services.get_mut("notes").expect("notes");
        notes
            .reserved_users
            .get_or_insert_default()
            .insert("ada".into(), Texts(owned(&[USERS[0].subject])));
    })
    .await;
    let ada = signed_in(&app, "ada", &[FILMS, "https://notes.example.net/"]).await;
    let answer = ada.ask(FILMS).fetch().send().await;
    assert_eq!(
        (answer.status.as_u16(), answer.reason()),
        (403, "reserved_user".into())
    );
    assert_eq!(
        ada.ask("https://notes.example.net/")
            .fetch()
            .send()
            .await
            .status,
        200
    );
    // What is let by names nobody, so nobody's name is in the way.
    assert_eq!(
        ada.ask("https://films.example.net/ping")
            .send()
            .await
            .status,
        200
    );
}

/// An app that goes by addresses may have one that is its administrator's.
#[actix_web::test]
async fn the_administrators_address_is_nobodys_by_accident_where_the_app_is_told_it() {
    let notes = "https://notes.example.net/";
    #[rustfmt::skip] // the columns are the point
    let cases: [(&[&str], &str, u16); 4] = [
        (&["X-Email"],     "somebody-else",  403),
        (&["X-Email"],     USERS[0].subject, 200),
        (&["Remote-User"], "somebody-else",  200),
        (&[],              "somebody-else",  200),
    ];
    for (headers, subject, status) in cases {
        let app = spawn_app_with(|raw| {
            let service = raw.services.get_mut("notes").expect("notes");
            let header = |name: &&str| RawHeader {
                name: Some((*name).into()),
                claim: None,
            };
            service.headers = Some(headers.iter().map(header).collect());
            service
                .reserved_users
                .get_or_insert_default()
                .insert("Ada@example.net".into(), Texts(owned(&[subject])));
        })
        .await;
        let ada = signed_in(&app, "ada", &[FILMS, notes]).await;
        let answer = ada.ask(notes).fetch().send().await;
        assert_eq!(answer.status.as_u16(), status, "{headers:?}, {subject}");
        if status == 403 {
            assert_eq!(answer.reason(), "reserved_user");
            assert!(told(&answer, "x-email").is_empty());
        }
    }
}
