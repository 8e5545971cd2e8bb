//! Keys and secrets that are replaced while the service runs.

use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::trial::{Ends, Trial};
use crate::support::front::Fault;
use crate::support::issuer::{CLIENT_SECRET, Endpoint};
use crate::support::log;
use Ends::{Refused, SignedIn, Unavailable};

#[actix_web::test]
async fn a_hard_rotation_costs_one_fetch() {
    let trial = Trial::start();
    let fetched = || trial.app.issuer.requests(Endpoint::Jwks);
    trial.expect("before", SignedIn).await;
    assert_eq!(fetched(), 1);
    trial.app.issuer.rotate_keys(2);
    trial.expect("after", SignedIn).await;
    trial.expect("and again", SignedIn).await;
    assert_eq!(fetched(), 2);
}

/// While no keys can be had, those from before are believed, and a new one is not.
#[actix_web::test]
async fn a_rotation_while_the_keys_cannot_be_had_is_an_outage_for_new_keys_alone() {
    let trial = Trial::start();
    trial.expect("before", SignedIn).await;
    trial.front.spoil("/jwks", Fault::Reset);
    trial.expect("an old key", SignedIn).await;
    trial.app.issuer.rotate_keys(2);
    trial
        .expect("a new key", Unavailable("provider_unreachable"))
        .await;
    let told = log::with("issuer", trial.front.url());
    let told = told
        .iter()
        .any(|line| line.to_string().contains("those from before are used"));
    assert!(told, "{}", log::text());
    let ready = trial.app.health("ready").await;
    assert_eq!(ready.json()["provider"], "up");
    // The metadata are there, so logins may begin; the old key still counts.
    trial.app.issuer.rotate_back();
    trial.expect("the old key again", SignedIn).await;
    trial.app.issuer.rotate_keys(3);
    trial.front.heal();
    trial.expect("new keys can be had", SignedIn).await;
}

/// The file is what counts: the watcher looks at it every few seconds.
#[actix_web::test]
async fn a_secret_that_is_replaced_in_its_file_needs_no_restart() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("client_secret");
    std::fs::write(&file, CLIENT_SECRET).expect("a written file");
    let path = file.clone();
    let trial = Trial::start_with(|raw| {
        raw.oidc.client_secret = None;
        raw.oidc.client_secret_file = Some(path);
    });
    trial.expect("before", SignedIn).await;
    trial.app.issuer.change_secret("another one");
    trial
        .expect("not yet in the file", Refused("client_refused"))
        .await;
    std::fs::write(&file, "another one\n").expect("a written file");
    let changed = Instant::now();
    while !log::text().contains(&*file.to_string_lossy()) {
        assert!(
            changed.elapsed() < Duration::from_secs(15),
            "the file is not read again"
        );
        actix_web::rt::time::sleep(Duration::from_millis(50)).await;
    }
    trial.expect("in the file", SignedIn).await;
}
