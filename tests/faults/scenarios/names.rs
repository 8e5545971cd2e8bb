//! The names of what we depend on: they fail, or come to mean another address. And certificates that are not for them.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::kit::browser::install_crypto;
use crate::kit::fault::Endpoint;
use crate::kit::fault_proxy::FaultProxy;
use crate::kit::redis_server::RedisServer;
use crate::kit::{Failure, Result, ports};
use crate::launch;
use crate::provider::{Own, expect_page};
use crate::scenarios::Outcome;
use crate::seen::Expect;
use crate::service::Plan;
use crate::stage::{DECISION_LIMIT, MARGIN, NOTICE_LIMIT, RECOVERY_LIMIT, Stage};
use crate::world::ISSUER_HOST;

const NOT_AVAILABLE: &str = "Sign-in is not available";
const REDIS: &str = "redis.faults.test";
/// Not below `localhost`, which is this machine whatever anybody says.
const PROVIDER: &str = "id.faults.test";
const FIRST: [u8; 4] = [127, 0, 0, 1];
const SECOND: [u8; 4] = [127, 0, 0, 2];

/// The service's own `/etc/hosts`, which it alone sees.
struct Hosts(PathBuf);

impl Hosts {
    fn say(&self, address: Option<[u8; 4]>) -> Result<()> {
        let text = address.map_or_else(String::new, |[a, b, c, d]| {
            format!("{a}.{b}.{c}.{d} {REDIS} {PROVIDER}\n")
        });
        // In place: it is this file that the service sees, not whatever has its name.
        fs::write(&self.0, text).map_err(Failure::of(self.0.display()))
    }
}

/// A launcher for a service with these hosts and no other way to look a name up.
fn launcher(hosts: &Path, folder: &Path) -> Result<Option<Vec<String>>> {
    let switch = folder.join("nsswitch.conf");
    fs::write(&switch, "hosts: files\n").map_err(Failure::of(switch.display()))?;
    let (hosts, switch) = (hosts.display(), switch.display());
    let set_up = format!(
        "touch /etc/nsswitch.conf; mount --bind '{hosts}' /etc/hosts && mount --bind '{switch}' /etc/nsswitch.conf"
    );
    Ok(launch::in_own_mounts(&set_up))
}

/// Nobody knows the names any more, and then they mean another address.
pub async fn fail_and_move(stage: &mut Stage) -> Result<Outcome> {
    let hosts = Hosts(stage.folder.path().join("hosts"));
    hosts.say(Some(FIRST))?;
    let Some(launcher) = launcher(&hosts.0, stage.folder.path())? else {
        return Outcome::not_here("no mounts of one's own on this machine");
    };
    let redis = RedisServer::start();
    let address = SocketAddr::from((FIRST, ports::free()));
    let mut own = Own::absent(address, format!("http://{PROVIDER}:{}", address.port()));
    own.run(stage).await?;
    let plan = Plan {
        launcher,
        store: format!("redis://{REDIS}:{}/0", redis.port),
        oidc: "danger_allow_http_endpoints = true".to_owned(),
        ..own.plan(stage)
    };
    let mut service = stage.start(&plan).await?;
    stage.gather().await?;
    stage.watch().await?;

    stage.changing();
    hosts.say(None)?;
    redis.ask(&["CLIENT", "KILL", "TYPE", "normal"]);
    stage.hold(NOTICE_LIMIT).await;
    stage.fault(Expect::STORE_DOWN);
    stage.hold(stage.time(1.5, 20.0)).await;
    service.expect_health(200, 503).await?;

    stage.changing();
    let answer = redis.ask(&["CONFIG", "SET", "bind", "127.0.0.2"]);
    if answer != "OK" {
        return Err(Failure(format!("Redis does not move: {answer}")));
    }
    own.proxy
        .listen_at(SocketAddr::from((SECOND, address.port())))
        .await?;
    hosts.say(Some(SECOND))?;
    stage.recover(Expect::CALM).await?;
    // A browser of these tests takes every name for 127.0.0.1, so one proxy more stands there for it.
    let mut for_browsers = FaultProxy::stopped(address, own.behind());
    for_browsers.listen().await?;
    let tokens = own.proxy.asked(Endpoint::Token);
    stage.signed_in("ben", 200).await?;
    if own.proxy.asked(Endpoint::Token) == tokens {
        return Err(Failure::new(
            "the provider was not asked at its new address",
        ));
    }
    service.running()?;
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    Outcome::held("Redis and the provider are found at their new address, without a restart")
}

/// Certificates of the provider that are not good.
struct Certificates {
    ca_file: PathBuf,
    expired: Arc<rustls::ServerConfig>,
    of_another: Arc<rustls::ServerConfig>,
    of_strangers: Arc<rustls::ServerConfig>,
    good: Arc<rustls::ServerConfig>,
}

impl Certificates {
    fn make(folder: &Path) -> std::result::Result<Self, Box<dyn std::error::Error>> {
        install_crypto();
        let (ours, strangers) = (authority("ours")?, authority("strangers")?);
        let ca_file = folder.join("provider_ca.pem");
        fs::write(&ca_file, ours.pem())?;
        Ok(Self {
            ca_file,
            expired: certificate(&ours, ISSUER_HOST, 2020)?,
            of_another: certificate(&ours, "another.localhost", 4000)?,
            of_strangers: certificate(&strangers, ISSUER_HOST, 4000)?,
            good: certificate(&ours, ISSUER_HOST, 4000)?,
        })
    }
}

fn authority(name: &str) -> std::result::Result<CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}

/// A certificate for `host` that is good until `year`.
fn certificate(
    authority: &CertifiedIssuer<'static, KeyPair>,
    host: &str,
    year: i32,
) -> std::result::Result<Arc<rustls::ServerConfig>, Box<dyn std::error::Error>> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new([host.to_owned()])?;
    params.not_before = date_time_ymd(2019, 1, 1);
    params.not_after = date_time_ymd(year, 1, 1);
    let certificate = params.signed_by(&key, authority)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)?;
    Ok(Arc::new(config))
}

/// The provider shows certificates that are not to be believed.
pub async fn certificates(stage: &mut Stage) -> Result<Outcome> {
    let made = Certificates::make(stage.folder.path()).map_err(Failure::of("certificates"))?;
    let file = format!(
        "file:{}",
        stage.folder.path().join("portcullis.redb").display()
    );
    // People sign in first, where nothing is wrong; then the provider gets a name with https.
    let before = Plan {
        store: file.clone(),
        ..stage.plan()
    };
    let mut service = stage.start(&before).await?;
    stage.gather().await?;
    service.stop();
    let address = SocketAddr::from((FIRST, ports::free()));
    let mut own = Own::absent(address, format!("https://{ISSUER_HOST}:{}", address.port()));
    own.run(stage).await?;
    own.proxy.stop();
    let plan = Plan {
        store: file,
        oidc: format!("ca_file = \"{}\"", made.ca_file.display()),
        ..own.plan(stage)
    };
    let mut service = stage.start(&plan).await?;
    stage.watch().await?;
    #[rustfmt::skip] // the columns are the point
    let bad = [
        ("expired",             made.expired,      "expired"),
        ("of another name",     made.of_another,   "not valid for name"),
        ("of another authority", made.of_strangers, "UnknownIssuer"),
    ];
    for (name, certificate, reason) in bad {
        own.proxy.listen_with(certificate).await?;
        stage.fault(Expect::CALM);
        // What was known of it before may still be what the first answer says.
        let deadline = Instant::now() + RECOVERY_LIMIT;
        loop {
            let (page, _) = stage.step(&stage.browser()?, &login_url(stage)).await?;
            expect_page(&page, 503, NOT_AVAILABLE).map_err(Failure::of(name))?;
            if service.log().contains(reason) {
                break;
            }
            if Instant::now() > deadline {
                let said = service.running()?.last_words();
                return Err(Failure(format!(
                    "{name}: the log does not say `{reason}`:\n{said}"
                )));
            }
        }
        stage.hold(stage.time(0.3, 5.0)).await;
    }
    own.proxy.listen_with(made.good).await?;
    let begun = Instant::now();
    loop {
        let (page, _) = stage.step(&stage.browser()?, &login_url(stage)).await?;
        if page.status == 302 && page.header("location").starts_with(&own.issuer) {
            break;
        }
        if begun.elapsed() > RECOVERY_LIMIT {
            let said = service.running()?.last_words();
            return Err(Failure(format!(
                "a good certificate is of no use ({}):\n{said}",
                page.status
            )));
        }
    }
    stage.recover(Expect::CALM).await?;
    service.running()?;
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    Outcome::held(
        "expired, of another name, of an unknown authority: none is believed, and the log says which",
    )
}

fn login_url(stage: &Stage) -> String {
    format!("{}/login", stage.public_url())
}
