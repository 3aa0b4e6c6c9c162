//! Circuit breakers: which are open, and a person's word that one is closed. Closing is on disk with who and why before it is
//! acknowledged; what failed before is no longer counted. Deliberately no way to hold one open: that is a pause.

use axum::body::Bytes;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::answer::{Problem, json as answer};
use super::{Answer, Api, name, parse, words};

/// The scope of the breaker over all runbooks together; closing it closes no runbook's own.
const ALL: &str = "all";

pub(super) async fn list(State(api): State<Api>) -> Answer {
    let current = api.daemon.current();
    let ledger = api.daemon.journal.ledger();
    let rule = &current.configuration.rules.breaker;
    let (mut open, mut closed): (Vec<Value>, Vec<Value>) = (Vec::new(), Vec::new());
    for scope in std::iter::once(None).chain(current.configuration.runbooks.keys().map(|name| Some(name.as_str()))) {
        if let Some(breaker) = ledger.breaker(scope, rule) {
            open.push(json!({"scope": scope.unwrap_or(ALL), "breaker": breaker}));
        }
        if let Some((at, by, why)) = api.daemon.journal.last_closing(scope).await? {
            closed.push(json!({"scope": scope.unwrap_or(ALL), "at": at, "by": by, "why": why}));
        }
    }
    Ok(answer(&json!({"open": open, "closed": closed})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Closing {
    by: String,
    why: String,
}

pub(super) async fn close(State(api): State<Api>, Path(scope): Path<String>, body: Bytes) -> Answer {
    let closing: Closing = parse(&body)?;
    let (by, why) = (name(&closing.by)?, words("why", &closing.why, false)?);
    let current = api.daemon.current();
    let runbooks = &current.configuration.runbooks;
    let runbook = (scope != ALL).then_some(scope.as_str());
    if let Some(name) = runbook.filter(|name| !runbooks.contains_key(*name)) {
        let meant = runbook::text::closest(name, runbooks.keys().map(String::as_str));
        let mend = meant.map_or_else(
            || "`runbookd runbooks` lists those there are".to_owned(),
            |meant| format!("`{meant}` was meant, perhaps"),
        );
        return Err(Problem::absent(format!("there is no runbook `{}`", runbook::text::inert(name, 80)), mend));
    }
    let rule = &current.configuration.rules.breaker;
    let Some(breaker) = api.daemon.journal.ledger().breaker(runbook, rule) else {
        let whose = runbook.map_or_else(|| "over all runbooks".to_owned(), |name| format!("of {name}"));
        return Err(Problem::conflict(
            format!("the breaker {whose} is not open"),
            "`runbookd breaker list` shows those that are",
        ));
    };
    api.daemon.journal.close_breaker(runbook, &by, &why, api.daemon.clock.now()).await?;
    tracing::warn!(scope = %runbook::text::inert(&scope, 80), by = %by, "a breaker was closed by a person");
    // The other one still counts what it counted.
    let others = match runbook {
        Some(_) => api.daemon.journal.ledger().breaker(None, rule).map(|_| ALL.to_owned()).into_iter().collect(),
        None => still_open(&api),
    };
    Ok(answer(&json!({"scope": scope, "was": breaker, "still_open": others})))
}

fn still_open(api: &Api) -> Vec<String> {
    let current = api.daemon.current();
    let ledger = api.daemon.journal.ledger();
    let rule = &current.configuration.rules.breaker;
    current.configuration.runbooks.keys().filter(|name| ledger.breaker(Some(name), rule).is_some()).cloned().collect()
}
