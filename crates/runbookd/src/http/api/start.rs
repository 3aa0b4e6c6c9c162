//! What a person starts: a runbook, a dry run of one, a report in their own words; and the examination of everything. Thin:
//! the work stands in [`crate::commands`] and [`crate::doctor`], which the command line uses too. Deliberately no argument that
//! skips a gate.

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use runbook::target::TargetId;
use serde::Deserialize;

use super::super::access::Recognised;
use super::super::answer::{Problem, json as answer};
use super::{Answer, Api, caller, parse};
use crate::commands::{self, CommandError, Report, Run};
use crate::doctor;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    runbook: String,
    target: Option<TargetId>,
    by: Option<String>,
    login: Option<String>,
    /// Looks and decides, and changes nothing.
    #[serde(default)]
    dry_run: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Seen {
    words: String,
    runbook: Option<String>,
    target: Option<TargetId>,
    by: Option<String>,
    login: Option<String>,
}

pub(super) async fn run(
    State(api): State<Api>,
    Extension(recognised): Extension<Recognised>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let wanted: Wanted = parse(&body)?;
    let by = (wanted.by.as_deref(), wanted.login.as_deref());
    let by = starter(&api, &recognised, &headers, by, wanted.dry_run).await?;
    let run = Run { runbook: wanted.runbook, target: wanted.target, by };
    if wanted.dry_run {
        return Ok(answer(&commands::dry_run(&api.daemon, &run).await?));
    }
    Ok(answer(&commands::run(&api.daemon, &run).await?))
}

pub(super) async fn report(
    State(api): State<Api>,
    Extension(recognised): Extension<Recognised>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let seen: Seen = parse(&body)?;
    let by = starter(&api, &recognised, &headers, (seen.by.as_deref(), seen.login.as_deref()), false).await?;
    let report = Report { words: seen.words, runbook: seen.runbook, target: seen.target, by };
    Ok(answer(&commands::report(&api.daemon, &report).await?))
}

/// Who starts something. Where nobody may agree to what they started themselves, it must be known who that was: otherwise one
/// person could start it under any name and agree to it under their own.
async fn starter(
    api: &Api,
    recognised: &Recognised,
    headers: &HeaderMap,
    (by, login): (Option<&str>, Option<&str>),
    only_rehearses: bool,
) -> Result<String, Problem> {
    let proved = caller::proved(api, recognised, headers).await?;
    let (name, proof) = caller::named(proved, by, login)?;
    let approval = api.daemon.current().configuration.approval.clone();
    if !only_rehearses && approval.proves_names() && !approval.self_approval && !proof.holds() {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            format!(
                "nothing proves that this is {name}, and who starts something must be known: they may not agree to it themselves"
            ),
            "show your own token: `--token-file FILE`, or the header X-Runbookd-Person; `approval: self_approval: true` would not ask",
        ));
    }
    Ok(name)
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
