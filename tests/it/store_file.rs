//! Sessions in a file outlive the service, and so does their end.

use portcullis::config::RawConfig;
use secrecy::SecretString;
use tempfile::TempDir;

use crate::support::app::{TestApp, spawn_app_with};
use crate::support::browser::Browser;

const FILMS: &str = "https://films.example.net/";
const HOST: &str = "films.example.net";

/// Keeps sessions in `folder`; the keys are beside them, since nobody says otherwise.
fn in_file(folder: &TempDir) -> impl FnOnce(&mut RawConfig) {
    let store = format!("file:{}/portcullis.redb", folder.path().display());
    move |raw| raw.session.store = Some(SecretString::from(store))
}

async fn status(app: &TestApp, cookies: &str) -> u16 {
    let ask = app.ask(FILMS).fetch().header("cookie", cookies);
    ask.send().await.status.as_u16()
}

#[actix_web::test]
async fn a_restart_keeps_sessions_and_revives_none() {
    let folder = TempDir::new().expect("a folder");
    let app = spawn_app_with(in_file(&folder)).await;
    let mut ada = Browser::new(&app);
    ada.navigate(FILMS).await;
    let kept = ada.cookie_header(HOST);
    let mut ben = Browser::new(&app);
    ben.navigate(FILMS).await;
    let ended = ben.cookie_header(HOST);
    let logout = ben
        .navigate("https://films.example.net/.portcullis/logout")
        .await;
    assert_eq!(logout.url(), "https://auth.example.net/signed-out");
    assert_eq!(
        (status(&app, &kept).await, status(&app, &ended).await),
        (200, 401)
    );

    let app = app.restart().await;
    assert_eq!(
        (status(&app, &kept).await, status(&app, &ended).await),
        (200, 401)
    );
    // An end after the restart is one too.
    let left = app
        .ask("https://films.example.net/.portcullis/logout")
        .navigation()
        .header("cookie", &kept)
        .send()
        .await;
    assert_eq!(left.status, 302);
    let app = app.restart().await;
    assert_eq!(
        (status(&app, &kept).await, status(&app, &ended).await),
        (401, 401)
    );
}

#[actix_web::test]
async fn without_their_keys_the_sessions_are_nobodys() {
    let folder = TempDir::new().expect("a folder");
    let app = spawn_app_with(in_file(&folder)).await;
    let mut ada = Browser::new(&app);
    ada.navigate(FILMS).await;
    let cookies = ada.cookie_header(HOST);
    let keys = folder.path().join("session.key");
    assert_eq!(status(&app, &cookies).await, 200);
    std::fs::remove_file(&keys).expect("they were made");
    let app = app.restart().await;
    assert_eq!(status(&app, &cookies).await, 401);
    assert!(keys.exists());
}
