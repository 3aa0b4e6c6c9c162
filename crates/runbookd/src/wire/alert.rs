//! The parts of an alert that both spellings share: label maps, moments as Go writes them, the fingerprint. Why the checks
//! are types of their own: the door checks a payload without keeping it, and must refuse exactly what the reader refuses.

use std::borrow::Cow;
use std::fmt;

use chrono::{DateTime, Datelike};
use runbook::alert::{Fingerprint, Labels};
use runbook::time::Stamp;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

/// A text that is borrowed where it has no escapes.
#[derive(serde::Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// A map of texts to texts that is read through and not kept.
#[derive(Default)]
pub(super) struct Unkept;

impl<'de> Deserialize<'de> for Unkept {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(UnkeptVisitor)
    }
}

struct UnkeptVisitor;

impl<'de> Visitor<'de> for UnkeptVisitor {
    type Value = Unkept;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of texts to texts")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unkept, A::Error> {
        while map.next_entry::<Nothing, Nothing>()?.is_some() {}
        Ok(Unkept)
    }
}

/// A text that is not kept.
pub(super) struct Nothing;

impl<'de> Deserialize<'de> for Nothing {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NothingVisitor)
    }
}

struct NothingVisitor;

impl Visitor<'_> for NothingVisitor {
    type Value = Nothing;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }
    fn visit_str<E>(self, _: &str) -> Result<Nothing, E> {
        Ok(Nothing)
    }
}

/// A moment as Go writes it: RFC 3339 with up to nanoseconds and any offset. Go's zero time (year 1), nothing, and what is no
/// moment all come out as the epoch: the alert still counts, its episode is then named by its fingerprint alone.
pub(super) fn moment(text: &str) -> Stamp {
    match DateTime::parse_from_rfc3339(text) {
        Ok(at) if at.year() > 1 => Stamp::from_millis(at.timestamp_millis()),
        _ => Stamp::default(),
    }
}

/// The fingerprint of these labels, ours, and whether the sender's own was there and different.
pub(super) fn fingerprint(labels: &Labels, said: &str) -> (Fingerprint, bool) {
    let ours = Fingerprint::of(labels);
    let differs = said.parse::<Fingerprint>().is_ok_and(|said| said != ours);
    (ours, differs)
}
