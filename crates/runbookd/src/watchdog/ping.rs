//! Asks the outside address whenever the heartbeat arrives: one GET, which is what Healthchecks.io and its like want. The address is
//! a secret, because whoever has it can keep the switch from firing; it is resolved each time and stands in no log and no error.
//! Deliberately silent while the heartbeat is: that silence is the message.

use std::time::Duration;

use runbook::target::SecretRef;
use runbook::text::{humanize_duration, inert};
use secrecy::ExposeSecret;
use tokio::time::Instant;

use crate::config::WatchdogSettings;
use crate::daemon::Daemon;

/// How long one try may take, the reading of the address included.
const WITHIN: Duration = Duration::from_secs(10);
/// The waits before a second and a third try.
const WAITS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];
/// What lasts is told again after this.
const AGAIN: Duration = Duration::from_secs(3_600);
/// Nothing in the answer is of interest.
const MOST_BYTES: usize = 1 << 10;

/// Pings for as long as it is let; for ever where there is no address.
pub(super) async fn run(daemon: &Daemon, settings: &WatchdogSettings) {
    let Some(address) = &settings.ping else { return std::future::pending().await };
    let mut pulse = daemon.pulse.subscribe();
    let (mut last, mut failing, mut told): (Option<Instant>, Option<Instant>, Option<Instant>) = (None, None, None);
    while pulse.changed().await.is_ok() {
        if last.is_some_and(|last| last.elapsed() < settings.every.duration()) {
            continue;
        }
        last = Some(Instant::now());
        let answered = ping(daemon, address).await;
        daemon.metrics.pinged(answered.is_ok(), daemon.clock.now());
        let words = match answered {
            Ok(()) => {
                failing = None;
                match told.take() {
                    Some(_) => "The outside address that watches runbookd answers again.".to_owned(),
                    None => continue,
                }
            }
            Err(why) => {
                let since = *failing.get_or_insert_with(Instant::now);
                tracing::error!(why, "the outside address that watches runbookd does not answer");
                let lasts = since.elapsed() >= settings.silence_after.duration();
                if !lasts || told.is_some_and(|told| told.elapsed() < AGAIN) {
                    continue;
                }
                told = Some(Instant::now());
                format!(
                    "🔴 The outside address that watches runbookd has not answered for {} ({why}): it may call people although all is well, and \
                     nobody outside notices when runbookd is gone. Look at `watchdog.ping` in runbookd.yaml and at the way out.",
                    humanize_duration(since.elapsed())
                )
            }
        };
        if let Err(error) = daemon.journal.notice("ping", &words, daemon.clock.now()).await {
            tracing::error!(error = format!("{error:#}"), "people could not be told of the outside address; it is tried again");
            told = None;
        }
    }
}

/// Up to three tries.
async fn ping(daemon: &Daemon, address: &SecretRef) -> Result<(), String> {
    let mut outcome = once(daemon, address).await;
    for wait in WAITS {
        if outcome.is_ok() {
            break;
        }
        tokio::time::sleep(wait).await;
        outcome = once(daemon, address).await;
    }
    outcome
}

async fn once(daemon: &Daemon, address: &SecretRef) -> Result<(), String> {
    let until = Instant::now() + WITHIN;
    let secret = connect::secret::resolve(address, WITHIN).await.map_err(|error| inert(&error.to_string(), 300))?;
    // The parser's error would repeat nothing of it, and neither is it asked to.
    let url =
        secret.expose_secret().trim().parse::<reqwest::Url>().map_err(|_| "what is kept as its address is no URL".to_owned())?;
    match daemon.telling.get(url, MOST_BYTES, until.saturating_duration_since(Instant::now())).await {
        Ok(answer) if (200..300).contains(&answer.status) => Ok(()),
        Ok(answer) => Err(format!("it answers {}", answer.status)),
        Err(error) => Err(inert(&format!("{error:#}"), 300)),
    }
}
