//! What people answered, and what of it was not taken. How many questions wait is `incidents_open{stage="asking"}`. Labels are
//! closed enums: no name of a person makes a series.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use runbook::incident::{Answer, Event};

use super::{Metrics, named};

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct ByAnswer {
    answer: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct ByReason {
    reason: &'static str,
}

/// Why answers are not taken.
const REASONS: [&str; 10] =
    ["unknown", "answered", "expired", "superseded", "moved_on", "unproved", "not_allowed", "own", "configuration", "journal"];

/// What is counted of people.
pub(super) struct People {
    answers: Family<ByAnswer, Counter>,
    refused: Family<ByReason, Counter>,
    reminders: Counter,
}

impl People {
    pub(super) fn new(to: &mut Registry) -> Self {
        let people = Self {
            answers: named(to, "answers", "Questions that were answered, by how; expired is nobody's answer", Family::default()),
            refused: named(to, "answers_refused", "Answers that were not taken, by why", Family::default()),
            reminders: named(to, "reminders", "Times that an open question was told again", Counter::default()),
        };
        for answer in ["granted", "denied", "expired"] {
            let _ = people.answers.get_or_create(&ByAnswer { answer });
        }
        for reason in REASONS {
            let _ = people.refused.get_or_create(&ByReason { reason });
        }
        people
    }
}

impl Metrics {
    /// A question was answered, or nobody did in time.
    pub fn answered(&self, answer: &Answer) {
        let answer = match answer {
            Answer::Granted { .. } => "granted",
            Answer::Denied { .. } => "denied",
            Answer::Expired => "expired",
        };
        self.people.answers.get_or_create(&ByAnswer { answer }).inc();
    }

    /// An answer was not taken, for one of the closed list of reasons.
    pub fn answer_refused(&self, reason: &'static str) {
        self.people.refused.get_or_create(&ByReason { reason }).inc();
    }

    /// What the engine did with a question.
    pub(super) fn asked(&self, event: &Event) {
        match event {
            Event::Answered { answer, .. } => self.answered(answer),
            Event::Reminded { .. } => {
                self.people.reminders.inc();
            }
            _ => {}
        }
    }
}
