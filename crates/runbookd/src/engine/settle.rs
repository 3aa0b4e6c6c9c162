//! Settling: looking until an order in doubt is known to have landed, or not to land any more. While no look can tell, a person is
//! called after a while, and the looks go on, slowly: what was begun may be half done, and when the Engine, say, answers again, nobody
//! else finishes it. Its target stays held meanwhile. Only after a day of that it is given up. Deliberately no judgement of what was
//! seen: that is the order's, and from when it counts is the attempt's.

use std::time::Duration;

use journal::Claim;
use runbook::incident::Event;
use runbook::incident::settled::{CALLS_AFTER, GIVES_UP_AFTER, LOOKS_EVERY};
use runbook::order::{Purpose, Verdict};
use runbook::time::Stamp;
use tokio_util::sync::CancellationToken;

use crate::engine::watching::Eyes;
use crate::engine::{Engine, LEASE};
use crate::world::World;

/// The first and the longest stretch between two settling looks, before a person is called.
const POLL: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// How long an order's settling looks may be blind, and what then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    /// A person is called this long after the order can no longer land.
    pub calls_after: Duration,
    /// From then on it is looked at this often, and under a guard as often as that is looked at.
    pub looks_every: Duration,
    /// This long after the call it is given up.
    pub gives_up_after: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { calls_after: CALLS_AFTER, looks_every: LOOKS_EVERY, gives_up_after: GIVES_UP_AFTER }
    }
}

impl Patience {
    /// The environment variable by which a rehearsal shortens it, for example `5s,2s,1d`.
    #[cfg(feature = "rehearsal")]
    const VARIABLE: &str = "RUNBOOKD_PATIENCE";

    /// What people are promised.
    #[cfg(not(feature = "rehearsal"))]
    pub fn of_this_build() -> Self {
        Self::default()
    }

    /// What people are promised, or what the environment says: nobody waits two minutes in a test.
    #[cfg(feature = "rehearsal")]
    pub fn of_this_build() -> Self {
        let said = std::env::var(Self::VARIABLE).unwrap_or_default();
        let spans: Vec<Duration> =
            said.split(',').filter_map(|span| span.parse::<runbook::time::Span>().ok()).map(|span| span.duration()).collect();
        match spans.as_slice() {
            [calls_after, looks_every, gives_up_after] => {
                Self { calls_after: *calls_after, looks_every: *looks_every, gives_up_after: *gives_up_after }
            }
            _ => Self::default(),
        }
    }
}

impl<W: World> Engine<W> {
    /// Looks until the order in doubt is known to have landed, until nothing can land any more, or until a person is to be called
    /// because neither can be seen. None when told to stop.
    pub(crate) async fn settle(&self, claim: &Claim, stop: &CancellationToken, eyes: &mut Eyes) -> anyhow::Result<Option<Event>> {
        let Some(attempt) = claim.incident.last_attempt() else { anyhow::bail!("in doubt without an order") };
        let order = &attempt.order;
        let look = order.settling_look();
        // From the call on, not from the act: after a long downtime it is looked at for as long as ever.
        let patient_until = match &attempt.unsettled {
            None => attempt.settles_from.plus(self.patience.calls_after),
            Some(unsettled) => unsettled.called.plus(self.patience.gives_up_after),
        };
        let (mut nap, longest) = match &attempt.unsettled {
            None => POLL,
            Some(_) => (self.patience.looks_every, self.patience.looks_every),
        };
        let mut blind_since: Option<Stamp> = None;
        let mut renewed = self.world.now();
        loop {
            let configuration = self.configuration();
            let asked = self.world.now();
            let finding = self.look_once(&configuration, &order.target, &look).await;
            let now = self.world.now();
            let verdict = attempt.verdict_on(&finding);
            blind_since = matches!(verdict, Verdict::Unknowable(_)).then(|| blind_since.unwrap_or(finding.at));
            let counts_from = attempt.counts_from(&verdict, &finding).unwrap_or(patient_until);
            // What a look saw before that may have changed while it took its time; only *landed* counts whenever it was seen.
            let seen = if matches!(verdict, Verdict::NotLanded(_) | Verdict::Partly(_)) { asked } else { now };
            if seen >= counts_from {
                return Ok(Some(match verdict {
                    Verdict::Unknowable(why) if attempt.unsettled.is_none() => {
                        let since = blind_since.unwrap_or(now);
                        tracing::warn!(incident = %claim.incident.id, why, "how an act ended cannot be seen: a person is called, and it is looked at further");
                        Event::Unsettled { since, why }
                    }
                    verdict => Event::Settled { verdict, finding },
                }));
            }
            let watched = if order.purpose == Purpose::Do { eyes.due_in(&claim.incident, now) } else { None };
            if watched == Some(Duration::ZERO)
                && let Some(harm) = self.glance(&claim.incident, eyes, &configuration).await
            {
                return Ok(Some(harm));
            }
            // What is watched keeps its own pace, also while it is looked at slowly.
            let watched = watched.and_then(|_| eyes.due_in(&claim.incident, now)).map(|due| due.max(POLL.1));
            let nap_now = nap.min(watched.unwrap_or(nap)).min(counts_from.since(now)).max(POLL.0);
            if nap_now > LEASE / 6 {
                // A lease that is nearly over would not outlive a long wait and the looks behind it.
                renewed = Stamp::default();
            }
            self.kept(claim, now, &mut renewed, "settling").await?;
            tokio::select! {
                () = stop.cancelled() => return Ok(None),
                () = self.world.wait(nap_now) => {}
            }
            nap = (nap * 2).min(longest);
        }
    }
}
