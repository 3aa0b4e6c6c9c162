//! Clients of Docker Engines, made per look. Why per look: the library refuses to make one while the socket's file is missing, and
//! runbookd starts while Docker is down. Deliberately no TLS: give it a socket, or a filtering proxy beside it.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use bollard::{API_DEFAULT_VERSION, Docker};
use runbook::target::{Place, Target};

use crate::Side;

/// A client; nothing is sent yet. Requests end after `within`, rounded up to a second.
pub(crate) fn connect(target: &Target, side: Side, within: Duration) -> Result<Docker> {
    let Place::Engine { look, act, .. } = &target.place else { bail!("{} is no Docker Engine", target.id) };
    let address = match side {
        Side::Look => look,
        Side::Act => act.as_ref().ok_or_else(|| anyhow!("{} has no address to act on", target.id))?,
    };
    let seconds = within.as_secs() + 1;
    if let Some(path) = address.strip_prefix("unix://") {
        Docker::connect_with_unix(path, seconds, API_DEFAULT_VERSION)
            .with_context(|| format!("cannot reach the Docker Engine at {path}"))
    } else if address.starts_with("http://") || address.starts_with("tcp://") {
        Docker::connect_with_http(address, seconds, API_DEFAULT_VERSION)
            .with_context(|| format!("cannot reach the Docker Engine at {address}"))
    } else {
        bail!("`{address}` is no address of a Docker Engine; write unix:///path or http://host:port")
    }
}
