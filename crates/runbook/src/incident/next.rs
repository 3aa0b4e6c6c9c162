//! What the engine has to do next, read off the stage alone. Recovery is not a second path: after a restart the same
//! question gives the same answer. Deliberately no decision here.

use crate::incident::Incident;
use crate::incident::event::Waiting;
use crate::incident::stage::{Aim, How, Stage};
use crate::time::Stamp;

/// What is to be done next.
#[derive(Clone, PartialEq, Debug)]
pub enum Next {
    /// Look, at everything the runbook names.
    Look(Aim),
    /// Ask policy.
    Decide(Aim),
    /// Nothing before this moment, or before what it waits for happens.
    WaitUntil(Stamp),
    /// A person is asked: nothing before the question is due to be told again, or expires.
    Answer {
        /// Which.
        ask: String,
        /// When it is due.
        due: Stamp,
        /// When it expires.
        expires: Stamp,
    },
    /// Look whether the order in doubt landed.
    Settle,
    /// Look until the remedy's condition has held, or its time is over.
    Verify,
    /// Look whether the lasting effect is to be ended.
    Sustain,
    /// Close, with the final report.
    Close {
        /// How.
        how: How,
        /// Why.
        why: String,
    },
    /// Nothing, ever.
    Nothing,
}

impl Incident {
    /// What is to be done next.
    pub fn next(&self) -> Next {
        match &self.stage {
            Stage::Looking(aim) => Next::Look(*aim),
            Stage::Deciding { aim, .. } => Next::Decide(*aim),
            Stage::Waiting { on: Waiting::Person(ask), .. } => {
                Next::Answer { ask: ask.id.clone(), due: self.question_due(ask), expires: ask.expires }
            }
            Stage::Waiting { until, .. } => Next::WaitUntil(*until),
            Stage::InDoubt => Next::Settle,
            Stage::Verifying { .. } => Next::Verify,
            Stage::Sustaining { .. } => Next::Sustain,
            Stage::Closing { how, why } => Next::Close { how: *how, why: why.clone() },
            Stage::Closed { .. } => Next::Nothing,
        }
    }
}
