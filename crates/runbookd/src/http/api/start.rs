//! What a person starts: a runbook, a dry run of one, a report in their own words; and the examination of everything. Thin:
//! the work stands in [`crate::commands`] and [`crate::doctor`], which the command line uses too. Deliberately no argument that
//! skips a gate.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use runbook::target::TargetId;
use serde::Deserialize;

use super::super::answer::{Problem, json as answer};
use super::{Answer, Api, parse};
use crate::commands::{self, CommandError, Report, Run};
use crate::doctor;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    runbook: String,
    target: Option<TargetId>,
    by: String,
    /// Looks and decides, and changes nothing.
    #[serde(default)]
    dry_run: bool,
}

pub(super) async fn run(State(api): State<Api>, body: Bytes) -> Answer {
    let wanted: Wanted = parse(&body)?;
    let run = Run { runbook: wanted.runbook, target: wanted.target, by: wanted.by };
    if wanted.dry_run {
        return Ok(answer(&commands::dry_run(&api.daemon, &run).await?));
    }
    Ok(answer(&commands::run(&api.daemon, &run).await?))
}

pub(super) async fn report(State(api): State<Api>, body: Bytes) -> Answer {
    let report: Report = parse(&body)?;
    Ok(answer(&commands::report(&api.daemon, &report).await?))
}

pub(super) async fn examine(State(api): State<Api>) -> Answer {
    Ok(answer(&doctor::examine(&api.daemon).await))
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Wrong(because) => Problem::bad(because.why, because.mend),
            CommandError::Absent(because) => Problem::absent(because.why, because.mend),
            CommandError::Refused(because) => Problem::new(StatusCode::CONFLICT, because.why, because.mend),
            CommandError::Failed(error) => Problem::from(error),
        }
    }
}
