//! The eyes on a remedy's guard between the looks that are on record: while a call runs, while it is settled, while the cure is
//! proved, while an effect lasts. They count looks where the record stands, and begin anew after a crash; what they find is an event
//! like any other. Deliberately no judgement: that is `runbook::incident::harm`.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use journal::Claim;
use runbook::book::{Configuration, Guard};
use runbook::finding::Findings;
use runbook::incident::{Event, Gate, GateName, Incident, Judged, Watch};
use runbook::order::Purpose;
use runbook::time::Stamp;

use crate::engine::Engine;
use crate::world::World;

/// What was counted since the record last changed.
#[derive(Default)]
pub(crate) struct Eyes {
    on_record: Option<Watch>,
    counted: Option<Watch>,
    next: Stamp,
}

impl Eyes {
    /// Begins anew where the record has changed. Gives the guard while there is something to watch for.
    fn open<'a>(&mut self, incident: &'a Incident) -> Option<(&mut Watch, &'a Guard)> {
        if self.on_record != incident.watch {
            self.on_record.clone_from(&incident.watch);
            self.counted.clone_from(&incident.watch);
            self.next = Stamp::default();
        }
        if incident.harm.is_some() {
            return None;
        }
        Some((self.counted.as_mut()?, incident.guard()?))
    }

    /// Takes a look in and says what it comes to; fine where nothing is watched.
    pub(crate) fn see(&mut self, incident: &Incident, findings: &Findings, now: Stamp) -> Judged {
        let Some((watch, guard)) = self.open(incident) else { return Judged::Fine };
        watch.look(guard, findings, now);
        let judged = watch.judge(guard, findings);
        self.next = now.plus(pace(guard));
        judged
    }

    /// How long until the next look is due; none where nothing is watched.
    pub(crate) fn due_in(&mut self, incident: &Incident, now: Stamp) -> Option<Duration> {
        self.open(incident)?;
        Some(if self.next > now { self.next.since(now) } else { Duration::ZERO })
    }

    fn see_later(&mut self, incident: &Incident, now: Stamp) {
        if let Some((_, guard)) = self.open(incident) {
            self.next = self.next.max(now.plus(pace(guard)));
        }
    }
}

/// How long between two looks: as far apart as those that count have to be, and not so far that a rise is missed for long.
fn pace(guard: &Guard) -> Duration {
    guard.apart.duration().clamp(Duration::from_millis(100), Duration::from_secs(15))
}

/// The event of what is harm.
pub(crate) fn harmed(condition: String, findings: Findings, why: String, unseen: bool) -> Event {
    let gates = vec![Gate { name: GateName::Harm, open: false, why: why.clone().into() }];
    Event::Harmed { condition, findings, why, unseen, gates }
}

impl<W: World> Engine<W> {
    /// Looks once at what the guard watches.
    pub(crate) async fn glance(&self, incident: &Incident, eyes: &mut Eyes, configuration: &Configuration) -> Option<Event> {
        let paths = incident.guard()?.stop_if.iter().flat_map(|condition| condition.paths());
        let names: BTreeSet<&str> = paths.filter_map(|path| path.split_once('.')).map(|(name, _)| name).collect();
        let findings = self.look_at(incident, configuration, |name| names.contains(name)).await;
        match eyes.see(incident, &findings, self.world.now()) {
            Judged::Harm { condition, why } => Some(harmed(condition, findings, why, false)),
            Judged::Fine | Judged::Suspected { .. } | Judged::Unseen { .. } => None,
        }
    }

    /// Lets a call run to its end and watches meanwhile. What was sent cannot be unsent: harm is only written down, at once.
    pub(crate) async fn watched<T>(&self, claim: &mut Claim, eyes: &mut Eyes, call: impl Future<Output = T>) -> T {
        let mut call = pin!(call);
        if claim.incident.last_attempt().is_none_or(|last| last.order.purpose != Purpose::Do) {
            return call.await;
        }
        let mut renewed = self.world.now();
        // The first look after a while: what a call changes at once is seen by the look that settles it.
        eyes.see_later(&claim.incident, self.world.now());
        while let Some(nap) = eyes.due_in(&claim.incident, self.world.now()) {
            tokio::select! {
                biased;
                done = &mut call => return done,
                () = self.world.wait(nap.max(Duration::from_millis(1))) => {}
            }
            let configuration = self.configuration();
            let harm = tokio::select! {
                biased;
                done = &mut call => return done,
                harm = self.glance(&claim.incident, eyes, &configuration) => harm,
            };
            let now = self.world.now();
            let kept = match harm {
                Some(event) => self.append(claim, event).await,
                None => self.kept(claim, now, &mut renewed, "a call runs").await,
            };
            if let Err(error) = kept {
                // The call is not let go for it: what it replies is wanted, and the looks afterwards see the harm, too.
                tracing::warn!(incident = %claim.incident.id, error = format!("{error:#}"), "could not write while a call runs");
                break;
            }
        }
        call.await
    }
}
