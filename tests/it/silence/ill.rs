//! An Alertmanager that answers as a well one does not, as far as silences go. Why a stand-in: a real one cannot be made to hang between
//! two requests, or to hold a silence for later. Deliberately only what our side asks for; that the real one answers so is tried beside.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::{KNOWS, SOON, begin, home, why_not};
use crate::support::daemon::rehearsal_binary;

const ID: &str = "11111111-2222-3333-4444-555555555555";

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    /// It holds silences for later.
    Pending,
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
    let state = if ill.how == How::Pending { "pending" } else { "active" };
    let body = match (&method, path.as_str()) {
        (&Method::GET, "status") => json!({"uptime": "2026-01-01T00:00:00Z", "cluster": {"status": "disabled"}}),
        (&Method::GET, "receivers") => json!([{"name": "runbookd"}]),
        (&Method::GET, "alerts") => json!([]),
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
