//! The decision: refuse, ask, wait, or a permit, always with the reason, guard by guard. The order of the guards is the order
//! of this file, so that the first closed gate is the one that people are told. An act passes all guards; an undo and the end
//! of an effect pass pause, fresh look and identity only. Deliberately a function of its arguments: no clock, no store.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use runbook::approval::About;
use runbook::book::{Configuration, Mode, Runbook};
use runbook::finding::Findings;
use runbook::identity::Selection;
use runbook::incident::{Aim, Ask, Gate, GateName, Grant, How, Incident, IncidentId, Waiting};
use runbook::order::{Ground, NoSelection, Order, Purpose};
use runbook::text::inert;
use runbook::time::{Span, Stamp};

use crate::answer::{MayNot, may_agree};
use crate::guards::{self, Past};
use crate::harm;
use crate::history::{History, Pause};
use crate::house;
use crate::modes::{self, Bound};
use crate::permit::{Permit, Reservation};

/// Everything a decision may depend on.
#[derive(Clone, Debug)]
pub struct Case<'a> {
    /// The incident, which keeps the runbook it was opened with.
    pub incident: &'a Incident,
    /// What the look was for.
    pub aim: Aim,
    /// What was seen.
    pub findings: &'a Findings,
    /// The moment of the decision.
    pub now: Stamp,
    /// Limits, modes and inventory as they are now.
    pub current: &'a Configuration,
    /// The stop that applies to this runbook and target.
    pub pause: &'a Pause,
    /// The past of this runbook on this target.
    pub history: &'a History,
    /// The clock jumped; nothing automatic acts before this moment.
    pub clock_doubted_until: Option<Stamp>,
    /// Another incident that holds a target of this step.
    pub held_by: Option<IncidentId>,
    /// A random, opaque, single-use name for a question, should one be asked.
    pub ask_id: &'a str,
}

/// What is to happen.
#[derive(Debug)]
pub enum Decision {
    /// Act: the permit goes to the journal.
    Act(Permit),
    /// Capture evidence first, then decide again.
    Capture(Order),
    /// Look again first.
    LookAgain(String),
    /// Wait.
    Wait {
        /// Until when at the latest.
        until: Stamp,
        /// For what.
        on: Waiting,
        /// Why.
        why: String,
    },
    /// This rung does not apply.
    SkipRung(String),
    /// What was done is enough; verify it.
    Enough(String),
    /// What was begun does harm: stop it and take it back.
    Harm {
        /// The watched condition, as written.
        condition: String,
        /// Why.
        why: String,
    },
    /// It is over.
    End {
        /// How.
        how: How,
        /// Why.
        why: String,
    },
}

/// A decision with the word of every guard that was asked.
#[derive(Debug)]
pub struct Ruling {
    /// What is to happen.
    pub decision: Decision,
    /// Guard by guard, in order; all but the last are open. Shared with the permit, where there is one.
    pub gates: Arc<Vec<Gate>>,
}

/// Collects the word of each guard; the first closed one decides.
pub(crate) struct Gates(Vec<Gate>);

/// Room for the word of every guard there is.
const GUARDS: usize = 30;

impl Gates {
    fn new() -> Self {
        Self(Vec::with_capacity(GUARDS))
    }

    pub(crate) fn open(&mut self, name: GateName, why: impl Into<Cow<'static, str>>) {
        self.0.push(Gate { name, open: true, why: why.into() });
    }

    fn close(mut self, name: GateName, why: impl Into<Cow<'static, str>>, decision: Decision) -> Ruling {
        self.0.push(Gate { name, open: false, why: why.into() });
        Ruling { decision, gates: Arc::new(self.0) }
    }
}

/// A guard's word: pass with a reason, or the decision that takes the place of an act.
pub(crate) type Word = Result<Cow<'static, str>, Instead>;

/// What takes the place of an act, with its reason. Boxed, because it is large and rare.
pub(crate) type Instead = Box<(String, Decision)>;

/// A decision in the place of an act.
pub(crate) fn instead(why: String, decision: Decision) -> Instead {
    Box::new((why, decision))
}

/// Decides one case. The gates of an act, in order: whether anything may be done at all (stop, alert, pause, clock, fresh,
/// harm, runbook, inventory); whether this is the place to begin (cause); whether it is needed and on what (require, when, selection,
/// failing), and whether harm by it would be seen (watched); whether now is a time to act (storm, quiet, floor); whether it has been done too often (recurrence, breaker, rate,
/// target rate, overall rate, disruption, cooldown); whether others are at it (turn, hold); and by whose word (mode, evidence).
pub fn decide(case: &Case<'_>) -> Ruling {
    let ruling = match case.aim {
        Aim::Do => decide_step(case),
        Aim::Undo => decide_taking_back(case, Purpose::Undo),
        Aim::End => decide_taking_back(case, Purpose::End),
    };
    match ruling.decision {
        Decision::End { how, why } => Ruling { decision: ended(case, how, why), ..ruling },
        _ => ruling,
    }
}

/// While what our own restart stopped is down, whatever ends here is stuck: the end of an alert, which a stopped container may well
/// bring about, must not call off whoever was called. The incident itself ends no other way.
fn ended(case: &Case<'_>, how: How, why: String) -> Decision {
    let Some(left) = case.incident.left_behind() else {
        return Decision::End { how, why };
    };
    let why = if why.contains(left) { why } else { format!("{why}; {left}") };
    Decision::End { how: How::Stuck, why }
}

macro_rules! pass {
    ($gates:ident, $name:ident, $word:expr) => {
        match $word {
            Ok(why) => $gates.open(GateName::$name, why),
            Err(instead) => return $gates.close(GateName::$name, instead.0, instead.1),
        }
    };
}

fn decide_step(case: &Case<'_>) -> Ruling {
    let mut gates = Gates::new();
    pass!(gates, Stop, guards::not_stopped(case));
    pass!(gates, Alert, guards::alert_not_over(case));
    pass!(gates, Pause, guards::not_paused(case));
    pass!(gates, Clock, guards::clock_trusted(case));
    pass!(gates, Fresh, guards::fresh(case));
    pass!(gates, Harm, harm::none_so_far(case));
    let Some(rules) = case.current.runbooks.get(&case.incident.runbook.name) else {
        let why = format!("the runbook {} is no longer in the configuration", case.incident.runbook.name);
        return gates.close(GateName::Runbook, why.clone(), Decision::End { how: How::HandedOver, why });
    };
    pass!(gates, Runbook, guards::unchanged(case, rules));
    pass!(gates, Inventory, guards::in_inventory(case));
    pass!(gates, Cause, house::nothing_upstream(case));
    pass!(gates, Require, guards::required(case));
    pass!(gates, When, guards::applies(case));
    let order = match order_of_step(case) {
        Ok(order) => order,
        Err(instead) => return gates.close(GateName::Selection, instead.0, instead.1),
    };
    gates.open(GateName::Selection, format!("{} of at most {}", order.selection.count(), order.action.cap()));
    pass!(gates, Failing, guards::seen_failing(case));
    pass!(gates, Watched, harm::is_watched(case));
    pass!(gates, Storm, house::no_storm(case));
    pass!(gates, Quiet, house::not_quiet(case, &order));
    pass!(gates, Floor, house::above_floor(case, &order));
    let past = Past::of(case, rules);
    let masks = past.masks_a_cause();
    gates.open(GateName::Recurrence, masks.clone().map_or(Cow::Borrowed("no cure came back too often"), Cow::Owned));
    pass!(gates, Breaker, house::not_broken(case, rules));
    pass!(gates, Rate, past.within_rates());
    pass!(gates, TargetRate, house::within_target_rates(case));
    pass!(gates, OverallRate, house::within_overall_rates(case));
    pass!(gates, Disruption, house::within_budget(case, &order));
    pass!(gates, Cooldown, past.cooled_down());
    pass!(gates, Turn, house::its_turn(case));
    pass!(gates, Hold, guards::not_held(case));
    pass!(gates, Mode, allowed_by_mode(case, rules, masks.as_deref(), &order));
    pass!(gates, Evidence, guards::evidence(case, &order));
    act(case, rules, order, gates)
}

/// The order for the step that is next: what the action selects, and of it only what was approved, where somebody was asked.
fn order_of_step(case: &Case<'_>) -> Result<Order, Instead> {
    let Some(step) = case.incident.step() else {
        let why = "the rung has no further step".to_owned();
        return Err(instead(why.clone(), Decision::End { how: How::HandedOver, why }));
    };
    let target = step.target.clone().unwrap_or_else(|| case.incident.target.clone());
    let Some(there) = case.current.inventory.get(&target) else {
        let why = format!("{target} is no longer in the inventory");
        return Err(instead(why.clone(), Decision::End { how: How::HandedOver, why }));
    };
    let (done, tried) = case.incident.ordered_here();
    let finding = case.incident.seen_at(case.findings, step.action.facts().selects_from, &target);
    let live = step.action.select(&Ground { finding, target: there, done: &done, tried: &tried }).map_err(|none| match none {
        NoSelection::Unseen(why) => guards::wait_for_sight(case, &why),
        NoSelection::Nothing(why) if case.incident.applied.is_empty() && case.incident.at.step == 0 => {
            instead(why.clone(), Decision::SkipRung(why))
        }
        NoSelection::Nothing(why) => instead(why.clone(), Decision::Enough(why)),
    })?;
    let selection = match grant_for(case, &step.action, &target) {
        Some(approved) => match live.intersect(approved) {
            Ok(both) => both,
            // Nothing of what was approved is left; what is there now has to be asked about anew.
            Err(_) => live,
        },
        None => live,
    };
    Ok(Order { purpose: Purpose::Do, action: step.action.clone(), target, selection })
}

/// The approved selection, where a person agreed to this action with these very arguments on this target.
fn grant_for<'a>(case: &Case<'a>, action: &runbook::action::Action, target: &runbook::target::TargetId) -> Option<&'a Selection> {
    let grant = case.incident.grant.as_ref()?;
    let same = grant.ask.order.action == *action && grant.ask.order.target == *target && grant.ask.at_most == action.cap();
    let timely = case.now.since(grant.at) <= guards::GRANT_LASTS;
    (same && timely && may_still(case, grant).is_ok()).then_some(&grant.ask.order.selection)
}

/// Whether who agreed may still agree by the configuration as it is now.
fn may_still(case: &Case<'_>, grant: &Grant) -> Result<(), MayNot> {
    may_agree(case.current, case.incident, &grant.ask, &grant.by, grant.proof)
}

/// Why what somebody agreed to does not count for this order, where somebody agreed to something.
fn agreed_in_vain(case: &Case<'_>, order: &Order) -> Option<String> {
    let grant = case.incident.grant.as_ref()?;
    let age = case.now.since(grant.at);
    let why = match may_still(case, grant) {
        Err(no) => no.why,
        Ok(()) if age > guards::GRANT_LASTS => {
            format!("that is {} ago, and what is there may be another by now", Span::from(age))
        }
        Ok(()) if grant.ask.order.action != order.action || grant.ask.order.target != order.target => {
            "that was another step".to_owned()
        }
        Ok(()) => "nothing of what they were shown is left".to_owned(),
    };
    Some(format!("; {} had agreed, which does not count: {why}", inert(&grant.by, 80)))
}

/// What each source of a mode allows for this act.
fn bounds(case: &Case<'_>, rules: &Runbook, masks: Option<&str>, order: &Order) -> Vec<Bound> {
    let mut bounds = vec![modes::by_time(rules, case.current, case.now)];
    bounds.extend(modes::of_remedy(case.incident.remedy(), rules));
    bounds.extend(modes::by_record(rules, &case.history.earned));
    if let (Some(why), Some(limit)) = (masks, rules.limits.recurrence) {
        let lift = format!("finding the cause lifts it, or {} without so many cures", limit.within);
        bounds.push(Bound::new(Mode::Ask, why, lift));
    }
    let finding = case.incident.seen_at(case.findings, order.action.facts().selects_from, &order.target);
    if let Some(why) = finding.and_then(|finding| order.action.wants_a_person(&order.selection, finding)) {
        let why = match case.history.doubtful {
            Some(earlier) => {
                format!("{why}; or runbookd's own stop of {earlier} came late: nobody could see whether that landed")
            }
            None => why,
        };
        bounds.push(Bound::new(Mode::Ask, why, "a person has the word each time"));
    }
    if let Some(why) = guards::keeps_data(case, order) {
        bounds.push(Bound::new(Mode::Ask, why, "a runbook that names it as its `target` lifts it"));
    }
    bounds
}

fn allowed_by_mode(case: &Case<'_>, rules: &Runbook, masks: Option<&str>, order: &Order) -> Word {
    let (mode, bound) = modes::lowest(bounds(case, rules, masks, order));
    let (whence, lifts) = (modes::whence(&bound), || modes::lifts(&bound));
    match mode {
        // Somebody was asked and agreed to less: what is beyond it has to be asked about, although it may act by itself now.
        Mode::Auto if case.incident.grant.as_ref().is_none_or(|grant| order.selection.is_within(&grant.ask.order.selection)) => {
            Ok(format!("auto ({whence})").into())
        }
        Mode::Observe => {
            let why = format!("mode is observe ({whence}): would have done {} on {}", would(order), order.target);
            Err(instead(format!("{why}; {}", lifts()), Decision::End { how: How::Refused, why }))
        }
        Mode::Ask | Mode::Auto => {
            let approved = grant_for(case, &order.action, &order.target);
            if let (Some(approved), Some(grant)) = (approved, &case.incident.grant)
                && order.selection.is_within(approved)
            {
                return Ok(format!("ask ({whence}): {} agreed", grant.by).into());
            }
            let lasts = case.current.approval_expiry();
            let expires = case.now.plus(lasts);
            let about = About::order(&rules.name, &case.incident.target, order);
            let who = case.current.approval.may_agree(&case.current.inventory, &about);
            if who.as_ref().is_some_and(BTreeSet::is_empty) {
                let why = format!(
                    "a person has to agree to {} on {} ({whence}), and the rules of approval let nobody",
                    would(order),
                    order.target
                );
                return Err(instead(why.clone(), Decision::End { how: How::HandedOver, why }));
            }
            let ask = Ask {
                id: case.ask_id.to_owned(),
                order: order.clone(),
                at_most: order.action.cap(),
                shown: Ask::show(order.describe_on(case.findings, case.current.inventory.get(&order.target))),
                expires,
                remind: Ask::reminders(case.now, lasts, case.current.approval_reminder()),
                who: who.into_iter().flatten().map(str::to_owned).collect(),
            };
            let before = agreed_in_vain(case, order).unwrap_or_default();
            let why = format!("a person has to agree to {} on {} ({whence}){before}", would(order), order.target);
            let said = if mode == Mode::Ask { format!("{why}; {}", lifts()) } else { why.clone() };
            Err(instead(said, Decision::Wait { until: expires, on: Waiting::Person(ask), why }))
        }
    }
}

fn would(order: &Order) -> String {
    let details = order.action.details().map(|details| format!("{details}; ")).unwrap_or_default();
    format!("{} ({details}{} selected)", order.action, order.selection.count())
}

fn act(case: &Case<'_>, rules: &Runbook, order: Order, gates: Gates) -> Ruling {
    if guards::continues(case) {
        // The step was counted when it began; its next replica, or the other half of it, is the same act.
        return permit(case, order, Vec::new(), gates);
    }
    let mut reservations = house::reservations(case, rules);
    if rules.mode.earned.is_some() {
        let agreed = grant_for(case, &order.action, &order.target).is_some_and(|agreed| order.selection.is_within(agreed));
        let at_least = if agreed { Mode::Ask } else { Mode::Auto };
        reservations.push(Reservation::Earned { deed: case.incident.runbook.deed(), at_least });
    }
    permit(case, order, reservations, gates)
}

fn permit(case: &Case<'_>, order: Order, reservations: Vec<Reservation>, gates: Gates) -> Ruling {
    let gates = Arc::new(gates.0);
    let permit = Permit::mint(case, order, reservations, gates.clone());
    Ruling { decision: Decision::Act(permit), gates }
}

fn decide_taking_back(case: &Case<'_>, purpose: Purpose) -> Ruling {
    let mut gates = Gates::new();
    pass!(gates, Pause, guards::not_paused(case));
    pass!(gates, Fresh, guards::fresh(case));
    let Some(attempt) = case.incident.to_take_back(case.aim) else {
        let why = "nothing is left to take back".to_owned();
        return gates.close(GateName::Identity, why.clone(), Decision::End { how: How::HandedOver, why });
    };
    let order = Order { purpose, ..attempt.order.clone() };
    if case.current.inventory.get(&order.target).is_none() {
        let why = format!("{} is no longer in the inventory, so what was done there cannot be taken back", order.target);
        return gates.close(GateName::Identity, why.clone(), Decision::End { how: How::Stuck, why });
    }
    gates.open(GateName::Identity, format!("takes back attempt {}", attempt.number));
    let seen = case.incident.seen_at(case.findings, order.action.facts().selects_from, &order.target);
    if let Some(why) = seen.and_then(|finding| finding.unknown()) {
        let instead = guards::wait_for_sight(case, why);
        return gates.close(GateName::Sight, instead.0, instead.1);
    }
    pass!(gates, Hold, guards::not_held(case));
    pass!(gates, Evidence, guards::evidence_before_taking_back(case, &order));
    permit(case, order, Vec::new(), gates)
}
