//! The loop over one incident: ask the fold what is next, do it, append what came of it. Every append passes a point before and
//! after, and so does every effect: the crash tests stop at each of them. Deliberately linear: reading it is reading the way
//! of an alert.

use std::sync::Arc;
use std::time::Duration;

use journal::{AppendError, Claim, StartRefused};
use policy::{Case, Decision, Late, Ruling, decide};
use runbook::book::Configuration;
use runbook::finding::Findings;
use runbook::incident::{Aim, Answer, Captured, Event, Gate, GateName, How, Incident, Next, Reply, Stage, Waiting};
use runbook::order::Order;
use runbook::time::Stamp;
use tokio_util::sync::CancellationToken;

use crate::engine::fault::Fault;
use crate::engine::verify::SUSTAIN_POLL;
use crate::engine::watching::Eyes;
use crate::engine::{Engine, LEASE, quieting};
use crate::world::{Point, World};

/// How long to wait before deciding again when a start was refused.
const DECIDE_AGAIN: Duration = Duration::from_millis(50);

impl<W: World> Engine<W> {
    /// Works until the incident is over or waits; gives the moment it comes due again, where its stage does not say.
    pub(crate) async fn drive(&self, claim: &mut Claim, stop: &CancellationToken) -> anyhow::Result<Option<Stamp>> {
        let mut eyes = Eyes::default();
        let mut over_limits = 0;
        loop {
            if stop.is_cancelled() {
                return Ok(None);
            }
            let event = match claim.incident.next() {
                Next::WaitUntil(_) | Next::Answer { .. } if let Some(why) = self.outdated(&claim.incident) => {
                    let gates = vec![Gate { name: GateName::Runbook, open: false, why: why.clone().into() }];
                    Event::Ending { how: How::HandedOver, why, gates }
                }
                Next::Look(aim) => {
                    let findings = self.look_around(&claim.incident, aim, &self.configuration()).await;
                    Event::Looked { findings }
                }
                Next::Decide(aim) => match self.decide(claim, aim, &mut eyes, &mut over_limits).await? {
                    Some(event) => event,
                    None => continue,
                },
                Next::WaitUntil(until) => match self.woken(claim, until).await? {
                    Some(why) => Event::Woke { why },
                    None => return Ok(Some(until.max(self.world.now().plus(RECHECK)))),
                },
                Next::Answer { ask, due, expires } => {
                    let now = self.world.now();
                    if now < due {
                        return Ok(Some(due));
                    }
                    match claim.incident.reminder_due(now).filter(|_| now < expires) {
                        Some(through) => Event::Reminded { ask, through },
                        None => Event::Answered { ask, answer: Answer::Expired },
                    }
                }
                Next::Settle => match self.settle(claim, stop, &mut eyes).await? {
                    Some(event) => event,
                    None => return Ok(None),
                },
                Next::Verify => {
                    let Stage::Verifying { since } = claim.incident.stage else { continue };
                    match self.verify(claim, since, stop, &mut eyes).await? {
                        Some(event) => event,
                        None => return Ok(None),
                    }
                }
                Next::Sustain => match self.sustain(claim, stop, &mut eyes).await? {
                    Some(event) => event,
                    None => return Ok(Some(self.world.now().plus(SUSTAIN_POLL))),
                },
                Next::Close { how, why } => {
                    tracing::info!(incident = %claim.incident.id, runbook = claim.incident.runbook.name, how = how.word(), why, "closes");
                    Event::Closed { how, why }
                }
                Next::Nothing => return Ok(None),
            };
            let heard_again = quieting::is_no_side_effect_after(&event);
            self.append(claim, event).await?;
            if heard_again {
                self.let_be_heard(&claim.incident).await;
            }
        }
    }

    /// Appends what came of a look or a call. When something from outside came in between and the incident still waits for
    /// exactly this, it is appended behind it; otherwise it is dropped, and the loop asks again.
    pub(crate) async fn append(&self, claim: &mut Claim, event: Event) -> anyhow::Result<()> {
        self.world.pass(Point::BeforeAppend(event.kind())).await;
        for conflicts in 0..CONFLICTS_BORNE {
            match self.journal.append(claim, self.world.now(), &event).await {
                Ok(()) => {
                    self.listener.happened(&claim.incident, &event);
                    self.world.pass(Point::AfterAppend(event.kind())).await;
                    return Ok(());
                }
                // A decision was made on an incident that has changed: it is made anew. What was seen or done stays true.
                Err(AppendError::Conflict) if is_a_decision(&event) => return Ok(()),
                Err(AppendError::Conflict) => {}
                // After a conflict the stage may no longer list the event: an answer came, an alert resolved.
                Err(AppendError::Illegal(illegal)) if conflicts > 0 => {
                    tracing::debug!(incident = %claim.incident.id, %illegal, "dropped, because something came in between");
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
        anyhow::bail!("{} changed {CONFLICTS_BORNE} times while one event was appended", claim.incident.id)
    }

    /// Why an incident that has done nothing yet waits in vain: by a runbook that was changed meanwhile nothing will be done, and a
    /// person is called now and not when the wait is over.
    fn outdated(&self, incident: &Incident) -> Option<String> {
        let waits = matches!(incident.stage, Stage::Waiting { aim: Aim::Do, .. }) && incident.attempts.is_empty();
        if !waits {
            return None;
        }
        policy::outdated(incident, self.configuration().runbooks.get(&incident.runbook.name))
    }

    /// Whether what a wait is for has come about.
    async fn woken(&self, claim: &Claim, until: Stamp) -> anyhow::Result<Option<String>> {
        let now = self.world.now();
        let incident = &claim.incident;
        let Stage::Waiting { on, .. } = &incident.stage else { return Ok(None) };
        let targets = incident.remedy_touches();
        Ok(match on {
            // A pause or a hold ends when it ends, not by the hour: a weekend's pause is one event and not a hundred thousand.
            Waiting::Held { .. } => {
                let holder = self.journal.holder_of(&targets, incident.id).await?;
                let too_long = now >= policy::kept_until(incident, &self.configuration(), now);
                match holder {
                    None => Some("the target is free".to_owned()),
                    Some(by) => too_long.then(|| format!("{by} still holds the target")),
                }
            }
            // The end of the cause's incident, or of another's turn, is news; otherwise it is looked at again when it is time.
            Waiting::Cause { by: Some(by), .. } | Waiting::Trial { by }
                if self.journal.summary(*by).await?.is_none_or(|by| by.closed.is_some()) =>
            {
                Some(format!("{by} is over"))
            }
            Waiting::Turn if self.journal.at_work(incident.id) < self.configuration().rules.overall.at_once => {
                Some("it is its turn".to_owned())
            }
            Waiting::Pause => {
                let pause = self.journal.pause_for(&incident.runbook.name, &targets, now).await?;
                pause.reason.is_none().then(|| "the pause is over".to_owned())
            }
            _ => (now >= until).then(|| "the time is over".to_owned()),
        })
    }

    /// Asks policy, and does what follows from it. None when the loop is simply to ask what is next again.
    async fn decide(&self, claim: &mut Claim, aim: Aim, eyes: &mut Eyes, over_limits: &mut u32) -> anyhow::Result<Option<Event>> {
        let Stage::Deciding { findings, .. } = &claim.incident.stage else { return Ok(None) };
        let findings = findings.clone();
        let configuration = self.configuration();
        let ruling = self.ruling(claim, aim, &findings, &configuration).await?;
        let Ruling { decision, gates } = ruling;
        // Only an act's are shared, with its permit.
        let alone = Arc::<Vec<Gate>>::unwrap_or_clone;
        Ok(match decision {
            Decision::Act(permit) => self.start(claim, permit, gates, eyes, over_limits).await?,
            Decision::Capture(order) => Some(self.capture(claim, &order, &configuration).await?),
            Decision::LookAgain(why) => Some(Event::Stale { why }),
            Decision::Wait { until, on, why } => Some(Event::Waits { until, on, why, gates: alone(gates) }),
            Decision::SkipRung(why) => Some(Event::RungSkipped { why, gates: alone(gates) }),
            Decision::Enough(why) => Some(Event::Enough { why }),
            Decision::Harm { condition, why } => {
                Some(Event::Harmed { condition, findings, why, unseen: false, gates: alone(gates) })
            }
            Decision::End { how, why } => Some(Event::Ending { how, why, gates: alone(gates) }),
        })
    }

    async fn ruling(
        &self,
        claim: &Claim,
        aim: Aim,
        findings: &Findings,
        configuration: &Configuration,
    ) -> anyhow::Result<Ruling> {
        let incident = &claim.incident;
        let now = self.world.now();
        let targets = incident.remedy_touches();
        let rules = configuration.runbooks.get(&incident.runbook.name).unwrap_or(&incident.runbook);
        let past = self.journal.past(incident, rules, configuration, now).await?;
        let pause = self.journal.pause_for(&rules.name, &targets, now).await?;
        let ask_id = self.world.name_a_question();
        Ok(decide(&Case {
            incident,
            aim,
            findings,
            now,
            current: configuration,
            pause: &pause,
            history: &past.history,
            clock_doubted_until: self.world.clock_doubted_until(),
            held_by: past.held_by,
            ask_id: &ask_id,
        }))
    }

    /// From a permit to a reply: commit, act once, write down what was said. Nothing in between may fail silently.
    async fn start(
        &self,
        claim: &mut Claim,
        permit: policy::Permit,
        gates: Arc<Vec<Gate>>,
        eyes: &mut Eyes,
        over_limits: &mut u32,
    ) -> anyhow::Result<Option<Event>> {
        let name = permit.order().action.facts().name;
        self.world.pass(Point::BeforeAppend("action_started")).await;
        let committed = match self.journal.start(claim, permit, self.world.now()).await {
            Ok(committed) => committed,
            Err(StartRefused::Held(by)) => {
                let until = self.world.now().plus(Duration::from_secs(5));
                return Ok(Some(Event::Waits {
                    until,
                    on: Waiting::Held { by },
                    why: format!("{by} took the target first"),
                    gates: Arc::unwrap_or_clone(gates),
                }));
            }
            Err(refused @ (StartRefused::Conflict | StartRefused::PauseChanged | StartRefused::LimitReached)) => {
                // Another was first, which the next decision sees in the counters; unless these are not what is on record.
                *over_limits += u32::from(matches!(refused, StartRefused::LimitReached));
                if matches!(refused, StartRefused::LimitReached) && *over_limits >= RECOUNTED_AFTER {
                    self.journal.recount().await?;
                }
                if *over_limits > REFUSALS_BORNE {
                    return Err(Fault::Refused(*over_limits).into());
                }
                tracing::info!(incident = %claim.incident.id, %refused, "decides again");
                self.world.wait(DECIDE_AGAIN).await;
                return Ok(None);
            }
            Err(StartRefused::Append(error)) => return Err(error.into()),
            Err(error @ StartRefused::LeaseLost) => return Err(error.into()),
        };
        self.world.pass(Point::AfterAppend("action_started")).await;
        tracing::info!(incident = %claim.incident.id, action = name, target = %committed.order().target, count = committed.order().selection.count(), "acts");
        let stopped = self.keep_quiet(claim).await?;
        self.world.pass(Point::BeforeEffect).await;
        let reply = match (stopped, committed.in_time(self.world.now())) {
            (Some(why), _) => Reply::unsent(&why),
            // The inventory of now, not of the decision: what a person took out of it meanwhile is not touched.
            (None, Ok(committed)) => {
                let configuration = self.configuration();
                self.watched(claim, eyes, self.world.act(&configuration.inventory, committed)).await
            }
            (None, Err(Late)) => Reply::unsent("the process stood still until the order's deadline was over"),
        };
        self.world.pass(Point::AfterEffect).await;
        Ok(Some(Event::ActionReplied { reply }))
    }

    async fn capture(&self, claim: &Claim, order: &Order, configuration: &Configuration) -> anyhow::Result<Event> {
        let pieces = self.world.capture(&configuration.inventory, order).await;
        let mut captured = Captured { evidence: Vec::new(), missing: Vec::new() };
        for (name, body) in pieces {
            let kept = match body {
                Ok(body) => {
                    let kept = self.journal.keep_evidence(claim.incident.id, &name, &body, self.world.now()).await;
                    kept.map_err(|error| format!("{error:#}"))
                }
                Err(why) => Err(why),
            };
            match kept {
                Ok(hash) => captured.evidence.push(hash),
                Err(why) => captured.missing.push(format!("{name}: {why}")),
            }
        }
        Ok(Event::EvidenceCaptured { at: claim.incident.at, captured })
    }

    /// Keeps the lease during a long stretch of looking.
    pub(crate) async fn kept(&self, claim: &Claim, now: Stamp, renewed: &mut Stamp, doing: &str) -> anyhow::Result<()> {
        if now.since(*renewed) > LEASE / 3 {
            let renews = self.journal.renew(claim, now, LEASE).await?;
            anyhow::ensure!(renews, "the lease on the incident was lost while {doing}");
            *renewed = now;
        }
        Ok(())
    }
}

/// After so many starts that the limits on record refused although the counters had let them through, these are made anew.
const RECOUNTED_AFTER: u32 = 5;
/// More of them are a fault of ours.
const REFUSALS_BORNE: u32 = 20;
/// How often a pause or a hold is asked about again, besides being woken.
const RECHECK: Duration = Duration::from_secs(5);

/// Whether an event is policy's word, which counts only for the incident as it was.
fn is_a_decision(event: &Event) -> bool {
    matches!(
        event,
        Event::Waits { .. } | Event::RungSkipped { .. } | Event::Enough { .. } | Event::Ending { .. } | Event::Stale { .. }
    )
}

/// More changes from outside than this between two appends is a fault of its own.
const CONFLICTS_BORNE: usize = 16;
