//! What still fires, asked of Alertmanager itself: deliveries can be lost (downtime, truncation), and a silence or an end that
//! came while muted is never delivered at all. Every round reads what the journal knows first and the Alertmanagers second, so
//! that nothing delivered in between looks absent; [`plan()`] decides what follows, and is pure. Deliberately weak: it can start
//! what a delivery could have started, and it can stop; an absence never closes anything that has acted, and never cures.

mod ask;
mod plan;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use journal::Heard;
use runbook::alert::{Alert, AlertStatus, Fingerprint, Labels};
use runbook::incident::{Event, Incident, IncidentId, Trigger};
use tokio::time::Instant;

pub(crate) use ask::{Apart, apart, is_in_force, lacks, proof};
pub use ask::{Neighbour, neighbour};
pub use plan::{Known, Plan, Said, Stop, UP_FOR, plan};

use crate::daemon::Daemon;
use crate::routing;

/// What the `generatorURL` of an alert begins with that was fired by hand: Alertmanager never had it, so that it lacks it later
/// means nothing.
pub const BY_HAND: &str = "runbookd:by-hand";

/// From one round to the next.
const EVERY: Duration = Duration::from_secs(30);
/// However often a round is asked for, this much lies in between.
const AT_LEAST: Duration = Duration::from_secs(5);
/// After the start the inbox goes first.
const FIRST: Duration = Duration::from_secs(2);

/// What one round leaves to the next.
#[derive(Default)]
pub struct Memory {
    /// Alerts that were absent, and are over when they are absent again.
    missing: BTreeSet<Fingerprint>,
    /// Whether each Alertmanager answered, so that a change is told once.
    reachable: BTreeMap<String, bool>,
}

/// Reconciles until the daemon stops.
pub async fn run(daemon: Arc<Daemon>) {
    let mut memory = Memory::default();
    let mut due = Instant::now() + FIRST;
    let mut last = Instant::now();
    loop {
        tokio::select! {
            () = daemon.stop.cancelled() => return,
            () = tokio::time::sleep_until(due) => {}
            () = daemon.reconcile_soon.notified() => {
                let earliest = last + AT_LEAST;
                tokio::select! {
                    () = daemon.stop.cancelled() => return,
                    () = tokio::time::sleep_until(earliest) => {}
                }
            }
        }
        if let Err(error) = round(&daemon, &mut memory).await {
            tracing::error!(error = format!("{error:#}"), "what still fires could not be reconciled; it is tried again");
        }
        last = Instant::now();
        due = last + EVERY;
    }
}

/// One round: read, ask, plan, write down what follows.
///
/// # Errors
/// When the journal cannot be read or written. An Alertmanager that does not answer is no error: nothing starts, nothing ends.
pub async fn round(daemon: &Daemon, memory: &mut Memory) -> anyhow::Result<Plan> {
    let current = daemon.current();
    if current.settings.alertmanagers.is_empty() {
        return Ok(Plan::default());
    }
    let known = daemon
        .journal
        .open_alerts()
        .await?
        .into_iter()
        .filter_map(|(incident, fingerprint, _)| Some(Known { incident, fingerprint: fingerprint.parse().ok()? }));
    let mut known: Vec<Known> = known.collect();
    // People are called for what was given up, until its alerts are over; whether they are is asked in the same breath.
    let since = daemon.clock.now().minus(crate::giving_up::FOR_AT_MOST);
    let given_up = daemon.journal.given_up_alerts(since).await?.into_iter();
    known.extend(given_up.filter_map(|(incident, fingerprint)| Some(Known { incident, fingerprint: fingerprint.parse().ok()? })));
    let said = ask::all(&current).await;
    for one in &said {
        tell_reachable(daemon, memory, one);
    }
    let plan = plan(&said, &known, &memory.missing, daemon.clock.now());
    memory.missing = plan.missing.clone();
    for stop in &plan.stop {
        stopped(daemon, stop).await?;
    }
    let mut heard = over(daemon, &plan).await?;
    heard.extend(never_delivered(daemon, &plan).await?);
    if !heard.is_empty() {
        let outcome = daemon.journal.hear(&heard, None, daemon.clock.now()).await?;
        routing::note(daemon, &outcome, 0);
    }
    Ok(plan)
}

fn tell_reachable(daemon: &Daemon, memory: &mut Memory, said: &Said) {
    let reachable = said.listed.is_ok();
    daemon.metrics.alertmanager(&said.url, reachable);
    let before = memory.reachable.insert(said.url.clone(), reachable);
    match &said.listed {
        Err(why) if before != Some(false) => {
            tracing::warn!(
                alertmanager = said.url,
                why,
                "Alertmanager cannot be asked what fires: unknown, so nothing starts and nothing ends by it"
            );
        }
        Ok(_) if before == Some(false) => tracing::info!(alertmanager = said.url, "Alertmanager can be asked again"),
        _ => {}
    }
}

/// An alert of an open incident is silenced: a person's word, unless it was silenced by ourselves for what a step raises.
async fn stopped(daemon: &Daemon, stop: &Stop) -> anyhow::Result<()> {
    let Some(incident) = load(daemon, stop.incident).await else { return Ok(()) };
    if incident.stopped.is_some() || incident.is_closed() {
        return Ok(());
    }
    let current = daemon.current();
    let mut persons = None;
    for silence in &stop.silences {
        if let ask::Maker::Person(who) = ask::silence(&current, &stop.url, silence).await {
            persons = Some(who);
            break;
        }
    }
    let Some(who) = persons else { return Ok(()) };
    let name = incident.alerts.get(&stop.fingerprint).map_or("its alert", |alert| alert.name.as_str());
    let why = format!("{} is silenced in Alertmanager{who}", runbook::text::inert(name, 100));
    match daemon.journal.append_from_outside(stop.incident, daemon.clock.now(), &Event::Stopped { why: why.clone() }).await {
        Ok(_) => tracing::info!(incident = %stop.incident, why, "a person stopped it"),
        // It closed in between; then there is nothing to stop.
        Err(journal::AppendError::Illegal(_)) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Alerts that every Alertmanager lacks, of incidents that have not acted.
async fn over(daemon: &Daemon, plan: &Plan) -> anyhow::Result<Vec<Heard>> {
    let mut heard = Vec::new();
    for known in &plan.over {
        let Some(incident) = load(daemon, known.incident).await else { continue };
        if incident.is_closed() {
            daemon.journal.call_off(known.incident, known.fingerprint).await?;
            continue;
        }
        let by_hand = matches!(&incident.trigger, Trigger::Alert(alert) if alert.fingerprint == known.fingerprint && alert.generator_url.starts_with(BY_HAND));
        if by_hand || !incident.attempts.is_empty() {
            continue;
        }
        let Some(joined) = incident.alerts.get(&known.fingerprint) else { continue };
        tracing::info!(incident = %known.incident, "no Alertmanager has its alert any more; nothing was done yet, so it counts as over");
        let alert = Alert {
            fingerprint: known.fingerprint,
            status: AlertStatus::Resolved,
            labels: Labels::from([("alertname".to_owned(), joined.name.clone())]),
            annotations: Labels::new(),
            starts_at: joined.starts_at,
            generator_url: String::new(),
        };
        heard.push(Heard { alert, chosen: Err("no Alertmanager has it any more".to_owned()) });
    }
    Ok(heard)
}

/// Alerts that a runbook is for and that no delivery brought. Those that no runbook is for are left to deliveries: counting them
/// every round would say nothing.
async fn never_delivered(daemon: &Daemon, plan: &Plan) -> anyhow::Result<Vec<Heard>> {
    let configuration = daemon.current().configuration.clone();
    let mut heard = Vec::new();
    for alert in &plan.hear {
        let one = routing::hear(&configuration, alert.clone());
        if one.chosen.is_ok() && !daemon.journal.has_heard(alert.fingerprint, alert.starts_at).await? {
            tracing::info!(alert = %runbook::text::inert(alert.name(), 100), fingerprint = %alert.fingerprint, "fires and was never delivered: heard from Alertmanager itself");
            heard.push(one);
        }
    }
    Ok(heard)
}

async fn load(daemon: &Daemon, id: IncidentId) -> Option<Incident> {
    match daemon.journal.load(id).await {
        Ok(incident) => Some(incident),
        Err(error) => {
            tracing::debug!(incident = %id, error = format!("{error:#}"), "left alone, because it cannot be read");
            None
        }
    }
}
