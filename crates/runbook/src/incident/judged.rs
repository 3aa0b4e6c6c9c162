//! What a person says of an incident afterwards: that what was proposed or done was right, or wrong. Why in the fold: a mark is a
//! fact like any other, refused with a reason where it makes no sense. What marks earn is policy's; nothing is counted here.

use crate::incident::event::{Event, Waiting};
use crate::incident::gate::GateName;
use crate::incident::stage::{How, Stage};
use crate::incident::{Attempt, Incident};
use crate::order::Purpose;
use crate::time::Stamp;

/// A person's mark.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mark {
    /// Who.
    pub by: String,
    /// Right, or wrong.
    pub right: bool,
    /// When.
    pub at: Stamp,
    /// It takes an earlier *right* back.
    pub corrects: bool,
}

/// What a mark is about, and the mark.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Weighed {
    /// It said exactly what it would do: a person was asked, or its mode was to observe.
    pub proposed: bool,
    /// It acted, and at least once without a person's agreement to that very act.
    pub by_itself: bool,
    /// What a person said of it.
    pub judged: Option<Mark>,
}

impl Incident {
    /// Whether it acted, and ended in a person's hands: its own proof that it went wrong.
    pub fn went_wrong(&self) -> bool {
        matches!(self.stage, Stage::Closed { how: How::HandedOver | How::Stuck, .. }) && self.acted()
    }

    /// Whether it was cured by acts to each of which a person had agreed.
    pub fn cured_with_agreement(&self) -> bool {
        let acted = |attempt: &Attempt| attempt.order.purpose == Purpose::Do;
        matches!(self.stage, Stage::Closed { how: How::Cured, .. }) && self.attempts.iter().any(acted) && !self.weighed.by_itself
    }

    /// Whether a person may mark it like this.
    ///
    /// # Errors
    /// Why not, for people.
    pub fn may_be_judged(&self, right: bool) -> Result<(), String> {
        if !self.is_closed() {
            return Err("it is not over yet, and is marked when it is".to_owned());
        }
        if !self.weighed.proposed && !self.acted() {
            return Err("it neither proposed nor did anything, so there is nothing to mark".to_owned());
        }
        // A mark can be taken back towards *wrong* only: what was lost by it is earned anew, by others.
        match &self.weighed.judged {
            Some(earlier) if !earlier.right => Err(format!("{} marked it wrong at {}, and that stands", earlier.by, earlier.at)),
            Some(earlier) if right => Err(format!("{} marked it right at {} already", earlier.by, earlier.at)),
            _ => Ok(()),
        }
    }

    pub(crate) fn judge(&mut self, at: Stamp, by: &str, right: bool) -> Result<(), String> {
        if by.trim().is_empty() {
            return Err("a mark has the name of whoever makes it".to_owned());
        }
        self.may_be_judged(right)?;
        let corrects = self.weighed.judged.is_some();
        self.weighed.judged = Some(Mark { by: by.to_owned(), right, at, corrects });
        Ok(())
    }

    /// Remembers what there will be to mark.
    pub(crate) fn weigh(&mut self, event: &Event) {
        let said_what = match event {
            Event::Waits { on: Waiting::Person(_), .. } => true,
            Event::Ending { how: How::Refused, gates, .. } => {
                gates.last().is_some_and(|gate| !gate.open && gate.name == GateName::Mode)
            }
            _ => false,
        };
        self.weighed.proposed |= said_what;
    }
}
