//! What can happen to an incident. Events are durable: each has a kind and a version in the journal, and what an earlier
//! release wrote stays readable. Deliberately no secrets and no raw server replies: only what was seen, decided and done.

use serde::{Deserialize, Serialize};

use crate::alert::{Alert, AlertStatus, Fingerprint};
use crate::finding::{Finding, Findings};
use crate::incident::ask::{Answer, Ask, Proof};
use crate::incident::gate::Gate;
use crate::incident::stage::How;
use crate::incident::{IncidentId, StepRef};
use crate::order::{Order, Verdict};
use crate::silence::Quieted;
use crate::target::TargetId;
use crate::time::Stamp;

/// What opens an incident.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// An alert.
    Alert(Alert),
    /// A person, by name, with their words.
    Person {
        /// Who, as the command line or Slack knows them.
        by: String,
        /// What they said.
        words: String,
    },
    /// A calendar entry.
    Clock {
        /// The entry's name.
        entry: String,
    },
}

/// The first event.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Opening {
    /// The runbook's name; its text is found by the configuration's hash.
    pub runbook: String,
    /// What it works on.
    pub target: TargetId,
    /// What opened it.
    pub trigger: Trigger,
    /// The hash of the configuration in force.
    pub config: String,
}

/// What an incident waits for.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(
    clippy::large_enum_variant,
    reason = "an incident has one of these at a time, and a box would be in the way of every match"
)]
pub enum Waiting {
    /// A time: a cooldown's end.
    Time,
    /// Looks that can see.
    Sight,
    /// A pause to end.
    Pause,
    /// A person's answer.
    Person(Ask),
    /// Another incident that holds a target.
    Held {
        /// Which.
        by: IncidentId,
    },
    /// What its target rests on to be well again.
    Cause {
        /// What is not well, or not seen.
        of: TargetId,
        /// The incident that works on it, if one does.
        by: Option<IncidentId>,
    },
    /// Its turn: as many are at work as may be.
    Turn,
    /// The end of a time at which its target is left alone.
    Quiet,
    /// The clock to be trusted again.
    Clock,
    /// What becomes of another incident, which tries whether cures help again.
    Trial {
        /// Which.
        by: IncidentId,
    },
    /// A second look: by the first one no remedy applies.
    Remedy,
}

/// Evidence captured before a step.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Captured {
    /// Content hashes of what was kept.
    pub evidence: Vec<String>,
    /// What could not be had, and why.
    pub missing: Vec<String>,
}

/// What the call to the target replied. Never the proof of anything.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// It says that it did it.
    Done(String),
    /// It says that it may not.
    Refused(String),
    /// It says that it could not.
    Failed(String),
    /// No answer came.
    NoAnswer(String),
}

/// How the reply of a call begins that runbookd itself did not make.
const UNSENT: &str = "nothing was sent: ";

impl Reply {
    /// The reply of a call that runbookd did not make in the end. Unlike a refusal it may be tried again.
    pub fn unsent(why: &str) -> Self {
        Self::NoAnswer(format!("{UNSENT}{why}"))
    }

    /// Whether anything may have been sent.
    pub fn was_sent(&self) -> bool {
        match self {
            Self::Refused(_) => false,
            Self::NoAnswer(why) => !why.starts_with(UNSENT),
            Self::Done(_) | Self::Failed(_) => true,
        }
    }
}

/// Something that happened to an incident.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It was opened.
    Opened(Opening),
    /// Another alert belongs to it, or one changed.
    AlertHeard {
        /// Which.
        fingerprint: Fingerprint,
        /// Its name.
        name: String,
        /// Fires or not.
        status: AlertStatus,
        /// Start of the episode.
        starts_at: Stamp,
    },
    /// A person stopped it, for example by a silence.
    Stopped {
        /// Why, for people.
        why: String,
    },
    /// A person wrote something down.
    Noted {
        /// Who.
        by: String,
        /// What.
        words: String,
    },
    /// A person marked what was proposed or done, after it was over.
    Judged {
        /// Who.
        by: String,
        /// Right, or wrong.
        right: bool,
        /// Why, if they said.
        why: String,
    },
    /// A round of looks is over.
    Looked {
        /// What was seen.
        findings: Findings,
    },
    /// The findings were too old to act on.
    Stale {
        /// Why.
        why: String,
    },
    /// Policy says to wait.
    Waits {
        /// Until when.
        until: Stamp,
        /// For what.
        on: Waiting,
        /// Why, for people.
        why: String,
        /// Guard by guard.
        gates: Vec<Gate>,
    },
    /// The wait is over.
    Woke {
        /// Why.
        why: String,
    },
    /// A person answered.
    Answered {
        /// Which question.
        ask: String,
        /// How.
        answer: Answer,
    },
    /// The open question was told again.
    Reminded {
        /// Which question.
        ask: String,
        /// How many of its reminders are behind it with this one.
        through: u32,
    },
    /// Somebody tried to answer the open question and may not; it stays open.
    AnswerRefused {
        /// Which question.
        ask: String,
        /// Who, by the name they gave or proved.
        by: String,
        /// By what the name is known.
        #[serde(default)]
        proof: Proof,
        /// Why not.
        why: String,
    },
    /// Policy says that this rung does not apply.
    RungSkipped {
        /// Why.
        why: String,
        /// Guard by guard.
        gates: Vec<Gate>,
    },
    /// Policy says that the rest of this rung is not needed.
    Enough {
        /// Why.
        why: String,
    },
    /// Evidence for a step is kept.
    EvidenceCaptured {
        /// For which step.
        at: StepRef,
        /// What.
        captured: Captured,
    },
    /// An order was committed. From here on it is in doubt.
    ActionStarted {
        /// Exactly what.
        order: Order,
        /// One call, one deadline.
        deadline: Stamp,
        /// Anything but *landed* counts from here on, whatever was started by it.
        settles_from: Stamp,
        /// Guard by guard.
        gates: Vec<Gate>,
    },
    /// What the order raises by itself was silenced, or not, before its call.
    Quieted {
        /// Alert by alert.
        alerts: Vec<Quieted>,
    },
    /// The call replied, or did not.
    ActionReplied {
        /// What.
        reply: Reply,
    },
    /// For long no look could tell how it ended: a person is called, and the looks go on. At most once for each order.
    Unsettled {
        /// Since when no look could tell, without a break, as far as this life of the process has looked.
        since: Stamp,
        /// Why not, for people.
        why: String,
    },
    /// A look settled it.
    Settled {
        /// What the look says.
        verdict: Verdict,
        /// The look.
        finding: Finding,
    },
    /// The remedy's own condition held for its time.
    Verified {
        /// What was seen last.
        findings: Findings,
        /// Since when it held.
        since: Stamp,
    },
    /// The remedy's own condition did not hold in time.
    NotVerified {
        /// What was seen last.
        findings: Findings,
        /// Why, for people.
        why: String,
        /// It could not be seen at all, so nothing may be concluded.
        unseen: bool,
    },
    /// A watched condition came to hold that did not hold before the rung's first step, or could not be seen for too long.
    Harmed {
        /// The condition, as written.
        condition: String,
        /// What was seen.
        findings: Findings,
        /// Why, for people.
        why: String,
        /// It could not be seen, while an effect lasted.
        #[serde(default)]
        unseen: bool,
        /// Guard by guard; of what was seen outside a decision, this one alone.
        gates: Vec<Gate>,
    },
    /// A lasting effect is to be ended.
    EndDue {
        /// Why.
        why: String,
        /// What was seen.
        findings: Findings,
        /// Its longest time is over, and what it was for is not.
        #[serde(default)]
        outlasted: bool,
        /// The effect whose longest time is over, by its attempt's number; none where all that lasts may end.
        #[serde(default)]
        of: Option<u32>,
    },
    /// Policy or the ladder says that it is over.
    Ending {
        /// How.
        how: How,
        /// Why, for people.
        why: String,
        /// Guard by guard.
        gates: Vec<Gate>,
    },
    /// It is over, and the final report is in the outbox.
    Closed {
        /// How.
        how: How,
        /// Why, for people.
        why: String,
    },
}

impl Event {
    /// The kind under which the journal stores it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Event::Opened(_) => "opened",
            Event::AlertHeard { .. } => "alert_heard",
            Event::Stopped { .. } => "stopped",
            Event::Noted { .. } => "noted",
            Event::Judged { .. } => "judged",
            Event::Looked { .. } => "looked",
            Event::Stale { .. } => "stale",
            Event::Waits { .. } => "waits",
            Event::Woke { .. } => "woke",
            Event::Answered { .. } => "answered",
            Event::Reminded { .. } => "reminded",
            Event::AnswerRefused { .. } => "answer_refused",
            Event::RungSkipped { .. } => "rung_skipped",
            Event::Enough { .. } => "enough",
            Event::EvidenceCaptured { .. } => "evidence_captured",
            Event::ActionStarted { .. } => "action_started",
            Event::Quieted { .. } => "quieted",
            Event::ActionReplied { .. } => "action_replied",
            Event::Unsettled { .. } => "unsettled",
            Event::Settled { .. } => "settled",
            Event::Verified { .. } => "verified",
            Event::NotVerified { .. } => "not_verified",
            Event::Harmed { .. } => "harmed",
            Event::EndDue { .. } => "end_due",
            Event::Ending { .. } => "ending",
            Event::Closed { .. } => "closed",
        }
    }

    /// Every kind; the crash tests make their matrix from it.
    pub const KINDS: [&'static str; 26] = [
        "opened",
        "alert_heard",
        "stopped",
        "noted",
        "judged",
        "looked",
        "stale",
        "waits",
        "woke",
        "answered",
        "reminded",
        "answer_refused",
        "rung_skipped",
        "enough",
        "evidence_captured",
        "action_started",
        "quieted",
        "action_replied",
        "unsettled",
        "settled",
        "verified",
        "not_verified",
        "harmed",
        "end_due",
        "ending",
        "closed",
    ];

    /// The version of the stored form of every kind. Raised when a kind's form changes; `upgrade` in the journal reads the old.
    pub const VERSION: u32 = 1;
}
