//! A service made by hand under Compose's labels on a private Engine, and orders about it that are decided, committed and carried out
//! one by one. Why beside whole timelines: what happens between the look and the act is made to happen here. Deliberately no journal.

use connect::Connections;
use policy::Committed;
use runbook::action::{Action, DockerAction};
use runbook::finding::Finding;
use runbook::incident::Reply;
use runbook::probe::{DockerProbe, Probe};
use runbook::target::{Class, Inventory, Place, Scope, Target, Traits};
use xtask::engine::{PrivateEngine, ensure_tiny};

use crate::databases::{PATIENCE, commit, now};

/// A service made by hand under Compose's labels, and orders to scale it that are carried out one by one.
pub struct Bench {
    engine: PrivateEngine,
    inventory: Inventory,
    connections: Connections,
}

impl Bench {
    /// Nothing runs yet; the service may have these commands run inside.
    pub fn start<const N: usize>(commands: [(&str, &[&str]); N]) -> Self {
        let engine = PrivateEngine::start().unwrap();
        ensure_tiny(engine.engine()).unwrap();
        let traits = |cloneable| Traits {
            depends_on: vec![],
            stateful: false,
            may_be_cloned: cloneable,
            class: Class::P2,
            owner: "team".into(),
        };
        let arguments = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let commands = commands.iter().map(|(name, words)| ((*name).to_owned(), arguments(words))).collect();
        let host = engine.engine().host();
        let place = Place::Engine { look: host.clone(), inside: None, act: Some(host), tls: None };
        let service = Place::Service {
            engine: "engine/main".parse().unwrap(),
            project: "shop".into(),
            service: "worker".into(),
            scope: Scope { at_most: 3, commands, ..Scope::default() },
        };
        let inventory = Inventory::new([
            Target { id: "engine/main".parse().unwrap(), traits: traits(false), place, known_as: vec![] },
            Target { id: "service/worker".parse().unwrap(), traits: traits(true), place: service, known_as: vec![] },
        ]);
        let connections = Connections::new(&inventory);
        Self { engine, inventory, connections }
    }

    /// Runs `docker` and gives what it printed.
    pub fn docker(&self, arguments: &[&str]) -> String {
        self.engine.engine().run(arguments).unwrap()
    }

    /// Makes a container of the service by `docker create` or `docker run`.
    pub fn worker(&self, how: &str, name: &str, number: &str, more: &[&str]) -> String {
        let labels = ["project=shop", "service=worker", "oneoff=False", "config-hash=x", "version=1.29.2"];
        let labels = labels.iter().map(|label| (*label).to_owned()).chain([format!("container-number={number}")]);
        let labels: Vec<String> = labels.map(|label| format!("--label=com.docker.compose.{label}")).collect();
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        self.docker(&[&[how, "--name", name][..], &labels, more, &["runbookd-tiny"]].concat())
    }

    /// The service as it is seen now.
    pub async fn seen(&self) -> Finding {
        let probe = Probe::Docker(DockerProbe::Service);
        probe::look(self.connections.looking(), &self.inventory, self.service(), &probe, now, PATIENCE).await
    }

    /// What is decided on what was seen, committed as the journal would.
    pub fn order(&self, seen: &Finding, action: DockerAction) -> Committed {
        commit(&self.inventory, self.service(), seen, Action::Docker(action)).unwrap()
    }

    fn service(&self) -> &Target {
        self.inventory.get(&"service/worker".parse().unwrap()).unwrap()
    }

    pub async fn act(&self, order: Committed) -> Reply {
        action::act(self.connections.acting(), &self.inventory, order).await
    }
}

/// The reply is a refusal that says this.
pub fn assert_refused(reply: &Reply, words: &str) {
    assert!(matches!(reply, Reply::Refused(said) if said.contains(words)), "{words}: {reply:?}");
}
