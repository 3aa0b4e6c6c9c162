//! The clock of the real process jumps, ahead and back, under libfaketime: nothing acts by itself while wall and monotonic time
//! part, the reason is on record, and afterwards it goes on. Why a real process: what the library does with a virtual clock is
//! tried elsewhere; here it is the machine's own clock that lies. The doubt is shortened, because a test cannot wait ten minutes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::daemon::{Daemon, Home, delivery, rehearsal_binary, until};

/// How long nothing acts after a jump, here.
const DOUBT_SECONDS: u64 = 4;

const RUNBOOK: &str = r#"
runbook: NAME
summary: asks before its one effect
match: ['alertname="NAME"']
target: rehearsal/NAME
mode: ask
limits: {cooldown: 0s, rate: [50/1h]}
look:
  ledger: {rehearsal.ledger: {}}
require: ledger.broken
remedies:
  - name: the effect
    steps:
      - rehearsal.effect: {key: a1, undo: true}
    verify: {until: ledger.effects >= 1.0, within: 5s, hold: 100ms}
otherwise: escalate
"#;

fn home() -> Home {
    let home = Home::new(&[("runbookd.yaml", "listen: 127.0.0.1:PORT\n".to_owned())]);
    let mut targets = String::new();
    for name in ["ahead", "back"] {
        home.write(&format!("runbooks/{name}.yaml"), &RUNBOOK.replace("NAME", name));
        let ledger = home.folder().join(name);
        std::fs::write(&ledger, "broken\n").unwrap();
        targets
            .push_str(&format!("rehearsal/{name}: {{ledger: {}, class: P3, owner: nobody@example.invalid}}\n", ledger.display()));
    }
    home.write("targets.yaml", &targets);
    home
}

/// The library that lies about the time.
pub fn library() -> PathBuf {
    xtask::packages::ensure(&["libfaketime"]).unwrap();
    let listed = Command::new("dpkg").args(["-L", "libfaketime"]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let found = listed.lines().find(|line| line.ends_with("/libfaketimeMT.so.1"));
    PathBuf::from(found.expect("libfaketime has its library for threads"))
}

/// Sets the process's wall clock so many seconds apart from the machine's.
fn set(file: &Path, apart: i64) {
    let beside = file.with_extension("new");
    std::fs::write(&beside, format!("{apart:+}\n")).unwrap();
    std::fs::rename(&beside, file).unwrap();
}

/// Fires an alert, and waits until a person is asked; gives the incident and the question.
fn ask(home: &Home, daemon: &Daemon<'_>, name: &str) -> (u64, String) {
    daemon.deliver(&delivery(&[("alertname", name)], "firing", "2026-01-01T00:00:00Z")).unwrap();
    let asked = || {
        let asks = daemon.get("/api/v1/asks");
        Some((asks["asks"][0]["incident"].as_u64()?, asks["asks"][0]["id"].as_str()?.to_owned()))
    };
    until("a person is asked", Duration::from_secs(20), asked, || home.log())
}

fn effects(home: &Home, name: &str) -> usize {
    std::fs::read_to_string(home.folder().join(name)).unwrap().lines().filter(|line| *line == "do a1").count()
}

fn events(daemon: &Daemon<'_>, incident: u64) -> Vec<Value> {
    daemon.get(&format!("/api/v1/incidents/{incident}"))["events"].as_array().unwrap().clone()
}

/// Waits until the clock keeps the incident from acting, and says that nothing was done.
fn kept_by_the_clock(home: &Home, daemon: &Daemon<'_>, incident: u64, name: &str) {
    let closed = || {
        let all = events(daemon, incident);
        let gates = all.last()?.pointer("/event/waits/gates")?.as_array()?.clone();
        let clock = gates.last().filter(|gate| gate["name"] == "clock" && gate["open"] == false)?;
        clock["why"].as_str().map(str::to_owned)
    };
    let why = until("the clock keeps it", Duration::from_secs(20), closed, || {
        format!("{:?}\n{}", events(daemon, incident), home.log())
    });
    assert!(why.contains("the clock jumped; nothing acts by itself before"), "{why}");
    assert_eq!(effects(home, name), 0, "nothing acts while the clocks part");
}

fn cured(home: &Home, daemon: &Daemon<'_>, incident: u64, name: &str) {
    let over = || daemon.get(&format!("/api/v1/incidents/{incident}"))["incident"]["how"].as_str().map(str::to_owned);
    let how = until("it goes on", Duration::from_secs(40), over, || format!("{:?}\n{}", events(daemon, incident), home.log()));
    assert_eq!((how.as_str(), effects(home, name)), ("cured", 1), "{}", home.log());
    let stamps: Vec<i64> = events(daemon, incident).iter().map(|event| event["at"].as_i64().unwrap()).collect();
    assert!(stamps.windows(2).all(|two| two[0] <= two[1]), "stamps never go back: {stamps:?}");
}

#[test]
fn a_clock_that_jumps_during_an_incident_keeps_it_from_acting_until_it_is_trusted_again() {
    let home = home();
    let (library, file) = (library(), home.folder().join("clock"));
    set(&file, 0);
    let doubt = DOUBT_SECONDS.to_string();
    let variables = [
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("FAKETIME_TIMESTAMP_FILE", file.to_str().unwrap()),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("RUNBOOKD_DOUBT_SECONDS", &doubt),
    ];
    let daemon = home.start(rehearsal_binary(), &variables);
    let agree =
        |ask: &str| daemon.post(&format!("/api/v1/asks/{ask}/approve"), &json!({"by": "a person"})).unwrap().ok().unwrap();

    // Ahead by ten minutes, between the question and its answer.
    let (incident, question) = ask(&home, &daemon, "ahead");
    set(&file, 600);
    agree(&question);
    kept_by_the_clock(&home, &daemon, incident, "ahead");
    cured(&home, &daemon, incident, "ahead");
    assert!(home.log().contains("the clock jumped"), "{}", home.log());

    // Back by an hour: until the clock has caught up or is mended, nothing acts; and time does not go back.
    let (incident, question) = ask(&home, &daemon, "back");
    set(&file, -3_000);
    agree(&question);
    kept_by_the_clock(&home, &daemon, incident, "back");
    let examined = daemon.get("/api/v1/doctor").to_string();
    assert!(examined.contains("the wall clock jumped"), "{examined}");
    set(&file, 600);
    cured(&home, &daemon, incident, "back");
}
