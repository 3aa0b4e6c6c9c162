//! `rules:` of `runbookd.yaml` as it is written: what holds for all runbooks together. Every key may be left out, and then has
//! the careful value that its comment names. Deliberately no checks beyond types.

use runbook::Span;
use runbook::target::{Kind, TargetId};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::yaml::Placed;

/// What holds for all runbooks together. Each rule has a careful value where nothing is written.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenRules {
    /// Everything that runbookd does, on whatever target.
    pub overall: Option<Placed<WrittenOverall>>,
    /// What all runbooks together do to one target.
    pub per_target: Option<Placed<WrittenPerTarget>>,
    /// How much may be disturbed.
    pub disruption: Option<Placed<WrittenDisruption>>,
    /// When so much happens at once that nothing more is done by itself.
    pub storm: Option<Placed<WrittenStorm>>,
    /// When cures that fail are no longer tried.
    pub breaker: Option<Placed<WrittenBreaker>>,
    /// Times at which some things are left alone. None where nothing is said.
    pub quiet: Option<Placed<Vec<Placed<WrittenQuiet>>>>,
}

/// Everything that runbookd does.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenOverall {
    /// So many acts within so long, all of them at once: `[10/1h, 30/24h]` where nothing is said.
    pub rate: Option<Placed<Vec<Placed<String>>>>,
    /// So many incidents may be in the middle of an act at one time: 2 where nothing is said.
    pub at_once: Option<Placed<u32>>,
}

/// What all runbooks together do to one target.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenPerTarget {
    /// So many acts within so long, all of them at once: `[8/1h, 20/24h]` where nothing is said.
    pub rate: Option<Placed<Vec<Placed<String>>>>,
}

/// How much may be disturbed: an act that disturbs costs one for its target and one for each target that depends on it, directly
/// or through others, but never more than half of the budget.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenDisruption {
    /// So much in all: 10 where nothing is said …
    pub budget: Option<Placed<u32>>,
    /// … within so long: 1h where nothing is said.
    pub per: Option<Placed<Span>>,
    /// From two replicas up, this share of them stays healthy, whatever a step says: 0.5 where nothing is said.
    pub floor: Option<Placed<f64>>,
}

/// When so much happens at once that nothing more is done by itself.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenStorm {
    /// More new incidents than this that nothing they depend on explains: 6 where nothing is said …
    pub incidents: Option<Placed<u32>>,
    /// … within so long: 5m where nothing is said.
    pub within: Option<Placed<Span>>,
    /// More than this share of the open incidents cannot see what they look at: 0.5 where nothing is said.
    pub unknown: Option<Placed<f64>>,
}

/// When cures that fail are no longer tried.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenBreaker {
    /// So many failed cures of one runbook in a row: 3 where nothing is said …
    pub failures: Option<Placed<u32>>,
    /// … or so many of all runbooks together: 6 where nothing is said …
    pub overall: Option<Placed<u32>>,
    /// … within so long: 6h where nothing is said.
    pub within: Option<Placed<Span>>,
    /// So long after the last of them one incident may try; its cure closes the breaker: 1h where nothing is said.
    pub tries_again_after: Option<Placed<Span>>,
}

/// A time at which some things are left alone.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenQuiet {
    /// The name of a time interval.
    pub during: Placed<String>,
    /// These targets, and what they depend on.
    #[schemars(with = "Option<Vec<TargetId>>")]
    pub targets: Option<Placed<Vec<Placed<TargetId>>>>,
    /// Every target of these kinds, and what they depend on.
    pub kinds: Option<Placed<Vec<Placed<Kind>>>>,
    /// These actions, by name; every one that disturbs, where nothing is said.
    pub actions: Option<Placed<Vec<Placed<String>>>>,
}
