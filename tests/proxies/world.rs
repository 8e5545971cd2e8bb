//! What all columns share and none changes: the provider, the authority that signs what the proxies show, and folders.

use std::path::PathBuf;
use std::sync::OnceLock;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tempfile::TempDir;

use crate::column::COLUMNS;
use crate::kit::caddy::Caddy;
use crate::kit::provider::{Provider, USUAL};
use crate::kit::{Failure, Result, folder, ports};
use crate::rules::{ISSUER, NAMES, PORTAL};

pub struct World {
    pub provider: Provider,
    pub issuer: String,
    /// The authority's certificate.
    pub root: Vec<u8>,
    pub root_file: PathBuf,
    /// Certificate chain and key for every name here.
    pub certificate: (PathBuf, PathBuf),
    /// Where each proxy listens, in the order of the columns.
    pub https_ports: Vec<u16>,
    folder: TempDir,
    _caddy: Caddy,
}

impl World {
    /// The one of this run; started by whoever asks first.
    ///
    /// # Errors
    ///
    /// When a part does not start, with what it said.
    pub fn get() -> Result<&'static Self> {
        static WORLD: OnceLock<std::result::Result<World, String>> = OnceLock::new();
        let world = WORLD.get_or_init(|| {
            let runtime = tokio::runtime::Runtime::new().map_err(|cause| cause.to_string())?;
            runtime
                .block_on(Self::start())
                .map_err(|cause| cause.to_string())
        });
        world.as_ref().map_err(Failure::new)
    }

    async fn start() -> Result<Self> {
        let parent = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let folder = folder::temporary(&parent, "proxies-")?;
        let signed = Signed::new().map_err(Failure::of("certificate"))?;
        let file = |name: &str, text: &str| {
            let file = folder.path().join(name);
            std::fs::write(&file, text).map_err(Failure::of(file.display()))?;
            Ok(file)
        };
        let root_file = file("root.pem", &signed.root)?;
        let certificate = (
            file("chain.pem", &signed.chain)?,
            file("key.pem", &signed.key)?,
        );
        let (port, provider_port) = (ports::free(), ports::free());
        let issuer = format!("https://{ISSUER}:{port}");
        let https_ports: Vec<u16> = COLUMNS.iter().map(|_| ports::free()).collect();
        let portals: Vec<String> = https_ports
            .iter()
            .map(|port| format!("https://{PORTAL}:{port}"))
            .collect();
        let mut provider =
            Provider::start_on(provider_port, folder.path(), &issuer, &portals, USUAL)?;
        let (chain, key) = &certificate;
        let site = format!(
            "{ISSUER} {{\n\ttls {} {}\n\treverse_proxy 127.0.0.1:{provider_port}\n}}\n",
            chain.display(),
            key.display()
        );
        let caddy = Caddy::start(folder.path(), port, &site).await?;
        let root = signed.root.into_bytes();
        provider.metadata(&root).await?;
        Ok(Self {
            provider,
            issuer,
            root,
            root_file,
            certificate,
            https_ports,
            folder,
            _caddy: caddy,
        })
    }

    /// A folder of a column's own.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(&folder).map_err(Failure::of(folder.display()))?;
        Ok(folder)
    }
}

/// PEM.
struct Signed {
    root: String,
    chain: String,
    key: String,
}

impl Signed {
    fn new() -> std::result::Result<Self, rcgen::Error> {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        authority
            .distinguished_name
            .push(DnType::CommonName, "authority of the tests");
        let key = KeyPair::generate()?;
        let root = authority.self_signed(&key)?.pem();
        let authority = Issuer::new(authority, key);
        let key = KeyPair::generate()?;
        let names: Vec<String> = NAMES.iter().map(ToString::to_string).collect();
        let own = CertificateParams::new(names)?.signed_by(&key, &authority)?;
        Ok(Self {
            root,
            chain: own.pem(),
            key: key.serialize_pem(),
        })
    }
}
