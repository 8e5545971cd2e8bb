//! `portcullis health`: whether the service beside it runs, for containers, whose images have no `curl`.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use thiserror::Error;

use super::{complain, print, report};
use crate::config::{self, Listen};

/// All of it together: connecting, asking and the answer's first line. Less than the time that orchestrators
/// commonly give a probe, so that the reason is told.
const TIME_LIMIT: Duration = Duration::from_secs(3);

/// The longest first line of an answer that is read, in bytes.
const MAX_STATUS_LINE: usize = 256;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Ask whether requests can be decided (/health/ready), not only whether the process runs (/health/live)
    #[arg(long)]
    ready: bool,
}

/// Why nobody can say that the service is healthy.
#[derive(Debug, Error)]
enum HealthError {
    /// Port 0 is any that was free.
    #[error("server.admin_listen has port 0, so nobody can tell where the service listens")]
    NoPort,
    /// Nobody there, or nobody who answers in time.
    #[error("{listen} does not answer: {cause}")]
    Unreachable { listen: Listen, cause: io::Error },
    /// Somebody else listens there.
    #[error("{listen} does not answer in HTTP: something else listens there")]
    NotHttp { listen: Listen },
    /// The service's own word, or somebody else's.
    #[error("{listen}{path} answers {status}")]
    Unhealthy {
        listen: Listen,
        path: &'static str,
        status: u16,
    },
}

/// Asks. 0 when all is well, 1 when it is not or nobody answers in time.
///
/// The configuration says where to ask, and nothing else of it matters here: a mistake in it, or a secret that
/// this process may not read, does not make a running service unhealthy. Where it cannot be read at all, the
/// default address is asked, and the answer decides.
pub(super) fn run(config: Option<&Path>, arguments: &Arguments) -> ExitCode {
    let (listen, problems) = config::admin_listen(config);
    report("warning", &problems);
    let path = if arguments.ready {
        "/health/ready"
    } else {
        "/health/live"
    };
    match probe(&listen, path) {
        Ok(()) => print(&format!("{listen}{path} answers 200\n")),
        Err(error) => complain(&error.to_string()),
    }
}

/// Asks `listen` for `path`.
fn probe(listen: &Listen, path: &'static str) -> Result<(), HealthError> {
    let deadline = Instant::now() + TIME_LIMIT;
    let asked = match listen {
        Listen::Tcp(address) if address.port() == 0 => return Err(HealthError::NoPort),
        Listen::Tcp(address) => TcpStream::connect_timeout(&reachable(*address), TIME_LIMIT)
            .and_then(|stream| ask(stream, path, deadline)),
        Listen::Unix(socket) => {
            UnixStream::connect(socket).and_then(|stream| ask(stream, path, deadline))
        }
    };
    let line = asked.map_err(|cause| HealthError::Unreachable {
        listen: listen.clone(),
        cause,
    })?;
    match status(&line) {
        Some(200) => Ok(()),
        Some(status) => Err(HealthError::Unhealthy {
            listen: listen.clone(),
            path,
            status,
        }),
        None => Err(HealthError::NotHttp {
            listen: listen.clone(),
        }),
    }
}

/// Where a listener of this machine is reached: one that listens on every address, on loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// Sends the request, and returns the first line of the answer, which may be cut.
fn ask(mut stream: impl Stream, path: &str, deadline: Instant) -> io::Result<Vec<u8>> {
    stream.wait_until(deadline)?;
    // HTTP/1.0 (RFC 1945 §5.1): the other side closes, and sends nothing in pieces.
    let request = format!("GET {path} HTTP/1.0\r\nUser-Agent: portcullis-health\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut line = Vec::new();
    let mut piece = [0; MAX_STATUS_LINE];
    while line.len() < MAX_STATUS_LINE && !line.contains(&b'\n') {
        // Anew before each piece: somebody who drips must not keep us longer.
        stream.wait_until(deadline)?;
        match stream.read(&mut piece)? {
            0 => break,
            length => line.extend_from_slice(&piece[..length]),
        }
    }
    Ok(line)
}

/// The status of `HTTP/1.1 200 OK` (RFC 9112 §4).
fn status(line: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(line.split(|byte| *byte == b'\n').next()?).ok()?;
    let (version, rest) = line.split_once(' ')?;
    let known = matches!(version, "HTTP/1.0" | "HTTP/1.1");
    let code = rest.trim_end().split(' ').next()?;
    known.then(|| code.parse().ok())?
}

/// A connection whose waits can be bounded.
trait Stream: Read + Write {
    /// Bounds the next read and write; [`io::ErrorKind::TimedOut`] when the time is over.
    fn wait_until(&mut self, deadline: Instant) -> io::Result<()> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.bound(left)
    }

    fn bound(&mut self, wait: Duration) -> io::Result<()>;
}

impl Stream for TcpStream {
    fn bound(&mut self, wait: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(wait))?;
        self.set_write_timeout(Some(wait))
    }
}

impl Stream for UnixStream {
    fn bound(&mut self, wait: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(wait))?;
        self.set_write_timeout(Some(wait))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_read_from_http_alone() {
        #[rustfmt::skip]
        let cases: [(&[u8], Option<u16>); 9] = [
            (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n", Some(200)),
            (b"HTTP/1.0 503 Service Unavailable\r\n",     Some(503)),
            (b"HTTP/1.1 204\r\n",                         Some(204)),
            (b"HTTP/1.1 200",                             Some(200)),
            (b"",                                         None),
            (b"HTTP/1.1\r\n",                             None),
            (b"HTTP/9 200 OK\r\n",                        None),
            (b"SSH-2.0-OpenSSH 200\r\n",                  None),
            (b"\xff\xfe 200 OK\r\n",                      None),
        ];
        for (line, expected) in cases {
            assert_eq!(
                status(line),
                expected,
                "{:?}",
                String::from_utf8_lossy(line)
            );
        }
    }

    #[test]
    fn a_listener_on_every_address_is_asked_on_loopback() {
        let reached = |address: &str| reachable(address.parse().expect("an address")).to_string();
        assert_eq!(reached("0.0.0.0:9193"), "127.0.0.1:9193");
        assert_eq!(reached("[::]:9193"), "[::1]:9193");
        assert_eq!(reached("172.30.91.3:9193"), "172.30.91.3:9193");
    }
}
