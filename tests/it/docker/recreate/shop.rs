//! A Compose project of one service that is to be recreated, made by the real Compose on a private Engine, and the engine of
//! runbookd over the living world and a real journal. Its acts pass the shipped proxy and one in front of it that a test tells where
//! to stop.
//!
//! Why not the whole daemon: a life of it can be ended in the middle of a call, and the time that it only waits is not waited for.
//! What is judged of a telling at its end stands here too, because it is the same for all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use connect::Connections;
use journal::{Chosen, Claimed, Filter, Journal};
use runbook::book::Configuration;
use runbook::incident::{Incident, IncidentId, Stage, Trigger};
use runbookd::engine::Silent;
use runbookd::world::World;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use xtask::engine::{Engine, PrivateEngine, ensure_tiny};
use xtask::servers::DockerProxy;

use super::living::{Ahead, Halt, Living};
use crate::support::daemon;
use crate::support::engine_proxy::{Call, EngineProxy, Fault};

/// The service's environment as a person wrote it; what is secret in it has `hush` in it.
pub const SETTINGS: &str =
    "# Settings of the shop\nPASSWORD='hu$h' # hush\nexport LEVEL=info\n\nWORKERS=two-hush # one a core\nLAST=\"one two\"";

/// The same with more workers.
pub fn settings(workers: &str) -> String {
    SETTINGS.replace("two-hush", workers)
}

/// An Engine and the shipped proxy before it, for several shops.
pub struct Yard {
    pub private: Mutex<PrivateEngine>,
    engine: Engine,
    gateway: String,
    proxy: DockerProxy,
}

impl Yard {
    pub fn open() -> Arc<Self> {
        let private = PrivateEngine::start().unwrap();
        let (engine, gateway) = (private.engine().clone(), private.gateway());
        ensure_tiny(&engine).unwrap();
        let proxy = DockerProxy::start(engine.socket()).unwrap();
        Arc::new(Self { private: Mutex::new(private), engine, gateway, proxy })
    }
}

/// What differs between shops.
#[derive(Clone)]
pub struct Plan {
    pub restart: &'static str,
    /// The same as the Compose file has it.
    pub written: &'static str,
    /// What `WORKERS` is set to.
    pub workers: &'static str,
    /// The remedy's proof, within which time it must come, and how long it must hold.
    pub until: &'static str,
    pub within: &'static str,
    pub hold: &'static str,
    /// With which code it ends when it is asked to.
    pub exits: u8,
    /// How long the new one may take to be well.
    pub healthy_within: &'static str,
    /// More lines of the service.
    pub more: &'static str,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            restart: "always",
            written: "always",
            workers: "four",
            until: "worker.healthy == 1",
            within: "8s",
            hold: "1s",
            exits: 0,
            healthy_within: "60s",
            more: "",
        }
    }
}

/// A project that is up, and what looks after it.
pub struct Shop {
    yard: Arc<Yard>,
    pub plan: Plan,
    project: String,
    folder: tempfile::TempDir,
    state: tempfile::TempDir,
    pub proxy: EngineProxy,
    ahead: Arc<Ahead>,
    configuration: Configuration,
    volume: String,
}

impl Shop {
    /// Brings a project up; each of a yard needs a number of its own, from 0 to 15.
    pub fn up(yard: &Arc<Yard>, number: u8, plan: Plan) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        // The last addresses of the Engine's place; Compose takes the first.
        let place: u8 = yard.gateway.split('.').nth(2).unwrap().parse().unwrap();
        let subnet = |host: u8| format!("10.213.{}.{}", place + 15, number * 16 + host);
        let more = plan.more;
        let compose = format!(
            r#"version: "2.4"
services:
  worker:
    image: runbookd-tiny
    command: [sh, -c, "trap 'exit {exits}' TERM; while :; do sleep 0.3; done"]
    env_file: settings.env
    restart: {restart}
    healthcheck: {{test: [CMD-SHELL, 'test "$$WORKERS" != broken'], interval: 2s, timeout: 10s, retries: 1}}
    volumes: [/scratch]
    networks: {{default: {{aliases: [jobs]}}, inside: {{ipv4_address: {address}}}}}
    {more}
networks:
  inside: {{ipam: {{config: [{{subnet: {subnet}/28}}]}}}}
"#,
            restart = plan.written,
            exits = plan.exits,
            address = subnet(5),
            subnet = subnet(0),
        );
        write("docker-compose.yml", &compose);
        write("settings.env", SETTINGS);
        let act = yard.proxy.act();
        let proxy = EngineProxy::before(act.strip_prefix("unix://").unwrap().as_ref());
        let project = format!("shop{number}");
        write("config/runbookd.yaml", "listen: 127.0.0.1:0\n");
        write(
            "config/targets.yaml",
            &format!(
                "engine/main: {{look: \"{}\", act: \"{}\", class: P2, owner: ops@example.invalid}}\n\
                 service/worker: {{engine: engine/main, project: {project}, class: P2, owner: ops@example.invalid, env_file: \"{}\"}}\n",
                yard.proxy.look(),
                proxy.address(),
                folder.path().join("settings.env").display()
            ),
        );
        write("config/runbooks/more.yaml", &runbook(&plan));
        let configuration = match runbookd::config::load(&folder.path().join("config")) {
            Ok(loaded) => loaded.configuration,
            Err(complaints) => panic!("{complaints:?}"),
        };
        let (state, ahead) = (tempfile::tempdir().unwrap(), Arc::default());
        let mut shop =
            Self { yard: yard.clone(), plan, project, folder, state, proxy, ahead, configuration, volume: String::new() };
        shop.compose(&["up", "-d"]);
        let name = shop.name();
        until("the worker is healthy", Duration::from_secs(60), || shop.is_healthy(), String::new);
        shop.docker(&["exec", &name, "touch", "/scratch/mark"]);
        shop.volume = shop.only()["Mounts"][0]["Name"].as_str().unwrap().to_owned();
        shop
    }

    /// The container's name.
    pub fn name(&self) -> String {
        format!("{}_worker_1", self.project)
    }

    /// Runs Compose on the project, as a person would, and gives what it printed.
    pub fn compose(&self, arguments: &[&str]) -> String {
        let mut compose = self.yard.engine.compose();
        compose.args(["--project-name", &self.project, "--no-ansi"]).args(arguments).current_dir(self.folder.path());
        let output = tokio::task::block_in_place(|| compose.stdin(std::process::Stdio::null()).output()).unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "compose {arguments:?}: {told}");
        told
    }

    /// Runs `docker`, past every proxy, and gives what it printed.
    pub fn docker(&self, arguments: &[&str]) -> String {
        tokio::task::block_in_place(|| self.yard.engine.run(arguments)).unwrap()
    }

    /// All containers of the project, in any state, as the Engine describes them.
    pub fn containers(&self) -> Vec<Value> {
        let engine = &self.yard.engine;
        let describe = |one: &Value| engine.inspect(one["Id"].as_str()?).ok();
        // One that goes between the list and its description is gone.
        tokio::task::block_in_place(|| engine.project(&self.project).unwrap().iter().filter_map(describe).collect())
    }

    /// Their names and states, for people.
    pub fn seen(&self) -> String {
        let word = |container: &Value| format!("{} {}", container["Name"], container["State"]["Status"]);
        self.containers().iter().map(word).collect::<Vec<_>>().join(", ")
    }

    /// The only container of the project.
    pub fn only(&self) -> Value {
        let all = self.containers();
        assert_eq!(all.len(), 1, "one container: {}", self.seen());
        all.into_iter().next().unwrap()
    }

    /// The container of the service's own name, where there is one.
    pub fn own(&self) -> Option<Value> {
        self.containers().into_iter().find(|container| container["Name"] == format!("/{}", self.name()))
    }

    /// Whether that runs and is healthy; one that has exited may still be called healthy.
    pub fn is_healthy(&self) -> bool {
        self.own().is_some_and(|own| own["State"]["Status"] == "running" && own["State"]["Health"]["Status"] == "healthy")
    }

    pub fn file(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("settings.env")).unwrap()
    }

    pub fn write_file(&self, text: &str) {
        std::fs::write(self.folder.path().join("settings.env"), text).unwrap();
    }

    /// The files of its configuration, by their path within the folder.
    pub fn configured(&self) -> Vec<(&'static str, String)> {
        let read = |name: &'static str| (name, std::fs::read_to_string(self.folder.path().join("config").join(name)).unwrap());
        vec![read("targets.yaml"), read("runbooks/more.yaml")]
    }

    /// One life of the process: opens the incident where none is there, and works until nothing is due. Abort it and it is dead.
    pub fn live(&self) -> JoinHandle<()> {
        self.live_with(None)
    }

    /// A life that stands still once the new one is well and the old one kept.
    pub async fn live_until_kept(&self) -> (JoinHandle<()>, Halt) {
        let halt = Halt::new();
        let life = self.live_with(Some(halt.clone()));
        halt.reached().await;
        assert!(self.is_healthy() && self.keeps(), "{}", self.seen());
        (life, halt)
    }

    /// Whether an exited container is kept in reserve.
    pub fn keeps(&self) -> bool {
        self.seen().contains(".runbookd-INC-1\" \"exited\"")
    }

    fn live_with(&self, halt: Option<Halt>) -> JoinHandle<()> {
        let world =
            Arc::new(Living { connections: Connections::new(&self.configuration.inventory), ahead: self.ahead.clone(), halt });
        let (state, configuration) = (self.state.path().to_owned(), self.configuration.clone());
        tokio::spawn(async move {
            let journal = Journal::open(&state).await.unwrap();
            journal.adopt(&configuration, world.now()).await.unwrap();
            if journal.incidents(Filter::default()).await.unwrap().is_empty() {
                let chosen = Chosen { runbook: "more".to_owned(), target: "service/worker".parse().unwrap() };
                let trigger = Trigger::Person { by: "test".to_owned(), words: "it is slow".to_owned() };
                journal.open_incident(&chosen, trigger, world.now()).await.unwrap();
            }
            let (_keep, current) = watch::channel(Arc::new(configuration));
            let engine = runbookd::engine::Engine::new(journal, world.clone(), current, Arc::new(Silent));
            loop {
                match engine.work_on_one().await.unwrap() {
                    Claimed::NothingBefore(Some(due)) => world.ahead.to(due),
                    Claimed::NothingBefore(None) => return,
                    other => panic!("{other:?}"),
                }
            }
        })
    }

    /// Lives to the end.
    pub async fn tell(&self) -> Incident {
        tokio::time::timeout(Duration::from_secs(120), self.live()).await.expect("the story ends").unwrap();
        self.incident().await
    }

    /// Lives until the `nth` changing call, dies there, and lives again to the end; gives that call.
    pub async fn die_at(&self, nth: usize, fault: Fault) -> (Call, Incident) {
        let mut caught = self.proxy.on(nth, fault, Call::changes);
        let life = self.live();
        let call = caught.wait().await;
        self.die(life).await;
        (call, self.tell().await)
    }

    /// Ends a life where it stands.
    pub async fn die(&self, life: JoinHandle<()>) {
        assert!(!life.is_finished(), "the story was over before: {:?}", self.incident().await.stage);
        life.abort();
        assert!(life.await.unwrap_err().is_cancelled());
    }

    /// The incident as the journal has it, once no life has it any more.
    pub async fn incident(&self) -> Incident {
        let journal = Journal::open_to_read(self.state.path()).await.unwrap();
        journal.load(IncidentId(1)).await.unwrap()
    }

    /// The kinds of the journal's events, in order, and all they say.
    pub async fn journal(&self) -> (Vec<&'static str>, String) {
        let journal = Journal::open_to_read(self.state.path()).await.unwrap();
        let events = journal.events(IncidentId(1)).await.unwrap();
        let text = events.iter().map(|recorded| format!("{:?}\n", recorded.event)).collect();
        (events.iter().map(|recorded| recorded.event.kind()).collect(), text)
    }

    /// What must hold after every telling: the service is whole, with the environment that its file has; nothing is left over; the
    /// journal says what happened, and no secret.
    pub async fn judge(&self, workers: &str, told: &str) {
        let (kinds, text) = self.journal().await;
        let fail = |what: &str| format!("{told}: {what}\n{}\n{text}", self.seen());
        let incident = self.incident().await;
        assert!(matches!(incident.stage, Stage::Closed { .. }), "{}", fail("it is left open"));
        let settled = incident.attempts.iter().all(|attempt| attempt.verdict.is_some());
        assert!(settled && !incident.attempts.is_empty(), "{}", fail("an attempt was never settled"));
        assert!(!text.contains("hush") && !text.contains("hu$h"), "{}", fail("a secret is in the journal"));
        assert_eq!(kinds.last(), Some(&"closed"));
        let check = Journal::open(self.state.path()).await.unwrap().check().await.unwrap();
        assert_eq!(check.complaints, Vec::<String>::new(), "{}", fail("the journal does not check out"));
        self.judge_whole(workers, &fail("what is there"));
    }

    /// The part of it that is the Engine's and the disk's.
    pub fn judge_whole(&self, workers: &str, told: &str) {
        until("the worker is healthy", Duration::from_secs(30), || self.is_healthy(), || told.to_owned());
        let worker = self.only();
        assert_eq!(worker["Name"], format!("/{}", self.name()), "{told}");
        assert_eq!(worker["State"]["Status"], "running", "{told}");
        assert_eq!(worker["HostConfig"]["RestartPolicy"]["Name"], self.plan.restart, "{told}");
        let env = worker["Config"]["Env"].as_array().unwrap();
        for line in [format!("WORKERS={workers}"), "PASSWORD=hu$h".to_owned(), "LEVEL=info".to_owned(), "LAST=one two".to_owned()]
        {
            assert_eq!(env.iter().filter(|have| **have == line).count(), 1, "{line} in {env:?}: {told}");
        }
        let mounts = worker["Mounts"].as_array().unwrap();
        assert_eq!((mounts.len(), mounts[0]["Name"].as_str()), (1, Some(self.volume.as_str())), "the same data: {told}");
        self.docker(&["exec", &self.name(), "test", "-e", "/scratch/mark"]);
        let networks: BTreeMap<String, Value> = serde_json::from_value(worker["NetworkSettings"]["Networks"].clone()).unwrap();
        let (default, inside) = (format!("{}_default", self.project), format!("{}_inside", self.project));
        assert_eq!(networks.keys().collect::<Vec<_>>(), [&default, &inside], "{told}");
        let aliases = networks[&default]["Aliases"].to_string();
        assert!(aliases.contains("\"jobs\"") && aliases.contains("\"worker\""), "{aliases}: {told}");
        assert!(
            networks[&inside]["IPAddress"]
                .as_str()
                .unwrap()
                .ends_with(networks[&inside]["IPAMConfig"]["IPv4Address"].as_str().unwrap())
        );
        assert_eq!(self.file(), settings(workers), "{told}");
        let mut names: Vec<_> = std::fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["config", "docker-compose.yml", "settings.env"], "nothing is left beside the file: {told}");
    }
}

/// Waits for a condition, and lets the proxies work meanwhile.
pub fn until(what: &str, within: Duration, come: impl Fn() -> bool, state: impl Fn() -> String) {
    tokio::task::block_in_place(|| daemon::until(what, within, || come().then_some(()), state));
}

fn runbook(plan: &Plan) -> String {
    let Plan { workers, healthy_within, until, within, hold, .. } = plan;
    format!(
        r#"
runbook: more
summary: More workers
match: ['alertname="Slow"']
target: service/worker
mode: auto
limits: {{cooldown: 0s, rate: [9/1h]}}
look:
  worker: docker.service
require: worker.replicas >= 1
remedies:
  - name: more workers
    steps:
      - docker.recreate: {{set: {{WORKERS: "{workers}"}}, stop_timeout: 2s, healthy_within: {healthy_within}}}
    verify: {{until: {until}, within: {within}, hold: {hold}}}
otherwise: escalate
"#
    )
}
