//! `/api/v1`: what the command line, the page and Slack are clients of. JSON both ways; an error is a sentence and its mend.
//! Who may ask was settled before a request gets here. Deliberately thin: each route asks the journal or the probe and
//! writes the answer down; nothing here decides.

mod asks;
mod breakers;
mod caller;
mod estate;
mod incidents;
mod intake;
mod journal;
mod pauses;
mod start;

use std::sync::Arc;

use ::journal::{AppendError, Intake};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::Response;
use axum::routing::{get, post};
use runbook::incident::IncidentId;
use runbook::text::inert;
use serde::de::DeserializeOwned;

use super::answer::Problem;
use crate::daemon::Daemon;

/// What the routes work with.
#[derive(Clone)]
pub(super) struct Api {
    daemon: Arc<Daemon>,
    intake: Intake,
}

/// What a route gives.
type Answer = Result<Response<Body>, Problem>;

/// More characters of a person's words than anybody reads.
const MOST_WORDS: usize = 4_000;
/// More characters than a name has.
const MOST_NAME: usize = 80;

pub(super) fn routes(daemon: Arc<Daemon>, intake: Intake) -> Router {
    let routes = Router::new()
        .route("/incidents", get(incidents::list))
        .route("/incidents/{id}", get(incidents::show))
        .route("/incidents/{id}/explain", get(incidents::explain))
        .route("/incidents/{id}/report", get(incidents::report))
        .route("/incidents/{id}/notes", post(incidents::note))
        .route("/incidents/{id}/mark", post(incidents::mark))
        .route("/evidence/{hash}", get(incidents::evidence))
        .route("/asks", get(asks::list))
        .route("/asks/{ask}/approve", post(asks::approve))
        .route("/asks/{ask}/deny", post(asks::deny))
        .route("/pauses", get(pauses::list).post(pauses::pause))
        .route("/pauses/{*scope}", axum::routing::delete(pauses::resume))
        .route("/breakers", get(breakers::list))
        .route("/breakers/{scope}/close", post(breakers::close))
        .route("/targets", get(estate::targets))
        .route("/look", post(estate::look))
        .route("/looks", post(estate::looks))
        .route("/runbooks", get(estate::runbooks))
        .route("/unmatched", get(estate::unmatched))
        .route("/reload", post(estate::reload))
        .route("/fire", post(intake::fire))
        .route("/run", post(start::run))
        .route("/report", post(start::report))
        .route("/doctor", get(start::examine))
        .route("/journal/backup", post(journal::backup))
        .route("/journal/prune", post(journal::prune))
        .route("/journal/check", get(journal::check));
    Router::new().nest("/api/v1", routes.with_state(Api { daemon, intake }))
}

/// Reads a JSON body.
fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        Problem::bad(format!("the body is not what this path takes: {error}"), "send JSON with these fields, and no others")
    })
}

fn incident(text: &str) -> Result<IncidentId, Problem> {
    text.parse().map_err(|error: String| Problem::bad(error, "`runbookd incidents` lists them"))
}

fn no_such_incident(id: IncidentId) -> Problem {
    Problem::absent(format!("there is no incident {id}"), "`runbookd incidents` lists those there are")
}

/// A person's name, as they say it themselves; it is kept with what they did.
fn name(by: &str) -> Result<String, Problem> {
    let by = by.trim();
    if by.is_empty() || by.chars().count() > MOST_NAME {
        return Err(Problem::bad(format!("`by` says who does it, in 1 to {MOST_NAME} characters"), "name yourself in `by`"));
    }
    Ok(inert(by, MOST_NAME))
}

/// A person's words. `may_be_empty` where they need not say any.
fn words(field: &str, words: &str, may_be_empty: bool) -> Result<String, Problem> {
    let words = words.trim();
    if (words.is_empty() && !may_be_empty) || words.chars().count() > MOST_WORDS {
        let least = usize::from(!may_be_empty);
        return Err(Problem::bad(format!("`{field}` has {least} to {MOST_WORDS} characters"), format!("say it in `{field}`")));
    }
    // What steers a terminal is not kept: it would be read on one.
    Ok(inert(words, MOST_WORDS * 8))
}

impl From<AppendError> for Problem {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Illegal(illegal) => {
                Problem::conflict(illegal.to_string(), "see `runbookd explain` for where the incident is now")
            }
            AppendError::Conflict | AppendError::LeaseLost => {
                Problem::conflict(error.to_string(), "look at the incident again, then decide again")
            }
            AppendError::Store(error) => Problem::from(error),
        }
    }
}
