//! A Compose project on a private Engine behind the shipped proxy, a daemon's home that looks after it, and the Engine's own account
//! of what was done. Why the events: what was done to a container, in which order and by which signal, is judged by neither the
//! daemon nor its reply. Deliberately nothing is asserted here but that the project comes up.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::Value;
use xtask::engine::{PrivateEngine, ensure_tiny};
use xtask::servers::DockerProxy;

use crate::support::daemon::{Daemon, Home, until};

/// The project's name.
pub const PROJECT: &str = "shop";

/// A first process that is well until `/tmp/well` goes, is never well again once `/tmp/broken` is there, and ends by itself with 42
/// when it is asked to, unless `/tmp/deaf` is there.
pub const OBEDIENT: &str = "[sh, -c, \"trap 'test -e /tmp/deaf || exit 42' TERM; rm -f /tmp/well; test -e /tmp/broken || touch \
     /tmp/well; echo up; while :; do sleep 0.3; done\"]";

/// A check of that.
pub const CHECK: &str = "{test: [CMD, test, -e, /tmp/well], interval: 2500ms, timeout: 5s, retries: 1}";

/// A project that is up.
pub struct Project {
    pub home: Home,
    proxy: DockerProxy,
    pub engine: PrivateEngine,
}

impl Project {
    /// Brings these services up with the real Compose; `targets` and `runbooks` are the daemon's, besides the Engine itself.
    pub fn up(services: &str, arguments: &[&str], targets: &str, runbooks: &[(&str, &str)]) -> Self {
        Self::up_on(PrivateEngine::start().unwrap(), services, arguments, targets, runbooks)
    }

    /// The same on this Engine.
    pub fn up_on(engine: PrivateEngine, services: &str, arguments: &[&str], targets: &str, runbooks: &[(&str, &str)]) -> Self {
        ensure_tiny(engine.engine()).unwrap();
        let proxy = DockerProxy::start(engine.engine().socket()).unwrap();
        let home = Home::new(&[("runbookd.yaml", "listen: 127.0.0.1:PORT\n".to_owned())]);
        let listed = format!(
            "engine/main: {{look: \"{}\", inside: \"{}\", act: \"{}\", class: P2, owner: ops@example.invalid}}\n{targets}",
            proxy.look(),
            proxy.inside(),
            proxy.act()
        );
        home.write("targets.yaml", &listed);
        for (name, text) in runbooks {
            home.write(&format!("runbooks/{name}.yaml"), text);
        }
        std::fs::write(home.folder().join("docker-compose.yml"), services).unwrap();
        let project = Self { home, proxy, engine };
        project.compose(&[&["up", "-d"], arguments].concat());
        project
    }

    /// Runs Compose on the project and gives what it printed.
    pub fn compose(&self, arguments: &[&str]) -> String {
        let mut compose = self.engine.engine().compose();
        compose.args(["--project-name", PROJECT, "--ansi", "never"]).args(arguments).current_dir(self.home.folder());
        let output = compose.stdin(Stdio::null()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "compose {arguments:?}: {told}");
        told
    }

    /// Runs `docker` and gives what it printed.
    pub fn docker(&self, arguments: &[&str]) -> String {
        self.engine.engine().run(arguments).unwrap()
    }

    /// Makes a container of a service without Compose, under the service's own name and Compose's labels.
    pub fn by_hand(&self, service: &str, how: &[&str]) {
        let of = format!("service={service}");
        let labels = ["project=shop", &of, "oneoff=False", "container-number=1"];
        let labels = labels.map(|label| format!("--label=com.docker.compose.{label}"));
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        self.docker(&[how, &["--name", service][..], &labels, &[xtask::engine::TINY]].concat());
    }

    /// One field of a container, by a template.
    pub fn field(&self, container: &str, template: &str) -> String {
        self.docker(&["inspect", "--format", template, container])
    }

    /// When a container was last started.
    pub fn started_at(&self, container: &str) -> String {
        self.field(container, "{{.State.StartedAt}}")
    }

    /// Makes the container fail its check, or never be well again.
    pub fn hurt(&self, container: &str, by: &[&str]) {
        self.docker(&[&["exec", container][..], by].concat());
    }

    /// Names of the containers of a service, in any state.
    pub fn names(&self, service: &str) -> Vec<String> {
        let label = format!("label=com.docker.compose.service={service}");
        let listed = self.docker(&["ps", "--all", "--filter", &label, "--format", "{{.Names}}"]);
        let mut names: Vec<_> = listed.lines().map(str::to_owned).collect();
        names.sort();
        names
    }

    /// Waits until a container's description has this at a JSON pointer.
    pub fn wait_for(&self, container: &str, pointer: &str, wanted: impl Into<Value>) {
        let wanted = wanted.into();
        let said = || self.engine.engine().inspect(container).unwrap().pointer(pointer).cloned().unwrap_or_default();
        until(
            &format!("{container} has {wanted} at {pointer}"),
            Duration::from_secs(30),
            || (said() == wanted).then_some(()),
            || format!("it has {}\n{}\n{}", said(), self.home.log(), self.engine.log()),
        );
    }

    pub fn wait_health(&self, container: &str, wanted: &str) {
        self.wait_for(container, "/State/Health/Status", wanted);
    }

    /// What the daemon and the proxy have to say, for a test that fails.
    pub fn told(&self, daemon: &Daemon<'_>) -> String {
        let incidents = daemon.incidents();
        let shown: Vec<String> = incidents
            .iter()
            .map(|incident| daemon.get(&format!("/api/v1/incidents/{}/report", incident["id"])))
            .map(|report| report["text"].as_str().unwrap_or_default().to_owned())
            .collect();
        format!("{}\n{}\n{}", shown.join("\n"), self.home.log(), self.proxy.log())
    }

    /// Waits until an incident of this alert's number is over, and gives its summary.
    pub fn wait_closed(&self, daemon: &Daemon<'_>, number: u64, within: Duration) -> Value {
        let closed = || find(daemon, number).filter(|incident| !incident["closed"].is_null());
        until(&format!("INC-{number} is over"), within, closed, || self.told(daemon))
    }

    /// Waits until an incident is in this stage.
    pub fn wait_stage(&self, daemon: &Daemon<'_>, number: u64, stage: &str, within: Duration) -> Value {
        let there = || find(daemon, number).filter(|incident| incident["stage"] == stage);
        until(&format!("INC-{number} is {stage}"), within, there, || self.told(daemon))
    }

    /// Begins to write down what the Engine says that happens to containers.
    pub fn events(&self) -> Events {
        Events::begin(self)
    }
}

fn find(daemon: &Daemon<'_>, number: u64) -> Option<Value> {
    daemon.incidents().into_iter().find(|incident| incident["id"] == number)
}

/// All events of an incident as the journal has them, in one text.
pub fn journal(daemon: &Daemon<'_>, number: u64) -> String {
    daemon.get(&format!("/api/v1/incidents/{number}"))["events"].to_string()
}

/// Something that happened to a container.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Happened {
    /// `start`, `kill`, `die`, `health_status: healthy` and so on.
    pub what: String,
    /// The container's name.
    pub to: String,
    /// The signal of a `kill`.
    pub signal: String,
    /// The exit code of a `die`.
    pub code: String,
}

/// What the Engine says that happens to containers, from its beginning; ended on drop.
pub struct Events {
    child: Child,
    file: std::path::PathBuf,
}

impl Events {
    fn begin(project: &Project) -> Self {
        let file = project.home.folder().join("events");
        let format = "{{.Action}}|{{.Actor.Attributes.name}}|{{.Actor.Attributes.signal}}|{{.Actor.Attributes.exitCode}}";
        let mut docker = project.engine.engine().docker();
        docker.args(["events", "--format", format, "--filter", "type=container"]);
        for event in ["create", "start", "kill", "die", "stop", "destroy", "rename", "health_status"] {
            docker.args(["--filter", &format!("event={event}")]);
        }
        docker.stdin(Stdio::null()).stdout(std::fs::File::create(&file).unwrap());
        let events = Self { child: docker.spawn().unwrap(), file };
        // It is listened once an event of our own making is there; those made before it began are lost.
        let listened = || {
            project.docker(&["create", "--name", MARK, xtask::engine::TINY]);
            project.docker(&["rm", MARK]);
            events.read(MARK).then_some(())
        };
        until("the Engine's events", Duration::from_secs(30), listened, String::new);
        events
    }

    fn read(&self, name: &str) -> bool {
        text(&self.file).lines().any(|line| line.contains(name))
    }

    /// Everything so far, in order.
    pub fn so_far(&self) -> Vec<Happened> {
        let read = |line: &str| {
            let mut parts = line.split('|').map(|part| part.replace("<no value>", ""));
            let mut next = || parts.next().unwrap_or_default();
            Happened { what: next(), to: next(), signal: next(), code: next() }
        };
        text(&self.file).lines().map(read).filter(|event| event.to != MARK).collect()
    }

    /// Those of one sort so far, as the names of the containers.
    pub fn of(&self, what: &str) -> Vec<String> {
        self.so_far().into_iter().filter(|event| event.what == what).map(|event| event.to).collect()
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const MARK: &str = "mark";

fn text(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_default()
}
