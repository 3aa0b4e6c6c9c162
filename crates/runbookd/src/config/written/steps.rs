//! Looks and actions as they are written: each is one word, or a map of one word to its parameters. Why one enum each: the
//! list of words, their parameters, the schema and the mend for a misspelt one all come from it. Keys that do not depend on
//! the word (`target`, `until`, `at_most_for`) stand among the parameters and are read apart.

use runbook::Span;
use runbook::action::{IdleState, RehearsalAction};
use runbook::probe::{Query, Sessions};
use runbook::target::TargetId;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::schema;
use crate::config::yaml::Placed;

/// The keys that every look has.
pub const LOOK_KEYS: [&str; 1] = ["target"];
/// The keys that every step has.
pub const STEP_KEYS: [&str; 3] = ["target", "until", "at_most_for"];

/// No parameters.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// A look.
#[derive(Deserialize, JsonSchema)]
pub enum WrittenProbe {
    /// Whether a real login works, and if not, why: full is not down.
    #[serde(rename = "postgres.answering")]
    PostgresAnswering(Nothing),
    /// Sessions by state, and those idle for longer than given.
    #[serde(rename = "postgres.sessions")]
    PostgresSessions(Sessions),
    /// Timed PINGs and the server's role.
    #[serde(rename = "redis.answering")]
    RedisAnswering(Nothing),
    /// Memory, policy, evictions.
    #[serde(rename = "redis.memory")]
    RedisMemory(Nothing),
    /// Whether AMQP and the management API answer, with alarms and totals.
    #[serde(rename = "rabbitmq.answering")]
    RabbitmqAnswering(Nothing),
    /// Ready and unacknowledged messages, and consumers.
    #[serde(rename = "queue.depth")]
    QueueDepth(Nothing),
    /// Whether the Engine answers, and its version.
    #[serde(rename = "docker.engine")]
    DockerEngine(Nothing),
    /// The replicas of a service.
    #[serde(rename = "docker.service")]
    DockerService(Nothing),
    /// One GET: status and time.
    #[serde(rename = "http.get")]
    HttpGet(Nothing),
    /// Whether it is ready.
    #[serde(rename = "prometheus.ready")]
    PrometheusReady(Nothing),
    /// An instant query whose single value is wanted; no data is unknown.
    #[serde(rename = "prometheus.query")]
    PrometheusQuery(Query),
    /// A rehearsal's ledger.
    #[serde(rename = "rehearsal.ledger")]
    #[schemars(skip)]
    RehearsalLedger(Nothing),
}

/// An action.
#[derive(Deserialize, JsonSchema)]
pub enum WrittenAction {
    /// End sessions that sit idle, oldest first.
    #[serde(rename = "postgres.terminate_idle")]
    TerminateIdle(WrittenTerminateIdle),
    /// A line in a rehearsal's ledger.
    #[serde(rename = "rehearsal.effect")]
    #[schemars(skip)]
    Rehearsal(RehearsalAction),
}

/// Parameters of `postgres.terminate_idle`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenTerminateIdle {
    /// Only sessions whose state has not changed for this long.
    pub idle_for: Placed<Span>,
    /// At most this many in one act, oldest first.
    pub at_most: Placed<u32>,
    /// This many of the idle ones are left, the youngest. 0 where nothing is said.
    pub keep: Option<Placed<u32>>,
    /// Which idle states; both where nothing is said.
    pub states: Option<Placed<Vec<Placed<IdleState>>>>,
    /// Never these, besides replication, backups and runbookd's own, which are never ended anyhow: `user:NAME` or
    /// `application:NAME`. The words `backup` and `replication` may be said aloud.
    pub never: Option<Placed<Vec<Placed<String>>>>,
}

/// What every step may say, whatever its action.
#[derive(Deserialize, JsonSchema)]
pub struct WrittenStepKeys {
    /// The target, where it is not the runbook's own.
    pub target: Option<Placed<TargetId>>,
    /// For an effect that lasts: the condition on which it is ended.
    pub until: Option<Placed<String>>,
    /// For an effect that lasts: when it is ended at the latest.
    pub at_most_for: Option<Placed<Span>>,
}

/// What every look may say.
#[derive(Deserialize, JsonSchema)]
pub struct WrittenLookKeys {
    /// The target, where it is not the runbook's own.
    pub target: Option<Placed<TargetId>>,
}

/// The schema of a look: a word, or a map of one word to its parameters.
pub struct LookSchema;
/// The schema of a step: a map of one action to its parameters.
pub struct StepSchema;

impl JsonSchema for LookSchema {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Look".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schema::named_things::<WrittenProbe, WrittenLookKeys>(generator, true)
    }
}

impl JsonSchema for StepSchema {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Step".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schema::named_things::<WrittenAction, WrittenStepKeys>(generator, false)
    }
}
