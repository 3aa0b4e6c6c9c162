//! The incident: what runbookd opens for an alert it has a runbook for, as the fold of its events.
//!
//! Why a fold: being in the middle of an action and having crashed in the middle of one are then the same state with the
//! same way out. [`event`] lists what can happen, [`stage`] where an incident can be, [`fold`] which event leads where
//! (anything not listed is an [`IllegalEvent`]), [`settled`] how an order that is in doubt comes to its end, [`next`] what the engine has to do. Deliberately no clock, no I/O, and no
//! opinion on *whether* to act: that is `policy`.

pub mod ask;
mod attempt;
pub mod event;
pub mod fold;
pub mod gate;
pub mod harm;
pub mod judged;
mod left;
mod looked;
pub mod next;
mod quieted;
pub mod settled;
pub mod stage;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use ask::{Answer, Ask, Grant, Proof};
pub use event::{Captured, Event, Opening, Reply, Trigger, Waiting};
pub use fold::IllegalEvent;
pub use gate::{Gate, GateName};
pub use harm::{Judged, Watch};
pub use judged::{Mark, Weighed};
pub use left::was_stopped;
pub use next::Next;
pub use settled::Unsettled;
pub use stage::{Aim, How, Stage};

use crate::action::Lasts;
use crate::alert::{AlertStatus, Fingerprint};
use crate::book::{Guard, Remedy, Runbook, Step};
use crate::finding::{Finding, Findings};
use crate::identity::Identity;
use crate::order::{Order, Purpose, Verdict};
use crate::silence::Silence;
use crate::target::{Inventory, Kind, TargetId};
use crate::time::Stamp;

/// The number of an incident, shown as `INC-42`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IncidentId(pub u64);

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "INC-{}", self.0)
    }
}

impl FromStr for IncidentId {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix("INC-").or_else(|| text.strip_prefix("inc-")).unwrap_or(text);
        digits.parse().map(Self).map_err(|_| "an incident is named INC-NUMBER or NUMBER".to_owned())
    }
}

/// An alert that belongs to an incident.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JoinedAlert {
    /// The `alertname` label.
    pub name: String,
    /// As last heard.
    pub status: AlertStatus,
    /// When this episode began.
    pub starts_at: Stamp,
}

/// One order that was started, and what became of it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Attempt {
    /// Counts from 1 within the incident.
    pub number: u32,
    /// Which rung and step it belongs to.
    pub at: StepRef,
    /// What exactly was ordered.
    pub order: Order,
    /// When it was committed.
    pub started: Stamp,
    /// One call, one deadline.
    pub deadline: Stamp,
    /// From when anything but *landed* counts, whatever was started; see [`Attempt::counts_from`].
    pub settles_from: Stamp,
    /// What the call replied, if it did. Never the proof.
    pub reply: Option<Reply>,
    /// That a person was called because no look could tell how it ended, if one was.
    #[serde(default)]
    pub unsettled: Option<Unsettled>,
    /// What the look afterwards said.
    pub verdict: Option<Verdict>,
    /// What it was to restart was down already, so that it is not what stopped it.
    #[serde(default)]
    pub down_before: bool,
    /// What Alertmanager was asked to keep quiet meanwhile.
    #[serde(default)]
    pub silences: Vec<Silence>,
}

impl Attempt {
    /// Why nothing was sent, where the call was refused and the look found it undone: what was never tried is no cure that failed.
    pub fn refused(&self) -> Option<&str> {
        match (&self.reply, &self.verdict) {
            (Some(Reply::Refused(why)), Some(Verdict::NotLanded(_))) => Some(why),
            _ => None,
        }
    }
}

/// A place on the ladder.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct StepRef {
    /// The rung, from 0.
    pub rung: usize,
    /// The step within it, from 0.
    pub step: usize,
}

/// A target seen failing, look after look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Failing {
    /// The first of these looks.
    pub since: Stamp,
    /// The latest of them.
    pub latest: Stamp,
    /// How many; one alone may be a moment's trouble.
    pub looks: u32,
}

/// An incident as its events leave it.
#[derive(Clone, PartialEq, Debug)]
pub struct Incident {
    /// Its number.
    pub id: IncidentId,
    /// How many events it has; the next one gets this sequence number.
    pub seq: u64,
    /// When it was opened.
    pub opened: Stamp,
    /// The stamp of its last event.
    pub last: Stamp,
    /// The runbook as declared when it was opened.
    pub runbook: Arc<Runbook>,
    /// What it works on.
    pub target: TargetId,
    /// What opened it.
    pub trigger: Trigger,
    /// The alerts that belong to it.
    pub alerts: BTreeMap<Fingerprint, JoinedAlert>,
    /// Where it is.
    pub stage: Stage,
    /// Where on the ladder it is.
    pub at: StepRef,
    /// Landed steps of this rung whose effect is in force, oldest first: indices into `attempts`.
    pub applied: Vec<usize>,
    /// Everything that was started.
    pub attempts: Vec<Attempt>,
    /// Steps whose evidence was captured, and whether completely.
    pub captured: BTreeMap<StepRef, Captured>,
    /// Evidence of what taking back or ending would destroy, for what is taken back next.
    pub captured_back: Option<Captured>,
    /// Since when, without a break, the step that is next was seen to be needed by what its target is like.
    pub failing: Option<Failing>,
    /// What the guard of this rung goes by, from the rung's first step on.
    pub watch: Option<Watch>,
    /// The harm that stopped it, in words for people, if any did.
    pub harm: Option<String>,
    /// An effect is ended because its longest time is over, and not because what it was for is.
    pub outlasted: bool,
    /// The lasting effect whose longest time is over, by its attempt's number: that one is ended, whatever else lasts.
    pub ending: Option<u32>,
    /// A person's agreement that is not yet used.
    pub grant: Option<Grant>,
    /// How many reminders of the open question are behind it.
    pub reminded: u32,
    /// Since when, without a break, looks could not see what has to be known to decide anything.
    pub unseen_since: Option<Stamp>,
    /// Since when, without an act in between, it is kept from acting by what is around it: a cause, others at work or at its target, a
    /// quiet time.
    pub kept_since: Option<Stamp>,
    /// Since when, without a break, no remedy applies by what was seen.
    pub none_applies_since: Option<Stamp>,
    /// Why a person stopped it, if one did (a silence).
    pub stopped: Option<String>,
    /// What acts of ours left down by the latest look on record at each that saw it, in words: by the attempt's place in `attempts`.
    pub left: BTreeMap<usize, String>,
    /// How it ends after one more look, because a person said no or nobody answered while something was left down.
    pub declined: Option<(How, String)>,
    /// So many of its attempts were proved, with nothing of them down: what goes down later is not their doing.
    pub proved: usize,
    /// What a person can say of it afterwards, and did.
    pub weighed: Weighed,
}

impl Incident {
    /// The remedy it is at; none past the end of the ladder.
    pub fn remedy(&self) -> Option<&Remedy> {
        self.runbook.remedies.get(self.at.rung)
    }

    /// What stops the remedy it is at, where that says so.
    pub fn guard(&self) -> Option<&Guard> {
        self.remedy()?.guard.as_ref()
    }

    /// The step it is at; none past the end of the rung.
    pub fn step(&self) -> Option<&Step> {
        self.remedy()?.steps.get(self.at.step)
    }

    /// Whether every alert that belongs to it is resolved. Never true for an incident that no alert opened.
    pub fn alerts_are_over(&self) -> bool {
        !self.alerts.is_empty() && self.alerts.values().all(|alert| alert.status == AlertStatus::Resolved)
    }

    /// Where it is, or how it ended, in a word for metrics, lists and messages.
    pub fn word(&self) -> &'static str {
        if self.unsettled().is_some() { Stage::UNSETTLED } else { self.stage.word() }
    }

    /// Whether it is over.
    pub fn is_closed(&self) -> bool {
        matches!(self.stage, Stage::Closed { .. })
    }

    /// Whether it needs its targets for itself: from the start of an effect until the effect is proved, undone or ended.
    pub fn needs_holds(&self) -> bool {
        match &self.stage {
            Stage::InDoubt | Stage::Verifying { .. } | Stage::Sustaining { .. } => true,
            Stage::Looking(aim) | Stage::Deciding { aim, .. } | Stage::Waiting { aim, .. } => {
                !self.applied.is_empty() || *aim != Aim::Do
            }
            Stage::Closing { .. } | Stage::Closed { .. } => false,
        }
    }

    /// What the look at this target that an action selects from saw.
    pub fn seen_at<'a>(&self, findings: &'a Findings, probe: &str, target: &TargetId) -> Option<&'a Finding> {
        let looks = self.runbook.look.iter();
        let named =
            looks.filter(|(_, look)| look.probe.name() == probe && look.target.as_ref().unwrap_or(&self.target) == target);
        named.map(|(name, _)| name).find_map(|name| findings.looks.get(name))
    }

    /// What was ordered at the step that is next: what landed of it, and all of it.
    pub fn ordered_here(&self) -> (BTreeSet<Identity>, BTreeSet<Identity>) {
        let (mut done, mut tried) = (BTreeSet::new(), BTreeSet::new());
        for attempt in self.attempts.iter().filter(|attempt| attempt.at == self.at && attempt.order.purpose == Purpose::Do) {
            tried.extend(attempt.order.selection.iter().cloned());
            if matches!(attempt.verdict, Some(Verdict::Landed(_) | Verdict::Partly(_))) {
                done.extend(attempt.order.selection.iter().cloned());
            }
        }
        (done, tried)
    }

    /// Whether the step that is next goes on with what it has begun: one replica after another.
    pub fn goes_on(&self) -> bool {
        self.step().is_some_and(|step| step.action.facts().one_at_a_time)
            && self.applied.iter().filter_map(|index| self.attempts.get(*index)).any(|attempt| attempt.at == self.at)
    }

    /// Every target that the remedy touches, its own first: they are held together from its first step, so that two
    /// incidents never each hold what the other waits for.
    pub fn remedy_touches(&self) -> Vec<TargetId> {
        self.touches().into_iter().cloned().collect()
    }

    /// The same, for who only asks whether something is among them: a decision does so again and again.
    pub fn touches(&self) -> Vec<&TargetId> {
        let mut touched = vec![&self.target];
        let steps = self.remedy().map_or(&[][..], |remedy| &remedy.steps);
        let taken_back = [Aim::Undo, Aim::End].into_iter().filter_map(|aim| self.to_take_back(aim)).map(|a| &a.order.target);
        for target in steps.iter().filter_map(|step| step.target.as_ref()).chain(taken_back) {
            if !touched.contains(&target) {
                touched.push(target);
            }
        }
        touched
    }

    /// The targets beside it that are looked at in the same round: what its own rest on directly, and databases that rest on what
    /// it would touch, whose backups are not to be cut. What it touches itself is no cause to wait for.
    pub fn beside(&self, inventory: &Inventory) -> BTreeSet<TargetId> {
        let touched = self.touches();
        let needed = touched.iter().filter_map(|id| inventory.get(id)).flat_map(|target| &target.traits.depends_on);
        let leaning = touched.iter().flat_map(|id| inventory.leaning_on(id)).filter(|id| id.kind == Kind::Postgres);
        needed.chain(leaning).filter(|id| !touched.contains(id)).cloned().collect()
    }

    /// Whether anything was sent to a target for it, as far as is known.
    pub fn acted(&self) -> bool {
        self.attempts.iter().any(|attempt| attempt.refused().is_none())
    }

    /// The latest attempt.
    pub fn last_attempt(&self) -> Option<&Attempt> {
        self.attempts.last()
    }

    /// The attempt that an undo or an end would take back next, if any: the newest, but what is kept only until the cure is proved
    /// comes to its end before what lasts for as long as a condition, and of that first what has lasted for its longest.
    pub fn to_take_back(&self, aim: Aim) -> Option<&Attempt> {
        let in_force = || self.applied.iter().rev().filter_map(|index| self.attempts.get(*index));
        match aim {
            Aim::Do => None,
            Aim::Undo => in_force().find(|attempt| {
                let facts = attempt.order.action.facts();
                facts.undo || facts.has_an_end()
            }),
            Aim::End => {
                let lasts = |attempt: &&Attempt, wanted| attempt.order.action.facts().lasts == wanted;
                let proved = in_force().find(|attempt| lasts(attempt, Lasts::UntilProved));
                let over = || in_force().find(|attempt| Some(attempt.number) == self.ending);
                proved.or_else(over).or_else(|| in_force().find(|attempt| lasts(attempt, Lasts::UntilCondition)))
            }
        }
    }
}
