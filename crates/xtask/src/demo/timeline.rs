//! What happened when, told while it happens: by Prometheus, Alertmanager, runbookd and Slack's stand-in.
//!
//! Times are seconds since the fault was switched on. runbookd's own steps carry the stamps of its journal; everything
//! else the moment at which it was seen. Deliberately no judgement here: that is `proof`'s.

use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use super::daemon::Daemon;
use super::proof::Before;
use crate::estate::{Estate, Fault};
use crate::{clock, progress, slack};

/// All of it must be over by then.
const PATIENCE: Duration = Duration::from_secs(90);

/// After the incident is closed, people must have been told by then.
const TELLING: Duration = Duration::from_secs(20);

/// When nothing new was posted for this long, people have been told all.
const NOTHING_MORE: Duration = Duration::from_secs(3);

/// Stands in runbookd's message for as long as the incident is open.
const GOING_ON: char = '\u{1F535}';

/// Lines are cut to this many characters.
const WIDTH: usize = 130;

/// What runbookd recorded about the incident of the demo, as its API tells it.
#[derive(Debug, Default)]
pub(super) struct Story {
    /// The incident's number, where one was opened.
    pub(super) id: Option<String>,
    /// Its events, oldest first, each as (kind, body).
    pub(super) events: Vec<(String, Value)>,
}

impl Story {
    /// The body of the last event of a kind.
    pub(super) fn last(&self, kind: &str) -> Option<&Value> {
        self.events.iter().rev().find(|(found, _)| found == kind).map(|(_, body)| body)
    }
}

/// The timeline of one fault.
pub(super) struct Timeline<'a> {
    fault: &'a Fault,
    zero: i64,
    seen: Vec<(i64, &'static str, String)>,
}

impl<'a> Timeline<'a> {
    pub(super) fn begin(fault: &'a Fault) -> Timeline<'a> {
        progress::show(format_args!("\n{:>8}  {:<13} what", "time", "who"));
        Timeline { fault, zero: clock::wall_millis(), seen: Vec::new() }
    }

    pub(super) fn fault_is_on(&mut self) {
        let what = format!("{} is on: {}", self.fault.name, self.fault.summary);
        self.now("fault", what);
    }

    /// Follows until the incident is closed, people were told and the alert is over, or patience is.
    pub(super) fn follow(
        &mut self,
        estate: &Estate,
        daemon: &Daemon,
        slack: &slack::StandIn,
        before: &mut Before,
    ) -> Result<Story> {
        let start = clock::now();
        let mut story = Story::default();
        let (mut state, mut delivered, mut told, mut ended) = (String::new(), false, 0, None);
        let (mut changes, mut changed) = (0, start);
        while start.elapsed() < PATIENCE {
            let earlier = state.clone();
            self.look_at_prometheus(estate, &mut state);
            if earlier.is_empty() && state == "pending" {
                // What was delivered until now is about earlier faults: the end of one is told a few seconds late.
                before.count_deliveries_from_now(estate)?;
            }
            if !delivered && !state.is_empty() && before.deliveries_since(estate)? > 0.0 {
                delivered = true;
                self.now("Alertmanager", "delivered to runbookd".to_owned());
            }
            self.look_at_runbookd(daemon, &mut story)?;
            let messages = slack.messages();
            for message in messages.iter().skip(told) {
                told += 1;
                let first = message.text.lines().next().unwrap_or_default();
                let channel = message.channel.as_str();
                let place = if message.thread_ts.is_some() { "thread" } else { channel };
                self.now("Slack", format!("{place}: {first}"));
            }
            self.flush();
            let closed = story.last("closed").is_some();
            if closed && ended.is_none() {
                ended = Some(clock::now());
            }
            // Slack takes one message a second or so: people are told a little later than it is over.
            let now: u64 = messages.iter().map(|message| 1 + u64::from(message.updates)).sum();
            if now != changes {
                (changes, changed) = (now, clock::now());
            }
            let over = messages.first().is_some_and(|message| !message.shown.contains(GOING_ON));
            let said = over && changed.elapsed() > NOTHING_MORE;
            let late = ended.is_some_and(|at| at.elapsed() > TELLING);
            // An alert that was not cured may fire for ever.
            let uncured = story.last("closed").is_some_and(|body| body["how"] != "cured");
            if closed && (state == "inactive" || uncured) && (said || late) {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(story)
    }

    fn look_at_prometheus(&mut self, estate: &Estate, state: &mut String) {
        let Ok(alerts) = estate.alerts() else {
            return;
        };
        let name = self.fault.alert.as_str();
        let alert = alerts.iter().find(|alert| alert["labels"]["alertname"] == name);
        let seen = alert.and_then(|alert| alert["state"].as_str()).unwrap_or("inactive");
        // Before it was active for the first time, "inactive" is no news.
        if seen != state && !(state.is_empty() && seen == "inactive") {
            let value = alert.and_then(|alert| alert["annotations"]["summary"].as_str());
            let value = value.map(|value| format!(": {value}")).unwrap_or_default();
            self.now("Prometheus", format!("{name} is {seen}{value}"));
            *state = seen.to_owned();
        }
    }

    fn look_at_runbookd(&mut self, daemon: &Daemon, story: &mut Story) -> Result<()> {
        if story.id.is_none() {
            story.id = daemon.incidents()?.first().map(|incident| plain(&incident["id"]));
        }
        let Some(id) = &story.id else {
            return Ok(());
        };
        let told = daemon.incident(&Value::from(id.as_str()))?;
        let events = told["events"].as_array().cloned().unwrap_or_default();
        for event in events.iter().skip(story.events.len()) {
            let (kind, body) = kind_and_body(event);
            let at = event["at"].as_i64().unwrap_or_else(clock::wall_millis);
            for sentence in sentences(&kind, &body) {
                self.seen.push((at, "runbookd", sentence));
            }
            story.events.push((kind, body));
        }
        Ok(())
    }

    fn now(&mut self, who: &'static str, what: String) {
        self.seen.push((clock::wall_millis(), who, what));
    }

    /// Prints what was seen since the last time, in the order in which it happened.
    fn flush(&mut self) {
        self.seen.sort_by_key(|(at, ..)| *at);
        for (at, who, what) in self.seen.drain(..) {
            #[expect(clippy::cast_precision_loss, reason = "milliseconds of a demo fit a double")]
            let seconds = (at - self.zero) as f64 / 1000.0;
            let what: String = what.chars().take(WIDTH).collect();
            progress::show(format_args!("{seconds:>7.2}s  {who:<13} {what}"));
        }
    }
}

/// A string without its quotes, anything else as JSON writes it.
pub(super) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// An event as `{"kind": body}`, or as the bare word of a kind without a body.
fn kind_and_body(event: &Value) -> (String, Value) {
    match &event["event"] {
        Value::String(kind) => (kind.clone(), Value::Null),
        Value::Object(map) => map.iter().next().map(|(kind, body)| (kind.clone(), body.clone())).unwrap_or_default(),
        _ => (plain(&event["kind"]), event["body"].clone()),
    }
}

/// One event for people, in one line or two; the journal's own words where it has some.
fn sentences(kind: &str, body: &Value) -> Vec<String> {
    let words = kind.replace('_', " ");
    let more = match kind {
        "opened" => {
            let (runbook, target) = (plain(&body["runbook"]), plain(&body["target"]));
            format!("an incident for runbook {runbook} on {target}")
        }
        "looked" | "verified" => numbers(&body["findings"]["looks"]),
        "action_started" => {
            let gates = body["gates"].as_array().map(Vec::len).unwrap_or_default();
            let count = pids(body).len();
            return vec![
                format!("decided: act, each of {gates} guards lets it pass"),
                format!("acts: {} on {count} sessions", action(&body["order"])),
            ];
        }
        "action_replied" => body["reply"].as_object().map(one_line).unwrap_or_default(),
        "settled" => body["verdict"].as_object().map(one_line).unwrap_or_default(),
        "closed" | "ending" => format!("{}: {}", plain(&body["how"]), plain(&body["why"])),
        "evidence_captured" => {
            let count = body["captured"]["evidence"].as_array().map(Vec::len).unwrap_or_default();
            format!("{count} pieces")
        }
        _ => body["why"].as_str().unwrap_or_default().to_owned(),
    };
    vec![if more.is_empty() { words } else { format!("{words}: {more}") }]
}

/// The first numbers that each look saw, by name.
fn numbers(looks: &Value) -> String {
    let mut told = Vec::new();
    for (look, finding) in looks.as_object().into_iter().flatten() {
        let fields = finding["seen"]["Known"]["fields"].as_object();
        if fields.is_none() {
            told.push(format!("{look} is unknown"));
        }
        for name in ["used_ratio", "total", "max", "idle", "idle_in_transaction"] {
            if let Some(number) = fields.and_then(|fields| fields.get(name)?["number"].as_f64()) {
                told.push(format!("{look}.{name} {number}"));
            }
        }
    }
    told.join(", ")
}

fn one_line(map: &serde_json::Map<String, Value>) -> String {
    map.iter().map(|(word, why)| format!("{} ({})", word.replace('_', " "), plain(why))).collect()
}

fn action(order: &Value) -> String {
    // Nested by system: {"postgres": {"terminate_idle": {..}}}.
    let mut names = Vec::new();
    let mut at = &order["action"];
    while let Some((name, within)) = at.as_object().filter(|map| map.len() == 1).and_then(|map| map.iter().next()) {
        names.push(spaced(name));
        at = within;
    }
    names.join(": ")
}

/// `TerminateIdle` or `terminate_idle` as words.
fn spaced(name: &str) -> String {
    let mut words = String::new();
    for (at, letter) in name.char_indices() {
        if letter == '_' || (letter.is_uppercase() && at > 0) {
            words.push(' ');
        }
        if letter != '_' {
            words.extend(letter.to_lowercase());
        }
    }
    words
}

/// The process ids of the sessions that an order names.
pub(super) fn pids(body: &Value) -> Vec<i64> {
    let selection = body["order"]["selection"].as_array().cloned().unwrap_or_default();
    selection.iter().filter_map(|identity| identity["Session"]["pid"].as_i64()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn events_are_told_in_a_line_or_two() {
        let event = json!({"at": 1, "event": {"action_started": {"gates": [{}, {}], "order": {
            "action": {"Postgres": {"TerminateIdle": {"at_most": 20, "keep": 5}}},
            "selection": [{"Session": {"pid": 7, "backend_start": 1}}]}}}});
        let (kind, body) = kind_and_body(&event);
        assert_eq!(
            sentences(&kind, &body),
            ["decided: act, each of 2 guards lets it pass", "acts: postgres: terminate idle on 1 sessions"]
        );
        assert_eq!(pids(&body), [7]);
        let looked = json!({"findings": {"looks": {
            "sessions": {"seen": {"Known": {"fields": {"used_ratio": {"number": 0.9}, "top": {"text": "x"}}}}},
            "other": {"seen": {"Unknown": "no route"}}}}});
        for (kind, body, expected) in [
            ("looked", looked, "looked: other is unknown, sessions.used_ratio 0.9"),
            ("settled", json!({"verdict": {"landed": "gone"}}), "settled: landed (gone)"),
            ("closed", json!({"how": "cured", "why": "it held"}), "closed: cured: it held"),
            ("woke", Value::Null, "woke"),
        ] {
            assert_eq!(sentences(kind, &body), [expected]);
        }
    }
}
