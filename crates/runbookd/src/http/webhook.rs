//! `POST /webhook/alertmanager`: authenticate, bound, check, store, and only then 200. What is full or broken on our side is a
//! 503, the one answer that Alertmanager soon repeats; 400 is kept for what no repetition mends. Kept lean, and before axum:
//! a storm arrives here. Deliberately acts on nothing: a delivery that is not answered within 15 s comes a second time from
//! the sender's cluster peer.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode, header};
use axum::response::IntoResponse;
use hyper::body::Incoming;
use journal::NotTaken;
use tokio::time::Instant;

use super::access;
use super::answer::Problem;
use super::body::{self, Unread};
use super::surface::{Origin, Surface, unread};
use crate::metrics::Door;
use crate::wire;

/// Of a body whose sender showed no token so much is read, and for so long, so that the refusal is heard.
const DRAIN: (usize, Duration) = (256 << 10, Duration::from_secs(1));

/// Whether this is the path of deliveries. A slash at its end is no reason for a redirect.
pub(super) fn is_path(path: &str) -> bool {
    path.strip_suffix('/').unwrap_or(path) == "/webhook/alertmanager"
}

/// Answers a delivery, and counts it.
pub(super) async fn answer(surface: &Surface, origin: Origin, request: Request<Incoming>) -> Response<Body> {
    let began = Instant::now();
    if request.method() != Method::POST {
        let problem = Problem::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "deliveries are sent with POST",
            "make it the `url` of a webhook_config",
        );
        let mut response = problem.into_response();
        response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("POST"));
        return response;
    }
    let (door, response) = match take(surface, origin, request).await {
        Ok(()) => (Door::Stored, Response::new(Body::empty())),
        Err((door, problem)) => (door, problem.into_response()),
    };
    surface.daemon.metrics.delivered(door, began.elapsed());
    response
}

/// Gives `Ok` only when the delivery is on disk.
async fn take(surface: &Surface, origin: Origin, request: Request<Incoming>) -> Result<(), (Door, Problem)> {
    let (parts, incoming) = request.into_parts();
    let may_come_in = origin == Origin::Local
        || access::shown(&parts.headers).is_some_and(|shown| surface.webhook_token.is(&shown))
        || surface.daemon.current().settings.webhook_open;
    if !may_come_in {
        body::drain(incoming, DRAIN.0, DRAIN.1).await;
        if surface.daemon.metrics.wrong_token(surface.daemon.clock.now()) {
            tracing::warn!("a delivery was turned away: it showed no token, or a wrong one (told once a minute at most)");
        }
        let mend = format!(
            "put the content of {} into http_config.authorization.credentials_file of the webhook_config",
            surface.webhook_token.path().display()
        );
        return Err((Door::Unauthorized, Problem::new(StatusCode::UNAUTHORIZED, "no token was shown, or a wrong one", mend)));
    }
    let held = body::read(incoming, surface.bounds.delivery_bytes, surface.bounds.body, &surface.room).await.map_err(|why| {
        let door = match why {
            Unread::TooLarge => Door::TooLarge,
            Unread::Slow => Door::Slow,
            Unread::NoRoom => Door::Full,
            Unread::Broken => Door::Malformed,
        };
        (door, unread(why, surface.bounds.delivery_bytes))
    })?;
    wire::check(&held.bytes).map_err(|malformed| {
        tracing::warn!(%malformed, "a delivery was refused");
        (Door::Malformed, Problem::bad(malformed.to_string(), "send Alertmanager's own payload, version \"4\""))
    })?;
    let stored = surface.intake.take(held.bytes).await;
    drop(held.room);
    stored.map_err(|not_taken| {
        let door = match not_taken {
            NotTaken::Full => Door::Full,
            NotTaken::Store(_) => Door::Unwritable,
        };
        (door, Problem::new(StatusCode::SERVICE_UNAVAILABLE, not_taken.to_string(), "send it again; nothing was stored"))
    })?;
    surface.daemon.metrics.stored_at(surface.daemon.clock.now());
    Ok(())
}
