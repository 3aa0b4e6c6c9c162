//! One labelled alert as Alertmanager sends it, after the wire type was left at the door. Why apart from the wire: the
//! webhook and the API spell the same alert differently. It deliberately knows nothing of groups: a group's status says
//! nothing about one alert (with `max_alerts`, "resolved" can be sent while a truncated alert still fires).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::time::Stamp;

/// Labels or annotations: names to values, ordered by bytes as Go orders them.
pub type Labels = BTreeMap<String, String>;

/// The label that names an alert.
pub const ALERTNAME: &str = "alertname";

/// The label, and its value, of what is said about runbookd itself: for people, and never for a runbook.
pub const NOT_FOR_US: (&str, &str) = ("runbookd", "never");

/// Alertmanager's identity of a label set: FNV-1a 64 over the sorted labels, each `name 0xFF value 0xFF`
/// (prometheus/common, model/signature.go). Annotations are not part of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Fingerprint(pub u64);

impl Fingerprint {
    /// The fingerprint of these labels, as Alertmanager computes it.
    pub fn of(labels: &Labels) -> Self {
        let mut hash: u64 = 14_695_981_039_346_656_037;
        let mut add = |bytes: &[u8]| {
            for byte in bytes {
                hash ^= u64::from(*byte);
                hash = hash.wrapping_mul(1_099_511_628_211);
            }
        };
        for (name, value) in labels {
            add(name.as_bytes());
            add(&[0xFF]);
            add(value.as_bytes());
            add(&[0xFF]);
        }
        Self(hash)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Fingerprint {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() != 16 {
            return Err(format!("a fingerprint has 16 hexadecimal digits, this has {} characters", text.len()));
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| "a fingerprint has hexadecimal digits only".to_owned())
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.to_string()
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// Whether one alert fires. Anything else that a sender may invent is neither, and starts nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertStatus {
    /// It fires now.
    Firing,
    /// Its sender says that it is over. Weak evidence: a dead Prometheus looks the same four minutes later.
    Resolved,
}

/// One alert at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Alert {
    /// Identity of the label set.
    pub fingerprint: Fingerprint,
    /// Fires or not.
    pub status: AlertStatus,
    /// The labels, which choose the runbook and may look up the target. Data, never code.
    pub labels: Labels,
    /// Text for people.
    #[serde(default)]
    pub annotations: Labels,
    /// When this episode began; fingerprint and start together name an episode.
    pub starts_at: Stamp,
    /// Where it came from, for people.
    #[serde(default)]
    pub generator_url: String,
}

impl Alert {
    /// The `alertname` label, or nothing.
    pub fn name(&self) -> &str {
        self.labels.get(ALERTNAME).map_or("", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_alertmanagers_own() {
        // The hash of no labels is the FNV-1a offset basis. The running Alertmanager is asked in tests/it.
        assert_eq!(Fingerprint::of(&Labels::new()).to_string(), "cbf29ce484222325");
        assert!("xyz".parse::<Fingerprint>().is_err());
        let text = "0f1e2d3c4b5a6978";
        assert_eq!(text.parse::<Fingerprint>().map(|f| f.to_string()), Ok(text.to_owned()));
    }
}
