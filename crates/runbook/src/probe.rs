//! Every way of looking, as a closed list. Why closed: adding one breaks the build where it must be handled. A probe is
//! data; the crate `probe` carries it out. Deliberately nothing here can change anything.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::identity::Identity;
use crate::target::Kind;
use crate::time::Span;

/// A read-only look at one target.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Probe {
    /// Looks at PostgreSQL.
    Postgres(PostgresProbe),
    /// Looks at Redis.
    Redis(RedisProbe),
    /// Looks at a broker.
    Rabbitmq(RabbitmqProbe),
    /// Looks at a queue.
    Queue(QueueProbe),
    /// Looks at a Docker Engine or one of its services.
    Docker(DockerProbe),
    /// Looks at an HTTP endpoint.
    Http(HttpProbe),
    /// Asks a Prometheus.
    Prometheus(PrometheusProbe),
    /// Reads a rehearsal's ledger.
    Rehearsal(RehearsalProbe),
}

/// Looks at PostgreSQL.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum PostgresProbe {
    /// Whether a real login works, and if not, why: full (53300) is not down.
    Answering,
    /// Sessions by state, and those idle for longer than given.
    Sessions(Sessions),
    /// Which of these sessions still exist: the look that settles a termination.
    Alive(Vec<Identity>),
}

/// Parameters of `postgres.sessions`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sessions {
    /// A session counts as idle when its state has not changed for this long.
    pub idle_for: Span,
}

/// Looks at Redis.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum RedisProbe {
    /// Timed PINGs and the server's role.
    Answering,
    /// Memory, policy, evictions.
    Memory,
}

/// Looks at a broker.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum RabbitmqProbe {
    /// Whether AMQP and the management API answer, with alarms and totals.
    Answering,
}

/// Looks at a queue.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum QueueProbe {
    /// Ready, unacknowledged, consumers: the management API first, AMQP as second opinion.
    Depth,
    /// Whether messages are being worked off, over a minute: as it was stored before the stretch could be chosen.
    Progress,
    /// Whether messages are being worked off: acknowledgements over the broker's own samples of so long.
    ProgressOver(Progress),
}

/// Parameters of `queue.progress`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Progress {
    /// A queue is stalled when messages waited and none was acknowledged for this long: longer than the longest task.
    pub over: Span,
}

impl Progress {
    /// Shorter, and a broker that samples every five seconds has too few samples.
    pub const SHORTEST: Span = Span::secs(20);
    /// RabbitMQ keeps samples of five seconds for so long (`management.sample_retention_policies`).
    pub const LONGEST: Span = Span::secs(600);
}

impl Default for Progress {
    fn default() -> Self {
        Self { over: Span::secs(60) }
    }
}

/// Looks at Docker.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum DockerProbe {
    /// Whether the Engine answers, and its version.
    Engine,
    /// The replicas of a service.
    Service,
    /// Lines of their logs, counted.
    Logs(Logs),
    /// Memory and CPU, each as a share of the limit; CPU from two samples.
    Stats,
    /// Processes, by state and size.
    Top,
    /// A read-only command from a list closed in code, run inside a replica.
    Inside(Inside),
    /// The containers of a service, and whether they and the service's `env_file` have these values.
    Settings(BTreeMap<String, String>),
}

/// Parameters of `docker.logs`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Logs {
    /// At most so many of the last lines of each replica; 500 where nothing is said, never more than 5000.
    #[serde(default = "usual_tail")]
    pub tail: u32,
    /// Only lines of the last so long; 10m where nothing is said.
    #[serde(default = "usual_since")]
    pub since: Span,
    /// A regular expression; lines that it matches are counted. Without it only lines are.
    #[serde(default)]
    pub pattern: Option<String>,
}

const fn usual_tail() -> u32 {
    500
}

const fn usual_since() -> Span {
    Span::secs(600)
}

/// Parameters of `docker.exec_look`: which command. Each is a fixed argument vector; nothing of it comes from a label.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Inside {
    /// `df -P PATH`: how full the file system of an absolute path is, as the container sees it.
    DiskFree(String),
    /// Whether the broker that the container is configured with takes a connection from inside: the address in the named
    /// environment variable (`BROKER_URL`, `CELERY_BROKER_URL`).
    BrokerReachable(String),
}

/// Looks at an HTTP endpoint.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum HttpProbe {
    /// One GET: status and time.
    Get,
}

/// Asks a Prometheus.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum PrometheusProbe {
    /// Whether it is ready.
    Ready,
    /// An instant query whose single value is wanted; no data is unknown.
    Query(Query),
}

/// Parameters of `prometheus.query`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// A PromQL expression, fixed in the runbook; labels never enter it.
    pub expr: String,
}

/// Reads a rehearsal's ledger.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum RehearsalProbe {
    /// What the ledger says now.
    Ledger,
}

impl Probe {
    /// The name under which runbooks, fields and documentation know this look.
    pub const fn name(&self) -> &'static str {
        match self {
            Probe::Postgres(PostgresProbe::Answering) => "postgres.answering",
            Probe::Postgres(PostgresProbe::Sessions(_)) => "postgres.sessions",
            Probe::Postgres(PostgresProbe::Alive(_)) => "postgres.alive",
            Probe::Redis(RedisProbe::Answering) => "redis.answering",
            Probe::Redis(RedisProbe::Memory) => "redis.memory",
            Probe::Rabbitmq(RabbitmqProbe::Answering) => "rabbitmq.answering",
            Probe::Queue(QueueProbe::Depth) => "queue.depth",
            Probe::Docker(DockerProbe::Engine) => "docker.engine",
            Probe::Queue(QueueProbe::Progress | QueueProbe::ProgressOver(_)) => "queue.progress",
            Probe::Docker(DockerProbe::Service) => "docker.service",
            Probe::Docker(DockerProbe::Logs(_)) => "docker.logs",
            Probe::Docker(DockerProbe::Stats) => "docker.stats",
            Probe::Docker(DockerProbe::Top) => "docker.top",
            Probe::Docker(DockerProbe::Inside(_)) => "docker.exec_look",
            Probe::Docker(DockerProbe::Settings(_)) => "docker.settings",
            Probe::Http(HttpProbe::Get) => "http.get",
            Probe::Prometheus(PrometheusProbe::Ready) => "prometheus.ready",
            Probe::Prometheus(PrometheusProbe::Query(_)) => "prometheus.query",
            Probe::Rehearsal(RehearsalProbe::Ledger) => "rehearsal.ledger",
        }
    }

    /// The kind of target this look is for; `check` refuses a runbook that points it at another.
    pub const fn kind(&self) -> Kind {
        match self {
            Probe::Postgres(_) => Kind::Postgres,
            Probe::Redis(_) => Kind::Redis,
            Probe::Rabbitmq(_) => Kind::Rabbitmq,
            Probe::Queue(_) => Kind::Queue,
            Probe::Docker(DockerProbe::Engine) => Kind::Engine,
            Probe::Docker(_) => Kind::Service,
            Probe::Http(_) => Kind::Http,
            Probe::Prometheus(_) => Kind::Prometheus,
            Probe::Rehearsal(_) => Kind::Rehearsal,
        }
    }

    /// The look that `look TARGET`, `targets` and `doctor` use for a kind: does it answer, and how is it.
    pub const fn usual(kind: Kind) -> Probe {
        match kind {
            Kind::Postgres => Probe::Postgres(PostgresProbe::Sessions(Sessions { idle_for: Span::secs(600) })),
            Kind::Redis => Probe::Redis(RedisProbe::Memory),
            Kind::Rabbitmq => Probe::Rabbitmq(RabbitmqProbe::Answering),
            Kind::Queue => Probe::Queue(QueueProbe::Depth),
            Kind::Service => Probe::Docker(DockerProbe::Service),
            Kind::Engine => Probe::Docker(DockerProbe::Engine),
            Kind::Http => Probe::Http(HttpProbe::Get),
            Kind::Prometheus => Probe::Prometheus(PrometheusProbe::Ready),
            Kind::Rehearsal => Probe::Rehearsal(RehearsalProbe::Ledger),
        }
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
