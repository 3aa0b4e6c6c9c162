//! The word of one guard in a decision, and the closed list of guards. A decision has some thirty words, and most of them are the
//! same every time: a word is four machine words long, and its name takes one byte of them. Deliberately without order or rule: which guard is
//! asked when, and what it asks, is the policy's.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// One guard's word in a decision.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Gate {
    /// The guard.
    pub name: GateName,
    /// Whether it let the incident pass.
    pub open: bool,
    /// Why, for people. Most words of most guards are always the same.
    pub why: Cow<'static, str>,
}

macro_rules! gate_names {
    ($($(#[doc = $doc:literal])+ $name:ident = $word:literal,)+) => {
        /// Which guard. Written by its word; a word that is not known, of another release, is read as [`GateName::Other`], because what
        /// such a guard said stays worth showing.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
        pub enum GateName {
            $($(#[doc = $doc])+ #[serde(rename = $word)] $name,)+
            /// A guard that this release does not have.
            #[serde(rename = "another guard", other)]
            Other,
        }

        impl GateName {
            /// Its name, as it is written and shown.
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)+
                    Self::Other => "another guard",
                }
            }
        }
    };
}

gate_names! {
    /// Nobody told this incident to stop.
    Stop = "stop",
    /// The alert is not over.
    Alert = "alert",
    /// Nothing that this is part of is paused.
    Pause = "pause",
    /// The clock can be trusted.
    Clock = "clock",
    /// What was seen is recent enough.
    Fresh = "fresh",
    /// What is begun does no harm.
    Harm = "harm",
    /// The runbook is the one that the incident began with.
    Runbook = "runbook",
    /// The target is in the inventory.
    Inventory = "inventory",
    /// What the target rests on is well.
    Cause = "cause",
    /// What the runbook requires is so.
    Require = "require",
    /// The remedy applies.
    When = "when",
    /// There is something to act on.
    Selection = "selection",
    /// A single replica was seen failing.
    Failing = "failing",
    /// Harm would be seen.
    Watched = "watched",
    /// It is no storm.
    Storm = "storm",
    /// Now is no time to leave the target alone.
    Quiet = "quiet",
    /// Enough replicas stay well.
    Floor = "floor",
    /// Its cures did not come back too often.
    Recurrence = "recurrence",
    /// The breaker is closed.
    Breaker = "breaker",
    /// The runbook has not acted too often.
    Rate = "rate",
    /// Nor has anything on this target.
    TargetRate = "target rate",
    /// Nor has everything together.
    OverallRate = "overall rate",
    /// The budget of disruption is not spent.
    Disruption = "disruption",
    /// The last act is long enough ago.
    Cooldown = "cooldown",
    /// Not too many are at work.
    Turn = "turn",
    /// No other incident holds what it would touch.
    Hold = "hold",
    /// By whose word it may act: its own, a person's, nobody's.
    Mode = "mode",
    /// The evidence was captured.
    Evidence = "evidence",
    /// What is to be taken back is what was done.
    Identity = "identity",
    /// What is to be taken back can be seen.
    Sight = "sight",
}

impl fmt::Display for GateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_is_written_by_its_word_and_one_of_another_release_is_still_read() {
        let gate = Gate { name: GateName::TargetRate, open: true, why: "none in 1h".into() };
        let text = serde_json::to_string(&gate).unwrap();
        assert_eq!(text, r#"{"name":"target rate","open":true,"why":"none in 1h"}"#);
        assert_eq!(serde_json::from_str::<Gate>(&text).unwrap(), gate);
        let later: Gate = serde_json::from_str(r#"{"name":"weather","open":false,"why":"rain"}"#).unwrap();
        assert_eq!((later.name, later.name.word(), &*later.why), (GateName::Other, "another guard", "rain"));
    }

    /// A vector of thirty stays below the size from which the allocator of glibc tidies up its heap at every request (1,008 bytes).
    #[test]
    fn the_words_of_a_decision_are_small() {
        assert!(size_of::<Gate>() * 30 < 1_008, "{}", size_of::<Gate>());
    }
}
