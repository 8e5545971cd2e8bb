//! Faults that show only after a while. All of them wait at once, so that the test takes as long as one.

use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use reqwest::Method;

use super::trial::{Ends, FILMS, Trial, run_outage};
use crate::support::app::answer;
use crate::support::browser::Browser;
use crate::support::front::Fault;
use Ends::Unavailable;

/// So many logins at once at a token endpoint that hangs.
const LOGINS: usize = 100;

/// The connections that the provider may see of them. There are 32 at once; those that have just been given up may count
/// still when the next ones come.
const CONNECTIONS: usize = 64;

#[actix_web::test]
async fn what_hangs_is_waited_for_in_bounds() {
    let slow = || Fault::Late(Duration::from_secs(30));
    #[rustfmt::skip] // the columns are the point
    let rows = vec![
        ("/openid-configuration", ("hangs",      Fault::Hang,     Unavailable("provider_timeout"))),
        ("/openid-configuration", ("drips",      Fault::Drip,     Unavailable("provider_timeout"))),
        ("/jwks",                 ("hangs",      Fault::Hang,     Unavailable("provider_timeout"))),
        ("/jwks",                 ("drips",      Fault::Drip,     Unavailable("provider_timeout"))),
        ("/token",                ("hangs",      Fault::Hang,     Unavailable("provider_timeout"))),
        ("/token",                ("drips",      Fault::Drip,     Unavailable("provider_timeout"))),
        ("/token",                ("drips head", Fault::DripHead, Unavailable("provider_timeout"))),
        ("/token",                ("30 s",       slow(),          Unavailable("provider_timeout"))),
        ("/userinfo",             ("hangs",      Fault::Hang,     Unavailable("provider_timeout"))),
        ("/userinfo",             ("drips",      Fault::Drip,     Unavailable("provider_timeout"))),
    ];
    let rows = rows.into_iter().map(|(path, outage)| {
        run_outage(path, outage, |raw| {
            raw.oidc.userinfo = Some("always".into());
        })
    });
    join(join_all(rows), many_logins_at_a_token_endpoint_that_hangs()).await;
}

/// The provider is not buried, nobody else waits, and no login takes longer than one alone.
async fn many_logins_at_a_token_endpoint_that_hangs() {
    let trial = Trial::start();
    let app = &trial.app;
    let mut ada = Browser::new(app);
    assert_eq!(ada.navigate(FILMS).await.end.status, 200);
    trial.front.spoil("/token", Fault::Hang);
    let mut callbacks = Vec::new();
    for n in 0..LOGINS {
        // One address may not do that, but a hundred may.
        let from = format!("198.51.100.{n}");
        let mut browser = Browser::new(app).at(from.clone());
        let mut url = FILMS.to_owned();
        while !url.contains("/callback?") {
            let next = browser.open(&url).await;
            next.location().clone_into(&mut url);
        }
        let path = url
            .split_once("example.net")
            .expect("the portal")
            .1
            .to_owned();
        let cookies = browser.cookie_header("auth.example.net");
        callbacks.push(async move {
            let started = Instant::now();
            let request = app.portal_from(&from, Method::GET, &path);
            let end = answer(request.header("cookie", cookies)).await;
            assert_eq!(end.status, 503, "{}", end.body);
            assert!(started.elapsed() < Duration::from_secs(10));
        });
    }
    let meanwhile = async {
        let mut slowest = Duration::ZERO;
        for _ in 0..100 {
            let started = Instant::now();
            assert_eq!(ada.ask(FILMS).fetch().send().await.status, 200);
            slowest = slowest.max(started.elapsed());
            actix_web::rt::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(
            slowest < Duration::from_millis(500),
            "a check took {slowest:?}"
        );
        let login = Browser::new(app)
            .open("https://auth.example.net/login")
            .await;
        assert_eq!(
            login.status, 302,
            "the provider is still there: {}",
            login.body
        );
    };
    join(join_all(callbacks), meanwhile).await;
    let most = trial.front.most_open();
    assert!(most > 1 && most <= CONNECTIONS, "{most} connections");
}
