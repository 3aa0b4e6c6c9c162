//! A local server in Slack's place that checks what it is sent as Slack does, keeps what it accepted, and fails on demand. Why a stand-in:
//! it is the one neighbour that cannot be run here; so it is strict, and everything that Slack would have let pass but that we do not
//! want (a mention, a missing fallback, a doubtful size) is a complaint that every test must find empty.
//!
//! The rules are from Slack's documentation of `chat.postMessage`, `chat.update`, `conversations.history|replies|info`, `auth.test` and of
//! Block Kit. Deliberately not here: rate limits of its own, users, files.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, Response, StatusCode, header};
use serde_json::{Value, json};

use super::slack_rules;

/// How the next call fails.
#[derive(Clone, Debug)]
pub enum Fault {
    /// 429 with this `Retry-After`, in seconds; nothing is taken.
    TooMany(u64),
    /// This HTTP status and no JSON; nothing is taken.
    Status(u16),
    /// 200 with `ok:false` and this word; nothing is taken.
    Refuse(&'static str),
    /// No answer, ever; nothing is taken.
    Silence,
    /// The message is taken, and the connection is cut instead of an answer.
    TakeAndCut,
}

/// A message as it stands now.
#[derive(Clone, Debug)]
pub struct Posted {
    /// Its name.
    pub ts: String,
    /// The message it replies to.
    pub thread_ts: Option<String>,
    /// The fallback.
    pub text: String,
    /// What is shown.
    pub blocks: Vec<Value>,
    /// What it is found by.
    pub metadata: Value,
    /// A reply that is shown in the channel.
    pub broadcast: bool,
    /// How often it was updated.
    pub updates: u32,
    /// Somebody else wrote it.
    pub foreign: bool,
}

#[derive(Default)]
struct Desk {
    token: String,
    may_read: bool,
    member: bool,
    messages: Vec<Posted>,
    calls: Vec<String>,
    complaints: Vec<String>,
    faults: VecDeque<Fault>,
    stamps: u32,
}

/// The id of its one channel, which is called `incidents`.
pub const CHANNEL: &str = "C0STANDIN";

/// A running stand-in; ends on drop.
pub struct SlackStandin {
    address: SocketAddr,
    desk: Arc<Mutex<Desk>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for SlackStandin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl SlackStandin {
    /// Starts one that knows the token `xoxb-first`, may read its channel, and is in it.
    pub async fn start() -> Self {
        let desk = Desk { token: "xoxb-first".to_owned(), may_read: true, member: true, ..Desk::default() };
        let desk = Arc::new(Mutex::new(desk));
        let routes = axum::Router::new().route("/api/{method}", axum::routing::any(call)).with_state(Arc::clone(&desk));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { address, desk, task }
    }

    /// Where it is, as configuration names it.
    pub fn base(&self) -> String {
        format!("http://{}/api/", self.address)
    }

    /// The coming calls of `chat.*` fail like this, one each, in this order.
    pub fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.desk.lock().unwrap().faults.extend(faults);
    }

    /// From now on only this token is known.
    pub fn rotate(&self, token: &str) {
        self.desk.lock().unwrap().token = token.to_owned();
    }

    /// Whether the token has the scopes for reading, and whether the app is in the channel.
    pub fn allow(&self, may_read: bool, member: bool) {
        let mut desk = self.desk.lock().unwrap();
        desk.may_read = may_read;
        desk.member = member;
    }

    /// Somebody else writes something.
    pub fn chatter(&self, text: &str) -> String {
        let mut desk = self.desk.lock().unwrap();
        let (ts, metadata) = (desk.stamp(), Value::Null);
        let said = Posted {
            ts: ts.clone(),
            thread_ts: None,
            text: text.to_owned(),
            blocks: vec![],
            metadata,
            broadcast: false,
            updates: 0,
            foreign: true,
        };
        desk.messages.push(said);
        ts
    }

    /// Somebody deletes a message.
    pub fn delete(&self, ts: &str) {
        self.desk.lock().unwrap().messages.retain(|message| message.ts != ts);
    }

    /// Everything that is in the channel and its threads, oldest first.
    pub fn messages(&self) -> Vec<Posted> {
        self.desk.lock().unwrap().messages.clone()
    }

    /// The methods that were called, in order.
    pub fn calls(&self) -> Vec<String> {
        self.desk.lock().unwrap().calls.clone()
    }

    /// What was not as it should be.
    pub fn complaints(&self) -> Vec<String> {
        self.desk.lock().unwrap().complaints.clone()
    }
}

impl Desk {
    fn stamp(&mut self) -> String {
        self.stamps += 1;
        format!("1750039860.{:06}", self.stamps)
    }

    fn post(&mut self, body: &Value) -> Result<Value, String> {
        let thread_ts = body.get("thread_ts").filter(|ts| !ts.is_null());
        let thread_ts = match thread_ts {
            None => None,
            Some(ts) => {
                let ts = ts.as_str().ok_or("invalid_arguments")?;
                let parent = self.messages.iter().find(|message| message.ts == ts).ok_or("thread_not_found")?;
                if parent.thread_ts.is_some() {
                    self.complaints.push(format!("{ts} is a reply, and was given as a parent"));
                }
                Some(ts.to_owned())
            }
        };
        for (name, wanted) in [
            ("parse", json!("none")),
            ("link_names", json!(false)),
            ("unfurl_links", json!(false)),
            ("unfurl_media", json!(false)),
        ] {
            if body.get(name) != Some(&wanted) {
                self.complaints.push(format!("`{name}` is not {wanted}"));
            }
        }
        let ts = self.stamp();
        self.messages.push(Posted {
            ts: ts.clone(),
            thread_ts,
            text: body["text"].as_str().unwrap_or_default().to_owned(),
            blocks: body["blocks"].as_array().cloned().unwrap_or_default(),
            metadata: body.get("metadata").cloned().unwrap_or(Value::Null),
            broadcast: body["reply_broadcast"] == json!(true),
            updates: 0,
            foreign: false,
        });
        Ok(json!({"ok": true, "channel": CHANNEL, "ts": ts, "message": {"text": body["text"]}}))
    }

    fn update(&mut self, body: &Value) -> Result<Value, String> {
        if body["channel"] != json!(CHANNEL) {
            // Updates take an id, never a name.
            return Err("channel_not_found".to_owned());
        }
        let ts = body["ts"].as_str().ok_or("invalid_arguments")?;
        let message = self.messages.iter_mut().find(|message| message.ts == ts).ok_or("message_not_found")?;
        if message.foreign {
            return Err("cant_update_message".to_owned());
        }
        message.text = body["text"].as_str().unwrap_or_default().to_owned();
        message.blocks = body["blocks"].as_array().cloned().unwrap_or_default();
        message.updates += 1;
        Ok(json!({"ok": true, "channel": CHANNEL, "ts": ts, "text": message.text}))
    }

    // Newest first for a channel, oldest first for a thread, in pages.
    fn read(&self, method: &str, query: &[(String, String)]) -> Result<Value, String> {
        let asked = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        if !self.may_read {
            return Err("missing_scope".to_owned());
        }
        if asked("channel") != Some(CHANNEL) {
            return Err("channel_not_found".to_owned());
        }
        let mut found: Vec<&Posted> = match method {
            "conversations.replies" => {
                let parent = asked("ts").ok_or("invalid_arguments")?;
                if !self.messages.iter().any(|message| message.ts == parent) {
                    return Err("thread_not_found".to_owned());
                }
                self.messages
                    .iter()
                    .filter(|message| message.ts == parent || message.thread_ts.as_deref() == Some(parent))
                    .collect()
            }
            _ => self.messages.iter().filter(|message| message.thread_ts.is_none()).rev().collect(),
        };
        let limit: usize = asked("limit").and_then(|limit| limit.parse().ok()).unwrap_or(100).min(2);
        let from: usize = asked("cursor").and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
        let more = found.len() > from + limit;
        found = found.into_iter().skip(from).take(limit).collect();
        let shown = found.iter().map(|message| {
            let mut shown = json!({"type": "message", "ts": message.ts, "text": message.text});
            if asked("include_all_metadata") == Some("true") && !message.metadata.is_null() {
                shown["metadata"] = message.metadata.clone();
            }
            shown
        });
        let cursor = if more { (from + limit).to_string() } else { String::new() };
        Ok(json!({"ok": true, "messages": shown.collect::<Vec<_>>(), "response_metadata": {"next_cursor": cursor}}))
    }

    fn answer(
        &mut self,
        verb: &Method,
        method: &str,
        headers: &HeaderMap,
        query: &[(String, String)],
        body: &[u8],
    ) -> Result<Value, String> {
        let header = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if query.iter().any(|(key, _)| key == "token") {
            self.complaints.push("a token stands in the address".to_owned());
        }
        match header(header::AUTHORIZATION) {
            "" => return Err("not_authed".to_owned()),
            given if given != format!("Bearer {}", self.token) => return Err("invalid_auth".to_owned()),
            _ => {}
        }
        let body: Value = if verb == Method::POST {
            if header(header::CONTENT_TYPE) != "application/json; charset=utf-8" {
                self.complaints.push(format!("the content type is {}", header(header::CONTENT_TYPE)));
            }
            serde_json::from_slice(body).map_err(|_| "invalid_json".to_owned())?
        } else {
            Value::Null
        };
        match method {
            "auth.test" => Ok(
                json!({"ok": true, "url": "https://standin.slack.com/", "team": "Standin", "user": "runbookd", "bot_id": "B1"}),
            ),
            "conversations.info" if !self.may_read => Err("missing_scope".to_owned()),
            "conversations.info" => {
                let known = query.iter().any(|(key, value)| key == "channel" && value == CHANNEL);
                let channel = json!({"id": CHANNEL, "name": "incidents", "is_archived": false, "is_member": self.member});
                if known { Ok(json!({"ok": true, "channel": channel})) } else { Err("channel_not_found".to_owned()) }
            }
            "conversations.history" | "conversations.replies" => self.read(method, query),
            "chat.postMessage" | "chat.update" => {
                let known = [CHANNEL, "incidents", "#incidents"].iter().any(|name| body["channel"] == json!(name));
                if !known {
                    return Err("channel_not_found".to_owned());
                }
                if !self.member {
                    return Err("not_in_channel".to_owned());
                }
                slack_rules::check(&body, &mut self.complaints)?;
                if method == "chat.update" { self.update(&body) } else { self.post(&body) }
            }
            _ => Err("unknown_method".to_owned()),
        }
    }
}

async fn call(
    State(desk): State<Arc<Mutex<Desk>>>,
    Path(method): Path<String>,
    Query(query): Query<Vec<(String, String)>>,
    verb: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let fault = {
        let mut desk = desk.lock().unwrap();
        desk.calls.push(method.clone());
        if method.starts_with("chat.") { desk.faults.pop_front() } else { None }
    };
    let with = |status: u16| Response::builder().status(StatusCode::from_u16(status).unwrap());
    match &fault {
        Some(Fault::TooMany(seconds)) => return with(429).header(header::RETRY_AFTER, *seconds).body(Body::empty()).unwrap(),
        Some(Fault::Status(status)) => return with(*status).body(Body::from("<html>oops</html>")).unwrap(),
        Some(Fault::Refuse(word)) => return said(&json!({"ok": false, "error": word})),
        Some(Fault::Silence) => std::future::pending().await,
        Some(Fault::TakeAndCut) | None => {}
    }
    let answer = desk.lock().unwrap().answer(&verb, &method, &headers, &query, &body);
    if let Some(Fault::TakeAndCut) = fault {
        let cut = futures_util::stream::once(async { Err::<Bytes, _>(std::io::Error::other("cut on purpose")) });
        return with(200).body(Body::from_stream(cut)).unwrap();
    }
    match answer {
        Ok(answer) => said(&answer),
        Err(word) => said(&json!({"ok": false, "error": word})),
    }
}

fn said(answer: &Value) -> Response<Body> {
    let json = Body::from(answer.to_string());
    Response::builder().header(header::CONTENT_TYPE, "application/json; charset=utf-8").body(json).unwrap()
}
