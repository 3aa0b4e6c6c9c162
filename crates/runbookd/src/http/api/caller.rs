//! Who asks: the name that a token proves, else the one that was given. Deliberately no right follows from a name here: what
//! somebody may is `policy`'s, and where names are not proved, a given one is only for the record.

use axum::http::{HeaderMap, StatusCode};
use runbook::incident::Proof;

use super::super::access::{PERSON, Recognised};
use super::super::answer::Problem;
use super::{Api, name};
use crate::people;

/// The caller's proved name. Nothing is proved where the configuration names no people.
pub(super) async fn proved(api: &Api, recognised: &Recognised, headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let current = api.daemon.current();
    let people = &current.settings.people;
    if people.is_empty() {
        return Ok(None);
    }
    if let Some(shown) = headers.get(PERSON) {
        let found = people::recognise(people, shown.as_bytes()).await;
        return match found {
            Some(name) => Ok(Some(name)),
            None => Err(Problem::new(
                StatusCode::UNAUTHORIZED,
                "the token that was shown is nobody's",
                "show the token that belongs to a name in `approval: people:`; `runbookd doctor` says which cannot be read",
            )),
        };
    }
    Ok(recognised.0.clone().or_else(|| people::by_the_api_token(people).map(str::to_owned)))
}

/// The name to go by: the proved one, else the given one, else the login that a machine knows them by.
pub(super) fn named(proved: Option<String>, by: Option<&str>, login: Option<&str>) -> Result<(String, Proof), Problem> {
    let given = by.map(str::trim).filter(|by| !by.is_empty());
    match (proved, given) {
        (Some(proved), Some(given)) if given != proved => Err(Problem::new(
            StatusCode::FORBIDDEN,
            format!("the token is {proved}'s, and `{given}` was given as the name"),
            "leave the name out, or show that person's own token",
        )),
        (Some(proved), _) => Ok((proved, Proof::Token)),
        (None, given) => Ok((name(given.or(login).unwrap_or_default())?, Proof::Unproved)),
    }
}
