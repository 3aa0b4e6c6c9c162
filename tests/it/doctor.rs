//! The examination against real servers: everything well, and then each thing wrong in turn, told with its mend. Changes nothing:
//! the database's own sessions are the witness.

use std::time::Duration;

use runbook::target::TerminateBy;
use serde_json::Value;
use xtask::http::Request;
use xtask::servers::{Alertmanager, PostgresSettings};

use crate::databases::Database;
use crate::support::daemon::{Daemon, Home, binary, until};
use crate::support::slack_standin::{CHANNEL, SlackStandin};

const ROUTES: &str = "\
route:
  receiver: people
  routes:
    - {receiver: runbookd, continue: true}
receivers:
  - name: people
  - name: runbookd
    webhook_configs: [{url: 'http://127.0.0.1:9/webhook/alertmanager'}]
";

const RUNBOOK: &str = "\
runbook: too-many
summary: close idle sessions
match: ['alertname=\"TooMany\"']
target: postgres/main
mode: auto
limits: {cooldown: 10m, rate: [3/1h]}
look:
  sessions: {postgres.sessions: {idle_for: 10m}}
require: sessions.used_ratio > 0.8
remedies:
  - name: close idle sessions
    steps:
      - postgres.terminate_idle: {idle_for: 10m, at_most: 20}
    verify: {until: sessions.used_ratio < 0.7, within: 1m, hold: 15s}
otherwise: escalate
";

fn home(database: &Database, alertmanager: &Alertmanager, slack: &SlackStandin) -> Home {
    let home = Home::new(&[("runbooks/too-many.yaml", RUNBOOK.to_owned())]);
    home.write("secrets/slack", "xoxb-first");
    home.write("secrets/look", "look's own");
    home.write("secrets/act", "act's own");
    home.write(
        "runbookd.yaml",
        &format!(
            "listen: 127.0.0.1:PORT\nalertmanager:\n  - {{url: '{}', receiver: runbookd}}\n\
             slack: {{token: {{file: secrets/slack}}, channel: {CHANNEL}, base_url: \"{}\"}}\n",
            alertmanager.url(),
            slack.base()
        ),
    );
    home.write(
        "targets.yaml",
        &format!(
            "postgres/main: {{host: 127.0.0.1, port: {}, database: postgres, class: P1, owner: dba@example.invalid, \
             look: {{user: runbookd_look, password: {{file: secrets/look}}}}, act: {{user: runbookd_act, password: {{file: secrets/act}}}}}}\n",
            database.postgres.port()
        ),
    );
    home
}

/// Examines by the command line: its exit code and what it found.
fn examined(home: &Home) -> (i32, Value) {
    let output = home.command(binary(), &["doctor", "--json"]).output().unwrap();
    let found = serde_json::from_slice(&output.stdout);
    (output.status.code().unwrap(), found.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr))))
}

fn wrong(found: &Value) -> Vec<String> {
    let lines = found["lines"].as_array().unwrap().iter().filter(|line| line["state"] == "wrong");
    lines.map(|line| format!("{}: {}", line["about"].as_str().unwrap(), line["says"].as_str().unwrap())).collect()
}

fn metric(daemon: &Daemon<'_>, line: &str) -> bool {
    Request::get(&daemon.url("/metrics")).send().unwrap().text().lines().any(|found| found == line)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_well_is_ready_and_what_is_wrong_has_its_mend() {
    let database = Database::start(&PostgresSettings::default(), TerminateBy::SignalBackend, false);
    let (alertmanager, slack) = (Alertmanager::start(ROUTES).unwrap(), SlackStandin::start().await);
    let home = home(&database, &alertmanager, &slack);
    let client = database.client("app", "bystander").await;
    let daemon = home.start(binary(), &[]);

    // It is examined at the start, without being asked.
    until(
        "the first examination",
        Duration::from_secs(20),
        || metric(&daemon, "runbookd_runbook_ready{runbook=\"too-many\"} 1").then_some(()),
        || home.log(),
    );
    let (code, found) = examined(&home);
    assert_eq!((code, wrong(&found)), (0, vec![]), "{found:#}");
    assert_eq!(found["runbooks"][0]["says"], "ready");
    let about: Vec<&str> = found["lines"].as_array().unwrap().iter().map(|line| line["about"].as_str().unwrap()).collect();
    let alertmanager_line = format!("Alertmanager {}", alertmanager.url());
    for thing in [
        "configuration",
        "clock",
        "space",
        "journal",
        "deliveries",
        "postgres/main (look)",
        "postgres/main (act)",
        "postgres/main",
        &alertmanager_line,
        "Slack",
    ] {
        assert!(about.contains(&thing), "{thing} was not examined: {about:?}");
    }
    let text = String::from_utf8(home.command(binary(), &["doctor"]).output().unwrap().stdout).unwrap();
    assert!(text.contains("too-many: ready") && text.contains("Nothing is wrong."), "{text}");

    // Each thing goes wrong, and is told with its mend.
    database.postgres.psql("REVOKE pg_signal_backend FROM runbookd_act").unwrap();
    slack.allow(true, false);
    alertmanager.reload(&ROUTES.replace("- {receiver: runbookd, continue: true}", "- {receiver: people}")).unwrap();
    home.write("runbookd.yaml", "listen: nowhere\n");
    let (code, found) = examined(&home);
    assert_eq!(code, 1);
    let says = found["runbooks"][0]["says"].as_str().unwrap();
    assert!(says.starts_with("would be refused because") && says.contains("grant pg_signal_backend"), "{says}");
    let told = wrong(&found);
    for (about, mend) in [("configuration", "runbookd check"), ("Slack", "invite it"), ("Alertmanager", "no route there leads")] {
        assert!(told.iter().any(|line| line.starts_with(about) && line.contains(mend)), "{about} is not told: {told:?}");
    }
    assert!(metric(&daemon, "runbookd_runbook_ready{runbook=\"too-many\"} 0"));
    assert!(metric(&daemon, "runbookd_doctor_problems 4"), "{told:?}");

    // Nothing of it changed anything, and nobody was told a thing.
    assert!(slack.messages().is_empty() && daemon.incidents().is_empty());
    let alive = database.postgres.psql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'bystander'").unwrap();
    assert!(alive.contains('1'), "{alive}");
    drop(client);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_of_no_use_and_a_wrong_token_are_told_before_the_night() {
    let database = Database::start(&PostgresSettings::default(), TerminateBy::SignalBackend, false);
    let (alertmanager, slack) = (Alertmanager::start(ROUTES).unwrap(), SlackStandin::start().await);
    let home = home(&database, &alertmanager, &slack);
    home.write("secrets/act", "another's");
    let asks = std::fs::read_to_string(home.config().join("runbooks/too-many.yaml")).unwrap();
    let asks = asks.replace("mode: auto", "mode: ask");
    let mut without_slack = std::fs::read_to_string(home.config().join("runbookd.yaml")).unwrap();
    without_slack.truncate(without_slack.find("slack:").unwrap());
    let daemon = home.start(binary(), &[]);
    let found = until(
        "the login to have been tried",
        Duration::from_secs(20),
        || {
            let (code, found) = examined(&home);
            let says = found["runbooks"][0]["says"].as_str().unwrap();
            let told = says.starts_with("would be refused because its login to act on postgres/main is of no use");
            (told && code == 1).then_some(found)
        },
        || home.log(),
    );
    assert!(!wrong(&found).iter().any(|line| line.starts_with("deliveries")), "{found:#}");

    let turned_away =
        Request::post(&daemon.url("/webhook/alertmanager")).header("Authorization", "Bearer of-another").send().unwrap();
    assert_eq!(turned_away.status, 401);
    let told = wrong(&examined(&home).1);
    let told = told.iter().find(|line| line.starts_with("deliveries")).unwrap_or_else(|| panic!("{told:?}"));
    assert!(told.contains("turned away") && told.contains("webhook.token"), "{told}");
    assert!(home.log().contains("a delivery was turned away"), "{}", home.log());

    // Who is to be asked and cannot hear it.
    home.write("secrets/act", "act's own");
    home.write("runbookd.yaml", &without_slack);
    home.write("runbooks/too-many.yaml", &asks);
    assert!(home.command(binary(), &["reload"]).output().unwrap().status.success());
    until(
        "the login to be of use again",
        Duration::from_secs(20),
        || {
            let says = examined(&home).1["runbooks"][0]["says"].as_str().unwrap().to_owned();
            (says.starts_with("ready, and asks before each act; but nobody hears it")).then_some(())
        },
        || home.log(),
    );
    drop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_reached_is_told_in_time() {
    let slack = SlackStandin::start().await;
    let database = Database::plain();
    let alertmanager = Alertmanager::start(ROUTES).unwrap();
    let home = home(&database, &alertmanager, &slack);
    let targets = std::fs::read_to_string(home.config().join("targets.yaml"))
        .unwrap()
        .replace("class: P1,", "class: P1, depends_on: [service/db],");
    let engine = home.folder().join("no-such-socket");
    let service = "service/db: {engine: engine/main, project: shop, class: P1, owner: dba@example.invalid}";
    home.write(
        "targets.yaml",
        &format!(
            "{targets}engine/main: {{look: 'unix://{}', class: P1, owner: dba@example.invalid}}\n{service}\n",
            engine.display()
        ),
    );
    slack.rotate("xoxb-other");
    database.postgres.process().stop().unwrap();
    alertmanager.process().stop().unwrap();
    let daemon = home.start(binary(), &[]);
    let (code, found) = examined(&home);
    assert_eq!(code, 1);
    let told = wrong(&found);
    for about in ["postgres/main (look)", "postgres/main (act)", "postgres/main:", "Alertmanager", "Slack"] {
        assert!(told.iter().any(|line| line.starts_with(about)), "{about} is not told: {told:?}");
    }
    assert!(found["runbooks"][0]["says"].as_str().unwrap().contains("cannot see postgres/main"), "{found:#}");
    // Before an act, what a target rests on is looked at, and an act waits for it in vain where that cannot be seen.
    let says = found["runbooks"][0]["says"].as_str().unwrap();
    assert!(says.contains("service/db, which it rests on, cannot be seen"), "{says}");
    database.postgres.process().cont().unwrap();
    drop(daemon);
}

#[test]
fn a_file_that_cannot_be_rewritten_is_told_with_its_mend() {
    let folder = tempfile::tempdir().unwrap();
    let mounted = folder.path().join("shop");
    std::fs::create_dir(&mounted).unwrap();
    let mount = |arguments: &[&str]| {
        let status = std::process::Command::new("mount").args(arguments).arg(&mounted).status().unwrap();
        assert!(status.success(), "mount {arguments:?}");
    };
    mount(&["-t", "tmpfs", "-o", "size=64k", "tmpfs"]);
    let file = mounted.join("shop.env");
    std::fs::write(&file, "POOL=5\n").unwrap();
    let before = connect::env_file::rewritable(&file);
    mount(&["-o", "remount,ro"]);
    let after = connect::env_file::rewritable(&file);
    let gone = connect::env_file::rewritable(&mounted.join("other.env"));
    assert!(std::process::Command::new("umount").arg(&mounted).status().unwrap().success());
    assert_eq!(before, Ok(()));
    let why = after.unwrap_err();
    assert!(why.contains("nothing may be written in") && why.contains("ReadWritePaths="), "{why}");
    assert!(gone.unwrap_err().contains("other.env"));
}
