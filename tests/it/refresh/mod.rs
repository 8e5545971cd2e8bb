//! Sessions follow their people at the provider: renewed once for everybody, kept through outages, ended when the
//! provider says so.

mod answers;
mod crowd;
mod endings;
mod faults;
mod interrupted;
mod limits;

use std::time::{Duration, Instant};

use portcullis::config::RawConfig;
use serde_json::Value;

use crate::support::app::{Answer, TestApp, spawn_app_with};
use crate::support::browser::Browser;

pub const FILMS: &str = "https://films.example.net/";
/// For admins.
pub const NOTES: &str = "https://notes.example.net/";
pub const HOST: &str = "films.example.net";

/// The provider's access tokens live for an hour. Some minutes before that they are to be renewed, and after it nothing
/// is left of them.
pub const DUE: Duration = Duration::from_secs(56 * 60);
pub const LAPSED: Duration = Duration::from_secs(61 * 60);
pub const DAY: Duration = Duration::from_secs(24 * 3_600);

/// What a request that waits for a renewal may take, on a machine that has other things to do too.
pub const WAITED: Duration = Duration::from_millis(4_500);

/// Sessions that do not end by themselves in any of these tests.
pub fn long_sessions(raw: &mut RawConfig) {
    raw.session.idle_timeout = Some(DAY * 30);
    raw.session.lifetime = Some(DAY * 30);
}

/// The service beside a provider that gives refresh tokens.
pub async fn spawn(adjust: impl FnOnce(&mut RawConfig)) -> TestApp {
    let app = spawn_app_with(|raw| {
        long_sessions(raw);
        adjust(raw);
    })
    .await;
    app.issuer.behave(|issuer| issuer.gives_refresh = true);
    app
}

/// Somebody who is signed in at an app, with the portal's cookie and the app's.
pub struct Person<'a> {
    pub browser: Browser<'a>,
}

impl<'a> Person<'a> {
    /// Signs in as the issuer's present user.
    pub async fn sign_in(app: &'a TestApp, url: &str) -> Self {
        let mut browser = Browser::new(app);
        let visit = browser.navigate(url).await;
        assert_eq!(visit.end.status, 200, "{:?}", visit.urls);
        Self { browser }
    }

    /// What the app's cookie is good for at `app`.
    pub async fn asks(&self, app: &TestApp, url: &str) -> Answer {
        let host = url.trim_start_matches("https://").trim_end_matches('/');
        let cookie = self.browser.cookie_header(host);
        app.ask(url).fetch().header("cookie", &cookie).send().await
    }

    pub async fn status(&self, app: &TestApp) -> u16 {
        self.asks(app, FILMS).await.status.as_u16()
    }

    pub async fn whoami(&mut self) -> Value {
        self.browser
            .open("https://auth.example.net/whoami")
            .await
            .json()
    }
}

/// Waits for what goes on in the background.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds().await {
        assert!(Instant::now() < deadline, "it did not happen: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
