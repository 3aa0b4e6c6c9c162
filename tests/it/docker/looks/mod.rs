//! What the looks at a service see, on the machine's Engine behind the shipped proxy, with tiny containers of a Compose project that
//! nobody else has. Nothing here hangs or fills the Engine: what stands still is a proxy in front of it.

mod evidence;
mod figures;
mod inside;
mod replicas;
mod round;

use std::time::Duration;

use connect::Connections;
use runbook::finding::Finding;
use runbook::probe::{DockerProbe, Probe};
use runbook::target::{Inventory, Place, Scope};
use xtask::engine::{Engine, TINY};
use xtask::servers::DockerProxy;

use crate::databases::{now, target};
use crate::looks::listed;

/// A look's deadline in the daemon.
const WITHIN: Duration = Duration::from_secs(5);

/// What `docker run` wants for a container that waits.
const WAITS: &[&str] = &[TINY, "sleep", "86400"];

/// A service of one test, and the containers that the test started for it; they go when it ends, however it ends.
struct Stage {
    engine: Engine,
    proxy: DockerProxy,
    project: String,
    ids: Vec<String>,
}

impl Stage {
    fn new(name: &str) -> Self {
        let engine = xtask::engine::ensure().unwrap();
        xtask::engine::ensure_tiny(&engine).unwrap();
        let proxy = DockerProxy::start(engine.socket()).unwrap();
        Self { engine, proxy, project: format!("{name}{}", std::process::id()), ids: Vec::new() }
    }

    /// Runs a container of the service and gives its full id. It is `create` instead of `run` where that word comes first.
    fn run(&mut self, arguments: &[&str]) -> String {
        let labels = [
            format!("com.docker.compose.project={}", self.project),
            "com.docker.compose.service=worker".to_owned(),
            "com.docker.compose.version=1.29.2".to_owned(),
        ];
        let mut command = match arguments.first() {
            Some(&"create") => vec!["create"],
            _ => vec!["run", "--detach"],
        };
        command.extend(["--network", "none", "--stop-timeout", "1"]);
        labels.iter().for_each(|label| command.extend(["--label", label]));
        if !arguments.iter().any(|argument| argument.starts_with("com.docker.compose.oneoff=")) {
            command.extend(["--label", "com.docker.compose.oneoff=False"]);
        }
        command.extend(arguments.iter().filter(|argument| **argument != "create"));
        let id = self.engine.run(&command).unwrap();
        self.ids.push(id.clone());
        id
    }

    /// The inventory and connections, with these addresses for the Engine.
    fn listed_at(&self, look: String, inside: Option<String>, act: Option<String>) -> (Inventory, Connections) {
        let service = Place::Service {
            engine: "engine/main".parse().unwrap(),
            project: self.project.clone(),
            service: "worker".into(),
            scope: Scope::default(),
        };
        let engine = Place::Engine { look, inside, act, tls: None };
        listed([target("engine/main", engine), target("service/worker", service)])
    }

    /// The same through the shipped proxy.
    fn listed(&self) -> (Inventory, Connections) {
        self.listed_at(self.proxy.look(), Some(self.proxy.inside()), Some(self.proxy.act()))
    }

    async fn look(&self, probe: DockerProbe) -> Finding {
        let (inventory, connections) = self.listed();
        look(&connections, &inventory, probe).await
    }

    /// Looks until it has seen this, and gives what it saw then.
    async fn look_until(&self, probe: DockerProbe, seen: impl Fn(&Finding) -> bool) -> Finding {
        for _ in 0..200 {
            let finding = self.look(probe.clone()).await;
            if seen(&finding) {
                return finding;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("it was not seen: {:?}", self.look(probe).await);
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for id in &self.ids {
            let _ = self.engine.run(&["rm", "--force", "--volumes", id]);
        }
    }
}

async fn look(connections: &Connections, inventory: &Inventory, probe: DockerProbe) -> Finding {
    let target = inventory.get(&"service/worker".parse().unwrap()).unwrap();
    probe::look(connections.looking(), inventory, target, &Probe::Docker(probe), now, WITHIN).await
}
