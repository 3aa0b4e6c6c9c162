//! What acts of ours stopped and did not start again: a restart that broke off in its middle. Why it is kept from look to look: an
//! incident may end where nobody looks any more (a no to a question, the undo of a later rung), and whoever is called then is to be
//! told, and is not called off by the end of an alert, which a stopped container may well bring about. Deliberately by names and words:
//! what is done about it is the step's own business, or a person's.

use crate::finding::{Finding, Findings};
use crate::incident::event::{Event, Reply};
use crate::incident::stage::{How, Stage};
use crate::incident::{Attempt, Incident};
use crate::order::{Order, Purpose, Verdict};

/// The words for what an act of ours stopped and did not start again.
pub fn was_stopped(name: &str) -> String {
    format!("{name} was stopped for a restart and has not started again")
}

impl Attempt {
    // Whether it may be what stopped something: it was sent, did not land, and what it was to restart ran before it.
    fn may_have_stopped(&self) -> bool {
        self.order.purpose == Purpose::Do
            && self.order.stops_and_starts()
            && !self.down_before
            && self.refused().is_none()
            && matches!(self.verdict, Some(Verdict::NotLanded(_)))
    }

    // What it left stopped by this look, by name.
    fn left_stopped(&self, seen: &Finding) -> Result<Option<String>, String> {
        match seen.unknown() {
            Some(why) => Err(why.to_owned()),
            None => Ok(self.order.left_down(seen)),
        }
    }
}

// The words for it; none where nothing is left stopped.
fn in_words(left: Result<Option<String>, String>) -> Option<String> {
    match left {
        Ok(name) => name.map(|name| was_stopped(&name)),
        Err(unseen) => Some(format!("whether what was to be restarted runs cannot be seen: {unseen}")),
    }
}

impl Incident {
    /// What an earlier try of the step that is next left stopped, by name, as far as that is seen: its call gave no answer, because
    /// the Engine died in the middle, and it has not started anew. It was permitted to be stopped and started, and half of that
    /// is done; so it is gone on with, whatever the alert, the requirement and the limits say of it now.
    pub fn left_down(&self, findings: &Findings) -> Option<String> {
        let last = self.last_attempt().filter(|last| last.at == self.at && last.order.purpose == Purpose::Do)?;
        let unanswered = matches!(last.reply, None | Some(Reply::NoAnswer(_)));
        if !unanswered || !matches!(last.verdict, Some(Verdict::NotLanded(_))) {
            return None;
        }
        last.order.left_down(self.selected_from(&last.order, findings)?)
    }

    /// What an act of this incident stopped and nobody has started again, by name, whichever step it was of: one that broke off or
    /// was answered with an error after the stop. None where nothing was; an error in words where that cannot be seen.
    ///
    /// # Errors
    /// Why it cannot be seen.
    pub fn left_stopped(&self, findings: &Findings) -> Result<Option<String>, String> {
        for attempt in self.attempts.iter().filter(|attempt| attempt.may_have_stopped()) {
            let seen = self.selected_from(&attempt.order, findings);
            let seen = seen.ok_or_else(|| format!("{} was not looked at", attempt.order.target))?;
            if let Some(name) = attempt.left_stopped(seen)? {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    /// The words for what an act of this incident left behind by these findings: something is stopped, or nobody can see whether it is.
    pub fn left_behind(&self, findings: &Findings) -> Option<String> {
        in_words(self.left_stopped(findings))
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
        for index in 0..self.attempts.len() {
            let Some(attempt) = self.attempts.get(index).filter(|attempt| attempt.may_have_stopped()) else { continue };
            let seen = match (findings, event) {
                (Some(findings), _) => self.selected_from(&attempt.order, findings),
                (None, Event::Settled { finding, .. }) => Some(finding).filter(|finding| {
                    settled.as_ref() == Some(&attempt.order.target) && finding.probe == attempt.order.action.facts().selects_from
                }),
                (None, _) => None,
            };
            let Some(seen) = seen else { continue };
            match in_words(attempt.left_stopped(seen)) {
                Some(words) => self.left.insert(index, words),
                None => self.left.remove(&index),
            };
        }
    }

    // Whatever else it is that ends like this, a person has to go on, now. Policy asks the same where it ends it.
    pub(super) fn is_stuck_with_what_is_left(&mut self) {
        if let (Some(left), Stage::Closing { how, why }) = (self.left.values().next(), &mut self.stage) {
            *how = How::Stuck;
            if !why.contains(left.as_str()) {
                *why = format!("{why}; {left}");
            }
        }
    }
}
