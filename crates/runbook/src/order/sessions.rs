//! Which idle sessions of a PostgreSQL may be ended: oldest first, capped, the youngest kept, and never those that are sacred
//! whatever a runbook says. Deliberately by what was seen alone; the server checks each again in the moment of the act.

use crate::action::{IdleState, TerminateIdle};
use crate::condition::Value;
use crate::finding::{Attribute, Finding, Subject};
use crate::identity::{Identity, Selection};
use crate::order::NoSelection;

/// How the application names of backup tools begin; their sessions are never ended, and while one runs nothing under the
/// database is restarted.
pub const BACKUPS: [&str; 7] = ["pg_dump", "pg_dumpall", "pg_basebackup", "pgbackrest", "barman", "wal-g", "pg_receivewal"];

/// The application name under which runbookd itself connects.
pub const OWN_APPLICATION: &str = "runbookd";

/// What selection goes by, read off a session in one pass: servers have hundreds of them, and each is asked at each decision.
#[derive(Default)]
struct Session<'a> {
    state: &'a str,
    application: &'a str,
    user: &'a str,
    backend_type: &'a str,
    /// None where it is not known, which is not the same as for no time at all.
    idle_seconds: Option<f64>,
    /// Where it is not known, it may be one.
    replication: Option<bool>,
}

impl<'a> Session<'a> {
    fn of(subject: &'a Subject) -> Self {
        let mut session = Self::default();
        for (attribute, value) in subject.attributes.iter() {
            match (attribute, value) {
                (Attribute::State, Value::Text(text)) => session.state = text,
                (Attribute::Application, Value::Text(text)) => session.application = text,
                (Attribute::User, Value::Text(text)) => session.user = text,
                (Attribute::BackendType, Value::Text(text)) => session.backend_type = text,
                (Attribute::IdleSeconds, Value::Number(seconds)) if seconds.is_finite() => session.idle_seconds = Some(*seconds),
                (Attribute::Replication, Value::Flag(replicates)) => session.replication = Some(*replicates),
                _ => {}
            }
        }
        session
    }

    fn idle_state(&self) -> Option<IdleState> {
        match self.state {
            "idle" => Some(IdleState::Idle),
            state if state.starts_with("idle in transaction") => Some(IdleState::IdleInTransaction),
            _ => None,
        }
    }

    /// Whether it may not be ended at all, whatever a runbook says.
    fn is_sacred(&self) -> bool {
        begins(self.application, OWN_APPLICATION)
            || BACKUPS.iter().any(|name| begins(self.application, name))
            || has(self.user, "backup")
            || !self.backend_type.eq_ignore_ascii_case("client backend")
            || self.replication != Some(false)
    }

    fn is_excluded(&self, never: &[Never<'_>]) -> bool {
        never.iter().any(|rule| match rule {
            Never::User(name) => self.user == *name,
            Never::Application(name) => self.application == *name,
        })
    }
}

/// Whose sessions a runbook leaves alone.
enum Never<'a> {
    User(&'a str),
    Application(&'a str),
}

impl<'a> Never<'a> {
    /// None for `backup` and `replication`, which are covered by what is sacred; `check` refuses any other word.
    fn read(rule: &'a str) -> Option<Self> {
        match rule.split_once(':')? {
            ("user", name) => Some(Never::User(name)),
            ("application", name) => Some(Never::Application(name)),
            _ => None,
        }
    }
}

// Both whatever the case, and without a copy of the text.
fn begins(text: &str, with: &str) -> bool {
    text.as_bytes().get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()))
}

fn has(text: &str, word: &str) -> bool {
    text.as_bytes().windows(word.len()).any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
}

pub(super) fn idle(terminate: &TerminateIdle, finding: &Finding) -> Result<Selection, NoSelection> {
    let idle_for = terminate.idle_for.duration().as_secs_f64();
    let never: Vec<_> = terminate.never.iter().filter_map(|rule| Never::read(rule)).collect();
    let may_end = |session: &Session<'_>| {
        session.idle_state().is_some_and(|state| terminate.states.contains(&state))
            && !session.is_sacred()
            && !session.is_excluded(&never)
    };
    let subjects = finding.subjects();
    let mut idle: Vec<(f64, &Identity)> = Vec::with_capacity(subjects.len());
    for subject in subjects {
        let session = Session::of(subject);
        if let Some(seconds) = session.idle_seconds.filter(|seconds| *seconds >= idle_for)
            && may_end(&session)
        {
            idle.push((seconds, &subject.identity));
        }
    }
    idle.sort_unstable_by(|(a, x), (b, y)| b.total_cmp(a).then_with(|| x.cmp(y)));
    let may_go = idle.len().saturating_sub(terminate.keep as usize).min(terminate.at_most as usize);
    Selection::of(idle.iter().take(may_go).map(|(_, identity)| (*identity).clone())).map_err(|_| {
        NoSelection::Nothing(format!(
            "{} sessions are idle for {} or longer and may be ended, and {} are to be kept",
            idle.len(),
            terminate.idle_for,
            terminate.keep
        ))
    })
}
