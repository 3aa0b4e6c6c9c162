//! Looking now: targets, one target, the examination. Where no daemon answers, targets are looked at from here with the
//! same login for looking; a daemon is asked first, because its held connection works when every slot is taken.

use std::sync::Arc;

use connect::Connections;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use runbook::finding::Finding;
use runbook::target::TargetId;
use serde_json::{Value, json};

use super::client::Client;
use super::failure::Failure;
use super::place::Place;
use super::show;
use crate::clock::Clock;
use crate::commands::Eyes;
use crate::config;
use crate::doctor::Examination;

/// Looks that are asked for side by side.
const AT_ONCE: usize = 16;

pub(super) async fn targets(client: &Client, place: &Place, json: bool) -> Result<(), Failure> {
    let seen = match client.get::<Value>("targets").await {
        Ok(list) => {
            let ids: Vec<TargetId> = list["targets"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|one| one["target"]["id"].as_str()?.parse().ok())
                .collect();
            let looks: Vec<_> = ids.into_iter().map(|id| ask(client, id)).collect();
            stream::iter(looks).buffered(AT_ONCE).try_collect().await?
        }
        Err(Failure::Unreachable { .. }) => {
            let eyes = own_eyes(place)?;
            show::patiently("looking", eyes.all()).await
        }
        Err(failure) => return Err(failure),
    };
    if json {
        let seen: Vec<Value> = seen.iter().map(|(target, finding)| json!({"target": target, "finding": finding})).collect();
        return show::json(&json!({"targets": seen}));
    }
    if seen.is_empty() {
        return show::text("The inventory is empty.");
    }
    let rows: Vec<Vec<String>> =
        seen.iter().map(|(id, finding)| vec![id.to_string(), finding.probe.clone(), show::finding_line(finding)]).collect();
    show::text(&show::table(&["TARGET", "LOOK", "SEEN"], &rows))
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
