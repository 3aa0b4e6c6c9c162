//! From the inbox to incidents: stored deliveries are read, each alert is routed by policy, and what follows is written in one
//! transaction with the row's end. A crash in between routes it again. Deliberately apart from the door: nobody waits for this.

use std::sync::Arc;
use std::time::Duration;

use journal::{Chosen, Heard, HeardOutcome};
use policy::route;
use runbook::alert::Alert;
use runbook::book::Configuration;
use tokio::time::Instant;

use crate::daemon::Daemon;
use crate::world::Point;
use crate::{killpoint, watchdog, wire};

/// Rows that are read at once.
const PORTION: u32 = 64;
/// Alerts that share a transaction; the writer is not held for longer than they take.
const TOGETHER: usize = 512;
/// From the beginning of one portion to the next. A delivery that comes alone is routed at once; in a storm this leaves the
/// writer to the door, and more deliveries share each transaction.
const PACE: Duration = Duration::from_millis(10);
/// The longest sleep when nothing seems to be there.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Routes until the daemon stops.
pub async fn run(daemon: Arc<Daemon>) {
    let mut arrivals = daemon.journal.arrivals();
    while !daemon.stop.is_cancelled() {
        arrivals.borrow_and_update();
        let began = Instant::now();
        match route_waiting(&daemon).await {
            Ok(0) => tokio::select! {
                () = daemon.stop.cancelled() => {}
                () = tokio::time::sleep(HEARTBEAT) => {}
                _ = arrivals.changed() => {}
            },
            Ok(_) => tokio::time::sleep_until(began + PACE).await,
            Err(error) => {
                tracing::error!(
                    error = format!("{error:#}"),
                    "deliveries could not be routed; they stay in the inbox and are tried again"
                );
                tokio::select! {
                    () = daemon.stop.cancelled() => {}
                    () = tokio::time::sleep(Duration::from_secs(1)) => {}
                }
            }
        }
    }
}

/// Routes one portion of what waits; gives how many rows it took.
///
/// # Errors
/// When the journal cannot be read or written; what was not written stays in the inbox.
pub async fn route_waiting(daemon: &Daemon) -> anyhow::Result<usize> {
    let rows = daemon.journal.deliveries(PORTION).await?;
    let configuration = daemon.current().configuration.clone();
    let mut heard = Vec::new();
    let mut unknown_status = 0;
    let mut beats = false;
    for (at, row) in rows.iter().enumerate() {
        for body in &row.bodies {
            let read = read(daemon, &configuration, body, &mut heard);
            unknown_status += read.unknown_status;
            beats |= read.beats;
        }
        if heard.len() >= TOGETHER || at + 1 == rows.len() {
            killpoint::pass(Point::BeforeAppend("opened"));
            let outcome = daemon.journal.hear(&heard, Some(row.id), daemon.clock.now()).await?;
            killpoint::pass(Point::AfterAppend("opened"));
            note(daemon, &outcome, unknown_status);
            if beats {
                let now = daemon.clock.now();
                daemon.metrics.beat(now);
                daemon.pulse.send_replace(Some(now));
            }
            heard.clear();
            (unknown_status, beats) = (0, false);
        }
    }
    Ok(rows.len())
}

/// What a delivery has besides alerts for runbooks.
#[derive(Default)]
struct Read {
    /// How many of its alerts had a status that nobody knows.
    unknown_status: u64,
    /// The heartbeat was among them.
    beats: bool,
}

/// Reads a stored delivery into what is heard.
fn read(daemon: &Daemon, configuration: &Configuration, body: &[u8], heard: &mut Vec<Heard>) -> Read {
    match wire::read(body) {
        Ok(payload) => {
            if payload.truncated > 0 {
                tracing::warn!(
                    truncated = payload.truncated,
                    "alerts were left out of a delivery; set max_alerts: 0 in Alertmanager. They are asked for at the next reconciliation"
                );
                daemon.reconcile_soon.notify_one();
            }
            let current = daemon.current();
            let is_heartbeat = |alert: &Alert| watchdog::is_heartbeat(current.settings.watchdog.as_ref(), alert);
            let (heartbeats, alerts): (Vec<Alert>, Vec<Alert>) = payload.alerts.into_iter().partition(is_heartbeat);
            heard.extend(alerts.into_iter().map(|alert| hear(configuration, alert)));
            Read { unknown_status: payload.unknown_status, beats: heartbeats.iter().any(watchdog::beats) }
        }
        // It was read before it was stored, so this is another release's doing. Nothing is lost: the sender repeats.
        Err(error) => {
            tracing::error!(%error, "a stored delivery cannot be read and is dropped; its sender sends it again");
            Read::default()
        }
    }
}

/// An alert with what routing says of it.
pub fn hear(configuration: &Configuration, alert: Alert) -> Heard {
    let routing = route(configuration, &alert.labels);
    let chosen = match routing.chosen {
        Some((runbook, target)) => Ok(Chosen { runbook: runbook.name.clone(), target }),
        None => Err(match routing.refused.first() {
            Some((runbook, why)) => format!("{runbook}: {why}"),
            None => "no runbook matches".to_owned(),
        }),
    };
    Heard { alert, chosen }
}

/// Counts and says what came of it.
pub fn note(daemon: &Daemon, outcome: &HeardOutcome, unknown_status: u64) {
    daemon.metrics.heard(outcome, unknown_status);
    if outcome.unmatched > 0 {
        tracing::info!(alerts = outcome.unmatched, "no runbook is for some alerts; `runbookd unmatched` lists them");
    }
    for id in &outcome.opened {
        tracing::info!(incident = %id, "opens an incident");
    }
}
