//! Silences for what a step raises by itself, in a real Alertmanager: there while the step runs, with exactly these labels and the
//! step's own end; never for what fires already, nor where nobody can say; and no Alertmanager, however ill, holds up an act.

mod ill;

use std::time::Duration;

use serde_json::{Value, json};
use xtask::servers::{Alertmanager, AlertmanagerSettings};

use crate::support::daemon::{Daemon, Home, delivery, rehearsal_binary, until};
use crate::support::people::People;

const RUNBOOK: &str = r#"
runbook: noisy
summary: one step that raises an alert by itself
match: ['alertname="Rehearsed"']
target: rehearsal/ledger
mode: auto
limits: {cooldown: 0s, rate: [50/1h]}
look:
  ledger: {rehearsal.ledger: {}}
require: ledger.broken
remedies:
  - name: changes the ledger
    steps:
      - rehearsal.effect: {key: a, silence: [{alertname: LedgerChanges, service: ledger}]}
    verify: {until: ledger.effects >= UNTIL, within: WITHIN, hold: 0s}
otherwise: escalate
"#;
/// An Alertmanager of a test is young, and a young one says of nothing that it does not fire.
const KNOWS: (&str, &str) = ("RUNBOOKD_ALERTMANAGER_KNOWS_AFTER", "0");
const SOON: Duration = Duration::from_secs(20);

fn routes(people: &People) -> String {
    format!(
        "route: {{receiver: humans, group_by: [alertname, service], group_wait: 100ms, group_interval: 1s}}\n\
         receivers: [{{name: humans, webhook_configs: [{{url: '{}'}}]}}, {{name: runbookd}}]\n",
        people.url()
    )
}

/// A home whose runbook changes a ledger; these are its Alertmanagers.
fn home(urls: &[String], helps: bool) -> Home {
    let (until, within) = if helps { ("1.0", "2s") } else { ("100.0", "300ms") };
    let runbook = RUNBOOK.replace("UNTIL", until).replace("WITHIN", within);
    let home = Home::new(&[("runbooks/noisy.yaml", runbook)]);
    let ledger = home.folder().join("ledger");
    std::fs::write(&ledger, "broken\n").unwrap();
    let target = format!("rehearsal/ledger: {{ledger: {}, class: P3, owner: nobody@example.invalid}}\n", ledger.display());
    home.write("targets.yaml", &target);
    let asked: Vec<Value> = urls.iter().map(|url| json!({"url": url, "receiver": "runbookd", "raise": false})).collect();
    home.write("runbookd.yaml", &format!("listen: 127.0.0.1:PORT\nalertmanager: {}\n", Value::from(asked)));
    home
}

fn begin(daemon: &Daemon<'_>) {
    let alert = delivery(&[("alertname", "Rehearsed")], "firing", "2026-01-01T00:00:00Z");
    daemon.deliver(&alert).unwrap().ok().unwrap();
}

fn at(seconds_from_now: i64) -> String {
    runbook::Stamp::from_millis(xtask::clock::wall_millis() + 1_000 * seconds_from_now).to_string()
}

fn fires(alertmanager: &Alertmanager, service: &str) {
    let labels = json!({"alertname": "LedgerChanges", "service": service, "severity": "critical"});
    alertmanager.send(&json!([{"labels": labels, "startsAt": at(0), "endsAt": at(600)}])).unwrap();
}

/// The silences in this state, or all of them.
fn silences(alertmanager: &Alertmanager, state: Option<&str>) -> Vec<Value> {
    let all = alertmanager.api("/silences").unwrap().as_array().unwrap().clone();
    all.into_iter().filter(|one| state.is_none_or(|state| one["status"]["state"] == state)).collect()
}

/// Every event of this kind, oldest first.
fn events(daemon: &Daemon<'_>, kind: &str) -> Vec<Value> {
    let shown = daemon.get("/api/v1/incidents/1");
    shown["events"].as_array().unwrap().iter().filter_map(|event| event["event"].get(kind).cloned()).collect()
}

/// When the first event of this kind was.
fn when(daemon: &Daemon<'_>, kind: &str) -> runbook::Stamp {
    let shown = daemon.get("/api/v1/incidents/1");
    let found = shown["events"].as_array().unwrap().iter().find(|event| event["event"].get(kind).is_some()).unwrap();
    serde_json::from_value(found["at"].clone()).unwrap()
}

fn stamp(value: &Value) -> String {
    serde_json::from_value::<runbook::Stamp>(value.clone()).unwrap().to_string()
}

/// Why the one side effect was not silenced.
fn why_not(daemon: &Daemon<'_>) -> String {
    let quieted = events(daemon, "quieted");
    assert_eq!(quieted.len(), 1, "{quieted:?}");
    let why = quieted[0]["alerts"][0]["became"]["not"]["why"].as_str();
    why.unwrap_or_else(|| panic!("it was silenced: {quieted:?}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_step_raises_is_silenced_until_its_deadline_and_nothing_else_is() {
    let people = People::start().await;
    let alertmanager = Alertmanager::start(&routes(&people)).unwrap();
    let home = home(&[alertmanager.url()], true);
    let daemon = home.start(rehearsal_binary(), &[KNOWS]);
    begin(&daemon);
    let active = || silences(&alertmanager, Some("active")).pop();
    let silence = until("a silence", SOON, active, || home.log());
    // Once it is made it is asked again whether anything fires: what comes in that moment ends it again.
    until("it is written down", SOON, || (!events(&daemon, "quieted").is_empty()).then_some(()), || home.log());
    fires(&alertmanager, "ledger");
    fires(&alertmanager, "another");
    let alerts = alertmanager.api("/alerts").unwrap();
    let of = |service: &str| alerts.as_array().unwrap().iter().find(|one| one["labels"]["service"] == service).unwrap().clone();
    assert_eq!(of("ledger")["status"]["silencedBy"], json!([silence["id"]]), "{alerts}");
    assert_eq!(of("ledger")["status"]["state"], "suppressed", "{alerts}");
    assert_eq!(of("another")["status"]["silencedBy"], json!([]), "{alerts}");

    let mut matchers = silence["matchers"].as_array().unwrap().clone();
    matchers.sort_by_key(|one| one["name"].to_string());
    let equal = |name: &str, value: &str| json!({"name": name, "value": value, "isRegex": false, "isEqual": true});
    assert_eq!(matchers, [equal("alertname", "LedgerChanges"), equal("service", "ledger")]);
    assert_eq!(silence["createdBy"], "runbookd");
    for part in ["INC-1", "noisy", "rehearsal.effect", "rehearsal/ledger"] {
        assert!(silence["comment"].as_str().unwrap().contains(part), "{silence}");
    }
    let closed = daemon.wait_closed(SOON);
    assert_eq!(closed["how"], "cured", "{closed}");
    let (started, quieted) = (events(&daemon, "action_started"), events(&daemon, "quieted"));
    let recorded = &quieted[0]["alerts"][0]["became"]["silenced"];
    assert_eq!((started.len(), quieted.len(), &recorded["id"]), (1, 1, &silence["id"]));
    let ends = silence["endsAt"].as_str().unwrap();
    assert_eq!((stamp(&recorded["ends"]), stamp(&started[0]["deadline"])), (ends.to_owned(), ends.to_owned()));
    let explained = home.command(rehearsal_binary(), &["explain", "INC-1"]).output().unwrap();
    let explained = String::from_utf8_lossy(&explained.stdout).into_owned();
    assert!(explained.contains("is silenced until") && explained.contains(silence["id"].as_str().unwrap()), "{explained}");

    // The other one's alert is told at once; this one's, which still fires, when the silence is over.
    let told = |service: &str| people.pages().into_iter().find(|page| page.alert["labels"]["service"] == service);
    until("people hear of the other", SOON, || told("another"), || format!("{:?}", people.pages()));
    until("people hear of what does not go away", SOON, || told("ledger"), || format!("{:?}", people.pages()));
    assert!(at(0).as_str() >= ends, "people were told before {ends}");
    assert_eq!(silences(&alertmanager, None).len(), 1, "one silence, and no other");
    assert_eq!(silences(&alertmanager, None)[0]["endsAt"], silence["endsAt"], "it ended with the deadline, by itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fires_already_is_not_silenced() {
    let people = People::start().await;
    let alertmanager = Alertmanager::start(&routes(&people)).unwrap();
    fires(&alertmanager, "ledger");
    let home = home(&[alertmanager.url()], true);
    let daemon = home.start(rehearsal_binary(), &[KNOWS]);
    begin(&daemon);
    assert_eq!(daemon.wait_closed(SOON)["how"], "cured");
    assert!(why_not(&daemon).contains("it fires already, so a person may have been told"), "{}", why_not(&daemon));
    assert_eq!(silences(&alertmanager, None), Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alertmanager_that_may_not_know_yet_what_fires_is_not_believed() {
    let people = People::start().await;
    let alertmanager = Alertmanager::start(&routes(&people)).unwrap();
    let home = home(&[alertmanager.url()], true);
    let daemon = home.start(rehearsal_binary(), &[]);
    begin(&daemon);
    assert_eq!(daemon.wait_closed(SOON)["how"], "cured");
    assert!(why_not(&daemon).contains("it has been up for"), "{}", why_not(&daemon));
    assert_eq!(silences(&alertmanager, None), Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alertmanager_that_hangs_or_is_away_holds_up_nothing_and_then_nothing_is_silenced() {
    let people = People::start().await;
    let alertmanager = Alertmanager::start(&routes(&people)).unwrap();
    for hangs in [true, false] {
        let nobody = format!("http://127.0.0.1:{}", xtask::servers::free_port().unwrap());
        let urls = if hangs { vec![alertmanager.url()] } else { vec![alertmanager.url(), nobody] };
        let home = home(&urls, true);
        let daemon = home.start(rehearsal_binary(), &[KNOWS]);
        if hangs {
            alertmanager.process().stop().unwrap();
        }
        begin(&daemon);
        let closed = daemon.wait_closed(SOON);
        alertmanager.process().cont().unwrap();
        assert_eq!(closed["how"], "cured", "{closed}");
        let wanted = if hangs { "no answer within" } else { "127.0.0.1" };
        assert!(why_not(&daemon).contains(wanted), "{}", why_not(&daemon));
        assert_eq!(silences(&alertmanager, None), Vec::<Value>::new(), "one of two is not enough");
        let waited = when(&daemon, "action_replied").since(when(&daemon, "action_started"));
        assert!(waited < Duration::from_secs(4), "the act waited for {waited:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alertmanager_of_another_time_is_asked_to_silence_nothing() {
    let people = People::start().await;
    let alertmanager = Alertmanager::start(&routes(&people)).unwrap();
    let library = crate::clock::library();
    let home = home(&[alertmanager.url()], true);
    // Ours is ahead: Alertmanager would hold a silence for a time long after the step.
    let ahead = [("LD_PRELOAD", library.to_str().unwrap()), ("FAKETIME", "+600"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1"), KNOWS];
    let daemon = home.start(rehearsal_binary(), &ahead);
    begin(&daemon);
    assert_eq!(daemon.wait_closed(SOON)["how"], "cured");
    let why = why_not(&daemon);
    assert!(why.contains("its clock and ours are 9m") || why.contains("its clock and ours are 10m"), "{why}");
    assert_eq!(silences(&alertmanager, None), Vec::<Value>::new());
    let examined = daemon.get("/api/v1/doctor").to_string();
    assert!(examined.contains("its clock and ours are"), "{examined}");
}

/// Nobody writes to the pipe, so reading it hangs, as a file on a server that is away does.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_cannot_be_read_holds_up_nothing_and_what_cannot_be_said_without_it_is_told() {
    let people = People::start().await;
    let alertmanager = Alertmanager::start(&routes(&people)).unwrap();
    let home = home(&[], false);
    let token = home.folder().join("token");
    assert!(std::process::Command::new("mkfifo").arg(&token).status().unwrap().success());
    let asked = json!([{"url": alertmanager.url(), "receiver": "runbookd", "token": {"file": token}}]);
    home.write("runbookd.yaml", &format!("listen: 127.0.0.1:PORT\nalertmanager: {asked}\n"));
    let daemon = home.start(rehearsal_binary(), &[KNOWS]);
    begin(&daemon);
    let closed = daemon.wait_closed(SOON);
    assert_eq!((&closed["how"], events(&daemon, "action_replied").len()), (&json!("handed_over"), 1), "{closed}");
    assert!(why_not(&daemon).contains("cannot read the secret in"), "{}", why_not(&daemon));
    let waited = when(&daemon, "action_replied").since(when(&daemon, "action_started"));
    assert!(waited < Duration::from_secs(3), "the act waited for {waited:?}");

    let told = || {
        let log = home.log();
        let told = ["Alertmanager cannot be asked what fires", "does not take the call for a person"];
        (told.iter().all(|words| log.contains(words)) && log.contains("cannot read the secret in")).then_some(())
    };
    until("it is told", Duration::from_secs(40), told, || home.log());
    let metrics = xtask::http::Request::get(&daemon.url("/metrics")).send().unwrap().ok().unwrap().text();
    for name in ["reachable", "takes_calls"] {
        let name = format!("runbookd_alertmanager_{name}{{");
        assert!(metrics.lines().any(|line| line.starts_with(&name) && line.ends_with("} 0")), "{name}: {metrics}");
    }
    // The server is back: what hangs ends, the next read finds the token, and nothing has to be started anew.
    let writer = std::fs::File::options().write(true).open(&token).unwrap();
    std::fs::write(home.folder().join("new"), "token").unwrap();
    std::fs::rename(home.folder().join("new"), &token).unwrap();
    drop(writer);
    let called = || {
        let alerts = alertmanager.api("/alerts").unwrap();
        alerts.as_array().unwrap().iter().any(|one| one["labels"]["alertname"] == "RunbookdGaveUp").then_some(())
    };
    until("people are called", Duration::from_secs(60), called, || home.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_did_not_help_lets_its_alerts_be_heard_at_once() {
    let people = People::start().await;
    let alertmanager = Alertmanager::start(&routes(&people)).unwrap();
    let home = home(&[alertmanager.url()], false);
    let daemon = home.start(rehearsal_binary(), &[KNOWS]);
    begin(&daemon);
    assert_eq!(daemon.wait_closed(SOON)["how"], "handed_over");
    let all = silences(&alertmanager, None);
    let deadline = stamp(&events(&daemon, "action_started")[0]["deadline"]);
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(all[0]["status"]["state"], "expired", "{all:?}");
    assert!(all[0]["endsAt"].as_str().unwrap() < deadline.as_str(), "{all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_given_one_silence() {
    let people = People::start().await;
    let settings = AlertmanagerSettings { clustered: true, ..AlertmanagerSettings::default() };
    let first = Alertmanager::start_with(&routes(&people), &settings).unwrap();
    let joins = AlertmanagerSettings { peers: vec![first.cluster_address()], ..settings };
    let second = Alertmanager::start_with(&routes(&people), &joins).unwrap();
    let settled = || (second.api("/status").ok()?["cluster"]["status"] == "ready").then_some(());
    until("the cluster has settled", Duration::from_secs(60), settled, || second.log());
    let settled = || (first.api("/status").ok()?["cluster"]["status"] == "ready").then_some(());
    until("the cluster has settled", Duration::from_secs(60), settled, || first.log());
    let home = home(&[first.url(), second.url()], true);
    let daemon = home.start(rehearsal_binary(), &[KNOWS]);
    begin(&daemon);
    assert_eq!(daemon.wait_closed(SOON)["how"], "cured");
    let id = events(&daemon, "quieted")[0]["alerts"][0]["became"]["silenced"]["id"].clone();
    let ids = |alertmanager| silences(alertmanager, None).iter().map(|one| one["id"].clone()).collect::<Vec<_>>();
    until("the second has it", SOON, || (ids(&second) == [id.clone()]).then_some(()), || format!("{:?}", ids(&second)));
    assert_eq!(ids(&first), [id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silence_whose_act_never_came_is_gone_with_the_deadline() {
    let people = People::start().await;
    let alertmanager = Alertmanager::start(&routes(&people)).unwrap();
    let home = home(&[alertmanager.url()], true);
    // Once before it is on record that it was silenced, and once after.
    let mut daemon = home.start(rehearsal_binary(), &[KNOWS, ("RUNBOOKD_KILL_AT", "before-append:quieted")]);
    begin(&daemon);
    until("it is killed", SOON, || daemon.child.try_wait().unwrap(), || home.log());
    let left = silences(&alertmanager, Some("active"));
    assert_eq!(left.len(), 1, "{left:?}");
    drop(daemon);
    let mut daemon = home.start(rehearsal_binary(), &[KNOWS, ("RUNBOOKD_KILL_AT", "before-effect")]);
    until("it is killed again", Duration::from_secs(40), || daemon.child.try_wait().unwrap(), || home.log());
    drop(daemon);
    let gone = || silences(&alertmanager, Some("active")).is_empty().then_some(());
    until("nothing is silenced any more", SOON, gone, || home.log());
    let daemon = home.start(rehearsal_binary(), &[KNOWS]);
    daemon.wait_closed(Duration::from_secs(40));
    let deadlines: Vec<String> = events(&daemon, "action_started").iter().map(|one| stamp(&one["deadline"])).collect();
    let all = silences(&alertmanager, None);
    assert_eq!(all.len(), deadlines.len(), "one for each order, and none twice: {all:?}");
    for silence in all {
        let ends = silence["endsAt"].as_str().unwrap();
        assert!(deadlines.iter().any(|deadline| ends == deadline), "{silence} ends with none of {deadlines:?}");
    }
}
