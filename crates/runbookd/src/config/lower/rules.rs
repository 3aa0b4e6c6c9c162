//! `rules:` of `runbookd.yaml`: what holds for all runbooks together. What is not written, or is wrong, has the careful value.
//! Deliberately no way to switch a rule off by leaving it out.

use std::time::Duration;

use runbook::Span;
use runbook::book::Rate;
use runbook::rules::{Breaker, Disruption, Overall, PerTarget, Quiet, Rules, Storm};
use runbook::text::{closest, inert};
use schemars::{JsonSchema, SchemaGenerator};

use super::runbook::Known;
use super::{may, need};
use crate::config::written::rules::{WrittenQuiet, WrittenRules};
use crate::config::written::steps::WrittenAction;
use crate::config::yaml::{Document, Placed};

/// Limits count the past as far back as this; a longer window would count less than it says.
const LONGEST: Duration = policy::ledger::REMEMBERS;

/// Reads the rules.
pub fn rules(document: &Document, written: &Placed<WrittenRules>, known: &Known<'_>) -> Rules {
    let usual = Rules::default();
    let Some(written) = written.get() else { return usual };
    let overall = may(&written.overall);
    let disruption = may(&written.disruption);
    let storm = may(&written.storm);
    let breaker = may(&written.breaker);
    let rates = |placed: Option<&Placed<Vec<Placed<String>>>>, usual: Vec<Rate>| match placed.and_then(Placed::get) {
        Some(entries) => entries.iter().filter_map(|entry| rate(document, entry)).collect(),
        None => usual,
    };
    Rules {
        overall: Overall {
            rate: rates(overall.and_then(|overall| overall.rate.as_ref()), usual.overall.rate),
            at_once: number(document, overall.and_then(|overall| overall.at_once.as_ref()), usual.overall.at_once),
        },
        per_target: PerTarget {
            rate: rates(may(&written.per_target).and_then(|target| target.rate.as_ref()), usual.per_target.rate),
        },
        disruption: Disruption {
            budget: number(document, disruption.and_then(|rule| rule.budget.as_ref()), usual.disruption.budget),
            per: span(document, disruption.and_then(|rule| rule.per.as_ref()), usual.disruption.per),
            floor: share(document, disruption.and_then(|rule| rule.floor.as_ref()), usual.disruption.floor),
        },
        storm: Storm {
            incidents: number(document, storm.and_then(|rule| rule.incidents.as_ref()), usual.storm.incidents),
            within: storm_within(document, storm.and_then(|rule| rule.within.as_ref()), usual.storm.within),
            unknown: share(document, storm.and_then(|rule| rule.unknown.as_ref()), usual.storm.unknown),
        },
        breaker: Breaker {
            failures: number(document, breaker.and_then(|rule| rule.failures.as_ref()), usual.breaker.failures),
            overall: number(document, breaker.and_then(|rule| rule.overall.as_ref()), usual.breaker.overall),
            within: span(document, breaker.and_then(|rule| rule.within.as_ref()), usual.breaker.within),
            tries_again_after: span(
                document,
                breaker.and_then(|rule| rule.tries_again_after.as_ref()),
                usual.breaker.tries_again_after,
            ),
        },
        quiet: may(&written.quiet).into_iter().flatten().filter_map(|placed| quiet(document, placed, known)).collect(),
    }
}

/// So many acts within so long: `3/1h`.
pub fn rate(document: &Document, entry: &Placed<String>) -> Option<Rate> {
    let text = entry.get()?;
    let rate = text.split_once('/').and_then(|(count, per)| {
        Some(Rate { count: count.trim().parse().ok().filter(|count| *count > 0)?, per: per.trim().parse().ok()? })
    });
    let Some(rate) = rate.filter(|rate| !rate.per.duration().is_zero()) else {
        let message = format!("`{}` is no rate", inert(text, 40));
        document.complain(entry.at(), message, "write COUNT/DURATION, for example 3/1h; `mode: observe` is how to allow none");
        return None;
    };
    window(document, entry, rate.per).then_some(rate)
}

pub(super) fn window<T>(document: &Document, placed: &Placed<T>, span: Span) -> bool {
    let fits = span.duration() <= LONGEST;
    if !fits {
        document.complain(placed.at(), format!("{span} is longer than the past that limits count"), "write 31d or less");
    }
    fits
}

fn number(document: &Document, placed: Option<&Placed<u32>>, usual: u32) -> u32 {
    let Some((placed, number)) = placed.and_then(|placed| Some((placed, *placed.get()?))) else { return usual };
    if number == 0 {
        document.complain(
            placed.at(),
            "with a 0 here nothing would ever be done",
            "write 1 or more; `mode: observe` or `runbookd pause` is how to do nothing",
        );
        return usual;
    }
    number
}

fn span(document: &Document, placed: Option<&Placed<Span>>, usual: Span) -> Span {
    let Some((placed, span)) = placed.and_then(|placed| Some((placed, *placed.get()?))) else { return usual };
    if span.duration().is_zero() {
        document.complain(placed.at(), "a stretch of no length holds nothing", "write for example 1h");
        return usual;
    }
    if window(document, placed, span) { span } else { usual }
}

fn storm_within(document: &Document, placed: Option<&Placed<Span>>, usual: Span) -> Span {
    let within = span(document, placed, usual);
    if let Some(placed) = placed.filter(|_| within.duration() > policy::ledger::OPENINGS) {
        document.complain(placed.at(), format!("a storm is no matter of {within}"), "write 1d or less, for example 5m");
        return usual;
    }
    within
}

fn share(document: &Document, placed: Option<&Placed<f64>>, usual: f64) -> f64 {
    let Some((placed, share)) = placed.and_then(|placed| Some((placed, *placed.get()?))) else { return usual };
    if !(0.0..=1.0).contains(&share) {
        document.complain(placed.at(), format!("{share} is no share"), "write between 0 and 1: 0.5 is half");
        return usual;
    }
    share
}

fn quiet(document: &Document, placed: &Placed<WrittenQuiet>, known: &Known<'_>) -> Option<Quiet> {
    let written = placed.get()?;
    let during = need(document, placed.at(), &written.during, "during")?;
    if let Some(intervals) = known.intervals
        && !intervals.contains(during)
    {
        let mend = match closest(during, intervals.iter().map(String::as_str)) {
            Some(word) => format!("write `{word}`, if that was meant"),
            None => "add it to `time_intervals`".to_owned(),
        };
        document.complain(written.during.at(), format!("there is no time interval `{}`", inert(during, 60)), mend);
    }
    let mut targets = Vec::new();
    for entry in may(&written.targets).into_iter().flatten() {
        let Some(id) = entry.get() else { continue };
        if known.targets.demand(document, entry.at(), id) {
            targets.push(id.clone());
        }
    }
    let kinds: Vec<_> = may(&written.kinds).into_iter().flatten().filter_map(|entry| entry.get().copied()).collect();
    if written.targets.is_none() && written.kinds.is_none() {
        let message = "nothing is left alone here: neither `targets` nor `kinds` is written";
        document.complain(placed.at(), message, "add `kinds: [postgres]`, for example, or `targets:`");
    }
    let mut actions = Vec::new();
    let there = action_names();
    for entry in may(&written.actions).into_iter().flatten() {
        let Some(name) = entry.get() else { continue };
        if there.contains(name) {
            actions.push(name.clone());
            continue;
        }
        let mend = match closest(name, there.iter().map(String::as_str)) {
            Some(word) => format!("write `{word}`, if that was meant"),
            None => format!("the actions are {}", there.join(", ")),
        };
        document.complain(entry.at(), format!("there is no action `{}`", inert(name, 60)), mend);
    }
    if may(&written.actions).is_some_and(Vec::is_empty) {
        let message = "an empty list names no action, and would read as every one that disturbs";
        document.complain(placed.at(), message, "name actions, or leave `actions` out to mean every one that disturbs");
        return None;
    }
    Some(Quiet { during: during.clone(), targets, kinds, actions })
}

/// The names of all actions, from the form that steps are read by.
pub fn action_names() -> Vec<String> {
    let schema = WrittenAction::json_schema(&mut SchemaGenerator::default());
    let variants = schema.get("oneOf").and_then(|list| list.as_array()).cloned().unwrap_or_default();
    let named = variants.iter().filter_map(|variant| variant.get("properties")?.as_object()?.keys().next().cloned());
    // The form hides rehearsals from editors.
    named.chain(cfg!(feature = "rehearsal").then(|| "rehearsal.effect".to_owned())).collect()
}
