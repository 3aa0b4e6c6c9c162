//! Which idle sessions of a PostgreSQL may be ended: oldest first, capped, the youngest kept, and never those that are sacred
//! whatever a runbook says. Deliberately by what was seen alone; the server checks each again in the moment of the act.

use crate::action::{IdleState, TerminateIdle};
use crate::condition::Value;
use crate::finding::{Finding, Subject};
use crate::identity::Selection;
use crate::order::NoSelection;

/// How the application names of backup tools begin; their sessions are never ended, and while one runs nothing under the
/// database is restarted.
pub const BACKUPS: [&str; 7] = ["pg_dump", "pg_dumpall", "pg_basebackup", "pgbackrest", "barman", "wal-g", "pg_receivewal"];

/// The application name under which runbookd itself connects.
pub const OWN_APPLICATION: &str = "runbookd";

/// Whether a session may be ended at all, whatever a runbook says.
fn is_sacred(subject: &Subject) -> bool {
    let text = |name: &str| match subject.attributes.get(name) {
        Some(Value::Text(text)) => text.as_str(),
        _ => "",
    };
    let application = text("application");
    begins(application, OWN_APPLICATION)
        || BACKUPS.iter().any(|name| begins(application, name))
        || has(text("user"), "backup")
        || !text("backend_type").eq_ignore_ascii_case("client backend")
        || !matches!(subject.attributes.get("replication"), Some(Value::Flag(false)))
}

// Both whatever the case, and without a copy of the text: each of hundreds of sessions is asked each time.
fn begins(text: &str, with: &str) -> bool {
    text.as_bytes().get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()))
}

fn has(text: &str, word: &str) -> bool {
    text.as_bytes().windows(word.len()).any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
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

pub(super) fn idle(terminate: &TerminateIdle, finding: &Finding) -> Result<Selection, NoSelection> {
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
