//! A disk that takes nothing more: nobody is let in or out by halves, whoever is signed in stays so, and all is
//! well again soon after there is room, without a restart.
//!
//! Each test runs itself once more as a process of its own, on whose writes a limit lies.

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis::clock::SystemClock;
use portcullis::store::embedded::EmbeddedStore;
use portcullis::store::{RecordKey, Store, StoreError};
use rustix::process::{Resource, Rlimit, geteuid, getrlimit, setrlimit};
use secrecy::SecretString;
use tempfile::TempDir;

use crate::support::app::spawn_app_with;
use crate::support::browser::Browser;

/// Tells a test that it is the one on whose writes the limit lies, and where to write.
const FOLDER: &str = "PORTCULLIS_TEST_FULL_DISK";
const FILMS: &str = "https://films.example.net/";
const RECOVERY: Duration = Duration::from_secs(5);
const HOUR: Duration = Duration::from_secs(3_600);

/// Runs `test` of this file once more, by way of a shell that first does what `prepare` says.
fn again(test: &str, folder: &Path, shell: &[&str], prepare: &str) -> Output {
    let script = format!("{prepare}; exec \"$@\"");
    let (program, arguments) = shell.split_first().expect("a shell");
    Command::new(program)
        .args(arguments)
        .args(["sh", "-ec", &script, "sh"])
        .arg(env::current_exe().expect("this test"))
        .args(["--exact", &format!("full_disk::{test}"), "--nocapture"])
        .env(FOLDER, folder)
        .output()
        .expect("a shell")
}

fn assert_passed(output: &Output) {
    let said = String::from_utf8_lossy(&output.stdout);
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{wrong}");
    assert!(said.contains("1 passed"), "{said}");
}

/// The limit is on the size of files: at nothing, every write fails.
fn limit_files(limit: Option<u64>) {
    let hard = getrlimit(Resource::Fsize);
    let limit = Rlimit {
        current: limit.or(hard.maximum),
        maximum: hard.maximum,
    };
    setrlimit(Resource::Fsize, limit).expect("the soft limit is ours");
}

#[actix_web::test]
async fn nobody_gets_in_or_out_while_nothing_can_be_written() {
    if let Some(folder) = env::var_os(FOLDER) {
        return nothing_can_be_written(Path::new(&folder)).await;
    }
    let folder = TempDir::new().expect("a folder");
    // Whoever ignores the signal is told by the write.
    assert_passed(&again(
        "nobody_gets_in_or_out_while_nothing_can_be_written",
        folder.path(),
        &["env"],
        "trap '' XFSZ",
    ));
}

async fn nothing_can_be_written(folder: &Path) {
    let store = format!("file:{}/portcullis.redb", folder.display());
    let app = spawn_app_with(|raw| raw.session.store = Some(SecretString::from(store))).await;
    let mut ada = Browser::new(&app);
    ada.navigate(FILMS).await;
    assert_eq!(ada.ask(FILMS).send().await.status, 200);

    limit_files(Some(0));
    let mut ben = Browser::new(&app);
    let refused = ben.navigate(FILMS).await.end;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("content-type"), "text/html; charset=utf-8");
    assert!(!refused.header("retry-after").is_empty());
    assert!(!refused.body.contains("os error"), "{}", refused.body);
    assert_eq!(ben.ask(FILMS).fetch().send().await.status, 401);
    let logout = "https://films.example.net/.portcullis/logout";
    for _ in 0..3 {
        let refused = ada.navigate(logout).await.end;
        assert_eq!(refused.status, 503);
        assert!(!refused.body.contains("You are signed out"));
        assert_eq!(ada.ask(FILMS).send().await.status, 200);
    }
    assert_eq!(app.health("ready").await.status, 200);

    limit_files(None);
    let start = Instant::now();
    loop {
        let visit = ben.navigate(FILMS).await;
        if visit.end.status == 200 {
            break;
        }
        assert!(start.elapsed() < RECOVERY, "{visit:?}");
        // Logins are limited in number.
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    assert_eq!(ben.ask(FILMS).send().await.status, 200);
    assert_eq!(ada.navigate(logout).await.end.status, 200);
    assert_eq!(ada.ask(FILMS).fetch().send().await.status, 401);
}

/// Where mounting is not allowed, not even in a name space of our own, there is no small disk to fill; the test
/// above then stands alone.
#[actix_web::test]
async fn what_a_full_disk_took_it_keeps() {
    if let Some(folder) = env::var_os(FOLDER) {
        return fill_the_disk(Path::new(&folder)).await;
    }
    let folder = TempDir::new().expect("a folder");
    let mut shell = vec!["unshare", "--mount"];
    if !geteuid().is_root() {
        shell.push("--map-root-user");
    }
    shell.push("--");
    let mount = format!(
        "mount -t tmpfs -o size=6m tmpfs '{}'",
        folder.path().display()
    );
    let may_mount = Command::new(shell[0])
        .args(&shell[1..])
        .args(["sh", "-ec", &mount])
        .output();
    if !may_mount.is_ok_and(|output| output.status.success()) {
        return;
    }
    assert_passed(&again(
        "what_a_full_disk_took_it_keeps",
        folder.path(),
        &shell,
        &mount,
    ));
}

async fn fill_the_disk(folder: &Path) {
    let filler = folder.join("filler");
    fs::write(&filler, vec![1; 3 << 20]).expect("room for it");
    let path = folder.join("portcullis.redb");
    let store = EmbeddedStore::open(&path, Arc::new(SystemClock)).expect("a store");
    let key = |number: u32| RecordKey::new("test", &number.to_string());
    let mut made = 0;
    let refused = loop {
        match store.create(&key(made), &[7; 10_000], HOUR).await {
            Ok(is_made) => assert!(is_made, "nobody else writes"),
            Err(error) => break error,
        }
        made += 1;
    };
    let full = StoreError::Refused("No space left on device (os error 28)".into());
    assert_eq!(refused, full, "after {made}");
    assert!(made > 10, "{made}");
    let all_there = async || {
        for number in 0..made {
            assert!(store.get(&key(number)).await.expect("an answer").is_some());
        }
    };
    all_there().await;

    fs::remove_file(&filler).expect("it is there");
    let start = Instant::now();
    while store.create(&key(made), b"", HOUR).await != Ok(true) {
        assert!(start.elapsed() < RECOVERY);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    all_there().await;
    store.close().await;
    let again = EmbeddedStore::open(&path, Arc::new(SystemClock)).expect("a store");
    for number in 0..=made {
        let found = again.get(&key(number)).await.expect("an answer");
        assert!(found.is_some(), "{number}");
    }
}
