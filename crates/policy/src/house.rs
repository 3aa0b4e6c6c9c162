//! The guards of the house: what no runbook may exceed, and what is around an incident rather than in it. Each is a pure word on
//! one question. Why apart from `guards`: those judge one incident by its own runbook. A step that has begun is not judged
//! anew by what is counted; its next replica is the same act. Nothing here mints a permit.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use runbook::action::{Action, DockerAction};
use runbook::book::{Configuration, Rate, Runbook};
use runbook::condition::Value;
use runbook::health::Health;
use runbook::incident::{Aim, How, Incident, Trigger, Waiting};
use runbook::order::Order;
use runbook::rules::{Breaker, Storm};
use runbook::target::{Class, Kind, TargetId};
use runbook::time::{Span, Stamp};

use crate::decide::{Case, Decision, Instead, Word, instead};
use crate::guards::{self, end, wait};
use crate::history::{Burst, Counted, Streak};
use crate::permit::{Reservation, Scope};

/// How often what keeps an incident from acting is looked at again, besides being woken.
const KEPT_RETRY: Duration = Duration::from_secs(30);
/// The same where another incident is at the target.
const HELD_RETRY: Duration = Duration::from_secs(5);
/// Fewer incidents than this that cannot see are no storm, whatever their share.
const FEWEST_BLIND: u32 = 3;
const BEGUN: &str = "counted when the step began";

/// What an order costs of the budget of disruption. The rest of a step was paid for at its beginning, and what takes back is
/// never kept from it.
pub(crate) fn cost(case: &Case<'_>, order: &Order) -> u32 {
    if case.aim != Aim::Do || guards::continues(case) || !order.action.facts().disruptive {
        return 0;
    }
    case.current.rules.disruption.cost(&case.current.inventory, &order.target)
}

/// Everything that the start checks again.
pub(crate) fn reservations(case: &Case<'_>, runbook: &Runbook) -> Vec<Reservation> {
    let rules = &case.current.rules;
    let acts = |scope, rates: &[Rate]| -> Vec<Reservation> {
        let one =
            |rate: &Rate| Reservation::Acts { scope, fewer_than: rate.count, within: rate.per.duration(), except_own: false };
        rates.iter().map(one).collect()
    };
    let mut all = acts(Scope::Here, &runbook.limits.rate);
    all.extend(acts(Scope::Target, &rules.per_target.rate));
    all.extend(acts(Scope::Everything, &rules.overall.rate));
    let cooldown = runbook.limits.cooldown.duration();
    if !cooldown.is_zero() {
        all.push(Reservation::Acts { scope: Scope::Here, fewer_than: 1, within: cooldown, except_own: true });
    }
    all.push(Reservation::Budget { budget: rules.disruption.budget, within: rules.disruption.per.duration() });
    if case.incident.applied.is_empty() {
        all.push(Reservation::AtOnce { fewer_than: rules.overall.at_once });
    }
    let streaks = [
        (Scope::Runbook, &case.history.failed, rules.breaker.failures),
        (Scope::Everything, &case.history.failed_overall, rules.breaker.overall),
    ];
    for (scope, streak, failures) in streaks {
        if let Some(since) = tripped(streak, failures, &rules.breaker) {
            all.push(Reservation::Trial { scope, since });
        }
    }
    all
}

/// Waits for what is around the incident, for as long as a person may be waited for, and then calls one.
pub(crate) fn kept(case: &Case<'_>, on: Waiting, why: String) -> Instead {
    // Whoever holds the target gives it back when it is done, which is asked for often and costs no event.
    let again = if matches!(on, Waiting::Held { .. }) { HELD_RETRY } else { KEPT_RETRY };
    kept_to(case, case.now.plus(again), on, why)
}

/// That moment, or earlier: what is around an incident may be over before its time, as a clock that is set right.
pub(crate) fn soon(case: &Case<'_>, moment: Stamp) -> Stamp {
    moment.min(case.now.plus(KEPT_RETRY))
}

/// The same, where it is known when it is worth asking again.
fn kept_to(case: &Case<'_>, again: Stamp, on: Waiting, why: String) -> Instead {
    let class = class_of(case.incident, case.current);
    let left_alone = kept_until(case.incident, case.current, case.now);
    if case.now >= left_alone {
        let lasted = Span::from(class.response());
        let how = if case.aim == Aim::Do { How::HandedOver } else { How::Stuck };
        return end(how, format!("{why}; that has lasted for {lasted}, and {class:?} is no longer left alone"));
    }
    wait(again.min(left_alone), on, why)
}

/// The same, but what was begun is not given up in its middle: no further step is taken then, and what was done is verified.
pub(crate) fn kept_or_enough(case: &Case<'_>, again: Stamp, on: Waiting, why: String) -> Instead {
    let left_alone = kept_until(case.incident, case.current, case.now);
    match (case.incident.applied.is_empty(), case.now >= left_alone) {
        (false, true) => no_more(case, why),
        _ => kept_to(case, again, on, why),
    }
}

/// Until when an incident may be kept from acting by what is around it, were that to go on from now: as long as a person may be
/// waited for, by its target's class.
pub fn kept_until(incident: &Incident, current: &Configuration, now: Stamp) -> Stamp {
    incident.kept_since.unwrap_or(now).plus(class_of(incident, current).response())
}

fn class_of(incident: &Incident, current: &Configuration) -> Class {
    current.inventory.get(&incident.target).map_or(Class::P1, |target| target.traits.class)
}

/// No further act: what was done is verified, and an incident that has done nothing goes to a person.
fn no_more(case: &Case<'_>, why: String) -> Instead {
    if case.incident.applied.is_empty() {
        return end(How::HandedOver, why);
    }
    instead(why.clone(), Decision::Enough(why))
}

/// Cause before symptom: what the incident's targets rest on is well, and nobody works on it.
pub(crate) fn nothing_upstream(case: &Case<'_>) -> Word {
    if let Some(word) = guards::finishes(case) {
        return Ok(word.into());
    }
    if let Some((target, by)) = case.history.upstream.iter().next() {
        let on = Waiting::Cause { of: target.clone(), by: Some(*by) };
        return Err(kept(case, on, format!("{by} works on {target}, which this rests on; the cause comes first")));
    }
    let touched = case.incident.touches();
    let there = || touched.iter().filter_map(|id| case.current.inventory.get(id));
    let needed: BTreeSet<&TargetId> = there().flat_map(|target| &target.traits.depends_on).collect();
    let mut seen = 0;
    for target in needed.into_iter().filter(|id| !touched.contains(id)) {
        let Some(finding) = case.findings.beside.get(target) else {
            let why = format!("{target}, which this rests on, was not looked at: the inventory has changed since");
            return Err(instead(why.clone(), Decision::LookAgain(why)));
        };
        // A server's container is its home: its check asks the very server that is in trouble.
        let server = |id: &TargetId| matches!(id.kind, Kind::Postgres | Kind::Redis | Kind::Rabbitmq);
        let home = there().filter(|leaning| leaning.traits.depends_on.contains(target)).all(|leaning| server(&leaning.id));
        let why = match if home { finding.health_as_home() } else { finding.health() } {
            Health::Well => {
                seen += 1;
                continue;
            }
            Health::Ill(why) => format!("{target}, which this rests on, is not well: {why}"),
            Health::Unknown(why) => format!("whether {target}, which this rests on, is well cannot be seen: {why}"),
        };
        return Err(kept(case, Waiting::Cause { of: target.clone(), by: None }, why));
    }
    Ok(match seen {
        1 => "the 1 target that it rests on is well, and nobody works on it".into(),
        _ => format!("{seen} targets that it rests on are well, and nobody works on any").into(),
    })
}

/// Whether so much happens at once that nothing more is done by itself, with the numbers.
pub fn storms(rule: &Storm, burst: &Burst) -> Option<String> {
    if burst.unexplained > rule.incidents {
        return Some(format!(
            "a storm: {} new incidents within {} that nothing upstream explains, and {} are allowed; nothing more is done by itself",
            burst.unexplained, rule.within, rule.incidents
        ));
    }
    let blind = burst.blind >= FEWEST_BLIND && f64::from(burst.blind) > f64::from(burst.looked) * rule.unknown;
    let words =
        || format!("{} of {} open incidents cannot see what they look at: the trouble is elsewhere", burst.blind, burst.looked);
    blind.then(words)
}

/// Many at once mean: do less, and call a person. What a person started goes on, because one is there.
pub(crate) fn no_storm(case: &Case<'_>) -> Word {
    if let Some(word) = guards::finishes(case) {
        return Ok(word.into());
    }
    let (rule, burst) = (&case.current.rules.storm, &case.history.burst);
    if matches!(case.incident.trigger, Trigger::Person { .. }) {
        return Ok("a person started it".into());
    }
    if let Some(why) = storms(rule, burst) {
        return Err(no_more(case, why));
    }
    Ok(format!("{} new incidents within {}, {} of {} open ones blind", burst.unexplained, rule.within, burst.blind, burst.looked)
        .into())
}

/// Nothing is restarted while its data is being saved, by the calendar or by what is seen.
pub(crate) fn not_quiet(case: &Case<'_>, order: &Order) -> Word {
    if let Some(word) = guards::finishes(case) {
        return Ok(word.into());
    }
    let facts = order.action.facts();
    let inventory = &case.current.inventory;
    for quiet in &case.current.rules.quiet {
        let meant = if quiet.actions.is_empty() { facts.disruptive } else { quiet.actions.iter().any(|name| name == facts.name) };
        let now = || case.current.intervals.get(&quiet.during).is_some_and(|times| times.contains(case.now.millis()));
        if let Some(target) = meant.then(|| quiet.covers(inventory, &order.target)).flatten()
            && now()
        {
            let why = format!("it is `{}`, when {target} is left alone, and {} would disturb it", quiet.during, facts.name);
            return Err(kept(case, Waiting::Quiet, why));
        }
    }
    let interrupts = matches!(&order.action, Action::Docker(docker) if docker.restart().is_some() || matches!(docker, DockerAction::Recreate(_)));
    if !interrupts {
        return Ok("no quiet time is meant for it".into());
    }
    let looks =
        case.incident.runbook.look.iter().filter_map(|(name, look)| {
            Some((look.target.as_ref().unwrap_or(&case.incident.target), case.findings.looks.get(name)?))
        });
    let leaning = inventory.leaning_on(&order.target);
    for (target, finding) in looks.chain(case.findings.beside.iter()) {
        let there = target.kind == Kind::Postgres && (leaning.contains(target) || *target == order.target);
        if there && finding.field("backup_running") == Value::Flag(true) {
            let why = format!("a backup of {target} is running, and {} would cut it", facts.name);
            return Err(kept(case, Waiting::Quiet, why));
        }
    }
    Ok("no quiet time, and no backup is seen".into())
}

/// From two replicas up, a share of them stays healthy whatever the step says.
pub(crate) fn above_floor(case: &Case<'_>, order: &Order) -> Word {
    if let Some(word) = guards::finishes(case) {
        return Ok(word.into());
    }
    let finding = case.incident.seen_at(case.findings, order.action.facts().selects_from, &order.target);
    let Some(left) = finding.and_then(|finding| order.leaves(finding)) else {
        return Ok("it takes no replica away".into());
    };
    let floor = case.current.rules.disruption.floor_of(left.replicas);
    let words =
        format!("{} of {} replicas are healthy, {} meanwhile, and {floor} have to be", left.healthy, left.replicas, left.left);
    // A replica that is failing already is no loss.
    if left.left >= floor || left.left == left.healthy {
        return Ok(words.into());
    }
    Err(no_more(case, words))
}

fn too_many(counted: &[Counted], rates: &[Rate], whose: &str, key: &str) -> Word {
    for (Counted { acts, room }, rate) in counted.iter().zip(rates) {
        if *acts >= rate.count {
            let why = format!("{acts} acts {whose} within {}, and {} are allowed", rate.per, rate.count);
            return Err(end(How::HandedOver, format!("{why} ({})", room_again(key, *room))));
        }
    }
    Ok(none_full(rates.len()))
}

/// Which key of the configuration is in the way, and until when.
pub(crate) fn room_again(key: &str, room: Option<Stamp>) -> String {
    match room {
        Some(room) => format!("`{key}`; room again at {room}"),
        None => format!("`{key}`"),
    }
}

/// That none of so many windows is full.
pub(crate) fn none_full(windows: usize) -> Cow<'static, str> {
    if windows == 1 { "1 window, none full".into() } else { format!("{windows} windows, none full").into() }
}

pub(crate) fn within_target_rates(case: &Case<'_>) -> Word {
    if guards::continues(case) {
        return Ok(BEGUN.into());
    }
    too_many(
        &case.history.on_target,
        &case.current.rules.per_target.rate,
        "of all runbooks on this target",
        "rules.per_target.rate",
    )
}

pub(crate) fn within_overall_rates(case: &Case<'_>) -> Word {
    if guards::continues(case) {
        return Ok(BEGUN.into());
    }
    too_many(&case.history.overall, &case.current.rules.overall.rate, "of all runbooks anywhere", "rules.overall.rate")
}

/// What was disturbed lately and what this would disturb are together within the budget.
pub(crate) fn within_budget(case: &Case<'_>, order: &Order) -> Word {
    let rule = &case.current.rules.disruption;
    let cost = cost(case, order);
    if cost == 0 {
        return Ok("it disturbs nobody who was not disturbed before".into());
    }
    let spent = case.history.spent;
    let words = format!("it costs {cost}, and {spent} of {} were spent within {}", rule.budget, rule.per);
    if spent.saturating_add(cost) > rule.budget {
        return Err(end(How::HandedOver, format!("too much would be disturbed: {words} (`rules.disruption.budget`)")));
    }
    Ok(words.into())
}

/// As many are in the middle of an act as may be: the next waits for its turn. One that has begun has its turn.
pub(crate) fn its_turn(case: &Case<'_>) -> Word {
    if let Some(word) = guards::finishes(case) {
        return Ok(word.into());
    }
    let (at_work, most) = (case.history.at_work, case.current.rules.overall.at_once);
    if !case.incident.applied.is_empty() {
        return Ok("it is at work already".into());
    }
    if at_work >= most {
        return Err(kept(case, Waiting::Turn, format!("{at_work} incidents are at work, and {most} may be at once")));
    }
    Ok(format!("{at_work} others are at work, and {most} may be at once").into())
}

/// When the newest failure was, where so many in a row within the breaker's time have opened it.
pub(crate) fn tripped(streak: &Streak, failures: u32, rule: &Breaker) -> Option<Stamp> {
    let newest = *streak.failures.first()?;
    let oldest = *streak.failures.get((failures as usize).checked_sub(1)?)?;
    (newest.since(oldest) < rule.within.duration()).then_some(newest)
}

/// Cures that fail again and again are no longer tried, but for one trial after a while.
pub(crate) fn not_broken(case: &Case<'_>, runbook: &Runbook) -> Word {
    if guards::continues(case) {
        return Ok(BEGUN.into());
    }
    let rule = &case.current.rules.breaker;
    let both = [
        (&case.history.failed, rule.failures, runbook.name.as_str(), runbook.name.as_str()),
        (&case.history.failed_overall, rule.overall, "all runbooks", "all"),
    ];
    let mut trial = None;
    for (streak, failures, whose, scope) in both {
        let Some(newest) = tripped(streak, failures, rule) else { continue };
        let again = newest.plus(rule.tries_again_after.duration());
        let words = format!("{failures} cures of {whose} failed in a row within {}", rule.within);
        if case.now < again {
            let lift = format!("`runbookd breaker close {scope}` lifts it at once");
            return Err(no_more(case, format!("the breaker is open until {again}, when one incident tries: {words}; {lift}")));
        }
        if let Some(other) = streak.tried_by {
            let (on, why) = (Waiting::Trial { by: other }, format!("{other} is the trial after {words}"));
            return Err(kept_or_enough(case, case.now.plus(KEPT_RETRY), on, why));
        }
        trial = Some(words);
    }
    Ok(trial.map_or("cures have not been failing".into(), |words| format!("this is the trial after {words}").into()))
}
