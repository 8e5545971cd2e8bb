//! TLS with certificates made here: what is not the provider's is never spoken to, and the log says why.

use std::time::Duration;

use portcullis::config::RawConfig;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;

use super::trial::{Ends, Trial};
use crate::support::front::Front;
use crate::support::log;
use Ends::{SignedIn, Unavailable};

/// Resolves to loopback, as every name below `localhost` does.
const HOST: &str = "id.localhost";

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().expect("a key");
    CertifiedIssuer::self_signed(params, key).expect("a certificate")
}

/// A server with a certificate of `authority` for `host`, which is good until `year`.
fn server(authority: &Authority, host: &str, year: i32) -> ServerConfig {
    portcullis::oidc::install_crypto_provider();
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new([host.to_owned()]).expect("a name");
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(year, 1, 1);
    let certificate = params.signed_by(&key, authority).expect("a certificate");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("a server's certificate")
}

/// Trusts `authority` beside the system's.
fn trusting(folder: &TempDir, authority: &Authority) -> impl FnOnce(&mut RawConfig) {
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, authority.pem()).expect("a written file");
    move |raw| raw.oidc.ca_file = Some(file)
}

#[actix_web::test]
async fn only_the_providers_own_certificate_is_accepted() {
    let ours = authority("ours");
    let stranger = authority("a stranger");
    #[rustfmt::skip] // the columns are the point
    let cases = [
        // name,        signed by, for,                until, trusted, ends,                              the log says
        ("good",        &ours,     HOST,               2090,  true,    SignedIn,                            ""),
        ("not trusted", &ours,     HOST,               2090,  false,   Unavailable("provider_unreachable"), "UnknownIssuer"),
        ("a stranger",  &stranger, HOST,               2090,  true,    Unavailable("provider_unreachable"), "UnknownIssuer"),
        ("expired",     &ours,     HOST,               2021,  true,    Unavailable("provider_unreachable"), "expired"),
        ("wrong name",  &ours,     "id.example.net",   2090,  true,    Unavailable("provider_unreachable"), "not valid for name"),
    ];
    let folder = TempDir::new().expect("a folder");
    for (name, signer, host, year, trusted, ends, reason) in cases {
        let front = Front::start_tls(server(signer, host, year), HOST);
        let issuer = front.url().to_owned();
        let trust = trusting(&folder, &ours);
        let trial = Trial::start_behind(front, |raw| {
            if trusted {
                trust(raw);
            }
        });
        trial.expect(name, ends).await;
        let told = log::with("issuer", &issuer);
        let told = told.iter().any(|line| line.to_string().contains(reason));
        assert!(told, "{name}: {reason} is not in {}", log::text());
    }
}

/// The name leads elsewhere, and nobody has to restart anything (here from IPv4 to IPv6).
#[actix_web::test]
async fn a_provider_that_moves_to_another_address_is_found() {
    let front = Front::start_at("127.0.0.1:0", HOST);
    let port = front.port();
    let mut trial = Trial::start_behind(front, |_| {});
    trial.expect("before", SignedIn).await;
    let moved = Front::start_at(&format!("[::1]:{port}"), HOST);
    moved.lead_to(trial.front.leads_to());
    trial.front = moved;
    actix_web::rt::time::sleep(Duration::from_millis(50)).await;
    trial.expect("after", SignedIn).await;
}

/// A name that nobody knows (RFC 6761 §6.4).
#[actix_web::test]
async fn a_name_that_does_not_resolve_is_an_outage() {
    let trial = Trial::start_with(|raw| raw.oidc.issuer = Some("https://id.invalid".into()));
    let name = "no such name";
    // How long the system's resolver takes to say so is not for us to choose.
    let page = trial.first_page().await;
    assert_eq!(page.status, 503, "{name}: {}", page.body);
    let told = log::with("client", &trial.app.from);
    let codes = [
        "provider_unreachable",
        "provider_not_yet_known",
        "provider_timeout",
    ];
    assert!(
        told.iter()
            .any(|line| codes.iter().any(|code| line["code"] == *code)),
        "{told:?}"
    );
}
