//! Reads what came back from Slack, and says what may be concluded: only a connection that never came about, a 429 and Slack's own
//! `ok:false` prove that nothing was taken. Deliberately no retry.

use std::time::Duration;

use reqwest::StatusCode;
use runbook::text::inert;
use serde_json::Value;

/// The longest answer that is read.
const LIMIT: usize = 4 << 20;
/// When to come back where Slack is not reached.
const AWAY: Duration = Duration::from_secs(15);
/// When to come back after a 429 that does not say.
const BUSY: Duration = Duration::from_secs(30);
/// The longest that a `Retry-After` is obeyed.
const LONGEST: Duration = Duration::from_secs(3600);

/// What one call came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer<T> {
    /// `ok:true`.
    Said(T),
    /// `ok:false`, with Slack's word for it.
    Refused(String),
    /// Nothing was taken; come back after this time.
    Later(Duration, String),
    /// It was sent, and no answer is known.
    Lost(String),
}

impl<T> Answer<T> {
    pub(crate) fn and_then<U>(self, then: impl FnOnce(T) -> Answer<U>) -> Answer<U> {
        match self {
            Answer::Said(value) => then(value),
            Answer::Refused(error) => Answer::Refused(error),
            Answer::Later(wait, why) => Answer::Later(wait, why),
            Answer::Lost(why) => Answer::Lost(why),
        }
    }
}

pub(crate) async fn read(method: &str, sent: reqwest::Result<reqwest::Response>) -> Answer<Value> {
    let response = match sent {
        Ok(response) => response,
        // The address stays out: it is configuration, and an error may be shown anywhere.
        Err(error) if error.is_connect() => return Answer::Later(AWAY, format!("Slack is not reached: {}", cause(error))),
        Err(error) if error.is_builder() => return Answer::Refused("invalid_request".to_owned()),
        Err(error) => return Answer::Lost(format!("{method} was sent, and no answer came: {}", cause(error))),
    };
    let status = response.status();
    if status == StatusCode::TOO_MANY_REQUESTS {
        let wait =
            response.headers().get(reqwest::header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let wait = wait.map_or(BUSY, Duration::from_secs).clamp(Duration::from_secs(1), LONGEST);
        return Answer::Later(wait, format!("Slack asks for {} of silence", runbook::text::humanize_duration(wait)));
    }
    let body = bounded(response).await;
    let said: Option<Value> = body.as_ref().ok().and_then(|body| serde_json::from_slice(body).ok());
    let word = |said: &Value| said.get("error").and_then(Value::as_str).map(str::to_owned);
    match (said, body) {
        (Some(said), _) if status.is_success() && said.get("ok") == Some(&Value::Bool(true)) => Answer::Said(said),
        (Some(said), _) if !status.is_server_error() && said.get("ok") == Some(&Value::Bool(false)) => {
            Answer::Refused(word(&said).unwrap_or_else(|| "no_reason_given".to_owned()))
        }
        (said, _) if status.is_server_error() => {
            let word = said.as_ref().and_then(word).map(|word| format!(" `{}`", inert(&word, 80))).unwrap_or_default();
            Answer::Lost(format!("{method} was answered with HTTP {}{word}: it may have been taken", status.as_u16()))
        }
        (_, Err(why)) => Answer::Lost(format!("{method} was sent, and its answer broke off: {why}")),
        // A proxy's page, a redirect: whatever this is, it is not Slack's API.
        _ if status.is_success() => {
            Answer::Lost(format!("{method} was answered with HTTP {} and no JSON of Slack's", status.as_u16()))
        }
        _ => Answer::Refused(format!("http_{}", status.as_u16())),
    }
}

async fn bounded(mut response: reqwest::Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > LIMIT => return Err(format!("it is longer than {LIMIT} bytes")),
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body),
            Err(error) => return Err(cause(error)),
        }
    }
}

fn cause(error: reqwest::Error) -> String {
    let timed_out = error.is_timeout();
    let error = error.without_url();
    let mut words = if timed_out { "the deadline passed".to_owned() } else { error.to_string() };
    let mut source = std::error::Error::source(&error);
    while let Some(inner) = source {
        words = format!("{words}: {inner}");
        source = inner.source();
    }
    inert(&words, 300)
}
