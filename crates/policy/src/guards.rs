//! The guards, each a pure word on one question. Why apart from the decision: the order of gates is policy too, and reads
//! best alone. Nothing here mints a permit.

use std::time::Duration;

use runbook::action::{Action, Destroys};
use runbook::book::{Recurrence, Runbook};
use runbook::condition::{Condition, Truth};
use runbook::incident::{Aim, How, Incident, Waiting, was_stopped};
use runbook::order::Order;
use runbook::target::TargetSelector;
use runbook::text::inert;
use runbook::time::{Span, Stamp};

use crate::decide::{Case, Decision, Instead, Word, instead};
use crate::house::{self, none_full, room_again};

/// Findings older than this are not acted on.
pub const FRESH_FOR: Duration = Duration::from_secs(15);
/// How long a person's agreement is good for after it was given.
pub const GRANT_LASTS: Duration = Duration::from_secs(300);
/// How long to wait before looking again at what could not be seen.
const SIGHT_RETRY: Duration = Duration::from_secs(10);
/// How long looks may fail before a person is called.
const SIGHT_PATIENCE: Duration = Duration::from_secs(600);
/// How long a firing alert whose cure is not needed is looked at again before the incident is closed as refused.
const NEED_PATIENCE: Duration = Duration::from_secs(900);
/// How often.
const NEED_RETRY: Duration = Duration::from_secs(30);
/// So long after a look by which no remedy applies there is another one before that is believed.
const NONE_APPLIES_FOR: Duration = Duration::from_secs(15);
/// Longer than one doubt of the clock lasts: what was done by half may wait so long for it.
const HALF_PATIENCE: Duration = Duration::from_secs(900);
/// How often a pause or a hold is asked about again, besides being woken.
const RECHECK: Duration = Duration::from_secs(5);

pub(crate) fn end(how: How, why: String) -> Instead {
    instead(why.clone(), Decision::End { how, why })
}

pub(crate) fn wait(until: Stamp, on: Waiting, why: String) -> Instead {
    instead(why.clone(), Decision::Wait { until, on, why })
}

/// Unknown: look again later, and call a person after a while. Nothing acts on it, nothing closes on it as good.
pub(crate) fn wait_for_sight(case: &Case<'_>, why: &str) -> Instead {
    let blind_for = case.incident.unseen_since.map_or(Duration::ZERO, |since| case.now.since(since));
    if blind_for >= SIGHT_PATIENCE {
        let how = if case.aim == Aim::Do { How::HandedOver } else { How::Stuck };
        return end(how, format!("could not see for {}: {why}", Span::from(blind_for)));
    }
    wait(case.now.plus(SIGHT_RETRY), Waiting::Sight, format!("unknown, so nothing is done: {why}"))
}

pub(crate) fn not_stopped(case: &Case<'_>) -> Word {
    match (&case.incident.declined, &case.incident.stopped) {
        (Some((how, why)), _) => Err(end(*how, why.clone())),
        (None, Some(why)) => Err(end(How::Stopped, why.clone())),
        (None, None) => Ok("nobody stopped it".into()),
    }
}

pub(crate) fn alert_not_over(case: &Case<'_>) -> Word {
    if !case.incident.alerts_are_over() {
        return Ok("what opened it is not over".into());
    }
    if let Some(word) = finishes(case) {
        return Ok(word.into());
    }
    // A stopped container raises no alert of its own: that the alert is over may be our own doing.
    match case.incident.left_stopped(case.findings) {
        // What was done since is verified first, and ended where it lasts.
        _ if !case.incident.applied.is_empty() => {}
        Ok(None) => {}
        Ok(Some(left)) => return Err(end(How::HandedOver, format!("the alert resolved, and {left}"))),
        Err(why) => return Err(wait_for_sight(case, &format!("whether what was to be restarted runs: {why}"))),
    }
    if case.incident.applied.is_empty() {
        let before = case.incident.attempts.is_empty();
        let why =
            if before { "the alert resolved before anything was done" } else { "the alert resolved, and nothing is in force" };
        return Err(end(How::Subsided, why.to_owned()));
    }
    let why = "the alert resolved; no further step is taken, and what was done is verified".to_owned();
    Err(instead(why.clone(), Decision::Enough(why)))
}

pub(crate) fn not_paused(case: &Case<'_>) -> Word {
    match &case.pause.reason {
        None => Ok("not paused".into()),
        Some(reason) => Err(wait(case.now.plus(RECHECK), Waiting::Pause, format!("paused: {reason}"))),
    }
}

pub(crate) fn clock_trusted(case: &Case<'_>) -> Word {
    match case.clock_doubted_until.filter(|until| *until > case.now) {
        None => Ok("wall and monotonic time agree".into()),
        Some(until) => {
            let why = format!("the clock jumped; nothing acts by itself before {until}");
            // What our own restart left stopped is finished when the clock is trusted again, and is not left to a person before that.
            if let Some(half) = finishes(case) {
                let patience = case.incident.kept_since.unwrap_or(case.now).plus(HALF_PATIENCE);
                return Err(match case.now < patience {
                    true => wait(house::soon(case, until).min(patience), Waiting::Clock, why),
                    false => end(How::HandedOver, format!("{why}; {half}")),
                });
            }
            Err(house::kept_or_enough(case, house::soon(case, until), Waiting::Clock, why))
        }
    }
}

pub(crate) fn fresh(case: &Case<'_>) -> Word {
    let age = case.findings.oldest().map(|oldest| case.now.since(oldest));
    match age {
        Some(_) if case.findings.oldest().is_some_and(|oldest| oldest > case.now) => {
            let why = "what was seen is stamped later than now".to_owned();
            Err(instead(why.clone(), Decision::LookAgain(why)))
        }
        Some(age) if age <= FRESH_FOR => Ok(format!("seen {} ago", Span::from(age)).into()),
        Some(age) => {
            let why = format!("what was seen is {} old", Span::from(age));
            Err(instead(why.clone(), Decision::LookAgain(why)))
        }
        None => Err(end(How::HandedOver, "the runbook looks at nothing".to_owned())),
    }
}

pub(crate) fn in_inventory(case: &Case<'_>) -> Word {
    let step_target = case.incident.step().and_then(|step| step.target.as_ref());
    for target in [Some(&case.incident.target), step_target].into_iter().flatten() {
        if case.current.inventory.get(target).is_none() {
            return Err(end(How::HandedOver, format!("{target} is no longer in the inventory")));
        }
    }
    Ok("in the inventory".into())
}

fn truth_of(case: &Case<'_>, condition: &Condition) -> Truth {
    condition.evaluate(case.findings)
}

/// That a condition does not hold, with what was seen of its fields: which part of it failed is what people ask next.
fn does_not_hold(case: &Case<'_>, condition: &Condition) -> String {
    let seen = |path: &String| format!("{path} {}", inert(&case.findings.value(path).to_string(), 60));
    let seen: Vec<String> = condition.paths().iter().map(seen).collect();
    format!("{} does not hold ({})", condition.source(), seen.join(", "))
}

/// The rung was begun: a later step stands on what earlier ones changed, the next replica on what became of the one before, and what
/// was done by half is finished.
fn begun(case: &Case<'_>) -> bool {
    case.incident.at.step > 0 || continues(case)
}

/// Whether this goes on with what was counted against the limits when it began.
pub(crate) fn continues(case: &Case<'_>) -> bool {
    case.aim == Aim::Do && (case.incident.goes_on() || case.incident.left_down(case.findings).is_some())
}

/// The word on a restart that is to be finished, where the first try stopped something and did not start it again.
pub(crate) fn finishes(case: &Case<'_>) -> Option<String> {
    let name = case.incident.left_down(case.findings)?;
    Some(format!("{}: that is finished first", was_stopped(&name)))
}

/// What a person has changed since is not done by the text of before: whoever mended a runbook while this waited, and went on, wants
/// anything but that. What it says now was not what this incident was looked at for, so a person has the word.
pub(crate) fn unchanged(case: &Case<'_>, rules: &Runbook) -> Word {
    if let Some(word) = finishes(case) {
        return Ok(word.into());
    }
    match outdated(case.incident, Some(rules)) {
        None => Ok("it does what it did when this was opened".into()),
        Some(why) => Err(end(How::HandedOver, why)),
    }
}

/// Why an incident does nothing further by the text that it was opened with, where the runbook of now says something else, or is
/// gone.
pub fn outdated(incident: &Incident, rules: Option<&Runbook>) -> Option<String> {
    let name = &incident.runbook.name;
    let Some(rules) = rules else { return Some(format!("the runbook {name} is no longer in the configuration")) };
    let why = format!("the runbook {name} was changed after this was opened: what it said then is not done any more");
    (!incident.runbook.does_as(rules)).then(|| format!("{why}; `runbookd run {name}` does what it says now"))
}

/// The runbook's requirement, asked before the first step of each rung.
pub(crate) fn required(case: &Case<'_>) -> Word {
    if begun(case) {
        return Ok("asked before the rung's first step".into());
    }
    let require = &case.incident.runbook.require;
    match truth_of(case, require) {
        Truth::True => Ok(format!("{} holds", require.source()).into()),
        Truth::Unknown(why) => Err(wait_for_sight(case, &why)),
        // An alert can come before what its cure is for: sessions that leaked at once are not idle for long yet. It fires, so it
        // is looked at again for a while before it is called not needed.
        Truth::False
            if case.incident.attempts.is_empty()
                && case.incident.still_fires()
                && case.now.since(case.incident.opened) < NEED_PATIENCE =>
        {
            let why = format!("not needed so far: {}; looked at again while the alert fires", does_not_hold(case, require));
            Err(wait(case.now.plus(NEED_RETRY), Waiting::Time, why))
        }
        Truth::False if case.incident.attempts.is_empty() => {
            Err(end(How::Refused, format!("not needed: {}", does_not_hold(case, require))))
        }
        Truth::False => Err(end(How::HandedOver, format!("the cure was not verified, and {} no longer holds", require.source()))),
    }
}

/// Whether this rung is the one to take: the first whose condition holds. A rung is passed over for good, so that happens only where
/// a later one holds, or where none did in two looks: a moment's trouble is no reason to wake a person.
pub(crate) fn applies(case: &Case<'_>) -> Word {
    let Some(remedy) = case.incident.remedy() else {
        return Err(end(How::HandedOver, "no remedy is left".to_owned()));
    };
    let when = match &remedy.when {
        Some(when) if !begun(case) => when,
        _ => return Ok(format!("`{}` applies", remedy.name).into()),
    };
    match truth_of(case, when) {
        Truth::True => return Ok(format!("{} holds", when.source()).into()),
        Truth::Unknown(why) => return Err(wait_for_sight(case, &why)),
        Truth::False => {}
    }
    let why = format!("`{}` does not apply: {}", remedy.name, does_not_hold(case, when));
    let later = case.incident.runbook.remedies.iter().skip(case.incident.at.rung + 1);
    let decided =
        later.map(|rung| rung.when.as_ref().map_or(Truth::True, |when| truth_of(case, when))).find(|it| *it != Truth::False);
    match decided {
        Some(Truth::Unknown(unseen)) => {
            return Err(wait_for_sight(case, &format!("{why}, and of what comes after it: {unseen}")));
        }
        None if case.incident.attempts.is_empty() && case.incident.still_fires() => {
            let again = case.incident.none_applies_since.unwrap_or(case.now).plus(NONE_APPLIES_FOR);
            if case.now < again {
                return Err(wait(
                    again,
                    Waiting::Remedy,
                    format!("{why}, nor does what comes after it; looks once more while the alert fires"),
                ));
            }
        }
        Some(_) | None => {}
    }
    Err(instead(why.clone(), Decision::SkipRung(why)))
}

pub(crate) fn not_held(case: &Case<'_>) -> Word {
    match case.held_by.filter(|holder| *holder != case.incident.id) {
        None => Ok("no other incident holds the target".into()),
        Some(by) => Err(house::kept(case, Waiting::Held { by }, format!("{by} is working on the target"))),
    }
}

/// Why a person has to agree whatever the mode, if so: the service keeps data, and no runbook names it. A label may choose among
/// services that are free to restart, and a database is none.
pub(crate) fn keeps_data(case: &Case<'_>, order: &Order) -> Option<String> {
    let target = case.current.inventory.get(&order.target)?;
    let by_label = matches!(case.incident.runbook.target, TargetSelector::Lookup { .. });
    let asks = by_label && target.traits.stateful && matches!(order.action, Action::Docker(_));
    asks.then(|| format!("{} keeps data, and a label chose it", order.target))
}

/// A target that is seen failing twice is failing; once may be a moment's trouble, and a restart for it is a cure not needed.
const FAILING_LOOKS: u32 = 2;
/// How far apart the first and the last of these looks are at least.
const FAILING_FOR: Duration = Duration::from_secs(5);

/// Whether the step may only be taken while its target is seen failing, and whether it is.
pub(crate) fn seen_failing(case: &Case<'_>) -> Word {
    let Some(step) = case.incident.step() else { return Ok("no step".into()) };
    if let Some(word) = finishes(case) {
        return Ok(word.into());
    }
    let restart = match &step.action {
        Action::Docker(docker) => docker.restart(),
        _ => None,
    };
    let condition = match (&step.only_while, restart) {
        (Some(condition), _) => condition.source(),
        (None, Some(restart)) if restart.min_healthy == 0 => "a replica is failing",
        _ => return Ok("the step does not wait for it".into()),
    };
    if let Some(Truth::Unknown(why)) = step.only_while.as_ref().map(|condition| truth_of(case, condition)) {
        return Err(wait_for_sight(case, &why));
    }
    match case.incident.failing {
        Some(seen) if seen.looks >= FAILING_LOOKS && seen.latest.since(seen.since) >= FAILING_FOR => {
            Ok(format!("{condition}: seen in {} looks over {}", seen.looks, Span::from(seen.latest.since(seen.since))).into())
        }
        Some(seen) => {
            let until = case.now.max(seen.since.plus(FAILING_FOR));
            Err(wait(until, Waiting::Time, format!("{condition}: seen once, and looked at again before anything is done")))
        }
        None if case.incident.applied.is_empty() => {
            let why = format!("not seen failing: {condition} does not hold");
            Err(instead(why.clone(), Decision::SkipRung(why)))
        }
        None => {
            let why = format!("no longer failing: {condition} does not hold");
            Err(instead(why.clone(), Decision::Enough(why)))
        }
    }
}

/// What an undo or an end takes away is kept first, as far as it can be had: it never stands in the way.
pub(crate) fn evidence_before_taking_back(case: &Case<'_>, order: &Order) -> Word {
    match &case.incident.captured_back {
        _ if !matches!(order.action, Action::Docker(_)) => Ok("nothing is taken away".into()),
        Some(captured) => Ok(format!("{} kept, {} could not be had", captured.evidence.len(), captured.missing.len()).into()),
        None => Err(instead("evidence is captured first".to_owned(), Decision::Capture(order.clone()))),
    }
}

pub(crate) fn evidence(case: &Case<'_>, order: &Order) -> Word {
    let destroys = order.action.facts().destroys;
    if destroys == Destroys::Nothing {
        return Ok("the step destroys nothing".into());
    }
    match (case.incident.captured.get(&case.incident.at), destroys) {
        (None, _) => {
            let why = "evidence is captured first".to_owned();
            Err(instead(why, Decision::Capture(order.clone())))
        }
        (Some(captured), Destroys::Data) if !captured.missing.is_empty() => Err(end(
            How::HandedOver,
            format!("the step destroys data, and its evidence is not complete: {}", captured.missing.join("; ")),
        )),
        (Some(captured), _) => {
            Ok(format!("{} kept, {} could not be had", captured.evidence.len(), captured.missing.len()).into())
        }
    }
}

/// Whether verified cures came back as often as a mask's do, with the numbers.
pub(crate) fn masks(limit: Option<Recurrence>, cured: &[Stamp], now: Stamp) -> Option<String> {
    let limit = limit?;
    let window = now.window(limit.within.duration());
    let came_back = cured.iter().filter(|at| window.holds(**at)).count();
    (came_back >= limit.times as usize).then(|| {
        format!("{came_back} verified cures within {} came back: this cure masks a cause, so a person is asked", limit.within)
    })
}

/// The limits of one runbook on one target against its past.
pub(crate) struct Past<'a> {
    case: &'a Case<'a>,
    rules: &'a Runbook,
}

impl<'a> Past<'a> {
    pub(crate) fn of(case: &'a Case<'a>, rules: &'a Runbook) -> Self {
        Self { case, rules }
    }

    /// A cure that has to be repeated is a failure: it hides what is wrong, and a person is asked from then on.
    pub(crate) fn masks_a_cause(&self) -> Option<String> {
        masks(self.rules.limits.recurrence, &self.case.history.cured, self.case.now)
    }

    pub(crate) fn within_rates(&self) -> Word {
        if continues(self.case) {
            return Ok("counted when the step began".into());
        }
        for rate in &self.rules.limits.rate {
            let window = self.case.now.window(rate.per.duration());
            let within = || self.case.history.attempts.iter().filter(|attempted| window.holds(attempted.at));
            let acts = within().count();
            if let Some(over) = acts.checked_sub(rate.count as usize) {
                let room = within().nth(over).map(|attempted| attempted.at.plus(rate.per.duration()));
                let why = format!("{acts} acts within {} and {} are allowed", rate.per, rate.count);
                return Err(end(How::HandedOver, format!("{why} ({})", room_again("limits.rate", room))));
            }
        }
        Ok(none_full(self.rules.limits.rate.len()))
    }

    /// The cooldown lies between incidents: a ladder's next rung does not wait for it.
    pub(crate) fn cooled_down(&self) -> Word {
        let others = self.case.history.attempts.iter().filter(|attempt| attempt.incident != self.case.incident.id);
        let Some(latest) = others.map(|attempt| attempt.at).max() else { return Ok("no earlier act".into()) };
        let until = latest.plus(self.rules.limits.cooldown.duration());
        if until > self.case.now {
            let why =
                format!("the last act was at {latest}, and the cooldown of {} lasts until {until}", self.rules.limits.cooldown);
            return Err(wait(until, Waiting::Time, why));
        }
        Ok(format!("the last act was at {latest}").into())
    }
}
