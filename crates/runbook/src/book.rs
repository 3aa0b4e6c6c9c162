//! A runbook as it is meant, after the written form was checked. Why two forms: what was typed has spans, defaults and
//! mistakes; what is meant has none. The written form lives in the daemon; conditions and limits here are already valid.

mod runbooks;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::Digest;

use crate::action::Action;
use crate::approval::Approval;
use crate::condition::Condition;
use crate::interval::Intervals;
use crate::matcher::Matchers;
use crate::order::Order;
use crate::probe::Probe;
use crate::rules::Rules;
use crate::silence::SideEffect;
use crate::target::{Inventory, TargetId, TargetSelector};
use crate::time::Span;

pub use runbooks::{Edit, Runbooks};

/// A declared cure.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Runbook {
    /// Its name, unique.
    pub name: String,
    /// One sentence for people.
    pub summary: String,
    /// Which alerts it is for; empty means that only a person or the calendar starts it.
    pub matches: Option<Matchers>,
    /// What it works on.
    pub target: TargetSelector,
    /// Of two runbooks on one alert the higher runs.
    pub priority: i32,
    /// Whether it may act by itself, and when.
    pub mode: ModeByTime,
    /// How often.
    pub limits: Limits,
    /// What it looks at, by the names that conditions use.
    pub look: BTreeMap<String, Look>,
    /// What must hold before anything is done.
    pub require: Condition,
    /// The ladder, gentle to strong.
    pub remedies: Vec<Remedy>,
}

impl Runbook {
    /// Whether it looks, requires and does the same as another text, whatever it is for, how often it may, and by whose word.
    pub fn does_as(&self, other: &Runbook) -> bool {
        let apart_from_mode = |(one, two): (&Remedy, &Remedy)| {
            let Remedy { name, when, mode: _, steps, verify, guard } = one;
            (name, when, steps, verify, guard) == (&two.name, &two.when, &two.steps, &two.verify, &two.guard)
        };
        self.look == other.look
            && self.require == other.require
            && self.remedies.len() == other.remedies.len()
            && self.remedies.iter().zip(&other.remedies).all(apart_from_mode)
    }

    /// A name for what it does: what it is for, looks at, wants to hold and does. Two texts with the same name do the same, whatever
    /// they are called, how often they may, and by whose word. Where anything of it changes, this changes.
    pub fn deed(&self) -> String {
        let remedies: Vec<Remedy> = self.remedies.iter().map(|remedy| Remedy { mode: None, ..remedy.clone() }).collect();
        let does = (&self.matches, &self.target, &self.look, &self.require, &remedies);
        // A text that cannot be written down shares its name with no other that can.
        let written = serde_json::to_vec(&does).unwrap_or_else(|error| format!("{}: {error}", self.name).into_bytes());
        sha2::Sha256::digest(&written).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// One look of a runbook.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Look {
    /// How to look.
    pub probe: Probe,
    /// At what, where it is not the runbook's own target.
    pub target: Option<TargetId>,
}

/// One rung of the ladder.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Remedy {
    /// Its name, for people.
    pub name: String,
    /// When it applies; always, where nothing is said.
    pub when: Option<Condition>,
    /// A mode of its own, which can only be more careful than the runbook's.
    pub mode: Option<Mode>,
    /// What is done, in order.
    pub steps: Vec<Step>,
    /// What proves that it helped.
    pub verify: Verify,
    /// What stops it and takes it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<Guard>,
}

/// What must not come about while a remedy is at work, from its first step to the end of its last effect.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Guard {
    /// Each of these is harm when it comes to hold and did not hold before the remedy's first step.
    pub stop_if: Vec<Condition>,
    /// Seen in so many looks in a row …
    pub looks: u32,
    /// … each at least this long after the one before.
    pub apart: Span,
}

/// One step of a remedy.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Step {
    /// What is done.
    pub action: Action,
    /// To what, where it is not the runbook's own target.
    pub target: Option<TargetId>,
    /// For an effect that lasts: when it is ended.
    pub until: Option<Condition>,
    /// For an effect that lasts: when it is ended at the latest.
    pub at_most_for: Option<Span>,
    /// Permitted only while this is seen to hold, in two looks one after the other.
    #[serde(default)]
    pub only_while: Option<Condition>,
    /// Alerts that it raises by itself, about which Alertmanager is asked to keep quiet until its deadline.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub silence: Vec<SideEffect>,
}

/// What proves that a remedy helped.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Verify {
    /// Must be true.
    pub until: Condition,
    /// Within this time of the last step.
    pub within: Span,
    /// And stay true for this long.
    pub hold: Span,
}

/// Whether a runbook may act by itself. Ordered from careful to free, so the lowest of several wins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Looks and says what it would do; nothing runs.
    Observe,
    /// A person approves each act.
    Ask,
    /// Acts by itself.
    Auto,
}

/// A mode, and others during named time intervals. When several intervals hold at once, the most careful mode wins.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ModeByTime {
    /// Outside all intervals.
    pub default: Mode,
    /// By the interval's name.
    pub during: BTreeMap<String, Mode>,
    /// Where the modes above are only a ceiling, up to which autonomy is earned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earned: Option<Earned>,
}

impl ModeByTime {
    /// One mode at all times, which need not be earned.
    pub const fn always(mode: Mode) -> Self {
        Self { default: mode, during: BTreeMap::new(), earned: None }
    }
}

/// Autonomy that has to be earned: it begins at observe, and rises on what a person said was right.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Earned {
    /// So many in a row for each level.
    pub after: u32,
}

/// So many acts within so long.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Rate {
    /// At most this many.
    pub count: u32,
    /// Within any stretch of this length.
    pub per: Span,
}

/// Cures that verified and came back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Recurrence {
    /// This many verified cures of the same runbook and target …
    pub times: u32,
    /// … within this long, and the next goes to a person.
    pub within: Span,
}

/// How often a runbook may act on one target.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Limits {
    /// At least this long between the end of one incident's acts and the next incident's first.
    pub cooldown: Span,
    /// All of these at once.
    pub rate: Vec<Rate>,
    /// When a cure counts as a mask.
    pub recurrence: Option<Recurrence>,
}

/// Everything the daemon was told, as meant. Stored by hash in the journal; holds references to secrets, never secrets.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Configuration {
    /// All runbooks by name.
    pub runbooks: Runbooks,
    /// All targets.
    pub inventory: Inventory,
    /// Named time intervals.
    pub intervals: BTreeMap<String, Intervals>,
    /// How long an approval is waited for.
    pub approval_expires: Option<Span>,
    /// Who may agree to what, and how they are asked.
    #[serde(default)]
    pub approval: Approval,
    /// What holds for all runbooks together.
    #[serde(default)]
    pub rules: Rules,
}

impl Mode {
    /// The word for it, as it is written.
    pub const fn word(self) -> &'static str {
        match self {
            Mode::Observe => "observe",
            Mode::Ask => "ask",
            Mode::Auto => "auto",
        }
    }
}

impl Configuration {
    /// How long an approval is waited for: 30 minutes where nothing is said.
    pub fn approval_expiry(&self) -> std::time::Duration {
        self.approval_expires.map_or(std::time::Duration::from_secs(30 * 60), Span::duration)
    }

    /// How long until a question that nobody answered is told again: a third of its time where nothing is said.
    pub fn approval_reminder(&self) -> std::time::Duration {
        self.approval.remind.map_or(self.approval_expiry() / 3, Span::duration)
    }

    /// Whether the runbook still has the very step that this order is for.
    ///
    /// # Errors
    /// What is no longer there: the target, the runbook, or the step with these arguments.
    pub fn still_has(&self, runbook: &str, own: &TargetId, order: &Order) -> Result<(), String> {
        if self.inventory.get(&order.target).is_none() {
            return Err(format!("{} is no longer in the inventory", order.target));
        }
        let Some(rules) = self.runbooks.get(runbook) else {
            return Err(format!("the runbook {runbook} is no longer in the configuration"));
        };
        let there = |step: &&Step| step.target.as_ref().unwrap_or(own) == &order.target;
        let steps = || rules.remedies.iter().flat_map(|remedy| &remedy.steps).filter(there);
        if steps().any(|step| step.action == order.action) {
            return Ok(());
        }
        let what = format!("the step {} on {}", order.action, order.target);
        match steps().any(|step| step.action.facts().name == order.action.facts().name) {
            true => Err(format!("the runbook {runbook} has {what} with other arguments now")),
            false => Err(format!("the runbook {runbook} no longer has {what}")),
        }
    }
}
