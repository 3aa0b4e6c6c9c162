//! Fixed first, paged if that fails: the shipped routes of Alertmanager in a real one, the real daemon, real sessions of a real
//! PostgreSQL, and a receiver that keeps what people got. Of the shipped file only addresses are replaced and the long holds made
//! short, so its structure is what is tried. Here the test is Prometheus: it says when an alert fires and when it ends.

use std::time::{Duration, Instant};

use runbook::target::TerminateBy;
use serde_json::{Value, json};
use sqlx::PgConnection;
use xtask::servers::{Alertmanager, AlertmanagerSettings, PostgresSettings};

use crate::databases::Database;
use crate::support::daemon::{Daemon, Home, binary, delivery, rehearsal_binary, until};
use crate::support::people::People;
use crate::support::slack_standin::{CHANNEL, SlackStandin};

const RUNBOOK: &str = r#"
runbook: too-many-connections
summary: Close sessions that sit idle until connections are below 60 %
match: ['alertname="HighDatabaseConnections"']
target: postgres/main
mode: MODE
limits: {cooldown: 10m, rate: [3/1h, 7/24h]}
look:
  sessions: {postgres.sessions: {idle_for: 300ms}}
require: sessions.used_ratio > 0.6 && sessions.idle + sessions.idle_in_transaction > 0
remedies:
  - name: close idle sessions
    steps:
      - postgres.terminate_idle: {idle_for: 300ms, at_most: 20, keep: 2, never: [backup, replication]}
    verify: {until: sessions.used_ratio < 0.6, within: 20s, hold: 1s}
otherwise: escalate
"#;
/// A runbook that takes whatever is critical: even this one is never handed what runbookd says of itself.
const BROAD: &str = r#"
runbook: broad
summary: looks at whatever is critical
match: ['severity="critical"']
target: postgres/main
priority: -10
mode: observe
limits: {cooldown: 10m, rate: [3/1h]}
look:
  sessions: {postgres.sessions: {idle_for: 300ms}}
require: sessions.used_ratio > 1.0
remedies:
  - name: close idle sessions
    steps:
      - postgres.terminate_idle: {idle_for: 300ms, at_most: 1}
    verify: {until: sessions.used_ratio < 0.6, within: 20s, hold: 1s}
otherwise: escalate
"#;

const ALERT: &str = "HighDatabaseConnections";
/// Held like it, and no runbook is for it: where it has been paged, the hold of what fired before it is over.
const HELD_TOO: &str = "ServiceUnhealthy";
/// The hold of the shipped file made short.
const HOLD: Duration = Duration::from_secs(30);
/// The shipped `group_interval` of held pages.
const INTERVAL: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(20);

/// The shipped file with the holds made short and our own addresses in it.
fn shipped(home: &Home, people: &People) -> String {
    let shipped = std::fs::read_to_string(xtask::paths::root().join("deploy/alertmanager/alertmanager.yml")).unwrap();
    let token = home.state().join("webhook.token");
    let mut text = shipped;
    for (from, to) in [
        ("group_wait: 4m", format!("group_wait: {}s", HOLD.as_secs())),
        ("group_wait: 10m", format!("group_wait: {}s", HOLD.as_secs())),
        ("http://runbookd:9095", format!("http://127.0.0.1:{}", home.port())),
        ("/etc/alertmanager/runbookd-token", token.display().to_string()),
        ("  - name: humans\n", format!("  - name: humans\n    webhook_configs: [{{url: '{}'}}]\n", people.url())),
    ] {
        assert!(text.contains(from), "the shipped file has no `{from}` any more");
        text = text.replace(from, &to);
    }
    text
}

/// Everything of one night.
struct Night {
    database: Database,
    slack: SlackStandin,
    people: People,
    home: Home,
    alertmanagers: Vec<Alertmanager>,
}

impl Night {
    /// A night with so many Alertmanagers, in a cluster where there are several.
    async fn begin(mode: &str, alertmanagers: usize) -> Self {
        let database = Database::start(&PostgresSettings::default(), TerminateBy::SignalBackend, false);
        let (slack, people) = (SlackStandin::start().await, People::start().await);
        let home =
            Home::new(&[("runbooks/connections.yaml", RUNBOOK.replace("MODE", mode)), ("runbooks/broad.yaml", BROAD.to_owned())]);
        for (name, text) in [("slack", "xoxb-first"), ("look", "look's own"), ("act", "act's own")] {
            home.write(&format!("secrets/{name}"), text);
        }
        home.write(
            "targets.yaml",
            &format!(
                "postgres/main: {{host: 127.0.0.1, port: {}, database: postgres, class: P1, owner: dba@example.invalid, \
                 look: {{user: runbookd_look, password: {{file: secrets/look}}}}, act: {{user: runbookd_act, password: {{file: secrets/act}}}}}}\n",
                database.postgres.port()
            ),
        );
        let configuration = shipped(&home, &people);
        let mut running: Vec<Alertmanager> = Vec::new();
        for _ in 0..alertmanagers {
            let settings = AlertmanagerSettings {
                clustered: alertmanagers > 1,
                peers: running.iter().map(Alertmanager::cluster_address).collect(),
                ..AlertmanagerSettings::default()
            };
            running.push(Alertmanager::start_with(&configuration, &settings).unwrap());
        }
        let asked: Vec<Value> = running.iter().map(|one| json!({"url": one.url(), "receiver": "runbookd"})).collect();
        home.write(
            "runbookd.yaml",
            &format!(
                "listen: 127.0.0.1:PORT\nslack: {{token: {{file: secrets/slack}}, channel: {CHANNEL}, base_url: \"{}\"}}\nalertmanager: {}\n",
                slack.base(),
                Value::from(asked)
            ),
        );
        Self { database, slack, people, home, alertmanagers: running }
    }

    /// So many sessions that sit idle, as this user.
    async fn idle(&self, user: &str) -> Vec<PgConnection> {
        let clients = self.database.clients(18, user, "web").await;
        let idle = "application_name = 'web' AND state LIKE 'idle%' AND state_change < clock_timestamp() - interval '300 ms'";
        self.database.wait_for_sessions(idle, 18);
        clients
    }

    /// What Prometheus sends to every Alertmanager; `ends` is in seconds from now.
    #[expect(clippy::disallowed_methods, reason = "a test measures in real time")]
    fn say(&self, name: &str, ends: i64) -> Instant {
        let at = |seconds: i64| runbook::Stamp::from_millis(xtask::clock::wall_millis() + 1_000 * seconds).to_string();
        let mut alert = json!({"labels": {"alertname": name, "severity": "critical"}, "annotations": {"summary": "it is"}, "endsAt": at(ends)});
        if ends > 0 {
            alert["startsAt"] = json!(at(0));
        }
        for alertmanager in &self.alertmanagers {
            alertmanager.send(&json!([alert])).unwrap();
        }
        Instant::now()
    }

    fn fire(&self, name: &str) -> Instant {
        self.say(name, 600)
    }

    fn state(&self) -> String {
        self.home.log()
    }

    fn wait_stage(&self, daemon: &Daemon<'_>, stage: &str) -> Value {
        let found = || {
            daemon.try_get("/api/v1/incidents").ok()?["incidents"].as_array()?.iter().find(|one| one["stage"] == stage).cloned()
        };
        until(&format!("an incident is {stage}"), Duration::from_secs(40), found, || self.state())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cured_in_time_is_announced_and_wakes_nobody() {
    let night = Night::begin("auto", 1).await;
    let clients = night.idle("app").await;
    let daemon = night.home.start(binary(), &[]);
    night.fire(ALERT);
    until(
        "Slack is told of a P1 while it is worked on",
        SOON,
        || (!night.slack.messages().is_empty()).then_some(()),
        || night.state(),
    );
    assert!(night.slack.messages()[0].text.contains("postgres/main"), "{:?}", night.slack.messages());
    let closed = night.wait_stage(&daemon, "cured");
    assert_eq!(closed["title"], ALERT);
    night.say(ALERT, 0);
    // Whoever fires now is paged after the same hold; the cured one's is over then.
    night.fire(HELD_TOO);
    night.people.wait(HELD_TOO, "firing", HOLD + INTERVAL + SOON, || night.state());
    let names: Vec<String> = night.people.pages().iter().map(|page| page.name().to_owned()).collect();
    assert_eq!(names, [HELD_TOO], "{}", night.state());
    drop(clients);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runbookd_that_dies_in_the_middle_of_a_cure_changes_nothing_about_the_page() {
    let night = Night::begin("auto", 1).await;
    let clients = night.idle("app").await;
    let mut daemon = night.home.start(rehearsal_binary(), &[("RUNBOOKD_KILL_AT", "before-effect")]);
    let fired = night.fire(ALERT);
    until("it is killed right before its act", HOLD, || daemon.child.try_wait().unwrap(), || night.state());
    let page = night.people.wait(ALERT, "firing", HOLD + INTERVAL + SOON, || night.state());
    let took = page.at.duration_since(fired);
    assert!(took <= HOLD + INTERVAL, "the page came after {took:?}");
    assert!(took + Duration::from_secs(5) >= HOLD, "the page was held for {took:?} only");
    drop(clients);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_paged_already_hears_of_the_end() {
    let night = Night::begin("ask", 1).await;
    let clients = night.idle("app").await;
    let daemon = night.home.start(binary(), &[]);
    night.fire(ALERT);
    let asking = night.wait_stage(&daemon, "asking");
    // Nobody answers before the hold is over, so people are paged beside the question.
    night.people.wait(ALERT, "firing", HOLD + INTERVAL + SOON, || night.state());
    let shown = daemon.get(&format!("/api/v1/incidents/{}", asking["id"]));
    let ask = shown["events"].as_array().unwrap().iter().rev();
    let ask = ask.filter_map(|event| event.pointer("/event/waits/on/person/id").and_then(Value::as_str)).next().unwrap();
    daemon.post(&format!("/api/v1/asks/{ask}/approve"), &json!({"by": "a person"})).unwrap().ok().unwrap();
    night.wait_stage(&daemon, "cured");
    assert!(night.people.page(ALERT, "resolved").is_none(), "nothing ended yet");
    night.say(ALERT, 0);
    night.people.wait(ALERT, "resolved", INTERVAL + SOON, || night.state());
    drop(clients);
}

#[tokio::test(flavor = "multi_thread")]
async fn giving_up_calls_people_at_once_even_over_a_crash_and_until_somebody_is_at_it() {
    let night = Night::begin("auto", 2).await;
    // Sessions of a superuser cannot be ended by the role that acts, so there is nothing that it can do.
    let clients = night.idle(night.database.postgres.superuser()).await;
    let mut daemon = night.home.start(rehearsal_binary(), &[("RUNBOOKD_KILL_AT", "after-append:closed")]);
    let fired = night.fire(ALERT);
    until("it is killed when it has given up", HOLD, || daemon.child.try_wait().unwrap(), || night.state());
    drop(daemon);
    let daemon = night.home.start(binary(), &[]);
    let call = night.people.wait("RunbookdGaveUp", "firing", SOON, || night.state());
    let labels = &call.alert["labels"];
    for (label, value) in
        [("incident", "INC-1"), ("class", "P1"), ("severity", "critical"), ("target", "postgres/main"), ("runbookd", "never")]
    {
        assert_eq!(labels[label], value, "{labels}");
    }
    let page = night.people.page(ALERT, "firing");
    assert!(page.is_none_or(|page| call.at < page.at), "the call waited for the page, {:?} after it fired", call.at - fired);
    // Every member has it, so that a partition of the cluster hides it from nobody.
    for alertmanager in &night.alertmanagers {
        let has = || {
            (!alertmanager.api("/alerts?filter=alertname=RunbookdGaveUp").unwrap().as_array().unwrap().is_empty()).then_some(())
        };
        until("each Alertmanager has it", SOON, has, || alertmanager.log());
    }
    // Neither by the routes nor when it is delivered after all does it start anything.
    let heard = daemon.get("/api/v1/unmatched").to_string();
    assert!(!heard.contains("RunbookdGaveUp"), "the routes brought it back: {heard}");
    let own = delivery(
        &[("alertname", "RunbookdGaveUp"), ("severity", "critical"), ("runbookd", "never")],
        "firing",
        "2026-01-01T00:00:00Z",
    );
    daemon.deliver(&own).unwrap().ok().unwrap();
    let refused = || daemon.get("/api/v1/unmatched").to_string().contains("RunbookdGaveUp").then_some(());
    until("it is refused", SOON, refused, || night.state());
    assert_eq!(daemon.incidents().len(), 1, "{:?}", daemon.incidents());
    // Somebody is at it.
    let noted = night.home.command(binary(), &["note", "INC-1", "I am at it", "--by", "ana"]).output().unwrap();
    assert!(noted.status.success(), "{}", String::from_utf8_lossy(&noted.stderr));
    night.people.wait("RunbookdGaveUp", "resolved", INTERVAL + SOON, || night.state());
    assert_eq!(night.slack.complaints(), Vec::<String>::new());
    drop(clients);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alertmanager_that_was_away_is_told_when_it_is_back_and_the_end_of_the_alert_ends_the_call() {
    let night = Night::begin("ask", 1).await;
    let clients = night.idle("app").await;
    let daemon = night.home.start(binary(), &[]);
    night.fire(ALERT);
    let asking = night.wait_stage(&daemon, "asking");
    night.alertmanagers[0].process().stop().unwrap();
    let shown = daemon.get(&format!("/api/v1/incidents/{}", asking["id"])).to_string();
    let ask =
        shown.split("\"person\":").nth(1).and_then(|rest| rest.split("\"id\":\"").nth(1)).and_then(|rest| rest.split('"').next());
    daemon
        .post(&format!("/api/v1/asks/{}/deny", ask.unwrap()), &json!({"by": "a person", "why": "not now"}))
        .unwrap()
        .ok()
        .unwrap();
    night.wait_stage(&daemon, "denied");
    let loud = || night.home.log().contains("does not take the call for a person").then_some(());
    until("the outage is loud", SOON, loud, || night.state());
    let metrics = xtask::http::Request::get(&daemon.url("/metrics")).send().unwrap().text();
    assert!(
        metrics.lines().any(|line| line.starts_with("runbookd_alertmanager_takes_calls{") && line.ends_with("} 0")),
        "{metrics}"
    );
    night.alertmanagers[0].process().cont().unwrap();
    night.people.wait("RunbookdGaveUp", "firing", Duration::from_secs(45), || night.state());
    night.say(ALERT, 0);
    night.people.wait("RunbookdGaveUp", "resolved", 2 * INTERVAL + SOON, || night.state());
    drop(clients);
}
