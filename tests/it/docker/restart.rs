//! Restarting containers, from a real alert to the proof: one at a time, never two down, and not at all where anything speaks against
//! it. The Engine's own events say what was done. Deliberately no faults of the Engine itself here.

use std::collections::BTreeSet;
use std::time::Duration;

use super::project::{CHECK, OBEDIENT, Project, journal};
use crate::support::daemon::{Daemon, Home, binary, delivery, until};

const WITHIN: Duration = Duration::from_secs(90);

fn fire(daemon: &Daemon<'_>, alert: &str, service: &str) {
    daemon
        .deliver(&delivery(&[("alertname", alert), ("service", service)], "firing", "2026-01-01T00:00:00Z"))
        .unwrap()
        .ok()
        .unwrap();
}

fn web(more: &str) -> String {
    format!("version: '2.4'\nservices:\n  web: {{image: runbookd-tiny, command: {OBEDIENT}, healthcheck: {CHECK}, {more}}}\n")
}

const THREE: &str = "service/web: {engine: engine/main, project: shop, replicas: 3, class: P2, owner: ops@example.invalid}\n";

const ROLLING: &str = r#"
runbook: web-rolling
summary: Restart every replica, one at a time
match: ['alertname="WebIsIll"']
target: service/web
mode: auto
limits: {cooldown: 0s, rate: [9/1h]}
look:
  web: docker.service
require: web.replicas == 3
remedies:
  - name: rolling
    steps:
      - docker.rolling_restart: {min_healthy: 2, stop_timeout: 3s, healthy_within: 5s, steady_for: 1s}
    verify: {until: web.healthy == 3, within: 6s, hold: 1s}
otherwise: escalate
"#;

const ALL: [&str; 3] = ["shop_web_1", "shop_web_2", "shop_web_3"];

fn three() -> Project {
    let project = Project::up(&web("restart: unless-stopped"), &["--scale", "web=3"], THREE, &[("rolling", ROLLING)]);
    ALL.iter().for_each(|name| project.wait_health(name, "healthy"));
    project
}

#[test]
fn a_rolling_restart_goes_from_one_to_the_next_and_waits_for_health() {
    let project = three();
    project.hurt("shop_web_2", &["rm", "/tmp/well"]);
    project.wait_health("shop_web_2", "unhealthy");
    let events = project.events();
    let daemon = project.home.start(binary(), &[]);
    fire(&daemon, "WebIsIll", "web");
    let closed = project.wait_closed(&daemon, 1, WITHIN);
    assert_eq!(closed["how"], "cured", "{}", project.told(&daemon));

    let mut down = BTreeSet::new();
    let mut restarted = Vec::new();
    for event in events.so_far() {
        match event.what.as_str() {
            "die" => {
                assert!(down.is_empty(), "{} goes down while {down:?} is not well: {:?}", event.to, events.so_far());
                assert_eq!(event.code, "42", "it ended by itself");
                restarted.push(event.to.clone());
                down.insert(event.to);
            }
            "health_status: healthy" => {
                down.remove(&event.to);
            }
            _ => {}
        }
    }
    assert_eq!(restarted.first().map(String::as_str), Some("shop_web_2"), "the failing one first");
    restarted.sort();
    assert_eq!(restarted, ALL, "each once");
}

#[test]
fn a_rolling_restart_ends_at_the_first_that_does_not_come_back() {
    let project = three();
    let before: Vec<String> = ALL.iter().map(|name| project.started_at(name)).collect();
    ALL.iter().for_each(|name| project.hurt(name, &["touch", "/tmp/broken"]));
    let events = project.events();
    let daemon = project.home.start(binary(), &[]);
    fire(&daemon, "WebIsIll", "web");
    let closed = project.wait_closed(&daemon, 1, WITHIN);
    assert_eq!(closed["how"], "handed_over", "{}", project.told(&daemon));
    let down = events.of("die");
    assert_eq!(down.len(), 1, "{down:?}\n{}", project.told(&daemon));
    let untouched = ALL.iter().zip(&before).filter(|(name, before)| project.started_at(name) == **before).count();
    assert_eq!(untouched, 2);
    let said = journal(&daemon, 1);
    assert!(said.contains(&format!("{} did not come back, so no further one is restarted", down[0])), "{said}");
}

const SINGLE: &str = r#"
runbook: web-restart
summary: Restart what fails
match: ['alertname="WebIsIll"']
target: service/web
mode: auto
limits: {cooldown: 0s, rate: [9/1h]}
look:
  web: docker.service
require: web.replicas == 1
remedies:
  - name: restart
    steps:
      - docker.restart: {min_healthy: 0, stop_timeout: 3s, healthy_within: 10s}
    verify: {until: web.healthy == 1, within: 10s, hold: 1s}
otherwise: escalate
"#;

const START: &str = r#"
runbook: web-start
summary: Start what has exited
match: ['alertname="WebIsDown"']
target: service/web
mode: auto
limits: {cooldown: 0s, rate: [9/1h]}
look:
  web: docker.service
require: web.exited > 0
remedies:
  - name: start
    steps:
      - docker.start: {healthy_within: 10s}
    verify: {until: web.healthy == 1, within: 10s, hold: 1s}
otherwise: escalate
"#;

/// The question that an incident waits on.
fn question(daemon: &Daemon<'_>, number: u64) -> String {
    let said = journal(daemon, number);
    let id = said.split("\"person\":").nth(1).and_then(|rest| rest.split("\"id\":\"").nth(1));
    id.and_then(|rest| rest.split('"').next()).unwrap().to_owned()
}

fn approve(home: &Home, ask: &str) {
    let approved = home.command(binary(), &["approve", ask, "--by", "a person"]).output().unwrap();
    assert!(approved.status.success(), "{}", String::from_utf8_lossy(&approved.stderr));
}

#[test]
fn a_single_replica_is_restarted_only_while_it_fails_and_what_somebody_stopped_is_asked_about() {
    let target = "service/web: {engine: engine/main, project: shop, class: P2, owner: ops@example.invalid}\n";
    let runbooks = [("restart", SINGLE), ("start", START)];
    let project = Project::up(&web("restart: unless-stopped, container_name: the-web"), &[], target, &runbooks);
    project.wait_health("the-web", "healthy");
    let before = project.started_at("the-web");
    let daemon = project.home.start(binary(), &[]);

    // The alert says so, and the replica does not.
    fire(&daemon, "WebIsIll", "one");
    let closed = project.wait_closed(&daemon, 1, WITHIN);
    assert_eq!(closed["how"], "handed_over", "{}", project.told(&daemon));
    assert!(closed["why"].as_str().unwrap().contains("no replica is failing"), "{closed}");
    assert_eq!(project.started_at("the-web"), before);

    project.hurt("the-web", &["rm", "/tmp/well"]);
    project.wait_health("the-web", "unhealthy");
    fire(&daemon, "WebIsIll", "two");
    let closed = project.wait_closed(&daemon, 2, WITHIN);
    assert_eq!(closed["how"], "cured", "{}", project.told(&daemon));
    assert_ne!(project.started_at("the-web"), before);
    let said = journal(&daemon, 2);
    assert!(said.contains("seen once, and looked at again") && said.contains("seen in 2 looks over"), "{said}");

    // Somebody stops it. It is asked about although the mode is auto, and started once somebody agrees.
    project.docker(&["stop", "the-web"]);
    fire(&daemon, "WebIsDown", "three");
    project.wait_stage(&daemon, 3, "asking", WITHIN);
    assert!(journal(&daemon, 3).contains("somebody stopped it"), "{}", journal(&daemon, 3));
    assert_eq!(project.field("the-web", "{{.State.Running}}"), "false");
    approve(&project.home, &question(&daemon, 3));
    let closed = project.wait_closed(&daemon, 3, WITHIN);
    assert_eq!(closed["how"], "cured", "{}", project.told(&daemon));
}

const ANY: &str = r#"
runbook: BOOK
summary: NAME of whatever service the alert names
match: ['alertname="NAME"']
target: {kind: service, from: labels.service}
mode: auto
limits: {cooldown: 0s, rate: [9/1h]}
look:
  it: docker.service
require: it.replicas > 0
remedies:
  - name: BOOK
    steps:
      - STEP
    verify: {until: it.replicas > 5, within: 1s, hold: 0s}
otherwise: escalate
"#;

#[test]
fn what_must_not_be_touched_or_cloned_is_refused_with_its_reason() {
    let port = xtask::servers::free_port().unwrap();
    let services = format!(
        "version: '2.4'\nservices:\n\
         \x20 port: {{image: runbookd-tiny, ports: ['127.0.0.1:{port}:80']}}\n\
         \x20 fixed: {{image: runbookd-tiny, networks: {{inside: {{ipv4_address: 10.213.255.9}}}}}}\n\
         \x20 database: {{image: runbookd-tiny}}\n\
         \x20 sole: {{image: runbookd-tiny}}\n\
         \x20 hostnet: {{image: runbookd-tiny, network_mode: host}}\n\
         \x20 looping: {{image: runbookd-tiny, command: ['false'], restart: always}}\n\
         networks: {{inside: {{ipam: {{config: [{{subnet: 10.213.255.0/24}}]}}}}}}\n"
    );
    let target = |name: &str, more: &str| {
        format!(
            "service/{name}: {{engine: engine/main, project: shop, at_most: 3, class: P2, owner: ops@example.invalid, {more}}}\n"
        )
    };
    let cloneable =
        ["port", "fixed", "privileged", "hostnet", "looping", "removed"].map(|name| target(name, "may_be_cloned: true"));
    let targets = cloneable.concat() + &target("database", "stateful: true") + &target("sole", "");
    let more = ANY
        .replace("STEP", "docker.scale: {to: 3, until: it.replicas < 1, at_most_for: 1h}")
        .replace("NAME", "More")
        .replace("BOOK", "more");
    let roll = ANY.replace("STEP", "docker.rolling_restart: {min_healthy: 0}").replace("NAME", "Roll").replace("BOOK", "roll");
    let project = Project::up(&services, &[], &targets, &[("more", &more), ("roll", &roll)]);
    // Compose has no word for the one, and not every machine can start the other: there it is one that failed to start.
    project.by_hand("removed", &["run", "--detach", "--rm"]);
    project.by_hand("privileged", &["create", "--privileged"]);
    let _ = project.engine.engine().run(&["start", "privileged"]);
    let names = ["shop_port_1", "shop_fixed_1", "shop_database_1", "shop_sole_1", "shop_hostnet_1", "removed", "privileged"];
    let before = names.map(|name| project.started_at(name));
    // The pauses of the loop grow with every restart.
    let resting = || project.field("shop_looping_1", "{{.RestartCount}} {{.State.Status}}");
    let rests =
        |said: String| said.split_once(' ').is_some_and(|(count, state)| count.parse().unwrap_or(0) > 6 && state == "restarting");
    until("the loop rests", WITHIN, || rests(resting()).then_some(()), resting);

    let daemon = project.home.start(binary(), &[]);
    let table = [
        ("Roll", "privileged", "it is privileged"),
        ("Roll", "hostnet", "it shares the host's network"),
        ("Roll", "removed", "the Engine removes it as soon as it stops"),
        ("Roll", "looping", "the Engine is restarting it already"),
        ("More", "hostnet", "it shares the host's network"),
        ("More", "removed", "the Engine removes it as soon as it stops"),
        ("More", "port", "it has the host's port"),
        ("More", "fixed", "it has the fixed address 10.213.255.9"),
        ("More", "database", "keeps data, so it is not cloned"),
        ("More", "sole", "does not say `may_be_cloned`"),
        ("More", "looping", "no healthy replica is there that could be cloned"),
    ];
    for (number, (alert, service, reason)) in (1..).zip(table) {
        fire(&daemon, alert, service);
        let closed = project.wait_closed(&daemon, number, WITHIN);
        assert_eq!(closed["how"], "handed_over", "{closed}\n{}", project.told(&daemon));
        assert!(closed["why"].as_str().unwrap().contains(reason), "{alert} {service}: {closed}");
        assert!(!journal(&daemon, number).contains("action_started"), "{alert} {service}");
    }
    assert_eq!(names.map(|name| project.started_at(name)), before, "nothing was touched");
    assert_eq!(project.docker(&["ps", "--all", "--quiet"]).lines().count(), 8, "nothing was made");
}
