//! Secrets that follow their files, as a configuration names them.

use super::pattern_tests::upstream;
use super::tests::{films, good, rule};
use super::*;

/// Files are watched, each under the key that names it; what stands in the configuration itself is not.
#[test]
fn secrets_from_files_are_watched() {
    let folder = tempfile::TempDir::new().expect("a folder");
    for (name, text) in [
        ("key", "hunter2\n"),
        ("password", "hünter3"),
        ("hook", "hunter4"),
    ] {
        std::fs::write(folder.path().join(name), text).expect("a written file");
    }
    let mut raw = good();
    raw.danger_allow_inline_secrets = true;
    let credential = |name: &str| RawUpstreamHeader {
        token: None,
        ..upstream(name)
    };
    films(&mut raw).upstream_headers = vec![
        RawUpstreamHeader {
            value_file: Some("key".into()),
            ..credential("X-Key")
        },
        RawUpstreamHeader {
            username: Some("ada".into()),
            password_file: Some("password".into()),
            ..credential("Authorization")
        },
        RawUpstreamHeader {
            value: Some("hunter5".into()),
            ..credential("X-Other-Key")
        },
    ];
    rule(&mut raw).requires_header = Some(RawRequiredHeader {
        name: Some("X-Hook-Key".into()),
        value_file: Some("hook".into()),
        value: None,
    });
    let config = Config::from_raw(&raw, folder.path()).expect("a good configuration");
    let mut watched: Vec<(&str, String)> = config
        .watched
        .iter()
        .map(|watched| (watched.key.as_str(), watched.secret.with(str::to_owned)))
        .collect();
    watched.sort();
    let expected = [
        (
            "services.films.rules[0].requires_header.value_file",
            "hunter4",
        ),
        ("services.films.upstream_headers[0].value_file", "hunter2"),
        (
            "services.films.upstream_headers[1].password_file",
            "hünter3",
        ),
    ];
    assert_eq!(
        watched,
        expected.map(|(key, value)| (key, value.to_owned()))
    );
    assert!(
        !format!("{config:?} {raw:?}").contains("nter"),
        "no secret is printed"
    );

    let header = config.services.services()[0].rules[0].header.as_ref();
    assert_eq!(
        header.map(|header| header.name.as_str()),
        Some("x-hook-key")
    );
    // A new value reaches whoever holds the old one.
    for watched in &config.watched {
        watched.secret.replace("changed".into());
    }
    let value = header.and_then(|header| header.value.as_ref());
    let value = value.expect("a value").with(str::to_owned);
    assert_eq!(value, "changed");
}

#[test]
fn a_secret_file_that_no_header_can_carry_is_refused_without_being_shown() {
    let folder = tempfile::TempDir::new().expect("a folder");
    std::fs::write(folder.path().join("key"), "hünter2").expect("a written file");
    let mut raw = good();
    films(&mut raw).upstream_headers = vec![RawUpstreamHeader {
        token: None,
        value_file: Some("key".into()),
        ..upstream("X-Key")
    }];
    let problems = Config::from_raw(&raw, folder.path()).expect_err("a bad secret");
    let expected = format!(
        "services.films.upstream_headers[0].value_file: {}/key holds something that no header can carry: \
         only visible ASCII can be sent",
        folder.path().display()
    );
    assert_eq!(problems.to_string(), expected);
}
