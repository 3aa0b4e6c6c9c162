//! How an order that is in doubt comes to its end. Only a look leads out of it: landed, not landed once the call can no longer
//! land, or, when no look could tell for a day, a person for good. Where no look can tell for a while a person is called and the
//! looks go on: what was begun may be half done, and whoever can see again is to finish it or take it back. Deliberately no clock:
//! the lengths of time stand here for whoever has one, and for people.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::finding::Finding;
use crate::incident::{Aim, Attempt, How, Incident, Reply, Stage};
use crate::order::{Purpose, Verdict};
use crate::time::Stamp;

/// How long after an order can no longer land its settling look may be blind before a person is called.
pub const CALLS_AFTER: Duration = Duration::from_secs(120);
/// How often it is looked at from then on.
pub const LOOKS_EVERY: Duration = Duration::from_secs(30);
/// How long after the call it is looked at before it is given up.
pub const GIVES_UP_AFTER: Duration = Duration::from_secs(86_400);
/// What an incident's end says that nobody could see the end of an act of.
pub const UNSEEN: &str = "cannot be known";
/// How often ending a lasting effect is tried, each time after a fresh look, before a person is called.
const ENDS_TRIED: usize = 3;

/// That a person is called because no look can tell how an order ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Unsettled {
    /// Since when no look could tell, without a break.
    pub since: Stamp,
    /// When a person was called.
    pub called: Stamp,
    /// Why no look can tell.
    pub why: String,
}

impl Incident {
    /// Why a person is called although it is not over: how its latest order ended cannot be seen. None once a look could tell.
    pub fn unsettled(&self) -> Option<&Unsettled> {
        match self.stage {
            Stage::InDoubt => self.last_attempt()?.unsettled.as_ref(),
            _ => None,
        }
    }

    // InDoubt stays. Once for each order, and not while its call may still land.
    pub(super) fn is_unsettled(&mut self, at: Stamp, since: Stamp, why: &str) -> Result<(), String> {
        let Stage::InDoubt = self.stage else { return Err("no order is in doubt".to_owned()) };
        let attempt = self.attempts.last_mut().ok_or("no order was started")?;
        if attempt.unsettled.is_some() {
            return Err("a person was called for this order already".to_owned());
        }
        if at < attempt.settles_from {
            return Err("the call may still land, so it is too early to call a person".to_owned());
        }
        attempt.unsettled = Some(Unsettled { since, called: at, why: why.to_owned() });
        Ok(())
    }

    // InDoubt → Looking | Verifying | Closing. Only a look leads out.
    pub(super) fn settled(&mut self, at: Stamp, verdict: &Verdict, finding: &Finding) -> Result<(), String> {
        let Stage::InDoubt = self.stage else { return Err("no order is in doubt".to_owned()) };
        let index = self.attempts.len().checked_sub(1).ok_or("no order was started")?;
        let attempt = self.attempts.last_mut().ok_or("no order was started")?;
        attempt.verdict = Some(verdict.clone());
        // A call that was refused before anything was sent cannot land later.
        let refused = attempt.refused().map(str::to_owned);
        if at < attempt.counts_from(verdict, finding).unwrap_or(attempt.settles_from) && refused.is_none() {
            return Err("the call may still land, so nothing but *landed* can be concluded yet".to_owned());
        }
        let (purpose, facts) = (attempt.order.purpose, attempt.order.action.facts());
        let (name, void) = (facts.name, attempt.order.is_void(finding));
        let left_down = attempt.order.left_down(finding).is_some();
        match (purpose, &attempt.with_reply(verdict)) {
            (Purpose::End, Verdict::NotLanded(why)) if void => {
                self.take_back(Aim::End);
                self.end(How::HandedOver, format!("there is nothing left of {name} to end: {why}"));
            }
            (_, Verdict::Unknowable(why)) => self.end(How::Stuck, format!("whether {name} landed {UNSEEN}: {why}")),
            // Of what did harm nothing more is done, but that what we ourselves stopped is started again.
            (Purpose::Do, Verdict::Landed(_) | Verdict::Partly(_)) if self.harm.is_some() => {
                self.applied.push(index);
                self.unwind("harm was seen");
            }
            (Purpose::Do, Verdict::NotLanded(_)) if self.harm.is_some() && !(left_down && self.may_decide_again()) => {
                self.unwind("harm was seen");
            }
            (Purpose::Do, Verdict::Partly(why)) if facts.whole => {
                self.applied.push(index);
                self.unwind(&format!("{name} landed only partly: {why}"));
            }
            (Purpose::Do, Verdict::Landed(_) | Verdict::Partly(_)) if facts.one_at_a_time => {
                self.applied.push(index);
                self.stage = Stage::Looking(Aim::Do);
            }
            (Purpose::Do, Verdict::Landed(_) | Verdict::Partly(_)) => {
                self.applied.push(index);
                self.at.step += 1;
                self.failing = None;
                let more = self.step().is_some();
                self.stage = if more { Stage::Looking(Aim::Do) } else { Stage::Verifying { since: at } };
            }
            (Purpose::Do, Verdict::NotLanded(_)) if self.may_decide_again() => self.stage = Stage::Looking(Aim::Do),
            (Purpose::Do, Verdict::NotLanded(why)) => match refused {
                Some(why) => self.unwind(&format!("{name} could not be done, and nothing was sent: {why}")),
                None => self.unwind(&format!("{name} did not land: {why}")),
            },
            (Purpose::Undo, Verdict::Landed(_)) => {
                self.take_back(Aim::Undo);
                self.unwind("what was done is undone");
            }
            (Purpose::Undo, Verdict::NotLanded(_)) if self.may_decide_again() => self.stage = Stage::Looking(Aim::Undo),
            (Purpose::Undo, Verdict::Partly(why) | Verdict::NotLanded(why)) => {
                self.end(How::Stuck, format!("undoing {name} failed: {why}"));
            }
            (Purpose::End, Verdict::Landed(_)) => {
                self.take_back(Aim::End);
                match (&self.harm, self.to_take_back(Aim::End).is_some()) {
                    // What else lasts has an end of its own, which need not have come.
                    (None, true) => self.stage = Stage::Sustaining { since: at },
                    (Some(_), true) => self.stage = Stage::Looking(Aim::End),
                    (None, false) if self.outlasted && self.still_fires() => {
                        let why = "its longest time is over, and the alert still fires: what it was for is not over";
                        self.end(How::HandedOver, format!("verified, but {name} has been ended because {why}"));
                    }
                    (None, false) => self.end(How::Cured, "verified, and every lasting effect has been ended".to_owned()),
                    (Some(why), false) => self.end(How::HandedOver, format!("{why}; what lasted has been ended")),
                }
            }
            (Purpose::End, Verdict::Partly(why) | Verdict::NotLanded(why)) => {
                let ends = self.attempts.iter().filter(|attempt| attempt.order.purpose == Purpose::End);
                let tries = ends.filter(|attempt| self.attempts.get(index).is_some_and(|last| last.at == attempt.at)).count();
                if tries >= ENDS_TRIED {
                    self.end(How::Stuck, format!("{name} could not be ended in {tries} tries: {why}"));
                } else {
                    self.stage = Stage::Looking(Aim::End);
                }
            }
        }
        Ok(())
    }

    // The call gave no answer (the process died, the server hung), a look after its last possible moment proves that nothing
    // landed, and it is the first time: then the step, or its undo, may be looked at and decided on once more. A call that did answer
    // and did not land is a remedy that does not work.
    fn may_decide_again(&self) -> bool {
        let Some(last) = self.attempts.last() else { return false };
        let unanswered = matches!(last.reply, None | Some(Reply::NoAnswer(_)));
        let same = |attempt: &&Attempt| {
            // Of a step that goes from one thing to the next, each has its own tries.
            attempt.at == last.at && attempt.order.purpose == last.order.purpose && {
                !attempt.order.action.facts().one_at_a_time || attempt.order.selection == last.order.selection
            }
        };
        let tries = self.attempts.iter().filter(same).count();
        unanswered && tries < 2
    }

    fn take_back(&mut self, aim: Aim) {
        if let Some(number) = self.to_take_back(aim).map(|attempt| attempt.number) {
            self.applied.retain(|index| self.attempts.get(*index).is_none_or(|attempt| attempt.number != number));
        }
    }
}
