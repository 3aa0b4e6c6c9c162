//! Who may agree to what, as declared: the people by name, the rules that name them, how often a question is told again, and
//! whether somebody may agree to what they started. Why names alone: what proves a name (a token) is the daemon's own matter
//! and never stored with incidents. Deliberately no decision here; `policy` makes it, when somebody answers.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::order::Order;
use crate::target::{Class, Inventory, TargetId};
use crate::time::Span;

/// How people are asked.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Approval {
    /// A question that nobody answered is told again this often; a third of its time where nothing is said.
    #[serde(default)]
    pub remind: Option<Span>,
    /// Who may agree to anything at all. Where nobody is named, whoever holds the API's token may, under any name.
    #[serde(default)]
    pub people: BTreeSet<String>,
    /// Who may agree to what. Every rule that fits a question must name the person; where none fits, everybody of `people` may.
    #[serde(default)]
    pub who: Vec<Who>,
    /// Whether somebody may agree to what they started by hand themselves. Counts only where people are named: a name that
    /// nothing proves says nothing about who it is.
    #[serde(default)]
    pub self_approval: bool,
}

/// A rule: for questions that all of its parts fit, these people. A part that is not written fits everything.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Who {
    /// The class of the incident's target, or of what would be acted on.
    #[serde(default)]
    pub classes: Vec<Class>,
    /// The incident's target, or what would be acted on.
    #[serde(default)]
    pub targets: Vec<TargetId>,
    /// The runbook's name.
    #[serde(default)]
    pub runbooks: Vec<String>,
    /// The action's name.
    #[serde(default)]
    pub actions: Vec<String>,
    /// Who.
    pub people: BTreeSet<String>,
}

/// What a question is about, as far as the rules go by it.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// The runbook's name.
    pub runbook: &'a str,
    /// The incident's target.
    pub own: &'a TargetId,
    /// What would be acted on.
    pub target: &'a TargetId,
    /// The action's name.
    pub action: &'a str,
}

impl<'a> About<'a> {
    /// What an order of a runbook for this target is about.
    pub fn order(runbook: &'a str, own: &'a TargetId, order: &'a Order) -> Self {
        Self { runbook, own, target: &order.target, action: order.action.facts().name }
    }
}

impl Approval {
    /// Whether names are proved: people are named.
    pub fn proves_names(&self) -> bool {
        !self.people.is_empty()
    }

    /// Everybody who may agree to this; nothing where anybody may who holds the API's token. Can be empty: then nobody may.
    pub fn may_agree(&self, inventory: &Inventory, about: &About<'_>) -> Option<BTreeSet<&str>> {
        if !self.proves_names() {
            return None;
        }
        let fitting: Vec<&Who> = self.who.iter().filter(|rule| rule.fits(inventory, about)).collect();
        let everybody = self.people.iter().map(String::as_str);
        Some(everybody.filter(|name| fitting.iter().all(|rule| rule.people.contains(*name))).collect())
    }
}

impl Who {
    fn fits(&self, inventory: &Inventory, about: &About<'_>) -> bool {
        let targets = [about.own, about.target];
        let class = |id: &TargetId| inventory.get(id).map(|target| target.traits.class);
        (self.classes.is_empty() || targets.iter().any(|id| class(id).is_some_and(|class| self.classes.contains(&class))))
            && (self.targets.is_empty() || targets.iter().any(|id| self.targets.contains(id)))
            && (self.runbooks.is_empty() || self.runbooks.iter().any(|name| name == about.runbook))
            && (self.actions.is_empty() || self.actions.iter().any(|name| name == about.action))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::{Place, Target, Traits};

    fn inventory() -> Inventory {
        let target = |name: &str, class| Target {
            id: name.parse().unwrap(),
            traits: Traits { depends_on: vec![], stateful: false, may_be_cloned: false, class, owner: String::new() },
            place: Place::Rehearsal { ledger: String::new() },
            known_as: vec![],
        };
        Inventory::new([target("rehearsal/big", Class::P1), target("rehearsal/small", Class::P3)])
    }

    fn names(list: &[&str]) -> BTreeSet<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn every_rule_that_fits_must_name_the_person() {
        let (big, small): (TargetId, TargetId) = ("rehearsal/big".parse().unwrap(), "rehearsal/small".parse().unwrap());
        let mut approval = Approval::default();
        let about = |own, target, runbook, action| About { runbook, own, target, action };
        let inventory = inventory();
        let may = |approval: &Approval, about: About<'_>| -> Option<Vec<String>> {
            Some(approval.may_agree(&inventory, &about)?.into_iter().map(str::to_owned).collect())
        };
        assert_eq!(may(&approval, about(&big, &big, "r", "a")), None, "nobody is named, so anybody may");
        approval.people = names(&["dba", "lead", "on-call"]);
        approval.who = vec![
            Who { classes: vec![Class::P1], people: names(&["lead", "dba"]), ..Who::default() },
            Who { targets: vec![small.clone()], people: names(&["on-call"]), ..Who::default() },
            Who {
                runbooks: vec!["careful".to_owned()],
                actions: vec!["purge".to_owned()],
                people: names(&["dba"]),
                ..Who::default()
            },
        ];
        let some = |list: &[&str]| Some(list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        for (question, wanted, says) in [
            (about(&big, &big, "r", "a"), some(&["dba", "lead"]), "by class"),
            (about(&small, &small, "r", "a"), some(&["on-call"]), "by target"),
            (about(&small, &big, "r", "a"), some(&[]), "both fit, and nobody is in both"),
            (about(&big, &big, "careful", "purge"), some(&["dba"]), "class, runbook and action"),
            (about(&big, &big, "careful", "other"), some(&["dba", "lead"]), "all parts of a rule must fit"),
        ] {
            assert_eq!(may(&approval, question), wanted, "{says}");
        }
        approval.who.clear();
        assert_eq!(may(&approval, about(&big, &small, "r", "a")), some(&["dba", "lead", "on-call"]), "no rule fits");
    }
}
