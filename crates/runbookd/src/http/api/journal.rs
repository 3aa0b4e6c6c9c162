//! The journal's upkeep: a backup, taking what is too old, reading everything. Deliberately no backup over TCP: it writes a file
//! on the daemon's own machine, and whoever may do that can open the socket.

use std::path::Path;

use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::super::answer::{Problem, json as answer};
use super::super::surface::Origin;
use super::{Answer, Api, parse};
use crate::housekeeping;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// An absolute path on the daemon's machine, where nothing is yet.
    to: String,
}

pub(super) async fn backup(State(api): State<Api>, Extension(origin): Extension<Origin>, body: Bytes) -> Answer {
    if origin != Origin::Local {
        let mend = "ask over the socket in the state directory, on the daemon's machine";
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "a backup is written on the daemon's machine, and not asked for over the network",
            mend,
        ));
    }
    let wanted: Wanted = parse(&body)?;
    let to = Path::new(&wanted.to);
    if !to.is_absolute() {
        return Err(Problem::bad(format!("{} is no absolute path", wanted.to), "name the new file from the root on"));
    }
    if to.exists() {
        return Err(Problem::conflict(
            format!("{} exists; a backup never overwrites", wanted.to),
            "name a file that is not there",
        ));
    }
    api.daemon.journal.backup(to).await?;
    let bytes = std::fs::metadata(to).map(|file| file.len()).ok();
    Ok(answer(&json!({"to": wanted.to, "bytes": bytes})))
}

pub(super) async fn prune(State(api): State<Api>) -> Answer {
    Ok(answer(&housekeeping::prune(&api.daemon).await?))
}

pub(super) async fn check(State(api): State<Api>) -> Answer {
    Ok(answer(&api.daemon.journal.check().await?))
}
