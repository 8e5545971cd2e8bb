//! One connection to a Redis or a sentinel: the name resolved anew, TCP, TLS, who we are, and whether it is what we
//! look for.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{
    AsyncConnectionConfig, ProtocolVersion, RedisConnectionInfo, RedisError, RedisResult, Value,
};
use futures_util::FutureExt;
use rustls::pki_types::ServerName;
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::fault::{Access, Fault, connection_words, fault, greeting_words};
use super::push::PushSender;
use super::server_id::{self, ServerId, Unknown};
use super::tls;
use crate::domain::redis_settings::{RedisAddress, RedisCredentials, RedisServers, RedisSettings};

/// For all of it. What is lost on the way is sent again after one second, so one loss is survived.
const TIMEOUT: Duration = Duration::from_secs(2);

/// A key that nobody writes: asking for it shows that we may read, and that there is something to read from.
/// `PING` would not do: it is refused while Redis cannot save, and goes well where nothing may be read.
const PROBE: &str = "portcullis:probe";

/// Carries the bytes of a connection to and fro. Ends when the connection does.
pub(super) type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// What a connection is for. Its name in `CLIENT LIST` says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Reads,
    Writes,
    /// Asks a node for the map of its cluster, or a server for its role, and is closed.
    Look,
    /// Hears of what others write.
    Invalidations,
    /// Asks a sentinel.
    Sentinel,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Self::Reads => "portcullis-reads",
            Self::Writes => "portcullis-writes",
            Self::Look => "portcullis-look",
            Self::Invalidations => "portcullis-invalidations",
            Self::Sentinel => "portcullis-sentinel",
        }
    }
}

/// Where a connection leads, and what it is for.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) settings: Arc<RedisSettings>,
    pub(super) address: RedisAddress,
    pub(super) purpose: Purpose,
}

/// A connection that was made.
pub(super) struct Made {
    pub(super) connection: MultiplexedConnection,
    pub(super) driver: Driver,
    /// Where it leads to, or why that is not known.
    pub(super) server: Result<ServerId, Unknown>,
}

/// Makes a connection over which has been answered. Where sentinels tell who is the primary, it leads to one that
/// says so itself. With `pushes`, RESP3 is spoken, and what is told without having been asked for goes there.
///
/// # Errors
///
/// What is in the way, for people.
pub(super) async fn connect(target: &Target, pushes: Option<PushSender>) -> Result<Made, String> {
    let mut waiting = "";
    timeout(TIMEOUT, connect_in_time(target, pushes, &mut waiting))
        .await
        .unwrap_or_else(|_| Err(format!("no answer{waiting} within {} s", TIMEOUT.as_secs())))
}

async fn connect_in_time(
    target: &Target,
    pushes: Option<PushSender>,
    waiting: &mut &str,
) -> Result<Made, String> {
    let credentials = read(&target.settings).await?;
    let stream = open(target, &credentials, waiting).await?;
    let who = target.identity(&credentials);
    // Nothing else is sent by the crate itself: it would take every refusal for a wrong password, and ask for a
    // permission more.
    let mut info = RedisConnectionInfo::default().set_skip_set_lib_name();
    // Time is taken where a call is made, over all that it does.
    let mut config = AsyncConnectionConfig::new().set_response_timeout(None);
    let speaks_pushes = pushes.is_some();
    if let Some(pushes) = pushes {
        info = info.set_protocol(ProtocolVersion::RESP3);
        if let Some(password) = who.password {
            info = info.set_password(password.expose_secret());
            if let Some(user) = who.user {
                info = info.set_username(user);
            }
        }
        config = config.set_push_sender(pushes);
    }
    let words = |error: RedisError| match target.purpose {
        Purpose::Sentinel => sentinel_words(&error),
        _ => greeting_words(&error),
    };
    let (mut connection, driver) = MultiplexedConnection::new_with_config(&info, stream, config)
        .await
        .map_err(words)?;
    let mut driver: Driver = Box::pin(driver);
    let greeting = async {
        if !speaks_pushes {
            log_in(&mut connection, &who).await.map_err(words)?;
        }
        greet(&mut connection, target).await
    };
    let mut greeting = Box::pin(greeting);
    let server = tokio::select! {
        biased;
        answer = &mut greeting => answer?,
        // What was answered before the end counts: it says why.
        () = &mut driver => match greeting.as_mut().now_or_never() {
            Some(Err(reason)) => return Err(reason),
            Some(Ok(_)) | None => return Err("the connection was closed".to_owned()),
        },
    };
    drop(greeting);
    Ok(Made {
        connection,
        driver,
        server,
    })
}

/// Who we say we are.
struct Identity<'a> {
    user: Option<&'a str>,
    password: Option<&'a SecretString>,
}

impl Target {
    fn identity<'a>(&'a self, credentials: &'a RedisCredentials) -> Identity<'a> {
        match (self.purpose, &self.settings.servers) {
            (Purpose::Sentinel, RedisServers::Sentinel { user, .. }) => Identity {
                user: user.as_deref(),
                password: credentials.sentinel_password.as_ref(),
            },
            _ => Identity {
                user: self.settings.user.as_deref(),
                password: credentials.password.as_ref(),
            },
        }
    }
}

async fn log_in(connection: &mut MultiplexedConnection, who: &Identity<'_>) -> RedisResult<()> {
    let Some(password) = who.password else {
        return Ok(());
    };
    let mut command = ::redis::cmd("AUTH");
    if let Some(user) = who.user {
        command.arg(user);
    }
    command.arg(password.expose_secret());
    command.exec_async(connection).await
}

/// Says what the connection is for, and finds out whether it can be used for that, and where it leads.
async fn greet(
    connection: &mut MultiplexedConnection,
    target: &Target,
) -> Result<Result<ServerId, Unknown>, String> {
    let mut name = ::redis::cmd("CLIENT");
    name.arg("SETNAME").arg(target.purpose.name());
    match name.exec_async(connection).await {
        Ok(()) => {}
        // One that may not be given a name is as good: it is for people alone.
        Err(error) if error.code() == Some("NOPERM") => {}
        Err(error) => return Err(greeting_words(&error)),
    }
    if target.purpose == Purpose::Sentinel {
        return Ok(Err(Unknown::Unasked));
    }
    if target.settings.database != 0 {
        let mut command = ::redis::cmd("SELECT");
        command.arg(target.settings.database);
        let selected = command.exec_async(connection).await;
        selected.map_err(|error| greeting_words(&error))?;
    }
    check(connection, target)
        .await
        .map_err(|found| found.words())?;
    if target.purpose == Purpose::Look {
        return Ok(Err(Unknown::Unasked));
    }
    let server = server_id::ask(connection).await;
    server.map_err(|error| greeting_words(&error))
}

const REPLICA: &str = "it is a replica now, and no primary";
const ROLE_REFUSED: &str =
    "our Redis user may not ask whether it is the primary (NOPERM): it needs +role";

/// What is in the way of using a connection.
enum Found {
    Error(RedisError),
    /// Another server is the primary by now.
    Replica,
    /// Whether it is, our user may not ask.
    RoleRefused,
}

impl Found {
    fn words(&self) -> String {
        match self {
            Self::Error(error) => greeting_words(error),
            Self::Replica => REPLICA.to_owned(),
            Self::RoleRefused => ROLE_REFUSED.to_owned(),
        }
    }
}

impl From<RedisError> for Found {
    fn from(error: RedisError) -> Self {
        Self::Error(error)
    }
}

/// Asks for something that is never there, and for the role of the server where that is not fixed, or nothing but a
/// primary will do.
async fn check(connection: &mut MultiplexedConnection, target: &Target) -> Result<(), Found> {
    let asks_role = target.purpose == Purpose::Invalidations
        || matches!(target.settings.servers, RedisServers::Sentinel { .. });
    let mut also = connection.clone();
    let role = async {
        if !asks_role {
            return Ok(());
        }
        match ::redis::cmd("ROLE").query_async(&mut also).await {
            Ok(role) if is_primary(&role) => Ok(()),
            Ok(_) => Err(Found::Replica),
            Err(error) if error.code() == Some("NOPERM") => Err(Found::RoleRefused),
            Err(error) => Err(error.into()),
        }
    };
    // Both are sent at once.
    let probe = probing();
    let (role, asked) = tokio::join!(role, probe.query_async::<Value>(connection));
    role?;
    match asked {
        Ok(_) => Ok(()),
        // In a cluster, the one key of the probe belongs to one node: the others say whose it is.
        Err(error) if is_in_cluster(target) && error.redirect_node().is_some() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn is_in_cluster(target: &Target) -> bool {
    matches!(target.settings.servers, RedisServers::Cluster { .. })
}

/// `ROLE` answers with a list that begins with the role.
fn is_primary(role: &Value) -> bool {
    let Value::Array(parts) = role else {
        return false;
    };
    match parts.first() {
        Some(Value::BulkString(role)) => role == b"master",
        Some(Value::SimpleString(role)) => role == "master",
        _ => false,
    }
}

/// Asks over a connection that has been in use. One that refuses answers too: it tells the same to whoever asks for
/// something.
///
/// # Errors
///
/// Why the connection is of no more use.
pub(super) async fn probe(
    connection: &mut MultiplexedConnection,
    target: &Target,
) -> Result<(), String> {
    match check(connection, target).await {
        Ok(()) | Err(Found::RoleRefused) => Ok(()),
        Err(Found::Replica) => Err(REPLICA.to_owned()),
        Err(Found::Error(error)) => match fault(&error, Access::Reads) {
            Fault::Lost(_) => Err(connection_words(&error)),
            _ => Ok(()),
        },
    }
}

/// Asks over a connection whether the server is one to go by: a primary, which has its data and answers for it. One that
/// refuses is none.
///
/// # Errors
///
/// Why it is not.
pub(super) async fn stands(
    connection: &mut MultiplexedConnection,
    target: &Target,
) -> Result<(), String> {
    let found = check(connection, target).await;
    found.map_err(|found| found.words())
}

/// Asks for something that is never there.
pub(super) fn probing() -> ::redis::Cmd {
    let mut command = ::redis::cmd("GET");
    command.arg(PROBE);
    command
}

/// Files are read where that holds nobody up.
async fn read(settings: &RedisSettings) -> Result<RedisCredentials, String> {
    let source = Arc::clone(&settings.credentials);
    tokio::task::spawn_blocking(move || source.read())
        .await
        .unwrap_or_else(|error| Err(error.to_string()))
}

/// Why a sentinel does not let us in.
fn sentinel_words(error: &RedisError) -> String {
    match error.code() {
        Some("NOAUTH") => {
            "it asks for a password: session.store_sentinel_password_file is for it (NOAUTH)"
                .to_owned()
        }
        Some("WRONGPASS") => "it refuses session.store_sentinel_user, or the password of \
             session.store_sentinel_password_file (WRONGPASS)"
            .to_owned(),
        _ => greeting_words(error),
    }
}

async fn open(
    target: &Target,
    credentials: &RedisCredentials,
    waiting: &mut &str,
) -> Result<Box<dyn Stream>, String> {
    let (host, port) = match &target.address {
        RedisAddress::Tcp { host, port } => (host.as_str(), *port),
        RedisAddress::Unix(path) => {
            let stream = UnixStream::connect(path).await;
            return Ok(Box::new(stream.map_err(|error| words(&error))?));
        }
    };
    let stream = tcp(host, port).await?;
    if !target.settings.tls {
        return Ok(Box::new(stream));
    }
    let connector = TlsConnector::from(Arc::new(tls::client_config(credentials)?));
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| format!("no certificate can be for \"{host}\""))?;
    *waiting = " to the TLS handshake";
    let stream = connector.connect(name, stream).await;
    *waiting = "";
    Ok(Box::new(
        stream.map_err(|error| format!("TLS: {}", words(&error)))?,
    ))
}

/// Tries each address that the name has now, for an equal share of the time.
async fn tcp(host: &str, port: u16) -> Result<TcpStream, String> {
    let found = lookup_host((host, port)).await;
    let addresses: Vec<SocketAddr> = found
        .map_err(|error| format!("the name \"{host}\" cannot be resolved: {error}"))?
        .collect();
    let mut failed = format!("the name \"{host}\" has no address");
    for address in &addresses {
        let share = TIMEOUT / u32::try_from(addresses.len()).unwrap_or(u32::MAX);
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // A small question must not wait for a next one.
                stream.set_nodelay(true).map_err(|error| words(&error))?;
                return Ok(stream);
            }
            Ok(Err(error)) => failed = words(&error),
            Err(_) => failed = format!("no answer from {address}"),
        }
    }
    Err(failed)
}

/// What the system says, without its number.
fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::NotFound => "there is no such socket".to_owned(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
            "the connection was closed".to_owned()
        }
        _ => error.to_string(),
    }
}
