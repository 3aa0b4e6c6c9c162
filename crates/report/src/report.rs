//! The report of an incident, as data: what was wrong, what exactly was done, the proof before and after, who was asked, what was
//! refused and why, how long it took, and what a person must do now. It is what `--json` prints and what the message and the text are
//! made from, so they cannot disagree. Every foreign text in it is inert already. Deliberately nothing in here is an opinion:
//! each line is read off an event. How it is read stands in `account`, how it is laid out in `sections`.

use runbook::condition::Value;
use runbook::identity::Identity;
use runbook::incident::{Event, Gate, Incident, IncidentId};
use runbook::order::Purpose;
use runbook::time::Stamp;
use serde::Serialize;

use crate::account;
use crate::message::{Draft, Message};
use crate::prose::Prose;
use crate::sections;
use crate::words::{self, Manner};

/// The report of one incident, also of one that is still open.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Report {
    /// Its number.
    pub incident: IncidentId,
    /// The runbook's name.
    pub runbook: String,
    /// The runbook's one sentence.
    pub summary: String,
    /// What it works on.
    pub target: String,
    /// Where it is, or how it ended: a word of [`Incident::word`].
    pub state: String,
    /// Why it ended so, or why nobody can see how its act ended; nothing in any other open one.
    pub why: Option<String>,
    /// It is closed.
    pub over: bool,
    /// A person has to go on.
    pub wants_a_person: bool,
    /// What opened it, in words.
    pub cause: String,
    /// The alerts that belong to it.
    pub alerts: Vec<JoinedAlert>,
    /// Every order that was started, in order.
    pub acts: Vec<Act>,
    /// What was seen before the first act and after the last.
    pub proof: Proof,
    /// Who was asked what.
    pub questions: Vec<Question>,
    /// What was not done, and why.
    pub refused: Vec<Refused>,
    /// What was kept before it was destroyed.
    pub evidence: Vec<Evidence>,
    /// What people wrote down.
    pub notes: Vec<Note>,
    /// When.
    pub times: Times,
    /// What a person must do now; a single line that says "nothing" when that is so.
    pub todo: Vec<String>,
}

/// An alert of an incident.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct JoinedAlert {
    /// The `alertname` label.
    pub name: String,
    /// Whether it fires, as last heard.
    pub firing: bool,
    /// When the episode began.
    pub since: Stamp,
}

/// One order that was started.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Act {
    /// Counts from 1.
    pub number: u32,
    /// To do, undo or end.
    pub purpose: Purpose,
    /// The rung's name.
    pub remedy: String,
    /// The action's name.
    pub action: String,
    /// What it was to change or run, beyond its name, where there is something to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
    /// What it worked on.
    pub target: String,
    /// How many things it was to touch.
    pub count: usize,
    /// Exactly which, each with what it was seen as.
    pub touched: Vec<Touched>,
    /// When it was committed.
    pub started: Stamp,
    /// What it raises by itself, and whether that was silenced, in a sentence; nothing where its step declares nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quieted: Option<String>,
    /// What the call replied. Never the proof.
    pub reply: Option<String>,
    /// What became of it by the look afterwards, in a few words; nothing while it is in doubt.
    pub became: Option<String>,
    /// What that look said; nothing while it is in doubt.
    pub settled: Option<String>,
    /// Whether the look says that it landed, at least in part.
    pub landed: Option<bool>,
    /// When a look settled it.
    pub settled_at: Option<Stamp>,
    /// Its effect is in force and has neither been undone nor ended.
    pub in_force: bool,
}

/// One thing that an order was to touch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Touched {
    /// Who exactly.
    pub identity: Identity,
    /// What it was seen as before.
    pub words: String,
}

/// What was seen before the first act and after the last, by the fields that decide.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Proof {
    /// The condition that proves the cure, as the runbook has it.
    pub condition: String,
    /// Whether it held for its time; nothing where that was not reached or could not be seen.
    pub held: Option<bool>,
    /// Since when it held.
    pub since: Option<Stamp>,
    /// When the look before the first act was over.
    pub before_at: Option<Stamp>,
    /// When the last look after it was over.
    pub after_at: Option<Stamp>,
    /// The fields that the conditions mention.
    pub fields: Vec<Compared>,
}

/// A field before and after.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Compared {
    /// `look.field`, as in conditions.
    pub field: String,
    /// Its unit, or nothing.
    pub unit: String,
    /// What it means.
    pub means: String,
    /// In the last look before the first act; without an act, in the last look.
    pub before: Option<Value>,
    /// In the last look after it.
    pub after: Option<Value>,
}

/// A question to a person.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Question {
    /// When it was asked.
    pub asked: Stamp,
    /// Until when an answer counted.
    pub expires: Stamp,
    /// What was asked for, in words.
    pub what: String,
    /// The identities as shown.
    pub shown: Vec<String>,
    /// The answer in words; nothing while it is open.
    pub answer: Option<String>,
    /// When it was answered.
    pub answered: Option<Stamp>,
}

/// Something that was not done.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Refused {
    /// When, the first time.
    pub at: Stamp,
    /// What was not done, in words.
    pub what: String,
    /// Why.
    pub why: String,
    /// How often in a row.
    pub times: u32,
    /// The guards that were closed.
    pub closed: Vec<Gate>,
}

/// What was kept before a step.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Evidence {
    /// When.
    pub at: Stamp,
    /// Content hashes.
    pub kept: Vec<String>,
    /// What could not be had.
    pub missing: Vec<String>,
}

/// What a person wrote down.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Note {
    /// When.
    pub at: Stamp,
    /// Who.
    pub by: String,
    /// What.
    pub words: String,
}

/// When things happened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Times {
    /// Start of the earliest alert.
    pub began: Option<Stamp>,
    /// When the incident was opened.
    pub opened: Stamp,
    /// When the first look was over.
    pub seen: Option<Stamp>,
    /// When the first order was started.
    pub first_act: Option<Stamp>,
    /// When verification held, the last time.
    pub verified: Option<Stamp>,
    /// When it was closed.
    pub closed: Option<Stamp>,
}

/// The report of an incident as its events tell it. Meant for closed ones; of an open one it says where it is.
pub fn final_report(incident: &Incident, events: &[(Stamp, Event)], manner: &Manner) -> Report {
    account::read(incident, events, manner)
}

impl Report {
    /// As a Slack message.
    pub fn message(&self, manner: &Manner) -> Message {
        let title = Prose::of(format!("{} ", self.incident)).say("report: ").say(&self.runbook).say(" on ").say(&self.target);
        let fallback = Prose::of(format!("{} ", self.incident)).join(sections::outcome(self));
        let footer =
            Prose::of("All of it: ").code(manner.show(self.incident)).say(", gate by gate: ").code(manner.explain(self.incident));
        let mut draft = Draft::new(Some(&title), &fallback, &footer, Prose::new().code(manner.show(self.incident)));
        for section in sections::sections(self, sections::Detail::Brief) {
            draft.heading(&Prose::new().strong(section.heading));
            for line in section.lines {
                draft.line(&Prose::of("• ").join(line));
            }
        }
        draft.finish()
    }

    /// As text for a terminal or a file: complete, no markup, nothing that steers.
    pub fn text(&self) -> String {
        let mut text =
            format!("{}  {} on {}\n", self.incident, Prose::of(&self.runbook).plain(), Prose::of(&self.target).plain());
        for section in sections::sections(self, sections::Detail::Full) {
            text.push_str(&format!("\n{}\n", section.heading));
            for line in section.lines {
                text.push_str(&format!("  {}\n", line.plain()));
            }
        }
        text
    }

    /// As JSON.
    ///
    /// # Errors
    /// When a value cannot be written, which no report has been seen to do.
    pub fn json(&self) -> anyhow::Result<serde_json::Value> {
        let mut value = serde_json::to_value(self)?;
        if let Some(object) = value.as_object_mut() {
            object.insert("name".to_owned(), self.incident.to_string().into());
        }
        Ok(value)
    }

    /// How long after the opening a moment was.
    pub(crate) fn after_opening(&self, at: Stamp) -> String {
        words::span(at.since(self.times.opened))
    }
}
