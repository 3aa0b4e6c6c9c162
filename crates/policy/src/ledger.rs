//! Counters of the past, kept as things happen, so that a decision costs the same after a hundred thousand acts as after ten.
//! Fed by whoever writes the journal, event by event, and made anew from it at start. Everything in it is ordered by time, and
//! what a limit counts is read from the newest end, so nothing here is ever walked through whole.
//! Deliberately no authority: a limit is checked again inside the transaction that starts an action.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use runbook::book::{Configuration, Mode, Rate, Runbook};
use runbook::incident::{Event, How, Incident, IncidentId, Stage};
use runbook::rules::Breaker;
use runbook::target::TargetId;
use runbook::time::Stamp;
use serde::{Deserialize, Serialize};

use crate::earned::{Record, Standing};
use crate::history::{Attempted, Burst, Counted, History, Streak};
use crate::spent::Spent;

/// Nothing older than this is counted: `check` refuses longer windows.
pub const REMEMBERS: Duration = Duration::from_secs(31 * 86_400);
/// No storm is longer than this, so older openings are not counted.
pub const OPENINGS: Duration = Duration::from_secs(86_400);
/// A look older than this says nothing about what can be seen now.
const SEEN_LATELY: Duration = Duration::from_secs(120);
/// In a storm no more openings than this are examined; by then it is one.
const MOST_EXAMINED: usize = 1_000;
/// Among so many failures in a row the same incident's earlier ones are looked for.
const SAME_FAILURE: usize = 64;

/// A started order, as the ledger counts it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Started {
    /// By which incident.
    pub incident: IncidentId,
    /// Of which runbook.
    pub runbook: String,
    /// The incident's target.
    pub target: TargetId,
    /// The target that it acted on.
    pub acted_on: TargetId,
    /// When.
    pub at: Stamp,
    /// What it cost of the budget of disruption.
    pub cost: u32,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Open {
    runbook: String,
    target: TargetId,
    /// In the middle of an act: it holds targets, and its effect is not proved yet, and people were not called because its end
    /// cannot be seen.
    at_work: bool,
    /// It only keeps up an effect that is proved.
    sustains: bool,
    /// Its latest order.
    tried: Option<Stamp>,
    /// Its latest look, and whether all of it could see.
    looked: Option<(Stamp, bool)>,
}

/// A cure that failed or was verified.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Outcome {
    at: Stamp,
    incident: IncidentId,
    cured: bool,
}

/// Counters over one runbook.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct OfRunbook {
    attempts: BTreeMap<TargetId, VecDeque<Attempted>>,
    cured: BTreeMap<TargetId, VecDeque<Stamp>>,
    outcomes: VecDeque<Outcome>,
}

/// The counters.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ledger {
    runbooks: BTreeMap<String, OfRunbook>,
    acted_on: BTreeMap<TargetId, VecDeque<Stamp>>,
    overall: VecDeque<Stamp>,
    spent: Spent,
    outcomes: VecDeque<Outcome>,
    opened: VecDeque<(Stamp, IncidentId, TargetId)>,
    open: BTreeMap<IncidentId, Open>,
    open_on: BTreeMap<TargetId, BTreeSet<IncidentId>>,
    /// What each text of a runbook has earned, by the runbook's name and the name of what the text does.
    earned: BTreeMap<String, BTreeMap<String, Record>>,
    /// When a person last closed the breaker of a runbook, or of all.
    closed_by_hand: BTreeMap<Option<String>, Stamp>,
}

/// A breaker that is open.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OpenBreaker {
    /// So many cures failed in a row.
    pub failures: u32,
    /// The last of them.
    pub since: Stamp,
    /// When one incident may try by itself.
    pub tries_again: Stamp,
    /// The incident that is trying.
    pub tried_by: Option<IncidentId>,
}

impl Ledger {
    /// An incident was opened. One that a person opened is no sign of a storm.
    pub fn opened(&mut self, id: IncidentId, runbook: &str, target: &TargetId, at: Stamp, by_a_person: bool) {
        let open = Open {
            runbook: runbook.to_owned(),
            target: target.clone(),
            at_work: false,
            sustains: false,
            tried: None,
            looked: None,
        };
        self.open.insert(id, open);
        self.open_on.entry(target.clone()).or_default().insert(id);
        if !by_a_person {
            push(&mut self.opened, (at, id, target.clone()), |(at, _, _)| *at);
        }
    }

    /// An order was started, and counts against the limits. What goes on with a step, takes back or ends is not counted.
    pub fn started(&mut self, started: &Started) {
        let Started { incident, at, cost, .. } = *started;
        if let Some(open) = self.open.get_mut(&incident) {
            open.tried = open.tried.max(Some(at));
        }
        let of = self.runbooks.entry(started.runbook.clone()).or_default();
        push(of.attempts.entry(started.target.clone()).or_default(), Attempted { at, incident }, |attempted| attempted.at);
        push(self.acted_on.entry(started.acted_on.clone()).or_default(), at, |at| *at);
        push(&mut self.overall, at, |at| *at);
        if cost > 0 {
            self.spent.add(at, cost);
        }
    }

    /// An event was appended, and left the incident like this.
    pub fn happened(&mut self, after: &Incident, at: Stamp, event: &Event) {
        match event {
            Event::Looked { findings } => {
                let sees = findings.looks.values().all(|finding| finding.unknown().is_none());
                if let Some(open) = self.open.get_mut(&after.id) {
                    open.looked = Some((at, sees));
                }
            }
            Event::NotVerified { .. } | Event::Harmed { .. } => self.failed(after.id, &after.runbook.name, at),
            _ => {}
        }
        match &after.stage {
            Stage::Closed { how, .. } => {
                // A note to a closed incident is no second end.
                if self.open.contains_key(&after.id) {
                    self.ended(after.id, *how, at, after.acted());
                }
            }
            _ => self.stands_as(after),
        }
    }

    /// An open incident stands like this, whatever brought it there.
    pub fn stands_as(&mut self, incident: &Incident) {
        let proved = matches!(incident.stage, Stage::Sustaining { .. });
        // One whose end nobody can see keeps its target, and not its turn: a person has it, and others are to be cured meanwhile.
        let at_work = incident.needs_holds() && !proved && incident.unsettled().is_none();
        self.stands(incident.id, at_work, proved);
    }

    /// How an open incident stands: in the middle of an act, or keeping up a proved effect.
    pub fn stands(&mut self, id: IncidentId, at_work: bool, sustains: bool) {
        if let Some(open) = self.open.get_mut(&id) {
            (open.at_work, open.sustains) = (at_work, sustains);
        }
    }

    /// A remedy was not verified or did harm, or an incident that had acted ended in a person's hands.
    pub fn failed(&mut self, id: IncidentId, runbook: &str, at: Stamp) {
        self.came_out(runbook, Outcome { at, incident: id, cured: false });
    }

    /// An incident was cured after it had acted.
    pub fn cured(&mut self, id: IncidentId, runbook: &str, target: &TargetId, at: Stamp) {
        let of = self.runbooks.entry(runbook.to_owned()).or_default();
        push(of.cured.entry(target.clone()).or_default(), at, |at| *at);
        self.came_out(runbook, Outcome { at, incident: id, cured: true });
    }

    /// An open incident is over.
    pub fn ended(&mut self, id: IncidentId, how: How, at: Stamp, acted: bool) {
        let Some(open) = self.open.remove(&id) else { return };
        if let Some(there) = self.open_on.get_mut(&open.target) {
            there.remove(&id);
            if there.is_empty() {
                self.open_on.remove(&open.target);
            }
        }
        match how {
            How::Cured => self.cured(id, &open.runbook, &open.target, at),
            How::HandedOver | How::Stuck if acted => self.failed(id, &open.runbook, at),
            _ => {}
        }
    }

    /// What a text of a runbook has earned is this now.
    pub fn earns(&mut self, runbook: &str, deed: &str, record: Record) {
        self.earned.entry(runbook.to_owned()).or_default().insert(deed.to_owned(), record);
    }

    /// What a text of a runbook has earned.
    pub fn standing(&self, runbook: &str, deed: &str) -> Standing {
        let texts = self.earned.get(runbook);
        match texts.and_then(|texts| texts.get(deed)) {
            Some(record) => Standing { record: record.clone(), before: None },
            None => {
                let before = texts.into_iter().flat_map(BTreeMap::values).map(|record| record.level).max();
                Standing { record: Record::default(), before: before.filter(|level| *level > Mode::Observe) }
            }
        }
    }

    /// A person closed a breaker: what failed before is no longer counted by it.
    pub fn closed_by_hand(&mut self, runbook: Option<&str>, at: Stamp) {
        let last = self.closed_by_hand.entry(runbook.map(str::to_owned)).or_insert(at);
        *last = at.max(*last);
    }

    /// The breaker of a runbook, or of all, where it is open.
    pub fn breaker(&self, runbook: Option<&str>, rule: &Breaker) -> Option<OpenBreaker> {
        let most = if runbook.is_some() { rule.failures } else { rule.overall };
        let outcomes = match runbook {
            Some(name) => self.runbooks.get(name).map(|of| &of.outcomes),
            None => Some(&self.outcomes),
        };
        // No incident has this number: whoever tries is another one.
        let streak = self.streak(outcomes, most, IncidentId(u64::MAX), runbook);
        let since = crate::house::tripped(&streak, most, rule)?;
        let tries_again = since.plus(rule.tries_again_after.duration());
        Some(OpenBreaker { failures: count(streak.failures.iter()), since, tries_again, tried_by: streak.tried_by })
    }

    /// What happens everywhere now, as the storm's rule counts it.
    pub fn burst_now(&self, current: &Configuration, now: Stamp) -> Burst {
        self.burst(current, now)
    }

    /// Verified cures of a runbook, target by target, as many as its rule counts.
    pub fn cures<'a>(&'a self, rules: &'a Runbook) -> impl Iterator<Item = (&'a TargetId, Vec<Stamp>)> {
        let most = rules.limits.recurrence.map_or(0, |limit| limit.times);
        let targets = self.runbooks.get(&rules.name).into_iter().flat_map(|of| &of.cured);
        targets.map(move |(target, all)| (target, last(all, most)))
    }

    /// What the limits of one case go by. `acts_on` is what its next step acts on.
    pub fn history(&self, incident: &Incident, rules: &Runbook, current: &Configuration, now: Stamp) -> History {
        let acts_on = incident.step().and_then(|step| step.target.as_ref()).unwrap_or(&incident.target);
        let house = &current.rules;
        let of = self.runbooks.get(&rules.name);
        let attempts = of.and_then(|of| of.attempts.get(&incident.target));
        History {
            // Only the journal knows how an earlier one ended.
            doubtful: None,
            attempts: attempts.map(|all| own_and_others(all, &rules.limits.rate, incident.id)).unwrap_or_default(),
            on_target: self.acted_on.get(acts_on).map(|all| within(all, &house.per_target.rate, now)).unwrap_or_default(),
            overall: within(&self.overall, &house.overall.rate, now),
            spent: self.spent.within(house.disruption.per.duration(), now),
            at_work: self.at_work(incident.id),
            cured: of
                .and_then(|of| of.cured.get(&incident.target))
                .map(|all| last(all, rules.limits.recurrence.map_or(0, |limit| limit.times)))
                .unwrap_or_default(),
            failed: self.streak(of.map(|of| &of.outcomes), house.breaker.failures, incident.id, Some(&rules.name)),
            failed_overall: self.streak(Some(&self.outcomes), house.breaker.overall, incident.id, None),
            burst: self.burst(current, now),
            upstream: self.upstream(incident, current),
            // Named only where it is gone by: the name of what a text does is not had for nothing.
            earned: rules.mode.earned.map(|_| self.standing(&rules.name, &incident.runbook.deed())).unwrap_or_default(),
        }
    }

    /// How many other incidents are in the middle of an act.
    pub fn at_work(&self, own: IncidentId) -> u32 {
        count(self.open.iter().filter(|(id, open)| **id != own && open.at_work))
    }

    /// The open incidents that work on this target and are not merely keeping up a proved effect.
    pub fn works_on(&self, target: &TargetId) -> impl Iterator<Item = IncidentId> {
        let there = self.open_on.get(target).into_iter().flatten();
        there.filter(|id| self.open.get(id).is_some_and(|open| !open.sustains)).copied()
    }

    fn came_out(&mut self, runbook: &str, outcome: Outcome) {
        let of = &mut self.runbooks.entry(runbook.to_owned()).or_default().outcomes;
        for outcomes in [of, &mut self.outcomes] {
            // One incident fails once: its rungs and its end are the same failure, told at the last of them.
            let in_a_row = outcomes.iter().rev().take(SAME_FAILURE).take_while(|earlier| !earlier.cured && !outcome.cured);
            if let Some(back) = in_a_row.map(|earlier| earlier.incident).position(|earlier| earlier == outcome.incident) {
                outcomes.remove(outcomes.len() - 1 - back);
            }
            push(outcomes, outcome, |outcome| outcome.at);
        }
    }

    fn streak(&self, outcomes: Option<&VecDeque<Outcome>>, most: u32, own: IncidentId, runbook: Option<&str>) -> Streak {
        let begun = self.closed_by_hand.get(&runbook.map(str::to_owned)).copied();
        let in_a_row = outcomes
            .into_iter()
            .flat_map(|all| all.iter().rev())
            .take_while(|outcome| !outcome.cured && begun.is_none_or(|begun| outcome.at > begun));
        let failures: Vec<Stamp> = in_a_row.take(most as usize).map(|outcome| outcome.at).collect();
        let tripped = failures.len() >= most as usize;
        let tried_by = failures.first().filter(|_| tripped).and_then(|newest| {
            let tries = |(id, open): &(&IncidentId, &Open)| {
                **id != own && runbook.is_none_or(|name| open.runbook == name) && open.tried.is_some_and(|at| at > *newest)
            };
            self.open.iter().find(tries).map(|(id, _)| *id)
        });
        Streak { failures, tried_by }
    }

    fn burst(&self, current: &Configuration, now: Stamp) -> Burst {
        let storm = &current.rules.storm;
        let (within, seen_lately) = (now.window(storm.within.duration()), now.window(SEEN_LATELY));
        let lately = self.opened.iter().rev().take_while(|(at, _, _)| within.holds(*at));
        let lately: Vec<_> = lately.take(MOST_EXAMINED).collect();
        // While there are few, nothing has to be explained.
        let unexplained = if count(lately.iter()) <= storm.incidents {
            count(lately.iter())
        } else {
            let mut explained: BTreeMap<&TargetId, bool> = BTreeMap::new();
            count(lately.iter().filter(|(_, _, target)| {
                !*explained.entry(target).or_insert_with(|| {
                    let upstream = current.inventory.upstream_of(target);
                    upstream.iter().any(|needed| self.works_on(needed).next().is_some())
                })
            }))
        };
        let looked = self.open.values().filter_map(|open| open.looked).filter(|(at, _)| seen_lately.holds(*at));
        let (mut blind, mut all) = (0_u32, 0_u32);
        for (_, sees) in looked {
            all = all.saturating_add(1);
            blind = blind.saturating_add(u32::from(!sees));
        }
        Burst { unexplained, blind, looked: all }
    }

    fn upstream(&self, incident: &Incident, current: &Configuration) -> BTreeMap<TargetId, IncidentId> {
        let touched = incident.touches();
        let needed = touched.iter().flat_map(|id| current.inventory.upstream_of(id));
        let others = needed.filter(|id| !touched.contains(id));
        let worked_on = |id: &TargetId| {
            let other = self.works_on(id).find(|other| *other != incident.id)?;
            Some((id.clone(), other))
        };
        others.filter_map(worked_on).collect()
    }
}

/// Adds what happened last and forgets what no limit counts any more. Stamps of the journal never go back; what is read from it
/// in another order is put where it belongs.
pub(crate) fn push<T>(all: &mut VecDeque<T>, new: T, at: impl Fn(&T) -> Stamp) {
    let moment = at(&new);
    let place = all.partition_point(|old| at(old) <= moment);
    all.insert(place, new);
    while all.front().is_some_and(|old| moment.since(at(old)) > REMEMBERS) {
        all.pop_front();
    }
}

fn last(all: &VecDeque<Stamp>, most: u32) -> Vec<Stamp> {
    all.range(all.len().saturating_sub(most as usize)..).copied().collect()
}

fn most_counted(rates: &[Rate]) -> u32 {
    rates.iter().map(|rate| rate.count).max().unwrap_or(0)
}

/// How many lie within each window. Found by halving, so that neither a long past nor a wide limit costs anything.
fn within(all: &VecDeque<Stamp>, rates: &[Rate], now: Stamp) -> Vec<Counted> {
    let one = |rate: &Rate| {
        let window = now.window(rate.per.duration());
        let acts = all.len() - all.partition_point(|at| !window.holds(*at));
        // There is room once as many as are over, and one more, have left the window.
        let leaves = all.len().checked_sub(rate.count as usize).filter(|_| acts >= rate.count as usize);
        let room = leaves.and_then(|index| all.get(index)).map(|at| at.plus(rate.per.duration()));
        Counted { acts: u32::try_from(acts).unwrap_or(u32::MAX), room }
    };
    rates.iter().map(one).collect()
}

/// As many as the limits count, and further back to the last one of another incident, which the cooldown goes by.
fn own_and_others(all: &VecDeque<Attempted>, rates: &[Rate], own: IncidentId) -> Vec<Attempted> {
    let counted = all.len().saturating_sub(most_counted(rates) as usize);
    let others = all.iter().rposition(|attempted| attempted.incident != own).unwrap_or(all.len());
    all.range(counted.min(others)..).copied().collect()
}

fn count<T>(items: impl Iterator<Item = T>) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}
