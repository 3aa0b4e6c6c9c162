//! The engine: a queue of (due, incident). It claims what is due, asks the fold what is next, does that, appends what came of
//! it, and gives the claim back. Recovery is not a second path: a restart enters here like every retry. One stuck incident
//! never starves others: each claim is a task of its own, and there are many. Deliberately no decision here; `policy` decides.

mod drive;
mod fault;
mod looks;
mod quieting;
mod settle;
mod verify;
mod watching;

use std::collections::{BTreeSet, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use journal::{Claimed, Journal};
use runbook::book::Configuration;
use runbook::finding::Finding;
use runbook::incident::{Event, Incident, IncidentId};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use settle::Patience;

use crate::world::World;

/// How long a claim is good for without being renewed.
pub(crate) const LEASE: Duration = Duration::from_secs(60);
/// How many incidents are worked on at once.
const AT_ONCE: usize = 256;
/// What took this much longer than it may was interrupted: the machine stood still, or its clock was set.
pub(crate) const STOOD_STILL: Duration = Duration::from_secs(5);
/// The longest sleep between two looks at the queue: a lost wake-up costs no more than this.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// What the engine needs; cheap to clone.
pub struct Engine<W> {
    pub(crate) journal: Journal,
    pub(crate) world: Arc<W>,
    pub(crate) current: watch::Receiver<Arc<Configuration>>,
    pub(crate) listener: Arc<dyn Listener>,
    pub(crate) patience: Patience,
    failures: Arc<Mutex<HashMap<IncidentId, Failures>>>,
    working: Working,
}

/// What the tasks of this process are working on. A lease proves that to others; after a machine that stood still every lease has run
/// out, and a second task would judge by a time in which nobody watched what the first one is in the middle of.
#[derive(Clone, Default)]
struct Working(Arc<Mutex<BTreeSet<IncidentId>>>);

impl Working {
    fn all(&self) -> BTreeSet<IncidentId> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn on(&self, id: IncidentId) -> WorkingOn {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        WorkingOn(self.clone(), id)
    }
}

/// For as long as this is kept.
struct WorkingOn(Working, IncidentId);

impl Drop for WorkingOn {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

/// What came of working on one incident, in a row.
#[derive(Clone, Copy, Default)]
struct Failures {
    /// Tries that failed, for whatever reason.
    tries: u32,
    /// Of these the last ones, for a fault of ours each.
    faults: u32,
}

/// Hears what the engine does, for metrics. Why a trait: the crash tests need none.
pub trait Listener: Send + Sync + 'static {
    /// A look was over.
    fn looked(&self, _probe: &'static str, _finding: &Finding, _took: Duration) {}
    /// An event was appended, and left the incident like this.
    fn happened(&self, _after: &Incident, _event: &Event) {}
}

/// Hears nothing.
pub struct Silent;
impl Listener for Silent {}

impl<W> Clone for Engine<W> {
    fn clone(&self) -> Self {
        Self {
            journal: self.journal.clone(),
            world: self.world.clone(),
            current: self.current.clone(),
            listener: self.listener.clone(),
            patience: self.patience,
            failures: self.failures.clone(),
            working: self.working.clone(),
        }
    }
}

impl<W: World> Engine<W> {
    /// An engine over this journal and world, under the configuration that is current at each moment.
    pub fn new(
        journal: Journal,
        world: Arc<W>,
        current: watch::Receiver<Arc<Configuration>>,
        listener: Arc<dyn Listener>,
    ) -> Self {
        Self {
            journal,
            world,
            current,
            listener,
            patience: Patience::default(),
            failures: Arc::default(),
            working: Working::default(),
        }
    }

    /// With another patience for what cannot be seen.
    #[must_use]
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    pub(crate) fn configuration(&self) -> Arc<Configuration> {
        self.current.borrow().clone()
    }

    /// Works until told to stop; then claims nothing more, and lets what runs finish for as long as `grace`. What is not
    /// finished by then is left in doubt, which is a state like any other.
    pub async fn run(&self, stop: CancellationToken, grace: Duration) {
        let tasks = TaskTracker::new();
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let mut changes = self.journal.changes();
        while !stop.is_cancelled() {
            let Ok(place) = places.clone().acquire_owned().await else { break };
            changes.borrow_and_update();
            match self.journal.claim_except(&self.working.all(), self.world.now(), LEASE).await {
                Ok(Claimed::Claim(claim)) => {
                    let engine = self.clone();
                    let stopping = stop.clone();
                    let working = self.working.on(claim.incident.id);
                    tasks.spawn(async move {
                        engine.work(*claim, working, &stopping).await;
                        drop(place);
                    });
                }
                Ok(Claimed::Unreadable { id, why }) => {
                    tracing::error!(incident = %id, why, "an incident cannot be read and was set aside; a person has to look at it");
                }
                Ok(Claimed::NothingBefore(due)) => {
                    drop(place);
                    let nap = due.map_or(HEARTBEAT, |due| due.since(self.world.now())).clamp(Duration::from_millis(1), HEARTBEAT);
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = self.world.wait(nap) => {}
                        _ = changes.changed() => {}
                    }
                }
                Err(error) => {
                    drop(place);
                    tracing::error!(
                        error = format!("{error:#}"),
                        "the journal cannot be read or written; trying again in a second"
                    );
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = self.world.wait(Duration::from_secs(1)) => {}
                    }
                }
            }
        }
        tasks.close();
        if tokio::time::timeout(grace, tasks.wait()).await.is_err() {
            tracing::warn!(
                grace_seconds = grace.as_secs(),
                "stopping with orders in doubt; the next start settles them by looking"
            );
        }
    }

    /// Works on the incident that has been due the longest, if one is: what the tests' virtual time drives.
    ///
    /// # Errors
    /// When the journal cannot be read or written.
    pub async fn work_on_one(&self) -> anyhow::Result<Claimed> {
        let claimed = self.journal.claim(self.world.now(), LEASE).await?;
        match claimed {
            Claimed::Claim(claim) => {
                let working = self.working.on(claim.incident.id);
                self.work(*claim, working, &CancellationToken::new()).await;
                Ok(Claimed::NothingBefore(Some(self.world.now())))
            }
            other => Ok(other),
        }
    }

    /// Works on one claim to its end or its next wait, and gives it back.
    async fn work(&self, mut claim: journal::Claim, working: WorkingOn, stop: &CancellationToken) {
        let id = claim.incident.id;
        // A panic is a fault of ours like any other: told, tried again later and later, and no other incident waits for it.
        let driven = AssertUnwindSafe(self.drive(&mut claim, stop)).catch_unwind().await;
        let due = match driven.unwrap_or_else(|_| Err(fault::Fault::Panicked.into())) {
            Ok(due) => {
                self.forget_failures(id);
                due
            }
            Err(error) => {
                let Failures { tries, faults } = self.count_failure(id, fault::is_ours(&error));
                let wait = Duration::from_secs(1 << tries.min(8));
                tracing::error!(incident = %id, error = format!("{error:#}"), retry_seconds = wait.as_secs(), "working on an incident failed; it comes due again");
                let over = self.handed_over_for(&mut claim, faults, &error).await;
                Some(if over { self.world.now() } else { self.world.now().plus(wait) })
            }
        };
        // Before the others are told of the release, or they would pass it over.
        drop(working);
        if let Err(error) = self.journal.release(claim, due).await {
            tracing::error!(incident = %id, error = format!("{error:#}"), "a claim could not be given back; its lease runs out by itself");
        }
    }

    fn count_failure(&self, id: IncidentId, ours: bool) -> Failures {
        self.failures.lock().map_or(Failures { tries: 1, faults: 0 }, |mut failures| {
            let count = failures.entry(id).or_default();
            count.tries += 1;
            count.faults = if ours { count.faults + 1 } else { 0 };
            *count
        })
    }

    fn forget_failures(&self, id: IncidentId) {
        if let Ok(mut failures) = self.failures.lock() {
            failures.remove(&id);
        }
    }
}
