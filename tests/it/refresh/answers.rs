//! What new tokens say counts from then on: groups, names, tokens for apps, the hint for logout.

use serde_json::{Value, json};

use portcullis::config::{RawService, RawUpstreamHeader};

use super::{FILMS, LAPSED, NOTES, Person, long_sessions, spawn, until};
use crate::redis::Shared;
use crate::support::app::{TestApp, spawn_app_at};
use crate::support::clock::TestClock;
use crate::support::issuer::{Behaviour, Endpoint, FakeIssuer};

#[actix_web::test]
async fn a_group_that_was_taken_away_is_gone_within_one_renewal() {
    let app = spawn(|_| {}).await;
    let mut ada = Person::sign_in(&app, NOTES).await;
    app.issuer.behave(|issuer| issuer.groups = Some(&["media"]));
    assert_eq!(ada.asks(&app, NOTES).await.status, 200, "not yet");
    app.clock.advance(LAPSED);
    until("she is no member", async || {
        let answer = ada.asks(&app, NOTES).await;
        answer.status == 403 && answer.reason() == "not_a_member"
    })
    .await;
    assert_eq!(app.issuer.renewals(), 1);
    assert_eq!(ada.whoami().await["groups"], json!(["media"]));
    app.issuer
        .behave(|issuer| issuer.groups = Some(&["admins"]));
    app.clock.advance(LAPSED);
    until("she is a member again", async || {
        ada.asks(&app, NOTES).await.status == 200
    })
    .await;
    assert_eq!(app.issuer.renewals(), 2);
}

type Told = (&'static str, Box<dyn Fn(&mut Behaviour)>, Value, Value);

fn claims(edit: impl Fn(&mut Value) + Send + Copy + 'static) -> Box<dyn Fn(&mut Behaviour)> {
    Box::new(move |issuer| issuer.edit_claims = Box::new(edit))
}

fn without(members: &'static [&'static str]) -> impl Fn(&mut Value) {
    move |claims| {
        let claims = claims.as_object_mut().expect("claims");
        claims.retain(|name, _| !members.contains(&name.as_str()));
    }
}

/// Each row: what the provider says at the renewal, then the groups and the user name of the session.
#[actix_web::test]
async fn claims_follow_what_is_said_and_what_is_not_said_stays() {
    #[rustfmt::skip] // the columns are the point
    let rows: Vec<Told> = vec![
        ("the same again", Box::new(|_| {}), json!(["admins"]), json!("ada")),
        ("no group any more", claims(|claims| claims["groups"] = json!([])), json!([]), json!("ada")),
        ("another name", claims(|claims| claims["preferred_username"] = json!("countess")), json!(["admins"]), json!("countess")),
        // authentik writes `null` where there is nothing.
        ("null for what is absent", claims(|claims| {
            for name in ["at_hash", "nonce", "azp", "sid"] {
                claims[name] = Value::Null;
            }
        }), json!(["admins"]), json!("ada")),
        ("groups that userinfo knows", Box::new(|issuer| {
            issuer.sparse_id_token = true;
            issuer.groups = Some(&["media"]);
        }), json!(["media"]), json!("ada")),
        ("groups that userinfo knows to be none", Box::new(|issuer| {
            issuer.sparse_id_token = true;
            issuer.groups = Some(&[]);
        }), json!([]), json!("ada")),
        ("groups that nobody speaks of", Box::new(|issuer| {
            issuer.sparse_id_token = true;
            issuer.edit_userinfo = Box::new(without(&["groups", "preferred_username"]));
        }), json!(["admins"]), json!("ada")),
        ("groups that are null everywhere", Box::new(|issuer| {
            issuer.edit_claims = Box::new(|claims| claims["groups"] = Value::Null);
            issuer.edit_userinfo = Box::new(|claims| claims["groups"] = Value::Null);
        }), json!(["admins"]), json!("ada")),
        ("no ID token, but userinfo", Box::new(|issuer| {
            issuer.renews_id_token = false;
            issuer.groups = Some(&["media"]);
        }), json!(["media"]), json!("ada")),
        ("no ID token, and userinfo without groups", Box::new(|issuer| {
            issuer.renews_id_token = false;
            issuer.edit_userinfo = Box::new(without(&["groups"]));
        }), json!(["admins"]), json!("ada")),
    ];
    for (what, behave, groups, username) in rows {
        let app = spawn(|_| {}).await;
        let mut ada = Person::sign_in(&app, FILMS).await;
        let before = ada.whoami().await;
        app.issuer.behave(|issuer| behave(issuer));
        app.clock.advance(LAPSED);
        let mut now = Value::Null;
        until(what, async || {
            now = ada.whoami().await;
            app.issuer.renewals() == 1 && (&now["groups"], &now["username"]) == (&groups, &username)
        })
        .await;
        assert_eq!(now["subject"], before["subject"], "{what}");
        assert_eq!(now["signed_in_at"], before["signed_in_at"], "{what}");
        // One renewal has done it.
        assert_eq!(ada.whoami().await["groups"], groups, "{what}");
        assert_eq!(app.issuer.requests(Endpoint::Refresh), 1, "{what}");
    }
}

/// A provider that keeps the same refresh token says nothing of one.
#[actix_web::test]
async fn a_refresh_token_that_is_not_replaced_is_used_again() {
    let app = spawn(|_| {}).await;
    let ada = Person::sign_in(&app, FILMS).await;
    app.issuer.behave(|issuer| issuer.rotates = false);
    for renewals in 1..=3 {
        app.clock.advance(LAPSED);
        assert_eq!(ada.status(&app).await, 200);
        assert_eq!(app.issuer.renewals(), renewals);
    }
}

/// Seconds as a text, with a fraction, absurd, or nothing at all: what is odd counts as an hour, and refuses nobody.
#[actix_web::test]
async fn lifetimes_are_read_leniently() {
    #[rustfmt::skip]
    let rows = [
        // expires_in, seconds later, is it renewed by then
        (json!(600),      400,   false),
        (json!(600),      700,   true),
        (json!("600"),    400,   false),
        (json!("600"),    700,   true),
        (json!(600.5),    700,   true),
        (json!(-1),       700,   false),
        (json!("soon"),   700,   false),
        (json!("soon"),   3_700, true),
        (json!([600]),    3_700, true),
        (Value::Null,     3_000, false),
        (Value::Null,     3_700, true),
        (json!(0),        5,     false),
        (json!(0),        15,    true),
        (json!(31_536_000), 86_400, false),
    ];
    for (expires_in, later, is_renewed) in rows {
        let app = spawn(|_| {}).await;
        app.issuer
            .behave(|issuer| issuer.expires_in = expires_in.clone());
        let ada = Person::sign_in(&app, FILMS).await;
        app.clock.advance(std::time::Duration::from_secs(later));
        assert_eq!(ada.status(&app).await, 200, "{expires_in} {later}");
        if is_renewed {
            until("it is renewed", async || app.issuer.renewals() == 1).await;
        } else {
            assert_eq!(app.issuer.renewals(), 0, "{expires_in} {later}");
        }
    }
}

async fn shown_token(app: &TestApp, person: &Person<'_>) -> String {
    let answer = person.asks(app, "https://papers.example.net/").await;
    assert_eq!(answer.status, 200);
    answer.header("x-token").to_owned()
}

#[actix_web::test]
async fn apps_are_shown_the_new_token_and_the_provider_the_new_hint() {
    let app = spawn(|raw| {
        let papers = RawService {
            host: Some(vec!["papers.example.net".into()]),
            posture: Some("hybrid".into()),
            policy: Some("authenticated".into()),
            upstream_headers: vec![RawUpstreamHeader {
                name: Some("X-Token".into()),
                token: Some("access_token".into()),
                ..RawUpstreamHeader::default()
            }],
            ..RawService::default()
        };
        raw.services.insert("papers".into(), papers);
    })
    .await;
    let mut ada = Person::sign_in(&app, "https://papers.example.net/").await;
    let before = shown_token(&app, &ada).await;
    assert!(!before.is_empty());
    // It is kept with the session, and goes with it.
    for _ in 0..3 {
        assert_eq!(shown_token(&app, &ada).await, before);
    }
    app.clock.advance(LAPSED);
    let after = shown_token(&app, &ada).await;
    assert!(!after.is_empty());
    assert_ne!(after, before);
    for _ in 0..3 {
        assert_eq!(shown_token(&app, &ada).await, after);
    }
    let issued = app.issuer.issued();
    let newest = issued.iter().rev().find(|token| token.contains('.'));
    assert_eq!(app.issuer.renewals(), 1);
    let answer = ada.browser.post("/logout", "same-origin").await;
    let location = answer.location();
    let hint = url::Url::parse(location).expect("a URL");
    let hint = hint
        .query_pairs()
        .find(|(name, _)| name == "id_token_hint")
        .map(|(_, hint)| hint.into_owned());
    assert_eq!(hint.as_ref(), newest, "the newest one");
}

/// Written at a login and at each renewal, and sealed.
#[actix_web::test]
async fn what_is_known_of_a_person_is_written_down() {
    let shared = Shared::start();
    let app = spawn(|raw| shared.configure_patiently(raw)).await;
    let written = || {
        let key = shared.redis.ask(&["KEYS", "portcullis:user:*"]);
        assert!(key.lines().count() <= 1, "{key}");
        let text = shared.redis.ask(&["GET", &key]);
        assert!(!text.contains("ada") && !text.contains("admins"), "{text}");
        text
    };
    assert_eq!(written(), "");
    let ada = Person::sign_in(&app, FILMS).await;
    let at_login = written();
    assert_ne!(at_login, "");
    app.clock.advance(LAPSED);
    assert_eq!(ada.status(&app).await, 200);
    until("it is written anew", async || written() != at_login).await;
    // It outlives the session.
    let mut browser = ada.browser;
    browser.post("/logout", "same-origin").await;
    assert_ne!(written(), "");
}

/// No ID token, and nobody else to ask: the grant lives, and that is all that is known.
#[actix_web::test]
async fn a_renewal_that_says_nothing_changes_nothing() {
    let clock = TestClock::new();
    let issuer = FakeIssuer::start(&clock);
    issuer.behave(|issuer| {
        issuer.gives_refresh = true;
        issuer.renews_id_token = false;
        issuer.edit_metadata = Box::new(without(&["userinfo_endpoint"]));
    });
    let app = spawn_app_at(issuer, clock, long_sessions);
    let mut ada = Person::sign_in(&app, FILMS).await;
    let before = ada.whoami().await;
    app.clock.advance(LAPSED);
    assert_eq!(ada.status(&app).await, 200);
    until("it is renewed", async || app.issuer.renewals() == 1).await;
    let after = ada.whoami().await;
    for member in ["subject", "username", "name", "email", "groups"] {
        assert_eq!(before[member], after[member], "{member}");
    }
    // The ID token of before is still the hint.
    let answer = ada.browser.post("/logout", "same-origin").await;
    assert!(
        answer.location().contains("id_token_hint="),
        "{}",
        answer.location()
    );
}
