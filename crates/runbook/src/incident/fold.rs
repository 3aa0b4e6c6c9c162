//! Which event leads where. Every pair of stage and event that is not listed is an error, never a guess: an unreadable
//! incident goes to a person. The rules that must hold in every crash schedule are checked here, on the way in: no effect
//! without a look before it, none without one after it, and no *not landed* before an abandoned call can no longer land.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::alert::AlertStatus;
use crate::book::Runbook;
use crate::finding::Findings;
use crate::incident::event::{Event, Opening, Reply, Trigger, Waiting};
use crate::incident::judged::Weighed;
use crate::incident::stage::{Aim, How, Stage};
use crate::incident::{Attempt, Incident, IncidentId, JoinedAlert, StepRef};
use crate::order::{Order, Purpose};
use crate::time::Stamp;

/// An event that the incident's stage does not list.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{event} is not possible while {stage}: {why}")]
pub struct IllegalEvent {
    /// The event's kind.
    pub event: &'static str,
    /// The stage's word.
    pub stage: &'static str,
    /// Why not.
    pub why: String,
}

/// A wait that ends later than this after its time was not waited out: nobody looked in between.
const LOOKS_APART: Duration = Duration::from_secs(60);

impl Incident {
    /// The incident that this opening makes.
    pub fn open(id: IncidentId, runbook: Arc<Runbook>, at: Stamp, opening: &Opening) -> Self {
        let mut alerts = BTreeMap::new();
        if let Trigger::Alert(alert) = &opening.trigger {
            let joined = JoinedAlert { name: alert.name().to_owned(), status: alert.status, starts_at: alert.starts_at };
            alerts.insert(alert.fingerprint, joined);
        }
        Self {
            id,
            seq: 1,
            opened: at,
            last: at,
            runbook,
            target: opening.target.clone(),
            trigger: opening.trigger.clone(),
            alerts,
            stage: Stage::Looking(Aim::Do),
            at: StepRef { rung: 0, step: 0 },
            applied: Vec::new(),
            attempts: Vec::new(),
            captured: BTreeMap::new(),
            captured_back: None,
            failing: None,
            watch: None,
            harm: None,
            outlasted: false,
            ending: None,
            grant: None,
            reminded: 0,
            unseen_since: None,
            kept_since: None,
            none_applies_since: None,
            stopped: None,
            left: BTreeMap::new(),
            declined: None,
            proved: 0,
            weighed: Weighed::default(),
        }
    }

    /// Takes one event in.
    ///
    /// # Errors
    /// [`IllegalEvent`] when the stage does not list it; the incident is then unchanged.
    pub fn apply(&mut self, at: Stamp, event: &Event) -> Result<(), IllegalEvent> {
        // What is on record may have been closed by other rules; what is new is closed as it was planned.
        if let (Event::Closed { how, .. }, Stage::Closing { how: planned, .. }) = (event, &self.stage)
            && how != planned
        {
            let why = format!("it is to end as {}", planned.word());
            return Err(IllegalEvent { event: event.kind(), stage: self.word(), why });
        }
        let mut next = self.clone();
        next.follow(at, event)?;
        *self = next;
        Ok(())
    }

    /// Like [`Incident::apply`] without the copy, for folding what is on disk: after an error the incident is of no use.
    ///
    /// # Errors
    /// [`IllegalEvent`] when the stage does not list it.
    pub fn follow(&mut self, at: Stamp, event: &Event) -> Result<(), IllegalEvent> {
        let stage = self.word();
        let was_deciding = matches!(self.stage, Stage::Deciding { .. });
        let settles = matches!(event, Event::Settled { .. });
        if !settles {
            self.see_what_is_left(event);
        }
        self.step_on(at, event).map_err(|why| IllegalEvent { event: event.kind(), stage, why })?;
        if settles {
            self.see_what_is_left(event);
        }
        self.is_stuck_with_what_is_left();
        let is_blind = matches!(self.stage, Stage::Deciding { .. } | Stage::Waiting { on: Waiting::Sight, .. });
        if was_deciding && !is_blind && !matches!(event, Event::Stale { .. }) {
            // Enough was seen to decide something else.
            self.unseen_since = None;
        }
        self.weigh(event);
        self.seq += 1;
        self.last = at;
        Ok(())
    }

    fn step_on(&mut self, at: Stamp, event: &Event) -> Result<(), String> {
        if at < self.last {
            return Err("its stamp lies before the last event's".to_owned());
        }
        match event {
            // A person may write something down at any time, also afterwards; what is over is marked.
            Event::Noted { .. } => Ok(()),
            Event::Judged { by, right, .. } => self.judge(at, by, *right),
            _ if self.is_closed() => Err("the incident is over".to_owned()),
            Event::Opened(_) => Err("an incident is opened once".to_owned()),
            Event::AlertHeard { fingerprint, name, status, starts_at } => {
                let heard = JoinedAlert { name: name.clone(), status: *status, starts_at: *starts_at };
                self.alerts.insert(*fingerprint, heard);
                self.look_again_if_over();
                Ok(())
            }
            Event::Stopped { why } => {
                self.stopped = Some(why.clone());
                self.look_again_if_over();
                Ok(())
            }
            Event::Looked { findings } => self.looked(at, findings),
            Event::Stale { .. } => {
                self.stage = Stage::Looking(self.deciding()?);
                Ok(())
            }
            Event::Waits { until, on, .. } => {
                let aim = self.deciding()?;
                if let Waiting::Person(_) = on {
                    // A new question replaces what was agreed to before.
                    self.grant = None;
                    self.reminded = 0;
                }
                if !matches!(on, Waiting::Remedy | Waiting::Sight) {
                    self.none_applies_since = None;
                }
                match on {
                    Waiting::Cause { .. }
                    | Waiting::Turn
                    | Waiting::Quiet
                    | Waiting::Clock
                    | Waiting::Trial { .. }
                    | Waiting::Held { .. } => {
                        self.kept_since = self.kept_since.or(Some(at));
                    }
                    // A person's pause or question is not what kept it; anything else may come and go in between.
                    Waiting::Pause | Waiting::Person(_) => self.kept_since = None,
                    Waiting::Time => {}
                    // A look that sees, but not what is asked for, is no better than none.
                    Waiting::Sight => self.unseen_since = self.unseen_since.or(Some(at)),
                    Waiting::Remedy => self.none_applies_since = self.none_applies_since.or(Some(at)),
                }
                self.stage = Stage::Waiting { aim, until: *until, on: on.clone() };
                Ok(())
            }
            Event::Woke { .. } => match &self.stage {
                Stage::Waiting { on: Waiting::Person(_), .. } => Err("only an answer ends the wait for a person".to_owned()),
                Stage::Waiting { aim, until, .. } => {
                    if at.since(*until) > LOOKS_APART {
                        // The process was not there to look: what could not be seen before says nothing of now.
                        (self.unseen_since, self.none_applies_since) = (None, None);
                    }
                    self.stage = Stage::Looking(*aim);
                    Ok(())
                }
                _ => Err("it is not waiting".to_owned()),
            },
            Event::Answered { ask, answer } => self.answered(at, ask, answer),
            Event::Reminded { ask, through } => self.is_reminded(at, ask, *through),
            Event::AnswerRefused { ask, .. } => self.was_refused(ask),
            Event::RungSkipped { why, .. } => {
                self.deciding_to(Aim::Do)?;
                if !self.applied.is_empty() || self.at.step != 0 {
                    return Err("a rung that was begun cannot be skipped".to_owned());
                }
                if self.applies_later() {
                    self.none_applies_since = None;
                }
                self.climb(why);
                Ok(())
            }
            Event::Enough { .. } => {
                self.deciding_to(Aim::Do)?;
                if self.applied.is_empty() {
                    return Err("nothing was done that could be verified".to_owned());
                }
                match self.harm.is_some() {
                    true => self.unwind("harm was seen"),
                    false => self.stage = Stage::Verifying { since: at },
                }
                Ok(())
            }
            Event::EvidenceCaptured { at: step, captured } => {
                if self.deciding()? == Aim::Do {
                    self.captured.insert(*step, captured.clone());
                } else {
                    self.captured_back = Some(captured.clone());
                }
                Ok(())
            }
            Event::ActionStarted { order, deadline, settles_from, .. } => self.started(at, order, *deadline, *settles_from),
            Event::Quieted { alerts } => self.quieted(alerts),
            Event::ActionReplied { reply } => self.replied(reply),
            Event::Settled { verdict, finding } => self.settled(at, verdict, finding),
            Event::Unsettled { since, why } => self.is_unsettled(at, *since, why),
            Event::Verified { since, findings } => self.verified(at, *since, findings),
            Event::Harmed { condition, findings, why, unseen, .. } => self.harmed(condition, findings, why, *unseen),
            Event::NotVerified { why, unseen, .. } => {
                let Stage::Verifying { .. } = self.stage else { return Err("nothing is being verified".to_owned()) };
                if *unseen {
                    self.end(How::HandedOver, format!("whether it helped cannot be seen: {why}"));
                } else {
                    self.unwind(why);
                }
                Ok(())
            }
            Event::EndDue { outlasted, of, .. } => match self.stage {
                _ if self.sustains() => {
                    self.ending = *of;
                    self.outlasted |= *outlasted;
                    self.stage = Stage::Looking(Aim::End);
                    Ok(())
                }
                _ => Err("no effect is lasting".to_owned()),
            },
            Event::Ending { how, why, .. } => {
                if let Stage::InDoubt = self.stage {
                    return Err("an order is in doubt and has to be settled by a look first".to_owned());
                }
                self.end(*how, why.clone());
                Ok(())
            }
            Event::Closed { how, why } => match &self.stage {
                // What is stuck by today's rules may have ended otherwise by those of an earlier release, which took more for left down.
                Stage::Closing { how: planned, .. }
                    if planned == how || *planned == How::Stuck || (*planned, *how) == (How::HandedOver, How::Stuck) =>
                {
                    self.stage = Stage::Closed { how: *how, why: why.clone() };
                    Ok(())
                }
                // Nor did that look once more after a no.
                Stage::Looking(_) if self.declined.as_ref().is_some_and(|(planned, _)| planned == how || *how == How::Stuck) => {
                    self.stage = Stage::Closed { how: *how, why: why.clone() };
                    Ok(())
                }
                _ => Err("it closes only as it was ending".to_owned()),
            },
        }
    }

    // Whether a later rung is seen to be the one to take.
    fn applies_later(&self) -> bool {
        let Stage::Deciding { findings, .. } = &self.stage else { return false };
        let mut later = self.runbook.remedies.iter().skip(self.at.rung + 1);
        later.any(|rung| rung.when.as_ref().is_none_or(|when| when.evaluate(findings).holds()))
    }

    // Waiting → Looking when what it waits for no longer matters: the alerts are over, or a person stopped it.
    fn look_again_if_over(&mut self) {
        if let Stage::Waiting { aim: Aim::Do, .. } = self.stage
            && (self.stopped.is_some() || self.alerts_are_over())
        {
            self.stage = Stage::Looking(Aim::Do);
        }
    }

    fn deciding(&self) -> Result<Aim, String> {
        match &self.stage {
            Stage::Deciding { aim, .. } => Ok(*aim),
            _ => Err("no fresh findings are there to decide on".to_owned()),
        }
    }

    fn deciding_to(&self, wanted: Aim) -> Result<(), String> {
        let aim = self.deciding()?;
        if aim == wanted { Ok(()) } else { Err(format!("the look was for {aim:?}, not for {wanted:?}")) }
    }

    // Deciding → InDoubt. The only way to an effect, and it starts at a look.
    fn started(&mut self, at: Stamp, order: &Order, deadline: Stamp, settles_from: Stamp) -> Result<(), String> {
        let aim = self.deciding()?;
        let step_ref = match (aim, order.purpose) {
            (Aim::Do, Purpose::Do) => {
                let step = self.step().ok_or("the rung has no further step")?;
                if step.action != order.action {
                    return Err("the order is not for the step that is next".to_owned());
                }
                if let Some(grant) = &self.grant
                    && !order.selection.is_within(&grant.ask.order.selection)
                {
                    return Err("the order touches what nobody approved".to_owned());
                }
                self.begin_watching()?;
                self.at
            }
            (Aim::Undo, Purpose::Undo) | (Aim::End, Purpose::End) => {
                let earlier = self.to_take_back(aim).ok_or("nothing is left to take back")?;
                let same = earlier.order.action == order.action
                    && earlier.order.target == order.target
                    && earlier.order.selection == order.selection;
                if !same {
                    return Err("the order does not take back what is next to be taken back".to_owned());
                }
                earlier.at
            }
            _ => return Err("the order's purpose is not what the look was for".to_owned()),
        };
        if !(at <= deadline && deadline <= settles_from) {
            return Err("deadline and grace do not lie after the start".to_owned());
        }
        let down_before = match &self.stage {
            Stage::Deciding { findings, .. } => {
                let seen = self.seen_at(findings, order.action.facts().selects_from, &order.target);
                seen.is_some_and(|seen| order.left_down(seen).is_some())
            }
            _ => false,
        };
        let number = u32::try_from(self.attempts.len()).unwrap_or(u32::MAX).saturating_add(1);
        self.attempts.push(Attempt {
            number,
            at: step_ref,
            order: order.clone(),
            started: at,
            deadline,
            settles_from,
            reply: None,
            unsettled: None,
            down_before,
            verdict: None,
            silences: Vec::new(),
        });
        self.weighed.by_itself |= aim == Aim::Do && self.grant.is_none();
        self.grant = None;
        self.kept_since = None;
        self.stage = Stage::InDoubt;
        Ok(())
    }

    fn replied(&mut self, reply: &Reply) -> Result<(), String> {
        let Stage::InDoubt = self.stage else { return Err("no order is in doubt".to_owned()) };
        let attempt = self.attempts.last_mut().ok_or("no order was started")?;
        if attempt.reply.is_some() {
            return Err("the call has already replied".to_owned());
        }
        attempt.reply = Some(reply.clone());
        Ok(())
    }

    fn verified(&mut self, at: Stamp, since: Stamp, findings: &Findings) -> Result<(), String> {
        let Stage::Verifying { since: began } = self.stage else { return Err("nothing is being verified".to_owned()) };
        let hold = self.remedy().map_or(std::time::Duration::ZERO, |remedy| remedy.verify.hold.duration());
        if since < began || at.since(since) < hold {
            return Err("the condition has not held for its time since the last step".to_owned());
        }
        if !self.is_harmless(findings) {
            return Err("a watched condition holds, or cannot be seen, so it is no cure".to_owned());
        }
        if let Some(watch) = &mut self.watch {
            watch.calm();
        }
        if self.left_behind().is_some() {
            // It is told now, and not when an effect that lasts comes to its end; so that stays in force, and is named.
            self.end(How::HandedOver, "the remedy's own condition held for its time".to_owned());
            return Ok(());
        }
        self.proved = self.attempts.len();
        if self.to_take_back(Aim::End).is_some() {
            self.stage = Stage::Sustaining { since: at };
        } else {
            self.end(How::Cured, "the remedy's own condition held for its time".to_owned());
        }
        Ok(())
    }

    // A rung did not help: what can be undone is undone, newest first; then comes the next rung, or a person.
    pub(super) fn unwind(&mut self, why: &str) {
        if self.to_take_back(Aim::Undo).is_some() {
            self.stage = Stage::Looking(Aim::Undo);
        } else {
            self.climb(why);
        }
    }

    fn climb(&mut self, why: &str) {
        if let Some(why) = self.harm_in_the_end() {
            self.applied.clear();
            return self.end(How::HandedOver, why);
        }
        self.applied.clear();
        self.watch = None;
        self.failing = None;
        self.grant = None;
        self.at = StepRef { rung: self.at.rung + 1, step: 0 };
        if self.remedy().is_some() {
            self.stage = Stage::Looking(Aim::Do);
        } else {
            self.end(How::HandedOver, format!("no remedy is left; the last one: {why}"));
        }
    }

    // An ending that leaves an effect in force which could have been taken back is stuck, whatever else it is.
    pub(super) fn end(&mut self, how: How, why: String) {
        let left = self.to_take_back(Aim::Undo).map(|attempt| attempt.order.action.to_string());
        let (how, why) = match left {
            Some(action) if how != How::Cured && how != How::Stuck => {
                (How::Stuck, format!("{why}; the effect of {action} is left in force"))
            }
            _ => (how, why),
        };
        // Whoever is called is told of the harm first, also where something failed on the way back.
        let why = match &self.harm {
            Some(harm) if !why.starts_with(harm.as_str()) => format!("{harm}; {why}"),
            _ => why,
        };
        self.stage = Stage::Closing { how, why };
    }

    /// Whether the latest word on an alert of this incident is that it fires.
    pub fn still_fires(&self) -> bool {
        self.alerts.values().any(|alert| alert.status == AlertStatus::Firing)
    }
}
