//! TLS towards Redis: whom we believe, and what we show.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls_platform_verifier::BuilderVerifierExt;
use secrecy::ExposeSecret;

use crate::domain::redis_settings::RedisCredentials;

/// How to talk TLS. Certificates of our own choice are the only ones that count where there are any; the
/// system's are not even looked at then.
pub(super) fn client_config(credentials: &RedisCredentials) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match &credentials.roots {
        Some(pem) => builder.with_root_certificates(roots(pem)?),
        None => builder
            .with_platform_verifier()
            .map_err(|error| format!("the system's certificates cannot be used: {error}"))?,
    };
    let Some(client) = &credentials.client else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates(&client.chain)
        .ok_or("session.store_client_cert_file holds no certificates in PEM form")?;
    let key = PrivateKeyDer::from_pem_slice(client.key.expose_secret())
        // The error might show a piece of the key.
        .map_err(|_| "session.store_client_key_file holds no private key in PEM form")?;
    builder.with_client_auth_cert(chain, key).map_err(|error| {
        format!("the client certificate and its key cannot be used together: {error}")
    })
}

fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    const UNFIT: &str = "session.store_ca_file holds no certificates in PEM form";
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem).ok_or(UNFIT)? {
        roots
            .add(certificate)
            .map_err(|error| format!("session.store_ca_file cannot be used: {error}"))?;
    }
    Ok(roots)
}

/// At least one, and nothing that is none.
fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    found.ok().filter(|found| !found.is_empty())
}
