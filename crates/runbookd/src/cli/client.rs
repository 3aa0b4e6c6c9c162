//! The daemon's API over the Unix socket in the state directory. One connection per request, bounded in time and size. Why hyper
//! alone: a client library would want certificates and a pool for a socket that needs neither.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::UnixStream;

use super::failure::Failure;
use super::show;
use crate::http::SOCKET;

/// The longest answer that is read.
const MOST_BYTES: usize = 64 << 20;
/// The daemon bounds its own answers; this only catches one that hangs.
const WITHIN: Duration = Duration::from_secs(120);
/// Reading the whole journal may take longer.
const WITHIN_LONG: Duration = Duration::from_secs(960);

/// A client of the daemon that has this state directory.
pub(super) struct Client {
    state: PathBuf,
}

impl Client {
    pub(super) fn new(state: PathBuf) -> Self {
        Self { state }
    }

    /// The state directory.
    pub(super) fn state(&self) -> &Path {
        &self.state
    }

    /// GET.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.ask(Method::GET, path, &Value::Null).await
    }

    /// POST.
    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        let body = serde_json::to_value(body).context("writing the request")?;
        self.ask(Method::POST, path, &body).await
    }

    /// DELETE.
    pub(super) async fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.ask(Method::DELETE, path, &Value::Null).await
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str, body: &Value) -> Result<T, Failure> {
        let within = if path.starts_with("journal/") { WITHIN_LONG } else { WITHIN };
        let asking = tokio::time::timeout(within, self.exchange(method, path, body));
        let answer = show::patiently("waiting for the daemon", asking).await;
        let no_answer =
            |_| Failure::failed(format!("the daemon gave no answer within {} s", within.as_secs()), "look at its log");
        let (status, answer) = answer.map_err(no_answer)??;
        if status.is_success() {
            let read =
                serde_json::from_slice(&answer).context("the daemon's answer cannot be read; are both of the same release?")?;
            return Ok(read);
        }
        Err(refusal(status, &answer))
    }

    async fn exchange(&self, method: Method, path: &str, body: &Value) -> Result<(StatusCode, Vec<u8>), Failure> {
        let stream = self.connect().await?;
        let exchange = async {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
            let request = Request::builder()
                .method(method)
                .uri(format!("/api/v1/{path}"))
                .header(header::HOST, "runbookd")
                .header(header::CONTENT_TYPE, "application/json")
                .body(body)?;
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = to_bytes(Body::new(response.into_body()), MOST_BYTES).await?;
            anyhow::Ok((status, body.to_vec()))
        };
        Ok(exchange.await.context("talking to the daemon")?)
    }

    async fn connect(&self) -> Result<UnixStream, Failure> {
        let path = self.state.join(SOCKET);
        UnixStream::connect(&path).await.map_err(|error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => Failure::Unreachable {
                why: format!("no daemon answers on {}", path.display()),
                mend: "start it (`runbookd serve`), or name its state directory with --state or RUNBOOKD_STATE".to_owned(),
            },
            ErrorKind::PermissionDenied => Failure::Unreachable {
                why: format!("{} may not be opened by you", path.display()),
                mend: "run this as the daemon's user, for example with sudo".to_owned(),
            },
            _ => Failure::Unreachable { why: format!("{} cannot be opened: {error}", path.display()), mend: String::new() },
        })
    }
}

/// What the daemon says no with: a sentence and its mend.
fn refusal(status: StatusCode, answer: &[u8]) -> Failure {
    let said: Value = serde_json::from_slice(answer).unwrap_or_default();
    let text = |name: &str| said[name].as_str().map(str::to_owned);
    let mut why = text("error").unwrap_or_else(|| format!("the daemon answers {status}"));
    for complaint in said["detail"].as_array().into_iter().flatten() {
        let part = |name: &str| complaint[name].as_str().unwrap_or_default().to_owned();
        why.push_str(&format!("; {}:{}:{}: {}", part("file"), complaint["line"], complaint["column"], part("message")));
    }
    let mend = text("mend").unwrap_or_default();
    match status {
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Failure::Usage { why, mend },
        _ => Failure::Failed { why, mend },
    }
}

/// A text as one segment of a path.
pub(super) fn segment(text: &str) -> String {
    let mut segment = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => segment.push(char::from(byte)),
            other => segment.push_str(&format!("%{other:02X}")),
        }
    }
    // A dot segment would be another path.
    if matches!(segment.as_str(), "." | "..") { segment.replace('.', "%2E") } else { segment }
}

#[cfg(test)]
mod tests {
    use super::segment;

    #[test]
    fn a_segment_stays_one_segment() {
        assert_eq!(segment("runbook:a b/c?d#e"), "runbook:a%20b%2Fc%3Fd%23e");
        assert_eq!(segment(".."), "%2E%2E");
        assert_eq!(segment("ü"), "%C3%BC");
    }
}
