//! Proof: after the last step of a rung the remedy's own condition must come true within its time and stay true for its hold.
//! Watched within one claim; after a crash the hold begins anew, because nobody watched in between. Deliberately never
//! reads a reply: an exit code is not an effect.

use std::time::Duration;

use journal::Claim;
use runbook::action::Lasts;
use runbook::condition::Truth;
use runbook::finding::Findings;
use runbook::incident::{Aim, Event, Incident, Judged};
use runbook::time::{Span, Stamp};
use tokio_util::sync::CancellationToken;

use crate::engine::watching::{Eyes, harmed};
use crate::engine::{Engine, STOOD_STILL};
use crate::live::LOOK_DEADLINE;
use crate::world::World;

/// The longest stretch between two looks while something is being proved.
const POLL: Duration = Duration::from_secs(1);
/// A machine that stands still so often in the middle of one proof proves nothing.
const MOST_STALLS: u32 = 20;
/// How often the end of a lasting effect is looked for.
pub(crate) const SUSTAIN_POLL: Duration = Duration::from_secs(15);
/// How long what a lasting effect does may be out of sight.
const BLIND_PATIENCE: Duration = Duration::from_secs(600);

impl<W: World> Engine<W> {
    /// Watches the remedy's condition; none when told to stop before it was decided.
    pub(crate) async fn verify(
        &self,
        claim: &Claim,
        since: Stamp,
        stop: &CancellationToken,
        eyes: &mut Eyes,
    ) -> anyhow::Result<Option<Event>> {
        let Some(remedy) = claim.incident.remedy() else {
            return Ok(Some(Event::NotVerified {
                findings: Findings::default(),
                why: "the runbook has no such remedy".to_owned(),
                unseen: true,
            }));
        };
        let (hold, within) = (remedy.verify.hold.duration(), remedy.verify.within.duration());
        // After a long stop the time is over at the first look; what is true then still gets its hold.
        let mut over = since.plus(within);
        let doubts = remedy.guard.as_ref().map_or(Duration::ZERO, |guard| guard.apart.duration() * guard.looks);
        let mut true_since: Option<Stamp> = None;
        let nap = (hold / 8).clamp(Duration::from_millis(100), POLL);
        let mut stalls = 0;
        let mut renewed = self.world.now();
        let mut watched = renewed;
        loop {
            let asked = self.world.now();
            let findings = self.look(&claim.incident, &self.configuration()).await;
            let now = self.world.now();
            let (between, within) = (asked.since(watched), now.since(asked));
            watched = now;
            if between > nap + STOOD_STILL || within > LOOK_DEADLINE + STOOD_STILL {
                let unwatched = between + within;
                // The machine stood still, or its clock was set: nobody watched for so long, which proves nothing and counts for nothing.
                // Nor does what this look brings: its answer may have come before.
                tracing::warn!(incident = %claim.incident.id, seconds = unwatched.as_secs(), "the proof begins anew: nobody watched for a while");
                true_since = None;
                over = over.plus(unwatched);
                stalls += 1;
                if stalls >= MOST_STALLS {
                    let why = format!("the machine stood still {stalls} times while that was to be proved");
                    return Ok(Some(Event::NotVerified { findings, why, unseen: true }));
                }
                self.kept(claim, now, &mut renewed, "verifying").await?;
                continue;
            }
            let judged = eyes.see(&claim.incident, &findings, now);
            match (remedy.verify.until.evaluate(&findings), judged) {
                (_, Judged::Harm { condition, why }) => return Ok(Some(harmed(condition, findings, why, false))),
                (Truth::True, Judged::Fine) => {
                    let began = *true_since.get_or_insert(now.max(since));
                    if now >= began && now.since(began) >= hold {
                        return Ok(Some(Event::Verified { findings, since: began }));
                    }
                }
                // One more look, and it is harm or it is not.
                (Truth::True, Judged::Suspected { .. }) if now < over.plus(doubts + hold) => true_since = None,
                (truth, judged) if now >= over => {
                    let (unseen, why) = match (truth, judged) {
                        (Truth::Unknown(why), _) | (Truth::True, Judged::Unseen { why, .. }) => (true, why),
                        (Truth::True, Judged::Suspected { condition, .. }) => {
                            (false, format!("`{condition}`, which would be harm, comes and goes"))
                        }
                        _ => (false, format!("{} did not hold within {}", remedy.verify.until.source(), remedy.verify.within)),
                    };
                    return Ok(Some(Event::NotVerified { findings, why, unseen }));
                }
                _ => true_since = None,
            }
            self.kept(claim, now, &mut renewed, "verifying").await?;
            tokio::select! {
                () = stop.cancelled() => return Ok(None),
                () = self.world.wait(nap) => {}
            }
        }
    }

    /// Whether a lasting effect is to be ended, or does harm; none when it is to be looked at again later.
    pub(crate) async fn sustain(
        &self,
        claim: &Claim,
        stop: &CancellationToken,
        eyes: &mut Eyes,
    ) -> anyhow::Result<Option<Event>> {
        let incident = &claim.incident;
        let mut renewed = self.world.now();
        let mut blind_since = None;
        loop {
            let findings = self.look(incident, &self.configuration()).await;
            let now = self.world.now();
            let judged = eyes.see(incident, &findings, now);
            if let Judged::Harm { condition, why } = judged {
                return Ok(Some(harmed(condition, findings, why, false)));
            }
            if let Some(Due { why, outlasted, of }) = end_due(incident, &findings, now) {
                return Ok(Some(Event::EndDue { why, findings, outlasted, of }));
            }
            let nap = match judged {
                Judged::Suspected { again, .. } => again.since(now).max(Duration::from_millis(100)),
                // What lasts was not to be left alone with what it does: after a while it is ended before its time.
                Judged::Unseen { condition, why } => {
                    let blind = now.since(*blind_since.get_or_insert(now));
                    if blind >= BLIND_PATIENCE {
                        let why = format!("{why}, for {} now, so the effect is not kept up any longer", Span::from(blind));
                        return Ok(Some(harmed(condition, findings, why, true)));
                    }
                    SUSTAIN_POLL
                }
                Judged::Fine | Judged::Harm { .. } => return Ok(None),
            };
            self.kept(claim, now, &mut renewed, "watching a lasting effect").await?;
            tokio::select! {
                () = stop.cancelled() => return Ok(None),
                () = self.world.wait(nap) => {}
            }
        }
    }
}

/// That a lasting effect is to be ended.
struct Due {
    why: String,
    /// Its longest time is over although what it was for is not.
    outlasted: bool,
    /// By its attempt's number, where it is this one.
    of: Option<u32>,
}

impl Due {
    fn by_itself(why: &str) -> Self {
        Self { why: why.to_owned(), outlasted: false, of: None }
    }
}

fn end_due(incident: &Incident, findings: &Findings, now: Stamp) -> Option<Due> {
    let lasting = incident.applied.iter().filter_map(|index| incident.attempts.get(*index));
    let mut all_over = true;
    for attempt in lasting.filter(|attempt| attempt.order.action.facts().lasts == Lasts::UntilCondition) {
        let step = incident.runbook.remedies.get(attempt.at.rung).and_then(|remedy| remedy.steps.get(attempt.at.step));
        let Some(step) = step else { continue };
        let over = step.until.as_ref().is_some_and(|until| until.evaluate(findings).holds());
        if let Some(longest) = step.at_most_for
            && now.since(attempt.started) >= longest.duration()
        {
            let why = format!("{} has lasted for {longest}, its longest", attempt.order.action);
            return Some(Due { why, outlasted: !over, of: Some(attempt.number) });
        }
        all_over &= over;
    }
    match incident.to_take_back(Aim::End).map(|attempt| attempt.order.action.facts().lasts) {
        // Whatever else lasts, what was kept until the cure is proved has no reason to stay any longer.
        Some(Lasts::UntilProved) => Some(Due::by_itself("the cure is proved")),
        Some(_) if all_over => Some(Due::by_itself("what it was for is over")),
        _ => None,
    }
}
