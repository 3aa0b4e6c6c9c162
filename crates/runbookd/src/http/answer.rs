//! How answers look: JSON, an error as a sentence and its mend. Foreign words in them are made inert, because they end up on a
//! terminal. Deliberately no status that could be mistaken for a delivery: nothing here is a redirect.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use runbook::text::inert;
use serde::Serialize;

/// More characters of an error than anybody reads.
const LONGEST: usize = 2000;

/// Why a request was not done, and what to do about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Problem {
    status: StatusCode,
    error: String,
    mend: String,
    detail: Option<serde_json::Value>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, error: impl AsRef<str>, mend: impl AsRef<str>) -> Self {
        Self { status, error: inert(error.as_ref(), LONGEST), mend: inert(mend.as_ref(), LONGEST), detail: None }
    }

    /// The request itself is wrong.
    pub(super) fn bad(error: impl AsRef<str>, mend: impl AsRef<str>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error, mend)
    }

    /// There is no such thing.
    pub(super) fn absent(error: impl AsRef<str>, mend: impl AsRef<str>) -> Self {
        Self::new(StatusCode::NOT_FOUND, error, mend)
    }

    /// There is such a thing, and it does not allow that now.
    pub(super) fn conflict(error: impl AsRef<str>, mend: impl AsRef<str>) -> Self {
        Self::new(StatusCode::CONFLICT, error, mend)
    }

    /// The same with more for programs, under `detail`.
    pub(super) fn with_detail(mut self, detail: serde_json::Value) -> Self {
        self.detail = Some(detail);
        self
    }
}

impl From<anyhow::Error> for Problem {
    /// Something on our side failed: the journal, mostly. The caller is to come again.
    fn from(error: anyhow::Error) -> Self {
        tracing::error!("a request of the API failed: {error:#}");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, format!("{error:#}"), "see the daemon's log and `/readyz`; then ask again")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let mut body = serde_json::json!({"error": self.error, "mend": self.mend});
        if let (Some(detail), Some(object)) = (self.detail, body.as_object_mut()) {
            object.insert("detail".to_owned(), detail);
        }
        let mut response = typed(self.status, "application/json", body.to_string());
        let (name, value): (HeaderName, &str) = match self.status {
            StatusCode::UNAUTHORIZED => (header::WWW_AUTHENTICATE, "Bearer realm=\"runbookd\""),
            StatusCode::SERVICE_UNAVAILABLE => (header::RETRY_AFTER, "5"),
            StatusCode::REQUEST_TIMEOUT | StatusCode::PAYLOAD_TOO_LARGE => (header::CONNECTION, "close"),
            _ => return response,
        };
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// A value as JSON, 200.
pub(super) fn json(value: &impl Serialize) -> Response<Body> {
    match serde_json::to_string(value) {
        Ok(body) => typed(StatusCode::OK, "application/json", body),
        Err(error) => Problem::from(anyhow::Error::new(error).context("writing an answer")).into_response(),
    }
}

/// A line of text for people and for probes.
pub(super) fn line(status: StatusCode, text: &str) -> Response<Body> {
    typed(status, "text/plain; charset=utf-8", format!("{}\n", inert(text, LONGEST)))
}

/// A body of this type. Browsers are told not to guess another.
pub(super) fn typed(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
