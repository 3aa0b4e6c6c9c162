//! The daemon's API over the Unix socket in the state directory. One connection per request, bounded in time and size. Why hyper
//! alone: a client library would want certificates and a pool for a socket that needs neither.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderValue, Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::UnixStream;

use super::failure::Failure;
use super::show;
use crate::http::{PERSON, SOCKET};

/// The longest answer that is read.
const MOST_BYTES: usize = 64 << 20;
/// The daemon bounds its own answers; this only catches one that hangs.
const WITHIN: Duration = Duration::from_secs(120);
/// More than any token.
const MOST_TOKEN: u64 = 4096;
/// Whoever stops something is in a hurry, and has another way.
const WITHIN_SHORT: Duration = Duration::from_secs(10);
/// Reading the whole journal may take longer.
const WITHIN_LONG: Duration = Duration::from_secs(960);

/// A client of the daemon that has this state directory.
pub(super) struct Client {
    state: PathBuf,
    /// Where the caller's own token is kept.
    token_file: Option<PathBuf>,
}

impl Client {
    pub(super) fn new(state: PathBuf, token_file: Option<PathBuf>) -> Self {
        Self { state, token_file }
    }

    /// The state directory.
    pub(super) fn state(&self) -> &Path {
        &self.state
    }

    /// GET.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.ask(Method::GET, path, &Value::Null, None).await
    }

    /// POST.
    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        let body = serde_json::to_value(body).context("writing the request")?;
        self.ask(Method::POST, path, &body, None).await
    }

    /// POST, with the caller's own token where they named a file that has it.
    pub(super) async fn post_as_oneself<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        let body = serde_json::to_value(body).context("writing the request")?;
        let token = self.token_file.as_deref().map(token_in).transpose()?;
        self.ask(Method::POST, path, &body, token.as_ref()).await
    }

    /// DELETE.
    pub(super) async fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.ask(Method::DELETE, path, &Value::Null, None).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &Value,
        token: Option<&HeaderValue>,
    ) -> Result<T, Failure> {
        let within = match path.split('/').next() {
            Some("journal") => WITHIN_LONG,
            Some("pauses") => WITHIN_SHORT,
            _ => WITHIN,
        };
        let asking = tokio::time::timeout(within, self.exchange(method, path, body, token));
        let answer = show::patiently("waiting for the daemon", asking).await;
        let no_answer = |_| Failure::Unwell {
            why: format!("the daemon gave no answer within {} s", within.as_secs()),
            mend: "look at its log".to_owned(),
        };
        let (status, answer) = answer.map_err(no_answer)??;
        if status.is_success() {
            let read =
                serde_json::from_slice(&answer).context("the daemon's answer cannot be read; are both of the same release?")?;
            return Ok(read);
        }
        Err(refusal(status, &answer))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: &Value,
        token: Option<&HeaderValue>,
    ) -> Result<(StatusCode, Vec<u8>), Failure> {
        let stream = self.connect().await?;
        let exchange = async {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
            let mut request = Request::builder()
                .method(method)
                .uri(format!("/api/v1/{path}"))
                .header(header::HOST, "runbookd")
                .header(header::CONTENT_TYPE, "application/json")
                .body(body)?;
            if let Some(token) = token {
                request.headers_mut().insert(PERSON, token.clone());
            }
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = to_bytes(Body::new(response.into_body()), MOST_BYTES).await?;
            anyhow::Ok((status, body.to_vec()))
        };
        let said: anyhow::Result<_> = exchange.await;
        said.map_err(|error| Failure::Unwell {
            why: format!("talking to the daemon failed: {error:#}"),
            mend: "look at its log".to_owned(),
        })
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

/// A person's own token, as a header that no log shows.
fn token_in(file: &Path) -> Result<HeaderValue, Failure> {
    let wrong = |why: String| {
        Failure::usage(format!("no token can be read from {}: {why}", file.display()), "name the file that holds your own token")
    };
    let mut text = String::new();
    let read = match file.to_str() {
        Some("-") => std::io::stdin().take(MOST_TOKEN).read_to_string(&mut text),
        _ => std::fs::File::open(file).and_then(|file| file.take(MOST_TOKEN).read_to_string(&mut text)),
    };
    read.map_err(|error| wrong(error.to_string()))?;
    let mut token = HeaderValue::from_str(text.trim()).map_err(|_| wrong("what is in it is no token".to_owned()))?;
    if token.is_empty() {
        return Err(wrong("it is empty".to_owned()));
    }
    token.set_sensitive(true);
    Ok(token)
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
        status if status.is_server_error() => Failure::Unwell { why, mend },
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
