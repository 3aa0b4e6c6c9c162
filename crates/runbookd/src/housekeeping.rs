//! What the daemon does for itself: once an hour it takes from the journal what is older or more than the configuration keeps.
//! Deliberately not at the start: a machine that comes back after a crash has more urgent things to do. Whether the journal
//! can be written is tried by the door, because `/readyz` speaks of it; replaced tokens and certificates are its matter too.

use std::sync::Arc;
use std::time::Duration;

use journal::{Pruned, Retention};
use runbook::time::Span;

use crate::config::DaemonSettings;
use crate::daemon::Daemon;

/// How often the journal is pruned.
const EVERY: Duration = Duration::from_secs(3600);

/// Keeps house until the daemon stops.
pub async fn run(daemon: Arc<Daemon>) {
    loop {
        tokio::select! {
            () = daemon.stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        match prune(&daemon).await {
            Ok(pruned) if pruned.incidents > 0 || pruned.evidence > 0 => {
                tracing::info!(
                    incidents = pruned.incidents,
                    evidence = pruned.evidence,
                    journal_bytes = pruned.bytes,
                    "took what is too old or too much out of the journal"
                );
            }
            Ok(_) => {}
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "the journal could not be pruned; it is tried again in an hour")
            }
        }
    }
}

/// Takes what the configuration in force no longer keeps.
///
/// # Errors
/// When the journal cannot be written.
pub async fn prune(daemon: &Daemon) -> anyhow::Result<Pruned> {
    daemon.journal.prune(retention(&daemon.current().settings), daemon.clock.now()).await
}

/// How much is kept: what the configuration says, and the journal's own measure where it says nothing.
pub fn retention(settings: &DaemonSettings) -> Retention {
    let usual = Retention::default();
    Retention {
        age: settings.retention.age.map_or(usual.age, Span::duration),
        bytes: settings.retention.size.unwrap_or(usual.bytes),
    }
}
