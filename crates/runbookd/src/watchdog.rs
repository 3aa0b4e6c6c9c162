//! The dead man's switch. An alert that always fires comes from Prometheus through Alertmanager; each time it arrives, an outside
//! address is asked, which calls people when that stops. Where the alert stops, runbookd tells people itself, in Slack, because
//! Alertmanager is what may be dead. So each link that is cut has somebody who notices: the outside address, or us.
//!
//! When it was heard last outlives the process, so a daemon that dies again and again still notices. Deliberately nothing where no
//! `watchdog:` is configured; `doctor` and `check --alertmanager` say so.

mod ping;

use std::sync::Arc;
use std::time::Duration;

use runbook::alert::{Alert, AlertStatus};
use runbook::text::{humanize_duration, inert};
use runbook::time::Stamp;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::WatchdogSettings;
use crate::daemon::{Current, Daemon};

/// What lasts is told again after this.
const AGAIN: Duration = Duration::from_secs(3_600);
/// After a start the alert is waited for at least so long, or for all of its time where that is shorter: it comes every minute.
const AT_LEAST: Duration = Duration::from_secs(180);
/// When it came last is written down at most so often.
const WRITTEN_EVERY: Duration = Duration::from_secs(10);
/// Under this name the journal remembers when it came last, or since when it is waited for.
const HEARD: &str = "watchdog_heard";
/// Under this one, when its silence was told last.
const TOLD: &str = "watchdog_told";

/// Whether an alert is the heartbeat: it is heard of here and by no runbook. Where nobody watches it, the label that the shipped one
/// has tells, so that it is no stray alert either.
pub fn is_heartbeat(settings: Option<&WatchdogSettings>, alert: &Alert) -> bool {
    match settings {
        Some(settings) => settings.alert == alert.name(),
        None => alert.labels.get("runbookd").is_some_and(|value| value == "heartbeat"),
    }
}

/// Whether it says that the chain is alive: its end says that Prometheus gave it up.
pub fn beats(alert: &Alert) -> bool {
    alert.status == AlertStatus::Firing
}

/// Watches until the daemon stops. A reload that leaves the watchdog's settings as they are begins nothing anew: who reloads every
/// other minute must not keep the silence from being told.
pub async fn run(daemon: Arc<Daemon>) {
    let mut follow = daemon.follow();
    loop {
        let settings = follow.borrow_and_update().settings.watchdog.clone();
        let watching = async {
            match &settings {
                Some(settings) => {
                    tokio::join!(ping::run(&daemon, settings), listen(&daemon, settings));
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = daemon.stop.cancelled() => return,
            () = watching => {}
            changed = others(&mut follow, &settings) => if changed.is_err() { return },
        }
    }
}

/// Waits for settings of the watchdog other than these.
async fn others(
    follow: &mut watch::Receiver<Arc<Current>>,
    settings: &Option<WatchdogSettings>,
) -> Result<(), watch::error::RecvError> {
    follow.wait_for(|current| current.settings.watchdog != *settings).await.map(drop)
}

/// What is known of the heartbeat.
struct Known {
    /// Without it since then, by the clock that does not jump.
    since: Instant,
    /// When it came last, or since when it is waited for.
    heard: Stamp,
    /// When that was written down.
    written: Option<Instant>,
    /// When its silence was told last.
    told: Option<Stamp>,
}

async fn listen(daemon: &Daemon, settings: &WatchdogSettings) {
    let mut pulse = daemon.pulse.subscribe();
    let mut known = None;
    let nap = (settings.silence_after.duration() / 20).clamp(Duration::from_millis(200), Duration::from_secs(15));
    loop {
        let beat = *pulse.borrow_and_update();
        if let Err(error) = step(daemon, settings, &mut known, beat).await {
            tracing::error!(
                error = format!("{error:#}"),
                "the watch over the heartbeat could not be written down; it is tried again"
            );
        }
        tokio::select! {
            () = tokio::time::sleep(nap) => {}
            _ = pulse.changed() => {}
        }
    }
}

async fn step(
    daemon: &Daemon,
    settings: &WatchdogSettings,
    known: &mut Option<Known>,
    beat: Option<Stamp>,
) -> anyhow::Result<()> {
    let now = daemon.clock.now();
    let known = match known {
        Some(known) => known,
        None => known.insert(begin(daemon, settings, now).await?),
    };
    if let Some(beat) = beat.filter(|beat| *beat > known.heard) {
        if known.told.is_some() {
            let words = format!(
                "The alert {} has reached runbookd again, after {} without it.",
                settings.alert,
                humanize_duration(now.since(known.heard))
            );
            tracing::info!("{words}");
            daemon.journal.notice("watchdog", &words, now).await?;
            daemon.journal.remember(TOLD, None).await?;
            known.told = None;
        }
        (known.heard, known.since) = (beat, Instant::now());
        if known.written.is_none_or(|written| written.elapsed() >= WRITTEN_EVERY) {
            daemon.journal.remember(HEARD, Some(beat)).await?;
            known.written = Some(Instant::now());
        }
        return Ok(());
    }
    let is_silent = known.since.elapsed() >= settings.silence_after.duration();
    if is_silent && known.told.is_none_or(|told| now.since(told) >= AGAIN) {
        let words = silence(settings, now.since(known.heard));
        tracing::error!("{words}");
        daemon.journal.notice("watchdog", &words, now).await?;
        daemon.journal.remember(TOLD, Some(now)).await?;
        known.told = Some(now);
    }
    Ok(())
}

/// Goes on where an earlier process stopped: its silence counts, but for a while in which the alert can come.
async fn begin(daemon: &Daemon, settings: &WatchdogSettings, now: Stamp) -> anyhow::Result<Known> {
    let heard = match daemon.journal.remembered(HEARD).await? {
        Some(heard) => heard,
        None => {
            daemon.journal.remember(HEARD, Some(now)).await?;
            now
        }
    };
    let after = settings.silence_after.duration();
    let without = now.since(heard).min(after.saturating_sub(AT_LEAST.min(after)));
    let since = Instant::now().checked_sub(without).unwrap_or_else(Instant::now);
    Ok(Known { since, heard, written: None, told: daemon.journal.remembered(TOLD).await? })
}

fn silence(settings: &WatchdogSettings, without: Duration) -> String {
    format!(
        "🔴 The alert {} has not reached runbookd for {}. Prometheus, Alertmanager or the way from there to here is cut: other alerts may not \
         arrive either, and people may not be paged. Look whether Prometheus fires it and Alertmanager has it, and at `runbookd doctor`.",
        inert(&settings.alert, 60),
        humanize_duration(without)
    )
}
