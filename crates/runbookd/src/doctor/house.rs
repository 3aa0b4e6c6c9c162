//! What is our own: the configuration on disk, the journal, its space, the clock, pauses, the last delivery. Deliberately tells a
//! pause as something to know and not as wrong: a person meant it.

use runbook::text::humanize_duration;

use super::Line;
use crate::daemon::{Current, Daemon};
use crate::{config, people};

/// With less room than this the journal may fill up before anybody looks.
const LEAST_BYTES: u64 = 200 << 20;

pub(super) async fn all(daemon: &Daemon, current: &Current) -> Vec<Line> {
    let mut lines = vec![configuration(daemon, current), clock(daemon), space(daemon), journal(daemon)];
    lines.push(last_delivery(daemon));
    lines.push(watchdog(daemon, current));
    lines.extend(approval(current).await);
    lines.extend(pauses(daemon).await);
    lines
}

/// What is on disk now, because the next start or reload will read it.
fn configuration(daemon: &Daemon, current: &Current) -> Line {
    let about = "configuration";
    match config::load(daemon.directory()) {
        Err(complaints) => Line::wrong(
            about,
            format!(
                "what is on disk now is wrong ({} errors); the one in force goes on, and the next start would fail: see `runbookd check`",
                complaints.count(config::Severity::Error)
            ),
        ),
        Ok(loaded) if loaded.configuration != *current.configuration => {
            Line::unknown(about, "what is on disk is not what is in force; `runbookd reload` puts it in force")
        }
        Ok(loaded) => {
            let found = config::against(&loaded, &[], None);
            let errors = found.count(config::Severity::Error);
            let warnings = loaded.notes.count(config::Severity::Warning) + found.count(config::Severity::Warning);
            let many = |count: usize, what: &str| if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") };
            let rest = match warnings {
                0 => String::new(),
                _ => format!(", with {} (see `runbookd check`)", many(warnings, "warning")),
            };
            let has = format!(
                "{}, {}",
                many(loaded.configuration.runbooks.len(), "runbook"),
                many(loaded.configuration.inventory.iter().count(), "target")
            );
            match errors {
                0 => Line::well(about, format!("{has}{rest}")),
                _ => Line::wrong(about, format!("{has}, in force with {} that `runbookd check` shows", many(errors, "error"))),
            }
        }
    }
}

/// Who notices when no alert comes any more.
fn watchdog(daemon: &Daemon, current: &Current) -> Line {
    let about = "watchdog";
    let Some(settings) = &current.settings.watchdog else {
        return Line::unknown(about, "nobody notices when alerts stop coming; add `watchdog:`");
    };
    let now = daemon.clock.now();
    let (beat, ping) = daemon.metrics.last_beat();
    let heard = match beat {
        None => return Line::unknown(about, format!("{} was not heard since the start", settings.alert)),
        Some(at) if now.since(at) >= settings.silence_after.duration() => {
            let since = humanize_duration(now.since(at));
            return Line::wrong(about, format!("{} was not heard for {since}: other alerts may not come either", settings.alert));
        }
        Some(at) => format!("{} was heard {} ago", settings.alert, humanize_duration(now.since(at))),
    };
    match (&settings.ping, ping) {
        (None, _) => Line::unknown(about, format!("{heard}; nobody outside notices when runbookd is gone: add `ping:`")),
        (Some(_), Some(at)) if now.since(at) < settings.silence_after.duration() => {
            Line::well(about, format!("{heard}, and the outside address answered {} ago", humanize_duration(now.since(at))))
        }
        (Some(_), _) => Line::wrong(about, format!("{heard}, and the outside address does not answer; see the log")),
    }
}

fn clock(daemon: &Daemon) -> Line {
    match daemon.clock.doubted_until() {
        None => Line::well("clock", "wall and monotonic time agree"),
        Some(until) => Line::wrong(
            "clock",
            format!("the wall clock jumped; nothing acts by itself before {until}; check the machine's time synchronisation"),
        ),
    }
}

fn space(daemon: &Daemon) -> Line {
    let directory = daemon.journal.directory();
    match rustix::fs::statvfs(directory) {
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let says = format!("{} MiB are free in {}", free >> 20, directory.display());
            if free < LEAST_BYTES {
                Line::wrong("space", format!("{says}; make room: a full disk answers deliveries with 503 and starts nothing"))
            } else {
                Line::well("space", says)
            }
        }
        Err(error) => Line::unknown("space", format!("how much room {} has cannot be told: {error}", directory.display())),
    }
}

fn journal(daemon: &Daemon) -> Line {
    match daemon.journal.trouble().borrow().as_ref() {
        None => Line::well("journal", "can be written"),
        Some(trouble) => Line::wrong("journal", format!("cannot be written: {trouble}")),
    }
}

fn last_delivery(daemon: &Daemon) -> Line {
    let (now, last) = (daemon.clock.now(), daemon.metrics.last_delivery());
    if let Some((count, at)) = daemon.metrics.wrong_tokens()
        && last.is_none_or(|last| last < at)
    {
        let ago = humanize_duration(now.since(at));
        let says = format!(
            "the last one was turned away {ago} ago, one of {count}: it showed no token, or a wrong one; give Alertmanager the content of {}",
            daemon.journal.directory().join(crate::token::WEBHOOK_TOKEN).display()
        );
        return Line::wrong("deliveries", says);
    }
    match last {
        Some(at) => {
            Line::well("deliveries", format!("the last one came {} ago", humanize_duration(daemon.clock.now().since(at))))
        }
        None => Line::unknown("deliveries", "none has come since the start; `runbookd fire` tries the way from the inbox on"),
    }
}

/// Whether those who agree can be told apart.
async fn approval(current: &Current) -> Vec<Line> {
    let about = "approval";
    if !current.configuration.approval.proves_names() {
        let says = "whoever holds the API's token may agree to a question, and names are taken as given: `approval: people:` proves them";
        return vec![Line::well(about, says)];
    }
    let faults = people::faults(&current.settings.people).await;
    if faults.is_empty() {
        let names: Vec<&str> = current.settings.people.keys().map(String::as_str).collect();
        return vec![Line::well(about, format!("each can be recognised: {}", names.join(", ")))];
    }
    faults.into_iter().map(|fault| Line::wrong(about, format!("{fault}; mend `approval: people:` or the token's file"))).collect()
}

async fn pauses(daemon: &Daemon) -> Vec<Line> {
    match daemon.journal.pauses(daemon.clock.now()).await {
        Ok(pauses) => pauses
            .into_iter()
            .map(|pause| {
                Line::well(
                    "pause",
                    format!("{} is paused: {} (by {}); nothing starts there", pause.scope, pause.reason, pause.by),
                )
            })
            .collect(),
        Err(error) => vec![Line::unknown("pause", format!("what is paused cannot be read: {error:#}"))],
    }
}
