//! The answer of `GET /api/v2/alerts`: what still fires, as Alertmanager itself sees it. The reconcile loop goes by it. Here
//! `status` is an object, where the webhook has a word. A state that is new to us is kept apart from active: only what is
//! known to be active may start anything. Deliberately no request: who asks, and what an absence means, is decided elsewhere.

use anyhow::Context;
use runbook::alert::{Alert, AlertStatus, Labels};
use runbook::time::Stamp;

use super::alert::{Text, fingerprint, moment};

/// What Alertmanager says of one of its alerts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Just received, not yet routed there.
    Unprocessed,
    /// It fires, and its receivers are told.
    Active,
    /// Silenced, inhibited or muted by a time interval: nobody is told of it, nor of its end.
    Suppressed,
    /// A word that this release does not know.
    Other,
}

/// One alert of the list. All of them fire: what has ended is not listed.
#[derive(Clone, PartialEq, Debug)]
pub struct Listed {
    /// The alert.
    pub alert: Alert,
    /// Its state there.
    pub state: State,
    /// Ids of the silences that cover it: a person's word.
    pub silenced_by: Vec<String>,
    /// Fingerprints of the alerts that inhibit it.
    pub inhibited_by: Vec<String>,
    /// Names of the time intervals that mute it (from 0.28 on).
    pub muted_by: Vec<String>,
    /// The receivers it is routed to, by their plain names.
    pub receivers: Vec<String>,
    /// When Prometheus last confirmed it.
    pub updated_at: Stamp,
}

/// Reads the list.
///
/// # Errors
/// When it is not a list of alerts in the form of API v2.
pub fn read_listed(body: &[u8]) -> anyhow::Result<Vec<Listed>> {
    let wire: Vec<Wire<'_>> = serde_json::from_slice(body).context("reading the list of alerts (API v2)")?;
    Ok(wire.into_iter().map(listed).collect())
}

fn listed(wire: Wire<'_>) -> Listed {
    let plain = |text: Option<Text<'_>>| text.map(|text| text.0.into_owned()).unwrap_or_default();
    let (fingerprint, _) = fingerprint(&wire.labels, "");
    Listed {
        alert: Alert {
            fingerprint,
            status: AlertStatus::Firing,
            labels: wire.labels,
            annotations: wire.annotations.unwrap_or_default(),
            starts_at: moment(&plain(wire.starts_at)),
            generator_url: plain(wire.generator_url),
        },
        state: match wire.status.state.0.as_ref() {
            "unprocessed" => State::Unprocessed,
            "active" => State::Active,
            "suppressed" => State::Suppressed,
            _ => State::Other,
        },
        silenced_by: wire.status.silenced_by.unwrap_or_default(),
        inhibited_by: wire.status.inhibited_by.unwrap_or_default(),
        muted_by: wire.status.muted_by.unwrap_or_default(),
        receivers: wire.receivers.unwrap_or_default().into_iter().map(|receiver| receiver.name).collect(),
        updated_at: moment(&plain(wire.updated_at)),
    }
}

#[derive(serde::Deserialize)]
struct Wire<'a> {
    labels: Labels,
    annotations: Option<Labels>,
    #[serde(borrow)]
    status: WireStatus<'a>,
    receivers: Option<Vec<WireReceiver>>,
    #[serde(borrow, rename = "startsAt")]
    starts_at: Option<Text<'a>>,
    #[serde(borrow, rename = "updatedAt")]
    updated_at: Option<Text<'a>>,
    #[serde(borrow, rename = "generatorURL")]
    generator_url: Option<Text<'a>>,
}

#[derive(serde::Deserialize)]
struct WireStatus<'a> {
    #[serde(borrow)]
    state: Text<'a>,
    #[serde(rename = "silencedBy")]
    silenced_by: Option<Vec<String>>,
    #[serde(rename = "inhibitedBy")]
    inhibited_by: Option<Vec<String>>,
    #[serde(rename = "mutedBy")]
    muted_by: Option<Vec<String>>,
}

#[derive(serde::Deserialize)]
struct WireReceiver {
    name: String,
}
