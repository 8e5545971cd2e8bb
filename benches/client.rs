//! A client that costs little: one connection, one request after the other, nothing read but status and headers.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use crate::kit::{Failure, Result};

const TIME_LIMIT: Duration = Duration::from_secs(10);
/// More than any answer here.
const MOST_BYTES: usize = 256 * 1024;

/// A connection.
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// What came back.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

impl Client {
    /// Connects to a port of this machine.
    pub fn connect(port: u16) -> Result<Self> {
        let connected = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).and_then(|stream| {
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(TIME_LIMIT))?;
            Ok(stream)
        });
        Ok(Self {
            stream: connected.map_err(Failure::of(format!("port {port}")))?,
            buffer: Vec::new(),
        })
    }

    /// Sends a whole request and reads the whole answer.
    pub fn ask(&mut self, request: &str) -> Result<Answer> {
        self.stream
            .write_all(request.as_bytes())
            .map_err(Failure::of("request"))?;
        self.buffer.clear();
        let end = self.read_until(|bytes| {
            let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
            Some(end + 4)
        })?;
        let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let status = status.and_then(|status| status.parse().ok());
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
        let mut answer = Answer {
            status: status.ok_or_else(|| Failure(format!("no status: {head}")))?,
            headers: headers.collect(),
            body: Vec::new(),
        };
        let length = answer.header("content-length").unwrap_or("0");
        let length: usize = length.parse().map_err(Failure::of("content-length"))?;
        self.read_until(|bytes| (bytes.len() >= end + length).then_some(end + length))?;
        answer.body = self.buffer.split_off(end);
        Ok(answer)
    }

    fn read_until(&mut self, is_there: impl Fn(&[u8]) -> Option<usize>) -> Result<usize> {
        let mut chunk = [0; 16 * 1024];
        loop {
            if let Some(end) = is_there(&self.buffer) {
                return Ok(end);
            }
            let read = self
                .stream
                .read(&mut chunk)
                .map_err(Failure::of("answer"))?;
            if read == 0 || self.buffer.len() > MOST_BYTES {
                return Err(Failure::new("the answer has no end"));
            }
            self.buffer.extend(&chunk[..read]);
        }
    }
}

/// Asks once, over a connection of its own.
pub fn ask(port: u16, request: &str) -> Result<Answer> {
    Client::connect(port)?.ask(request)
}
