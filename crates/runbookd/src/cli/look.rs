//! Looking now: targets, one target, the examination. Where no daemon answers, targets are looked at from here with the
//! same login for looking; a daemon is asked first, because its held connection works when every slot is taken.

use std::sync::Arc;

use connect::Connections;
use runbook::finding::Finding;
use runbook::target::TargetId;
use serde_json::json;

use super::client::Client;
use super::failure::Failure;
use super::place::Place;
use super::show;
use crate::clock::Clock;
use crate::commands::{Eyes, Sight};
use crate::config;
use crate::doctor::Examination;

pub(super) async fn targets(client: &Client, place: &Place, json: bool) -> Result<(), Failure> {
    let seen = match client.post::<Seen>("looks", &json!({})).await {
        Ok(seen) => seen,
        Err(Failure::Unreachable { .. }) => {
            let eyes = own_eyes(place)?;
            Seen { targets: show::patiently("looking", eyes.all()).await }
        }
        Err(failure) => return Err(failure),
    };
    if json {
        return show::json(&seen);
    }
    let seen = seen.targets;
    if seen.is_empty() {
        return show::text("The inventory is empty.");
    }
    let row =
        |Sight { target, finding, .. }: &Sight| vec![target.to_string(), finding.probe.clone(), show::finding_line(finding)];
    let rows: Vec<Vec<String>> = seen.iter().map(row).collect();
    show::text(&show::table(&["TARGET", "LOOK", "SEEN"], &rows))
}

/// What was seen of every target.
#[derive(serde::Serialize, serde::Deserialize)]
struct Seen {
    targets: Vec<Sight>,
}

async fn ask(client: &Client, id: TargetId) -> Result<(TargetId, Finding), Failure> {
    let said: Looked = client.post("look", &json!({"target": id})).await?;
    Ok((id, said.finding))
}

#[derive(serde::Deserialize)]
struct Looked {
    finding: Finding,
}

pub(super) async fn look(client: &Client, place: &Place, id: &TargetId, json: bool) -> Result<(), Failure> {
    let finding = match ask(client, id.clone()).await {
        Ok((_, finding)) => finding,
        Err(Failure::Unreachable { .. }) => {
            let eyes = own_eyes(place)?;
            show::patiently("looking", eyes.look(id)).await?
        }
        Err(failure) => return Err(failure),
    };
    if json { show::json(&json!({"target": id, "finding": finding})) } else { show::text(&show::finding(&finding)) }
}

/// Eyes of our own, over the configuration on disk.
fn own_eyes(place: &Place) -> Result<Eyes, Failure> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let loaded = config::load(&place.config).map_err(Failure::Configuration)?;
    show::complain("no daemon answers, so this is looked at from here");
    let connections = Arc::new(Connections::new(&loaded.configuration.inventory));
    Ok(Eyes::new(Arc::new(loaded.configuration), connections, Arc::new(Clock::new())))
}

/// Exit 1 where anything is wrong, so that a script can go by it.
pub(super) async fn doctor(client: &Client, json: bool) -> Result<(), Failure> {
    let examination: Examination = client.get("doctor").await?;
    if json {
        show::json(&examination)?;
    } else {
        show::text(&examination.text())?;
    }
    if examination.problems() > 0 { Err(Failure::Told(1)) } else { Ok(()) }
}
