//! What was seen, and when. Unknown is a finding: a probe that cannot see says so, and nothing acts or closes on it.
//! The field tables here feed conditions, `check`, the schema, messages and documentation, so they cannot disagree.

mod attributes;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::condition::{Type, Value};
use crate::identity::Identity;
use crate::target::TargetId;
use crate::time::Stamp;

pub use attributes::{Attribute, Attributes};

/// The outcome of one look.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// The name of the probe, [`crate::probe::Probe::name`].
    pub probe: String,
    /// When the look was over.
    pub at: Stamp,
    /// What it saw.
    pub seen: Seen,
}

/// What a look saw, or why it could not see.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Seen {
    /// It saw.
    Known {
        /// The fields of the probe's table. A field that could not be had is `Value::Unknown`.
        fields: BTreeMap<String, Value>,
        /// Concrete things that an action could select among.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        subjects: Vec<Subject>,
    },
    /// It could not see, and this is why.
    Unknown(String),
}

/// One concrete thing a look saw.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Subject {
    /// Who exactly.
    pub identity: Identity,
    /// What it is, in words for people; label-derived text is already inert.
    pub words: String,
    /// What selection goes by, for example `state`, `idle_seconds`, `application`, `user`.
    pub attributes: Attributes,
}

impl Finding {
    /// The value of a field: unknown when the look failed or has no such field.
    pub fn field(&self, name: &str) -> Value {
        match &self.seen {
            Seen::Known { fields, .. } => {
                fields.get(name).cloned().unwrap_or_else(|| Value::Unknown(format!("{} has no field {name}", self.probe)))
            }
            Seen::Unknown(why) => Value::Unknown(why.clone()),
        }
    }

    /// A field that is a number, if it is known.
    pub fn number(&self, name: &str) -> Option<f64> {
        match self.field(name) {
            Value::Number(number) => Some(number),
            _ => None,
        }
    }

    /// The things an action could select among; none when the look failed.
    pub fn subjects(&self) -> &[Subject] {
        match &self.seen {
            Seen::Known { subjects, .. } => subjects,
            Seen::Unknown(_) => &[],
        }
    }

    /// The same without the things that an action could select among.
    #[must_use]
    pub fn without_subjects(mut self) -> Self {
        if let Seen::Known { subjects, .. } = &mut self.seen {
            subjects.clear();
        }
        self
    }

    /// Why nothing could be seen, if nothing could.
    pub fn unknown(&self) -> Option<&str> {
        match &self.seen {
            Seen::Known { .. } => None,
            Seen::Unknown(why) => Some(why),
        }
    }
}

/// Everything one round of looking found, by the runbook's own names for its looks.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Findings {
    /// Finding by name of the look.
    pub looks: BTreeMap<String, Finding>,
    /// What the targets beside it are like, which no runbook names and no condition can: what its own rest on, and what rests
    /// on what it would restart. Always the usual look of their kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub beside: BTreeMap<TargetId, Finding>,
}

impl Findings {
    /// The values conditions see, keyed `look.field`, with every field of the table present: what was not seen is unknown.
    pub fn value(&self, path: &str) -> Value {
        let Some((look, field)) = path.split_once('.') else {
            return Value::Unknown(format!("`{path}` names no look and field"));
        };
        match self.looks.get(look) {
            Some(finding) => finding.field(field),
            None => Value::Unknown(format!("nothing was looked at under the name `{look}`")),
        }
    }

    /// When the oldest look was over.
    pub fn oldest(&self) -> Option<Stamp> {
        self.looks.values().chain(self.beside.values()).map(|finding| finding.at).min()
    }
}

impl crate::condition::Scope for Findings {
    fn get(&self, path: &str) -> Value {
        self.value(path)
    }
}

/// One field of a finding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Field {
    /// Its name in conditions.
    pub name: &'static str,
    /// Its type.
    pub kind: Type,
    /// Its unit, or nothing.
    pub unit: &'static str,
    /// What it means, in a sentence.
    pub means: &'static str,
}

const fn number(name: &'static str, unit: &'static str, means: &'static str) -> Field {
    Field { name, kind: Type::Number, unit, means }
}

const fn flag(name: &'static str, means: &'static str) -> Field {
    Field { name, kind: Type::Flag, unit: "", means }
}

const fn text(name: &'static str, means: &'static str) -> Field {
    Field { name, kind: Type::Text, unit: "", means }
}

/// The table of fields of a probe by its name; empty for a name that no probe has.
pub fn fields(probe: &str) -> &'static [Field] {
    match probe {
        "postgres.answering" => {
            const {
                &[
                    flag("answering", "A real login worked."),
                    flag("full", "Every slot is taken (SQLSTATE 53300): full, never down."),
                    text(
                        "reason",
                        "Why a login did not work: refused, no answer, starting, full, login refused, disk full, other.",
                    ),
                    flag("recovering", "The server is in recovery: a standby, or replaying its log."),
                ]
            }
        }
        "postgres.sessions" => {
            const {
                &[
                    number("total", "sessions", "Client sessions, of every user."),
                    number("max", "sessions", "max_connections."),
                    number("reserved", "sessions", "Slots that ordinary logins cannot have."),
                    number("used_ratio", "share", "total divided by max."),
                    number("active", "sessions", "Sessions running a statement."),
                    number("idle", "sessions", "Sessions in state idle for longer than idle_for."),
                    number(
                        "idle_in_transaction",
                        "sessions",
                        "Sessions idle in transaction, aborted ones included, for longer than idle_for.",
                    ),
                    number("idle_any", "sessions", "Sessions in any idle state, however short."),
                    text("top_application", "The application_name with most sessions."),
                    number("top_application_sessions", "sessions", "How many it has."),
                    flag("superuser_sessions", "A superuser owns some of the idle sessions."),
                    flag("backup_running", "A backup tool has a session, or a base backup is being sent."),
                ]
            }
        }
        "postgres.alive" => const { &[number("alive", "sessions", "How many of the asked-for sessions still exist.")] },
        "redis.answering" => {
            const {
                &[
                    flag("answering", "PING was answered."),
                    number("ping_seconds", "seconds", "The median of five timed PINGs."),
                    text("role", "master or slave, as INFO replication has it."),
                    flag("loading", "The server is loading its data set."),
                ]
            }
        }
        "redis.memory" => {
            const {
                &[
                    number("used_bytes", "bytes", "used_memory."),
                    number("max_bytes", "bytes", "maxmemory; 0 is no limit."),
                    number("used_ratio", "share", "used divided by max; unknown without a limit."),
                    number("rss_bytes", "bytes", "used_memory_rss."),
                    number("fragmentation", "ratio", "mem_fragmentation_ratio."),
                    text("policy", "maxmemory_policy."),
                    number("evicted", "keys", "evicted_keys since start."),
                    number("clients", "clients", "connected_clients."),
                    text("role", "master or slave."),
                ]
            }
        }
        "rabbitmq.answering" => {
            const {
                &[
                    flag("amqp", "An AMQP login worked."),
                    flag("management", "The management API answered."),
                    flag("alarm", "A memory or disk alarm is in force: publishers are blocked."),
                    number("messages", "messages", "Ready and unacknowledged messages of the virtual host."),
                    number("connections", "connections", "Open connections."),
                    text("version", "The broker's version."),
                ]
            }
        }
        "queue.depth" => {
            const {
                &[
                    number("ready", "messages", "Messages ready for delivery."),
                    number("unacknowledged", "messages", "Messages delivered and not acknowledged."),
                    number("messages", "messages", "Both together."),
                    number("consumers", "consumers", "Consumers by the management API."),
                    number("amqp_ready", "messages", "Ready messages by AMQP; 0 from a quorum queue may mean unknown."),
                    text("state", "The queue's state."),
                ]
            }
        }
        "queue.progress" => {
            const {
                &[
                    number("messages", "messages", "Ready and unacknowledged, at the last sample."),
                    number("waiting_all_along", "messages", "The fewest there were at any sample."),
                    number("acknowledged", "messages", "Acknowledged between the first and the last sample."),
                    number("published", "messages", "Published between the first and the last sample."),
                    number("samples", "samples", "How many samples the broker has of the last minute."),
                    number("seconds", "seconds", "What time they span."),
                    number("consumers", "consumers", "Consumers of the queue."),
                    flag("stalled", "Messages were there all along and none was acknowledged."),
                ]
            }
        }
        "docker.engine" => {
            const {
                &[
                    flag("answering", "The Engine answered."),
                    text("version", "The Engine's version."),
                    number("containers", "containers", "Containers of any state."),
                ]
            }
        }
        "docker.service" => {
            const {
                &[
                    number("replicas", "containers", "Containers of the service, in any state."),
                    number("running", "containers", "Running ones."),
                    number("healthy", "containers", "Running ones whose health check passes, or that have none."),
                    number("unhealthy", "containers", "Running ones whose health check fails."),
                    number("restarting", "containers", "Ones the Engine is restarting."),
                    number("exited", "containers", "Ones that have exited."),
                    number("restarts", "restarts", "The highest restart count."),
                    flag("oom_killed", "One that is down, or that the Engine had to start again, was killed for want of memory."),
                    number("exit_code", "code", "The highest exit code of those that have exited; 0 where none has."),
                    number(
                        "failing",
                        "containers",
                        "Unhealthy ones, and those that are down and not meant to be: they crashed, or could not be started.",
                    ),
                    number("clones", "containers", "Those that runbookd added and will take away."),
                    number("stopped_by_person", "containers", "Exited ones that their restart policy would have started."),
                    number("youngest_seconds", "seconds", "For how long the last one to start has run; unknown where none runs."),
                ]
            }
        }
        "docker.logs" => {
            const {
                &[
                    number("lines", "lines", "Lines looked at, of all replicas."),
                    number("matching", "lines", "Those that the pattern matches."),
                    number("errors", "lines", "Those that name an error, a traceback or a fatal condition."),
                    flag("cut", "There were more lines than were looked at."),
                ]
            }
        }
        "docker.stats" => {
            const {
                &[
                    number("memory_bytes", "bytes", "The most memory a replica uses, without its page cache."),
                    number("memory_ratio", "share", "The highest share of its own limit; unknown where one has no limit."),
                    number("cpu_share", "share", "The highest share of its own CPU limit, or of the host without one."),
                    number("sampled", "containers", "Replicas that were measured."),
                ]
            }
        }
        "docker.top" => {
            const {
                &[
                    number("processes", "processes", "All of them."),
                    number("stopped", "processes", "Stopped ones (state T)."),
                    number("zombies", "processes", "Ones that nobody has reaped (state Z)."),
                    number("blocked", "processes", "Ones in uninterruptible sleep (state D)."),
                    number("largest_bytes", "bytes", "The largest resident set of one."),
                ]
            }
        }
        "docker.exec_look" => {
            const {
                &[
                    flag("ok", "The command ran and found what it looks for."),
                    number("exit_code", "code", "Its exit code."),
                    number("used_ratio", "share", "For disk_free: how full the file system is."),
                    number("free_bytes", "bytes", "For disk_free: what is left of it."),
                ]
            }
        }
        "docker.settings" => const { &[flag("in_file", "The service's env_file has each of the asked-for values.")] },
        "http.get" => {
            const {
                &[
                    flag("answering", "An answer came."),
                    number("status", "code", "The HTTP status."),
                    flag("expected", "The status is the one the inventory expects."),
                    number("seconds", "seconds", "From the request to the end of the answer."),
                ]
            }
        }
        "prometheus.ready" => const { &[flag("ready", "It says that it is ready.")] },
        "prometheus.query" => const { &[number("value", "", "The single value; unknown for no data or several.")] },
        "rehearsal.ledger" => {
            const {
                &[
                    flag("broken", "The rehearsed fault is there."),
                    number("effects", "effects", "Effects that the ledger holds and nothing undid."),
                ]
            }
        }
        _ => &[],
    }
}
