//! One connection to Redis: the name resolved anew, TCP, TLS, who we are, and whether it answers.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, RedisConnectionInfo, RedisResult, Value};
use rustls::pki_types::ServerName;
use secrecy::ExposeSecret;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::fault::greeting_words;
use super::tls;
use crate::domain::redis_settings::{RedisAddress, RedisCredentials, RedisSettings};

/// For all of it. What is lost on the way is sent again after one second, so one loss is survived.
const TIMEOUT: Duration = Duration::from_secs(2);

/// A key that nobody writes: asking for it shows that we may read, and that there is something to read from.
/// `PING` would not do: it is refused while Redis cannot save, and goes well where nothing may be read.
const PROBE: &str = "portcullis:probe";

/// Carries the bytes of a connection to and fro. Ends when the connection does.
pub(super) type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Makes a connection over which Redis has answered.
///
/// # Errors
///
/// What is in the way, for people.
pub(super) async fn connect(
    settings: &RedisSettings,
) -> Result<(MultiplexedConnection, Driver), String> {
    let mut waiting = "";
    timeout(TIMEOUT, connect_in_time(settings, &mut waiting))
        .await
        .unwrap_or_else(|_| Err(format!("no answer{waiting} within {} s", TIMEOUT.as_secs())))
}

async fn connect_in_time(
    settings: &RedisSettings,
    waiting: &mut &str,
) -> Result<(MultiplexedConnection, Driver), String> {
    let credentials = read(settings).await?;
    let stream = open(settings, &credentials, waiting).await?;
    // Nothing is sent by the crate itself: it would take every refusal for a wrong password, and ask for a
    // permission more.
    let info = RedisConnectionInfo::default().set_skip_set_lib_name();
    // Time is taken where a call is made, over all that it does.
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let (mut connection, driver) = MultiplexedConnection::new_with_config(&info, stream, config)
        .await
        .map_err(|error| greeting_words(&error))?;
    let mut driver: Driver = Box::pin(driver);
    tokio::select! {
        // What was answered before the end counts.
        biased;
        answer = greet(&mut connection, settings, &credentials) => {
            answer.map_err(|error| greeting_words(&error))?;
        }
        () = &mut driver => return Err("the connection was closed".to_owned()),
    }
    Ok((connection, driver))
}

/// Says who we are, and asks for something.
async fn greet(
    connection: &mut MultiplexedConnection,
    settings: &RedisSettings,
    credentials: &RedisCredentials,
) -> RedisResult<()> {
    if let Some(password) = &credentials.password {
        let mut command = ::redis::cmd("AUTH");
        if let Some(user) = &settings.user {
            command.arg(user);
        }
        command.arg(password.expose_secret());
        command.exec_async(connection).await?;
    }
    if settings.database != 0 {
        let mut command = ::redis::cmd("SELECT");
        command.arg(settings.database);
        command.exec_async(connection).await?;
    }
    probe(connection).await
}

/// Files are read where that holds nobody up.
async fn read(settings: &RedisSettings) -> Result<RedisCredentials, String> {
    let source = Arc::clone(&settings.credentials);
    tokio::task::spawn_blocking(move || source.read())
        .await
        .unwrap_or_else(|error| Err(error.to_string()))
}

/// Asks for something that is never there.
pub(super) async fn probe(connection: &mut MultiplexedConnection) -> RedisResult<()> {
    let nothing: RedisResult<Value> = probing().query_async(connection).await;
    nothing.map(drop)
}

/// The question of [`probe`].
pub(super) fn probing() -> ::redis::Cmd {
    let mut command = ::redis::cmd("GET");
    command.arg(PROBE);
    command
}

async fn open(
    settings: &RedisSettings,
    credentials: &RedisCredentials,
    waiting: &mut &str,
) -> Result<Box<dyn Stream>, String> {
    let (host, port) = match &settings.address {
        RedisAddress::Tcp { host, port } => (host.as_str(), *port),
        RedisAddress::Unix(path) => {
            let stream = UnixStream::connect(path).await;
            return Ok(Box::new(stream.map_err(|error| words(&error))?));
        }
    };
    let stream = tcp(host, port).await?;
    if !settings.tls {
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
