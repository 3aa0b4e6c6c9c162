//! Bad weather: an Engine that stops answering or dies in the middle of a call, people and other incidents at the same moment, a full
//! disk, a killed daemon. Each story is told to its end on a private Engine and judged by the Engine's own events, by what is left
//! there, and by the journal. Why several daemons before one Engine: each has the fault of its story on its own way there, and they
//! wait out their deadlines side by side. Deliberately no container is killed from outside to make a fault.

mod blind;
mod daemon;
mod engine;
mod health;
mod others;
mod shortage;
mod silent;

use std::time::Duration;

use serde_json::Value;
use xtask::servers::DockerProxy;

use super::project::{Events, PROJECT, Project, journal};
use crate::support::daemon::{Daemon, Home, binary, delivery, until};
use crate::support::engine_proxy::{Call, Caught, EngineProxy, Fault};

/// Longer than any story here takes: two deadlines with their grace, and a proof.
const WITHIN: Duration = Duration::from_secs(150);

/// Ends by itself with 42 when it is asked to, 3 s later: long enough for something to happen in the middle of a stop.
const SLOW: &str = "[sh, -c, \"trap 'sleep 3; exit 42' TERM; rm -f /tmp/well; touch /tmp/well; while :; do sleep 0.3; done\"]";

const RESTART: &str = r#"
runbook: restart
summary: Restart what fails
match: ['alertname="Restart"']
target: {kind: service, from: labels.service}
mode: auto
limits: {cooldown: 0s, rate: [9/1h]}
look:
  it: docker.service
require: it.failing > 0
remedies:
  - name: restart
    steps:
      - docker.restart: {min_healthy: 0, stop_timeout: 4s, healthy_within: 3s}
    verify: {until: it.healthy == 1, within: 8s, hold: 1s}
otherwise: escalate
"#;

const START: &str = r#"
runbook: start
summary: Start what has exited
match: ['alertname="Start"']
target: {kind: service, from: labels.service}
mode: auto
limits: {cooldown: 0s, rate: [9/1h]}
look:
  it: docker.service
require: it.exited > 0
remedies:
  - name: start
    steps:
      - docker.start: {healthy_within: 1s, steady_for: 1s}
    verify: {until: it.running == 1, within: 5s, hold: 1s}
otherwise: escalate
"#;

const EXEC: &str = r#"
runbook: heal
summary: Heal from inside
match: ['alertname="Heal"']
target: {kind: service, from: labels.service}
mode: auto
limits: {cooldown: 0s, rate: [9/1h]}
look:
  it: docker.service
require: it.unhealthy > 0
remedies:
  - name: heal
    steps:
      - docker.exec: {run: heal, within: 5s}
    verify: {until: it.healthy == 1, within: 5s, hold: 1s}
otherwise: escalate
"#;

/// Two replicas, and in again as soon as the second is proved.
const OUT_AND_IN: &str = r#"
runbook: more
summary: Another replica for a moment
match: ['alertname="More"']
target: {kind: service, from: labels.service}
mode: auto
limits: {cooldown: 0s, rate: [9/1h]}
look:
  it: docker.service
require: it.replicas == 1
remedies:
  - name: more
    steps:
      - docker.scale: {to: 2, stop_timeout: 1s, healthy_within: 1s, steady_for: 1s, until: it.replicas > 0, at_most_for: 1h}
    verify: {until: it.healthy == 2, within: 3s, hold: 1s}
otherwise: escalate
"#;

const ALL: [(&str, &str); 4] = [("restart", RESTART), ("start", START), ("heal", EXEC), ("more", OUT_AND_IN)];

/// A service of this name in the inventory.
fn target(service: &str) -> String {
    format!(
        "service/{service}: {{engine: engine/main, project: {PROJECT}, at_most: 3, may_be_cloned: true, class: P2, \
         owner: ops@example.invalid, commands: {{heal: [sh, -c, 'echo healed >> /tmp/healed; touch /tmp/well']}}}}\n"
    )
}

/// Services as Compose has them, each on two networks; `what` is all else that is said of each.
fn services<'a>(all: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let line = |(name, what)| format!("  {name}: {{image: runbookd-tiny, networks: [inner, outer], {what}}}\n");
    let lines: String = all.into_iter().map(line).collect();
    format!("version: '2.4'\nservices:\n{lines}networks: {{inner: {{}}, outer: {{}}}}\n")
}

/// The container of a service that Compose made, or the one of this number that we did.
fn container(service: &str, number: u32) -> String {
    format!("{PROJECT}_{service}_{number}")
}

/// What a call is for, in a word. What `doctor` asks each acting front at the daemon's start, which a busy machine may get to late, is
/// no look at a container.
fn word(call: &Call) -> &'static str {
    let path = call.path.split('?').next().unwrap_or_default();
    let inside = path.starts_with("/exec/");
    match (call.method.as_str(), path.rsplit('/').next().unwrap_or_default()) {
        ("POST", "start") if inside => "exec",
        ("POST", "start") => "start",
        ("POST", "exec") => "prepare exec",
        ("POST", "restart") => "restart",
        ("POST", "stop") => "stop",
        ("POST", "create") => "create",
        ("POST", "connect") => "connect",
        ("DELETE", _) => "remove",
        ("GET", "json") if path.starts_with("/containers/") => "look",
        _ => "question",
    }
}

/// A daemon's home before a project's Engine. What it looks at it sees; what it does goes through the shipped proxy, and behind that
/// through one that makes faults.
struct Station {
    home: Home,
    faults: EngineProxy,
    proxy: DockerProxy,
}

impl Station {
    fn before(project: &Project, targets: &str, runbooks: &[(&str, &str)]) -> Self {
        let engine = project.engine.engine();
        let faults = EngineProxy::before(engine.socket());
        let proxy = DockerProxy::start(std::path::Path::new(faults.address().trim_start_matches("unix://"))).unwrap();
        let home = Home::new(&[("runbookd.yaml", "listen: 127.0.0.1:PORT\n".to_owned())]);
        let (look, act) = (engine.host(), proxy.act());
        let engine = format!("engine/main: {{look: \"{look}\", act: \"{act}\", class: P2, owner: ops@example.invalid}}\n");
        home.write("targets.yaml", &(engine + targets));
        for (name, text) in runbooks {
            home.write(&format!("runbooks/{name}.yaml"), text);
        }
        Self { home, faults, proxy }
    }

    /// Does this to the first call that a word names.
    fn on(&self, call: &'static str, fault: Fault) -> Caught {
        self.faults.on(1, fault, move |made| word(made) == call)
    }

    /// What the daemon and both proxies have to say, for a test that fails.
    fn told(&self, daemon: &Daemon<'_>) -> String {
        let shown = daemon.incidents().into_iter().map(|incident| {
            let report = daemon.get(&format!("/api/v1/incidents/{}/report", incident["id"]));
            report["text"].as_str().unwrap_or_default().to_owned()
        });
        let shown: Vec<String> = shown.collect();
        format!("{}\n{}\n{}\n{:?}", shown.join("\n"), self.home.log(), self.proxy.log(), self.faults.changes())
    }

    /// Waits for a condition on an incident, asking a few times a second.
    fn wait<T>(&self, daemon: &Daemon<'_>, what: &str, come: impl Fn() -> Option<T>) -> T {
        let come = || {
            let came = come();
            if came.is_none() {
                std::thread::sleep(Duration::from_millis(100));
            }
            came
        };
        until(what, WITHIN, come, || self.told(daemon))
    }

    /// Waits until the journal has these words of an incident.
    fn wait_said(&self, daemon: &Daemon<'_>, number: u64, words: &str) {
        // What was delivered is an incident a moment later.
        let said = || find(daemon, number).filter(|_| journal(daemon, number).contains(words)).map(drop);
        self.wait(daemon, &format!("INC-{number} says `{words}`"), said);
    }

    /// Waits until an incident is in this stage.
    fn wait_stage(&self, daemon: &Daemon<'_>, number: u64, stage: &str) {
        let there = || find(daemon, number).filter(|incident| incident["stage"] == stage).map(drop);
        self.wait(daemon, &format!("INC-{number} is {stage}"), there);
    }

    /// Waits until an incident is over, sees that it ended so and that every order of it was settled by a look, and gives why.
    fn wait_end(&self, daemon: &Daemon<'_>, number: u64, how: &str) -> String {
        let over = || find(daemon, number).filter(|incident| !incident["closed"].is_null());
        let closed = self.wait(daemon, &format!("INC-{number} is over"), over);
        assert_eq!(closed["how"], how, "{closed}\n{}", self.told(daemon));
        let kinds = kinds(daemon, number);
        let count = |wanted: &str| kinds.iter().filter(|kind| *kind == wanted).count();
        assert_eq!(count("action_started"), count("settled"), "{kinds:?}");
        closed["why"].as_str().unwrap_or_default().to_owned()
    }
}

fn find(daemon: &Daemon<'_>, number: u64) -> Option<Value> {
    daemon.incidents().into_iter().find(|incident| incident["id"] == number)
}

/// What happened to an incident, event by event.
fn kinds(daemon: &Daemon<'_>, number: u64) -> Vec<String> {
    let shown = daemon.get(&format!("/api/v1/incidents/{number}"));
    let kind = |event: &Value| event["event"].as_object().and_then(|event| event.keys().next().cloned());
    shown["events"].as_array().unwrap().iter().filter_map(kind).collect()
}

/// Starts a daemon at each station.
fn start(stations: &[Station]) -> Vec<Daemon<'_>> {
    let daemons: Vec<Daemon<'_>> = stations.iter().map(|station| station.home.start_without_waiting(binary(), &[])).collect();
    daemons.iter().for_each(Daemon::wait_ready);
    daemons
}

fn fire(daemon: &Daemon<'_>, alert: &str, service: &str) {
    fire_again(daemon, alert, service, "2026-01-01T00:00:00Z");
}

/// The same alert in a new episode.
fn fire_again(daemon: &Daemon<'_>, alert: &str, service: &str, starts_at: &str) {
    daemon.deliver(&delivery(&[("alertname", alert), ("service", service)], "firing", starts_at)).unwrap().ok().unwrap();
}

/// Makes a container that fails its check.
fn make_ill(project: &Project, services: &[&str]) {
    for service in services {
        project.hurt(&container(service, 1), &["rm", "/tmp/well"]);
    }
    for service in services {
        project.wait_health(&container(service, 1), "unhealthy");
    }
}

/// How often something happened to a container.
fn times(events: &Events, what: &str, container: &str) -> usize {
    events.so_far().iter().filter(|event| event.what == what && event.to == container).count()
}

/// Waits until this has happened to a container.
fn wait_event(events: &Events, what: &str, container: &str) {
    let there = || (times(events, what, container) > 0).then_some(());
    until(&format!("{what} of {container}"), Duration::from_secs(60), there, || format!("{:?}", events.so_far()));
}

/// Nothing is there of a service but its own container, and that runs.
fn assert_whole(project: &Project, service: &str) {
    assert_eq!(project.names(service), [container(service, 1)]);
    let state = project.field(&container(service, 1), "{{json .State}}");
    assert!(state.contains("\"Status\":\"running\""), "{service}: {state}");
}
