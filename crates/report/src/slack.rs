//! Slack's Web API: the few calls that telling needs. HTTP 200 says nothing there: `ok` in the body does. Every call has a deadline, an
//! answer is bounded, redirects are not followed (a token must not travel), and the token is fetched anew for each call, so that a
//! rotated one is used at once. Deliberately no incoming webhooks: they return no `ts`, so nothing could be updated or threaded.

mod answer;
mod checkup;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use reqwest::{Method, Url, header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

pub use answer::Answer;
pub use checkup::{CheckUp, check_up};

use crate::message::Message;
use crate::outgoing::{Kind, Outgoing};

/// The event type under which our messages carry their metadata.
pub const METADATA: &str = "runbookd";

/// Unless told otherwise: from the start of a call to the end of its answer.
const DEADLINE: Duration = Duration::from_secs(10);
/// From the start to a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How many pages of a history are read in search of a message.
const PAGES: usize = 5;

/// Where the bot token comes from: asked at every call, never kept.
pub type Token = Arc<dyn Fn() -> anyhow::Result<SecretString> + Send + Sync>;

/// A Slack workspace and the channel to write to.
#[derive(Clone)]
pub struct Slack {
    http: reqwest::Client,
    base: Url,
    channel: String,
    token: Token,
    deadline: Duration,
}

impl Slack {
    /// Where Slack really is.
    pub const BASE: &'static str = "https://slack.com/api/";

    /// A client. `base` ends in `/` and is [`Slack::BASE`] outside tests; `channel` is best given by id (`C…`).
    ///
    /// # Errors
    /// When the address is none, or TLS cannot be set up (no provider installed, no certificates on this machine).
    pub fn new(base: &str, channel: &str, token: Token) -> anyhow::Result<Self> {
        let base = if base.ends_with('/') { base.to_owned() } else { format!("{base}/") };
        let base: Url =
            base.parse().with_context(|| format!("`{base}` is no address of a Slack API; write for example {}", Self::BASE))?;
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("runbookd/", env!("CARGO_PKG_VERSION")))
            .build()
            .context("the HTTP client for Slack cannot be set up")?;
        Ok(Self { http, base, channel: channel.to_owned(), token, deadline: DEADLINE })
    }

    /// The same with another deadline for each call; 10 s where nothing is said.
    pub fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The configured channel.
    pub fn channel(&self) -> &str {
        &self.channel
    }

    /// Posts or updates one message, and gives back channel and `ts`.
    pub(crate) async fn send(&self, outgoing: &Outgoing, message: &Message) -> Answer<(String, String)> {
        // Slack's defaults differ between the two calls (`parse` is `client` for updates), so everything is said.
        let mut body = json!({
            "channel": outgoing.channel.as_deref().unwrap_or(&self.channel),
            "text": message.text,
            "blocks": message.blocks,
            "parse": "none",
            "link_names": false,
        });
        let method = match outgoing.kind {
            Kind::Update => {
                set(&mut body, "ts", json!(outgoing.ts));
                "chat.update"
            }
            Kind::Headline | Kind::Thread | Kind::Final => {
                set(&mut body, "unfurl_links", json!(false));
                set(&mut body, "unfurl_media", json!(false));
                set(&mut body, "metadata", json!({"event_type": METADATA, "event_payload": mark(outgoing)}));
                if outgoing.kind != Kind::Headline {
                    set(&mut body, "thread_ts", json!(outgoing.ts));
                    set(&mut body, "reply_broadcast", json!(outgoing.loud));
                }
                "chat.postMessage"
            }
        };
        self.call(method, Some(body), &[]).await.and_then(|said| {
            let text = |name: &str| said.get(name).and_then(Value::as_str).map(str::to_owned);
            match (text("channel"), text("ts")) {
                (Some(channel), Some(ts)) => Answer::Said((channel, ts)),
                _ => Answer::Lost(format!("{method} was accepted, and the answer does not say which message it became")),
            }
        })
    }

    /// Looks whether a message is there already, by its metadata.
    pub(crate) async fn find(&self, outgoing: &Outgoing) -> Answer<Option<(String, String)>> {
        let channel = outgoing.channel.clone().unwrap_or_else(|| self.channel.clone());
        // An hour earlier than the opening, because Slack's clock is not ours.
        let oldest = format!("{}.000000", (outgoing.opened.millis() / 1000).saturating_sub(3600).max(0));
        let wanted = mark(outgoing);
        let mut cursor = String::new();
        for _ in 0..PAGES {
            let mut query =
                vec![("channel", channel.clone()), ("limit", "200".to_owned()), ("include_all_metadata", "true".to_owned())];
            let method = match (&outgoing.kind, &outgoing.ts) {
                (Kind::Thread | Kind::Final, Some(ts)) => {
                    query.push(("ts", ts.clone()));
                    "conversations.replies"
                }
                _ => {
                    query.push(("oldest", oldest.clone()));
                    "conversations.history"
                }
            };
            if !cursor.is_empty() {
                query.push(("cursor", cursor));
            }
            let page = match self.call(method, None, &query).await {
                Answer::Said(page) => page,
                Answer::Refused(error) => return Answer::Refused(error),
                Answer::Later(wait, why) => return Answer::Later(wait, why),
                Answer::Lost(why) => return Answer::Lost(why),
            };
            let messages = page.get("messages").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let ours = |message: &&Value| {
                message.pointer("/metadata/event_type").and_then(Value::as_str) == Some(METADATA)
                    && message.pointer("/metadata/event_payload") == Some(&wanted)
            };
            if let Some(ts) = messages.iter().find(ours).and_then(|message| message.get("ts")).and_then(Value::as_str) {
                return Answer::Said(Some((channel, ts.to_owned())));
            }
            cursor = page.pointer("/response_metadata/next_cursor").and_then(Value::as_str).unwrap_or_default().to_owned();
            if cursor.is_empty() {
                break;
            }
        }
        Answer::Said(None)
    }

    // One call: JSON in where there is a body, a query otherwise; JSON out, bounded.
    async fn call(&self, method: &str, body: Option<Value>, query: &[(&str, String)]) -> Answer<Value> {
        let token = match (self.token)() {
            Ok(token) => token,
            Err(error) => return Answer::Later(Duration::from_secs(60), format!("the Slack token cannot be had: {error:#}")),
        };
        let Ok(address) = self.base.join(method) else { return Answer::Refused("invalid_address".to_owned()) };
        let mut authorization = match header::HeaderValue::from_str(&format!("Bearer {}", token.expose_secret().trim())) {
            Ok(value) => value,
            Err(_) => return Answer::Refused("invalid_auth".to_owned()),
        };
        authorization.set_sensitive(true);
        let request = match &body {
            Some(body) => self
                .http
                .request(Method::POST, address)
                .header(header::CONTENT_TYPE, "application/json; charset=utf-8")
                .body(body.to_string()),
            None => self.http.request(Method::GET, address).query(query),
        };
        answer::read(method, request.timeout(self.deadline).header(header::AUTHORIZATION, authorization).send().await).await
    }
}

// What our messages are found by: flat, as Slack wants it, and texts only, because they are compared when they come back.
fn mark(outgoing: &Outgoing) -> Value {
    json!({"incident": outgoing.incident.to_string(), "opened": outgoing.opened.to_string(), "key": outgoing.key})
}

fn set(body: &mut Value, name: &str, value: Value) {
    if let Some(object) = body.as_object_mut() {
        object.insert(name.to_owned(), value);
    }
}
