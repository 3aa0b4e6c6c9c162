//! Where an incident can be. Deliberately few: telling people is no stage (Slack being down keeps nothing open), and "in the
//! middle of an action" is the same stage as "crashed in the middle of one".

use serde::{Deserialize, Serialize};

use crate::finding::Findings;
use crate::incident::event::Waiting;
use crate::time::Stamp;

/// What a look is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aim {
    /// To take the next step.
    Do,
    /// To take landed steps back, newest first.
    Undo,
    /// To end lasting effects, newest first.
    End,
}

/// How an incident ends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// The runbook's own verification held.
    Cured,
    /// The alert was over before anything was done.
    Subsided,
    /// The runbook looked, and there was nothing for it to do, or it may only observe.
    Refused,
    /// A person was asked and said no.
    Denied,
    /// A person stopped it.
    Stopped,
    /// A person has to go on.
    HandedOver,
    /// An undo or an end failed, what we stopped is down, or nobody can know: a person has to go on, now.
    Stuck,
}

impl How {
    /// Every ending, for metrics.
    pub const ALL: [How; 7] = [How::Cured, How::Subsided, How::Refused, How::Denied, How::Stopped, How::HandedOver, How::Stuck];

    /// The word for metrics, lists and messages.
    pub const fn word(self) -> &'static str {
        match self {
            How::Cured => "cured",
            How::Subsided => "subsided",
            How::Refused => "refused",
            How::Denied => "denied",
            How::Stopped => "stopped",
            How::HandedOver => "handed_over",
            How::Stuck => "stuck",
        }
    }

    /// Whether a person has to go on.
    pub const fn wants_a_person(self) -> bool {
        matches!(self, How::HandedOver | How::Stuck | How::Denied)
    }
}

/// Where an incident is.
#[derive(Clone, PartialEq, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "an incident has one of these at a time, and a box would be in the way of every match"
)]
pub enum Stage {
    /// A fresh look is wanted.
    Looking(Aim),
    /// Something was seen, and policy has the word.
    Deciding {
        /// What the look was for.
        aim: Aim,
        /// What was seen.
        findings: Findings,
    },
    /// Until a time, a person, or another incident.
    Waiting {
        /// What comes after.
        aim: Aim,
        /// At the latest.
        until: Stamp,
        /// For what.
        on: Waiting,
    },
    /// An order was committed, and no look has settled it yet.
    InDoubt,
    /// The last step of a rung landed; the runbook's own condition is to hold.
    Verifying {
        /// When the last step settled.
        since: Stamp,
    },
    /// Verified, and an effect lasts until its end comes.
    Sustaining {
        /// When verification held.
        since: Stamp,
    },
    /// Only the closing is left.
    Closing {
        /// How.
        how: How,
        /// Why, for people.
        why: String,
    },
    /// Over.
    Closed {
        /// How it ended.
        how: How,
        /// Why, for people.
        why: String,
    },
}

impl Stage {
    /// The word of an order in doubt of which no look can tell how it ended, for which a person is called.
    pub const UNSETTLED: &'static str = "unsettled";

    /// The stage's own word; what people are told is [`crate::incident::Incident::word`].
    pub const fn word(&self) -> &'static str {
        match self {
            Stage::Looking(_) => "looking",
            Stage::Deciding { .. } => "deciding",
            Stage::Waiting { on, .. } => match on {
                Waiting::Person(_) => "asking",
                Waiting::Held { .. }
                | Waiting::Cause { .. }
                | Waiting::Turn
                | Waiting::Quiet
                | Waiting::Clock
                | Waiting::Trial { .. } => "held",
                _ => "waiting",
            },
            Stage::InDoubt => "in_doubt",
            Stage::Verifying { .. } => "verifying",
            Stage::Sustaining { .. } => "sustaining",
            Stage::Closing { .. } => "closing",
            Stage::Closed { how, .. } => how.word(),
        }
    }

    /// Every word, for metrics.
    pub const WORDS: [&'static str; 17] = [
        "looking",
        "deciding",
        "asking",
        "held",
        "waiting",
        "in_doubt",
        Stage::UNSETTLED,
        "verifying",
        "sustaining",
        "closing",
        "cured",
        "subsided",
        "refused",
        "denied",
        "stopped",
        "handed_over",
        "stuck",
    ];
}
