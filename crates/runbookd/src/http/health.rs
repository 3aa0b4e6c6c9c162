//! `/healthz`, `/readyz`, `/metrics`: for supervisors and for Prometheus, without a token. Ready means that a delivery could
//! be stored; deliberately not that the targets are well: a daemon that is taken out of service because what it repairs is
//! ill would repair nothing.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use axum::routing::get;

use super::answer::{Problem, line, typed};
use crate::daemon::Daemon;
use crate::metrics::CONTENT_TYPE;

pub(super) fn routes(daemon: Arc<Daemon>) -> Router {
    Router::new().route("/healthz", get(alive)).route("/readyz", get(ready)).route("/metrics", get(metrics)).with_state(daemon)
}

async fn alive() -> Response<Body> {
    line(StatusCode::OK, "alive")
}

async fn ready(State(daemon): State<Arc<Daemon>>) -> Response<Body> {
    let trouble = daemon.journal.trouble().borrow().clone();
    if daemon.stop.is_cancelled() {
        return line(StatusCode::SERVICE_UNAVAILABLE, "not ready: the daemon stops");
    }
    match trouble {
        None => line(StatusCode::OK, "ready: the journal can be written"),
        Some(trouble) => line(StatusCode::SERVICE_UNAVAILABLE, &format!("not ready: the journal cannot be written: {trouble}")),
    }
}

async fn metrics(State(daemon): State<Arc<Daemon>>) -> Response<Body> {
    let current = daemon.current();
    let tells = current.settings.slack.is_some();
    match daemon.metrics.scrape(&daemon.journal, &current.configuration, daemon.clock.now(), tells).await {
        Ok(text) => typed(StatusCode::OK, CONTENT_TYPE, text),
        Err(error) => Problem::from(error).into_response(),
    }
}
