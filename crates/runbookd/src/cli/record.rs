//! What only reads the record: incidents, explanations, the journal's check and backup. Reads the journal itself, beside a running
//! daemon or after it died, and never writes to it; only `prune` does, through the daemon, or with its lock where none runs.

use std::path::Path;

use anyhow::Context;
use journal::{Filter, Journal, Recorded};
use report::terminal;
use report::{Manner, final_report};
use runbook::incident::{Event, Incident, IncidentId};
use runbook::text::inert;
use runbook::time::Stamp;
use serde_json::{Value, json};

use super::args::{self, Listing};
use super::client::Client;
use super::failure::Failure;
use super::place::Place;
use super::show;
use crate::clock::Clock;
use crate::commands::explained;
use crate::{config, housekeeping};

pub(super) async fn incidents(
    client: &Client,
    what: Option<args::Incidents>,
    listing: &Listing,
    json: bool,
) -> Result<(), Failure> {
    let journal = open(client.state()).await?;
    match what {
        Some(args::Incidents::Show { id }) => one(&journal, id, json).await,
        Some(args::Incidents::List(listing)) => list(&journal, &listing, json).await,
        None => list(&journal, listing, json).await,
    }
}

async fn list(journal: &Journal, listing: &Listing, json: bool) -> Result<(), Failure> {
    let summaries = journal.incidents(Filter { open_only: listing.open, most: listing.most }).await?;
    if json {
        return show::json(&json!({"incidents": summaries}));
    }
    let mut lines = Vec::new();
    for one in summaries {
        let state = match one.stage.as_str() {
            "in_doubt" => acting_or_in_doubt(journal, one.id).await,
            _ => one.stage,
        };
        lines.push(terminal::Summary {
            id: one.id,
            runbook: one.runbook,
            target: one.target,
            why: one.unreadable.map_or(one.why, |why| format!("cannot be read by this release: {why}")),
            state,
            opened: one.opened,
            last: one.updated,
        });
    }
    show::text(&terminal::list(&lines))
}

/// Before an act's deadline nothing is in doubt to a person: the call is under way.
async fn acting_or_in_doubt(journal: &Journal, id: IncidentId) -> String {
    let incident = journal.load(id).await.ok();
    let deadline = incident.as_ref().and_then(Incident::last_attempt).map(|attempt| attempt.deadline);
    (if deadline.is_some_and(|deadline| Clock::new().now() <= deadline) { "acting" } else { "in doubt" }).to_owned()
}

async fn one(journal: &Journal, id: IncidentId, json: bool) -> Result<(), Failure> {
    let (incident, events) = load(journal, id).await?;
    if json {
        let summary = journal.summary(id).await?;
        let evidence: Vec<Value> = journal
            .evidence_of(id)
            .await?
            .into_iter()
            .map(|(name, hash, bytes)| json!({"name": name, "hash": hash, "bytes": bytes}))
            .collect();
        let events: Vec<Value> = journal.events(id).await?.iter().map(written).collect();
        let report = final_report(&incident, &pairs(journal, id).await?, &Manner::default()).json()?;
        return show::json(&json!({"incident": summary, "report": report, "events": events, "evidence": evidence}));
    }
    let mut text = terminal::show(&incident, &events, &Manner::default());
    let kept = journal.evidence_of(id).await?;
    if !kept.is_empty() {
        text.push_str("\nEvidence (`runbookd evidence HASH` prints a piece)\n");
    }
    for (name, hash, bytes) in kept {
        let size = bytes.map_or_else(|| "taken by retention".to_owned(), |bytes| format!("{bytes} bytes"));
        text.push_str(&format!("  {hash}  {}, {size}\n", inert(&name, 200)));
    }
    show::text(&text)
}

/// Prints a piece of evidence: as it was kept where a program reads it, and with nothing that steers on a terminal.
pub(super) async fn evidence(client: &Client, hash: &str) -> Result<(), Failure> {
    let hash = hash.trim().to_ascii_lowercase();
    let mend = "`runbookd incidents show INC-NUMBER` lists an incident's evidence";
    if hash.len() != 64 || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Failure::usage("evidence is named by 64 hexadecimal digits", mend));
    }
    let Some(body) = open(client.state()).await?.evidence(&hash).await? else {
        return Err(Failure::failed("there is no such evidence: it was never kept, or retention took it", mend));
    };
    show::kept(&body)
}

/// Alerts that no runbook is for, the most frequent first.
pub(super) async fn unmatched(client: &Client, json: bool) -> Result<(), Failure> {
    let names = open(client.state()).await?.unmatched().await?;
    if json {
        let names: Vec<Value> = names
            .iter()
            .map(|(name, times, last, why)| json!({"alertname": name, "times": times, "last": last, "why": why}))
            .collect();
        return show::json(&json!({"unmatched": names}));
    }
    if names.is_empty() {
        return show::text("No alert has come that no runbook is for.");
    }
    let row = |(name, times, last, why): &(String, u64, Stamp, String)| {
        vec![inert(name, 100), times.to_string(), last.to_string(), inert(why, 200)]
    };
    show::text(&show::table(&["ALERT", "TIMES", "LAST", "WHY"], &names.iter().map(row).collect::<Vec<_>>()))
}

fn written(recorded: &Recorded) -> Value {
    json!({"seq": recorded.seq, "at": recorded.at, "kind": recorded.event.kind(), "event": recorded.event})
}

pub(super) async fn explain(client: &Client, id: IncidentId, json: bool) -> Result<(), Failure> {
    let journal = open(client.state()).await?;
    let (incident, events) = load(&journal, id).await?;
    let recorded = journal.events(id).await?;
    let in_force = explained::in_force(&journal, &incident.runbook.name, &recorded).await;
    if !json {
        return show::text(&terminal::explain(&incident, &events, &in_force, &Manner::default()));
    }
    let decisions = explained::decisions(&recorded);
    show::json(&json!({"incident": journal.summary(id).await?, "decisions": decisions, "in_force": in_force}))
}

async fn load(journal: &Journal, id: IncidentId) -> Result<(Incident, Vec<(Stamp, Event)>), Failure> {
    if journal.summary(id).await?.is_none() {
        return Err(Failure::failed(format!("there is no incident {id}"), "`runbookd incidents` lists those there are"));
    }
    let incident =
        journal.load(id).await.with_context(|| format!("{id} cannot be read by this release; a person has to look at it"))?;
    Ok((incident, pairs(journal, id).await?))
}

async fn pairs(journal: &Journal, id: IncidentId) -> Result<Vec<(Stamp, Event)>, Failure> {
    Ok(journal.events(id).await?.into_iter().map(|recorded| (recorded.at, recorded.event)).collect())
}

async fn open(state: &Path) -> Result<Journal, Failure> {
    if !state.join("journal.db").exists() {
        let why = format!("there is no journal in {}", state.display());
        return Err(Failure::failed(
            why,
            "name the daemon's state directory with --state or RUNBOOKD_STATE; it is made when the daemon first starts",
        ));
    }
    Journal::open_to_read(state).await.map_err(|error| Failure::from(anyhow::Error::new(error)))
}

pub(super) async fn journal(client: &Client, place: &Place, what: args::Journal, json: bool) -> Result<(), Failure> {
    match what {
        args::Journal::Backup { to } => {
            let journal = open(client.state()).await?;
            show::patiently("copying the journal", journal.backup(&to)).await?;
            let bytes = std::fs::metadata(&to).map(|file| file.len()).unwrap_or_default();
            if json {
                show::json(&json!({"to": to, "bytes": bytes}))
            } else {
                show::text(&format!("copied {bytes} bytes to {}", to.display()))
            }
        }
        args::Journal::Check => {
            let journal = open(client.state()).await?;
            let health = show::patiently("reading the journal", journal.check()).await?;
            if json {
                show::json(&health)?;
            } else {
                let complaints: String =
                    health.complaints.iter().map(|complaint| format!("  {}\n", inert(complaint, 500))).collect();
                let counted = format!("{} incidents and {} pieces of evidence were read", health.incidents, health.evidence);
                let verdict = if health.complaints.is_empty() { "all of it is in order" } else { "this is wrong:" };
                show::text(&format!("{counted}; {verdict}\n{complaints}"))?;
            }
            if health.complaints.is_empty() { Ok(()) } else { Err(Failure::Told(1)) }
        }
        args::Journal::Prune => {
            let pruned = match client.post::<Value>("journal/prune", &json!({})).await {
                Err(Failure::Unreachable { .. }) => prune_alone(client.state(), place).await?,
                other => other?,
            };
            if json {
                return show::json(&pruned);
            }
            show::text(&format!(
                "took {} incidents and {} pieces of evidence; {} bytes are left",
                pruned["incidents"], pruned["evidence"], pruned["bytes"]
            ))
        }
    }
}

/// Where no daemon runs, its lock proves it.
async fn prune_alone(state: &Path, place: &Place) -> Result<Value, Failure> {
    open(state).await?;
    let loaded = config::load(&place.config).map_err(Failure::Configuration)?;
    let journal = Journal::open(state).await.map_err(anyhow::Error::new)?;
    let pruning = journal.prune(housekeeping::retention(&loaded.daemon), Clock::new().now());
    let pruned = show::patiently("pruning the journal", pruning).await?;
    Ok(serde_json::to_value(pruned).context("writing JSON")?)
}
