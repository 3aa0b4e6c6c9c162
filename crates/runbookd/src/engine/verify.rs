//! Proof: after the last step of a rung the remedy's own condition must come true within its time and stay true for its hold.
//! Watched within one claim; after a crash the hold begins anew, because nobody watched in between. Deliberately never
//! reads a reply: an exit code is not an effect.

use std::time::Duration;

use journal::Claim;
use runbook::action::Lasts;
use runbook::condition::Truth;
use runbook::finding::Findings;
use runbook::incident::{Aim, Event};
use runbook::time::Stamp;
use tokio_util::sync::CancellationToken;

use crate::engine::{Engine, LEASE};
use crate::world::World;

/// The longest stretch between two looks while something is being proved.
const POLL: Duration = Duration::from_secs(1);
/// How often the end of a lasting effect is looked for.
const SUSTAIN_POLL: Duration = Duration::from_secs(15);

impl<W: World> Engine<W> {
    /// Watches the remedy's condition; none when told to stop before it was decided.
    pub(crate) async fn verify(&self, claim: &Claim, since: Stamp, stop: &CancellationToken) -> anyhow::Result<Option<Event>> {
        let Some(remedy) = claim.incident.remedy() else {
            return Ok(Some(Event::NotVerified {
                findings: Findings::default(),
                why: "the runbook has no such remedy".to_owned(),
                unseen: true,
            }));
        };
        let (hold, within) = (remedy.verify.hold.duration(), remedy.verify.within.duration());
        // After a long stop the time is over at the first look; what is true then still gets its hold.
        let over = since.plus(within);
        let mut true_since: Option<Stamp> = None;
        let mut renewed = self.world.now();
        loop {
            let configuration = self.configuration();
            let findings = self.look(&claim.incident, &configuration).await;
            let now = self.world.now();
            match remedy.verify.until.evaluate(&findings) {
                Truth::True => {
                    let began = *true_since.get_or_insert(now.max(since));
                    if now >= began && now.since(began) >= hold {
                        return Ok(Some(Event::Verified { findings, since: began }));
                    }
                }
                truth if now >= over => {
                    let (unseen, why) = match truth {
                        Truth::Unknown(why) => (true, why),
                        _ => (false, format!("{} did not hold within {}", remedy.verify.until.source(), remedy.verify.within)),
                    };
                    return Ok(Some(Event::NotVerified { findings, why, unseen }));
                }
                _ => true_since = None,
            }
            if now.since(renewed) > LEASE / 3 {
                anyhow::ensure!(
                    self.journal.renew(claim, now, LEASE).await?,
                    "the lease on the incident was lost while verifying"
                );
                renewed = now;
            }
            let nap = (hold / 8).clamp(Duration::from_millis(100), POLL);
            tokio::select! {
                () = stop.cancelled() => return Ok(None),
                () = self.world.wait(nap) => {}
            }
        }
    }

    /// Whether a lasting effect is to be ended: its event, or when to look again.
    pub(crate) async fn sustain(&self, claim: &Claim) -> Result<Event, Stamp> {
        let incident = &claim.incident;
        let configuration = self.configuration();
        let findings = self.look(incident, &configuration).await;
        let now = self.world.now();
        let lasting = incident.applied.iter().filter_map(|index| incident.attempts.get(*index));
        let mut all_over = true;
        for attempt in lasting.filter(|attempt| attempt.order.action.facts().lasts == Lasts::UntilCondition) {
            let step = incident.runbook.remedies.get(attempt.at.rung).and_then(|remedy| remedy.steps.get(attempt.at.step));
            let Some(step) = step else { continue };
            if let Some(longest) = step.at_most_for
                && now.since(attempt.started) >= longest.duration()
            {
                let why = format!("{} has lasted for {longest}, its longest", attempt.order.action);
                return Ok(Event::EndDue { why, findings });
            }
            all_over &= step.until.as_ref().is_some_and(|until| until.evaluate(&findings).holds());
        }
        match incident.to_take_back(Aim::End).map(|attempt| attempt.order.action.facts().lasts) {
            // Whatever else lasts, what was kept until the cure is proved has no reason to stay any longer.
            Some(Lasts::UntilProved) => Ok(Event::EndDue { why: "the cure is proved".to_owned(), findings }),
            Some(_) if all_over => Ok(Event::EndDue { why: "what it was for is over".to_owned(), findings }),
            _ => Err(now.plus(SUSTAIN_POLL)),
        }
    }
}
