//! What is asked of the daemon: start, answer, note, reload. Deliberately nothing of this works without a daemon: whoever answers
//! a question must know that somebody heard it.

use std::collections::BTreeMap;

use runbook::incident::IncidentId;
use runbook::target::TargetId;
use runbook::text::inert;
use serde_json::{Value, json};

use super::args::By;
use super::client::{Client, segment};
use super::failure::Failure;
use super::place::{login, who};
use super::show;
use crate::commands::{Done, DryRun};
use crate::daemon::AT_THE_START;

pub(super) async fn run(
    client: &Client,
    runbook: &str,
    target: Option<&TargetId>,
    dry_run: bool,
    by: By,
    json: bool,
) -> Result<(), Failure> {
    let body = json!({"runbook": runbook, "target": target, "dry_run": dry_run, "by": by.by, "login": login()});
    if dry_run {
        let dry: DryRun = client.post_as_oneself("run", &body).await?;
        return if json { show::json(&dry) } else { show::text(&show::dry_run(&dry)) };
    }
    done(&client.post_as_oneself("run", &body).await?, json)
}

pub(super) async fn report(
    client: &Client,
    words: &str,
    runbook: Option<&str>,
    target: Option<&TargetId>,
    by: By,
    json: bool,
) -> Result<(), Failure> {
    let body = json!({"words": words, "runbook": runbook, "target": target, "by": by.by, "login": login()});
    done(&client.post_as_oneself("report", &body).await?, json)
}

fn done(done: &Done, json: bool) -> Result<(), Failure> {
    if json { show::json(done) } else { show::text(&inert(&done.says, 1_000)) }
}

pub(super) async fn fire(
    client: &Client,
    alert: &str,
    labels: &[(String, String)],
    resolved: bool,
    json: bool,
) -> Result<(), Failure> {
    let labels: BTreeMap<&str, &str> = labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let status = if resolved { "resolved" } else { "firing" };
    let said: Value = client.post("fire", &json!({"alert": alert, "labels": labels, "status": status})).await?;
    if json {
        return show::json(&said);
    }
    let fingerprint = said["fingerprint"].as_str().unwrap_or("?");
    show::text(&format!(
        "delivered {} ({status}, fingerprint {}); `runbookd incidents` shows what it opened or joined, `runbookd unmatched` whether no runbook is for it",
        inert(alert, 100),
        inert(fingerprint, 20)
    ))
}

pub(super) async fn note(client: &Client, id: IncidentId, words: &str, by: By, json: bool) -> Result<(), Failure> {
    if words.trim().is_empty() {
        let mend = format!("write them behind the incident: runbookd note {id} \"I am at it\"");
        return Err(Failure::usage("the words of the note are empty", mend));
    }
    let said: Value = client.post(&format!("incidents/{}/notes", id.0), &json!({"by": who(by.by), "words": words})).await?;
    if json { show::json(&said) } else { show::text(&format!("noted on {id}")) }
}

/// Yes, or with `why` no.
pub(super) async fn answer(client: &Client, ask: &str, why: Option<&str>, by: By, json: bool) -> Result<(), Failure> {
    let ask = ask.trim();
    if ask.is_empty() {
        return Err(Failure::usage("the question's name is empty", "copy it from the message, or from `runbookd asks`"));
    }
    let (by, login) = (by.by, login());
    let (path, body, words) = match why {
        None => (
            "approve",
            json!({"by": by, "login": login}),
            "agreed; it looks again, and acts on what was shown and is still there",
        ),
        Some(why) => {
            ("deny", json!({"by": by, "login": login, "why": why}), "said no; nothing is done, and a person has to go on")
        }
    };
    let said: Value = client.post_as_oneself(&format!("asks/{}/{path}", segment(ask)), &body).await?;
    if json {
        return show::json(&said);
    }
    let incident = said["incident"].as_u64().map(|id| IncidentId(id).to_string()).unwrap_or_default();
    let proved = if said["proved"].as_bool() == Some(true) { " (proved by their token)" } else { "" };
    show::text(&format!("{incident}: {}{proved} {words}", inert(said["by"].as_str().unwrap_or("somebody"), 100)))
}

pub(super) async fn reload(client: &Client, json: bool) -> Result<(), Failure> {
    let said: Value = client.post("reload", &Value::Object(serde_json::Map::new())).await?;
    if json {
        return show::json(&said);
    }
    let found = match said["errors"].as_u64() {
        None | Some(0) => String::new(),
        Some(1) => "; but `runbookd check` finds 1 error in it".to_owned(),
        Some(errors) => format!("; but `runbookd check` finds {errors} errors in it"),
    };
    let mut text =
        format!("the configuration is in force; its hash is {}{found}", inert(said["hash"].as_str().unwrap_or("?"), 80));
    let outdated: Vec<String> = said["outdated"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_u64)
        .map(|id| IncidentId(id).to_string())
        .collect();
    if !outdated.is_empty() {
        let who = outdated.join(", ");
        text.push_str(&format!(
            "\nits runbook says something else now, so nothing more is done by the old one, and a person has it: {who}"
        ));
    }
    if said["wants_restart"].as_bool() == Some(true) {
        text.push_str(&format!("\n{AT_THE_START}"));
    }
    show::text(&text)
}
