//! Every way of acting, as a closed list, with one pure table of facts. Why a table: later rules (budgets, evidence, feedback
//! loops, privileges) read it instead of touching every place. Deliberately nothing here acts; the crate `action` does, and
//! only with a committed permit.

mod docker;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::target::Kind;
use crate::time::Span;

pub use docker::{DockerAction, Exec, Patience, Recreate, Restart, Scale, Start};

/// A change to a target, as a runbook declares it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Action {
    /// Changes to PostgreSQL.
    Postgres(PostgresAction),
    /// Changes to containers of a Compose service.
    Docker(DockerAction),
    /// A line in a rehearsal's ledger; refused in default builds.
    Rehearsal(RehearsalAction),
}

/// Changes to PostgreSQL.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum PostgresAction {
    /// End sessions that sit idle.
    TerminateIdle(TerminateIdle),
}

/// The idle states of a session that can be asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IdleState {
    /// Waiting for a statement, outside a transaction.
    Idle,
    /// Waiting inside an open transaction (aborted ones included): holds locks and the oldest snapshot.
    IdleInTransaction,
}

/// Parameters of `postgres.terminate_idle`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TerminateIdle {
    /// Only sessions whose state has not changed for this long (`state_change`, not `query_start`).
    pub idle_for: Span,
    /// At most this many in one act, oldest first.
    pub at_most: u32,
    /// This many of the idle ones are left, the youngest: a pool may want them back at once.
    #[serde(default)]
    pub keep: u32,
    /// Which idle states; both by default.
    #[serde(default = "both_idle_states")]
    pub states: Vec<IdleState>,
    /// Never these, besides replication, backups and runbookd's own, which are never ended anyhow:
    /// `user:NAME` or `application:NAME`. The words `backup` and `replication` may be said aloud.
    #[serde(default)]
    pub never: Vec<String>,
}

fn both_idle_states() -> Vec<IdleState> {
    vec![IdleState::Idle, IdleState::IdleInTransaction]
}

/// What a rehearsed action is like; every property that the state machine must handle can be chosen.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RehearsalAction {
    /// The ledger key of the effect.
    pub key: String,
    /// It can be undone.
    #[serde(default)]
    pub undo: bool,
    /// Its effect has an end.
    #[serde(default)]
    pub lasting: bool,
    /// It destroys data, so its capture must be complete.
    #[serde(default)]
    pub destroys_data: bool,
    /// The rehearsed world makes this effect fail to land.
    #[serde(default)]
    pub fails: bool,
    /// The rehearsed world makes its undo fail to land.
    #[serde(default)]
    pub undo_fails: bool,
    /// More keys, one after the other, each with a look and a decision of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub then: Vec<String>,
    /// Half of it is worse than nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub whole: bool,
    /// What it keeps in reserve is given up once the cure is proved.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub until_proved: bool,
}

/// What a step takes away for good.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Destroys {
    /// Nothing that anybody could miss.
    Nothing,
    /// Traces of what went wrong: capture is tried to its deadline.
    Traces,
    /// Data: capture must be complete, or there is no permit.
    Data,
}

/// Whether an effect stays in force and has an end of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lasts {
    /// It is over as soon as it has landed; nothing is to be ended.
    No,
    /// Until the step's own condition comes true, or its longest time is over.
    UntilCondition,
    /// Until the remedy's verification has held: then what was kept in reserve is given up.
    UntilProved,
}

/// What is always true of an action, whatever runbook uses it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    /// The name in runbooks.
    pub name: &'static str,
    /// The kind of target it is for.
    pub kind: Kind,
    /// The probe whose subjects it selects among.
    pub selects_from: &'static str,
    /// What it destroys, and so what evidence it needs before.
    pub destroys: Destroys,
    /// It can be undone.
    pub undo: bool,
    /// Whether its effect lasts and has an end of its own.
    pub lasts: Lasts,
    /// One order is for one thing, and the step is looked at and decided on again until nothing is left to do.
    pub one_at_a_time: bool,
    /// Half of it is worse than nothing: what landed only partly is taken back at once.
    pub whole: bool,
    /// Whether it costs of the budget of disruption.
    pub disruptive: bool,
    /// Whom it disturbs, in words for people.
    pub disturbs: &'static str,
    /// Alerts it may raise itself.
    pub may_raise: &'static [&'static str],
    /// The privilege it needs on the target.
    pub privilege: &'static str,
    /// One call, one deadline.
    pub deadline: Duration,
    /// How long after the deadline an abandoned call may still land, and what landed may still take to be well.
    pub grace: Duration,
    /// The same two for taking it back or ending it.
    pub back: (Duration, Duration),
}

impl Facts {
    /// Whether its effect has an end of its own.
    pub fn has_an_end(&self) -> bool {
        self.lasts != Lasts::No
    }
}

impl Action {
    /// The table of facts.
    pub fn facts(&self) -> Facts {
        match self {
            Action::Postgres(PostgresAction::TerminateIdle(_)) => Facts {
                name: "postgres.terminate_idle",
                kind: Kind::Postgres,
                selects_from: "postgres.sessions",
                destroys: Destroys::Traces,
                undo: false,
                lasts: Lasts::No,
                one_at_a_time: false,
                whole: false,
                disruptive: true,
                disturbs: "clients whose idle sessions are ended get error 57P01 on their next statement and connect again",
                may_raise: &["BackendErrors", "LowSuccessRate"],
                privilege: "pg_read_all_stats and pg_signal_backend, or EXECUTE on runbookd.terminate_idle_session",
                deadline: Duration::from_secs(10),
                grace: Duration::from_secs(5),
                back: (Duration::from_secs(10), Duration::from_secs(5)),
            },
            Action::Docker(docker) => docker.facts(),
            Action::Rehearsal(rehearsal) => Facts {
                name: "rehearsal.effect",
                kind: Kind::Rehearsal,
                selects_from: "rehearsal.ledger",
                destroys: if rehearsal.destroys_data { Destroys::Data } else { Destroys::Nothing },
                undo: rehearsal.undo,
                lasts: match (rehearsal.until_proved, rehearsal.lasting) {
                    (true, _) => Lasts::UntilProved,
                    (false, true) => Lasts::UntilCondition,
                    (false, false) => Lasts::No,
                },
                one_at_a_time: !rehearsal.then.is_empty(),
                whole: rehearsal.whole,
                disruptive: true,
                disturbs: "nobody",
                may_raise: &[],
                privilege: "write access to the ledger",
                deadline: Duration::from_secs(5),
                grace: Duration::from_secs(2),
                back: (Duration::from_secs(5), Duration::from_secs(2)),
            },
        }
    }

    /// What it changes or runs, beyond its name, in a few words; none where the name and what is selected say it all.
    pub fn details(&self) -> Option<String> {
        match self {
            Action::Docker(docker) => docker.details(),
            Action::Postgres(_) | Action::Rehearsal(_) => None,
        }
    }

    /// The most things it may touch in one act, as far as it says so.
    pub fn cap(&self) -> u32 {
        match self {
            Action::Postgres(PostgresAction::TerminateIdle(terminate)) => terminate.at_most,
            Action::Docker(docker) => docker.cap(),
            Action::Rehearsal(_) => 1,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.facts().name)
    }
}
