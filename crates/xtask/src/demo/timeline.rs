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
        self.events
            .iter()
            .rev()
            .find(|(found, _)| found == kind)
            .map(|(_, body)| body)
    }
}

/// The timeline of one fault.
pub(super) struct Timeline<'a> {
    fault: &'a Fault,
    zero: i64,
}

impl<'a> Timeline<'a> {
    pub(super) fn begin(fault: &'a Fault) -> Timeline<'a> {
        progress::show(format_args!("\n{:>8}  {:<13} what", "time", "who"));
        Timeline {
            fault,
            zero: clock::wall_millis(),
        }
    }

    pub(super) fn fault_is_on(&self) {
        self.tell(
            clock::wall_millis(),
            "fault",
            &format!("{} is on: {}", self.fault.name, self.fault.summary),
        );
    }

    /// Follows until the incident is closed and the alert is over, or patience is.
    pub(super) fn follow(
        &mut self,
        estate: &Estate,
        daemon: &Daemon,
        slack: &slack::StandIn,
        before: &Before,
    ) -> Result<Story> {
        let start = clock::now();
        let mut story = Story::default();
        let (mut state, mut delivered, mut told) = (String::new(), false, 0);
        while start.elapsed() < PATIENCE {
            self.look_at_prometheus(estate, &mut state);
            if !delivered && before.deliveries_since(estate)? > 0.0 {
                delivered = true;
                self.now("Alertmanager", "delivered to runbookd");
            }
            self.look_at_runbookd(daemon, &mut story)?;
            for message in slack.messages().iter().skip(told) {
                told += 1;
                let first = message.text.lines().next().unwrap_or_default();
                let place = if message.thread_ts.is_some() {
                    "in the thread"
                } else {
                    message.channel.as_str()
                };
                self.now("Slack", &format!("{place}: {first}"));
            }
            if story.last("closed").is_some() && state == "inactive" {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(story)
    }

    fn look_at_prometheus(&self, estate: &Estate, state: &mut String) {
        let Ok(alerts) = estate.alerts() else {
            return;
        };
        let alert = alerts
            .iter()
            .find(|alert| alert["labels"]["alertname"] == self.fault.alert.as_str());
        let seen = alert
            .and_then(|alert| alert["state"].as_str())
            .unwrap_or("inactive");
        // Before it was active for the first time, "inactive" is no news.
        if seen != state && !(state.is_empty() && seen == "inactive") {
            let value = alert
                .and_then(|alert| alert["annotations"]["summary"].as_str())
                .unwrap_or_default();
            self.now(
                "Prometheus",
                format!("{} is {seen}  {value}", self.fault.alert).trim_end(),
            );
            *state = seen.to_owned();
        }
    }

    fn look_at_runbookd(&self, daemon: &Daemon, story: &mut Story) -> Result<()> {
        if story.id.is_none() {
            story.id = daemon
                .incidents()?
                .first()
                .map(|incident| plain(&incident["id"]));
        }
        let Some(id) = &story.id else {
            return Ok(());
        };
        let told = daemon.incident(&Value::from(id.as_str()))?;
        let events = told["events"].as_array().cloned().unwrap_or_default();
        for event in events.iter().skip(story.events.len()) {
            let (kind, body) = kind_and_body(event);
            let at = event["at"].as_i64().unwrap_or_else(clock::wall_millis);
            self.tell(at, "runbookd", &sentence(&kind, &body));
            story.events.push((kind, body));
        }
        Ok(())
    }

    fn now(&self, who: &str, what: &str) {
        self.tell(clock::wall_millis(), who, what);
    }

    fn tell(&self, at: i64, who: &str, what: &str) {
        #[expect(
            clippy::cast_precision_loss,
            reason = "milliseconds of a demo fit a double"
        )]
        let seconds = (at - self.zero) as f64 / 1000.0;
        progress::show(format_args!("{seconds:>7.2}s  {who:<13} {what}"));
    }
}

/// A string without its quotes, anything else as JSON writes it.
pub(super) fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// An event as `{"kind": body}`, or as the bare word of a kind without a body.
fn kind_and_body(event: &Value) -> (String, Value) {
    match &event["event"] {
        Value::String(kind) => (kind.clone(), Value::Null),
        Value::Object(map) => map
            .iter()
            .next()
            .map(|(kind, body)| (kind.clone(), body.clone()))
            .unwrap_or_default(),
        _ => (plain(&event["kind"]), event["body"].clone()),
    }
}

/// One event for people; the journal's words where it has some.
fn sentence(kind: &str, body: &Value) -> String {
    let words = kind.replace('_', " ");
    let more = match kind {
        "opened" => format!(
            "an incident for runbook {} on {}",
            plain(&body["runbook"]),
            plain(&body["target"])
        ),
        "looked" => String::new(),
        "action_started" => format!(
            "{} on {} sessions",
            action(&body["order"]),
            pids(body).len()
        ),
        "action_replied" => body["reply"].as_object().map(one_line).unwrap_or_default(),
        "settled" => body["verdict"]
            .as_object()
            .map(one_line)
            .unwrap_or_default(),
        "closed" | "ending" => format!("{}: {}", plain(&body["how"]), plain(&body["why"])),
        _ => body["why"].as_str().unwrap_or_default().to_owned(),
    };
    if more.is_empty() {
        words
    } else {
        format!("{words}: {more}")
    }
}

fn one_line(map: &serde_json::Map<String, Value>) -> String {
    map.iter()
        .map(|(word, why)| format!("{} ({})", word.replace('_', " "), plain(why)))
        .collect()
}

fn action(order: &Value) -> String {
    // Nested by system: {"postgres": {"terminate_idle": {..}}}.
    let mut names = Vec::new();
    let mut at = &order["action"];
    while let Some((name, within)) = at
        .as_object()
        .filter(|map| map.len() == 1)
        .and_then(|map| map.iter().next())
    {
        names.push(name.replace('_', " ").to_lowercase());
        at = within;
    }
    names.join(": ")
}

/// The process ids of the sessions that an order names.
pub(super) fn pids(body: &Value) -> Vec<i64> {
    let selection = body["order"]["selection"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    selection
        .iter()
        .filter_map(|identity| identity["Session"]["pid"].as_i64())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn events_are_told_in_a_line() {
        let event = json!({"at": 1, "event": {"action_started": {"order": {
            "action": {"postgres": {"terminate_idle": {"at_most": 20, "keep": 5}}},
            "selection": [{"Session": {"pid": 7, "backend_start": 1}}]}}}});
        let (kind, body) = kind_and_body(&event);
        assert_eq!(
            sentence(&kind, &body),
            "action started: postgres: terminate idle on 1 sessions"
        );
        assert_eq!(pids(&body), [7]);
        assert_eq!(
            sentence("settled", &json!({"verdict": {"landed": "gone"}})),
            "settled: landed (gone)"
        );
        assert_eq!(
            sentence("closed", &json!({"how": "cured", "why": "it held"})),
            "closed: cured: it held"
        );
        assert_eq!(sentence("woke", &Value::Null), "woke");
    }
}
