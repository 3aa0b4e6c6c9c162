//! From when a look's word on an order counts. Apart from the fold, because the engine that looks must wait for exactly what the fold
//! will accept.
//!
//! Why three times and not one: an abandoned call may still be carried out for a moment after its deadline; what has been started needs
//! longer, to become well; and a call that was answered with an error comes to nothing more. Waiting for the health of what was
//! never started would be an outage. Deliberately no clock.

use crate::finding::Finding;
use crate::incident::{Attempt, Reply};
use crate::order::{Purpose, Verdict};
use crate::time::Stamp;

impl Attempt {
    /// What a look says of the order, in the light of what the call replied: what a refused call was for may have come about by
    /// somebody else, and people are told so.
    pub fn verdict_on(&self, finding: &Finding) -> Verdict {
        let refused = matches!(self.reply, Some(Reply::Refused(_)));
        match self.order.verdict(finding) {
            // Of a command no look can tell; but what was not sent did not run. Of a taking back the tries are few, so they are not
            // spent within a moment.
            Verdict::Partly(_) if refused && self.order.purpose == Purpose::Do && self.order.leaves_no_trace() => {
                Verdict::NotLanded("nothing was sent".to_owned())
            }
            Verdict::Landed(why) if refused => Verdict::Landed(format!("{why}, though not by this call, which was refused")),
            seen => seen,
        }
    }

    /// From when this verdict counts; none for one that could not tell, which is the engine's patience with looking.
    pub fn counts_from(&self, verdict: &Verdict, finding: &Finding) -> Option<Stamp> {
        // Of a taking back the tries are few, so they are not spent within a moment.
        let to_do = self.order.purpose == Purpose::Do;
        let answered = matches!(self.reply, Some(Reply::Refused(_) | Reply::Failed(_)));
        let refused = matches!(self.reply, Some(Reply::Refused(_)));
        match verdict {
            Verdict::Landed(_) => Some(self.started),
            Verdict::Unknowable(_) => None,
            Verdict::NotLanded(_) if (refused && to_do) || (answered && self.order.is_void(finding)) => Some(self.started),
            // An end hurts nobody while it is tried, and what was in its way may go: its tries are not made all at once.
            Verdict::Partly(_) | Verdict::NotLanded(_) if self.order.purpose == Purpose::End => Some(self.settles_from),
            Verdict::Partly(_) | Verdict::NotLanded(_) if self.order.may_become_well(finding) => Some(self.settles_from),
            Verdict::Partly(_) | Verdict::NotLanded(_) if answered && to_do => Some(self.started),
            Verdict::Partly(_) | Verdict::NotLanded(_) => {
                Some(self.settles_from.min(self.deadline.plus(self.order.lands_within())))
            }
        }
    }

    /// A look's verdict with what the call itself said of its failure, which is often what there is to mend.
    pub(super) fn with_reply(&self, verdict: &Verdict) -> Verdict {
        let Some(Reply::Refused(said) | Reply::Failed(said)) = &self.reply else { return verdict.clone() };
        let both = |why: &str| format!("{why}; the act had said: {said}");
        match verdict {
            Verdict::NotLanded(why) => Verdict::NotLanded(both(why)),
            Verdict::Partly(why) => Verdict::Partly(both(why)),
            Verdict::Landed(_) | Verdict::Unknowable(_) => verdict.clone(),
        }
    }
}
