//! What steps silence, against what else there is: a silence over the alert that a runbook is for hides the fault from the runbook, one
//! over the alert that always fires hides that nobody watches, and one that no rule can meet hides nothing. Which labels may be
//! silenced by at all is refused when the configuration is loaded.

use std::collections::BTreeMap;

use runbook::book::{Runbook, Step};
use runbook::silence::SideEffect;
use runbook::text::inert;

use super::Certainty;
use super::pages::Pages;
use super::rules::Rule;
use crate::config::Loaded;
use crate::config::complaint::Severity;

/// One declared side effect, and where it stands.
struct Declared<'a> {
    runbook: &'a Runbook,
    step: &'a Step,
    effect: &'a SideEffect,
    part: String,
}

/// Looks at every side effect of every step.
pub fn complain(loaded: &Loaded, rules: &[Rule<'_>], pages: &Pages<'_>) {
    for declared in all(loaded) {
        let say = |severity, message: String, mend: &str| {
            pages.say(severity, &declared.runbook.name, &declared.part, message, mend);
        };
        // Once for a step, and not for each of its alerts.
        if loaded.daemon.alertmanagers.is_empty() && declared.step.silence.first() == Some(declared.effect) {
            let message = "what this step raises can never be silenced: no Alertmanager is configured".to_owned();
            say(Severity::Error, message, "name it under `alertmanager` in runbookd.yaml, or remove `silence`");
        }
        if loaded.daemon.watchdog.as_ref().is_some_and(|watchdog| watchdog.alert == declared.effect.name()) {
            let message =
                format!("`{}` is the alert that always fires: its silence calls people", inert(declared.effect.name(), 80));
            say(Severity::Error, message, "remove it");
        }
        for other in loaded.configuration.runbooks.values().filter(|other| may_start(declared.effect, rules, other)) {
            if other.name == declared.runbook.name {
                let message = format!("this runbook is for {}, so it would silence what it is to cure", declared.effect);
                say(Severity::Error, message, "remove it, or add a label that parts the two");
            } else {
                let message = format!("{} may start `{}`, which hears of it only after the silence", declared.effect, other.name);
                say(Severity::Warning, message, "leave it to that runbook, or add a label that parts the two");
            }
        }
        if !rules.is_empty() {
            met(&declared, rules, say);
        }
    }
}

fn all(loaded: &Loaded) -> Vec<Declared<'_>> {
    let mut all = Vec::new();
    for runbook in loaded.configuration.runbooks.values() {
        for (number, remedy) in runbook.remedies.iter().enumerate() {
            for (index, step) in remedy.steps.iter().enumerate() {
                let part = format!("remedies[{number}].steps[{index}]");
                all.extend(step.silence.iter().map(|effect| Declared { runbook, step, effect, part: part.clone() }));
            }
        }
    }
    all
}

/// Whether an alert with these labels, and with whatever others, may start a runbook.
fn may_start(effect: &SideEffect, rules: &[Rule<'_>], runbook: &Runbook) -> bool {
    let Some(matchers) = &runbook.matches else { return false };
    let mut named = rules.iter().filter(|rule| rule.name == effect.name()).peekable();
    if named.peek().is_some() && named.all(|rule| rule.satisfies(matchers.as_slice()) == Certainty::No) {
        return false;
    }
    let fixed: BTreeMap<String, String> = effect.fixed().map(|(label, value)| (label.to_owned(), value.to_owned())).collect();
    matchers.as_slice().iter().filter(|matcher| fixed.contains_key(matcher.name())).all(|matcher| matcher.matches(&fixed))
}

/// Whether any rule can fire such an alert, and soon enough for the silence.
fn met(declared: &Declared<'_>, rules: &[Rule<'_>], say: impl Fn(Severity, String, &str)) {
    let effect = declared.effect;
    let named: Vec<&Rule<'_>> = rules.iter().filter(|rule| rule.name == effect.name()).collect();
    if named.is_empty() {
        let message = format!("no rule is named `{}`, so this silences nothing", inert(effect.name(), 80));
        return say(Severity::Warning, message, "write the alert's name as the rule has it");
    }
    let fixed = effect.fixed().map(|(label, value)| (label, Some(value)));
    for (label, value) in fixed.chain(effect.taken().map(|(label, _)| (label, None))) {
        let never = |rule: &&Rule<'_>| match (rule.carries(label), value) {
            ((Certainty::No, _), _) => true,
            ((_, Some(carried)), Some(value)) => carried != value,
            _ => false,
        };
        if named.iter().all(never) {
            let what = value.map_or_else(|| format!("the label `{label}`"), |value| format!("`{label}: {value}`"));
            let message = format!("alerts of `{}` never have {what}, so this silences nothing", effect.name());
            return say(Severity::Warning, inert(&message, 400), "write the label as the rule has it");
        }
    }
    let (deadline, pending) = (declared.step.action.facts().deadline, named.iter().map(|rule| rule.pending).min());
    if let Some(pending) = pending.filter(|pending| pending.duration() >= deadline) {
        let message = format!(
            "`{}` fires after {pending} at the earliest, and the silence ends with the step's deadline, after {}: what was pending before is all that it meets",
            effect.name(),
            runbook::Span::from(deadline)
        );
        return say(Severity::Note, message, "");
    }
    let message = format!(
        "people are not told within the silence that `{}` has just resolved, and if it fires again, only after `repeat_interval`",
        inert(effect.name(), 80)
    );
    say(Severity::Note, message, "give it a route with a short `repeat_interval` in Alertmanager");
}
