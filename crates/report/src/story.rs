//! The story of an incident: one reply in its thread per event that a person would want to know, with the event's sequence number as
//! key, so that delivery can be repeated and nothing is told twice. Deliberately not every look, not every repetition of the same
//! wait, and no reminder of a question that is answered: a thread that scrolls is not read. All of it is in `incidents show`.

use runbook::incident::{Event, Incident};
use runbook::time::Stamp;

use crate::message::{Draft, Message};
use crate::prose::Prose;
use crate::sentence::{Voice, sentence};
use crate::walk::{Step, steps};
use crate::words::{self, Manner};

/// One reply in an incident's thread.
#[derive(Clone, PartialEq, Debug)]
pub struct ThreadEntry {
    /// The event's sequence number, from 0: stable for ever.
    pub key: u64,
    /// When it happened.
    pub at: Stamp,
    /// What is said.
    pub line: Prose,
    /// It is also shown in the channel, because a person is wanted.
    pub loud: bool,
}

impl ThreadEntry {
    /// As a message.
    pub fn message(&self, incident: &Incident, manner: &Manner) -> Message {
        let line = Prose::of(words::moment(self.at, incident.opened)).say("  ").join(self.line.clone());
        let fallback = Prose::of(format!("{}: ", incident.id)).join(self.line.clone());
        let mut draft = Draft::new(None, &fallback, &Prose::new(), Prose::new().code(manner.show(incident.id)));
        // A long sentence (a dozen named sessions) is allowed more room than one line of a report.
        for part in line.broken(1_000) {
            draft.line(&part);
        }
        draft.finish()
    }
}

/// The replies for everything that happened, in order, without the closing: that one is the final report.
pub fn story(incident: &Incident, events: &[(Stamp, Event)], manner: &Manner) -> Vec<ThreadEntry> {
    let mut told = Vec::new();
    let mut last_wait: Option<String> = None;
    for step in steps(incident, events) {
        if matches!(step.event, Event::Closed { .. }) {
            continue;
        }
        if let Event::Reminded { ask, .. } = step.event
            && incident.question().is_none_or(|open| open.id != *ask)
        {
            // Whoever is reminded of a question that is answered would look for it in vain.
            continue;
        }
        let (voice, line) = sentence(incident, &step, manner);
        if voice < Voice::Follow || repeats(&step, &mut last_wait) {
            continue;
        }
        told.push(ThreadEntry { key: step.seq, at: step.at, line, loud: voice == Voice::Channel });
    }
    told
}

// Waiting again for the same reason is not news, until something else was.
fn repeats(step: &Step<'_>, last: &mut Option<String>) -> bool {
    let Event::Waits { why, on, .. } = step.event else {
        *last = None;
        return false;
    };
    if let runbook::incident::Waiting::Person(_) = on {
        *last = None;
        return false;
    }
    // A reason may count seconds or tries; that it counts on is no news.
    let same = last.as_deref().is_some_and(|last| words::same_but_for_numbers(last, why));
    *last = Some(why.clone());
    same
}
