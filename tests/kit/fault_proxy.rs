//! An HTTP proxy before the provider that hands everything on, until a test tells it what to do to the answers of
//! an endpoint.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::fault::{Endpoint, Fault};
use super::{Failure, Result};

/// The longest request that is read: nobody here sends a longer one.
const MOST_REQUEST: usize = 256 * 1024;
/// What an answer without end amounts to.
const HUGE: usize = 64 * 1024 * 1024;
const REBIND_LIMIT: Duration = Duration::from_secs(3);
const REBIND_POLL: Duration = Duration::from_millis(20);
const DRIP: Duration = Duration::from_millis(300);

/// What the proxy has seen and is to do.
#[derive(Default)]
struct Shared {
    faults: Mutex<HashMap<Endpoint, Fault>>,
    asked: Mutex<HashMap<Endpoint, usize>>,
}

/// A proxy that may be stopped and started at one address.
pub struct FaultProxy {
    pub address: SocketAddr,
    target: u16,
    shared: Arc<Shared>,
    tls: Option<tokio_rustls::TlsAcceptor>,
    /// Dropped when it is to stop.
    running: Option<watch::Sender<()>>,
    listener: Option<JoinHandle<()>>,
}

impl FaultProxy {
    /// Listens on `port` of the loopback address and hands everything on to `target`, a port there.
    ///
    /// # Errors
    ///
    /// When somebody else listens there.
    pub async fn start(port: u16, target: u16) -> Result<Self> {
        let mut proxy = Self::stopped(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), target);
        proxy.listen().await?;
        Ok(proxy)
    }

    /// One that does not listen yet.
    pub fn stopped(address: SocketAddr, target: u16) -> Self {
        Self {
            address,
            target,
            shared: Arc::default(),
            tls: None,
            running: None,
            listener: None,
        }
    }

    /// Listens, from now on at `address`.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn listen_at(&mut self, address: SocketAddr) -> Result<()> {
        self.address = address;
        self.listen().await
    }

    /// Listens, and shows what `tls` has for certificates.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn listen_with(&mut self, tls: Arc<rustls::ServerConfig>) -> Result<()> {
        self.tls = Some(tls.into());
        self.listen().await
    }

    /// Listens.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn listen(&mut self) -> Result<()> {
        self.stop();
        if let Some(listener) = self.listener.take() {
            // The address is free when it has ended, however it did.
            let _ = listener.await;
        }
        let what = format!("fault proxy at {}", self.address);
        // The connections of before may take a moment to go.
        let deadline = Instant::now() + REBIND_LIMIT;
        let listener = loop {
            match TcpListener::bind(self.address).await {
                Ok(listener) => break listener,
                Err(cause) if Instant::now() > deadline => return Err(Failure::of(what)(cause)),
                Err(_) => tokio::time::sleep(REBIND_POLL).await,
            }
        };
        let (running, stopped) = watch::channel(());
        self.running = Some(running);
        let (target, shared, tls) = (self.target, Arc::clone(&self.shared), self.tls.clone());
        self.listener = Some(tokio::spawn(accept(listener, target, shared, tls, stopped)));
        Ok(())
    }

    /// Stops listening, and breaks what is open.
    pub fn stop(&mut self) {
        self.running = None;
    }

    /// Does this to every answer of `endpoint` from now on.
    pub fn set(&self, endpoint: Endpoint, fault: Fault) {
        lock(&self.shared.faults).insert(endpoint, fault);
    }

    /// Hands everything on again.
    pub fn clear(&self) {
        lock(&self.shared.faults).clear();
    }

    /// How often `endpoint` was asked.
    pub fn asked(&self, endpoint: Endpoint) -> usize {
        lock(&self.shared.asked)
            .get(&endpoint)
            .copied()
            .unwrap_or(0)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(
    listener: TcpListener,
    target: u16,
    shared: Arc<Shared>,
    tls: Option<tokio_rustls::TlsAcceptor>,
    mut stopped: watch::Receiver<()>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.changed() => return,
        };
        let Ok((client, _)) = accepted else { continue };
        let (shared, tls, mut stopped) = (Arc::clone(&shared), tls.clone(), stopped.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = serve(client, target, &shared, tls) => {}
                _ = stopped.changed() => {}
            }
        });
    }
}

async fn serve(
    client: TcpStream,
    target: u16,
    shared: &Shared,
    tls: Option<tokio_rustls::TlsAcceptor>,
) {
    let answered = match tls {
        None => answer(client, target, shared).await,
        Some(tls) => match tls.accept(client).await {
            Ok(client) => answer(client, target, shared).await,
            // Who does not believe the certificate hangs up.
            Err(_) => return,
        },
    };
    // Whoever hung up knows that.
    drop(answered);
}

/// What a proxied connection may be: plain or TLS.
trait Client: AsyncRead + AsyncWrite + Unpin {
    const ENCRYPTED: bool;

    /// Has the connection end with a reset.
    fn reset(&self);
}

impl Client for TcpStream {
    const ENCRYPTED: bool = false;

    fn reset(&self) {
        let _ = self.set_zero_linger();
    }
}

impl Client for tokio_rustls::server::TlsStream<TcpStream> {
    const ENCRYPTED: bool = true;

    fn reset(&self) {
        let _ = self.get_ref().0.set_zero_linger();
    }
}

async fn answer<C: Client>(mut client: C, target: u16, shared: &Shared) -> std::io::Result<()> {
    let request = read_request(&mut client).await?;
    let text = String::from_utf8_lossy(&request);
    let path = text.split(' ').nth(1).unwrap_or_default();
    let endpoint = Endpoint::of(path);
    let fault = endpoint.and_then(|endpoint| {
        *lock(&shared.asked).entry(endpoint).or_default() += 1;
        lock(&shared.faults).get(&endpoint).cloned()
    });
    match fault {
        None => {
            let whole = honest(&request, target, C::ENCRYPTED).await?;
            client.write_all(&whole).await?;
        }
        Some(Fault::Instead {
            status,
            headers,
            body,
        }) => {
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n"
            );
            client.write_all(head.as_bytes()).await?;
            client.write_all(&body).await?;
        }
        Some(Fault::Reset) => client.reset(),
        Some(Fault::Truncated) => {
            let whole = honest(&request, target, C::ENCRYPTED).await?;
            client
                .write_all(&whole[..whole.len() - whole.len() / 3])
                .await?;
        }
        Some(Fault::Hang) => hung_up(&mut client).await,
        Some(Fault::Drip) => {
            for byte in honest(&request, target, C::ENCRYPTED).await? {
                client.write_all(&[byte]).await?;
                if tokio::time::timeout(DRIP, hung_up(&mut client))
                    .await
                    .is_ok()
                {
                    break;
                }
            }
        }
        Some(Fault::Late(late)) => {
            tokio::select! {
                () = tokio::time::sleep(late) => {
                    client.write_all(&honest(&request, target, C::ENCRYPTED).await?).await?;
                }
                () = hung_up(&mut client) => {}
            }
        }
        Some(Fault::Huge) => {
            let head =
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n[";
            client.write_all(head.as_bytes()).await?;
            let blanks = vec![b' '; 64 * 1024];
            for _ in 0..HUGE / blanks.len() {
                client.write_all(&blanks).await?;
            }
        }
    }
    client.shutdown().await
}

/// Waits until the client gives up.
async fn hung_up(client: &mut (impl AsyncRead + Unpin)) {
    let mut rest = [0; 256];
    while matches!(client.read(&mut rest).await, Ok(1..)) {}
}

/// Head and body of one request, which has a length if it has a body.
async fn read_request(client: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Vec<u8>> {
    let mut request = Vec::new();
    loop {
        if let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"))
                .and_then(|length| length.trim().parse::<usize>().ok())
                .unwrap_or(0);
            if request.len() >= end + 4 + length {
                return Ok(request);
            }
        }
        if request.len() > MOST_REQUEST || client.read_buf(&mut request).await? == 0 {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
    }
}

/// What the provider answers.
async fn honest(request: &[u8], target: u16, encrypted: bool) -> std::io::Result<Vec<u8>> {
    let mut provider = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await?;
    // So that the end of the answer is the end of the connection.
    let end_of_line = request
        .iter()
        .position(|&byte| byte == b'\n')
        .map_or(0, |end| end + 1);
    provider.write_all(&request[..end_of_line]).await?;
    let scheme = if encrypted { "https" } else { "http" };
    let lines = format!("Connection: close\r\nX-Forwarded-Proto: {scheme}\r\n");
    provider.write_all(lines.as_bytes()).await?;
    provider.write_all(&request[end_of_line..]).await?;
    let mut answer = Vec::new();
    provider.read_to_end(&mut answer).await?;
    Ok(answer)
}
