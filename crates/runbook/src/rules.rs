//! The rules of the house: what no runbook may exceed, however it is written. Why apart from a runbook's own limits: forty
//! cures that each keep their own measure can still take an estate down together. Every rule has a value when nothing is
//! written, and that value is the careful one. Deliberately only values; `policy` asks them, the journal asks them again.

use serde::{Deserialize, Serialize};

use crate::book::Rate;
use crate::target::{Inventory, Kind, TargetId};
use crate::time::Span;

/// What holds for all runbooks together.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Rules {
    /// Everything that runbookd does, on whatever target.
    pub overall: Overall,
    /// What all runbooks together do to one target.
    pub per_target: PerTarget,
    /// How much may be disturbed.
    pub disruption: Disruption,
    /// When so much happens at once that acting is no longer for a machine.
    pub storm: Storm,
    /// When cures that fail are no longer tried.
    pub breaker: Breaker,
    /// Times at which some things are left alone.
    pub quiet: Vec<Quiet>,
}

/// Everything that runbookd does.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Overall {
    /// All of these at once.
    pub rate: Vec<Rate>,
    /// So many incidents may be in the middle of an act at one time; lasting effects that are proved do not count.
    pub at_once: u32,
}

impl Default for Overall {
    /// 10 in an hour, 30 in a day, 2 at once.
    fn default() -> Self {
        let rate = vec![Rate { count: 10, per: Span::secs(3_600) }, Rate { count: 30, per: Span::secs(86_400) }];
        Self { rate, at_once: 2 }
    }
}

/// What all runbooks together do to one target.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct PerTarget {
    /// All of these at once.
    pub rate: Vec<Rate>,
}

impl Default for PerTarget {
    /// 8 in an hour, 20 in a day: one ladder of several steps fits, three do not.
    fn default() -> Self {
        Self { rate: vec![Rate { count: 8, per: Span::secs(3_600) }, Rate { count: 20, per: Span::secs(86_400) }] }
    }
}

/// How much may be disturbed: every act that disturbs costs one for its target and one for each target that leans on it.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Disruption {
    /// So much in all …
    pub budget: u32,
    /// … within any stretch of this length.
    pub per: Span,
    /// From two replicas up, this share of them stays healthy whatever a step says.
    pub floor: f64,
}

impl Default for Disruption {
    /// 10 in an hour; half of the replicas.
    fn default() -> Self {
        Self { budget: 10, per: Span::secs(3_600), floor: 0.5 }
    }
}

impl Disruption {
    /// What an act on this target costs. No single act costs more than half of the budget, so that no target is out of reach by
    /// its place alone; two such acts are then all there is.
    pub fn cost(&self, inventory: &Inventory, target: &TargetId) -> u32 {
        let leaning = u32::try_from(inventory.leaning_on(target).len()).unwrap_or(u32::MAX);
        leaning.saturating_add(1).min((self.budget / 2).max(1))
    }

    /// How many of so many replicas stay healthy: none of a single one, which counts against the budget alone.
    pub fn floor_of(&self, replicas: u32) -> u32 {
        if replicas < 2 { 0 } else { (f64::from(replicas) * self.floor.clamp(0.0, 1.0)).ceil() as u32 }
    }
}

/// When so much happens at once that acting is no longer for a machine.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Storm {
    /// More new incidents than this that nothing upstream explains …
    pub incidents: u32,
    /// … within this long.
    pub within: Span,
    /// Or looks of more than this share of the open incidents that could not see.
    pub unknown: f64,
}

impl Default for Storm {
    /// More than 6 in 5 minutes, or more than half that cannot be seen.
    fn default() -> Self {
        Self { incidents: 6, within: Span::secs(300), unknown: 0.5 }
    }
}

/// When cures that fail are no longer tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Breaker {
    /// So many failed cures of one runbook in a row …
    pub failures: u32,
    /// … or so many of all runbooks together …
    pub overall: u32,
    /// … within this long: nothing more is tried …
    pub within: Span,
    /// … for this long after the last of them; then one incident tries, and its cure closes the breaker.
    pub tries_again_after: Span,
}

impl Default for Breaker {
    /// 3 of a runbook or 6 of all within 6 hours; a trial an hour later.
    fn default() -> Self {
        Self { failures: 3, overall: 6, within: Span::secs(6 * 3_600), tries_again_after: Span::secs(3_600) }
    }
}

/// A time at which some things are left alone.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Quiet {
    /// The time interval's name.
    pub during: String,
    /// These targets, and what they rest on.
    pub targets: Vec<TargetId>,
    /// Every target of these kinds, and what they rest on.
    pub kinds: Vec<Kind>,
    /// These actions, by name; every one that disturbs, where none is named.
    pub actions: Vec<String>,
}

impl Quiet {
    /// The target that is left alone and that an act on `target` would disturb: itself, or one that leans on it.
    pub fn covers(&self, inventory: &Inventory, target: &TargetId) -> Option<TargetId> {
        let meant = |id: &TargetId| self.targets.contains(id) || self.kinds.contains(&id.kind);
        if meant(target) {
            return Some(target.clone());
        }
        inventory.leaning_on(target).iter().find(|id| meant(id)).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::{Class, Place, Target, Traits};

    /// a <- b <- c, a <- d
    fn inventory() -> Inventory {
        let target = |name: &str, needs: &[&str]| {
            let id = |name: &str| TargetId { kind: Kind::Rehearsal, name: name.to_owned() };
            let depends_on = needs.iter().map(|name| id(name)).collect();
            let traits = Traits { depends_on, stateful: false, may_be_cloned: false, class: Class::P3, owner: String::new() };
            Target { id: id(name), traits, place: Place::Rehearsal { ledger: String::new() }, known_as: vec![] }
        };
        Inventory::new([target("a", &[]), target("b", &["a"]), target("c", &["b"]), target("d", &["a"])])
    }

    fn id(name: &str) -> TargetId {
        TargetId { kind: Kind::Rehearsal, name: name.to_owned() }
    }

    #[test]
    fn what_others_lean_on_costs_more_and_never_more_than_half() {
        let inventory = inventory();
        let rules = Disruption::default();
        assert_eq!(["a", "b", "c", "d"].map(|name| rules.cost(&inventory, &id(name))), [4, 2, 1, 1]);
        let small = Disruption { budget: 4, ..rules };
        assert_eq!(small.cost(&inventory, &id("a")), 2);
        assert_eq!(Disruption { budget: 0, ..rules }.cost(&inventory, &id("c")), 1, "nothing is free");
        assert_eq!(*inventory.upstream_of(&id("c")), [id("a"), id("b")].into());
    }

    #[test]
    fn a_single_replica_has_no_floor_and_two_have_one() {
        let rules = Disruption::default();
        assert_eq!([0, 1, 2, 3, 4, 5].map(|replicas| rules.floor_of(replicas)), [0, 0, 1, 2, 2, 3]);
    }

    #[test]
    fn quiet_covers_what_a_target_rests_on() {
        let quiet = Quiet { during: "backup".to_owned(), targets: vec![id("b")], kinds: vec![], actions: vec![] };
        let inventory = inventory();
        assert_eq!(quiet.covers(&inventory, &id("a")), Some(id("b")));
        assert_eq!(quiet.covers(&inventory, &id("b")), Some(id("b")));
        assert_eq!(quiet.covers(&inventory, &id("c")), None);
        assert_eq!(quiet.covers(&inventory, &id("d")), None);
    }

    #[test]
    fn what_an_earlier_release_stored_reads_with_the_careful_values() {
        assert_eq!(serde_json::from_str::<Rules>("{}").unwrap(), Rules::default());
        let stored = r#"{"runbooks":{},"inventory":{"targets":{}},"intervals":{},"approval_expires":null}"#;
        assert_eq!(serde_json::from_str::<crate::book::Configuration>(stored).unwrap().rules, Rules::default());
    }
}
