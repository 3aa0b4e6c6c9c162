//! SIGKILL at every named point of the real process. The matrix is made from the event enum: a new kind of event
//! belongs to it as soon as it exists. After each kill the daemon is started again, and the same things must hold.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use runbook::incident::Event;
use serde_json::{Value, json};

use crate::support::daemon::{Daemon, Home, binary, delivery, rehearsal_binary, until};

/// Kinds that others append for incidents that there are, each in one transaction with what it answers to: a kill finds all of it, or none.
const FROM_OUTSIDE: [&str; 5] = ["alert_heard", "stopped", "noted", "judged", "answer_refused"];
/// Kinds that this story does not pass; `crash` passes them on the real store.
const ELSEWHERE: [&str; 7] = ["stale", "woke", "enough", "unsettled", "harmed", "ending", "reminded"];

const RUNBOOK: &str = r#"
runbook: rehearsed
summary: goes through everything a ladder can go through
match: ['alertname="Rehearsed"']
target: rehearsal/ledger
mode: auto
limits: {cooldown: 0s, rate: [50/1h]}
look:
  ledger: {rehearsal.ledger: {}}
require: ledger.broken
remedies:
  - name: does not apply
    when: ledger.effects > 100.0
    steps:
      - rehearsal.effect: {key: never}
    verify: {until: "!ledger.broken", within: 1s, hold: 0s}
  - name: does not help and is undone
    steps:
      - rehearsal.effect: {key: a1, undo: true, silence: [{alertname: LedgerChanges, service: ledger}]}
    verify: {until: ledger.effects > 100.0, within: 200ms, hold: 0s}
  - name: asks, destroys, helps, and ends
    mode: ask
    steps:
      - rehearsal.effect: {key: b1, undo: true, lasting: true, destroys_data: true, until: ledger.effects >= 1.0, at_most_for: 1h}
    verify: {until: ledger.effects >= 1.0, within: 5s, hold: 100ms}
otherwise: escalate
"#;

fn home() -> Home {
    let home =
        Home::new(&[("runbookd.yaml", "listen: 127.0.0.1:PORT\n".to_owned()), ("runbooks/rehearsed.yaml", RUNBOOK.to_owned())]);
    let ledger = home.folder().join("ledger");
    std::fs::write(&ledger, "broken\n").unwrap();
    home.write(
        "targets.yaml",
        &format!("rehearsal/ledger: {{ledger: {}, class: P3, owner: nobody@example.invalid}}\n", ledger.display()),
    );
    home
}

/// Says yes to whatever is asked.
fn grant(daemon: &Daemon<'_>) {
    for incident in daemon.incidents() {
        if incident["stage"] == "asking" {
            let shown = daemon.get(&format!("/api/v1/incidents/{}", incident["id"]));
            let text = shown.to_string();
            let Some(ask) = find_ask(&shown) else { panic!("an asking incident shows no question: {text}") };
            // The incident may have been killed or answered in between; then it is asked again.
            let _ = daemon.post(&format!("/api/v1/asks/{ask}/approve"), &json!({"by": "a person"}));
        }
    }
}

/// The name of the last question among the events.
fn find_ask(value: &Value) -> Option<String> {
    let events = value["events"].as_array()?;
    events.iter().rev().find_map(|event| event.pointer("/event/waits/on/person/id").and_then(Value::as_str).map(str::to_owned))
}

/// One telling with a kill at `point`; says whether the point was passed.
fn tell(point: &str) -> Result<bool, String> {
    let home = home();
    let daemon = home.start(rehearsal_binary(), &[("RUNBOOKD_KILL_AT", point)]);
    let alert = delivery(&[("alertname", "Rehearsed")], "firing", "2026-01-01T00:00:00Z");
    let first = daemon.deliver(&alert);
    let killed = live(daemon, true);
    if killed {
        let daemon = home.start(rehearsal_binary(), &[]);
        if first.is_err() || daemon.incidents().is_empty() {
            // Nothing was promised, so Alertmanager sends again.
            daemon.deliver(&alert).map_err(|error| format!("{point}: {error:#}"))?;
        }
        if live(daemon, false) {
            return Err(format!("{point}: killed although nothing kills\n{}", home.log()));
        }
    }
    judge(&home, point).map(|()| killed)
}

/// Lives until the incident is over or the process is killed; says which.
fn live(mut daemon: Daemon<'_>, may_be_killed: bool) -> bool {
    until(
        "the incident ends or the process is killed",
        Duration::from_secs(60),
        || {
            if let Some(status) = daemon.child.try_wait().unwrap() {
                assert!(may_be_killed && status.signal() == Some(9), "it ended by itself: {status}");
                return Some(true);
            }
            let list = daemon.try_get("/api/v1/incidents").ok()?;
            let list = list.get("incidents").unwrap_or(&list).as_array()?.clone();
            let incident = list.first()?.clone();
            if !incident["closed"].is_null() {
                return Some(false);
            }
            if incident["stage"] == "asking" {
                grant_quietly(&daemon);
            }
            None
        },
        String::new,
    )
}

fn grant_quietly(daemon: &Daemon<'_>) {
    // The process may be killed in the middle of this; then the next life is asked.
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        if daemon.try_get("/api/v1/incidents").is_ok() {
            grant(daemon);
        }
    }));
}

/// What must hold afterwards, judged from the ledger and the journal alone.
fn judge(home: &Home, point: &str) -> Result<(), String> {
    let check = home.command(binary(), &["journal", "check", "--json"]).output().unwrap();
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    let complain = |what: &str| Err(format!("{point}: {what}\n{said}\n{}", home.log()));
    if !check.status.success() {
        return complain("the journal does not check out");
    }
    let ledger = std::fs::read_to_string(home.folder().join("ledger")).unwrap();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for line in ledger.lines().filter(|line| line.contains(' ')) {
        *counts.entry(line).or_default() += 1;
    }
    // Each effect at most once: the second time is allowed only where a look proved that the first one never landed, and
    // then the ledger has it once all the same.
    if counts.values().any(|count| *count > 1) {
        return complain(&format!("an effect landed twice: {ledger}"));
    }
    for (made, taken) in [("do a1", "undo a1"), ("do b1", "end b1")] {
        if counts.contains_key(made) != counts.contains_key(taken) {
            return complain(&format!("`{made}` was not followed by `{taken}`: {ledger}"));
        }
    }
    if !counts.contains_key("end b1") {
        return complain(&format!("the last remedy did not run to its end: {ledger}"));
    }
    Ok(())
}

fn points() -> Vec<String> {
    let kinds = Event::KINDS.iter().filter(|kind| !FROM_OUTSIDE.contains(kind) && !ELSEWHERE.contains(kind));
    let mut points: Vec<String> =
        kinds.flat_map(|kind| [format!("before-append:{kind}"), format!("after-append:{kind}")]).collect();
    // The first effect, its undo, the second effect, its end.
    for time in 1..=4 {
        points.extend([format!("before-effect#{time}"), format!("after-effect#{time}")]);
    }
    points
}

/// Every `of`-th point, from the `nth`: the matrix in parts, so that each part stays short.
fn part(nth: usize, of: usize) {
    rehearsal_binary();
    binary();
    let todo: Vec<String> = points().into_iter().skip(nth).step_by(of).collect();
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(point) = todo.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match std::panic::catch_unwind(|| tell(point)) {
                        Ok(Ok(true)) => {}
                        Ok(Ok(false)) => failures.lock().unwrap().push(format!("{point}: the story does not pass this point")),
                        Ok(Err(why)) => failures.lock().unwrap().push(why),
                        Err(_) => failures.lock().unwrap().push(format!("{point}: see the panic above")),
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n---\n"));
}

#[test]
fn killed_at_every_point_first_part() {
    part(0, 4);
}

#[test]
fn killed_at_every_point_second_part() {
    part(1, 4);
}

#[test]
fn killed_at_every_point_third_part() {
    part(2, 4);
}

#[test]
fn killed_at_every_point_fourth_part() {
    part(3, 4);
}

#[test]
fn the_shipped_binary_cannot_be_killed_by_a_variable_and_refuses_rehearsals() {
    let home = home();
    let refused = home.command(binary(), &["check"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(64), "{}", String::from_utf8_lossy(&refused.stderr));
    let image = std::fs::read(binary()).unwrap();
    let name = b"RUNBOOKD_KILL_AT";
    assert!(!image.windows(name.len()).any(|window| window == name), "the shipped binary knows the variable");
}
