//! The main job against real servers, as timelines: a real Alertmanager delivers, the real daemon looks, decides, ends idle
//! sessions of a real PostgreSQL, proves it, and tells Slack's stand-in. Judged from outside: PostgreSQL's log, its sessions,
//! Alertmanager's metrics. Prometheus and its rules are part of the estate's own test.

mod estate;

use std::time::Duration;

use runbook::target::TerminateBy;
use serde_json::{Value, json};
use sqlx::PgConnection;
use xtask::servers::{Alertmanager, AlertmanagerSettings, PostgresSettings};

use crate::databases::Database;
use crate::support::daemon::{Daemon, Home, binary, delivery, until};
use crate::support::slack_standin::{CHANNEL, SlackStandin};

const RUNBOOK: &str = r#"
runbook: postgres-too-many-connections
summary: Close sessions that sit idle until connections are below 60 %
match: ['alertname="HighDatabaseConnections"']
target: postgres/main
mode: MODE
limits: {cooldown: 10m, rate: [3/1h, 7/24h], recurrence: {times: 2, within: 6h}}
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

const ALERT: [(&str, &str); 2] = [("alertname", "HighDatabaseConnections"), ("severity", "warning")];

/// Everything of one timeline.
struct Night {
    database: Database,
    slack: SlackStandin,
    home: Home,
}

impl Night {
    async fn begin(mode: &str, settings: &PostgresSettings, by: TerminateBy, function: bool) -> Self {
        let database = Database::start(settings, by, function);
        let slack = SlackStandin::start().await;
        let home = Home::new(&[("runbooks/connections.yaml", RUNBOOK.replace("MODE", mode))]);
        home.write("secrets/slack", "xoxb-first");
        home.write("secrets/look", "look's own");
        home.write("secrets/act", "act's own");
        home.write(
            "runbookd.yaml",
            &format!(
                "listen: 127.0.0.1:PORT\nslack: {{token: {{file: secrets/slack}}, channel: {CHANNEL}, base_url: \"{}\"}}\n",
                slack.base()
            ),
        );
        let by = if by == TerminateBy::Function { "function" } else { "signal_backend" };
        home.write(
            "targets.yaml",
            &format!(
                "postgres/main: {{host: 127.0.0.1, port: {}, database: postgres, class: P1, owner: dba@example.invalid, terminate_by: {by}, \
                 look: {{user: runbookd_look, password: {{file: secrets/look}}}}, act: {{user: runbookd_act, password: {{file: secrets/act}}}}}}\n",
                database.postgres.port()
            ),
        );
        Self { database, slack, home }
    }

    async fn idle(&self, user: &str, count: usize) -> Vec<PgConnection> {
        self.database.clients(count, user, "web").await
    }

    async fn idle_in_transaction(&self, user: &str, count: usize) -> Vec<PgConnection> {
        let mut clients = self.database.clients(count, user, "web").await;
        for client in &mut clients {
            sqlx::raw_sql("BEGIN; SELECT 1").execute(client).await.unwrap();
        }
        clients
    }

    /// Takes every slot that an ordinary login can have.
    async fn fill(&self, user: &str) -> Vec<PgConnection> {
        let mut clients = Vec::new();
        while let Ok(client) = self.database.try_client(user, "web").await {
            clients.push(client);
            assert!(clients.len() < 200, "the server never fills");
        }
        clients
    }

    /// Waits until so many clients are there, and each has been idle for as long as the runbook wants.
    fn wait_idle(&self, count: usize) {
        let idle = "application_name = 'web' AND state LIKE 'idle%' AND state_change < clock_timestamp() - interval '300 ms'";
        self.database.wait_for_sessions(idle, count);
    }

    fn sessions_of(&self, user: &str) -> usize {
        let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{user}' AND backend_type = 'client backend'");
        self.database.postgres.psql(&sql).unwrap().trim().parse().unwrap()
    }

    /// How many sessions PostgreSQL's log says were ended by an administrator.
    fn ended_by_log(&self) -> usize {
        self.database.postgres.log().matches("terminating connection due to administrator command").count()
    }

    fn wait_told(&self, words: &str) {
        let told = || {
            self.slack
                .messages()
                .iter()
                .any(|message| message.text.contains(words) || format!("{:?}", message.blocks).contains(words))
        };
        until(
            &format!("Slack is told `{words}`"),
            Duration::from_secs(20),
            || told().then_some(()),
            || format!("{:?}\n{}", self.slack.messages(), self.home.log()),
        );
    }
}

/// How many of these clients can still speak.
async fn alive(clients: Vec<PgConnection>) -> usize {
    let mut count = 0;
    for mut client in clients {
        count += usize::from(sqlx::raw_sql("SELECT 1").execute(&mut client).await.is_ok());
    }
    count
}

fn alertmanager_for(daemons: &[&Home], clustered: Option<&Alertmanager>) -> Alertmanager {
    let webhooks: Vec<Value> = daemons
        .iter()
        .map(|home| {
            let token = home.state().join("webhook.token");
            json!({"url": format!("http://127.0.0.1:{}/webhook/alertmanager", home.port()), "send_resolved": true, "max_alerts": 0,
                   "http_config": {"authorization": {"credentials_file": token}}})
        })
        .collect();
    let configuration = json!({
        "route": {"receiver": "runbookd", "group_by": ["..."], "group_wait": "1s", "group_interval": "5s", "repeat_interval": "1h"},
        "receivers": [{"name": "runbookd", "webhook_configs": webhooks}],
    })
    .to_string();
    match clustered {
        None => Alertmanager::start(&configuration).unwrap(),
        Some(peer) => {
            let settings =
                AlertmanagerSettings { clustered: true, peers: vec![peer.cluster_address()], ..AlertmanagerSettings::default() };
            Alertmanager::start_with(&configuration, &settings).unwrap()
        }
    }
}

fn fire(alertmanager: &Alertmanager) {
    let labels: serde_json::Map<String, Value> =
        ALERT.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect();
    alertmanager
        .send(&json!([{"labels": labels, "annotations": {}, "generatorURL": "http://prometheus.example.invalid/graph"}]))
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_alert_is_cured_proved_and_told() {
    let night = Night::begin("auto", &PostgresSettings::default(), TerminateBy::SignalBackend, false).await;
    let idle = night.idle("app", 12).await;
    let in_transaction = night.idle_in_transaction("app", 6).await;
    let daemon = night.home.start(binary(), &[]);
    let alertmanager = alertmanager_for(&[&night.home], None);
    night.wait_idle(18);
    fire(&alertmanager);
    until(
        "an incident is there",
        Duration::from_secs(20),
        || (!daemon.incidents().is_empty()).then_some(()),
        || night.home.log(),
    );
    let closed = daemon.wait_closed(Duration::from_secs(40));
    assert_eq!(closed["how"], "cured", "{closed}\n{}", night.home.log());
    assert_eq!(night.sessions_of("app"), 2, "two were to be kept");
    assert_eq!(night.ended_by_log(), 16, "PostgreSQL's own log says so");
    assert!(alertmanager.metric("alertmanager_notifications_total{integration=\"webhook\"}").unwrap() >= 1.0);
    night.wait_told("HighDatabaseConnections");
    night.wait_told("cured");
    // Told once: one message in the channel, the rest in its thread.
    let in_channel = night.slack.messages().into_iter().filter(|message| message.thread_ts.is_none()).count();
    assert_eq!(in_channel, 1);
    assert_eq!(night.slack.complaints(), Vec::<String>::new(), "nothing that Slack would not take");
    drop((idle, in_transaction));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_slot_is_taken_and_it_is_cured_all_the_same() {
    let settings = PostgresSettings { max_connections: 24, ..PostgresSettings::default() };
    let night = Night::begin("auto", &settings, TerminateBy::SignalBackend, false).await;
    let daemon = night.home.start(binary(), &[]);
    until(
        "both connections are held",
        Duration::from_secs(10),
        || (night.sessions_of("runbookd_look") + night.sessions_of("runbookd_act") >= 2).then_some(()),
        || night.home.log(),
    );
    let clients = night.fill("app").await;
    assert!(night.database.postgres.psql_as("app", "postgres", "SELECT 1").is_err(), "a new login is refused");
    night.wait_idle(clients.len());
    daemon.deliver(&delivery(&ALERT, "firing", "2026-01-01T00:00:00Z")).unwrap().ok().unwrap();
    let closed = daemon.wait_closed(Duration::from_secs(40));
    assert_eq!(closed["how"], "cured", "{closed}\n{}", night.home.log());
    drop(clients);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_superusers_application_is_cured_by_the_function_and_handed_over_without_it() {
    for (by, function, how) in [(TerminateBy::Function, true, "cured"), (TerminateBy::SignalBackend, false, "handed_over")] {
        let night = Night::begin("auto", &PostgresSettings::default(), by, function).await;
        let superuser = night.database.postgres.superuser();
        let clients = night.idle(superuser, 18).await;
        let daemon = night.home.start(binary(), &[]);
        night.wait_idle(18);
        daemon.deliver(&delivery(&ALERT, "firing", "2026-01-01T00:00:00Z")).unwrap().ok().unwrap();
        let closed = daemon.wait_closed(Duration::from_secs(60));
        assert_eq!(closed["how"], how, "{closed}\n{}", night.home.log());
        if how == "handed_over" {
            assert_eq!(night.ended_by_log(), 0, "nothing was ended");
            let why = closed["why"].as_str().unwrap_or_default();
            assert!(why.contains("superuser"), "it says why: {closed}");
        }
        drop(clients);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clustered_alertmanagers_deliver_and_one_run_comes_of_it() {
    let night = Night::begin("auto", &PostgresSettings::default(), TerminateBy::SignalBackend, false).await;
    let clients = night.idle("app", 18).await;
    let daemon = night.home.start(binary(), &[]);
    night.wait_idle(18);
    let alert = delivery(&ALERT, "firing", "2026-01-01T00:00:00Z");
    // As a partitioned cluster does: each side sends the same, at once, and one side again while the first run is under way.
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| daemon.deliver(&alert).unwrap().ok().unwrap());
        }
    });
    for _ in 0..5 {
        daemon.deliver(&alert).unwrap().ok().unwrap();
    }
    let closed = daemon.wait_closed(Duration::from_secs(40));
    assert_eq!(closed["how"], "cured", "{closed}");
    daemon.deliver(&alert).unwrap().ok().unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(daemon.incidents().len(), 1, "a delivery that comes again right after the cure is the same news");
    assert_eq!(night.ended_by_log(), 16);
    drop(clients);
}

#[tokio::test(flavor = "multi_thread")]
async fn resolved_before_it_acts_means_that_nothing_is_done() {
    // It asks, so the resolved alert comes while it waits; and a resolved alert alone opens nothing.
    let night = Night::begin("ask", &PostgresSettings::default(), TerminateBy::SignalBackend, false).await;
    let clients = night.idle("app", 18).await;
    let daemon = night.home.start(binary(), &[]);
    night.wait_idle(18);
    daemon.deliver(&delivery(&ALERT, "resolved", "2026-01-01T00:00:00Z")).unwrap().ok().unwrap();
    daemon.deliver(&delivery(&ALERT, "firing", "2026-01-01T00:00:00Z")).unwrap().ok().unwrap();
    wait_stage(&daemon, &night.home, "asking");
    daemon.deliver(&delivery(&ALERT, "resolved", "2026-01-01T00:00:00Z")).unwrap().ok().unwrap();
    let closed = daemon.wait_closed(Duration::from_secs(20));
    assert_eq!(closed["how"], "subsided", "{closed}");
    assert_eq!(night.ended_by_log(), 0);
    drop(clients);
}

fn wait_stage(daemon: &Daemon<'_>, home: &Home, stage: &str) -> Value {
    until(
        &format!("an incident is {stage}"),
        Duration::from_secs(20),
        || daemon.incidents().into_iter().find(|incident| incident["stage"] == stage),
        || format!("{:?}\n{}", daemon.incidents(), home.log()),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_approves_and_only_what_was_shown_and_is_still_there_goes() {
    let night = Night::begin("ask", &PostgresSettings::default(), TerminateBy::SignalBackend, false).await;
    let mut shown = night.idle("app", 18).await;
    let daemon = night.home.start(binary(), &[]);
    night.wait_idle(18);
    daemon.deliver(&delivery(&ALERT, "firing", "2026-01-01T00:00:00Z")).unwrap().ok().unwrap();
    let asking = wait_stage(&daemon, &night.home, "asking");
    night.wait_told("approve");
    let detail = daemon.get(&format!("/api/v1/incidents/{}", asking["id"]));
    let ask = detail.to_string();
    let ask = ask
        .split("\"person\":")
        .nth(1)
        .and_then(|rest| rest.split("\"id\":\"").nth(1))
        .and_then(|rest| rest.split('"').next())
        .unwrap()
        .to_owned();
    // Some of what was shown goes by itself, and others come: the newcomers were not approved.
    shown.truncate(14);
    let newcomers = night.idle("app", 6).await;
    night.wait_idle(20);
    let approved = night.home.command(binary(), &["approve", &ask, "--by", "a person"]).output().unwrap();
    assert!(approved.status.success(), "{}", String::from_utf8_lossy(&approved.stderr));
    let again = night.home.command(binary(), &["approve", &ask, "--by", "another"]).output().unwrap();
    assert!(!again.status.success(), "a second click is refused");
    let closed = daemon.wait_closed(Duration::from_secs(60));
    assert_eq!(closed["how"], "cured", "{closed}");
    assert_eq!(night.ended_by_log(), 14, "exactly those of what was shown that were still there");
    assert_eq!(alive(newcomers).await, 6, "what was not shown is untouched");
    drop(shown);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_that_was_acknowledged_lets_nothing_act() {
    let night = Night::begin("auto", &PostgresSettings::default(), TerminateBy::SignalBackend, false).await;
    let clients = night.idle("app", 18).await;
    let daemon = night.home.start(binary(), &[]);
    night.wait_idle(18);
    let paused = night.home.command(binary(), &["pause", "all", "--reason", "drill"]).output().unwrap();
    assert!(paused.status.success(), "{}", String::from_utf8_lossy(&paused.stderr));
    daemon.deliver(&delivery(&ALERT, "firing", "2026-01-01T00:00:00Z")).unwrap().ok().unwrap();
    wait_stage(&daemon, &night.home, "waiting");
    assert_eq!(night.ended_by_log(), 0);
    drop(daemon);
    // It survives a restart, and ends when a person says so.
    let daemon = night.home.start(binary(), &[]);
    wait_stage(&daemon, &night.home, "waiting");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(night.ended_by_log(), 0);
    let resumed = night.home.command(binary(), &["resume", "all"]).output().unwrap();
    assert!(resumed.status.success(), "{}", String::from_utf8_lossy(&resumed.stderr));
    let closed = daemon.wait_closed(Duration::from_secs(40));
    assert_eq!(closed["how"], "cured", "{closed}\n{}", night.home.log());
    drop(clients);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hung_server_is_unknown_and_slack_refusing_holds_nothing_up() {
    let night = Night::begin("auto", &PostgresSettings::default(), TerminateBy::SignalBackend, false).await;
    let clients = night.idle("app", 18).await;
    let daemon = night.home.start(binary(), &[]);
    night.wait_idle(18);
    night.slack.rotate("another token");
    night.database.postgres.stop().unwrap();
    daemon.deliver(&delivery(&ALERT, "firing", "2026-01-01T00:00:00Z")).unwrap().ok().unwrap();
    let waiting = wait_stage(&daemon, &night.home, "waiting");
    assert!(waiting["closed"].is_null(), "unknown closes nothing");
    night.database.postgres.cont().unwrap();
    let closed = daemon.wait_closed(Duration::from_secs(60));
    assert_eq!(closed["how"], "cured", "{closed}\n{}", night.home.log());
    drop(clients);
}

#[tokio::test(flavor = "multi_thread")]
async fn alertmanagers_of_a_cluster_deliver_for_real() {
    let night = Night::begin("auto", &PostgresSettings::default(), TerminateBy::SignalBackend, false).await;
    let clients = night.idle("app", 18).await;
    let daemon = night.home.start(binary(), &[]);
    let settings = AlertmanagerSettings { clustered: true, ..AlertmanagerSettings::default() };
    let token = night.home.state().join("webhook.token");
    let configuration = json!({
        "route": {"receiver": "runbookd", "group_by": ["..."], "group_wait": "1s", "group_interval": "5s", "repeat_interval": "1h"},
        "receivers": [{"name": "runbookd", "webhook_configs": [{"url": daemon.url("/webhook/alertmanager"), "send_resolved": true,
            "http_config": {"authorization": {"credentials_file": token}}}]}],
    });
    let first = Alertmanager::start_with(&configuration.to_string(), &settings).unwrap();
    let second = alertmanager_for(&[&night.home], Some(&first));
    night.wait_idle(18);
    // Prometheus sends to every member.
    fire(&first);
    fire(&second);
    until(
        "an incident is there",
        Duration::from_secs(30),
        || (!daemon.incidents().is_empty()).then_some(()),
        || night.home.log(),
    );
    let closed = daemon.wait_closed(Duration::from_secs(40));
    assert_eq!(closed["how"], "cured", "{closed}\n{}", night.home.log());
    assert_eq!(daemon.incidents().len(), 1);
    assert_eq!(night.ended_by_log(), 16);
    drop(clients);
}
