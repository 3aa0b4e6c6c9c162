//! Calls people for what runbookd gave up: each such incident is an alert of runbookd's own, `RunbookdGaveUp`, at every configured
//! Alertmanager, and stays one until a person notes something to the incident, its alerts are over, or a day has passed. So is one
//! of which nobody can see how its act ended, until somebody can, or has noted it. Why not wait for the page that Alertmanager holds
//! back: runbookd knows now that it will not cure this. What is to be raised is asked of the journal each time, so a crash loses
//! nothing; each Alertmanager is told apart from the others, so one that hangs holds up none. Deliberately no say in who is called
//! and how: Alertmanager's routes have it.

mod call;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use journal::GivenUp;
use runbook::incident::IncidentId;
use runbook::text::inert;
use serde_json::Value;
use tokio::time::Instant;

use call::is_same_call;
pub use call::{ALERT, call};

use crate::config::AlertmanagerSettings;
use crate::daemon::Daemon;
use crate::reconcile::proof;

/// Nobody is called for longer than this for one incident: who has not come in a day does not come for this alert.
pub const FOR_AT_MOST: Duration = Duration::from_secs(86_400);
/// What is raised is sent again after this, as Prometheus does: an Alertmanager that was started anew knows of nothing.
const AGAIN: Duration = Duration::from_secs(60);
/// Between two looks at the journal, however much happens.
const PACE: Duration = Duration::from_millis(100);
/// How long one Alertmanager may take.
const WITHIN: Duration = Duration::from_secs(10);
/// The longest wait between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Enough of an answer to say why it refuses.
const MOST_BYTES: usize = 4 << 10;

/// Calls until the daemon stops. A reload begins anew: what is raised is still raised.
pub async fn run(daemon: Arc<Daemon>) {
    let mut follow = daemon.follow();
    loop {
        let current = follow.borrow_and_update().clone();
        let calling = current.settings.alertmanagers.iter().filter(|settings| settings.calls_people);
        let all = join_all(calling.map(|settings| keep_calling(&daemon, settings)));
        tokio::select! {
            () = daemon.stop.cancelled() => return,
            _ = all => {}
            changed = follow.changed() => if changed.is_err() { return },
        }
        // Without any to call, `all` is over at once, and there is nothing to do before the next configuration.
        if !current.settings.alertmanagers.iter().any(|settings| settings.calls_people) {
            tokio::select! {
                () = daemon.stop.cancelled() => return,
                changed = follow.changed() => if changed.is_err() { return },
            }
        }
    }
}

/// What one Alertmanager was told, and how it goes.
#[derive(Default)]
struct Told {
    /// What it took last, as it was given up.
    raised: BTreeMap<IncidentId, GivenUp>,
    /// When it is told again, whatever happens; none where it was never told anything.
    again: Option<Instant>,
    /// How often in a row it did not take it.
    failures: u32,
}

async fn keep_calling(daemon: &Daemon, settings: &AlertmanagerSettings) {
    let mut changes = daemon.journal.changes();
    let mut told = Told::default();
    loop {
        changes.borrow_and_update();
        if let Err(error) = tell(daemon, settings, &mut told).await {
            tracing::error!(
                error = format!("{error:#}"),
                "what was given up cannot be read, so nobody is called for it; it is tried again"
            );
        }
        let earliest = Instant::now() + PACE;
        let due = told.again.unwrap_or_else(|| Instant::now() + AGAIN).max(earliest);
        if told.failures > 0 {
            // News do not make it answer sooner.
            tokio::time::sleep_until(due).await;
            continue;
        }
        tokio::select! {
            () = tokio::time::sleep_until(due) => {}
            _ = changes.changed() => tokio::time::sleep_until(earliest).await,
        }
    }
}

/// Tells one Alertmanager what is given up now and what is no more, where that is news or due.
async fn tell(daemon: &Daemon, settings: &AlertmanagerSettings, told: &mut Told) -> anyhow::Result<()> {
    let now = daemon.clock.now();
    let raised: BTreeMap<IncidentId, GivenUp> =
        daemon.journal.given_up(now.minus(FOR_AT_MOST)).await?.into_iter().map(|one| (one.incident, one)).collect();
    let current = daemon.current();
    let inventory = &current.configuration.inventory;
    let over: Vec<&GivenUp> = told
        .raised
        .values()
        .filter(|one| raised.get(&one.incident).is_none_or(|now| !is_same_call(one, now, inventory)))
        .collect();
    let is_news =
        !over.is_empty() || raised.values().any(|one| told.raised.get(&one.incident).is_none_or(|old| old.how != one.how));
    let is_due = told.again.is_none_or(|again| Instant::now() >= again);
    if raised.is_empty() && over.is_empty() || !is_news && !is_due {
        if raised.is_empty() && over.is_empty() {
            // Nothing is left to be told, so nothing is to be waited for when something comes.
            (told.again, told.failures) = (None, 0);
        }
        return Ok(());
    }
    let calls: Vec<Value> = raised
        .values()
        .map(|one| call(one, inventory, now.plus(call::STAYS)))
        .chain(over.into_iter().map(|one| call(one, inventory, now)))
        .collect();
    let sent = send(daemon, settings, &Value::from(calls)).await;
    daemon.metrics.called(&settings.url, sent.is_ok());
    match sent {
        Ok(()) => {
            for id in raised.keys().filter(|id| !told.raised.contains_key(id)) {
                tracing::warn!(incident = %id, alertmanager = settings.url, "a person has to go on: Alertmanager was told to call one");
            }
            if told.failures > 0 {
                tracing::info!(alertmanager = settings.url, "Alertmanager takes the call for a person again");
            }
            *told = Told { raised, again: Some(Instant::now() + AGAIN), failures: 0 };
        }
        Err(why) => {
            let wait = Duration::from_secs(1 << told.failures.min(5)).min(LONGEST_WAIT);
            told.failures = told.failures.saturating_add(1);
            told.again = Some(Instant::now() + wait);
            tracing::error!(
                alertmanager = settings.url,
                incidents = raised.len(),
                why,
                again_in_seconds = wait.as_secs(),
                "Alertmanager does not take the call for a person"
            );
        }
    }
    Ok(())
}

async fn send(daemon: &Daemon, settings: &AlertmanagerSettings, calls: &Value) -> Result<(), String> {
    let base: reqwest::Url = settings.url.parse().map_err(|error| format!("its address is no URL: {error}"))?;
    let url = connect::http::below(&base, &["api", "v2", "alerts"]).map_err(|error| format!("{error:#}"))?;
    let answer = daemon.telling.post(url, calls, proof(settings), MOST_BYTES, WITHIN).await;
    match answer {
        Ok(answer) if answer.status == 200 => Ok(()),
        Ok(answer) => Err(format!("it answers {}: {}", answer.status, answer.words())),
        Err(error) => Err(inert(&format!("{error:#}"), 300)),
    }
}
