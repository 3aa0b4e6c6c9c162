//! An Alertmanager that answers as a well one does not, as far as silences go. Why a stand-in: a real one cannot be made to hang between
//! two requests, or to hold a silence for later. Deliberately only what our side asks for; that the real one answers so is tried beside.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::{KNOWS, SOON, begin, events, home, when, why_not};
use crate::support::daemon::{rehearsal_binary, until};

const ID: &str = "11111111-2222-3333-4444-555555555555";

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    /// It holds silences for later.
    Pending,
    /// Once it has a silence it answers what fires no more, nor for the first time when a silence is to be ended.
    Hangs,
    /// It answers a silence with what is no answer.
    Garbage,
}

struct Ill {
    how: How,
    asked: Mutex<Vec<String>>,
}

/// Starts one for as long as the test runs.
async fn start(how: How) -> (SocketAddr, Arc<Ill>) {
    let ill = Arc::new(Ill { how, asked: Mutex::default() });
    let routes = axum::Router::new().fallback(answer).with_state(ill.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    (address, ill)
}

async fn answer(State(ill): State<Arc<Ill>>, method: Method, uri: Uri) -> Response {
    let path = uri.path().trim_start_matches("/api/v2/").to_owned();
    if method != Method::GET || path.starts_with("silence/") {
        ill.asked.lock().unwrap().push(format!("{method} {path}"));
    }
    let said = |what: &str| ill.asked.lock().unwrap().iter().filter(|one| one.starts_with(what)).count();
    let hangs = (method == Method::DELETE && said("DELETE") == 1) || (path == "alerts" && said("POST") > 0);
    if ill.how == How::Hangs && hangs {
        std::future::pending::<()>().await;
    }
    let state = if ill.how == How::Pending { "pending" } else { "active" };
    let body = match (&method, path.as_str()) {
        (&Method::GET, "status") => json!({"uptime": "2026-01-01T00:00:00Z", "cluster": {"status": "disabled"}}),
        (&Method::GET, "receivers") => json!([{"name": "runbookd"}]),
        (&Method::GET, "alerts") => json!([]),
        (&Method::POST, "silences") if ill.how == How::Garbage => return "<html>ok</html>".into_response(),
        (&Method::POST, "silences") => json!({"silenceID": ID}),
        (&Method::GET, one) if one == format!("silence/{ID}") => json!({"id": ID, "status": {"state": state}}),
        (&Method::DELETE, one) if one == format!("silence/{ID}") => Value::Null,
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    axum::Json(body).into_response()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silence_that_does_not_hold_now_is_ended_again() {
    let (address, ill) = start(How::Pending).await;
    let home = home(&[format!("http://{address}")], true);
    let daemon = home.start(rehearsal_binary(), &[KNOWS]);
    begin(&daemon);
    assert_eq!(daemon.wait_closed(SOON)["how"], "cured");
    let why = why_not(&daemon);
    assert!(why.contains("it calls the silence `pending` and not `active`") && why.contains("was ended again"), "{why}");
    let wanted = ["POST silences".to_owned(), format!("GET silence/{ID}"), format!("DELETE silence/{ID}")];
    assert_eq!(*ill.asked.lock().unwrap(), wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silence_that_cannot_be_ended_in_time_is_on_record_and_ended_later() {
    let (address, ill) = start(How::Hangs).await;
    // The step does not help, so what it silenced is ended.
    let home = home(&[format!("http://{address}")], false);
    let daemon = home.start(rehearsal_binary(), &[KNOWS]);
    begin(&daemon);
    assert_eq!(daemon.wait_closed(SOON)["how"], "handed_over");
    let silenced = events(&daemon, "quieted")[0]["alerts"][0]["became"]["silenced"].clone();
    assert_eq!(silenced["id"], ID, "{silenced}");
    let although = silenced["although"].as_str().unwrap();
    assert!(although.contains("no answer within") && although.contains("it could not be ended"), "{although}");
    let waited = when(&daemon, "action_replied").since(when(&daemon, "action_started"));
    assert!(waited < Duration::from_millis(2_800), "the act waited for {waited:?}");
    let deletes = || ill.asked.lock().unwrap().iter().filter(|one| one.starts_with("DELETE")).count();
    until("it is ended", SOON, || (deletes() == 2).then_some(()), || home.log());
    let explained = home.command(rehearsal_binary(), &["explain", "INC-1"]).output().unwrap();
    let explained = String::from_utf8_lossy(&explained.stdout).into_owned();
    assert!(explained.contains("although"), "{explained}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_been_silenced_is_said_to_be_possible() {
    let (address, _ill) = start(How::Garbage).await;
    let home = home(&[format!("http://{address}")], true);
    let daemon = home.start(rehearsal_binary(), &[KNOWS]);
    begin(&daemon);
    assert_eq!(daemon.wait_closed(SOON)["how"], "cured");
    let why = why_not(&daemon);
    assert!(
        why.contains("it answers 200, but the answer is no JSON") && why.contains("should it have taken the silence"),
        "{why}"
    );
}
