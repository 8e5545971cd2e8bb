//! One connection to a proxy, over TLS, in HTTP/1.1 or HTTP/2: what is sent on it, and on which one, is the test's to
//! say.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Bytes, Frame};
use hyper::client::conn::{http1, http2};
use hyper::header::HeaderMap;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::browser::install_crypto;
use super::{Failure, Result};

const TIME_LIMIT: Duration = Duration::from_secs(20);

/// What requests carry.
pub type Content = UnsyncBoxBody<Bytes, Infallible>;

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    Http2,
}

impl Protocol {
    /// As ALPN names it.
    const fn name(self) -> &'static [u8] {
        match self {
            Self::Http1 => b"http/1.1",
            Self::Http2 => b"h2",
        }
    }
}

enum Sender {
    Http1(http1::SendRequest<Content>),
    Http2(http2::SendRequest<Content>),
}

pub struct Wire {
    sender: Sender,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Wire {
    /// A connection to the proxy on `port` that asks for the certificate of `host`, and for `protocol` alone.
    ///
    /// # Errors
    ///
    /// When nobody listens, or TLS fails, or the proxy does not speak it.
    pub async fn connect(
        root_pem: &[u8],
        port: u16,
        host: &str,
        protocol: Protocol,
    ) -> Result<Self> {
        let connecting = Self::connect_without_limit(root_pem, port, host, protocol);
        tokio::time::timeout(TIME_LIMIT, connecting)
            .await
            .map_err(Failure::of("connection"))?
    }

    async fn connect_without_limit(
        root_pem: &[u8],
        port: u16,
        host: &str,
        protocol: Protocol,
    ) -> Result<Self> {
        install_crypto();
        let root =
            CertificateDer::from_pem_slice(root_pem).map_err(Failure::of("root certificate"))?;
        let mut roots = RootCertStore::empty();
        roots.add(root).map_err(Failure::of("root certificate"))?;
        let mut config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.name().to_vec()];
        let name = ServerName::try_from(host.to_owned()).map_err(Failure::of("host"))?;
        let address = (Ipv4Addr::LOCALHOST, port);
        let socket = TcpStream::connect(address)
            .await
            .map_err(Failure::of(port))?;
        let connector = TlsConnector::from(Arc::new(config));
        let stream = connector
            .connect(name, socket)
            .await
            .map_err(Failure::of("TLS"))?;
        let spoken = stream.get_ref().1.alpn_protocol();
        // Who knows HTTP/1.1 alone need not choose it.
        if spoken.unwrap_or(Protocol::Http1.name()) != protocol.name() {
            return Err(Failure(format!("{protocol:?} is not spoken: {spoken:?}")));
        }
        let stream = TokioIo::new(stream);
        let sender = match protocol {
            Protocol::Http1 => {
                let (sender, connection) = http1::handshake(stream)
                    .await
                    .map_err(Failure::of("HTTP/1.1"))?;
                tokio::spawn(connection);
                Sender::Http1(sender)
            }
            Protocol::Http2 => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), stream)
                    .await
                    .map_err(Failure::of("HTTP/2"))?;
                tokio::spawn(connection);
                Sender::Http2(sender)
            }
        };
        Ok(Self { sender })
    }

    /// Sends `request` and reads the whole answer.
    ///
    /// # Errors
    ///
    /// When the connection ends, or no answer comes.
    pub async fn send(&mut self, request: Request<Content>) -> Result<Answer> {
        let answered = async {
            let response = match &mut self.sender {
                Sender::Http1(sender) => {
                    sender.ready().await.map_err(Failure::of("connection"))?;
                    sender.send_request(request).await
                }
                Sender::Http2(sender) => sender.send_request(request).await,
            };
            whole(response.map_err(Failure::of("answer"))?).await
        };
        tokio::time::timeout(TIME_LIMIT, answered)
            .await
            .map_err(Failure::of("answer"))?
    }

    /// A further sender on the same connection, for requests at the same time; `None` over HTTP/1.1, which has one
    /// request after the other.
    pub fn another(&self) -> Option<Self> {
        match &self.sender {
            Sender::Http1(_) => None,
            Sender::Http2(sender) => Some(Self {
                sender: Sender::Http2(sender.clone()),
            }),
        }
    }
}

async fn whole(response: Response<hyper::body::Incoming>) -> Result<Answer> {
    let (head, body) = response.into_parts();
    let body = body
        .collect()
        .await
        .map_err(Failure::of("body"))?
        .to_bytes();
    Ok(Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

/// No body.
pub fn nothing() -> Content {
    Empty::new().boxed_unsync()
}

/// A body that says how long it is.
pub fn sized(content: Vec<u8>) -> Content {
    Full::new(Bytes::from(content)).boxed_unsync()
}

/// A body in pieces, which does not.
pub fn in_pieces(content: &[u8], size: usize) -> Content {
    let pieces: Vec<_> = content
        .chunks(size)
        .map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece))))
        .collect();
    StreamBody::new(futures_util::stream::iter(pieces)).boxed_unsync()
}
