//! A stand-in for Slack's Web API on this machine, for the demo: it checks what it is sent as Slack does, and shows it.
//!
//! Rules kept (Slack's documentation of `chat.postMessage`, `chat.update`, `auth.test`): the token is a bearer token,
//! a body is JSON, every answer is 200 with `ok` true or false, a message is known by channel and `ts`, a reply names
//! its thread's `ts`, only a message that exists can be updated; what was posted is read by `conversations.history` and
//! `conversations.replies`, metadata included. Deliberately no rate limits, no paging and no other method.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

/// Bodies above this are refused (bytes).
const LARGEST: u64 = 1 << 20;

/// One message as it stands now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The channel.
    pub channel: String,
    /// Its `ts`.
    pub ts: String,
    /// The `ts` of the message that it replies to.
    pub thread_ts: Option<String>,
    /// Its text: what a notification shows.
    pub text: String,
    /// What the channel shows: its blocks, flattened, or the text where it has none.
    pub shown: String,
    /// How often it was updated.
    pub updates: u32,
    /// Its metadata, for machines.
    pub metadata: Value,
}

/// The running stand-in; it lives as long as the process.
#[derive(Debug, Clone)]
pub struct StandIn {
    port: u16,
    token: String,
    messages: Arc<Mutex<BTreeMap<String, Message>>>,
}

impl StandIn {
    /// Starts it on a free port of the loopback address; it accepts one token.
    ///
    /// # Errors
    /// When there is no free port.
    pub fn start(token: &str) -> Result<StandIn> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let stand_in = StandIn { port: listener.local_addr()?.port(), token: token.to_owned(), messages: Arc::default() };
        let serving = stand_in.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                std::thread::spawn(move || serving.serve(stream));
            }
        });
        Ok(stand_in)
    }

    /// Where its methods are: `URL/chat.postMessage`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/api", self.port)
    }

    /// All messages as they stand now, in the order in which they were posted.
    #[must_use]
    pub fn messages(&self) -> Vec<Message> {
        let messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        messages.values().cloned().collect()
    }

    fn serve(&self, mut stream: TcpStream) {
        let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
        let answer = match read(&stream) {
            // A person with a browser sees the messages.
            Some(request) if request.method == "GET" && !request.path.contains('.') => {
                (200, "text/plain; charset=utf-8", self.page())
            }
            Some(request) => (200, "application/json", self.answer(&request).to_string()),
            None => (400, "text/plain", "not a request\n".to_owned()),
        };
        let (status, kind, body) = answer;
        let _ = write!(
            stream,
            "HTTP/1.1 {status} OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
    }

    fn answer(&self, request: &Received) -> Value {
        if request.bearer.as_deref() != Some(self.token.as_str()) {
            return json!({"ok": false, "error": if request.bearer.is_none() { "not_authed" } else { "invalid_auth" }});
        }
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        let method = path.rsplit('/').next().unwrap_or_default();
        match method {
            "auth.test" => {
                return json!({"ok": true, "url": self.url(), "team": "stand-in", "user": "runbookd", "bot_id": "B1"});
            }
            "conversations.info" => {
                let channel = json!({"id": "C1", "name": "stand-in", "is_archived": false, "is_member": true});
                return json!({"ok": true, "channel": channel});
            }
            "conversations.history" => return self.read(None),
            "conversations.replies" => {
                let parent = query.split('&').find_map(|pair| pair.strip_prefix("ts="));
                return self.read(Some(parent.unwrap_or_default()));
            }
            _ => {}
        }
        if !request.kind.starts_with("application/json") {
            return json!({"ok": false, "error": "invalid_post_type"});
        }
        let Ok(body) = serde_json::from_slice::<Value>(&request.body) else {
            return json!({"ok": false, "error": "invalid_json"});
        };
        match method {
            "chat.postMessage" => self.post(&body),
            "chat.update" => self.update(&body),
            _ => json!({"ok": false, "error": "unknown_method"}),
        }
    }

    fn post(&self, body: &Value) -> Value {
        let Some(channel) = body["channel"].as_str().filter(|channel| !channel.is_empty()) else {
            return json!({"ok": false, "error": "channel_not_found"});
        };
        let (text, shown) = texts_of(body);
        if shown.trim().is_empty() {
            return json!({"ok": false, "error": "no_text"});
        }
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        let thread_ts = body["thread_ts"].as_str().map(str::to_owned);
        if thread_ts.as_ref().is_some_and(|ts| !messages.contains_key(ts)) {
            return json!({"ok": false, "error": "thread_not_found"});
        }
        let ts = format!("1700000000.{:06}", messages.len() + 1);
        messages.insert(
            ts.clone(),
            Message {
                channel: channel.to_owned(),
                ts: ts.clone(),
                thread_ts: thread_ts.clone(),
                text,
                shown,
                updates: 0,
                metadata: body["metadata"].clone(),
            },
        );
        let mut message = json!({"text": body["text"], "ts": ts});
        if let Some(thread) = thread_ts {
            message["thread_ts"] = thread.into();
        }
        json!({"ok": true, "channel": channel, "ts": ts, "message": message})
    }

    /// The channel's messages, newest first, or a thread's, oldest first.
    fn read(&self, parent: Option<&str>) -> Value {
        let mut found = self.messages();
        match parent {
            Some(ts) => found.retain(|message| message.ts == ts || message.thread_ts.as_deref() == Some(ts)),
            None => {
                found.retain(|message| message.thread_ts.is_none());
                found.reverse();
            }
        }
        let told = found
            .iter()
            .map(|message| json!({"type": "message", "ts": message.ts, "text": message.text, "metadata": message.metadata}));
        json!({"ok": true, "messages": told.collect::<Vec<_>>(), "has_more": false})
    }

    fn update(&self, body: &Value) -> Value {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        let known = body["ts"].as_str().and_then(|ts| messages.get_mut(ts));
        match known {
            Some(message) if body["channel"] == message.channel.as_str() => {
                (message.text, message.shown) = texts_of(body);
                message.updates += 1;
                json!({"ok": true, "channel": message.channel, "ts": message.ts, "text": body["text"]})
            }
            _ => json!({"ok": false, "error": "message_not_found"}),
        }
    }

    fn page(&self) -> String {
        let mut page = String::from("Messages as Slack would show them\n\n");
        for message in self.messages() {
            let indent = if message.thread_ts.is_some() { "    " } else { "" };
            let edited = if message.updates > 0 { " (edited)" } else { "" };
            page.push_str(&format!("{indent}{} {}{edited}\n", message.channel, message.ts));
            for line in message.shown.lines() {
                page.push_str(&format!("{indent}  {line}\n"));
            }
            page.push('\n');
        }
        page
    }
}

struct Received {
    method: String,
    path: String,
    bearer: Option<String>,
    kind: String,
    body: Vec<u8>,
}

fn read(stream: &TcpStream) -> Option<Received> {
    let mut reader = BufReader::new(stream.take(LARGEST + (64 << 10)));
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let (mut bearer, mut kind, mut length) = (None, String::new(), 0_u64);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "authorization" => bearer = value.strip_prefix("Bearer ").map(str::to_owned),
            "content-type" => kind = value.to_owned(),
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    if length > LARGEST {
        return None;
    }
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body).ok()?;
    Some(Received { method, path, bearer, kind, body })
}

/// A message's text, and what is shown of it, as a person sees them: three characters arrive escaped.
fn texts_of(body: &Value) -> (String, String) {
    fn walk(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| walk(item, found)),
            Value::Object(map) => match &map.get("text") {
                Some(Value::String(text)) => found.push(text.clone()),
                _ => map.values().for_each(|item| walk(item, found)),
            },
            _ => {}
        }
    }
    let unescaped = |text: &str| text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    let text = unescaped(body["text"].as_str().unwrap_or_default());
    let mut found = Vec::new();
    walk(&body["blocks"], &mut found);
    let shown = if found.is_empty() { text.clone() } else { unescaped(&found.join("\n")) };
    (text, shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Request;

    #[test]
    fn it_keeps_slacks_rules() {
        let slack = StandIn::start("xoxb-demo").unwrap();
        let ask = |method: &str, token: &str, body: Value| {
            Request::post(&format!("{}/{method}", slack.url())).bearer(token).json(&body).send().unwrap().json().unwrap()
        };
        assert_eq!(ask("auth.test", "wrong", json!({}))["error"], "invalid_auth");
        assert_eq!(ask("auth.test", "xoxb-demo", json!({}))["ok"], true);
        let posted = ask("chat.postMessage", "xoxb-demo", json!({"channel": "C1", "text": "one"}));
        let ts = posted["ts"].clone();
        let reply = json!({"channel": "C1", "text": "two", "thread_ts": ts});
        assert_eq!(ask("chat.postMessage", "xoxb-demo", reply)["ok"], true);
        let astray = json!({"channel": "C1", "text": "three", "thread_ts": "1.1"});
        assert_eq!(ask("chat.postMessage", "xoxb-demo", astray)["error"], "thread_not_found");
        let update = json!({"channel": "C1", "ts": ts, "text": "won", "blocks": [{"text": {"text": "block"}}]});
        assert_eq!(ask("chat.update", "xoxb-demo", update)["ok"], true);
        let elsewhere = json!({"channel": "C2", "ts": ts, "text": "won"});
        assert_eq!(ask("chat.update", "xoxb-demo", elsewhere)["error"], "message_not_found");
        let messages = slack.messages();
        assert_eq!(messages.len(), 2);
        assert_eq!((messages[0].text.as_str(), messages[0].shown.as_str(), messages[0].updates), ("won", "block", 1));
        let page = Request::get(&slack.url()).send().unwrap().text();
        assert!(page.contains("(edited)"), "{page}");
    }
}
