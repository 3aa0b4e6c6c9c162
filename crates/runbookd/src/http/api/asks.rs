//! A person's answer to a question: yes or no, to exactly what was shown. A second answer, one that comes too late, or one to
//! a question that no longer stands is refused with the reason. Deliberately no way to change what was asked.

use axum::body::Bytes;
use axum::extract::{Path, State};
use runbook::incident::Answer as Said;
use runbook::incident::Event;
use serde::Deserialize;
use serde_json::json;

use super::super::answer::{Problem, json as answer};
use super::{Answer, Api, name, parse, words};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Person {
    by: String,
    #[serde(default)]
    why: String,
}

pub(super) async fn approve(State(api): State<Api>, Path(ask): Path<String>, body: Bytes) -> Answer {
    let person: Person = parse(&body)?;
    said(&api, ask, Said::Granted { by: name(&person.by)? }).await
}

pub(super) async fn deny(State(api): State<Api>, Path(ask): Path<String>, body: Bytes) -> Answer {
    let person: Person = parse(&body)?;
    said(&api, ask, Said::Denied { by: name(&person.by)?, why: words("why", &person.why, true)? }).await
}

async fn said(api: &Api, ask: String, said: Said) -> Answer {
    let id = api.daemon.journal.incident_of_ask(&ask).await?;
    let id = id.ok_or_else(|| {
        Problem::absent("there is no such question", "`runbookd incidents --open` shows what is asked, and its id")
    })?;
    let after =
        api.daemon.journal.append_from_outside(id, api.daemon.clock.now(), &Event::Answered { ask, answer: said }).await?;
    Ok(answer(&json!({"incident": id, "stage": after.stage.word()})))
}
