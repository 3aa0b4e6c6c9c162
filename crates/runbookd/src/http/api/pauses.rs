//! Pauses: a person's stop for everything, a runbook or a target. It is on disk before it is acknowledged, and from then on no
//! act is admitted. Deliberately no pause without a reason, and none that could be lifted by not naming it exactly.

use ::journal::Scope;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use runbook::time::{Span, Stamp};
use serde::Deserialize;
use serde_json::json;

use super::super::answer::{Problem, json as answer};
use super::{Answer, Api, name, parse, words};

/// So many of those that were lifted are listed.
const LIFTED: u32 = 20;

pub(super) async fn list(State(api): State<Api>) -> Answer {
    let journal = &api.daemon.journal;
    let (pauses, lifted) = (journal.pauses(api.daemon.clock.now()).await?, journal.lifted_pauses(LIFTED).await?);
    Ok(answer(&json!({"pauses": pauses, "lifted": lifted})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// `all`, `runbook:NAME` or `target:KIND/NAME`.
    scope: String,
    reason: String,
    by: String,
    /// How long; without it, until it is lifted.
    #[serde(rename = "for")]
    lasts: Option<Span>,
}

pub(super) async fn pause(State(api): State<Api>, body: Bytes) -> Answer {
    let wanted: Wanted = parse(&body)?;
    let scope = known_scope(&api, &wanted.scope)?;
    let (reason, by) = (words("reason", &wanted.reason, false)?, name(&wanted.by)?);
    if wanted.lasts.is_some_and(|lasts| lasts.duration().is_zero()) {
        return Err(Problem::bad(
            "a pause of no length stops nothing",
            "write for example 2h, or leave `for` out: then it has no end",
        ));
    }
    let now = api.daemon.clock.now();
    let until: Option<Stamp> = wanted.lasts.map(|lasts| now.plus(lasts.duration()));
    let until = api.daemon.journal.pause(&scope, &reason, &by, now, until).await?;
    tracing::warn!(%scope, by = %runbook::text::inert(&by, 80), "paused");
    Ok(answer(&json!({"scope": scope, "until": until})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Lifts {
    by: String,
    /// What the pause file said that was removed with it.
    file: Option<String>,
}

pub(super) async fn resume(
    State(api): State<Api>,
    Path(scope): Path<String>,
    lifts: Result<Query<Lifts>, QueryRejection>,
) -> Answer {
    let Query(Lifts { by, file }) = lifts.map_err(|error| Problem::bad(error.body_text(), "write ?by=NAME: who lifts it"))?;
    let by = name(&by)?;
    // A pause for something that has left the configuration must still be lifted, so here the scope need not be known.
    let scope: Scope =
        scope.parse().map_err(|error: String| Problem::bad(error, "`runbookd pause --list` says what is paused"))?;
    let (journal, now) = (&api.daemon.journal, api.daemon.clock.now());
    let mut ended = journal.resume(&scope, &by, now).await?;
    if let Some(said) = file.filter(|_| scope == Scope::All) {
        journal.pause_file_removed(&runbook::text::inert(&said, 200), &by, now).await?;
        ended = true;
    }
    // Not whether a file can be opened under that name: a link into nowhere stops as well.
    if scope == Scope::All && ::journal::pause_file(api.daemon.journal.directory(), api.daemon.clock.now()).is_some() {
        let file = api.daemon.journal.directory().join(::journal::PAUSE_FILE);
        return Err(Problem::conflict("everything is still paused by the pause file", format!("remove {}", file.display())));
    }
    if !ended {
        return Err(Problem::absent(format!("nothing is paused under {scope}"), "`runbookd pause --list` says what is paused"));
    }
    tracing::warn!(%scope, by = %runbook::text::inert(&by, 80), "resumed");
    Ok(answer(&json!({"scope": scope})))
}

/// A scope that names something there is: a pause for a misspelt name would stop nothing.
fn known_scope(api: &Api, text: &str) -> Result<Scope, Problem> {
    let scope: Scope =
        text.parse().map_err(|error: String| Problem::bad(error, "for example `all` or `target:postgres/main`"))?;
    let configuration = api.daemon.current().configuration.clone();
    let (known, kind, meant) = match &scope {
        Scope::All => return Ok(scope),
        Scope::Runbook(name) => (
            configuration.runbooks.contains_key(name),
            "runbook",
            runbook::text::closest(name, configuration.runbooks.keys().map(String::as_str)).map(str::to_owned),
        ),
        Scope::Target(id) => {
            let all: Vec<String> = configuration.inventory.iter().map(|target| target.id.to_string()).collect();
            let meant = runbook::text::closest(&id.to_string(), all.iter().map(String::as_str)).map(str::to_owned);
            (configuration.inventory.get(id).is_some(), "target", meant)
        }
    };
    if known {
        return Ok(scope);
    }
    let mend = meant
        .map_or_else(|| format!("`runbookd {kind}s` lists those there are"), |meant| format!("`{meant}` was meant, perhaps"));
    Err(Problem::absent(format!("there is no {kind} of that name, so pausing it would stop nothing: {scope}"), mend))
}
