//! How long people wait for a page, from Alertmanager's routes alone: it holds the page back while runbookd tries, and a dead
//! runbookd changes nothing about it. Why the sum of both waits: an alert that finds its group told already waits for the
//! group's interval, and a delivery that fails is tried again within the next. What runbookd raises itself waits for nothing.

use runbook::Span;
use runbook::target::{Class, TargetSelector};

use super::Certainty;
use super::alertmanager::Route;
use super::rules::Rule;
use crate::config::Loaded;
use crate::config::complaint::Severity;
use crate::config::yaml::Document;

/// People hear within this time that runbookd gave up.
const AT_ONCE: Span = Span::secs(60);

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
        let Some((class, whose)) = class(loaded, route.rule) else { continue };
        let most = longest_hold(class);
        let name = &route.rule.name;
        if route.waits.hold > most {
            let message = format!(
                "the page for `{name}` is held for {}, and {whose} {class:?}: a person is wanted sooner",
                route.waits.hold
            );
            document.say(Severity::Warning, route.at.clone(), message, format!("write a `group_wait` of {most} at most"));
        } else if latest(route).duration() > class.response() {
            let message = format!(
                "the page for `{name}` can come {} after it fires, and {whose} {class:?}: a person is to be there within {}",
                latest(route),
                Span::from(class.response())
            );
            document.say(Severity::Warning, route.at.clone(), message, "write a `group_interval` of 30s");
        }
    }
}

/// Complains where people hear late, or not at all, that runbookd gave up. `people` are the routes of its own alert.
pub fn complain_of_ours(document: &Document, rule: &Rule<'_>, people: &[Route<'_>], comes_back: bool) {
    let name = &rule.name;
    let mend = "put a route for people with `matchers: ['runbookd=\"never\"']`, `group_by: ['...']` and `group_wait: 1s`, without `continue`, before the others";
    let say = |at: &crate::config::yaml::Bytes, message: String| document.say(Severity::Warning, at.clone(), message, mend);
    if comes_back {
        say(&rule.at, format!("runbookd raises `{name}` when it gives up, and these routes bring it back to runbookd"));
    }
    match people.iter().max_by_key(|route| route.waits.hold) {
        None => say(&rule.at, format!("runbookd raises `{name}` when it gives up, and no route brings it to people")),
        Some(route) if route.waits.hold > AT_ONCE => {
            say(
                &route.at,
                format!("`{name}` is held for {}: when runbookd gives up, a person is wanted at once", route.waits.hold),
            );
        }
        Some(_) => {}
    }
}

/// The strictest class of the targets that runbooks for this rule work on, with words for how sure that is.
fn class(loaded: &Loaded, rule: &Rule<'_>) -> Option<(Class, &'static str)> {
    let inventory = &loaded.configuration.inventory;
    let runbooks = loaded.configuration.runbooks.values();
    let handling = runbooks
        .filter(|runbook| runbook.matches.as_ref().is_some_and(|matchers| rule.satisfies(matchers.as_slice()) != Certainty::No));
    let classes = handling.flat_map(|runbook| match &runbook.target {
        TargetSelector::Named(id) => inventory.get(id).map(|target| (target.traits.class, "its target is")).into_iter().collect(),
        TargetSelector::Lookup { kind, .. } => {
            let of_kind = inventory.iter().filter(|target| target.id.kind == *kind);
            of_kind.map(|target| (target.traits.class, "a target that it can be about is")).collect::<Vec<_>>()
        }
    });
    classes.min_by_key(|(class, _)| *class)
}

/// A page is held for less than the time in which a person should be there.
fn longest_hold(class: Class) -> Span {
    match class {
        Class::P1 => Span::secs(4 * 60),
        Class::P2 => Span::secs(14 * 60),
        Class::P3 => Span::secs(55 * 60),
        Class::P4 => Span::secs(23 * 3600),
    }
}
