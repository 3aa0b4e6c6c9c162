//! From the inbox to incidents: stored deliveries are read, each alert is routed by policy, and what follows is written in one
//! transaction with the row's end. A crash in between routes it again. Deliberately apart from the door: nobody waits for this.

use std::sync::Arc;
use std::time::Duration;

use journal::{Chosen, Heard, HeardOutcome};
use policy::route;
use runbook::alert::Alert;
use runbook::book::Configuration;

use crate::daemon::Daemon;
use crate::wire;

/// Rows that are read at once.
const PORTION: u32 = 8;
/// The longest sleep when nothing seems to be there.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Routes until the daemon stops.
pub async fn run(daemon: Arc<Daemon>) {
    let mut changes = daemon.journal.changes();
    while !daemon.stop.is_cancelled() {
        changes.borrow_and_update();
        match route_waiting(&daemon).await {
            Ok(0) => tokio::select! {
                () = daemon.stop.cancelled() => {}
                () = tokio::time::sleep(HEARTBEAT) => {}
                _ = changes.changed() => {}
            },
            Ok(_) => {}
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "deliveries could not be routed; they stay in the inbox and are tried again");
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
    for row in &rows {
        let configuration = daemon.current().configuration.clone();
        let mut heard = Vec::new();
        let mut unknown_status = 0;
        for body in &row.bodies {
            match wire::read(body) {
                Ok(payload) => {
                    unknown_status += payload.unknown_status;
                    if payload.truncated > 0 {
                        tracing::warn!(
                            truncated = payload.truncated,
                            "alerts were left out of a delivery; set max_alerts: 0 in Alertmanager. They are asked for at the next reconciliation"
                        );
                        daemon.reconcile_soon.notify_one();
                    }
                    heard.extend(payload.alerts.into_iter().map(|alert| hear(&configuration, alert)));
                }
                // It was read before it was stored, so this is another release's doing. Nothing is lost: the sender repeats.
                Err(error) => tracing::error!(%error, "a stored delivery cannot be read and is dropped; its sender sends it again"),
            }
        }
        let outcome = daemon.journal.hear(&heard, Some(row.id), daemon.clock.now()).await?;
        note(daemon, &outcome, unknown_status);
    }
    Ok(rows.len())
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
    for id in &outcome.opened {
        tracing::info!(incident = %id, "opens an incident");
    }
}
