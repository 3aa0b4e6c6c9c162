//! What a restart and a scale-out cost beside the same by the `docker` command, and what a look costs among 200 containers.
//!
//! The daemon's share of an act is its wall time, from the commit of the start to the reply, minus the time in which the Engine
//! had one of its calls: a relay before the acting socket measures that. Deliberately on an Engine of its own, over the real
//! daemon with a journal synced to disk, release build.

mod relay;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use self::relay::Relay;
use super::release;
use crate::engine::{self, Engine, PrivateEngine, TINY};
use crate::http::Request;
use crate::servers::{Process, Program, free_port};
use crate::{clock, packages, paths, progress};

/// Acts of each sort, each beside one by the command line.
const ROUNDS: usize = 20;
/// Containers on the Engine while looks are measured: one service of five, and services of one.
const CONTAINERS: usize = 200;
/// Looks of each sort.
const LOOKS: usize = 20;

const METHOD: &str = "\
method: a private Engine with one container that stops at once (SIGKILL as its stop signal). Restarts: the daemon restarts it
(alert posted, two looks, evidence, commit, inspect, restart), and the docker command restarts the same container, in turns.
Scale-out: the daemon clones it (headroom, create, connect, start) and takes the clone away again; the docker command creates and starts one
like it. The daemon's share is the time from the commit of the start to the reply, by the journal's stamps of 1 ms, minus
the time in which a relay before the acting socket saw a call of it under way; given for each call. What a scale-out waits between
two samples of CPU, by which it sees whether there is room, is in its share.
Looks are made by the command line, so each begins a process, reads the configuration and makes a connection, with no daemon there; last, all targets
again with a daemon there, which is asked and does the looking. Release build.";

const RUNBOOKS: [(&str, &str); 2] = [
    (
        "restart",
        "runbook: restart\nsummary: restarts the one container\nmatch: ['alertname=\"Restart\"']\ntarget: service/bench\nmode: auto\n\
         limits: {cooldown: 0s, rate: [100000/1h]}\nlook:\n  service: {docker.service: {}}\nrequire: service.replicas > 0\nremedies:\n  \
         - name: restart\n    steps:\n      - docker.rolling_restart: {min_healthy: 0, steady_for: 100ms, while: service.replicas > 0}\n    \
         verify: {until: service.running == 1, within: 10s, hold: 0s}\notherwise: escalate\n",
    ),
    (
        "scale",
        "runbook: scale\nsummary: adds one replica\nmatch: ['alertname=\"Scale\"']\ntarget: service/bench\nmode: auto\n\
         limits: {cooldown: 0s, rate: [100000/1h]}\nlook:\n  service: {docker.service: {}}\nrequire: service.replicas > 0\nremedies:\n  \
         - name: scale\n    steps:\n      - docker.scale: {to: 2, steady_for: 100ms, stop_timeout: 10s, until: service.running >= 2, at_most_for: 1h}\n    \
         verify: {until: service.running == 2, within: 10s, hold: 0s}\notherwise: escalate\n",
    ),
];

/// What of it is run: acts begin two containers a round and take their minutes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Part {
    /// Acts, then looks.
    Whole,
    /// Looks alone.
    Looks,
}

/// Runs the benchmark.
///
/// # Errors
/// When something cannot be built or started, an act does not do what it should, or a bound is not kept.
pub(super) fn run(part: Part) -> Result<()> {
    packages::ensure(packages::ENGINE)?;
    let binary = release::build(&["--bin", "runbookd"])?.join("runbookd");
    let machine = engine::ensure()?;
    engine::ensure_tiny(&machine)?;
    let private = PrivateEngine::start()?;
    private.take_image(&machine, TINY)?;
    let engine = private.engine();
    let container = run_one(engine, "bench", 1)?;
    let home = paths::make(paths::target().join("bench-docker"))?;
    let _ = std::fs::remove_dir_all(&home);
    paths::make(home.clone())?;
    let relay = Relay::before(engine.socket(), &home.join("act.sock"))?;
    let port = free_port()?;
    configure(&home.join("config"), port, engine, relay.socket())?;
    println!("{METHOD}\n");
    let acts = match part {
        Part::Whole => {
            let _daemon = serve(&binary, &home, port)?;
            acts(&home, port, engine, &container, &relay)?
        }
        Part::Looks => Acts::default(),
    };
    let looks = looks(&binary, &home, port, engine)?;
    let _ = std::fs::remove_dir_all(&home);
    // It was wanted for its image alone.
    engine::stop_if_ours()?;
    report(acts, looks)
}

/// One act of the daemon.
struct Act {
    wall: Duration,
    inside: Duration,
    calls: usize,
}

impl Act {
    /// The daemon's share for each call.
    fn share(&self) -> Duration {
        self.wall.saturating_sub(self.inside) / u32::try_from(self.calls.max(1)).unwrap_or(u32::MAX)
    }
}

#[derive(Default)]
struct Acts {
    restarts: Vec<Act>,
    restarts_by_command: Vec<Duration>,
    scales: Vec<Act>,
    scales_by_command: Vec<Duration>,
}

fn acts(home: &Path, port: u16, engine: &Engine, container: &str, relay: &Relay) -> Result<Acts> {
    let mut acts = Acts::default();
    for round in 0..ROUNDS {
        progress::say(format_args!("round {} of {ROUNDS}", round + 1));
        acts.restarts_by_command.push(timed(engine.docker().args(["restart", container]))?);
        acts.restarts.push(act(home, port, relay, "Restart", round)?);
        let began = clock::now();
        let name = format!("by-command-{round}");
        engine.run(&["run", "--detach", "--name", &name, "--stop-signal", "SIGKILL", TINY])?;
        acts.scales_by_command.push(began.elapsed());
        engine.run(&["rm", "--force", &name])?;
        acts.scales.push(act(home, port, relay, "Scale", round)?);
    }
    Ok(acts)
}

/// One incident from its alert to its end; gives its first act.
fn act(home: &Path, port: u16, relay: &Relay, alert: &str, round: usize) -> Result<Act> {
    let token = |name: &str| std::fs::read_to_string(home.join("state").join(name)).unwrap_or_default();
    let url = format!("http://127.0.0.1:{port}");
    relay.forget();
    let starts_at = format!("2026-01-01T00:{round:02}:00Z");
    let delivery = json!({
        "version": "4", "receiver": "runbookd", "status": "firing", "groupKey": "{}", "truncatedAlerts": 0,
        "alerts": [{"status": "firing", "labels": {"alertname": alert}, "annotations": {}, "startsAt": starts_at,
                    "endsAt": "0001-01-01T00:00:00Z", "generatorURL": ""}],
    });
    let door = format!("{url}/webhook/alertmanager");
    Request::post(&door).bearer(&token("webhook.token")).json(&delivery).send()?.ok()?;
    let api = token("api.token");
    // The relay's record is read while only the act itself has gone through it: at the reply.
    let shown = clock::wait_for("the act's reply", Duration::from_secs(60), || {
        let list = Request::get(&format!("{url}/api/v1/incidents?limit=1")).bearer(&api).send()?.ok()?.json()?;
        let Some(id) = list["incidents"][0]["id"].as_u64() else { return Ok(None) };
        let shown = Request::get(&format!("{url}/api/v1/incidents/{id}")).bearer(&api).send()?.ok()?.json()?;
        let of_this_round = list["incidents"][0]["how"].is_null() || shown["events"].to_string().contains(&starts_at);
        Ok((of_this_round && stamp(&shown, "action_replied").is_ok()).then_some(shown))
    })?;
    let (calls, inside) = relay.measured();
    let wall = stamp(&shown, "action_replied")? - stamp(&shown, "action_started")?;
    let reply = event(&shown, "action_replied")?["event"].to_string();
    ensure!(reply.contains("done"), "the act did not do what it should: {reply}");
    clock::wait_for("the incident to be over", Duration::from_secs(60), || {
        let list = Request::get(&format!("{url}/api/v1/incidents?limit=1")).bearer(&api).send()?.ok()?.json()?;
        match list["incidents"][0]["how"].as_str() {
            Some("cured") => Ok(Some(())),
            Some(how) => bail!("the incident ended as {how}: {list}"),
            None => Ok(None),
        }
    })?;
    Ok(Act { wall: Duration::from_millis(u64::try_from(wall)?), inside, calls })
}

fn event<'a>(shown: &'a Value, kind: &str) -> Result<&'a Value> {
    let events = shown["events"].as_array().map(Vec::as_slice).unwrap_or_default();
    events.iter().find(|event| event["kind"] == kind).with_context(|| format!("no {kind} yet"))
}

/// The stamp of the first event of a kind, in milliseconds.
fn stamp(shown: &Value, kind: &str) -> Result<i64> {
    event(shown, kind)?["at"].as_i64().with_context(|| format!("{kind} has no stamp in milliseconds"))
}

struct Looks {
    five: Vec<Duration>,
    targets: Vec<Duration>,
    targets_by_daemon: Vec<Duration>,
}

fn looks(binary: &Path, home: &Path, port: u16, engine: &Engine) -> Result<Looks> {
    progress::say(format_args!("starting {CONTAINERS} containers"));
    let mut targets = targets_of(engine, engine.socket());
    for number in 1..=4 {
        run_one(engine, "five", number + 1)?;
    }
    run_one(engine, "five", 1)?;
    targets.push_str(&service("five"));
    for number in 0..CONTAINERS - 6 {
        let name = format!("one-{number}");
        run_one(engine, &name, 1)?;
        targets.push_str(&service(&name));
    }
    std::fs::write(home.join("config/targets.yaml"), targets)?;
    let [config, state] = ["config", "state"].map(|name| home.join(name).display().to_string());
    let asked = |words: &[&str]| {
        let mut command = Command::new(binary);
        // Of standard error it is only of interest that no daemon answered, and that is meant.
        command.args(words).args(["--config", &config, "--state", &state]).stderr(Stdio::null());
        timed(&mut command)
    };
    let mut looks = Looks { five: Vec::new(), targets: Vec::new(), targets_by_daemon: Vec::new() };
    for _ in 0..LOOKS {
        looks.five.push(asked(&["look", "service/five"])?);
        looks.targets.push(asked(&["targets"])?);
    }
    let _daemon = serve(binary, home, port)?;
    for _ in 0..LOOKS {
        looks.targets_by_daemon.push(asked(&["targets"])?);
    }
    Ok(looks)
}

fn timed(command: &mut Command) -> Result<Duration> {
    let began = clock::now();
    let status = command.stdout(Stdio::null()).status()?;
    let took = began.elapsed();
    ensure!(status.success(), "{command:?} failed");
    Ok(took)
}

fn report(acts: Acts, looks: Looks) -> Result<()> {
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    let calls = |acts: &[Act]| acts.first().map_or(0, |act| act.calls);
    let calls = (calls(&acts.restarts), calls(&acts.scales));
    let walls = |acts: &[Act]| acts.iter().map(|act| act.wall).collect();
    let shares = |acts: &[Act]| acts.iter().map(Act::share).collect();
    let rows: [(&str, Vec<Duration>, Option<u64>); 9] = [
        ("restart by the docker command", acts.restarts_by_command, None),
        ("restart by the daemon, commit to reply", walls(&acts.restarts), None),
        ("  the daemon's share of it, for each call", shares(&acts.restarts), Some(30)),
        ("create and start by the docker command", acts.scales_by_command, None),
        ("scale-out by the daemon, commit to reply", walls(&acts.scales), None),
        ("  the daemon's share of it, for each call", shares(&acts.scales), Some(30)),
        ("look at a service of 5 among 200", looks.five, Some(100)),
        ("targets, all of them", looks.targets, Some(1000)),
        ("targets, all of them, by a daemon", looks.targets_by_daemon, Some(1000)),
    ];
    println!("\n{:<44} {:>9} {:>9} {:>9} {:>9}", "", "p50 ms", "p90 ms", "max ms", "first ms");
    let mut exceeded = Vec::new();
    for (name, mut times, most) in rows.into_iter().filter(|(_, times, _)| !times.is_empty()) {
        // The first finds nothing in memory that a later one finds.
        let first = times.first().copied().unwrap_or_default();
        times.sort();
        let at = |share: f64| times.get(((times.len() - 1) as f64 * share) as usize).copied().unwrap_or_default();
        println!("{name:<44} {:>9.1} {:>9.1} {:>9.1} {:>9.1}", ms(at(0.5)), ms(at(0.9)), ms(at(1.0)), ms(first));
        if let Some(most) = most.filter(|most| at(0.5) >= Duration::from_millis(*most)) {
            exceeded.push(format!("{}: {:.1} ms at the median, and {most} ms are the bound", name.trim(), ms(at(0.5))));
        }
    }
    if calls.0 > 0 {
        println!("calls to the Engine: {} for a restart, {} for a scale-out", calls.0, calls.1);
    }
    ensure!(exceeded.is_empty(), "{}", exceeded.join("; "));
    Ok(())
}

/// A container with the labels that Compose sets; its full id.
fn run_one(engine: &Engine, service: &str, number: usize) -> Result<String> {
    let labels = [
        "com.docker.compose.project=bench".to_owned(),
        format!("com.docker.compose.service={service}"),
        format!("com.docker.compose.container-number={number}"),
        "com.docker.compose.oneoff=False".to_owned(),
        "com.docker.compose.config-hash=0".to_owned(),
        "com.docker.compose.version=1.29.2".to_owned(),
    ];
    let name = format!("bench_{service}_{number}");
    let mut arguments = vec!["run", "--detach", "--name", &name, "--memory", "16m", "--stop-signal", "SIGKILL"];
    for label in &labels {
        arguments.extend(["--label", label]);
    }
    arguments.push(TINY);
    engine.run(&arguments)
}

fn service(name: &str) -> String {
    format!("service/{name}: {{engine: engine/main, project: bench, class: P4, owner: bench, may_be_cloned: true, at_most: 2}}\n")
}

fn targets_of(engine: &Engine, act: &Path) -> String {
    let act = act.display();
    format!("engine/main: {{look: '{}', act: 'unix://{act}', class: P1, owner: bench}}\n{}", engine.host(), service("bench"))
}

fn configure(folder: &Path, port: u16, engine: &Engine, act: &Path) -> Result<()> {
    paths::make(folder.join("runbooks"))?;
    // What a bad night would be is one act after the other here, so what guards an estate against one is wide.
    let rules = "rules: {storm: {incidents: 100000, within: 5m}, overall: {rate: [100000/1h]}, per_target: {rate: [100000/1h]}, \
                 disruption: {budget: 100000, per: 1h}}";
    std::fs::write(folder.join("runbookd.yaml"), format!("listen: 127.0.0.1:{port}\n{rules}\n"))?;
    std::fs::write(folder.join("targets.yaml"), targets_of(engine, act))?;
    for (name, text) in RUNBOOKS {
        std::fs::write(folder.join(format!("runbooks/{name}.yaml")), text)?;
    }
    Ok(())
}

fn serve(binary: &Path, home: &Path, port: u16) -> Result<Process> {
    let folder = |name: &str| home.join(name).display().to_string();
    let mut process = Process::start(&Program {
        name: "runbookd".to_owned(),
        path: binary.to_owned(),
        arguments: vec!["serve".to_owned(), "--config".to_owned(), folder("config"), "--state".to_owned(), folder("state")],
        environment: vec![],
        user: None,
        directory: home.to_owned(),
        log: home.join("log"),
    })?;
    let ready = Request::get(&format!("http://127.0.0.1:{port}/readyz"));
    process.wait_ready(Duration::from_secs(20), || ready.send()?.ok().map(|_| ()))?;
    Ok(process)
}
