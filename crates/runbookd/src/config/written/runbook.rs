//! A file of `runbooks/` as it is written: one runbook. Looks and steps are read in a second stage (`steps`), because their
//! parameters depend on their names.

use std::collections::BTreeMap;

use runbook::Span;
use runbook::book::Mode;
use runbook::target::{Kind, TargetId};
use schemars::JsonSchema;
use serde::Deserialize;

use super::steps::{LookSchema, StepSchema};
use crate::config::yaml::{Entries, Placed, Raw};

/// A declared cure.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenRunbook {
    /// Its name, unique: small letters, digits and dashes.
    pub runbook: Placed<String>,
    /// One sentence for people: what it does, and until when.
    pub summary: Placed<String>,
    /// Which alerts it is for, in Alertmanager's matcher syntax; all must hold. Without it only a person or the calendar
    /// starts it.
    #[serde(rename = "match")]
    pub matches: Option<Placed<Vec<Placed<String>>>>,
    /// What it works on: `kind/name`, or `{kind: queue, from: labels.queue}`, which looks the label's value up in the inventory.
    #[schemars(with = "SelectorSchema")]
    pub target: Placed<Raw>,
    /// Of two runbooks on one alert the higher runs. 0 where nothing is said.
    pub priority: Option<Placed<i32>>,
    /// Whether it may act by itself: a mode, or a map with `default` and modes by the names of time intervals. When several
    /// intervals hold, the most careful mode wins. With `earned` in the map these modes are only a ceiling: it begins at observe, and
    /// rises on what persons mark right. `earned` alone is `{default: auto, earned: {after: 5}}`.
    #[schemars(with = "ModeSchema")]
    pub mode: Placed<Raw>,
    /// How often it may act on one target.
    pub limits: Option<Placed<WrittenLimits>>,
    /// What it looks at, by the names that conditions use.
    #[schemars(with = "BTreeMap<String, LookSchema>")]
    pub look: Placed<Entries<Placed<Raw>>>,
    /// What must hold before anything is done: a condition over the looks.
    pub require: Placed<String>,
    /// The ladder, gentle to strong. Empty for a runbook that only looks and tells.
    pub remedies: Placed<Vec<Placed<WrittenRemedy>>>,
    /// What happens when no remedy helped. There is one answer: a person.
    #[expect(dead_code, reason = "there is one answer; reading it refuses every other")]
    pub otherwise: Option<Placed<WrittenOtherwise>>,
}

/// What happens when no remedy helped.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WrittenOtherwise {
    /// A person is told, with the whole history.
    Escalate,
}

/// A target by the value of a label.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenLookup {
    /// The kind to search.
    pub kind: Placed<Kind>,
    /// `labels.NAME`: the label whose value is looked up.
    pub from: Placed<String>,
}

/// How often a runbook may act on one target.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenLimits {
    /// At least this long between the acts of two incidents: 10m where nothing is said.
    pub cooldown: Option<Placed<Span>>,
    /// So many acts within so long, all of them at once: `3/1h`.
    pub rate: Option<Placed<Vec<Placed<String>>>>,
    /// When a cure that has to be repeated goes to a person.
    pub recurrence: Option<Placed<WrittenRecurrence>>,
}

/// Cures that verified and came back.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenRecurrence {
    /// This many verified cures of the same runbook and target …
    pub times: Placed<u32>,
    /// … within this long, and the next goes to a person.
    pub within: Placed<Span>,
}

/// One rung of the ladder.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenRemedy {
    /// Its name, for people.
    pub name: Placed<String>,
    /// When it applies: a condition. Always, where nothing is said.
    pub when: Option<Placed<String>>,
    /// A mode of its own, more careful than the runbook's.
    pub mode: Option<Placed<Mode>>,
    /// What is done, in order.
    #[schemars(with = "Vec<StepSchema>")]
    pub steps: Placed<Vec<Placed<Raw>>>,
    /// What proves that it helped.
    pub verify: Placed<WrittenVerify>,
    /// What stops it and takes it back, from its first step to the end of its last effect.
    pub guard: Option<Placed<WrittenGuard>>,
}

/// What must not come about while a remedy is at work.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenGuard {
    /// Conditions over the looks. One that comes to hold and did not hold before the first step is harm: nothing more is done, what can
    /// be undone is, and a person is called.
    pub stop_if: Placed<Vec<Placed<String>>>,
    /// Seen in so many looks in a row: 2 where nothing is said.
    pub looks: Option<Placed<u32>>,
    /// Each at least this long after the one before: 5s where nothing is said.
    pub apart: Option<Placed<Span>>,
}

/// What proves that a remedy helped.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenVerify {
    /// A condition that must become true …
    pub until: Placed<String>,
    /// … within this time of the last step …
    pub within: Placed<Span>,
    /// … and stay true for this long.
    pub hold: Placed<Span>,
}

/// How `target` may be written.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its schema is used; the reader looks at the node itself")]
pub enum SelectorSchema {
    /// Always this one.
    Named(TargetId),
    /// By the value of a label.
    Lookup(WrittenLookup),
}

/// A mode that stands alone.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WrittenMode {
    /// Looks and says what it would do; nothing runs.
    Observe,
    /// A person approves each act.
    Ask,
    /// Acts by itself.
    Auto,
    /// Begins at observe, and rises to auto on what persons mark right, five in a row for each level.
    Earned,
}

/// How autonomy is earned.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenEarned {
    /// So many in a row for each level, 5 where nothing is said: proposals that a person marks right, for ask; cures that a person
    /// agreed to, that verified and that a person then marks right, for auto. One bad outcome lowers it by one level at once.
    pub after: Option<Placed<u32>>,
}

/// A map of modes.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used; the reader looks at the node itself")]
pub struct ModesSchema {
    /// The mode at all times that no interval names.
    pub default: Mode,
    /// Makes the modes a ceiling up to which autonomy is earned.
    pub earned: Option<WrittenEarned>,
    /// By the name of a time interval.
    #[serde(flatten)]
    pub during: BTreeMap<String, Mode>,
}

/// How `mode` may be written.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its schema is used; the reader looks at the node itself")]
pub enum ModeSchema {
    /// At all times.
    Always(WrittenMode),
    /// By time interval, with `default` for all other times.
    ByInterval(ModesSchema),
}
