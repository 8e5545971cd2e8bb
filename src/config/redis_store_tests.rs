//! A Redis as the store: URLs, and the files that go with them.

use rcgen::{CertifiedKey, generate_simple_self_signed};
use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;

use super::tests::good;
use super::*;
use crate::domain::redis_settings::RedisServers;

/// A folder with all the files that there can be.
fn folder() -> TempDir {
    let folder = TempDir::new().expect("a folder");
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["redis".into()]).expect("a certificate");
    let files = [
        ("keys", new_key().expose_secret().to_owned()),
        ("password", "hunter2\n".to_owned()),
        ("empty", String::new()),
        ("ca.pem", cert.pem()),
        ("cert.pem", cert.pem()),
        ("key.pem", signing_key.serialize_pem()),
    ];
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, private).expect("our file");
    }
    folder
}

fn with_store(url: &str) -> RawConfig {
    let mut raw = good();
    raw.session.store = Some(SecretString::from(url));
    raw.session.secret_file = Some("keys".into());
    raw
}

fn redis_of(config: Config) -> RedisSettings {
    match config.session.store {
        StoreLocation::Redis(settings) => settings,
        other => unreachable!("{other:?} is no Redis"),
    }
}

type Edit = fn(&mut RawConfig);

#[test]
#[rustfmt::skip] // the columns are the point
fn urls_are_read() {
    let folder = folder();
    let cases: [(&str, &str, Option<&str>, Option<&str>); 19] = [
        ("redis://redis",                                  "redis://redis:6379/0",      None,        None),
        ("redis://redis/",                                 "redis://redis:6379/0",      None,        None),
        ("redis://redis:6380/3",                           "redis://redis:6380/3",      None,        None),
        ("redis://portcullis_redis_1:6379/0",              "redis://portcullis_redis_1:6379/0", None, None),
        ("redis://10.0.0.1:6379/0",                        "redis://10.0.0.1:6379/0",   None,        None),
        ("redis://[2001:db8::1]:6379/0",                   "redis://[2001:db8::1]:6379/0", None,     None),
        ("rediss://redis.example.net/0",                   "rediss://redis.example.net:6379/0", None, None),
        ("redis://:pa%23ss%40@redis/0",                    "redis://redis:6379/0",      None,        Some("pa#ss@")),
        ("redis://portcullis:p%C3%A4ss@redis:6379/0",      "redis://redis:6379/0",      Some("portcullis"), Some("päss")),
        ("redis://a%3Ab:secret@redis:6379/0",              "redis://redis:6379/0",      Some("a:b"), Some("secret")),
        ("redis+unix:///run/redis/redis.sock",             "redis+unix:///run/redis/redis.sock?db=0", None, None),
        ("redis+unix:///run/redis%20/r.sock?db=2",         "redis+unix:///run/redis /r.sock?db=2", None, None),
        ("redis+sentinel://h1/mymaster",                   "redis+sentinel://h1:26379/mymaster/0", None, None),
        ("redis+sentinel://ada:hunter2@h1:26379,h2:5000/my-master.2/3", "redis+sentinel://h1:26379,h2:5000/my-master.2/3", Some("ada"), Some("hunter2")),
        ("rediss+sentinel://[2001:db8::1],[::1]:26380/m/",  "rediss+sentinel://[2001:db8::1]:26379,[::1]:26380/m/0", None, None),
        ("redis+sentinel://:p%2Css%40@h1,h2/m",            "redis+sentinel://h1:26379,h2:26379/m/0", None, Some("p,ss@")),
        ("redis+cluster://h1:6379,h2:6379",                "redis+cluster://h1:6379,h2:6379", None,  None),
        ("redis+cluster://ada:hunter2@h1,[::1]:7000/0",            "redis+cluster://h1:6379,[::1]:7000", Some("ada"), Some("hunter2")),
        ("rediss+cluster://10.0.0.1/",                     "rediss+cluster://10.0.0.1:6379", None,   None),
    ];
    for (url, shown, user, password) in cases {
        let mut raw = with_store(url);
        raw.danger_allow_inline_secrets = true;
        let config = Config::from_raw(&raw, folder.path()).expect(url);
        assert!(config.warnings.is_empty(), "{url}");
        let redis = redis_of(config);
        assert_eq!(redis.to_string(), shown, "{url}");
        assert_eq!(redis.user.as_deref(), user, "{url}");
        let credentials = redis.credentials.read().expect("credentials");
        let read = credentials.password.as_ref().map(ExposeSecret::expose_secret);
        assert_eq!(read, password, "{url}");
        assert_eq!(redis.timeout, std::time::Duration::from_secs(1));
        if let Some(password) = password {
            assert!(!format!("{redis:?}").contains(password), "{url}");
        }
    }
}

#[test]
#[rustfmt::skip] // the columns are the point
fn urls_that_mean_nothing_are_refused() {
    let folder = folder();
    let cases = [
        ("redis:",                                 "names no host"),
        ("redis://",                               "names no host"),
        ("redis:///0",                             "names no host"),
        ("redis://a,b:6379/0",                     "names no host"),
        ("redis://host%2ename/0",                  "names no host"),
        ("redis://redis:99999/0",                  "is not a URL"),
        ("redis://redis/name",                     "the number of a database"),
        ("redis://redis/0/1",                      "the number of a database"),
        ("redis://redis/-1",                       "the number of a database"),
        ("redis://redis/0?protocol=resp3",         "takes no parameters"),
        ("rediss://redis/0#insecure",              "holds a \"#\""),
        ("redis://redis:0/0",                      "port 0"),
        ("redis+unix:///run/redis/",               "names no socket"),
        ("redis+unix://host/run/redis.sock",       "names no socket"),
        ("redis+unix:redis.sock",                  "names no socket"),
        ("redis+unix:///r.sock?password=hunter2",  "the parameters \"db\" and \"user\" alone"),
        ("redis+sentinel://h1:26379,h2:26379",     "by which name the sentinels know the primary"),
        ("redis+sentinel://h1:26379/",             "by which name the sentinels know the primary"),
        ("redis+sentinel://h1/my%20master/0",      "by which name the sentinels know the primary"),
        ("redis+sentinel://h1/mymaster/zero",      "the number of a database"),
        ("redis+sentinel://h1/mymaster/0/1",       "the number of a database"),
        ("redis+sentinel:///mymaster/0",           "names no host: write redis+sentinel://h1:26379"),
        ("redis+sentinel://h1,,h2/mymaster",       "names no host"),
        ("redis+sentinel://h1,h1:26379/mymaster",  "names h1:26379 twice"),
        ("redis+sentinel://h1:99999/mymaster",     "is not a URL"),
        ("redis+sentinel://h1/m?sentinel_user=x",  "takes no parameters"),
        ("redis+sentinel://a:hunter2@h1/m",        "put it into a file and name that in session.store_password_file"),
        ("redis+cluster://",                       "names no host: write redis+cluster://h1:6379"),
        ("redis+cluster://h1,h2:0",                "port 0"),
        ("redis+cluster://h1,h2/1",                "has number 0 alone"),
        ("redis+cluster://h1,h2/mymaster",         "has number 0 alone"),
        ("redis+cluster://a:hunter2@h1",           "put it into a file and name that in session.store_password_file"),
        ("redis+clutser://h1",                     "did you mean \"redis+cluster\"?"),
        ("redsi://redis:6379/0",                   "did you mean \"redis\"?"),
        ("valkey://redis:6379/0",                  "must be \"file:"),
        ("redis://portcullis:hunter2@redis/0",     "put it into a file and name that in session.store_password_file"),
    ];
    for (url, words) in cases {
        let refused = Config::from_raw(&with_store(url), folder.path()).expect_err(url);
        let errors: Vec<String> = refused.errors().iter().map(ToString::to_string).collect();
        assert!(errors.len() == 1 && errors[0].contains(words), "{url}: {errors:?}");
        assert!(errors[0].starts_with("session.store: ") && !errors[0].contains("hunter2"), "{errors:?}");
    }
}

#[test]
#[rustfmt::skip] // the columns are the point
fn what_goes_with_a_redis_is_checked() {
    const URL: &str = "redis://redis:6379/0";
    const TLS: &str = "rediss://redis:6379/0";
    const SENTINEL: &str = "redis+sentinel://h1,h2/mymaster";
    const CLUSTER: &str = "redis+cluster://h1,h2";
    let folder = folder();
    let cases: [(&str, Edit, &str); 24] = [
        (URL, |raw| raw.session.store_grace = Some(std::time::Duration::from_secs(901)), "session.store_grace: must be 15m at most"),
        (URL, |raw| raw.session.secret_file = None,                               "session.secret_file: all that share a Redis need the same keys"),
        (URL, |raw| raw.session.secret_file = Some("to-be-made".into()),          "session.secret_file: "),
        (URL, |raw| raw.session.store_password_file = Some("empty".into()),       "session.store_password_file: "),
        (URL, |raw| raw.session.store_password_file = Some("missing".into()),     "session.store_password_file: "),
        (URL, |raw| raw.session.store_ca_file = Some("ca.pem".into()),            "session.store_ca_file: goes with rediss:// alone"),
        (URL, |raw| raw.session.store_timeout = Some(std::time::Duration::ZERO),  "session.store_timeout: must be between 50ms and 30s"),
        ("memory:", |raw| raw.session.store_timeout = Some(std::time::Duration::ZERO), "session.store_timeout: must be between 50ms and 30s"),
        (TLS, |raw| raw.session.store_ca_file = Some("keys".into()),              "session.store_ca_file: "),
        (TLS, |raw| raw.session.store_client_cert_file = Some("cert.pem".into()), "session.store_client_key_file: the key of"),
        (TLS, |raw| raw.session.store_client_key_file = Some("key.pem".into()),   "session.store_client_cert_file: the certificate of"),
        (TLS, |raw| { raw.session.store_client_cert_file = Some("cert.pem".into()); raw.session.store_client_key_file = Some("cert.pem".into()); }, "session.store_client_key_file: "),
        (TLS, |raw| { raw.session.store_client_cert_file = Some("key.pem".into()); raw.session.store_client_key_file = Some("key.pem".into()); }, "session.store_client_cert_file: "),
        ("redis://portcullis@redis:6379/0", |_| (),                               "session.store_password_file: session.store names a user"),
        ("redis://:hunter2@redis/0", |raw| { raw.danger_allow_inline_secrets = true; raw.session.store_password_file = Some("password".into()); }, "session.store_password_file: the password is given twice"),
        ("memory:", |raw| raw.session.store_password_file = Some("password".into()), "session.store_password_file: goes with a redis:// or rediss:// store alone"),
        ("memory:", |raw| raw.session.store_ca_file = Some("ca.pem".into()),      "session.store_ca_file: goes with a redis:// or rediss:// store alone"),
        ("memory:", |raw| raw.session.store_sentinel_user = Some("ada".into()),   "session.store_sentinel_user: goes with a redis:// or rediss:// store alone"),
        (URL, |raw| raw.session.store_sentinel_password_file = Some("password".into()), "session.store_sentinel_password_file: goes with redis+sentinel:// or rediss+sentinel:// alone"),
        (CLUSTER, |raw| raw.session.store_sentinel_user = Some("ada".into()),     "session.store_sentinel_user: goes with redis+sentinel:// or"),
        (CLUSTER, |raw| raw.session.store_ca_file = Some("ca.pem".into()),        "session.store_ca_file: goes with rediss:// alone"),
        (SENTINEL, |raw| raw.session.store_sentinel_user = Some("ada".into()),    "session.store_sentinel_password_file: session.store_sentinel_user needs a password"),
        (SENTINEL, |raw| raw.session.store_sentinel_password_file = Some("empty".into()), "session.store_sentinel_password_file: "),
        (SENTINEL, |raw| raw.session.secret_file = None,                          "session.secret_file: all that share a Redis need the same keys"),
    ];
    for (url, edit, words) in cases {
        let mut raw = with_store(url);
        edit(&mut raw);
        let refused = Config::from_raw(&raw, folder.path()).expect_err(words);
        let errors: Vec<String> = refused.errors().iter().map(ToString::to_string).collect();
        assert!(errors.len() == 1 && errors[0].starts_with(words), "{words}: {errors:?}");
    }
}

#[test]
fn sentinels_have_credentials_of_their_own() {
    let folder = folder();
    let mut raw = with_store("rediss+sentinel://portcullis@h1,h2/mymaster");
    raw.session.store_password_file = Some("password".into());
    raw.session.store_sentinel_user = Some("watcher".into());
    raw.session.store_sentinel_password_file = Some("sentinel".into());
    std::fs::write(folder.path().join("sentinel"), "hunter4\n").expect("a file");
    let redis = redis_of(Config::from_raw(&raw, folder.path()).expect("a good configuration"));
    let RedisServers::Sentinel { primary, user, .. } = &redis.servers else {
        unreachable!("{redis:?} has no sentinels");
    };
    assert_eq!((&**primary, user.as_deref()), ("mymaster", Some("watcher")));
    assert_eq!(
        (redis.user.as_deref(), redis.tls),
        (Some("portcullis"), true)
    );
    let shown = redis.credentials.read().expect("credentials");
    let passwords = [shown.password, shown.sentinel_password].map(|password| {
        let password = password.expect("a password");
        password.expose_secret().to_owned()
    });
    assert_eq!(passwords, ["hunter2", "hunter4"]);
}

/// What stands in the files is read when it is asked for, not kept from the start.
#[test]
fn credentials_follow_their_files() {
    let folder = folder();
    let mut raw = with_store("rediss://portcullis@redis:6379/0");
    raw.session.store_password_file = Some("password".into());
    raw.session.store_ca_file = Some("ca.pem".into());
    raw.session.store_client_cert_file = Some("cert.pem".into());
    raw.session.store_client_key_file = Some("key.pem".into());
    let config = Config::from_raw(&raw, folder.path()).expect("a good configuration");
    let redis = redis_of(config);
    let read = || redis.credentials.read();
    let password = || {
        let password = read().expect("credentials").password;
        password.map(|password| password.expose_secret().to_owned())
    };
    assert_eq!(password().as_deref(), Some("hunter2"));
    let shown = read().expect("credentials");
    assert!(shown.roots.is_some() && shown.client.is_some());
    assert!(!format!("{shown:?}").contains("hunter2"));
    std::fs::write(folder.path().join("password"), "hunter3\n").expect("a file");
    assert_eq!(password().as_deref(), Some("hunter3"));
    std::fs::remove_file(folder.path().join("password")).expect("a file");
    assert!(read().expect_err("no file").contains("password"));
}
