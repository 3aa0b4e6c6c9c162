//! Firing an alert by hand: it goes the way of every delivery, through the same check and the same inbox, so what is tried out
//! is what happens at night. Deliberately no shortcut past routing.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use runbook::alert::{ALERTNAME, AlertStatus, Fingerprint, Labels};
use serde::Deserialize;
use serde_json::json;

use super::super::answer::{Problem, json as answer};
use super::{Answer, Api, parse};
use crate::wire;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fired {
    /// The `alertname` label.
    alert: String,
    #[serde(default)]
    labels: Labels,
    #[serde(default)]
    annotations: Labels,
    /// Firing where nothing is said.
    status: Option<AlertStatus>,
}

pub(super) async fn fire(State(api): State<Api>, body: Bytes) -> Answer {
    let mut fired: Fired = parse(&body)?;
    if fired.alert.is_empty() {
        return Err(Problem::bad("the alert has no name", "name it in `alert`"));
    }
    fired.labels.insert(ALERTNAME.to_owned(), fired.alert);
    let fingerprint = Fingerprint::of(&fired.labels);
    let now = api.daemon.clock.now();
    let payload = json!({
        "version": "4",
        "receiver": "by hand",
        "groupKey": "by hand",
        "alerts": [{
            "status": fired.status.unwrap_or(AlertStatus::Firing),
            "labels": fired.labels,
            "annotations": fired.annotations,
            "startsAt": now.to_string(),
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": crate::reconcile::BY_HAND,
            "fingerprint": fingerprint,
        }],
    });
    let body = payload.to_string().into_bytes();
    wire::check(&body).map_err(|malformed| Problem::bad(malformed.to_string(), "send labels and annotations as texts"))?;
    api.intake.take(body).await.map_err(|not_taken| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, not_taken.to_string(), "send it again; nothing was stored")
    })?;
    Ok(answer(&json!({"fingerprint": fingerprint, "starts_at": now})))
}
