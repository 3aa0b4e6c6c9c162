//! A small HTTP/1.1 client over TCP or a Unix socket: one request, one answer, one connection.
//!
//! Why our own: this crate must build in seconds, and all it ever asks are servers on this machine. Deliberately
//! no TLS, no redirects, no connection kept: the answer is read to its end, at most [`LARGEST`] bytes of it.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Answers above this size are an error (bytes).
pub const LARGEST: u64 = 64 << 20;

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The head, as it was sent.
    pub head: String,
    /// The body, decoded if it came in chunks.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// When it is not JSON; the beginning of the body is told.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| {
            let text: String = self.text().chars().take(200).collect();
            format!("status {} and no JSON: {text}", self.status)
        })
    }

    /// Itself when the status is 2xx.
    ///
    /// # Errors
    /// With the status and the beginning of the body otherwise.
    pub fn ok(self) -> Result<Answer> {
        if !(200..300).contains(&self.status) {
            let text: String = self.text().chars().take(500).collect();
            bail!("status {}: {text}", self.status);
        }
        Ok(self)
    }
}

/// A request to be sent; `Request::get("http://127.0.0.1:9090/-/ready").send()`.
#[derive(Debug, Clone)]
pub struct Request {
    method: String,
    host: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    deadline: Duration,
}

impl Request {
    /// A request of any method; the address is `http://host:port/path` (or `http://localhost/path` for a Unix socket).
    #[must_use]
    pub fn new(method: &str, url: &str) -> Request {
        let rest = url.strip_prefix("http://").unwrap_or(url);
        let (host, path) = match rest.find('/') {
            Some(at) => (&rest[..at], &rest[at..]),
            None => (rest, "/"),
        };
        Request {
            method: method.to_owned(),
            host: host.to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            deadline: Duration::from_secs(10),
        }
    }

    /// A GET.
    #[must_use]
    pub fn get(url: &str) -> Request {
        Request::new("GET", url)
    }

    /// A POST without a body.
    #[must_use]
    pub fn post(url: &str) -> Request {
        Request::new("POST", url)
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Request {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a bearer token.
    #[must_use]
    pub fn bearer(self, token: &str) -> Request {
        self.header("Authorization", &format!("Bearer {}", token.trim()))
    }

    /// With a body of JSON.
    #[must_use]
    pub fn json(mut self, body: &Value) -> Request {
        self.body = body.to_string().into_bytes();
        self.header("Content-Type", "application/json")
    }

    /// Each read and write, and the connect, may take this long (10 s unless told).
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Request {
        self.deadline = deadline;
        self
    }

    /// Sends it over TCP.
    ///
    /// # Errors
    /// When the server cannot be reached, does not answer in time, or answers something that is not HTTP.
    pub fn send(&self) -> Result<Answer> {
        let told = || format!("{} http://{}{}", self.method, self.host, self.path);
        let address = self.host.to_socket_addrs().with_context(told)?.next().with_context(told)?;
        let stream = TcpStream::connect_timeout(&address, self.deadline).with_context(told)?;
        stream.set_read_timeout(Some(self.deadline))?;
        stream.set_write_timeout(Some(self.deadline))?;
        self.exchange(stream).with_context(told)
    }

    /// Sends it over a Unix socket.
    ///
    /// # Errors
    /// As [`Request::send`].
    pub fn send_unix(&self, socket: &Path) -> Result<Answer> {
        let told = || format!("{} {} over {}", self.method, self.path, socket.display());
        let stream = UnixStream::connect(socket).with_context(told)?;
        stream.set_read_timeout(Some(self.deadline))?;
        stream.set_write_timeout(Some(self.deadline))?;
        self.exchange(stream).with_context(told)
    }

    fn exchange(&self, mut stream: impl Read + Write) -> Result<Answer> {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.method, self.path, self.host);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !self.body.is_empty() || self.method != "GET" {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes())?;
        stream.write_all(&self.body)?;
        stream.flush()?;
        let mut bytes = Vec::new();
        if let Err(error) = stream.take(LARGEST + 1).read_to_end(&mut bytes) {
            // A server that closes with unread input resets the connection after its answer: keep the answer.
            if bytes.is_empty() {
                return Err(error).context("no answer");
            }
        }
        if bytes.len() as u64 > LARGEST {
            bail!("the answer is larger than {LARGEST} bytes");
        }
        parse(&bytes)
    }
}

fn parse(bytes: &[u8]) -> Result<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").context("the answer ends within its head")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split_whitespace().nth(1).and_then(|word| word.parse().ok()).context("the answer is not HTTP")?;
    let raw = &bytes[end + 4..];
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { joined(raw)? } else { raw.to_vec() };
    Ok(Answer { status, head, body })
}

fn joined(mut raw: &[u8]) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = raw.windows(2).position(|window| window == b"\r\n").context("the answer ends within a chunk")?;
        let size = std::str::from_utf8(&raw[..line])?;
        let size = size.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).context("a chunk without a size")?;
        raw = &raw[line + 2..];
        if size == 0 {
            return Ok(body);
        }
        body.extend_from_slice(raw.get(..size).context("the answer ends within a chunk")?);
        raw = raw.get(size + 2..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_joined() {
        let answer = parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n").unwrap();
        assert_eq!(answer.text(), "abcde");
    }

    #[test]
    fn a_status_that_is_not_2xx_is_an_error_with_its_reason() {
        let answer = parse(b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nfull").unwrap();
        assert_eq!(answer.status, 503);
        assert_eq!(answer.ok().unwrap_err().to_string(), "status 503: full");
    }

    #[test]
    fn what_is_cut_off_is_an_error() {
        assert!(parse(b"HTTP/1.1 200 OK\r\n").is_err());
        assert!(parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc").is_err());
    }
}
