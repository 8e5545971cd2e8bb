//! Requests written byte by byte over TLS: no client library has tidied up what the proxy gets.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::browser::install_crypto;
use super::{Failure, Result};

const TIME_LIMIT: Duration = Duration::from_secs(20);
/// More than any answer of the tests' apps.
const MOST_BYTES: u64 = 256 * 1024;

/// Speaks HTTP/1.1 to a proxy on this machine, one request a connection.
#[derive(Clone)]
pub struct RawClient {
    config: Arc<ClientConfig>,
}

/// What came back.
#[derive(Debug)]
pub struct RawAnswer {
    /// `None` when the connection was closed without a readable answer.
    pub status: Option<u16>,
    /// Everything that was sent, head and body.
    pub text: String,
}

impl RawClient {
    /// # Errors
    ///
    /// When `root_pem` is no certificate.
    pub fn new(root_pem: &[u8]) -> Result<Self> {
        install_crypto();
        let root =
            CertificateDer::from_pem_slice(root_pem).map_err(Failure::of("root certificate"))?;
        let mut roots = RootCertStore::empty();
        roots.add(root).map_err(Failure::of("root certificate"))?;
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            config: Arc::new(config),
        })
    }

    /// Sends a request line with `target` as it stands, for `host` on its default port, and reads to the end.
    /// `lines` are further header lines, each with its line end.
    ///
    /// # Errors
    ///
    /// When nobody listens, or TLS fails.
    pub async fn send(
        &self,
        port: u16,
        host: &str,
        method: &str,
        target: &[u8],
        lines: &str,
    ) -> Result<RawAnswer> {
        let lines = format!("Host: {host}\r\n{lines}Connection: close\r\n");
        self.send_lines(port, host, method, target, &lines).await
    }

    /// The same with exactly these header lines, to the one that `server_name` (of TLS) leads to.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn send_lines(
        &self,
        port: u16,
        server_name: &str,
        method: &str,
        target: &[u8],
        lines: &str,
    ) -> Result<RawAnswer> {
        let mut request = format!("{method} ").into_bytes();
        request.extend_from_slice(target);
        let rest = format!(" HTTP/1.1\r\n{lines}\r\n");
        request.extend_from_slice(rest.as_bytes());
        let (config, name) = (Arc::clone(&self.config), server_name.to_owned());
        let exchanged = tokio::task::spawn_blocking(move || exchange(config, port, name, &request));
        exchanged.await.map_err(Failure::new)?
    }
}

/// A step of a conversation.
pub struct Turn {
    pub send: Vec<u8>,
    /// What is read up to; everything until the peer hangs up, where there is none.
    pub until: Option<&'static str>,
}

impl RawClient {
    /// Has a conversation on one connection to the one that `server_name` leads to, and returns what came at each turn.
    /// What the peer hangs up on ends early.
    ///
    /// # Errors
    ///
    /// When nobody listens, TLS fails, or what is waited for does not come.
    pub async fn talk(
        &self,
        port: u16,
        server_name: &str,
        turns: Vec<Turn>,
    ) -> Result<Vec<String>> {
        let (config, name) = (Arc::clone(&self.config), server_name.to_owned());
        let talked = tokio::task::spawn_blocking(move || {
            let mut stream = connect(config, port, name)?;
            turns
                .into_iter()
                .map(|turn| take_turn(&mut stream, &turn))
                .collect()
        });
        talked.await.map_err(Failure::new)?
    }
}

fn take_turn(stream: &mut Stream, turn: &Turn) -> Result<String> {
    write(stream, &turn.send)?;
    let mut text = String::new();
    let mut chunk = [0; 4096];
    loop {
        if turn.until.is_some_and(|end| text.contains(end)) {
            return Ok(text);
        }
        match stream.read(&mut chunk) {
            Ok(0) => return Ok(text),
            Ok(count) => text.push_str(&String::from_utf8_lossy(&chunk[..count])),
            Err(cause) if is_hang_up(&cause) => return Ok(text),
            Err(cause) => return Err(Failure(format!("answer: {cause} after {text:?}"))),
        }
    }
}

/// Whoever has hung up is not written to; what came before tells why.
fn write(stream: &mut Stream, bytes: &[u8]) -> Result<()> {
    match stream.write_all(bytes).and_then(|()| stream.flush()) {
        Err(cause) if !is_hang_up(&cause) => Err(Failure(format!("request: {cause}"))),
        _ => Ok(()),
    }
}

type Stream = StreamOwned<ClientConnection, TcpStream>;

fn is_hang_up(cause: &std::io::Error) -> bool {
    matches!(
        cause.kind(),
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
    )
}

fn connect(config: Arc<ClientConfig>, port: u16, host: String) -> Result<Stream> {
    let name = ServerName::try_from(host).map_err(Failure::of("host"))?;
    let socket = TcpStream::connect(("127.0.0.1", port)).map_err(Failure::of(port))?;
    socket
        .set_read_timeout(Some(TIME_LIMIT))
        .map_err(Failure::of("socket"))?;
    socket.set_nodelay(true).map_err(Failure::of("socket"))?;
    let connection = ClientConnection::new(config, name).map_err(Failure::of("TLS"))?;
    Ok(StreamOwned::new(connection, socket))
}

fn exchange(
    config: Arc<ClientConfig>,
    port: u16,
    host: String,
    request: &[u8],
) -> Result<RawAnswer> {
    let mut stream = connect(config, port, host)?;
    write(&mut stream, request)?;
    let mut answer = Vec::new();
    match stream.take(MOST_BYTES).read_to_end(&mut answer) {
        Ok(_) => {}
        // A peer that hangs up without saying so; what came before counts.
        Err(cause) if is_hang_up(&cause) => {}
        Err(cause) => return Err(Failure(format!("answer: {cause}"))),
    }
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3))
        .and_then(|code| code.parse().ok());
    Ok(RawAnswer { status, text })
}
