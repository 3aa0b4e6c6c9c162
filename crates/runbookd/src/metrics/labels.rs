//! The labels of what is counted: closed enums of the code, and names in our own configuration. Why apart: a new series begins with
//! its labels here, where a label that a sender could fill would stand out. Nothing here counts.

use prometheus_client::encoding::EncodeLabelSet;

/// What came of a delivery at the door.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Door {
    /// On disk, 200.
    Stored,
    /// No token or a wrong one, 401.
    Unauthorized,
    /// Not a payload that we know, 400.
    Malformed,
    /// Above the limit, 413.
    TooLarge,
    /// The body did not come in time, 408.
    Slow,
    /// Too much is waiting already, 503.
    Full,
    /// The journal could not be written, 503.
    Unwritable,
}

impl Door {
    /// Every one, so that each is a series from the start.
    pub const ALL: [Door; 7] =
        [Door::Stored, Door::Unauthorized, Door::Malformed, Door::TooLarge, Door::Slow, Door::Full, Door::Unwritable];

    pub(super) const fn word(self) -> &'static str {
        match self {
            Door::Stored => "stored",
            Door::Unauthorized => "unauthorized",
            Door::Malformed => "malformed",
            Door::TooLarge => "too_large",
            Door::Slow => "slow",
            Door::Full => "full",
            Door::Unwritable => "unwritable",
        }
    }
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
pub(super) struct ByResult {
    pub(super) result: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
pub(super) struct ByOutcome {
    pub(super) outcome: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
pub(super) struct ByStage {
    pub(super) stage: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
pub(super) struct ByEnd {
    pub(super) how: &'static str,
    pub(super) runbook: String,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
pub(super) struct ByAction {
    pub(super) action: &'static str,
    pub(super) outcome: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
pub(super) struct ByProbe {
    pub(super) probe: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
pub(super) struct ByGate {
    pub(super) gate: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
pub(super) struct ByRunbook {
    pub(super) runbook: String,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
pub(super) struct ByHow {
    pub(super) how: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
pub(super) struct ByMode {
    pub(super) runbook: String,
    pub(super) mode: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
pub(super) struct ByAlertmanager {
    /// Its address in our own configuration.
    pub(super) alertmanager: String,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
pub(super) struct ByHash {
    pub(super) hash: String,
}
