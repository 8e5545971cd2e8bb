//! TLS: own roots, certificates on both sides.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use secrecy::SecretSlice;

use super::redis_forms::Tls;
use super::*;
use crate::domain::redis_settings::ClientCertificate;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new(Vec::new()).expect("names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    let key = KeyPair::generate().expect("a key");
    CertifiedIssuer::self_signed(params, key).expect("a certificate")
}

/// A certificate and its key, both as PEM.
fn certified(by: &Authority, name: &str) -> (String, String) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec![name.to_owned()]).expect("names");
    let certificate = params.signed_by(&key, by).expect("a certificate");
    (certificate.pem(), key.serialize_pem())
}

/// A server at 127.0.0.1 that wants to see certificates of the same authority.
fn server(authority: &Authority) -> RedisServer {
    let (certificate, key) = certified(authority, "127.0.0.1");
    RedisServer::start_with(|folder, port| {
        let file = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).expect("a file");
            path.display().to_string()
        };
        let (port, ca) = (port.to_string(), file("ca.pem", &authority.pem()));
        let (certificate, key) = (file("cert.pem", &certificate), file("key.pem", &key));
        let arguments = [
            ("--port", "0"),
            ("--tls-port", &port),
            ("--tls-ca-cert-file", &ca),
            ("--tls-cert-file", &certificate),
            ("--tls-key-file", &key),
            ("--tls-auth-clients", "yes"),
        ];
        let words = arguments.map(|(name, value)| [name.to_owned(), value.to_owned()]);
        words.concat()
    })
}

/// Servers and sentinels that talk TLS and want passwords, and what to show them. The files go with the folder.
pub(super) fn kind() -> (Kind, Arc<Shown>, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let ours = authority("ours");
    let (certificate, key) = certified(&ours, "127.0.0.1");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    };
    let kind = Kind {
        tls: Some(Tls {
            authority: file("ca.pem", &ours.pem()),
            certificate: file("cert.pem", &certificate),
            key: file("key.pem", &key),
        }),
        password: Some("that-of-the-servers"),
        sentinel_password: Some("that-of-the-sentinels"),
        ..Kind::default()
    };
    let shown = Shown::new(credentials(&ours, Some(certified(&ours, "portcullis"))));
    shown.change("that-of-the-servers");
    shown.change_sentinels("that-of-the-sentinels");
    (kind, shown, folder)
}

fn over_tls(server: &RedisServer, host: &str, credentials: RedisCredentials) -> RedisSettings {
    RedisSettings {
        servers: RedisServers::One(RedisAddress::Tcp {
            host: host.into(),
            port: server.port,
        }),
        tls: true,
        credentials: Shown::new(credentials),
        ..settings(server.port)
    }
}

fn credentials(roots: &Authority, client: Option<(String, String)>) -> RedisCredentials {
    RedisCredentials {
        roots: Some(roots.pem().into_bytes()),
        client: client.map(|(chain, key)| ClientCertificate {
            chain: chain.into_bytes(),
            key: SecretSlice::from(key.into_bytes()),
        }),
        ..RedisCredentials::default()
    }
}

#[tokio::test]
async fn certificates_on_both_sides_are_checked() {
    let (ours, theirs) = (authority("ours"), authority("theirs"));
    let server = server(&ours);
    let shown = || Some(certified(&ours, "portcullis"));
    let store = open(over_tls(&server, "127.0.0.1", credentials(&ours, shown())));
    contract::holds(&store, &server).await;
    let refusals = [
        (
            "another authority",
            "127.0.0.1",
            credentials(&theirs, shown()),
        ),
        ("another name", "localhost", credentials(&ours, shown())),
        (
            "the system's authorities",
            "127.0.0.1",
            RedisCredentials {
                roots: None,
                ..credentials(&ours, shown())
            },
        ),
        (
            "no certificate of ours",
            "127.0.0.1",
            credentials(&ours, None),
        ),
        (
            "a certificate of somebody else",
            "127.0.0.1",
            credentials(&ours, Some(certified(&theirs, "portcullis"))),
        ),
    ];
    for (what, host, credentials) in refusals {
        let store = open(over_tls(&server, host, credentials));
        let error = store.ping().await.expect_err(what);
        assert!(
            !error.to_string().contains("PRIVATE KEY"),
            "{what}: {error}"
        );
    }
}

#[tokio::test]
async fn plain_text_and_tls_do_not_meet() {
    let ours = authority("ours");
    let tls = server(&ours);
    let error = open(settings(tls.port)).ping().await;
    assert!(error.is_err());
    let plain = RedisServer::start();
    let store = open(over_tls(&plain, "127.0.0.1", credentials(&ours, None)));
    let error = store.ping().await.expect_err("no TLS");
    assert!(error.to_string().contains("TLS"), "{error}");
}

/// What can be known at the start is an error at the start.
#[tokio::test]
async fn unfit_certificates_stop_the_start() {
    let ours = authority("ours");
    let (certificate, key) = certified(&ours, "portcullis");
    let (_, other_key) = certified(&ours, "portcullis");
    let garbage = || "-----BEGIN NOTHING-----".to_owned();
    let unfit = [
        credentials(&ours, Some((certificate.clone(), other_key))),
        credentials(&ours, Some((certificate.clone(), garbage()))),
        credentials(&ours, Some((garbage(), key.clone()))),
        RedisCredentials {
            roots: Some(garbage().into_bytes()),
            ..RedisCredentials::default()
        },
    ];
    for credentials in unfit {
        let settings = RedisSettings {
            tls: true,
            credentials: Shown::new(credentials),
            ..settings(1)
        };
        let refused = RedisStore::open(settings).err().expect("unfit");
        assert!(!refused.contains("PRIVATE"), "{refused}");
    }
}
