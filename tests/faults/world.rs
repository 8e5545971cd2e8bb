//! What all scenarios share and none disturbs: Caddy, Traefik, the app behind them, and a provider for those that
//! do nothing to theirs. Each scenario has names and ports of its own.

use std::net::TcpListener;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use tempfile::TempDir;

use crate::kit::caddy::Caddy;
use crate::kit::child::Running;
use crate::kit::gate::Ports;
use crate::kit::provider::{Provider, USUAL};
use crate::kit::{Failure, Result, folder, ports, traefik};
use crate::sites;

pub const DOMAIN: &str = "faults.localhost";
pub const OPEN_HOST: &str = "open.faults.localhost";
pub const ISSUER_HOST: &str = "id.faults.localhost";
/// Where a second instance listens, at the same ports as the first.
pub const SECOND: &str = "127.0.0.2";

/// Names and ports of one scenario.
#[derive(Clone)]
pub struct Slot {
    pub ports: Ports,
    pub app_host: String,
    pub portal_host: String,
    /// A port of the app's beside the portal's: Traefik's.
    pub other_port: u16,
    /// How many instances Caddy knows of: one or two.
    pub instances: usize,
}

impl Slot {
    fn new(number: usize, other_port: u16, instances: usize) -> Self {
        Self {
            ports: Ports::free(),
            app_host: format!("films-{number}.{DOMAIN}"),
            portal_host: format!("auth-{number}.{DOMAIN}"),
            other_port,
            instances,
        }
    }

    /// Takes the ports for as long as nobody of ours needs them.
    fn reserve(&self) -> Vec<TcpListener> {
        let Ports {
            verify,
            portal,
            admin,
        } = self.ports;
        let bound = [verify, portal, admin].map(|port| TcpListener::bind(("127.0.0.1", port)));
        bound.into_iter().flatten().collect()
    }
}

pub struct World {
    pub caddy: Caddy,
    pub traefik_port: u16,
    pub app_port: u16,
    pub provider: Provider,
    pub issuer: String,
    pub root: Vec<u8>,
    slots: Vec<Slot>,
    /// Keeps others from the ports of scenarios that have not begun.
    reserved: Mutex<Vec<Vec<TcpListener>>>,
    _traefik: Running,
    _folder: TempDir,
}

impl World {
    /// The one of this run, with room for a scenario of each of these numbers of `instances`; started by whoever asks
    /// first.
    ///
    /// # Errors
    ///
    /// When a part does not start, with what it said.
    pub fn of(instances: &[usize]) -> Result<&'static Self> {
        static WORLD: OnceLock<std::result::Result<World, String>> = OnceLock::new();
        let world = WORLD.get_or_init(|| {
            let runtime = tokio::runtime::Runtime::new().map_err(|cause| cause.to_string())?;
            runtime
                .block_on(Self::start(instances))
                .map_err(|cause| cause.to_string())
        });
        world.as_ref().map_err(Failure::new)
    }

    /// The names and ports of the scenario of this number, which listens there from now on.
    pub fn slot(&self, number: usize) -> Slot {
        let mut reserved = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        reserved[number].clear();
        self.slots[number].clone()
    }

    async fn start(instances: &[usize]) -> Result<Self> {
        let folder = folder()?;
        let (https_port, traefik_port, app_port) = (ports::free(), ports::free(), ports::free());
        let numbered = instances.iter().enumerate();
        let slots: Vec<Slot> = numbered
            .map(|(number, instances)| Slot::new(number + 1, traefik_port, *instances))
            .collect();
        let reserved = slots.iter().map(Slot::reserve).collect();
        let provider_port = ports::free();
        let issuer = format!("http://{ISSUER_HOST}:{provider_port}");
        let portals: Vec<String> = slots
            .iter()
            .map(|slot| format!("https://{}:{https_port}", slot.portal_host))
            .collect();
        let mut provider =
            Provider::start_on(provider_port, folder.path(), &issuer, &portals, USUAL)?;
        let sites = sites::caddy(folder.path(), &slots, https_port, app_port)?;
        let caddy = Caddy::start(folder.path(), https_port, &sites).await?;
        let root = std::fs::read(caddy.root_certificate()).map_err(Failure::of("root"))?;
        provider.metadata(&root).await?;
        let routes = sites::traefik(&slots, &caddy, app_port);
        // No gate runs yet, so this is a host without one.
        let probe = format!("https://{OPEN_HOST}:{traefik_port}/");
        let is_up = |status| status == 200;
        let files = traefik::Files {
            folder: folder.path(),
            routes: &routes,
            root: &root,
        };
        let running = traefik::start(&files, traefik_port, &[], &probe, is_up).await?;
        Ok(Self {
            caddy,
            traefik_port,
            app_port,
            provider,
            issuer,
            root,
            slots,
            reserved: Mutex::new(reserved),
            _traefik: running,
            _folder: folder,
        })
    }
}

/// A folder for the files of a run or a scenario.
///
/// # Errors
///
/// When it cannot be made.
pub fn folder() -> Result<TempDir> {
    folder::temporary(Path::new(env!("CARGO_TARGET_TMPDIR")), "faults-")
}
