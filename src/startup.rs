//! The composition root: a [`Config`] in, a running service out. What depends on what is decided here and
//! nowhere else.

mod drain;
mod open_files;
mod room;
mod socket;
mod store;

use std::any::Any;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use actix_web::body::MessageBody;
use actix_web::dev::{
    Extensions, Server, ServerHandle, ServiceFactory, ServiceRequest, ServiceResponse,
};
use actix_web::middleware::from_fn;
use actix_web::web::{Data, ServiceConfig};
use actix_web::{App, Error as ActixError, HttpServer, rt};
use futures_util::future::{join_all, try_join_all};
use thiserror::Error;
use tokio::net::UnixStream;
use tokio::time::timeout;

pub use self::drain::WHOLE as WHOLE_DRAIN;
pub use self::open_files::OPEN_FILES;
use self::open_files::Threads;
use self::room::make_room;
use self::socket::unix_listener;
use crate::clock::Clock;
use crate::config::watch::keep_watching;
use crate::config::{
    Config, ControlSocket, Listen, SecretError, SocketAccess, USUAL_CONTROL_SOCKET, WatchedSecret,
};
use crate::domain::cookie_scope::CookieDomains;
use crate::flows::handover::Handover;
use crate::flows::refresh::Refresher;
use crate::flows::{CompleteLists, Gate, Warnings};
use crate::http::control::SocketPeer;
use crate::http::head_limit::refuse_large_heads;
use crate::http::panics::answer_panics;
use crate::http::stopping::Stopping;
use crate::http::upgrades::{close_after_upgrades, remember_ends};
use crate::http::{Http, keep_to_its_statuses, routes};

use crate::oidc::{RelyingParty, SetupError};
use crate::store::Store;
use crate::store::embedded::OpenError;
use crate::store::sealing::Keyring;
use crate::store::sessions::Sessions;
use crate::store::users::Users;
use crate::telemetry::denials::Denials;
use crate::telemetry::metrics::Metrics;

/// How long a connection may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an unused connection is kept: longer than proxies keep theirs, so that they never send a request
/// into one that is just closing.
const KEEP_ALIVE: Duration = Duration::from_secs(150);

/// How many threads serve the portal: a login waits for the provider; it does not compute.
const PORTAL_WORKERS: usize = 2;

/// The same for whoever looks after the service.
const ADMIN_WORKERS: usize = 1;

/// Why the service could not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// An address or socket cannot be listened on.
    #[error("cannot listen on {listen}: {cause}")]
    Listen {
        /// Which.
        listen: String,
        /// Why.
        cause: io::Error,
    },
    /// The relying party cannot be set up.
    #[error(transparent)]
    RelyingParty(#[from] SetupError),
    /// The session store cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// Redis cannot be talked to, whatever it would say.
    #[error("the session store cannot be used: {0}")]
    Redis(String),
    /// The session keys cannot be made.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// A service that listens, but does not answer yet.
pub struct Application {
    servers: Vec<Server>,
    http: Data<Http>,
    relying_party: Arc<RelyingParty>,
    refresher: Refresher,
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    denials: Arc<Denials>,
    watched: Vec<WatchedSecret>,
    stopping: Data<Stopping>,
    verify: Option<SocketAddr>,
    portal: Option<SocketAddr>,
    admin: Option<SocketAddr>,
    control: Option<PathBuf>,
}

impl Application {
    /// Builds everything and takes the addresses, so that whoever waits for them is not refused. Asks nobody:
    /// the provider may be down.
    ///
    /// # Errors
    ///
    /// [`StartError`], with what has to be mended.
    pub fn build(config: Config, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        let server = config.server;
        let session = config.session;
        let keys = session.secret.into_keys()?;
        let (first, others) = keys
            .split_first()
            .expect("a session secret is one key at least");
        let keyring = Arc::new(Keyring::new(first, others));
        let metrics = Arc::new(Metrics::default());
        let denials = Arc::new(Denials::new(metrics.clone()));
        let patience = (session.store_timeout, session.store_grace);
        let (store, cache) = store::open(session.store, patience, clock.clone(), &metrics)?;
        let relying_party = RelyingParty::new(config.oidc, clock.clone())?;
        let portal_path = server.public_url.path().trim_end_matches('/').to_owned();
        let sessions = Sessions::new(
            store.clone(),
            keyring.clone(),
            clock.clone(),
            session.lifetime,
        );
        let sessions = Arc::new(sessions.cached(cache));
        let users = Arc::new(Users::new(store.clone(), keyring.clone(), clock.clone()));
        let refresher = Refresher::new(
            sessions.clone(),
            users.clone(),
            relying_party.clone(),
            clock.clone(),
            session.renewal,
            metrics.clone(),
        );
        let gate = Gate {
            decisions: metrics.decision_counters(&config.services),
            metrics: metrics.clone(),
            denials: denials.clone(),
            complete_lists: CompleteLists::of_none(&config.services),
            services: config.services,
            policies: config.policies,
            sessions,
            users,
            refresher: refresher.clone(),
            handover: Handover::new(keyring.clone(), clock.clone()),
            keyring,
            relying_party: relying_party.clone(),
            clock,
            public_url: server.public_url,
            allow_http: server.allow_http,
            cookie_domains: CookieDomains::new(session.cookie_domains),
            warnings: Warnings::default(),
        };
        let (dialects, sockets) = (server.dialects, server.sockets);
        let http = Http::new(
            Arc::new(gate),
            server.trusted_proxies,
            server.proxy_secret,
            dialects.clone(),
        );
        let http = Data::new(http);
        let stopping = Data::<Stopping>::default();
        let shared = (&http, &stopping);
        let [for_proxies, for_browsers, for_admins] = rooms();
        let spoken = dialects.clone();
        let verify_routes = move |config: &mut ServiceConfig| routes::verify(&spoken, config);
        let (verify_server, verify) =
            serve(&server.listen, sockets, for_proxies, shared, verify_routes)?;
        let portal_routes =
            move |config: &mut ServiceConfig| routes::portal_at(&portal_path, &dialects, config);
        let (portal_server, portal) = serve(
            &server.portal_listen,
            sockets,
            for_browsers,
            shared,
            portal_routes,
        )?;
        let (admin_server, admin) = serve(
            &server.admin_listen,
            sockets,
            for_admins,
            shared,
            routes::admin,
        )?;
        let mut servers = vec![verify_server, portal_server, admin_server];
        let control = serve_control(&server.control_socket, for_admins, shared)?;
        let control = control.map(|(server, path)| {
            servers.push(server);
            path
        });
        Ok(Self {
            servers,
            http,
            relying_party,
            refresher,
            store,
            metrics,
            denials,
            watched: config.watched,
            stopping,
            verify,
            portal,
            admin,
            control,
        })
    }

    /// Where `/verify` is answered; `None` on a Unix socket.
    #[must_use]
    pub fn verify_address(&self) -> Option<SocketAddr> {
        self.verify
    }

    /// What the handlers share, for an [`app`] without a socket.
    #[must_use]
    pub fn http(&self) -> &Data<Http> {
        &self.http
    }

    /// Where the portal is; `None` on a Unix socket.
    #[must_use]
    pub fn portal_address(&self) -> Option<SocketAddr> {
        self.portal
    }

    /// What is counted.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Where health and metrics are; `None` on a Unix socket.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// The control socket, if there is one.
    #[must_use]
    pub fn control_socket(&self) -> Option<&Path> {
        self.control.as_deref()
    }

    /// Answers until `stop` resolves, then lets what runs end: ten seconds later at most it is over.
    ///
    /// # Errors
    ///
    /// When a listener breaks.
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> io::Result<()> {
        let discovery = rt::spawn(self.relying_party.keep_discovering());
        let telling = rt::spawn(self.denials.clone().keep_telling());
        let watching = rt::spawn(keep_watching(self.watched));
        let handles: Vec<ServerHandle> = self.servers.iter().map(Server::handle).collect();
        let mut servers = std::pin::pin!(try_join_all(self.servers));
        let asked;
        let ended = tokio::select! {
            ended = &mut servers => {
                asked = Instant::now();
                ended.map(drop)
            }
            () = stop => {
                asked = Instant::now();
                self.stopping.begin();
                if let Ok(ended) = timeout(drain::NOTICE, &mut servers).await {
                    ended.map(drop)
                } else {
                    let draining = join_all(handles.iter().map(|handle| handle.stop(true)));
                    let drained = async { tokio::join!(servers, draining).0 };
                    let left = drain::LISTENERS.saturating_sub(asked.elapsed());
                    timeout(left, drained).await.map_or_else(
                        |_| {
                            tracing::warn!("stopped while a thread that serves was busy");
                            Ok(())
                        },
                        |ended| ended.map(drop),
                    )
                }
            }
        };
        let left = |limit: Duration| limit.saturating_sub(asked.elapsed());
        self.refresher.drain(left(drain::RENEWALS)).await;
        discovery.abort();
        watching.abort();
        telling.abort();
        self.denials.tell();
        if timeout(left(drain::WHOLE), self.store.close())
            .await
            .is_err()
        {
            tracing::warn!("stopped while the session store was closed");
        }
        ended
    }
}

/// How many threads and connections each kind of listener has: that of the proxies, of the portal, and of administrators.
fn rooms() -> [(usize, usize); 3] {
    let cores = available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = Threads {
        verify: cores,
        portal: PORTAL_WORKERS,
        admin: ADMIN_WORKERS,
    };
    let connections = open_files::connections(threads);
    [
        (threads.verify, connections.verify),
        (threads.portal, connections.portal),
        (threads.admin, connections.admin),
    ]
}

/// Listens for the commands of administrators. The usual place is one where not everybody can make a socket, and where
/// another instance may have made its own: that keeps nobody from starting.
fn serve_control(
    socket: &ControlSocket,
    for_admins: (usize, usize),
    shared: (&Data<Http>, &Data<Stopping>),
) -> Result<Option<(Server, PathBuf)>, StartError> {
    let (path, is_asked_for) = match socket {
        ControlSocket::Off => return Ok(None),
        ControlSocket::At(path) => (path.as_path(), true),
        ControlSocket::Usual => (Path::new(USUAL_CONTROL_SOCKET), false),
    };
    if !is_asked_for && !path.parent().is_some_and(Path::is_dir) {
        return Ok(None);
    }
    let owner_alone = SocketAccess {
        mode: 0o600,
        group: None,
    };
    let listen = Listen::Unix(path.to_owned());
    match serve(&listen, owner_alone, for_admins, shared, routes::control) {
        Ok((server, _)) => Ok(Some((server, path.to_owned()))),
        Err(error) if is_asked_for => Err(error),
        Err(error) => {
            tracing::warn!(
                %error,
                "there is no control socket, so `portcullis sessions` does not reach this instance; \
                 server.control_socket names another place, or is \"off\""
            );
            Ok(None)
        }
    }
}

/// What every request to a listener goes through, and then its table of URLs.
pub fn app<R: FnOnce(&mut ServiceConfig)>(
    http: &Data<Http>,
    stopping: &Data<Stopping>,
    routes: R,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody + use<R>>,
        Error = ActixError,
        InitError = (),
    > + use<R>,
> {
    App::new()
        .app_data(http.clone())
        .app_data(stopping.clone())
        .app_data(Data::from(Arc::clone(http.metrics())))
        .wrap(from_fn(refuse_large_heads))
        .wrap(from_fn(answer_panics))
        .wrap(from_fn(keep_to_its_statuses))
        .wrap(from_fn(close_after_upgrades))
        .configure(routes)
}

fn serve(
    listen: &Listen,
    sockets: SocketAccess,
    (workers, connections): (usize, usize),
    (http, stopping): (&Data<Http>, &Data<Stopping>),
    routes: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
) -> Result<(Server, Option<SocketAddr>), StartError> {
    let (http, stopping) = (http.clone(), stopping.clone());
    let app = move || app(&http, &stopping, routes.clone());
    let server = HttpServer::new(app)
        .on_connect(note_connection)
        .workers(workers)
        .max_connections(connections / workers)
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_TIMEOUT)
        .shutdown_timeout(drain::REQUESTS_SECONDS)
        .disable_signals();
    let refused = |cause| StartError::Listen {
        listen: listen.to_string(),
        cause,
    };
    let server = match listen {
        Listen::Tcp(address) => {
            let listener = TcpListener::bind(address).map_err(refused)?;
            make_room(&listener).map_err(refused)?;
            server.listen(listener)
        }
        Listen::Unix(path) => server.listen_uds(unix_listener(path, sockets).map_err(refused)?),
    };
    let server = server.map_err(refused)?;
    let address = server
        .addrs()
        .first()
        .copied()
        .filter(|_| matches!(listen, Listen::Tcp(_)));
    Ok((server.run(), address))
}

/// Keeps with a connection what is to be known of it later: whether it has ended, and, where it is one to a socket, who
/// is at its other end. Of several such functions actix calls the last alone.
fn note_connection(connection: &dyn Any, data: &mut Extensions) {
    remember_ends(data);
    let stream = connection.downcast_ref::<UnixStream>();
    if let Some(peer) = stream.and_then(|stream| stream.peer_cred().ok()) {
        data.insert(SocketPeer { uid: peer.uid() });
    }
}
