//! Labels that a runbook needs, against the rules that fire its alerts: a name that no rule has, a label that a rule neither
//! sets nor leaves, a value that names nothing in the inventory. What only the running query knows is said to be so.

use runbook::alert::ALERTNAME;
use runbook::book::Runbook;
use runbook::matcher::{Matcher, Matchers};
use runbook::target::TargetSelector;
use runbook::text::inert;

use super::Certainty;
use super::matching::spelt_out;
use super::pages::Pages;
use super::rules::Rule;
use crate::config::Loaded;
use crate::config::complaint::Severity;

/// A label that a runbook needs, and the part of the runbook that does.
struct Need<'a> {
    label: &'a str,
    part: &'static str,
    looked_up: bool,
}

/// Compares every runbook with the rules of its alerts.
pub fn complain(loaded: &Loaded, all: &[Rule<'_>], pages: &Pages<'_>) {
    for runbook in loaded.configuration.runbooks.values() {
        let Some(matchers) = &runbook.matches else { continue };
        let named: Vec<Matcher> = matchers.as_slice().iter().filter(|matcher| matcher.name() == ALERTNAME).cloned().collect();
        let rules: Vec<&Rule<'_>> = all.iter().filter(|rule| rule.satisfies(&named) == Certainty::Yes).collect();
        if rules.is_empty() {
            continue;
        }
        names(runbook, &named, &rules, pages);
        for need in needs(runbook, matchers) {
            compare(loaded, runbook, &need, &rules, pages);
        }
    }
}

/// One of several names may be another estate's; that none at all has a rule is a warning of its own.
fn names(runbook: &Runbook, named: &[Matcher], rules: &[&Rule<'_>], pages: &Pages<'_>) {
    let spelt = named.iter().filter_map(spelt_out).flatten();
    let missing: Vec<String> = spelt
        .filter(|name| !name.is_empty() && !rules.iter().any(|rule| rule.name == *name))
        .filter(|name| named.iter().all(|matcher| matcher.matches(&[(ALERTNAME.to_owned(), name.clone())].into())))
        .map(|name| format!("`{}`", inert(&name, 80)))
        .collect();
    if !missing.is_empty() {
        let message = format!("no rule is named {}", missing.join(" or "));
        pages.say(Severity::Note, &runbook.name, "match", message, "");
    }
}

fn needs<'a>(runbook: &'a Runbook, matchers: &'a Matchers) -> Vec<Need<'a>> {
    let matched = matchers.as_slice().iter().filter(|matcher| matcher.name() != ALERTNAME && !matcher.matches_absence());
    let mut all: Vec<Need<'_>> = matched.map(|matcher| Need { label: matcher.name(), part: "match", looked_up: false }).collect();
    if let TargetSelector::Lookup { label, .. } = &runbook.target {
        all.push(Need { label, part: "target", looked_up: true });
    }
    all
}

fn compare(loaded: &Loaded, runbook: &Runbook, need: &Need<'_>, rules: &[&Rule<'_>], pages: &Pages<'_>) {
    let label = inert(need.label, 60);
    let mut open = Vec::new();
    for rule in rules {
        match rule.carries(need.label) {
            (Certainty::No, _) => {
                let message =
                    format!("alerts of `{}` never have the label `{label}`: its expression leaves {}", rule.name, rule.left());
                let mend = format!(
                    "keep it in the rule, as in `by ({label})`, or set it under the rule's `labels`; only `external_labels` or relabelling could add it otherwise"
                );
                pages.say(Severity::Warning, &runbook.name, need.part, message, mend);
            }
            (Certainty::Perhaps, _) => open.push(format!("`{}`", rule.name)),
            (Certainty::Yes, Some(value)) if need.looked_up => {
                let labels = [(need.label.to_owned(), value.to_owned())].into();
                if let Err(why) = loaded.configuration.inventory.resolve(&runbook.target, &labels) {
                    let message = format!("for alerts of `{}`, {why}", rule.name);
                    let mend = "name the target so, or add the value to its `known_as` in targets.yaml";
                    pages.say(Severity::Warning, &runbook.name, need.part, message, mend);
                }
            }
            (Certainty::Yes, _) => {}
        }
    }
    if !open.is_empty() {
        let message =
            format!("whether alerts of {} have the label `{label}` was not decided: their expression decides", open.join(", "));
        pages.say(Severity::Note, &runbook.name, need.part, message, "");
    }
}
