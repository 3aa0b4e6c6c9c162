//! What acts of ours left down: a restart that broke off in its middle, or brought something up that went down again. Why it is kept
//! from look to look: an incident may end where nobody looks any more (the undo of a later rung), and whoever is called then is to be
//! told, and is not called off by the end of an alert, which a stopped container may well bring about. Deliberately by names and words:
//! what is done about it is the step's own business, or a person's.

use crate::finding::{Finding, Findings};
use crate::incident::event::{Event, Reply};
use crate::incident::stage::{Aim, How, Stage};
use crate::incident::{Attempt, Incident};
use crate::order::{Order, Purpose, Verdict};

/// The words for what an act of ours stopped and did not start again.
pub fn was_stopped(name: &str) -> String {
    format!("{name} was stopped for a restart and has not started again")
}

/// The words for what an act of ours brought up and that did not stay up.
fn is_down_again(name: &str) -> String {
    format!("{name} was restarted and is down again")
}

impl Attempt {
    /// Whether something was sent for it, as far as is known.
    pub fn was_sent(&self) -> bool {
        self.refused().is_none() && self.reply.as_ref().is_none_or(Reply::was_sent)
    }

    // Whether it may be why something is down: it was sent, is over, and what it was to restart ran before it.
    fn may_have_stopped(&self) -> bool {
        let restarts = self.order.purpose == Purpose::Do && self.order.stops_and_starts();
        restarts && self.verdict.is_some() && !self.down_before && self.was_sent()
    }

    // What is down of it by this look, in words.
    fn left_down(&self, seen: &Finding) -> Option<String> {
        let stopped = self.order.left_down(seen).map(|name| was_stopped(&name));
        stopped.or_else(|| self.order.down_again(seen).map(|name| is_down_again(&name)))
    }
}

impl Incident {
    /// What an earlier try of the step that is next left stopped, by name, as far as that is seen: its call gave no answer, because
    /// the Engine died in the middle, and it has not started anew. It was permitted to be stopped and started, and half of that
    /// is done; so it is gone on with, whatever the alert, the requirement and the limits say of it now.
    pub fn left_down(&self, findings: &Findings) -> Option<String> {
        self.last_attempt().filter(|last| last.was_sent())?;
        self.was_left_down(findings)
    }

    // The same, also of what was not sent in the end: that was gone on with by an earlier release, whose record is to be read.
    pub(super) fn was_left_down(&self, findings: &Findings) -> Option<String> {
        let last = self.last_attempt().filter(|last| last.at == self.at && last.order.purpose == Purpose::Do)?;
        let unanswered = matches!(last.reply, None | Some(Reply::NoAnswer(_)));
        if !unanswered || !matches!(last.verdict, Some(Verdict::NotLanded(_))) {
            return None;
        }
        last.order.left_down(self.selected_from(&last.order, findings)?)
    }

    /// What acts of this incident left down, in words, whichever steps they were of. None where nothing is; an error in words where the
    /// latest look that saw it says so, and these findings do not see it.
    ///
    /// # Errors
    /// Why it cannot be seen.
    pub fn left_stopped(&self, findings: &Findings) -> Result<Option<&str>, String> {
        for (index, words) in &self.left {
            let Some(attempt) = self.attempts.get(*index) else { continue };
            match self.selected_from(&attempt.order, findings).map(Finding::unknown) {
                None => return Err(format!("{} was not looked at", attempt.order.target)),
                Some(Some(why)) => return Err(why.to_owned()),
                Some(None) => return Ok(Some(words)),
            }
        }
        Ok(None)
    }

    /// The same by whatever look saw it last: what is not seen is as it was.
    pub fn left_behind(&self) -> Option<&str> {
        self.left.values().next().map(String::as_str)
    }

    // Whether an effect lasts until its end. Of a proof with something left down an earlier release kept it up until that came.
    pub(super) fn sustains(&self) -> bool {
        match self.stage {
            Stage::Sustaining { .. } => true,
            Stage::Closing { .. } => self.left_behind().is_some() && self.to_take_back(Aim::End).is_some(),
            _ => false,
        }
    }

    // What the look that an order selects from saw of its target.
    fn selected_from<'a>(&self, order: &Order, findings: &'a Findings) -> Option<&'a Finding> {
        self.seen_at(findings, order.action.facts().selects_from, &order.target)
    }

    // Takes in what the look that this event brings says of it. What that look was not at stays as it was.
    pub(super) fn see_what_is_left(&mut self, event: &Event) {
        let findings = match event {
            Event::Looked { findings }
            | Event::Verified { findings, .. }
            | Event::NotVerified { findings, .. }
            | Event::Harmed { findings, .. } => Some(findings),
            Event::Settled { .. } => None,
            _ => return,
        };
        // A settling look is at the target of its order, by the probe that all orders of that kind are seen by.
        let settled = self.last_attempt().map(|last| last.order.target.clone());
        for index in self.proved..self.attempts.len() {
            let Some(attempt) = self.attempts.get(index).filter(|attempt| attempt.may_have_stopped()) else { continue };
            let seen = match (findings, event) {
                (Some(findings), _) => self.selected_from(&attempt.order, findings),
                (None, Event::Settled { finding, .. }) => Some(finding).filter(|finding| {
                    settled.as_ref() == Some(&attempt.order.target) && finding.probe == attempt.order.action.facts().selects_from
                }),
                (None, _) => None,
            };
            // An order is settled by a look that sees, so what is unknown now was known before, and nobody saw it change.
            let Some(seen) = seen.filter(|seen| seen.unknown().is_none()) else { continue };
            match attempt.left_down(seen) {
                Some(words) => self.left.insert(index, words),
                None => self.left.remove(&index),
            };
        }
    }

    // Whatever else it is that ends like this, a person has to go on, now. Policy asks the same where it ends it.
    pub(super) fn is_stuck_with_what_is_left(&mut self) {
        if let (Some(left), Stage::Closing { how, why }) = (self.left.values().next(), &mut self.stage) {
            *how = How::Stuck;
            if !why.contains(left) {
                *why = format!("{why}; {left}");
            }
        }
    }
}
