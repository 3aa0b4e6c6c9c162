//! What answers requests: the delivery endpoint first, then the token, then the router. Deliberately the only place that knows
//! which paths want which token, so that no new route can be open by omission: all of `/api/` wants the API's, and only the
//! questions to people are content with a person's own.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use axum::response::IntoResponse;
use hyper::body::Incoming;
use journal::Intake;
use tower::ServiceExt;

use super::access::{self, Recognised};
use super::answer::Problem;
use super::body::{self, Room, Unread};
use super::{Bounds, api, health, webhook};
use crate::daemon::Daemon;
use crate::people;
use crate::token::{API_TOKEN, Token, WEBHOOK_TOKEN};

/// How often a replaced token is looked for, and a journal in trouble tried again.
const FRESHEN: Duration = Duration::from_secs(1);
/// Every so many of these a journal without trouble is tried too, so that a full disk is noticed without traffic.
const TRY_EVERY: u32 = 10;

/// Where a request came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Origin {
    /// Over TCP: a token is wanted.
    Network,
    /// Over the socket in the state directory, which only its owner can open.
    Local,
}

/// Everything that answers.
pub(super) struct Surface {
    pub(super) daemon: Arc<Daemon>,
    pub(super) bounds: Bounds,
    pub(super) intake: Intake,
    pub(super) room: Room,
    pub(super) webhook_token: Token,
    api_token: Token,
    router: Router,
}

impl Surface {
    pub(super) fn open(daemon: Arc<Daemon>, bounds: Bounds) -> anyhow::Result<Self> {
        let state = daemon.journal.directory();
        let webhook_token = Token::in_directory(state, WEBHOOK_TOKEN)?;
        let api_token = Token::in_directory(state, API_TOKEN)?;
        let clock = daemon.clock.clone();
        let intake = daemon.journal.intake(move || clock.now());
        let router = health::routes(daemon.clone())
            .merge(api::routes(daemon.clone(), intake.clone()))
            .fallback(no_such_path)
            .method_not_allowed_fallback(no_such_method);
        Ok(Self { daemon, bounds, intake, room: Room::new(bounds.bytes_at_once), webhook_token, api_token, router })
    }

    pub(super) async fn answer(&self, origin: Origin, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path();
        if webhook::is_path(path) {
            return webhook::answer(self, origin, request).await;
        }
        let api = path.starts_with("/api/");
        let shown = access::shown(request.headers());
        let holds_api = shown.as_ref().is_some_and(|shown| self.api_token.is(shown));
        let mut recognised = Recognised::default();
        if let Some(shown) = shown.filter(|_| origin == Origin::Network && !holds_api && is_for_people(path)) {
            recognised.0 = people::recognise(&self.daemon.current().settings.people, &shown).await;
        }
        if api && origin == Origin::Network && !holds_api && recognised.0.is_none() {
            let mend = format!(
                "send `Authorization: Bearer` with the token in {}, or ask over the socket beside it",
                self.api_token.path().display()
            );
            return Problem::new(StatusCode::UNAUTHORIZED, "no token was shown, or a wrong one", mend).into_response();
        }
        let time = if path.starts_with("/api/v1/journal/") { self.bounds.long_answer } else { self.bounds.answer };
        let (parts, incoming) = request.into_parts();
        let held = match body::read(incoming, self.bounds.request_bytes, self.bounds.body, &self.room).await {
            Ok(held) => held,
            Err(why) => return unread(why, self.bounds.request_bytes).into_response(),
        };
        let mut request = Request::from_parts(parts, Body::from(held.bytes));
        request.extensions_mut().insert(origin);
        request.extensions_mut().insert(recognised);
        match tokio::time::timeout(time, self.router.clone().oneshot(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(_) => {
                let error = format!("there is no answer within {} s", time.as_secs());
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, error, "see the daemon's log; then ask again").into_response()
            }
        }
    }

    /// Looks for replaced tokens, and tries the journal, until the daemon stops. `/readyz` goes by what the journal says.
    pub(super) async fn keep_fresh(&self) {
        let trouble = self.daemon.journal.trouble();
        let mut round: u32 = 0;
        loop {
            tokio::select! {
                () = self.daemon.stop.cancelled() => return,
                () = tokio::time::sleep(FRESHEN) => {}
            }
            round = round.wrapping_add(1);
            self.webhook_token.refresh();
            self.api_token.refresh();
            let in_trouble = trouble.borrow().is_some();
            if (in_trouble || round.is_multiple_of(TRY_EVERY)) && self.daemon.journal.try_writing().await == in_trouble {
                match in_trouble {
                    true => tracing::info!("the journal can be written again"),
                    false => tracing::error!(
                        trouble = trouble.borrow().as_deref().unwrap_or_default(),
                        "the journal cannot be written: deliveries are answered 503 and nothing acts; make room, or the disk writable"
                    ),
                }
            }
        }
    }
}

/// What a person's own token opens over TCP by itself: the questions and their answers.
fn is_for_people(path: &str) -> bool {
    path.strip_prefix("/api/v1/asks").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What a caller hears whose body was not read.
pub(super) fn unread(why: Unread, most: usize) -> Problem {
    match why {
        Unread::TooLarge => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body has more than {most} bytes"),
            "send less at once; in Alertmanager, group by more labels or set max_alerts",
        ),
        Unread::Slow => Problem::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time", "send it again"),
        Unread::NoRoom => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too many large bodies are arriving at once", "send it again")
        }
        Unread::Broken => Problem::bad("the body broke off", "send it again"),
    }
}

async fn no_such_path() -> Problem {
    Problem::absent("there is no such path", "deliveries go to /webhook/alertmanager; the API is under /api/v1")
}

async fn no_such_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not take that method", "the header `Allow` says which it takes")
}
