//! Before an order is carried out, Alertmanager is asked to keep quiet about what the order raises by itself; when the order turns out
//! otherwise than it should, that ends at once. Everything is written down: what was silenced, until when, and why not. Deliberately
//! no say in whether to act: an Alertmanager that is slow, away or of another mind costs two seconds and a sentence.

use journal::Claim;
use runbook::book::Configuration;
use runbook::incident::{Attempt, Event, Incident};
use runbook::order::{Purpose, Verdict};
use runbook::silence::{Became, Exact, Quieted, SideEffect};
use runbook::text::inert;

use crate::engine::Engine;
use crate::world::{Wish, World};

impl<W: World> Engine<W> {
    /// Silences what the order that was just started raises by itself. Gives the reason where a person paused or stopped it
    /// meanwhile: their word wins, however short it comes before the act, and nothing may be sent then.
    pub(crate) async fn keep_quiet(&self, claim: &mut Claim) -> anyhow::Result<Option<String>> {
        let configuration = self.configuration();
        let Some(attempt) = claim.incident.last_attempt() else { return Ok(None) };
        let declared = declared(&claim.incident, attempt);
        if declared.is_empty() {
            return Ok(None);
        }
        let mut alerts = Vec::new();
        let mut wanted = Vec::new();
        for effect in declared {
            match exact(&claim.incident, effect, &configuration) {
                Ok(exact) => wanted.push(exact),
                Err(why) => alerts.push(Quieted { alert: effect.to_string(), became: Became::Not { why } }),
            }
        }
        let comment = comment(&claim.incident, attempt);
        // What is under a silence that should not be there may have been told before it.
        let own = claim.incident.silences(self.world.now()).into_iter().filter(|silence| silence.although.is_none());
        let own = own.map(|silence| silence.id).collect();
        alerts.extend(self.world.silence(&Wish { alerts: wanted, own, ends: attempt.deadline, comment }).await);
        self.append(claim, Event::Quieted { alerts }).await?;
        let incident = &claim.incident;
        let pause = self.journal.pause_for(&incident.runbook.name, &incident.remedy_touches(), self.world.now()).await?;
        // What was stopped before its start was not started, so a stop came meanwhile, too.
        let stopped = pause.reason.or_else(|| incident.stopped.clone());
        if stopped.is_some() {
            self.let_be_heard(incident).await;
        }
        Ok(stopped)
    }

    /// Ends what is still silenced for an incident.
    pub(crate) async fn let_be_heard(&self, incident: &Incident) {
        let silences = incident.silences(self.world.now());
        if !silences.is_empty() {
            self.world.unsilence(&silences).await;
        }
    }
}

/// Whether an event says that what fires now need be no side effect: the step did not do what it should, or did harm. What landed
/// keeps its silence to the deadline, because its alert goes only when Prometheus has looked again.
pub(crate) fn is_no_side_effect_after(event: &Event) -> bool {
    match event {
        Event::Settled { verdict, .. } => !matches!(verdict, Verdict::Landed(_)),
        Event::Harmed { .. } | Event::NotVerified { .. } => true,
        _ => false,
    }
}

// Only what a step does is announced: when it is taken back something went wrong, and people should hear.
fn declared<'a>(incident: &'a Incident, attempt: &Attempt) -> &'a [SideEffect] {
    if attempt.order.purpose != Purpose::Do {
        return &[];
    }
    let remedy = incident.runbook.remedies.get(attempt.at.rung);
    remedy.and_then(|remedy| remedy.steps.get(attempt.at.step)).map_or(&[], |step| &step.silence)
}

// The runbook is the one of the opening; what a person took out of it meanwhile is not silenced any more.
fn exact(incident: &Incident, effect: &SideEffect, configuration: &Configuration) -> Result<Exact, String> {
    let rules = configuration.runbooks.get(&incident.runbook.name);
    let mut steps = rules.into_iter().flat_map(|runbook| &runbook.remedies).flat_map(|remedy| &remedy.steps);
    if !steps.any(|step| step.silence.contains(effect)) {
        return Err("the runbook in force does not declare it any more".to_owned());
    }
    effect.exact(&incident.trigger)
}

fn comment(incident: &Incident, attempt: &Attempt) -> String {
    format!(
        "{}, runbook {}: {} on {} raises this by itself. It ends with the step's deadline.",
        incident.id,
        inert(&incident.runbook.name, 80),
        attempt.order.action,
        attempt.order.target
    )
}
