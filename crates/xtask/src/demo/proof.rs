//! The proof from outside: what PostgreSQL, Alertmanager and Prometheus say themselves.
//!
//! runbookd's own account serves for one thing only: that the sessions which ended are exactly among those it named.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;

use super::timeline::{Story, pids, plain};
use crate::estate::{Estate, Fault};
use crate::http::Request;
use crate::{clock, command};

/// What PostgreSQL logs for a session that somebody ended.
const ENDED: &str = "terminating connection due to administrator command";

/// The part of the proof that PostgreSQL gives.
pub const SESSIONS: &str = "sessions ended, in PostgreSQL's own log";
/// The part that Alertmanager gives.
pub const DELIVERY: &str = "the delivery, in Alertmanager's metrics";

/// How things stood before the fault.
pub(super) struct Before {
    wall: i64,
    delivered: f64,
}

impl Before {
    pub(super) fn look(estate: &Estate) -> Result<Before> {
        Ok(Before { wall: clock::wall_millis(), delivered: delivered(estate)? })
    }

    /// Forgets the deliveries so far.
    pub(super) fn count_deliveries_from_now(&mut self, estate: &Estate) -> Result<()> {
        self.delivered = delivered(estate)?;
        Ok(())
    }

    /// How many deliveries to a webhook have succeeded since.
    pub(super) fn deliveries_since(&self, estate: &Estate) -> Result<f64> {
        Ok(delivered(estate)? - self.delivered)
    }
}

/// The heartbeat, silenced for as long as this lives: Alertmanager's metrics do not tell one alert from another, and a heartbeat that
/// was delivered proves nothing of the alert that is shown.
pub(super) struct WithoutHeartbeat<'a> {
    estate: &'a Estate,
    silence: String,
}

impl<'a> WithoutHeartbeat<'a> {
    pub(super) fn begin(estate: &'a Estate) -> Result<WithoutHeartbeat<'a>> {
        let url = format!("{}/api/v2/silences", estate.url("PORT_ALERTMANAGER")?);
        // It is ended with the demo; what a killed one leaves ends by itself.
        let ends = command::output(Command::new("date").args(["--utc", "--date=+10 minutes", "+%FT%TZ"]))?;
        let silence = json!({
            "matchers": [{"name": "alertname", "value": "Watchdog", "isRegex": false, "isEqual": true}],
            "startsAt": "2000-01-01T00:00:00Z", "endsAt": ends.trim(),
            "createdBy": "demo", "comment": "only deliveries of the alert that is shown are to be counted",
        });
        let answer = Request::post(&url).json(&silence).send()?.ok()?.json()?;
        let silence = answer["silenceID"].as_str().context("Alertmanager named no silence")?.to_owned();
        Ok(WithoutHeartbeat { estate, silence })
    }
}

impl Drop for WithoutHeartbeat<'_> {
    fn drop(&mut self) {
        if let Ok(url) = self.estate.url("PORT_ALERTMANAGER") {
            let _ = Request::new("DELETE", &format!("{url}/api/v2/silence/{}", self.silence)).send();
        }
    }
}

/// What was found.
pub(super) struct Proof {
    /// One line for each part.
    pub(super) lines: Vec<String>,
    /// What of it is missing.
    pub(super) missing: Vec<&'static str>,
}

impl Proof {
    fn part(&mut self, found: bool, what: &'static str, seen: String) {
        let word = if found { "proved " } else { "MISSING" };
        self.lines.push(format!("{word}  {what:<42} {seen}"));
        if !found {
            self.missing.push(what);
        }
    }
}

/// Looks for all parts of it.
pub(super) fn look(estate: &Estate, fault: &Fault, before: &Before, story: &Story) -> Result<Proof> {
    let mut proof = Proof { lines: Vec::new(), missing: Vec::new() };
    let named: BTreeSet<i64> =
        story.events.iter().filter(|(kind, _)| kind == "action_started").flat_map(|(_, body)| pids(body)).collect();
    let ended = ended_since(estate, before)?;
    let exactly = !ended.is_empty() && ended.is_subset(&named);
    let shown: Vec<String> = ended.iter().take(6).map(i64::to_string).collect();
    proof.part(
        exactly,
        SESSIONS,
        format!(
            "{} ended, {} named by runbookd: pids {}{}",
            ended.len(),
            named.len(),
            shown.join(" "),
            if ended.len() > 6 { " ..." } else { "" }
        ),
    );
    let deliveries = before.deliveries_since(estate)?;
    proof.part(deliveries >= 1.0, DELIVERY, format!("{deliveries} since the fault (alertmanager_notifications_total, webhook)"));
    let over = clock::wait_for("the end of the alert", Duration::from_secs(20), || {
        let alerts = estate.alerts()?;
        let active = alerts.iter().any(|alert| alert["labels"]["alertname"] == fault.alert.as_str());
        Ok((!active).then_some(()))
    });
    // That it is over counts only together with the sessions: it must not have ended by itself.
    proof.part(
        over.is_ok(),
        "the alert is inactive, in Prometheus",
        format!("{} {}", fault.alert, if over.is_ok() { "inactive" } else { "still active" }),
    );
    let how = story.last("closed").map(|body| plain(&body["how"])).unwrap_or_default();
    proof.part(
        how == "cured",
        "runbookd closed the incident as cured",
        match &story.id {
            Some(id) => format!("incident {id}: {}", if how.is_empty() { "open" } else { &how }),
            None => "no incident".to_owned(),
        },
    );
    Ok(proof)
}

/// Deliveries to a webhook that succeeded: notifications less those that failed, as far as requests were answered.
fn delivered(estate: &Estate) -> Result<f64> {
    let page = estate.page("PORT_ALERTMANAGER", "/metrics")?;
    let metric = |name: &str| crate::servers::metric_in(&page, &format!("{name}{{integration=\"webhook\"}}"));
    let notified = metric("alertmanager_notifications_total") - metric("alertmanager_notifications_failed_total");
    let answered = metric("alertmanager_notification_requests_total") - metric("alertmanager_notification_requests_failed_total");
    Ok(notified.min(answered))
}

/// The process ids of the sessions that PostgreSQL says were ended since then.
fn ended_since(estate: &Estate, before: &Before) -> Result<BTreeSet<i64>> {
    let since = format!("{}.{:03}", before.wall / 1000, before.wall % 1000);
    let container = estate.container("postgres");
    let done = command::finish(estate.engine().docker().args(["logs", "--since", &since, &container]))?;
    let text = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
    Ok(ended_in(&text))
}

fn ended_in(log: &str) -> BTreeSet<i64> {
    log.lines()
        .filter(|line| line.contains(ENDED))
        .filter_map(|line| line.split_once('[')?.1.split_once(']')?.0.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ended_sessions_are_read_from_the_log() {
        let log = "2026-01-01 00:00:00.000 UTC [12] app@db backend FATAL:  terminating connection due to administrator command\n\
                   2026-01-01 00:00:00.000 UTC [13] app@db backend LOG:  disconnection: session time: 0:00:01\n";
        assert_eq!(ended_in(log), BTreeSet::from([12]));
    }

    #[test]
    fn one_missing_part_is_enough_to_fail() {
        let mut proof = Proof { lines: Vec::new(), missing: Vec::new() };
        proof.part(true, "a", String::new());
        assert!(proof.missing.is_empty());
        proof.part(false, "b", String::new());
        proof.part(true, "c", String::new());
        assert!(proof.missing == ["b"] && proof.lines[1].starts_with("MISSING"));
    }
}
