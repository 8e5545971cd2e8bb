//! What stands before an issuer and spoils what it says: broken connections, bytes that are no HTTP, answers without end.
//! An honest way through otherwise, over TLS if wanted.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_web::rt;
use actix_web::rt::task::JoinHandle;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// The most bytes of an answer without end: more than anybody should take.
const ENDLESS: usize = 64 * 1024 * 1024;

/// What becomes of a request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The connection breaks (RST) as soon as the request is there.
    Reset,
    /// The connection ends without an answer.
    Close,
    /// No answer, ever.
    Hang,
    /// The honest answer, late.
    Late(Duration),
    /// A byte of the body each 100 ms, of a body that is long.
    Drip,
    /// A byte of the head each 100 ms.
    DripHead,
    /// These bytes, and the end.
    Raw(Vec<u8>),
    /// Status 200, JSON, and blanks up to [`ENDLESS`].
    EndlessBody,
    /// Status 200, and header lines up to [`ENDLESS`].
    EndlessHead,
}

impl Fault {
    /// An answer of these parts, `headers` each with its line end.
    pub fn answer(status: &str, headers: &str, body: &[u8]) -> Self {
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        Self::Raw([head.as_bytes(), body].concat())
    }

    /// Status 200, and this as JSON.
    pub fn json(body: &[u8]) -> Self {
        Self::answer("200 OK", "Content-Type: application/json\r\n", body)
    }
}

pub struct Front {
    url: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    open: AtomicUsize,
    most_open: AtomicUsize,
    sent: AtomicUsize,
}

#[derive(Default)]
struct State {
    issuer: Option<SocketAddr>,
    /// By what the path ends in.
    faults: HashMap<&'static str, Fault>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Front {
    pub fn start() -> Self {
        Self::listen("127.0.0.1:0", None, "127.0.0.1")
    }

    /// With TLS, under this name.
    pub fn start_tls(config: ServerConfig, host: &str) -> Self {
        Self::listen("127.0.0.1:0", Some(config), host)
    }

    /// At an address of one's own: `[::1]:4711`.
    pub fn start_at(address: &str, host: &str) -> Self {
        Self::listen(address, None, host)
    }

    fn listen(address: &str, tls: Option<ServerConfig>, host: &str) -> Self {
        let listener = std::net::TcpListener::bind(address).expect("a free address");
        listener.set_nonblocking(true).expect("a socket");
        let listener = TcpListener::from_std(listener).expect("a socket");
        let port = listener.local_addr().expect("its address").port();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let shared = Arc::<Shared>::default();
        let tls = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
        let accepting = accept(listener, tls, Arc::clone(&shared));
        Self {
            url: format!("{scheme}://{host}:{port}"),
            shared,
            task: rt::spawn(accepting),
        }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn port(&self) -> u16 {
        let port = self.url.rsplit(':').next().expect("a port");
        port.parse().expect("a port")
    }

    pub fn lead_to(&self, issuer: SocketAddr) {
        self.shared.state().issuer = Some(issuer);
    }

    /// Where it leads.
    pub fn leads_to(&self) -> SocketAddr {
        self.shared.state().issuer.expect("an issuer")
    }

    /// Spoils the answers to requests whose path ends in `path`.
    pub fn spoil(&self, path: &'static str, fault: Fault) {
        self.shared.state().faults.insert(path, fault);
    }

    /// Honest again.
    pub fn heal(&self) {
        self.shared.state().faults.clear();
    }

    /// The most connections that were open at once.
    pub fn most_open(&self) -> usize {
        self.shared.most_open.load(Ordering::SeqCst)
    }

    /// Bytes of answers without end that somebody took, buffers on the way among it.
    pub fn sent(&self) -> usize {
        self.shared.sent.load(Ordering::SeqCst)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, shared) = (tls.clone(), Arc::clone(&shared));
        rt::spawn(async move {
            let open = shared.open.fetch_add(1, Ordering::SeqCst) + 1;
            shared.most_open.fetch_max(open, Ordering::SeqCst);
            // Whoever is spoken to may hang up; that is not for us to mind.
            if let Some(tls) = tls {
                if let Ok(mut stream) = tls.accept(stream).await {
                    let _ = serve(&mut stream, &shared).await;
                }
            } else {
                let mut stream = stream;
                if let Ok(End::Break) = serve(&mut stream, &shared).await {
                    stream.set_zero_linger().expect("a socket");
                }
            }
            shared.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

/// How a connection ends.
enum End {
    Close,
    Break,
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    shared: &Shared,
) -> io::Result<End> {
    const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    let request = read_request(stream).await?;
    let line = String::from_utf8_lossy(&request).into_owned();
    let target = line.split(' ').nth(1).unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default();
    let (issuer, fault) = {
        let state = shared.state();
        let fault = state.faults.iter().find(|(end, _)| path.ends_with(**end));
        (state.issuer, fault.map(|(_, fault)| fault.clone()))
    };
    match fault {
        None => forward(stream, &request, issuer).await?,
        Some(Fault::Late(delay)) => {
            rt::time::sleep(delay).await;
            forward(stream, &request, issuer).await?;
        }
        Some(Fault::Close) => {}
        Some(Fault::Reset) => return Ok(End::Break),
        // Until whoever waits has had enough.
        Some(Fault::Hang) => while stream.read(&mut [0; 64]).await? > 0 {},
        Some(Fault::Raw(bytes)) => {
            stream.write_all(&bytes).await?;
            stream.shutdown().await?;
        }
        Some(Fault::Drip) => {
            stream.write_all(OK).await?;
            stream.write_all(b"Content-Length: 100000\r\n\r\n").await?;
            drip(stream, b" ").await?;
        }
        Some(Fault::DripHead) => {
            stream.write_all(OK).await?;
            stream.write_all(b"X-Slow: ").await?;
            drip(stream, b"x").await?;
        }
        Some(Fault::EndlessBody) => {
            stream.write_all(OK).await?;
            stream.write_all(b"\r\n").await?;
            pour(stream, &[b' '; 16 * 1024], shared).await?;
        }
        Some(Fault::EndlessHead) => {
            stream.write_all(OK).await?;
            let line = format!("X-Long: {}\r\n", "x".repeat(4_000));
            pour(stream, line.as_bytes(), shared).await?;
        }
    }
    Ok(End::Close)
}

async fn forward<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    request: &[u8],
    issuer: Option<SocketAddr>,
) -> io::Result<()> {
    let issuer = issuer.ok_or(io::ErrorKind::NotConnected)?;
    let mut onward = TcpStream::connect(issuer).await?;
    onward.write_all(request).await?;
    copy_bidirectional(stream, &mut onward).await.map(drop)
}

async fn drip<S: AsyncWrite + Unpin>(stream: &mut S, drop: &[u8]) -> io::Result<()> {
    loop {
        stream.write_all(drop).await?;
        stream.flush().await?;
        rt::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn pour<S: AsyncWrite + Unpin>(
    stream: &mut S,
    piece: &[u8],
    shared: &Shared,
) -> io::Result<()> {
    let mut sent = 0;
    while sent < ENDLESS {
        stream.write_all(piece).await?;
        sent += piece.len();
        shared.sent.fetch_max(sent, Ordering::SeqCst);
    }
    Ok(())
}

/// The head and the body, so that nothing unread turns the end of the connection into a break.
async fn read_request<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Vec<u8>> {
    let mut request = Vec::new();
    loop {
        if let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
            let length = head.split("content-length: ").nth(1);
            let length = length.and_then(|rest| rest.split("\r\n").next()?.parse().ok());
            if request.len() >= end + 4 + length.unwrap_or(0) {
                return Ok(request);
            }
        }
        if stream.read_buf(&mut request).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
