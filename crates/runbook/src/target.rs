//! The inventory: the only things runbookd may look at or touch, and what they say of themselves. Why closed: a label may
//! choose a target only by looking it up here. It deliberately holds references to secrets, never secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::alert::Labels;

/// What sort of thing a target is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A PostgreSQL server.
    Postgres,
    /// A Redis server.
    Redis,
    /// A RabbitMQ broker.
    Rabbitmq,
    /// A queue on a broker.
    Queue,
    /// A Compose service on an Engine.
    Service,
    /// A Docker Engine.
    Engine,
    /// An HTTP endpoint.
    Http,
    /// A Prometheus server.
    Prometheus,
    /// A ledger file that rehearsals write to; refused in default builds.
    Rehearsal,
}

impl Kind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Kind; 9] = [
        Kind::Postgres,
        Kind::Redis,
        Kind::Rabbitmq,
        Kind::Queue,
        Kind::Service,
        Kind::Engine,
        Kind::Http,
        Kind::Prometheus,
        Kind::Rehearsal,
    ];

    /// The word before the slash.
    pub const fn word(self) -> &'static str {
        match self {
            Kind::Postgres => "postgres",
            Kind::Redis => "redis",
            Kind::Rabbitmq => "rabbitmq",
            Kind::Queue => "queue",
            Kind::Service => "service",
            Kind::Engine => "engine",
            Kind::Http => "http",
            Kind::Prometheus => "prometheus",
            Kind::Rehearsal => "rehearsal",
        }
    }
}

/// The name of a target, `kind/name`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct TargetId {
    /// The sort of thing.
    pub kind: Kind,
    /// Its name within the sort: letters, digits, `.`, `_`, `-`, at most 63.
    pub name: String,
}

impl fmt::Display for TargetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.word(), self.name)
    }
}

impl FromStr for TargetId {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (word, name) = text
            .split_once('/')
            .ok_or_else(|| format!("`{text}` names no target; write kind/name, for example postgres/main"))?;
        let kind = Kind::ALL.into_iter().find(|kind| kind.word() == word).ok_or_else(|| {
            let words: Vec<_> = Kind::ALL.iter().map(|kind| kind.word()).collect();
            format!("`{word}` is no kind of target; the kinds are {}", words.join(", "))
        })?;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if name.is_empty() || name.len() > 63 || !name.chars().all(plain) {
            return Err("a target's name has 1 to 63 letters, digits, `.`, `_` or `-`".to_owned());
        }
        Ok(Self { kind, name: name.to_owned() })
    }
}

impl From<TargetId> for String {
    fn from(id: TargetId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for TargetId {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl schemars::JsonSchema for TargetId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TargetId".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "description": "kind/name, for example postgres/main"})
    }
}

/// Where a secret is kept. Resolved at each connect, so a rotated file is picked up; the value never enters this crate.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SecretRef {
    /// The content of a file, without its last line break.
    File(String),
    /// An environment variable of the daemon.
    Env(String),
    /// A systemd credential (`LoadCredential=`), by name.
    Credential(String),
}

/// A login: a name in the clear and a reference to its password.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The user's name.
    pub user: String,
    /// Where the password is kept.
    pub password: SecretRef,
}

/// How much it hurts when a target is down, as the team's procedures have it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub enum Class {
    /// Completely down; a person within 5 minutes.
    P1,
    /// A major feature broken; 15 minutes.
    P2,
    /// Degraded; an hour.
    P3,
    /// Minor; a day.
    P4,
}

impl Class {
    /// Within what time a person is to be at it. What runbookd only waits for may take no longer.
    pub const fn response(self) -> std::time::Duration {
        std::time::Duration::from_secs(match self {
            Class::P1 => 5 * 60,
            Class::P2 => 15 * 60,
            Class::P3 => 60 * 60,
            Class::P4 => 24 * 60 * 60,
        })
    }
}

/// What a target says of itself besides where it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Traits {
    /// The targets that this one needs; their trouble is looked at first.
    pub depends_on: Vec<TargetId>,
    /// It keeps data: never cloned, restarted only where a runbook says so.
    pub stateful: bool,
    /// More replicas of it may be started.
    pub may_be_cloned: bool,
    /// How much it hurts when it is down.
    pub class: Class,
    /// Who is told first.
    pub owner: String,
}

/// How sessions of a PostgreSQL are ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TerminateBy {
    /// `pg_terminate_backend` by a member of `pg_signal_backend`; cannot end a superuser's sessions.
    #[default]
    SignalBackend,
    /// The opt-in `SECURITY DEFINER` function of `deploy/sql`, which has the exclusions inside.
    Function,
}

/// What a client of an Engine proves itself with, and what it checks the Engine by: paths of PEM files, read at each connect.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EngineTls {
    /// The authority that signed the proxy's certificate.
    pub ca: String,
    /// Our certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

/// What a Compose service says of itself beyond its labels.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Scope {
    /// How many replicas it usually has.
    pub replicas: u32,
    /// How many it may ever have, clones included.
    pub at_most: u32,
    /// The file that its environment comes from, where runbookd may change settings in it.
    pub env_file: Option<String>,
    /// Commands that may be run inside, by name: argument vectors, no shell.
    pub commands: BTreeMap<String, Vec<String>>,
}

impl Default for Scope {
    /// One replica, never more, no file, no commands.
    fn default() -> Self {
        Self { replicas: 1, at_most: 1, env_file: None, commands: BTreeMap::new() }
    }
}

/// Where a target is and how to get in. One variant per kind.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Place {
    /// A PostgreSQL server.
    Postgres {
        /// Host name, address, or an absolute folder of a Unix socket.
        host: String,
        /// TCP port.
        port: u16,
        /// The database to log in to.
        database: String,
        /// Whether the server's certificate is demanded and checked.
        tls: bool,
        /// The login for looking.
        look: Login,
        /// The login for acting; without it every action is refused.
        act: Option<Login>,
        /// How sessions are ended.
        terminate_by: TerminateBy,
    },
    /// A Redis server.
    Redis {
        /// Host name or address.
        host: String,
        /// TCP port.
        port: u16,
        /// Whether TLS is spoken.
        tls: bool,
        /// The login for looking, where the server asks for one.
        look: Option<Login>,
        /// The login for acting.
        act: Option<Login>,
    },
    /// A RabbitMQ broker.
    Rabbitmq {
        /// Host name or address, for AMQP.
        host: String,
        /// AMQP port.
        port: u16,
        /// Base of the management API, for example `http://rabbitmq:15672`.
        management: String,
        /// The virtual host.
        vhost: String,
        /// The login for looking.
        look: Login,
        /// The login for acting.
        act: Option<Login>,
    },
    /// A queue.
    Queue {
        /// The broker it lives on.
        broker: TargetId,
        /// The queue's name on the broker.
        queue: String,
    },
    /// A Compose service.
    Service {
        /// The Engine it runs on.
        engine: TargetId,
        /// The Compose project.
        project: String,
        /// The service within the project.
        service: String,
        /// What it says of itself beyond its labels.
        #[serde(default)]
        scope: Scope,
    },
    /// A Docker Engine.
    Engine {
        /// `unix:///path`, `http://host:port` or `https://host:port` for looking (a filtering proxy is advised).
        look: String,
        /// The same for looking inside containers by running a command from a closed list.
        #[serde(default)]
        inside: Option<String>,
        /// The same for acting.
        act: Option<String>,
        /// Client certificates, for `https`.
        #[serde(default)]
        tls: Option<EngineTls>,
    },
    /// An HTTP endpoint.
    Http {
        /// What is fetched with GET.
        url: String,
        /// The status that means well.
        expect: u16,
    },
    /// A Prometheus server.
    Prometheus {
        /// Its base address.
        url: String,
        /// A bearer token, where it wants one.
        token: Option<SecretRef>,
    },
    /// A rehearsal's ledger file.
    Rehearsal {
        /// The file that every rehearsed effect appends a line to.
        ledger: String,
    },
}

/// One thing in the inventory.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Target {
    /// Its name.
    pub id: TargetId,
    /// What it says of itself.
    pub traits: Traits,
    /// Where it is.
    pub place: Place,
    /// Labels that point to it besides its name: `from: labels.queue` finds it by any of these values.
    pub known_as: Vec<String>,
}

/// All targets.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Listed")]
pub struct Inventory {
    targets: BTreeMap<TargetId, Target>,
    /// What is around each target. It follows from the targets, and every decision asks for it several times.
    #[serde(skip)]
    around: BTreeMap<TargetId, Around>,
}

/// What a target needs, and what needs it, directly or through others.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Around {
    upstream: BTreeSet<TargetId>,
    leaning: BTreeSet<TargetId>,
}

/// What is around a target that nobody knows.
static NOTHING: BTreeSet<TargetId> = BTreeSet::new();

/// An inventory as it is stored.
#[derive(Deserialize)]
struct Listed {
    targets: BTreeMap<TargetId, Target>,
}

impl From<Listed> for Inventory {
    fn from(listed: Listed) -> Self {
        Self::new(listed.targets.into_values())
    }
}

/// How a runbook names its target.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum TargetSelector {
    /// Always this one.
    Named(TargetId),
    /// The one of this kind that a label's value finds in the inventory.
    Lookup {
        /// The kind to search.
        kind: Kind,
        /// The label whose value is searched for.
        label: String,
    },
}

impl Inventory {
    /// An inventory of these targets; a later one of the same name replaces an earlier one (`check` refuses that before).
    pub fn new(targets: impl IntoIterator<Item = Target>) -> Self {
        let targets: BTreeMap<_, _> = targets.into_iter().map(|target| (target.id.clone(), target)).collect();
        let mut around: BTreeMap<TargetId, Around> = BTreeMap::new();
        for id in targets.keys() {
            let upstream = reached(id, |next| targets.get(next).into_iter().flat_map(|target| &target.traits.depends_on));
            for needed in &upstream {
                around.entry(needed.clone()).or_default().leaning.insert(id.clone());
            }
            around.entry(id.clone()).or_default().upstream = upstream;
        }
        Self { targets, around }
    }

    /// The target of this name.
    pub fn get(&self, id: &TargetId) -> Option<&Target> {
        self.targets.get(id)
    }

    /// All targets in order of name.
    pub fn iter(&self) -> impl Iterator<Item = &Target> {
        self.targets.values()
    }

    /// Everything that this target needs, directly or through others; not itself. A circle, which `check` refuses, ends too.
    pub fn upstream_of(&self, id: &TargetId) -> &BTreeSet<TargetId> {
        self.around.get(id).map_or(&NOTHING, |around| &around.upstream)
    }

    /// Every target that needs this one, directly or through others; not itself.
    pub fn leaning_on(&self, id: &TargetId) -> &BTreeSet<TargetId> {
        self.around.get(id).map_or(&NOTHING, |around| &around.leaning)
    }

    /// The target that a selector means for an alert with these labels.
    ///
    /// # Errors
    /// A sentence for people when the label is missing or finds none or several: then nothing is touched.
    pub fn resolve(&self, selector: &TargetSelector, labels: &Labels) -> Result<&Target, String> {
        match selector {
            TargetSelector::Named(id) => self.get(id).ok_or_else(|| format!("{id} is not in the inventory")),
            TargetSelector::Lookup { kind, label } => {
                let value = labels
                    .get(label)
                    .filter(|value| !value.is_empty())
                    .ok_or_else(|| format!("the alert has no label `{label}`, which should name a {}", kind.word()))?;
                let known =
                    |target: &&Target| target.id.kind == *kind && (target.id.name == *value || target.known_as.contains(value));
                let found: Vec<_> = self.iter().filter(known).collect();
                match found.as_slice() {
                    [one] => Ok(one),
                    [] => Err(format!(
                        "label `{label}` names no {} of the inventory: {}",
                        kind.word(),
                        crate::text::inert(value, 80)
                    )),
                    several => {
                        Err(format!("label `{label}` names {} targets of the inventory, and one was wanted", several.len()))
                    }
                }
            }
        }
    }
}

/// Everything that can be reached from a target, step by step; not itself.
fn reached<'a, Near: Iterator<Item = &'a TargetId>>(id: &'a TargetId, near: impl Fn(&'a TargetId) -> Near) -> BTreeSet<TargetId> {
    let (mut found, mut to_see) = (BTreeSet::new(), vec![id]);
    while let Some(next) = to_see.pop() {
        to_see.extend(near(next).filter(|there| *there != id && found.insert(*there)));
    }
    found.into_iter().cloned().collect()
}
