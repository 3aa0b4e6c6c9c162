//! A night on the sample estate: its Prometheus and Alertmanager as they are, the shipped configuration with this estate's ports,
//! and the daemon behind the shipped filtering proxy, so that a call which the proxy lacks is noticed.
//!
//! What is judged is seen from outside: what the Engine says happened to containers, what the broker counts. Deliberately nothing
//! of a single fault or runbook.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::time::Duration;

use serde_json::Value;
use xtask::clock::wait_for;
use xtask::demo::as_in;
use xtask::estate::{Container, Estate, Fault, Fire};
use xtask::http::Request;
use xtask::servers::DockerProxy;

use crate::support::daemon::{Daemon, Home, until};
use crate::support::watch::{Touch, Watch};

/// What an earlier test broke is mended by then.
const QUIET_WITHIN: Duration = Duration::from_secs(120);

/// The estate, for this test alone, and the proxy before its Engine.
pub struct Night {
    pub estate: Estate,
    proxy: DockerProxy,
    _turn: std::fs::File,
}

/// A fault that is on; mended on drop.
pub struct Broken<'a> {
    estate: &'a Estate,
    fault: Fault,
}

impl Drop for Broken<'_> {
    fn drop(&mut self) {
        let _ = self.fault.switch(self.estate, Fire::Mend);
    }
}

impl Night {
    /// A whole and quiet estate.
    pub fn begin() -> Self {
        let (estate, turn) = Estate::for_test().unwrap();
        let proxy = DockerProxy::start(estate.engine().socket()).unwrap();
        let night = Self { estate, proxy, _turn: turn };
        wait_for("a whole and quiet estate", QUIET_WITHIN, || {
            let whole = night.estate.containers()?.iter().all(Container::is_whole);
            let empty = night.queue("messages") < 20.0 && night.queue("consumers") == 1.0;
            Ok((whole && empty && night.estate.alerts()?.is_empty()).then_some(()))
        })
        .unwrap_or_else(|error| panic!("{error}: {:?}, {:?}", night.estate.containers(), night.estate.alerts()));
        night
    }

    /// A home of the daemon where the estate's Alertmanager delivers, with the shipped configuration in this estate's ports. It acts
    /// by itself, and what a person would only wait for is shortened: how long a cure has to hold, how long a hung container is waited
    /// for, and for how long nothing is finished. All limits are the shipped ones.
    pub fn home(&self) -> Home {
        // Where a busy machine misses scrapes, alerts come and go: that is no storm.
        self.home_with("storm: {incidents: 40, within: 5m}", &[])
    }

    /// The same with these rules of the house, and with this text in the stead of another wherever that stands in a runbook.
    pub fn home_with(&self, rules: &str, instead: &[(&str, &str)]) -> Home {
        let home = Home::at(self.estate.port("RUNBOOKD_PORT").unwrap());
        let example = xtask::paths::root().join("config");
        let sockets = [("look", self.proxy.look()), ("inside", self.proxy.inside()), ("act", self.proxy.act())];
        let mut targets = as_in(&self.estate, &std::fs::read_to_string(example.join("targets.yaml")).unwrap()).unwrap();
        for (front, socket) in sockets {
            let (shipped, ours) = (format!("  {front}: unix:///var/run/docker.sock\n"), format!("  {front}: {socket}\n"));
            assert!(targets.contains(&shipped), "the example has no {shipped}");
            targets = targets.replace(&shipped, &ours);
        }
        home.write("targets.yaml", &targets);
        for folder in ["runbooks", "secrets"] {
            for entry in std::fs::read_dir(example.join(folder)).unwrap().flatten() {
                let mut text = std::fs::read_to_string(entry.path()).unwrap();
                if folder == "runbooks" {
                    assert!(text.contains("\nmode: {default: ask, night: auto}\n"), "{}", entry.path().display());
                    text = text.replace("\nmode: {default: ask, night: auto}\n", "\nmode: auto\n");
                    text = text.replace("hold: 30s", "hold: 2s").replace("stop_timeout: 30s", "stop_timeout: 3s");
                    text = text.replace(
                        "{queue.progress: {target: queue/celery}}",
                        "{queue.progress: {target: queue/celery, over: 20s}}",
                    );
                    for (shipped, ours) in instead {
                        text = text.replace(shipped, ours);
                    }
                }
                home.write(&format!("{folder}/{}", entry.file_name().to_str().unwrap()), &text);
            }
        }
        let alertmanager = self.estate.url("PORT_ALERTMANAGER").unwrap();
        let daemon = format!(
            "listen: 0.0.0.0:PORT\nalertmanager: [{{url: \"{alertmanager}\", receiver: runbookd}}]\nrules: {{{rules}}}\n"
        );
        home.write("runbookd.yaml", &daemon);
        // The token with which this estate's Alertmanager delivers.
        std::fs::DirBuilder::new().mode(0o700).create(home.state()).unwrap();
        let mut token = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(home.state().join("webhook.token"))
            .unwrap();
        token.write_all(&std::fs::read(self.estate.token_file()).unwrap()).unwrap();
        home
    }

    /// Switches a fault on.
    pub fn breaks(&self, name: &str) -> Broken<'_> {
        let fault = Fault::named(name).unwrap();
        fault.switch(&self.estate, Fire::Break).unwrap();
        Broken { estate: &self.estate, fault }
    }

    /// What the broker's management API says of the queue, as a number; a path into message_stats goes by dots.
    pub fn queue(&self, field: &str) -> f64 {
        let url = self.estate.url("PORT_RABBITMQ_MANAGEMENT").unwrap() + "/api/queues/voiceai/celery";
        // rabbitmq:rabbitmq
        let answer = Request::get(&url).header("Authorization", "Basic cmFiYml0bXE6cmFiYml0bXE=").send().unwrap();
        let body = answer.ok().unwrap().json().unwrap();
        field.split('.').fold(&body, |at, name| &at[name]).as_f64().unwrap_or(-1.0)
    }

    /// Names of a service's containers, running or not.
    pub fn replicas(&self, service: &str) -> Vec<String> {
        let all = self.estate.containers().unwrap();
        all.into_iter().filter(|container| container.service == service).map(|container| container.name).collect()
    }

    /// Which container of that service's usual name there is, since when it runs and whether it does: changes when it is touched.
    pub fn identity(&self, service: &str) -> String {
        let seen = self.estate.engine().inspect(&self.estate.container(service)).unwrap();
        let word = |at: &str| seen.pointer(at).and_then(Value::as_str).unwrap_or_default();
        format!("{} {} {}", word("/Id"), word("/State/StartedAt"), word("/State/Status"))
    }

    /// Demands that nothing happened to containers of other services than these, and that the proxy let every call through.
    pub fn only_touched(&self, watch: &Watch<'_>, services: &[&str]) {
        let others: Vec<Touch> =
            watch.touches().into_iter().filter(|touch| !services.contains(&touch.service.as_str())).collect();
        assert!(others.is_empty(), "somebody else was touched: {others:?}");
        // Its own start asks for `/`, which no front has.
        let log = self.proxy.log();
        let denied: Vec<&str> = log.lines().filter(|line| line.contains(": 403 ") && !line.contains(" GET / ")).collect();
        assert!(denied.is_empty(), "the proxy denied a call: {denied:?}");
    }
}

/// Waits until an incident of a runbook is over; its summary. One that subsided does not count: where a busy machine misses a single
/// scrape, Prometheus takes the alert back, and the next scrape brings a new one.
pub fn closed(daemon: &Daemon<'_>, home: &Home, runbook: &str, within: Duration) -> Value {
    closed_after(daemon, home, runbook, None, within)
}

/// The same for an incident that is not this one.
pub fn closed_after(daemon: &Daemon<'_>, home: &Home, runbook: &str, not: Option<&Value>, within: Duration) -> Value {
    let over = |incident: &Value| {
        let of_it = incident["runbook"] == runbook && !incident["closed"].is_null() && incident["how"] != "subsided";
        of_it && not.is_none_or(|not| incident["id"] != not["id"])
    };
    until(
        &format!("the incident of {runbook} is over"),
        within,
        || daemon.incidents().into_iter().find(over),
        || told(daemon, home),
    )
}

/// The question that is open now, if one is: its name.
pub fn question(daemon: &Daemon<'_>) -> Option<String> {
    let asking = daemon.incidents().into_iter().find(|incident| incident["stage"] == "asking")?;
    let shown = daemon.get(&format!("/api/v1/incidents/{}", asking["id"])).to_string();
    // The latest question of the incident's story.
    let ask = shown.split("\"person\":").last()?.split("\"id\":\"").nth(1)?;
    ask.split('"').next().map(str::to_owned)
}

/// An incident with all its events, as (kind, body), oldest first.
pub fn story(daemon: &Daemon<'_>, incident: &Value) -> Vec<(String, Value)> {
    let shown = daemon.get(&format!("/api/v1/incidents/{}", incident["id"]));
    let events = shown["events"].as_array().cloned().unwrap_or_default();
    let parts = |event: Value| match &event["event"] {
        Value::String(kind) => (kind.clone(), Value::Null),
        Value::Object(body) => body.iter().next().map(|(kind, body)| (kind.clone(), body.clone())).unwrap(),
        other => panic!("{other} is no event"),
    };
    events.into_iter().map(parts).collect()
}

/// How often an incident's story has an event of this kind.
pub fn count(daemon: &Daemon<'_>, incident: &Value, kind: &str) -> usize {
    story(daemon, incident).iter().filter(|(found, _)| found == kind).count()
}

/// For a test that fails: every incident with what was decided, and the log.
pub fn told(daemon: &Daemon<'_>, home: &Home) -> String {
    let incidents = daemon.incidents();
    let mut text = String::new();
    for incident in &incidents {
        text += &format!("\n{} {} {} {}\n", incident["id"], incident["runbook"], incident["stage"], incident["why"]);
        for (kind, body) in story(daemon, incident) {
            let why = if body["why"].is_string() { &body["why"] } else { &body["verdict"] };
            let unseen: Vec<String> = body["findings"]["looks"]
                .as_object()
                .into_iter()
                .flatten()
                .filter(|(_, finding)| finding["seen"].get("Unknown").is_some())
                .map(|(look, finding)| format!("{look}: {}", finding["seen"]["Unknown"]))
                .collect();
            text += &format!("  {kind} {why} {}\n", unseen.join("; "));
        }
    }
    text + &home.log()
}
