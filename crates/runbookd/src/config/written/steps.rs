//! Looks and actions as they are written: each is one word, or a map of one word to its parameters. Why one enum each: the
//! list of words, their parameters, the schema and the mend for a misspelt one all come from it. Keys that do not depend on
//! the word (`target`, `until`, `at_most_for`) stand among the parameters and are read apart.

use std::collections::BTreeMap;

use runbook::Span;
use runbook::action::{IdleState, RehearsalAction};
use runbook::probe::{Logs, Progress, Query, Sessions};
use runbook::target::TargetId;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::schema;
use crate::config::yaml::{Entries, Placed};

/// The keys that every look has.
pub const LOOK_KEYS: [&str; 1] = ["target"];
/// The keys that every step has.
pub const STEP_KEYS: [&str; 5] = ["target", "until", "at_most_for", "while", "silence"];

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
    /// Whether messages are being worked off: acknowledgements over the broker's samples of the last minute, or of as long as said.
    #[serde(rename = "queue.progress")]
    QueueProgress(Progress),
    /// Whether the Engine answers, and its version.
    #[serde(rename = "docker.engine")]
    DockerEngine(Nothing),
    /// The replicas of a service.
    #[serde(rename = "docker.service")]
    DockerService(Nothing),
    /// Lines of their logs, counted.
    #[serde(rename = "docker.logs")]
    DockerLogs(Logs),
    /// Memory and CPU, as shares of the limit.
    #[serde(rename = "docker.stats")]
    DockerStats(Nothing),
    /// Processes, by state and size.
    #[serde(rename = "docker.top")]
    DockerTop(Nothing),
    /// A read-only command from a closed list, run inside a replica.
    #[serde(rename = "docker.exec_look")]
    DockerInside(WrittenInside),
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
    /// Restart the failing replicas, one at a time.
    #[serde(rename = "docker.restart")]
    DockerRestart(WrittenRestart),
    /// Restart every replica, one at a time.
    #[serde(rename = "docker.rolling_restart")]
    DockerRollingRestart(WrittenRestart),
    /// More replicas for a while: clones of a running one, taken away again.
    #[serde(rename = "docker.scale")]
    DockerScale(WrittenScale),
    /// Replace the container by one with changed settings; the old one is kept until the new one is proved.
    #[serde(rename = "docker.recreate")]
    DockerRecreate(WrittenRecreate),
    /// Start what stays exited; always asks where somebody stopped it.
    #[serde(rename = "docker.start")]
    DockerStart(WrittenStart),
    /// Run a command of the target's `commands` inside a replica.
    #[serde(rename = "docker.exec")]
    DockerExec(WrittenExec),
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

/// Parameters of `docker.exec_look`: exactly one of these.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenInside {
    /// How full the file system of this absolute path is, as the container sees it.
    pub disk_free: Option<Placed<String>>,
    /// Whether the broker at the address in this environment variable takes a connection from inside the container.
    pub broker_reachable: Option<Placed<String>>,
}

/// Parameters of `docker.restart` and `docker.rolling_restart`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenRestart {
    /// Never fewer healthy replicas than this because of a restart. 0 is for a service with one replica, and then the step is
    /// permitted only while that replica is seen failing in two looks.
    pub min_healthy: Placed<u32>,
    /// How long the container has to stop by itself: 10s where nothing is said.
    pub stop_timeout: Option<Placed<Span>>,
    /// Its health check must pass within this time: 60s where nothing is said.
    pub healthy_within: Option<Placed<Span>>,
    /// Without a health check it must run this long without a restart: 10s where nothing is said.
    pub steady_for: Option<Placed<Span>>,
}

/// Parameters of `docker.scale`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenScale {
    /// So many replicas in all, as far as the target's `at_most` allows.
    pub to: Placed<u32>,
    /// How long a clone that goes has to finish its tasks; longer than the longest. It is never killed. 5m where nothing is said.
    pub stop_timeout: Option<Placed<Span>>,
    /// Its health check must pass within this time: 60s where nothing is said.
    pub healthy_within: Option<Placed<Span>>,
    /// Without a health check it must run this long without a restart: 10s where nothing is said.
    pub steady_for: Option<Placed<Span>>,
}

/// Parameters of `docker.recreate`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenRecreate {
    /// Settings and their new values; no secrets, for they would stand in the journal.
    #[schemars(with = "BTreeMap<String, String>")]
    pub set: Placed<Entries<Placed<String>>>,
    /// How long the old container has to stop by itself: 10s where nothing is said.
    pub stop_timeout: Option<Placed<Span>>,
    /// Its health check must pass within this time: 60s where nothing is said.
    pub healthy_within: Option<Placed<Span>>,
    /// Without a health check it must run this long without a restart: 10s where nothing is said.
    pub steady_for: Option<Placed<Span>>,
}

/// Parameters of `docker.start`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenStart {
    /// Its health check must pass within this time: 60s where nothing is said.
    pub healthy_within: Option<Placed<Span>>,
    /// Without a health check it must run this long without a restart: 10s where nothing is said.
    pub steady_for: Option<Placed<Span>>,
}

/// Parameters of `docker.exec`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenExec {
    /// The name of a command in the target's `commands`.
    pub run: Placed<String>,
    /// It must be over within this time: 10s where nothing is said.
    pub within: Option<Placed<Span>>,
}

/// One alert, by its labels.
pub type WrittenLabels = Entries<Placed<String>>;
/// Alerts that a step raises by itself.
pub type WrittenSilence = Placed<Vec<Placed<WrittenLabels>>>;

/// What every step may say, whatever its action.
#[derive(Deserialize, JsonSchema)]
pub struct WrittenStepKeys {
    /// The target, where it is not the runbook's own.
    pub target: Option<Placed<TargetId>>,
    /// For an effect that lasts: the condition on which it is ended.
    pub until: Option<Placed<String>>,
    /// For an effect that lasts: when it is ended at the latest.
    pub at_most_for: Option<Placed<Span>>,
    /// Permitted only while this condition is seen to hold, in two looks one after the other.
    #[serde(rename = "while")]
    pub only_while: Option<Placed<String>>,
    /// Alerts that the step raises by itself, each by `alertname` and at least one more label, all equal to what stands here. They are
    /// silenced in Alertmanager from right before the act until its deadline, and never where one fires already. A value
    /// `labels.NAME` is that of the alert, where the target is looked up by that label.
    #[schemars(with = "Option<Vec<BTreeMap<String, String>>>")]
    pub silence: Option<WrittenSilence>,
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
