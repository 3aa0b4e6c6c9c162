//! The runbooks for containers, each from a real alert to a proved cure: the estate's Prometheus notices a fault, its Alertmanager
//! delivers, the daemon with the shipped configuration looks, decides and acts through the shipped proxy. Judged by what the Engine
//! and the broker say; the journal's own story counts for what was decided.
//!
//! Why two faults in a test: incidents of different targets run side by side, as they do in a bad night, and a fault that shows only
//! over a minute of the broker's samples leaves room for another.

mod house;
mod night;
mod people;

use std::time::Duration;

use serde_json::Value;

use crate::support::daemon::{Daemon, binary, until};
use crate::support::watch::{Touch, Watch};
use night::{Night, closed, closed_after, count, question, story, told};

/// From a fault over the alert to the end of its incident, where a minute of samples has to pass first.
const PATIENCE: Duration = Duration::from_secs(200);

fn kept(daemon: &Daemon<'_>, incident: &Value) -> Vec<String> {
    let shown = daemon.get(&format!("/api/v1/incidents/{}", incident["id"]));
    let pieces = shown["evidence"].as_array().cloned().unwrap_or_default();
    pieces.iter().filter_map(|piece| piece["name"].as_str().map(str::to_owned)).collect()
}

/// What happened to the containers of one service.
fn of<'a>(touches: &'a [Touch], service: &str) -> Vec<&'a Touch> {
    touches.iter().filter(|touch| touch.service == service).collect()
}

fn times(touches: &[&Touch], what: &str) -> usize {
    touches.iter().filter(|touch| touch.what == what).count()
}

#[test]
fn a_backlog_is_worked_off_by_more_workers_that_go_again() {
    let night = Night::begin();
    let watch = Watch::start(&night.estate);
    let home = night.home();
    let daemon = home.start(binary(), &[]);
    let original = night.identity("celery-worker");
    let finished = night.queue("message_stats.ack");
    let broken = night.breaks("backlog");
    let wait = |what: &str, within: u64, come: &dyn Fn() -> bool| {
        until(what, Duration::from_secs(within), || come().then_some(()), || told(&daemon, &home));
    };
    wait("three workers are there", 60, &|| night.replicas("celery-worker").len() == 3);
    wait("three workers consume", 60, &|| night.queue("consumers") == 3.0);
    wait("the backlog is gone", 60, &|| night.queue("messages") < 100.0);
    wait("one worker is left", 60, &|| night.replicas("celery-worker").len() == 1);
    let incident = closed(&daemon, &home, "queue-backlog", Duration::from_secs(20));
    assert_eq!(incident["how"], "cured", "{}", told(&daemon, &home));
    assert_eq!(night.identity("celery-worker"), original, "the worker itself was left alone");
    assert!(night.queue("message_stats.ack") - finished >= 1400.0, "the tasks were done, not thrown away");
    let touches = watch.touches();
    let clones = of(&touches, "celery-worker");
    assert_eq!(["create", "start", "die", "destroy"].map(|what| times(&clones, what)), [2, 2, 2, 2], "{clones:?}");
    let names: std::collections::BTreeSet<&str> = clones.iter().map(|touch| touch.container.as_str()).collect();
    assert!(!names.contains(night.estate.container("celery-worker").as_str()), "{names:?}");
    // Asked to stop, and they did: a warm shutdown, with nothing in hand.
    assert!(clones.iter().all(|touch| touch.what != "kill" || touch.how == "15"), "{clones:?}");
    assert!(clones.iter().all(|touch| touch.what != "die" || touch.how == "0"), "{clones:?}");
    night.only_touched(&watch, &["celery-worker"]);
    drop(broken);
}

#[test]
fn a_hung_worker_is_restarted_and_a_leaking_backend_only_once() {
    let night = Night::begin();
    let watch = Watch::start(&night.estate);
    let home = night.home();
    let daemon = home.start(binary(), &[]);
    let (worker, backend) = (night.identity("celery-worker"), night.identity("backend"));
    let hung = night.breaks("worker-hung");
    let leak = night.breaks("leak-memory");

    // Memory: kept first, restarted once, and the second time is a person's.
    let first = closed(&daemon, &home, "backend-memory", PATIENCE);
    assert_eq!(first["how"], "cured", "{}", told(&daemon, &home));
    let restarted = night.identity("backend");
    assert_ne!(restarted, backend);
    let pieces = kept(&daemon, &first);
    assert!(pieces.len() >= 3, "logs, inspect, figures, processes: {pieces:?}");
    drop(leak);
    let over = || night.estate.alerts().unwrap().iter().all(|alert| alert["labels"]["alertname"] != "HighMemoryUsage");
    until("the alert is over", Duration::from_secs(20), || over().then_some(()), String::new);
    let again = night.breaks("leak-memory");
    let second = closed_after(&daemon, &home, "backend-memory", Some(&first), PATIENCE);
    assert_eq!(second["how"], "handed_over", "{second}");
    assert!(second["why"].as_str().unwrap().contains("1 are allowed"), "{second}");
    assert_eq!(night.identity("backend"), restarted, "once");
    drop(again);

    // The worker: its parent answers, and nothing is finished.
    let incident = closed(&daemon, &home, "workers-not-processing", PATIENCE);
    assert_eq!(incident["how"], "cured", "{}", told(&daemon, &home));
    assert_ne!(night.identity("celery-worker"), worker);
    assert!(!kept(&daemon, &incident).is_empty());
    let touches = watch.touches();
    for service in ["celery-worker", "backend"] {
        assert_eq!(times(&of(&touches, service), "start"), 1, "{touches:?}");
    }
    let finished = night.queue("message_stats.ack");
    let goes_on = || night.queue("message_stats.ack") > finished;
    until("tasks end again", Duration::from_secs(10), || goes_on().then_some(()), || told(&daemon, &home));
    night.only_touched(&watch, &["celery-worker", "backend"]);
    drop(hung);
}

#[test]
fn while_the_broker_is_ill_the_worker_is_left_alone_and_an_unhealthy_backend_is_cured_beside_it() {
    let night = Night::begin();
    let watch = Watch::start(&night.estate);
    let home = night.home();
    let daemon = home.start(binary(), &[]);
    let (worker, backend) = (night.identity("celery-worker"), night.identity("backend"));
    let alarm = night.breaks("broker-alarm");
    let unhealthy = night.breaks("unhealthy");

    let cured = closed(&daemon, &home, "service-unhealthy", PATIENCE);
    assert_eq!(cured["how"], "cured", "{}", told(&daemon, &home));
    assert_eq!(cured["target"], "service/backend", "the one that the alert's label names");
    assert_ne!(night.identity("backend"), backend);
    drop(unhealthy);

    // Nothing is finished, for as long as the broker's samples reach: what would have the worker restarted, were it the worker's fault.
    let stalled = |(kind, body): &(String, Value)| {
        kind == "looked" && body["findings"]["looks"]["progress"]["seen"]["Known"]["fields"]["stalled"]["flag"] == true
    };
    let held = || {
        let incident = daemon.incidents().into_iter().find(|incident| incident["runbook"] == "workers-not-processing")?;
        (incident["stage"] == "held" && story(&daemon, &incident).iter().any(stalled)).then_some(incident)
    };
    let incident = until("it is held while nothing is finished", PATIENCE, held, || told(&daemon, &home));
    let waits = story(&daemon, &incident).into_iter().rfind(|(kind, _)| kind == "waits").unwrap().1.to_string();
    assert!(waits.contains("rabbitmq/main") && waits.contains("alarm"), "{waits}");
    assert_eq!(count(&daemon, &incident, "action_started"), 0);
    drop(alarm);
    // With the broker well again the worker goes on by itself.
    let finished = night.queue("message_stats.ack");
    let goes_on = || night.queue("message_stats.ack") > finished;
    until("tasks end again", Duration::from_secs(20), || goes_on().then_some(()), || told(&daemon, &home));
    assert_eq!(night.identity("celery-worker"), worker, "nobody touched it");
    let touches = watch.touches();
    assert_eq!(times(&of(&touches, "backend"), "start"), 1, "{touches:?}");
    night.only_touched(&watch, &["backend"]);
}

#[test]
fn a_worker_that_cannot_reach_the_broker_is_left_alone() {
    let night = Night::begin();
    let watch = Watch::start(&night.estate);
    let worker = night.identity("celery-worker");
    let home = night.home();
    let daemon = home.start(binary(), &[]);
    let broken = night.breaks("broker-unreachable");
    let handed = closed(&daemon, &home, "workers-not-processing", PATIENCE);
    assert_eq!(handed["how"], "handed_over", "{}", told(&daemon, &home));
    let skipped = story(&daemon, &handed).into_iter().filter(|(kind, _)| kind == "rung_skipped");
    assert!(skipped.map(|(_, body)| body.to_string()).any(|why| why.contains("reach.ok")), "{}", told(&daemon, &home));
    assert_eq!(night.identity("celery-worker"), worker);
    night.only_touched(&watch, &[]);
    drop(broken);
}

#[test]
fn a_worker_that_somebody_stopped_is_started_only_when_a_person_agrees() {
    let night = Night::begin();
    let watch = Watch::start(&night.estate);
    let home = night.home();
    // It has stopped before anybody looks: an alert may come while it still works off what it has, and then nothing is exited yet.
    let stopped = night.breaks("worker-stopped");
    let daemon = home.start(binary(), &[]);
    let ask = until("somebody is asked", PATIENCE, || question(&daemon), || told(&daemon, &home));
    assert!(night.identity("celery-worker").ends_with("exited"), "nothing is started before the answer");
    let agrees = |ask: &str| home.command(binary(), &["approve", ask, "--by", "a person"]).output().unwrap();
    agrees(&ask);
    let runs = || night.identity("celery-worker").ends_with("running");
    let asked_again = || question(&daemon).map(|ask| agrees(&ask));
    until(
        "the worker runs",
        PATIENCE,
        || (asked_again().is_some() || runs()).then(runs).filter(|runs| *runs),
        || told(&daemon, &home),
    );
    let incident = closed(&daemon, &home, "workers-not-processing", PATIENCE);
    assert_eq!(incident["how"], "cured", "{}", told(&daemon, &home));
    let answered = story(&daemon, &incident).into_iter().find(|(kind, _)| kind == "answered");
    assert!(answered.is_some_and(|(_, body)| body.to_string().contains("a person")), "{}", told(&daemon, &home));
    night.only_touched(&watch, &["celery-worker"]);
    drop(stopped);
}
