//! Where sessions are kept, and the keys beside them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use secrecy::SecretString;
use tempfile::TempDir;

use super::tests::good;
use super::*;

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

/// What comes of `session.store`, read beside the files of `folder`.
fn read(folder: &Path, store: &str) -> Config {
    let mut raw = good();
    raw.session.store = Some(SecretString::from(store));
    Config::from_raw(&raw, folder).expect("a good configuration")
}

#[test]
fn a_file_is_named_from_the_root_or_from_the_configuration() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("portcullis.redb");
    for written in [
        "file:portcullis.redb".to_owned(),
        format!("file:{}", file.display()),
        format!("file://{}", file.display()),
    ] {
        let session = read(folder.path(), &written).session;
        assert_eq!(
            session.store,
            StoreLocation::File(file.clone()),
            "{written}"
        );
    }
    // Nothing is decoded, and nothing is made.
    let session = read(folder.path(), "file:a%20b c").session;
    let odd = folder.path().join("a%20b c");
    assert_eq!(session.store, StoreLocation::File(odd));
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

#[test]
fn a_link_that_leads_nowhere_is_an_error() {
    let folder = TempDir::new().expect("a folder");
    let link = folder.path().join("portcullis.redb");
    std::os::unix::fs::symlink(folder.path().join("unmounted/store"), &link).expect("a link");
    let mut raw = good();
    raw.session.store = Some(SecretString::from("file:portcullis.redb"));
    let problems = Config::from_raw(&raw, folder.path()).expect_err("no store");
    let said = problems.errors()[0].to_string();
    let expected = format!(
        "session.store: {} is a link that leads nowhere",
        link.display()
    );
    assert!(said.starts_with(&expected), "{said}");
    raw.session.store = Some(SecretString::from("file:other"));
    raw.session.secret_file = Some("".into());
    let problems = Config::from_raw(&raw, Path::new("")).expect_err("no file");
    let said = problems.errors()[0].to_string();
    assert_eq!(said, "session.secret_file: names no file");
}

#[test]
fn without_a_word_it_is_the_file_of_the_system() {
    let mut raw = good();
    raw.session.store = None;
    // The folder is there where the service is installed.
    match Config::from_raw(&raw, Path::new("/nowhere")) {
        Ok(config) => {
            let file = PathBuf::from("/var/lib/portcullis/portcullis.redb");
            assert_eq!(config.session.store, StoreLocation::File(file));
        }
        Err(problems) => {
            let said = problems.errors()[0].to_string();
            let expected = "session.store: /var/lib/portcullis/portcullis.redb ";
            assert!(said.starts_with(expected), "{said}");
        }
    }
}

#[test]
fn keys_live_as_long_as_what_they_seal() {
    let folder = TempDir::new().expect("a folder");
    let keys = folder.path().join("session.key");
    let made = |session: SessionSettings| match session.secret {
        SessionSecret::ToBeMade(path) => Some(path),
        SessionSecret::Keys(_) | SessionSecret::Ephemeral => None,
    };
    let session = read(folder.path(), "file:portcullis.redb").session;
    assert_eq!(made(session), Some(keys.clone()));
    let session = read(folder.path(), "memory:").session;
    assert!(matches!(session.secret, SessionSecret::Ephemeral));
    fs::write(&keys, KEY).expect("a written file");
    fs::set_permissions(&keys, PermissionsExt::from_mode(0o600)).expect("a changed mode");
    let session = read(folder.path(), "file:portcullis.redb").session;
    assert!(matches!(session.secret, SessionSecret::Keys(keys) if keys.len() == 1));
    // What is named comes first.
    let mut raw = good();
    raw.session.store = Some("file:portcullis.redb".into());
    raw.session.secret_file = Some("others".into());
    let session = Config::from_raw(&raw, folder.path()).expect("a good configuration");
    assert_eq!(made(session.session), Some(folder.path().join("others")));
}

#[test]
fn a_file_that_others_may_change_is_warned_about() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("portcullis.redb");
    fs::write(&file, "").expect("a written file");
    let warned = |mode| {
        fs::set_permissions(&file, PermissionsExt::from_mode(mode)).expect("a changed mode");
        let config = read(folder.path(), "file:portcullis.redb");
        let warnings = config.warnings.iter().map(ToString::to_string);
        warnings.collect::<Vec<_>>()
    };
    assert_eq!(warned(0o600), Vec::<String>::new());
    let expected = format!(
        "session.store: every user of this machine may read or change {0}: `chmod o-rwx {0}`",
        file.display()
    );
    assert_eq!(warned(0o604), [expected]);
}

#[test]
fn a_grace_is_of_no_use_where_nobody_else_writes() {
    let warned = |grace: Option<std::time::Duration>| {
        let mut raw = good();
        raw.session.store_grace = grace;
        let config = Config::from_raw(&raw, Path::new("/nowhere")).expect("a good configuration");
        config
            .warnings
            .iter()
            .any(|warning| warning.path == "session.store_grace")
    };
    assert!(!warned(None) && warned(Some(std::time::Duration::from_secs(60))));
}
