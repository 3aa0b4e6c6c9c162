//! What is configured: targets, runbooks, what nothing matches; a look at a target now; loading the configuration anew.
//! Deliberately gives references to secrets only, because that is all that the configuration has.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use runbook::probe::Probe;
use runbook::target::TargetId;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::answer::{Problem, json as answer};
use super::{Answer, Api, parse};
use crate::commands::Eyes;
use crate::config;
use crate::daemon::{ReloadError, Reloaded};

/// How long a look may take that somebody waits for.
const LOOK_DEADLINE: Duration = Duration::from_secs(10);

pub(super) async fn targets(State(api): State<Api>) -> Answer {
    let current = api.daemon.current();
    let held = current.connections.held();
    let targets: Vec<Value> = current
        .configuration
        .inventory
        .iter()
        .map(|target| {
            let connections: Vec<Value> = held
                .iter()
                .filter(|holding| holding.target == target.id)
                .map(|holding| json!({"side": holding.side.to_string(), "trouble": holding.trouble.as_ref().map(ToString::to_string)}))
                .collect();
            json!({"target": target, "can_act": connect::can_act(&target.place), "connections": connections})
        })
        .collect();
    Ok(answer(&json!({"targets": targets})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    target: String,
    /// How to look; the usual way for its kind where nothing is said.
    probe: Option<Probe>,
}

pub(super) async fn look(State(api): State<Api>, body: Bytes) -> Answer {
    let wanted: Wanted = parse(&body)?;
    let id: TargetId = wanted.target.parse().map_err(|error: String| Problem::bad(error, "`runbookd targets` lists them"))?;
    let current = api.daemon.current();
    let inventory = &current.configuration.inventory;
    let Some(target) = inventory.get(&id) else {
        let all: Vec<String> = inventory.iter().map(|target| target.id.to_string()).collect();
        let meant = runbook::text::closest(&wanted.target, all.iter().map(String::as_str));
        let mend = meant.map_or_else(
            || "`runbookd targets` lists those there are".to_owned(),
            |meant| format!("`{meant}` was meant, perhaps"),
        );
        return Err(Problem::absent(format!("{id} is not in the inventory"), mend));
    };
    let probe = wanted.probe.unwrap_or_else(|| Probe::usual(id.kind));
    if probe.kind() != id.kind {
        return Err(Problem::bad(
            format!("{probe} looks at a {}, and {id} is none", probe.kind().word()),
            "leave `probe` out for the usual look",
        ));
    }
    let began = Instant::now();
    let clock = &api.daemon.clock;
    let finding = probe::look(current.connections.looking(), inventory, target, &probe, || clock.now(), LOOK_DEADLINE).await;
    api.daemon.metrics.looked(probe.name(), &finding, began.elapsed());
    Ok(answer(&json!({"finding": finding})))
}

/// The usual look at every target, as one round.
pub(super) async fn looks(State(api): State<Api>) -> Answer {
    let seen = Eyes::of(&api.daemon).all().await;
    for sight in &seen {
        api.daemon.metrics.looked(Probe::usual(sight.target.kind).name(), &sight.finding, sight.took);
    }
    Ok(answer(&json!({"targets": seen})))
}

pub(super) async fn runbooks(State(api): State<Api>) -> Answer {
    let current = api.daemon.current();
    let configuration = &current.configuration;
    let runbooks: Vec<_> = configuration.runbooks.values().collect();
    let now = api.daemon.clock.now();
    let ledger = api.daemon.journal.ledger();
    let mut standing = Vec::new();
    for runbook in &runbooks {
        let mut one =
            serde_json::to_value(policy::overview(runbook, configuration, &ledger, now)).map_err(anyhow::Error::from)?;
        one["paused"] = json!(api.daemon.journal.pause_for(&runbook.name, &[], now).await?.reason);
        standing.push(one);
    }
    let overall = ledger.breaker(None, &configuration.rules.breaker);
    Ok(answer(&json!({"hash": current.hash, "runbooks": runbooks, "standing": standing, "breaker": overall})))
}

pub(super) async fn unmatched(State(api): State<Api>) -> Answer {
    let names = api.daemon.journal.unmatched().await?;
    let names: Vec<Value> = names
        .into_iter()
        .map(|(name, times, last, why)| json!({"alertname": name, "times": times, "last": last, "why": why}))
        .collect();
    Ok(answer(&json!({"unmatched": names})))
}

pub(super) async fn reload(State(api): State<Api>) -> Answer {
    match api.daemon.reload().await {
        Ok(Reloaded { hash, outdated, wants_restart }) => {
            // What is clumsy may be in force; whoever reloads is told at once that it is.
            let loaded = config::load(api.daemon.directory()).ok();
            let errors = loaded.map_or(0, |loaded| config::against(&loaded, &[], None).count(config::Severity::Error));
            Ok(answer(&json!({"hash": hash, "errors": errors, "outdated": outdated, "wants_restart": wants_restart})))
        }
        Err(ReloadError::Store(error)) => Err(Problem::from(error)),
        Err(error @ ReloadError::Wrong(_)) => {
            let said = error.to_string();
            let ReloadError::Wrong(complaints) = error else { return Err(Problem::bad(said, "")) };
            let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, said, "`runbookd check` shows each mistake in its line");
            Err(problem.with_detail(complaints.to_json()))
        }
    }
}
