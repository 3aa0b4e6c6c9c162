//! The webhook payload, version "4". [`check`] is for the door: it refuses what cannot be read, without keeping anything, in
//! the time that reading the bytes once takes. [`read`] is for routing, later. Both use one description of the payload, so
//! what passed the door can be read. Deliberately reads neither the group's status nor any `endsAt`: the first says nothing
//! about one alert, and the second is year 1 for every alert that fires.

use std::fmt;

use runbook::alert::{Alert, AlertStatus, Labels};
use runbook::text::inert;
use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};

use super::alert::{Nothing, Text, Unkept, fingerprint, moment};

/// Why a body is no payload that we know. Each is a sentence for whoever configured the sender.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Malformed {
    /// Not JSON, or not of the payload's shape.
    #[error("the body is not Alertmanager's webhook payload: {0}")]
    Shape(String),
    /// Another version of it.
    #[error(
        "the payload's version is `{0}`, and \"4\" is the one that is understood; remove a `payload:` of your own from the \
         webhook_config"
    )]
    Version(String),
}

/// A payload as it was meant.
#[derive(Clone, PartialEq, Debug)]
pub struct Payload {
    /// Its alerts, each with its own status.
    pub alerts: Vec<Alert>,
    /// Alerts whose status is neither firing nor resolved. They start nothing and end nothing.
    pub unknown_status: u64,
    /// Alerts that the sender left out (`max_alerts`); always the same ones. They are to be asked for.
    pub truncated: u64,
    /// Alerts whose fingerprint the sender computed differently. Ours counts.
    pub fingerprints_differ: u64,
    /// The group. Changes with the sender's routing, so it names nothing durable.
    pub group_key: String,
    /// The receiver, as a quoted regular expression; compare with [`super::quoted_receiver`].
    pub receiver: String,
    /// Where the sender's own page is.
    pub external_url: String,
}

/// Reads a payload.
///
/// # Errors
/// [`Malformed`].
pub fn read(body: &[u8]) -> Result<Payload, Malformed> {
    let wire: Wire<'_, Kept<'_>> = parse(body)?;
    let mut payload = Payload {
        alerts: Vec::with_capacity(wire.alerts.len()),
        unknown_status: 0,
        truncated: wire.truncated.unwrap_or_default(),
        fingerprints_differ: 0,
        group_key: text(wire.group_key),
        receiver: text(wire.receiver),
        external_url: text(wire.external_url),
    };
    for wire in wire.alerts {
        let status = match wire.status.0.as_ref() {
            "firing" => AlertStatus::Firing,
            "resolved" => AlertStatus::Resolved,
            _ => {
                payload.unknown_status += 1;
                continue;
            }
        };
        let (fingerprint, differs) = fingerprint(&wire.labels, wire.fingerprint.as_ref().map_or("", |text| text.0.as_ref()));
        payload.fingerprints_differ += u64::from(differs);
        payload.alerts.push(Alert {
            fingerprint,
            status,
            labels: wire.labels,
            annotations: wire.annotations.unwrap_or_default(),
            starts_at: moment(wire.starts_at.as_ref().map_or("", |text| text.0.as_ref())),
            generator_url: text(wire.generator_url),
        });
    }
    if payload.fingerprints_differ > 0 {
        tracing::warn!(
            alerts = payload.fingerprints_differ,
            group = %inert(&payload.group_key, 200),
            "the sender's fingerprints are not the ones that their labels give; ours are used"
        );
    }
    Ok(payload)
}

/// Whether [`read`] would read this body. Keeps nothing and allocates next to nothing.
///
/// # Errors
/// [`Malformed`].
pub fn check(body: &[u8]) -> Result<(), Malformed> {
    parse::<Passed>(body).map(|_| ())
}

fn parse<'a, A: Deserialize<'a>>(body: &'a [u8]) -> Result<Wire<'a, A>, Malformed> {
    let wire: Result<Wire<'a, A>, _> = serde_json::from_slice(body);
    match wire {
        Ok(wire) if wire.version.0 == "4" => Ok(wire),
        Ok(wire) => Err(Malformed::Version(inert(&wire.version.0, 40))),
        // Of a body with another version the version is the better news than the first field that is different there.
        Err(error) => match serde_json::from_slice::<Versioned<'_>>(body) {
            Ok(other) if other.version.0 != "4" => Err(Malformed::Version(inert(&other.version.0, 40))),
            _ => Err(Malformed::Shape(inert(&error.to_string(), 200))),
        },
    }
}

fn text(text: Option<Text<'_>>) -> String {
    text.map(|text| text.0.into_owned()).unwrap_or_default()
}

#[derive(serde::Deserialize)]
struct Versioned<'a> {
    #[serde(borrow)]
    version: Text<'a>,
}

#[derive(serde::Deserialize)]
#[serde(bound(deserialize = "A: Deserialize<'de>"))]
struct Wire<'a, A> {
    #[serde(borrow)]
    version: Text<'a>,
    alerts: A,
    #[serde(rename = "truncatedAlerts")]
    truncated: Option<u64>,
    #[serde(borrow, rename = "groupKey")]
    group_key: Option<Text<'a>>,
    #[serde(borrow)]
    receiver: Option<Text<'a>>,
    #[serde(borrow, rename = "externalURL")]
    external_url: Option<Text<'a>>,
}

#[derive(serde::Deserialize)]
#[serde(bound(deserialize = "M: Deserialize<'de>, T: Deserialize<'de>"))]
struct WireAlert<M, T> {
    status: T,
    labels: M,
    annotations: Option<M>,
    #[serde(rename = "startsAt")]
    starts_at: Option<T>,
    #[serde(rename = "generatorURL")]
    generator_url: Option<T>,
    fingerprint: Option<T>,
}

/// All alerts, kept.
type Kept<'a> = Vec<WireAlert<Labels, Text<'a>>>;

/// All alerts, read through and not kept.
struct Passed;

impl<'de> Deserialize<'de> for Passed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(PassedVisitor)
    }
}

struct PassedVisitor;

impl<'de> Visitor<'de> for PassedVisitor {
    type Value = Passed;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of alerts")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut alerts: A) -> Result<Passed, A::Error> {
        while alerts.next_element::<WireAlert<Unkept, Nothing>>()?.is_some() {}
        Ok(Passed)
    }
}
