//! `targets.yaml` as it is written: a map from `kind/name` to what the target says of itself and where it is. The keys for
//! where it is depend on the kind; those it says of itself are the same for all.

use std::collections::BTreeMap;

use runbook::target::{Class, SecretRef, TargetId, TerminateBy};
use schemars::JsonSchema;
use serde::Deserialize;

use super::WrittenLogin;
use crate::config::yaml::{Entries, Placed, Raw};

/// The keys that every target has, whatever its kind.
pub const TRAIT_KEYS: [&str; 6] = ["depends_on", "stateful", "may_be_cloned", "class", "owner", "known_as"];

/// What every target says of itself.
#[derive(Deserialize, JsonSchema)]
pub struct WrittenTraits {
    /// The targets that this one needs; their trouble is looked at first.
    pub depends_on: Option<Placed<Vec<Placed<TargetId>>>>,
    /// It keeps data. Without a word: true for postgres, redis, rabbitmq and queue, false for the rest.
    pub stateful: Option<Placed<bool>>,
    /// More replicas of it may be started. False where nothing is said.
    pub may_be_cloned: Option<Placed<bool>>,
    /// How much it hurts when it is down.
    pub class: Placed<Class>,
    /// Who is told first.
    pub owner: Placed<String>,
    /// Values of labels that mean this target, besides its own name.
    pub known_as: Option<Placed<Vec<Placed<String>>>>,
}

/// Where a PostgreSQL server is.
#[derive(Deserialize, JsonSchema)]
pub struct WrittenPostgres {
    /// Host name, address, or the absolute folder of a Unix socket.
    pub host: Placed<String>,
    /// TCP port: 5432 where nothing is said.
    pub port: Option<Placed<u16>>,
    /// The database to log in to.
    pub database: Placed<String>,
    /// Demand and check the server's certificate. False where nothing is said.
    pub tls: Option<Placed<bool>>,
    /// The login for looking.
    pub look: Placed<WrittenLogin>,
    /// The login for acting; without it every action is refused.
    pub act: Option<Placed<WrittenLogin>>,
    /// How sessions are ended.
    pub terminate_by: Option<Placed<TerminateBy>>,
}

/// Where a Redis server is.
#[derive(Deserialize, JsonSchema)]
pub struct WrittenRedis {
    /// Host name or address.
    pub host: Placed<String>,
    /// TCP port: 6379 where nothing is said.
    pub port: Option<Placed<u16>>,
    /// Speak TLS. False where nothing is said.
    pub tls: Option<Placed<bool>>,
    /// The login for looking, where the server asks for one.
    pub look: Option<Placed<WrittenLogin>>,
    /// The login for acting.
    pub act: Option<Placed<WrittenLogin>>,
}

/// Where a RabbitMQ broker is.
#[derive(Deserialize, JsonSchema)]
pub struct WrittenRabbitmq {
    /// Host name or address, for AMQP.
    pub host: Placed<String>,
    /// AMQP port: 5672 where nothing is said.
    pub port: Option<Placed<u16>>,
    /// Base of the management API, for example http://rabbitmq:15672.
    pub management: Placed<String>,
    /// The virtual host: `/` where nothing is said.
    pub vhost: Option<Placed<String>>,
    /// The login for looking.
    pub look: Placed<WrittenLogin>,
    /// The login for acting.
    pub act: Option<Placed<WrittenLogin>>,
}

/// Where a queue is.
#[derive(Deserialize, JsonSchema)]
pub struct WrittenQueue {
    /// The broker it lives on.
    pub broker: Placed<TargetId>,
    /// Its name on the broker, where that is not the target's own.
    pub queue: Option<Placed<String>>,
}

/// A program and its arguments, word by word.
pub type WrittenCommand = Vec<Placed<String>>;

/// Where a Compose service is.
#[derive(Deserialize, JsonSchema)]
pub struct WrittenService {
    /// The Engine it runs on.
    pub engine: Placed<TargetId>,
    /// The Compose project.
    pub project: Placed<String>,
    /// The service within the project, where that is not the target's own name.
    pub service: Option<Placed<String>>,
    /// How many replicas it usually has: 1 where nothing is said.
    pub replicas: Option<Placed<u32>>,
    /// How many it may ever have, clones included: as many as usually, where nothing is said.
    pub at_most: Option<Placed<u32>>,
    /// The file that its environment comes from (`.env`), where runbookd may change settings in it.
    pub env_file: Option<Placed<String>>,
    /// Commands that `docker.exec` may run inside, by name: argument vectors, no shell.
    #[schemars(with = "Option<BTreeMap<String, Vec<String>>>")]
    pub commands: Option<Placed<Entries<Placed<WrittenCommand>>>>,
}

/// Where a Docker Engine is.
#[derive(Deserialize, JsonSchema)]
pub struct WrittenEngine {
    /// `unix:///path`, `http://host:port` or `https://host:port` for looking; a filtering proxy is advised.
    pub look: Placed<String>,
    /// The same for looking inside containers by a command from a closed list; without it `docker.exec_look` sees nothing.
    pub inside: Option<Placed<String>>,
    /// The same for acting; without it every action is refused.
    pub act: Option<Placed<String>>,
    /// Client certificates, for `https`.
    pub tls: Option<Placed<WrittenEngineTls>>,
}

/// What a client of an Engine proves itself with: PEM files, read at each connect.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenEngineTls {
    /// The authority that signed the proxy's certificate.
    pub ca: Placed<String>,
    /// Our certificate.
    pub certificate: Placed<String>,
    /// Its key.
    pub key: Placed<String>,
}

/// Where an HTTP endpoint is.
#[derive(Deserialize, JsonSchema)]
pub struct WrittenHttp {
    /// What is fetched with GET.
    pub url: Placed<String>,
    /// The status that means well: 200 where nothing is said.
    pub expect: Option<Placed<u16>>,
}

/// Where a Prometheus server is.
#[derive(Deserialize, JsonSchema)]
pub struct WrittenPrometheus {
    /// Its base address.
    pub url: Placed<String>,
    /// A bearer token, where it wants one.
    #[schemars(with = "Option<SecretRef>")]
    pub token: Option<Placed<Raw>>,
}

/// Where a rehearsal's ledger is.
#[derive(Deserialize, JsonSchema)]
pub struct WrittenRehearsal {
    /// The file that every rehearsed effect appends a line to.
    pub ledger: Placed<String>,
}
