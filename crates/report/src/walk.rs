//! Walks through an incident's events, and says at each what was so just before it. Why: "started what, after having seen what, on
//! which rung" is not in an event alone, and keeping it twice would let two accounts disagree. Deliberately no replay of the state
//! machine: that would cost a copy of the incident for each event, and a report must not fail on an event that it does not know.

use runbook::finding::Findings;
use runbook::incident::{Event, Incident};
use runbook::order::Purpose;
use runbook::time::Stamp;

/// One event, and what was so just before it.
pub(crate) struct Step<'a> {
    /// The event's sequence number: 0 is the opening.
    pub(crate) seq: u64,
    pub(crate) at: Stamp,
    pub(crate) event: &'a Event,
    /// The rung that was begun last, or that is skipped by this event.
    pub(crate) rung: usize,
    /// What was seen last, by whatever look.
    pub(crate) seen: Option<&'a Findings>,
    /// How many orders had been started.
    pub(crate) started: usize,
    /// What the last of them was for.
    pub(crate) purpose: Purpose,
}

/// The steps of an incident, in order.
pub(crate) fn steps<'a>(incident: &Incident, events: &'a [(Stamp, Event)]) -> Vec<Step<'a>> {
    let mut seen = None;
    let mut started = 0;
    let mut purpose = Purpose::Do;
    let mut rung = 0;
    let mut begun = false;
    let mut steps = Vec::with_capacity(events.len());
    for (seq, (at, event)) in (0_u64..).zip(events) {
        match event {
            // A rung that was begun is never skipped: it is the next one that is.
            Event::RungSkipped { .. } if begun => {
                rung += 1;
                begun = false;
            }
            Event::ActionStarted { order, .. } if order.purpose == Purpose::Do => {
                rung = incident.attempts.get(started).map_or(rung, |attempt| attempt.at.rung);
                begun = true;
            }
            _ => {}
        }
        steps.push(Step { seq, at: *at, event, rung, seen, started, purpose });
        match event {
            Event::Looked { findings }
            | Event::Verified { findings, .. }
            | Event::NotVerified { findings, .. }
            | Event::EndDue { findings, .. } => seen = Some(findings),
            Event::ActionStarted { order, .. } => {
                started += 1;
                purpose = order.purpose;
            }
            Event::RungSkipped { .. } => rung += 1,
            _ => {}
        }
    }
    steps
}
