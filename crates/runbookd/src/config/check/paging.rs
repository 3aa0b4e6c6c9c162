//! How long people wait for a page, from Alertmanager's routes alone: it holds the page back while runbookd tries, and a dead
//! runbookd changes nothing about it. Why the sum of both waits: an alert that finds its group told already waits for the
//! group's interval, and a delivery that fails is tried again within the next.

use runbook::Span;
use runbook::target::{Class, TargetSelector};

use super::Certainty;
use super::alertmanager::Route;
use super::rules::Rule;
use crate::config::Loaded;
use crate::config::complaint::Severity;
use crate::config::yaml::Document;

/// Tells the worst case, and complains about a page that is held for longer than the target's class allows.
pub fn complain(loaded: &Loaded, document: &Document, people: &[Route<'_>]) {
    let latest = |route: &Route<'_>| Span::from(route.waits.hold.duration() + route.waits.interval.duration());
    if let Some(slowest) = people.iter().max_by_key(|route| latest(route)) {
        let message = format!(
            "an alert that runbookd works on reaches people at the latest {} after it fires, by this route: {} of `group_wait` and {} of `group_interval`",
            latest(slowest),
            slowest.waits.hold,
            slowest.waits.interval
        );
        document.say(Severity::Note, slowest.at.clone(), message, "");
    }
    for route in people {
        let Some(class) = class(loaded, route.rule) else { continue };
        let most = longest_hold(class);
        if route.waits.hold > most {
            let message = format!(
                "the page for `{}` is held for {}, and its target is {class:?}: a person is wanted sooner",
                route.rule.name, route.waits.hold
            );
            document.say(Severity::Warning, route.at.clone(), message, format!("write a `group_wait` of {most} at most"));
        }
    }
}

/// The strictest class of the targets that runbooks for this rule always work on.
fn class(loaded: &Loaded, rule: &Rule<'_>) -> Option<Class> {
    let runbooks = loaded.configuration.runbooks.values();
    let handling =
        runbooks.filter(|runbook| runbook.matches.as_ref().is_some_and(|matchers| rule.satisfies(&matchers.0) != Certainty::No));
    let targets = handling.filter_map(|runbook| match &runbook.target {
        TargetSelector::Named(id) => loaded.configuration.inventory.get(id),
        TargetSelector::Lookup { .. } => None,
    });
    targets.map(|target| target.traits.class).min()
}

/// A page is held for less than the time in which a person should be there.
fn longest_hold(class: Class) -> Span {
    match class {
        Class::P1 => Span::secs(4 * 60),
        Class::P2 => Span::secs(14 * 60),
        Class::P3 => Span::secs(3600),
        Class::P4 => Span::secs(86_400),
    }
}
