//! How a logout token comes: by POST, in a form, once; and how often it may be a bad one.

use reqwest::Method;

use super::{PATH, address, is_in, is_obeyed, is_refused, post, signed_in, with_form};
use crate::support::app::{answer, spawn_app, spawn_app_with};
use crate::support::issuer::Endpoint;

#[actix_web::test]
async fn it_comes_by_post_alone() {
    let app = spawn_app().await;
    let browser = signed_in(&app, "A").await;
    let token = app.issuer.logout_token("A");
    let query = format!("{PATH}?logout_token={token}");
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        for path in [PATH, &query] {
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            let refused = answer(with_form(app.portal(method.clone(), path), &token)).await;
            assert_eq!(refused.status, 405, "{method}");
            assert_eq!(refused.header("allow"), "POST", "{method}");
            assert_eq!(refused.header("cache-control"), "no-store", "{method}");
        }
    }
    assert!(is_in(&browser).await);
}

#[actix_web::test]
async fn it_comes_in_a_form_once() {
    let app = spawn_app().await;
    let browser = signed_in(&app, "A").await;
    let token = app.issuer.logout_token("A");
    let pair = format!("logout_token={token}");
    let form = "application/x-www-form-urlencoded";
    let long = format!("{pair}&x={}", "x".repeat(64 * 1024));
    #[rustfmt::skip]
    let cases = [
        ("no body",            PATH.to_owned(),              Some(form),               ""),
        ("another name",       PATH.to_owned(),              Some(form),               "token=x"),
        ("twice",              PATH.to_owned(),              Some(form),               &format!("{pair}&{pair}")),
        ("in the query too",   format!("{PATH}?{pair}"),     Some(form),               &*pair),
        ("in the query alone", format!("{PATH}?{pair}"),     Some(form),               "x=y"),
        ("as JSON",            PATH.to_owned(),              Some("application/json"), &format!("{{\"logout_token\":\"{token}\"}}")),
        ("as a JWT",           PATH.to_owned(),              Some("application/logout+jwt"), &*token),
        ("as text",            PATH.to_owned(),              Some("text/plain"),       &*pair),
        ("as nothing",         PATH.to_owned(),              None,                     &*pair),
        ("huge",               PATH.to_owned(),              Some(form),               &*long),
        ("no UTF-8",           PATH.to_owned(),              Some(form),               "logout_token=%ff%fe"),
    ];
    for (what, path, content_type, body) in cases {
        let mut request = app
            .portal_from(&address(), Method::POST, &path)
            .body(body.to_owned());
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        is_refused(&answer(request).await, 400, "invalid_request", what);
    }
    assert!(is_in(&browser).await);
    let request = app.portal(Method::POST, PATH).body(format!("x=y&{pair}&z"));
    let request = request.header(
        "content-type",
        "Application/X-WWW-Form-Urlencoded; charset=UTF-8",
    );
    is_obeyed(&answer(request).await, "among others");
    assert!(!is_in(&browser).await);
}

/// The portal may lie below a path.
#[actix_web::test]
async fn it_comes_below_the_path_of_the_portal() {
    let app = spawn_app_with(|raw| {
        raw.server.public_url = Some("https://auth.example.net/gate".into());
        raw.server.danger_shared_portal_origin = true;
    })
    .await;
    let token = app.issuer.logout_token("A");
    let there = app.portal(Method::POST, &format!("/gate{PATH}"));
    let there = answer(with_form(there, &token)).await;
    assert!([200, 503].contains(&there.status.as_u16()), "{there:?}");
    let elsewhere = answer(with_form(app.portal(Method::POST, PATH), &token)).await;
    assert_eq!(elsewhere.status, 404);
}

/// Bad tokens are counted by address; good ones from the same address are not.
#[actix_web::test]
async fn bad_tokens_are_limited_and_good_ones_are_not() {
    let app = spawn_app().await;
    let browser = signed_in(&app, "A").await;
    let (provider, stranger) = (address(), address());
    let mut limited = 0;
    for _ in 0..100 {
        let answer = post(&app, &provider, "e30.e30.e30").await;
        if answer.status == 429 {
            is_refused(&answer, 429, "too_many_requests", "too many");
            limited += 1;
        } else {
            is_refused(&answer, 400, "invalid_request", "not too many");
        }
    }
    assert!((1..=40).contains(&limited), "{limited}");
    is_refused(
        &post(&app, &stranger, "x").await,
        400,
        "invalid_request",
        "somebody else",
    );
    // Hundreds of good ones, of sessions that nobody has, and in the end that of one.
    for number in 0..200 {
        let token = app.issuer.logout_token(&format!("nobody {number}"));
        is_obeyed(&post(&app, &provider, &token).await, "a good one");
    }
    is_obeyed(
        &post(&app, &provider, &app.issuer.logout_token("A")).await,
        "the last",
    );
    assert!(!is_in(&browser).await);
    // Signing in from there is another matter.
    let login = answer(app.portal_from(&provider, Method::GET, "/login")).await;
    assert_eq!(login.status, 302);
}

/// Keys are fetched for a stranger once in a while, and leave what logins need.
#[actix_web::test]
async fn unknown_keys_cost_the_provider_next_to_nothing() {
    let app = spawn_app().await;
    signed_in(&app, "A").await;
    let before = app.issuer.requests(Endpoint::Jwks);
    for number in 0..50 {
        let mut draft = app.issuer.logout_draft("A");
        draft.header["kid"] = format!("ec-{}", number + 100).into();
        let answer = post(&app, &address(), &app.issuer.sign(&draft)).await;
        // Once newer keys are there, nobody can tell whether there are newer ones yet: a good token comes again.
        let (status, code) = match number {
            0 => (400, "invalid_request"),
            _ => (503, "temporarily_unavailable"),
        };
        is_refused(&answer, status, code, "an unknown key");
        // What is not for us at all does not even ask.
        draft.claims["aud"] = "other".into();
        let answer = post(&app, &address(), &app.issuer.sign(&draft)).await;
        is_refused(
            &answer,
            400,
            "invalid_request",
            "an unknown key, for others",
        );
    }
    assert!(app.issuer.requests(Endpoint::Jwks) <= before + 1);
    // A login that needs new keys still gets them.
    app.issuer.rotate_keys(2);
    signed_in(&app, "B").await;
}
