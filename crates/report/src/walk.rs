//! Walks through an incident's events, and says at each where the incident stood just before. Why: "started what, after having seen
//! what, on which rung" is not in an event alone, and keeping it twice would let two accounts disagree. Deliberately forgiving: an
//! event that the state machine refuses is still told, with the incident as it last stood, because a report must never fail.

use std::sync::Arc;

use runbook::finding::Findings;
use runbook::incident::{Event, Incident};
use runbook::time::Stamp;

/// One event, and what was so just before it.
pub(crate) struct Step<'a> {
    /// The event's sequence number: 0 is the opening.
    pub(crate) seq: u64,
    pub(crate) at: Stamp,
    pub(crate) event: &'a Event,
    /// The rung it stood on.
    pub(crate) rung: usize,
    /// What was seen last, by whatever look.
    pub(crate) seen: Option<&'a Findings>,
    /// How many orders had been started.
    pub(crate) started: usize,
}

/// The steps of an incident, in order.
pub(crate) fn steps<'a>(incident: &'a Incident, events: &'a [(Stamp, Event)]) -> Vec<Step<'a>> {
    let mut so_far: Option<Incident> = None;
    let mut seen = None;
    let mut started = 0;
    let mut steps = Vec::with_capacity(events.len());
    for (seq, (at, event)) in (0_u64..).zip(events) {
        let rung = so_far.as_ref().map_or(0, |incident| incident.at.rung);
        steps.push(Step { seq, at: *at, event, rung, seen, started });
        match (event, so_far.as_mut()) {
            (Event::Opened(opening), None) => {
                so_far = Some(Incident::open(incident.id, Arc::clone(&incident.runbook), *at, opening));
            }
            // What the state machine refuses changes nothing, and is told all the same.
            (event, Some(so_far)) => drop(so_far.apply(*at, event)),
            (_, None) => {}
        }
        match event {
            Event::Looked { findings }
            | Event::Verified { findings, .. }
            | Event::NotVerified { findings, .. }
            | Event::EndDue { findings, .. } => seen = Some(findings),
            Event::ActionStarted { .. } => started += 1,
            _ => {}
        }
    }
    steps
}
