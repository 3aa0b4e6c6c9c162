//! Incidents: the list, one with all its events, why it is where it is, its report, its evidence, a person's note.
//! Deliberately gives events as the journal has them; what they mean to people is the report's.

use ::journal::{Filter, Recorded};
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use runbook::incident::{Event, IncidentId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::access::Recognised;
use super::super::answer::{Problem, json as answer, typed};
use super::{Answer, Api, caller, incident, name, no_such_incident, parse, words};
use crate::commands::explained;

/// More incidents than this are not listed at once.
const MOST_LISTED: u32 = 1_000;

#[derive(Deserialize)]
pub(super) struct Listing {
    #[serde(default)]
    open: bool,
    #[serde(default)]
    limit: u32,
}

pub(super) async fn list(State(api): State<Api>, listing: Result<Query<Listing>, QueryRejection>) -> Answer {
    let Query(listing) = listing.map_err(|error| Problem::bad(error.body_text(), "write ?open=true&limit=20"))?;
    let filter = Filter { open_only: listing.open, most: listing.limit.min(MOST_LISTED) };
    Ok(answer(&json!({"incidents": api.daemon.journal.incidents(filter).await?})))
}

pub(super) async fn show(State(api): State<Api>, Path(id): Path<String>) -> Answer {
    let id = incident(&id)?;
    let summary = api.daemon.journal.summary(id).await?.ok_or_else(|| no_such_incident(id))?;
    let events: Vec<Value> = events(&api, id).await?.iter().map(written).collect();
    let evidence: Vec<Value> = api
        .daemon
        .journal
        .evidence_of(id)
        .await?
        .into_iter()
        .map(|(name, hash, bytes)| json!({"name": name, "hash": hash, "bytes": bytes}))
        .collect();
    Ok(answer(&json!({"incident": summary, "events": events, "evidence": evidence})))
}

pub(super) async fn explain(State(api): State<Api>, Path(id): Path<String>) -> Answer {
    let id = incident(&id)?;
    let summary = api.daemon.journal.summary(id).await?.ok_or_else(|| no_such_incident(id))?;
    let events = events(&api, id).await?;
    let in_force = explained::in_force(&api.daemon.journal, &summary.runbook, &events).await;
    Ok(answer(&json!({"incident": summary, "decisions": explained::decisions(&events), "in_force": in_force})))
}

pub(super) async fn report(State(api): State<Api>, Path(id): Path<String>) -> Answer {
    let id = incident(&id)?;
    api.daemon.journal.summary(id).await?.ok_or_else(|| no_such_incident(id))?;
    let incident = api.daemon.journal.load(id).await?;
    let events: Vec<_> = events(&api, id).await?.into_iter().map(|recorded| (recorded.at, recorded.event)).collect();
    let report = report::final_report(&incident, &events, &report::Manner::default());
    Ok(answer(&json!({"report": report.json()?, "text": report.text()})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Note {
    by: String,
    words: String,
}

pub(super) async fn note(State(api): State<Api>, Path(id): Path<String>, body: Bytes) -> Answer {
    let id = incident(&id)?;
    let note: Note = parse(&body)?;
    let event = Event::Noted { by: name(&note.by)?, words: words("words", &note.words, false)? };
    api.daemon.journal.summary(id).await?.ok_or_else(|| no_such_incident(id))?;
    let after = api.daemon.journal.append_from_outside(id, api.daemon.clock.now(), &event).await?;
    Ok(answer(&json!({"incident": id, "events": after.seq})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mark {
    by: Option<String>,
    login: Option<String>,
    right: bool,
    #[serde(default)]
    why: String,
}

/// A person says that what was proposed or done was right, or wrong; what follows for the runbook is in the answer.
pub(super) async fn mark(
    State(api): State<Api>,
    Extension(recognised): Extension<Recognised>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let id = incident(&id)?;
    let mark: Mark = parse(&body)?;
    let proved = caller::proved(&api, &recognised, &headers).await?;
    // Where names are proved, an unproved one is nobody's: trust is not earned by it.
    if proved.is_none() && !api.daemon.current().settings.people.is_empty() {
        let why = "a mark lifts or lowers what is done unasked, and nothing proves whose it is";
        return Err(Problem::new(StatusCode::FORBIDDEN, why, "show the token that belongs to a name in `approval: people:`"));
    }
    let (by, _) = caller::named(proved, mark.by.as_deref(), mark.login.as_deref())?;
    let event = Event::Judged { by, right: mark.right, why: words("why", &mark.why, true)? };
    api.daemon.journal.summary(id).await?.ok_or_else(|| no_such_incident(id))?;
    let after = api.daemon.journal.append_from_outside(id, api.daemon.clock.now(), &event).await?;
    let standing = api.daemon.journal.ledger().standing(&after.runbook.name, &after.runbook.deed());
    let current = api.daemon.current();
    let rule = current.configuration.runbooks.get(&after.runbook.name).and_then(|runbook| runbook.mode.earned);
    let lift = rule.map(|rule| standing.record.lift(rule));
    Ok(answer(&json!({"incident": id, "runbook": after.runbook.name, "record": standing.record, "lift": lift})))
}

/// The evidence itself, as it was kept. It may hold anything a stranger wrote, so it is never given as text.
pub(super) async fn evidence(State(api): State<Api>, Path(hash): Path<String>) -> Answer {
    if hash.len() != 64 || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Problem::bad(
            "evidence is named by 64 hexadecimal digits",
            "`runbookd incidents show ID` lists an incident's",
        ));
    }
    let kept = api.daemon.journal.evidence(&hash).await?;
    let body = kept.ok_or_else(|| Problem::absent("there is no such evidence", "it was never kept, or retention took it"))?;
    let mut response: Response<Body> = typed(StatusCode::OK, "application/octet-stream", body);
    response.headers_mut().insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    Ok(response)
}

async fn events(api: &Api, id: IncidentId) -> Result<Vec<Recorded>, Problem> {
    Ok(api.daemon.journal.events(id).await?)
}

fn written(recorded: &Recorded) -> Value {
    json!({"seq": recorded.seq, "at": recorded.at, "kind": recorded.event.kind(), "event": recorded.event})
}
