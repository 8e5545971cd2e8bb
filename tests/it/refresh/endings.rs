//! What the provider says that ends a session, and what it says that does not.

use serde_json::json;

use super::{DUE, FILMS, LAPSED, Person, spawn, until};
use crate::support::issuer::{Behaviour, Endpoint};

#[actix_web::test]
async fn somebody_who_was_disabled_is_out_within_one_renewal() {
    for later in [DUE, LAPSED] {
        let app = spawn(|_| {}).await;
        let mut ada = Person::sign_in(&app, FILMS).await;
        app.issuer
            .behave(|issuer| issuer.refuse_refresh = Some("invalid_grant"));
        assert_eq!(ada.status(&app).await, 200, "not yet");
        app.clock.advance(later);
        if later == DUE {
            assert_eq!(ada.status(&app).await, 200, "in the background");
        }
        until("she is out", async || ada.status(&app).await == 401).await;
        assert_eq!(app.issuer.requests(Endpoint::Refresh), 1);
        assert_eq!(ada.whoami().await["signed_in"], json!(false));
        // She may try again, as often as the provider likes.
        let visit = ada.browser.navigate(FILMS).await;
        assert_eq!((visit.end.status.as_u16(), visit.logins()), (200, 1));
    }
}

#[actix_web::test]
async fn only_an_end_of_the_grant_ends_the_session() {
    #[rustfmt::skip] // the columns are the point
    let rows = [
        ("invalid_grant",           401),
        ("access_denied",           401),
        ("login_required",          401),
        ("interaction_required",    401),
        ("consent_required",        401),
        // Faults of the configuration, here or there, are nobody's end.
        ("invalid_client",          200),
        ("unauthorized_client",     200),
        ("unsupported_grant_type",  200),
        ("invalid_request",         200),
        ("invalid_scope",           200),
        ("temporarily_unavailable", 200),
        ("server_error",            200),
        ("what nobody knows",       200),
    ];
    for (error, expected) in rows {
        let app = spawn(|_| {}).await;
        let ada = Person::sign_in(&app, FILMS).await;
        app.issuer
            .behave(|issuer| issuer.refuse_refresh = Some(error));
        app.clock.advance(LAPSED);
        until(error, async || {
            let status = ada.status(&app).await;
            app.issuer.requests(Endpoint::Refresh) == 1 && status == expected
        })
        .await;
    }
}

type Lie = (&'static str, fn(&mut Behaviour), u16);

/// What is about somebody else ends the session; what is merely not believed is a failure like any other.
#[actix_web::test]
async fn tokens_of_somebody_else_end_the_session() {
    #[rustfmt::skip]
    let rows: [Lie; 12] = [
        ("another sub", |issuer| {
            issuer.edit_claims = Box::new(|claims| claims["sub"] = json!("0b0b0000-be00-4000-8000-000000000002"));
        }, 401),
        ("another iss", |issuer| {
            issuer.edit_claims = Box::new(|claims| claims["iss"] = json!("https://id.example.org"));
        }, 401),
        ("another sub at userinfo", |issuer| {
            issuer.sparse_id_token = true;
            issuer.edit_userinfo = Box::new(|claims| claims["sub"] = json!("eve"));
        }, 401),
        ("another sub at userinfo alone", |issuer| {
            issuer.renews_id_token = false;
            issuer.edit_userinfo = Box::new(|claims| claims["sub"] = json!("eve"));
        }, 401),
        ("no sub at userinfo", |issuer| {
            issuer.renews_id_token = false;
            issuer.edit_userinfo = Box::new(|claims| *claims = json!({}));
        }, 200),
        ("no sub", |issuer| {
            issuer.edit_claims = Box::new(|claims| claims["sub"] = json!(null));
        }, 200),
        ("another audience", |issuer| {
            issuer.edit_claims = Box::new(|claims| claims["aud"] = json!("other"));
        }, 200),
        ("another party", |issuer| {
            issuer.edit_claims = Box::new(|claims| claims["azp"] = json!("other"));
        }, 200),
        ("the nonce of another login", |issuer| {
            issuer.edit_claims = Box::new(|claims| claims["nonce"] = json!("another"));
        }, 200),
        ("of another access token", |issuer| {
            issuer.edit_claims = Box::new(|claims| claims["at_hash"] = json!("x"));
        }, 200),
        ("a signature that is cut", |issuer| {
            issuer.edit_token = Box::new(|token| token[..token.len() - 6].to_owned());
        }, 200),
        ("a token that is no bearer's", |issuer| {
            issuer.edit_token_answer = Box::new(|answer| answer["token_type"] = json!("DPoP"));
        }, 200),
    ];
    for (what, lie, expected) in rows {
        let app = spawn(|_| {}).await;
        let mut ada = Person::sign_in(&app, FILMS).await;
        let before = ada.whoami().await;
        app.issuer.behave(lie);
        app.issuer
            .behave(|issuer| issuer.groups = Some(&["stolen"]));
        app.clock.advance(LAPSED);
        until(what, async || {
            let status = ada.status(&app).await;
            app.issuer.requests(Endpoint::Refresh) == 1 && status == expected
        })
        .await;
        if expected == 200 {
            assert_eq!(ada.whoami().await["groups"], before["groups"], "{what}");
            // What was replaced meanwhile was kept, so it goes on once the provider tells the truth.
            app.issuer.behave(|issuer| {
                *issuer = Behaviour {
                    gives_refresh: true,
                    ..Behaviour::default()
                };
            });
            app.clock.advance(std::time::Duration::from_secs(10));
            until("it is renewed", async || {
                assert_eq!(ada.status(&app).await, 200, "{what}");
                app.issuer.renewals() == 2
            })
            .await;
            assert_eq!(app.issuer.reuses(), 0, "{what}");
        }
    }
}

/// The same nonce as at the login is allowed, and so is a later time of signing in, which does not count.
#[actix_web::test]
async fn a_nonce_may_come_again() {
    let app = spawn(|_| {}).await;
    let (sender, receiver) = std::sync::mpsc::channel();
    app.issuer.behave(|issuer| {
        issuer.edit_claims = Box::new(move |claims| {
            let _ = sender.send(claims["nonce"].clone());
        });
    });
    let ada = Person::sign_in(&app, FILMS).await;
    let nonce = receiver.recv().expect("the login's");
    assert!(nonce.is_string());
    app.issuer.behave(|issuer| {
        issuer.edit_claims = Box::new(move |claims| claims["nonce"] = nonce.clone());
    });
    for renewals in 1..=2 {
        app.clock.advance(LAPSED);
        assert_eq!(ada.status(&app).await, 200);
        assert_eq!(app.issuer.renewals(), renewals);
        // Not in grace: the renewal went well.
        assert_eq!(ada.status(&app).await, 200);
        assert_eq!(app.issuer.requests(Endpoint::Refresh), renewals);
    }
}
