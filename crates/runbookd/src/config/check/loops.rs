//! Feedback loops: an act raises an alert, the alert starts a runbook, and so on round. Each action declares which alerts it
//! may raise, and a step may declare more (`silence`); whether it does in an estate is not known, so *may* counts. A loop is an error unless something breaks it, and
//! then what does is named. Alerts go by their names here: what an action may raise carries labels that nobody knows.
//!
//! What breaks a loop, each judged against the longest that one turn can take: a runbook whose acts a person approves; a
//! limit that so many turns reach within its window; a cooldown that lasts longer than a turn; an incident that is still open
//! when its own alert comes, which then joins it. The last three are per target, so a runbook that finds its target by a
//! label counts as often as there are targets to find.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use runbook::Span;
use runbook::action::Lasts;
use runbook::alert::{ALERTNAME, Labels};
use runbook::book::{Mode, Remedy, Runbook, Step};
use runbook::matcher::Matcher;
use runbook::target::TargetSelector;

use super::Certainty;
use super::pages::Pages;
use super::rules::Rule;
use crate::config::Loaded;
use crate::config::complaint::Severity;

/// How long an alert of the rules that ship is pending at most; taken where no rule is given.
const USUAL_PENDING: Span = Span::secs(300);
/// Alertmanager's own `group_interval`; taken where its file is not given.
const USUAL_RESEND: Span = Span::secs(300);

/// Who may set off whom, with the alert in between and the longest time from the act until it is told.
struct Edges<'a>(BTreeMap<(&'a str, &'a str), (&'a str, &'a str, Duration)>);

/// Finds the loops among all runbooks. `resend` is the longest that Alertmanager waits before it tells us of an alert.
pub fn complain(loaded: &Loaded, rules: &[Rule<'_>], resend: Option<Span>, pages: &Pages<'_>) {
    let all: Vec<&Runbook> = loaded.configuration.runbooks.values().collect();
    let mut joins = BTreeMap::new();
    let mut edges = Edges(BTreeMap::new());
    for from in &all {
        for (remedy, step) in acts(from) {
            let facts = step.action.facts();
            let declared = step.silence.iter().map(|effect| effect.name());
            for alert in facts.may_raise.iter().copied().chain(declared) {
                for to in &all {
                    let Some(pending) = starts(rules, alert, to) else { continue };
                    let turn = pending + resend.unwrap_or(USUAL_RESEND).duration();
                    if from.name == to.name && still_open(from, remedy, step, turn) {
                        joins.insert(from.name.as_str(), (facts.name, alert));
                        continue;
                    }
                    let edge = edges.0.entry((&from.name, &to.name)).or_insert((facts.name, alert, turn));
                    *edge = (*edge).max((edge.0, edge.1, turn));
                }
            }
        }
    }
    let basis = match (rules.is_empty(), resend) {
        (false, Some(_)) => String::new(),
        (true, Some(_)) => format!(", taking {USUAL_PENDING} for the rules' `for`"),
        (false, None) => format!(", taking {USUAL_RESEND} for Alertmanager's waits"),
        (true, None) => format!(", taking {USUAL_PENDING} for the rules' `for` and {USUAL_RESEND} for Alertmanager's waits"),
    };
    for (name, (action, alert)) in joins {
        let message = format!(
            "feedback loop, broken: `{action}` may raise `{alert}`, which this runbook is for; it joins the incident, which is still open then"
        );
        pages.say(Severity::Note, name, "match", message, "");
    }
    let names: BTreeSet<&str> = all.iter().map(|runbook| runbook.name.as_str()).collect();
    for group in edges.groups(&names) {
        let mut left = group.clone();
        let mut breaks = Vec::new();
        // What breaks the loops of a group leaves smaller groups, with shorter turns, in which more may.
        while let Some(part) = edges.groups(&left).into_iter().next() {
            let turn = edges.turn(&part);
            let found = part.iter().find_map(|name| Some((*name, broken_by(loaded, name, turn)?)));
            let Some((name, why)) = found else {
                let message = format!(
                    "feedback loop: {}; nothing breaks it (one turn takes up to {}{basis})",
                    edges.told(&part),
                    Span::from(turn)
                );
                let first = part.first().copied().unwrap_or_default();
                let mend = "limit one of them (`limits: {rate: [3/1h, 7/24h]}`), or give it a `cooldown` longer than a turn";
                pages.say(Severity::Error, first, "match", message, mend);
                left.retain(|name| !part.contains(name));
                continue;
            };
            breaks.push(why);
            left.remove(name);
        }
        if let (Some(first), false) = (group.first(), breaks.is_empty()) {
            let turn = Span::from(edges.turn(&group));
            let message = format!(
                "feedback loop, broken: {}; {} (one turn takes up to {turn}{basis})",
                edges.told(&group),
                breaks.join("; ")
            );
            pages.say(Severity::Note, first, "match", message, "");
        }
    }
    opaque(&all, pages);
}

/// The graph.
impl<'a> Edges<'a> {
    /// All that can be reached from one by one step or more, with the one before each on a shortest way.
    fn reach(&self, from: &'a str, among: &BTreeSet<&'a str>) -> BTreeMap<&'a str, &'a str> {
        let mut before = BTreeMap::new();
        let mut now = vec![from];
        while !now.is_empty() {
            let mut next = Vec::new();
            for at in now {
                for (_, to) in self.0.keys().filter(|(source, to)| *source == at && among.contains(to)) {
                    if !before.contains_key(to) {
                        before.insert(*to, at);
                        next.push(*to);
                    }
                }
            }
            now = next;
        }
        before
    }

    /// Groups within which each can set off each, itself included.
    fn groups(&self, among: &BTreeSet<&'a str>) -> Vec<BTreeSet<&'a str>> {
        let reach: BTreeMap<&str, _> = among.iter().map(|name| (*name, self.reach(name, among))).collect();
        let leads = |from: &str, to: &str| reach.get(from).is_some_and(|reached| reached.contains_key(to));
        let group = |name: &str| among.iter().filter(|to| leads(name, to) && leads(to, name)).copied().collect();
        let groups: BTreeSet<BTreeSet<&str>> = among.iter().map(|name| group(name)).collect();
        groups.into_iter().filter(|group| !group.is_empty()).collect()
    }

    /// No loop within a group takes longer: each of it is come to once, by the slowest way.
    fn turn(&self, group: &BTreeSet<&'a str>) -> Duration {
        let into = |name: &&str| {
            let edges = self.0.iter().filter(|((from, to), _)| to == name && group.contains(from));
            edges.map(|(_, (_, _, turn))| *turn).max().unwrap_or_default()
        };
        group.iter().map(into).sum()
    }

    /// A shortest loop through the first of a group, in words.
    fn told(&self, group: &BTreeSet<&'a str>) -> String {
        let Some(first) = group.first() else { return String::new() };
        let before = self.reach(first, group);
        let mut way = vec![*first];
        while let Some(from) = way.last().and_then(|at| before.get(at)) {
            way.push(from);
            if from == first {
                break;
            }
        }
        way.reverse();
        let parts: Vec<String> = way
            .windows(2)
            .filter_map(|pair| {
                let [from, to] = pair else { return None };
                let (action, alert, _) = self.0.get(&(*from, *to))?;
                Some(format!("`{action}` of `{from}` may raise `{alert}`, which starts `{to}`"))
            })
            .collect();
        let more: Vec<String> = group.iter().filter(|name| !way.contains(name)).map(|name| format!("`{name}`")).collect();
        match more.is_empty() {
            true => parts.join(", and "),
            false => format!("{}; {} can join in", parts.join(", and "), more.join(", ")),
        }
    }
}

/// What a runbook may ever do, with a person's approval or without.
fn acts(runbook: &Runbook) -> impl Iterator<Item = (&Remedy, &Step)> {
    let remedies = runbook.remedies.iter().filter(|remedy| freest(runbook, remedy) > Mode::Observe);
    remedies.flat_map(|remedy| remedy.steps.iter().map(move |step| (remedy, step)))
}

fn freest(runbook: &Runbook, remedy: &Remedy) -> Mode {
    let own = runbook.mode.during.values().copied().fold(runbook.mode.default, Mode::max);
    remedy.mode.map_or(own, |mode| mode.min(own))
}

/// Whether an alert of this name may start a runbook, and how long it is pending then.
fn starts(rules: &[Rule<'_>], alert: &str, runbook: &Runbook) -> Option<Duration> {
    let matchers = runbook.matches.as_ref()?.as_slice();
    let named: Labels = [(ALERTNAME.to_owned(), alert.to_owned())].into();
    let by_name = |matcher: &&Matcher| matcher.name() == ALERTNAME;
    if !matchers.iter().filter(by_name).all(|matcher| matcher.matches(&named)) {
        return None;
    }
    let mut known = rules.iter().filter(|rule| rule.name == alert).peekable();
    if known.peek().is_none() {
        return Some(USUAL_PENDING.duration());
    }
    known.filter(|rule| rule.satisfies(matchers) != Certainty::No).map(|rule| rule.pending.duration()).max()
}

/// Whether a runbook's own incident is open for as long as its act may raise the alert, or until it is told: then it joins.
fn still_open(runbook: &Runbook, remedy: &Remedy, step: &Step, turn: Duration) -> bool {
    let one_target = matches!(runbook.target, TargetSelector::Named(_));
    one_target && (step.action.facts().lasts == Lasts::UntilCondition || remedy.verify.hold.duration() >= turn)
}

/// What breaks every loop of this length through a runbook.
fn broken_by(loaded: &Loaded, name: &str, turn: Duration) -> Option<String> {
    let runbook = loaded.configuration.runbooks.get(name)?;
    if acts(runbook).all(|(remedy, _)| freest(runbook, remedy) == Mode::Ask) {
        return Some(format!("a person approves every act of `{name}`"));
    }
    let targets = match &runbook.target {
        TargetSelector::Named(_) => 1,
        TargetSelector::Lookup { kind, .. } => {
            let found = loaded.configuration.inventory.iter().filter(|target| target.id.kind == *kind).count();
            u32::try_from(found).unwrap_or(u32::MAX).max(1)
        }
    };
    let turn = turn.saturating_mul(targets);
    let reached = |count: u32, per: Span| turn.saturating_mul(count) <= per.duration();
    if let Some(rate) = runbook.limits.rate.iter().find(|rate| reached(rate.count, rate.per)) {
        return Some(format!("the limit of `{name}`, {}/{}, is reached, and then a person is called", rate.count, rate.per));
    }
    let cooldown = runbook.limits.cooldown;
    (cooldown.duration() > turn).then(|| format!("the cooldown of `{name}`, {cooldown}, is longer than a turn"))
}

/// Actions of which nobody can say what they raise.
fn opaque(all: &[&Runbook], pages: &Pages<'_>) {
    for runbook in all {
        let mut steps = acts(runbook).map(|(_, step)| step.action.facts().name);
        if steps.any(|action| action == "docker.exec") {
            let message =
                "which alerts the command of `docker.exec` may raise is not known, so loops through it were not looked for";
            pages.say(Severity::Note, &runbook.name, "remedies", message, "");
        }
    }
}
