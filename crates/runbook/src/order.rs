//! An exact order: this action, on this target, for these identities. Why apart from the action: a runbook says "idle
//! sessions", an order says which. Choosing them, and judging by a look whether the order landed, are pure and stand here.
//! Deliberately no authority: an order is only a wish until a permit carries it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::action::{Action, IdleState, PostgresAction, TerminateIdle};
use crate::condition::Value;
use crate::finding::{Finding, Findings, Seen, Subject};
use crate::identity::{Identity, Selection};
use crate::probe::{PostgresProbe, Probe, RehearsalProbe};
use crate::target::TargetId;

/// What an order is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// To do a step.
    Do,
    /// To take a landed step back.
    Undo,
    /// To end an effect that lasts.
    End,
}

/// This action, on this target, for these identities.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Order {
    /// Do, undo or end.
    pub purpose: Purpose,
    /// The action with its parameters.
    pub action: Action,
    /// The target; in the inventory when the order was made.
    pub target: TargetId,
    /// Exactly these; may shrink at the last look before the act, never grow.
    pub selection: Selection,
}

/// What a look says about whether an order landed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The effect is there.
    Landed(String),
    /// Some of it is there. Counts only after the order's deadline and grace, and then as landed: verification judges.
    Partly(String),
    /// The effect is not there. Concluded only after the order's deadline and grace.
    NotLanded(String),
    /// The look could not tell.
    Unknowable(String),
}

/// Why nothing was selected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NoSelection {
    /// The look that it selects from could not see.
    Unseen(String),
    /// The look saw, and there is nothing that may be touched.
    Nothing(String),
}

impl Action {
    /// Chooses concrete identities among what was seen.
    ///
    /// # Errors
    /// [`NoSelection`], with the reason: unseen is not the same as nothing.
    pub fn select(&self, findings: &Findings) -> Result<Selection, NoSelection> {
        let from = self.facts().selects_from;
        let finding = findings
            .looks
            .values()
            .find(|finding| finding.probe == from)
            .ok_or_else(|| NoSelection::Unseen(format!("the runbook does not look at {from}, which {self} selects from")))?;
        if let Seen::Unknown(why) = &finding.seen {
            return Err(NoSelection::Unseen(why.clone()));
        }
        match self {
            Action::Postgres(PostgresAction::TerminateIdle(terminate)) => idle_sessions(terminate, finding),
            Action::Rehearsal(rehearsal) => {
                Selection::of([Identity::Rehearsal(rehearsal.key.clone())]).map_err(|e| NoSelection::Nothing(e.to_string()))
            }
        }
    }
}

/// Application names of backup tools; their sessions are never ended.
const BACKUPS: [&str; 7] = ["pg_dump", "pg_dumpall", "pg_basebackup", "pgbackrest", "barman", "wal-g", "pg_receivewal"];

/// The application name under which runbookd itself connects.
pub const OWN_APPLICATION: &str = "runbookd";

/// Whether a session may be ended at all, whatever a runbook says.
fn is_sacred(subject: &Subject) -> bool {
    let text = |name: &str| match subject.attributes.get(name) {
        Some(Value::Text(text)) => text.to_ascii_lowercase(),
        _ => String::new(),
    };
    let application = text("application");
    application.starts_with(OWN_APPLICATION)
        || BACKUPS.iter().any(|name| application.starts_with(name))
        || text("user").contains("backup")
        || text("backend_type") != "client backend"
        || !matches!(subject.attributes.get("replication"), Some(Value::Flag(false)))
}

fn is_excluded(subject: &Subject, never: &[String]) -> bool {
    never.iter().any(|rule| {
        let (attribute, wanted) = match rule.split_once(':') {
            Some(("user", name)) => ("user", name),
            Some(("application", name)) => ("application", name),
            // `backup` and `replication` are covered by what is sacred; `check` refuses any other word.
            _ => return false,
        };
        matches!(subject.attributes.get(attribute), Some(Value::Text(text)) if text == wanted)
    })
}

fn idle_sessions(terminate: &TerminateIdle, finding: &Finding) -> Result<Selection, NoSelection> {
    let seconds = |subject: &Subject| match subject.attributes.get("idle_seconds") {
        Some(Value::Number(seconds)) if seconds.is_finite() => Some(*seconds),
        _ => None,
    };
    let state = |subject: &Subject| match subject.attributes.get("state") {
        Some(Value::Text(state)) if state == "idle" => Some(IdleState::Idle),
        Some(Value::Text(state)) if state.starts_with("idle in transaction") => Some(IdleState::IdleInTransaction),
        _ => None,
    };
    let mut idle: Vec<(f64, &Subject)> = finding
        .subjects()
        .iter()
        .filter(|subject| state(subject).is_some_and(|state| terminate.states.contains(&state)))
        .filter(|subject| !is_sacred(subject) && !is_excluded(subject, &terminate.never))
        .filter_map(|subject| seconds(subject).map(|seconds| (seconds, subject)))
        .filter(|(seconds, _)| *seconds >= terminate.idle_for.duration().as_secs_f64())
        .collect();
    idle.sort_by(|(a, x), (b, y)| b.total_cmp(a).then_with(|| x.identity.cmp(&y.identity)));
    let may_go = idle.len().saturating_sub(terminate.keep as usize).min(terminate.at_most as usize);
    Selection::of(idle.iter().take(may_go).map(|(_, subject)| subject.identity.clone())).map_err(|_| {
        NoSelection::Nothing(format!(
            "{} sessions are idle for {} or longer and may be ended, and {} are to be kept",
            idle.len(),
            terminate.idle_for,
            terminate.keep
        ))
    })
}

impl Order {
    /// The look that settles whether this order landed.
    pub fn settling_look(&self) -> Probe {
        match &self.action {
            Action::Postgres(PostgresAction::TerminateIdle(_)) => {
                Probe::Postgres(PostgresProbe::Alive(self.selection.iter().cloned().collect()))
            }
            Action::Rehearsal(_) => Probe::Rehearsal(RehearsalProbe::Ledger),
        }
    }

    /// What that look says. *Not landed* here means "not there now"; the state machine lets it count only after the deadline.
    pub fn verdict(&self, finding: &Finding) -> Verdict {
        if let Some(why) = finding.unknown() {
            return Verdict::Unknowable(why.to_owned());
        }
        match &self.action {
            Action::Postgres(PostgresAction::TerminateIdle(_)) => match finding.number("alive") {
                Some(alive) => {
                    let asked = self.selection.count();
                    let gone = asked.saturating_sub(alive.max(0.0) as usize);
                    match gone {
                        0 => Verdict::NotLanded(format!("none of {asked} sessions is gone")),
                        gone if gone == asked => Verdict::Landed(format!("{asked} of {asked} sessions are gone")),
                        gone => Verdict::Partly(format!("{gone} of {asked} sessions are gone, {alive} are still there")),
                    }
                }
                None => Verdict::Unknowable("the number of sessions still there is unknown".to_owned()),
            },
            Action::Rehearsal(rehearsal) => {
                let there = finding.subjects().iter().any(|s| s.identity == Identity::Rehearsal(rehearsal.key.clone()));
                match (self.purpose, there) {
                    (Purpose::Do, true) => Verdict::Landed(format!("{} is in the ledger", rehearsal.key)),
                    (Purpose::Do, false) => Verdict::NotLanded(format!("{} is not in the ledger", rehearsal.key)),
                    (_, false) => Verdict::Landed(format!("{} is no longer in force", rehearsal.key)),
                    (_, true) => Verdict::NotLanded(format!("{} is still in force", rehearsal.key)),
                }
            }
        }
    }

    /// What a person is shown before they agree: one line per identity, from what was seen.
    pub fn describe(&self, findings: &Findings) -> BTreeMap<Identity, String> {
        let seen: BTreeMap<_, _> =
            findings.looks.values().flat_map(Finding::subjects).map(|s| (s.identity.clone(), s.words.clone())).collect();
        self.selection
            .iter()
            .map(|identity| (identity.clone(), seen.get(identity).cloned().unwrap_or_else(|| identity.to_string())))
            .collect()
    }
}
