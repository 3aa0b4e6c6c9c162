//! What runbooks may do and have earned, a person's mark, and breakers. Deliberately all of it asks the daemon: what binds now depends
//! on its configuration and its counters.

use policy::{OpenBreaker, Overview};
use runbook::incident::IncidentId;
use runbook::text::inert;
use runbook::time::Stamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::args::{Breaker, By, Word};
use super::client::{Client, segment};
use super::failure::Failure;
use super::place::{login, who};
use super::show;

/// A runbook's standing, with what stands beside its mode.
#[derive(Deserialize)]
struct Standing {
    #[serde(flatten)]
    of: Overview,
    paused: Option<String>,
}

pub(super) async fn runbooks(client: &Client, json: bool) -> Result<(), Failure> {
    let said: Value = client.get("runbooks").await?;
    if json {
        return show::json(&said);
    }
    let standing: Vec<Standing> = read(&said["standing"])?;
    let written = |name: &str| said["runbooks"].as_array().into_iter().flatten().find(|one| one["name"] == name);
    let rows: Vec<Vec<String>> = standing.iter().map(|one| row(one, written(&one.of.runbook).unwrap_or(&Value::Null))).collect();
    if rows.is_empty() {
        return show::text("No runbooks: nothing is ever done.");
    }
    let mut text = show::table(&["RUNBOOK", "MODE", "MAY NOW", "RECORD", "TARGET", "SUMMARY"], &rows);
    for one in &standing {
        text.push_str(&more(one));
    }
    if let Some(open) = read::<Option<OpenBreaker>>(&said["breaker"])? {
        text.push_str(&format!("\nall runbooks\n  {}\n", breaker_words(&open, "all")));
    }
    show::text(&text)
}

fn read<T: serde::de::DeserializeOwned>(value: &Value) -> Result<T, Failure> {
    let read = serde_json::from_value(value.clone());
    read.map_err(|error| Failure::failed(format!("the daemon's answer cannot be read: {error}"), "use the same release for both"))
}

fn row(one: &Standing, written: &Value) -> Vec<String> {
    let target = match &written["target"] {
        Value::Object(target) => target.get("Named").and_then(Value::as_str).map_or("by a label".to_owned(), |id| inert(id, 75)),
        _ => String::new(),
    };
    let of = &one.of;
    let mode = if of.after.is_some() { format!("earned, up to {}", of.ceiling.word()) } else { of.ceiling.word().to_owned() };
    let now = match (&one.paused, &of.breaker) {
        (Some(_), _) => "nothing: paused".to_owned(),
        (None, Some(_)) => "nothing: breaker".to_owned(),
        (None, None) => of.mode.word().to_owned(),
    };
    let record = &of.record;
    let counted = format!("{} cured, {} failed, {} right, {} wrong", record.cured, record.failed, record.right, record.wrong);
    vec![inert(&of.runbook, 63), mode, now, counted, target, inert(written["summary"].as_str().unwrap_or_default(), 120)]
}

// What keeps it from more, for those where something does.
fn more(one: &Standing) -> String {
    let of = &one.of;
    let mut lines = Vec::new();
    if let Some(paused) = &one.paused {
        lines.push(format!("paused: {paused}"));
    }
    if let Some(open) = &of.breaker {
        lines.push(breaker_words(open, &of.runbook));
    }
    if let Some(after) = of.after {
        for bound in &of.bound {
            lines.push(format!("{}: {}; {}", of.mode.word(), bound.why, bound.lift));
        }
        let record = &of.record;
        lines.push(format!(
            "earned {}: {} of {after} in a row; {} of {} cures confirmed, the fault was back {} times",
            record.level.word(),
            record.streak,
            record.confirmed,
            record.cured,
            record.came_back
        ));
    }
    for mask in &of.masks {
        lines.push(format!("asks on {}: {}", mask.target, mask.why));
    }
    if lines.is_empty() {
        return String::new();
    }
    let lines: String = lines.iter().map(|line| format!("  {}\n", inert(line, 600))).collect();
    format!("\n{}\n{lines}", inert(&of.runbook, 63))
}

fn breaker_words(open: &OpenBreaker, scope: &str) -> String {
    let tries = match open.tried_by {
        Some(by) => format!("{by} tries"),
        None => format!("one incident may try from {}", open.tries_again),
    };
    format!(
        "breaker open since {}: {} cures failed in a row; {tries}; `runbookd breaker close {scope}` closes it",
        open.since, open.failures
    )
}

pub(super) async fn mark(client: &Client, id: IncidentId, word: Word, why: &str, by: By, json: bool) -> Result<(), Failure> {
    let body = json!({"by": by.by, "login": login(), "right": word == Word::Right, "why": why});
    let said: Value = client.post(&format!("incidents/{}/mark", id.0), &body).await?;
    if json {
        return show::json(&said);
    }
    let word = if word == Word::Right { "right" } else { "wrong" };
    let runbook = inert(said["runbook"].as_str().unwrap_or_default(), 63);
    let mut text = format!("{id} is marked {word}");
    if let Some(lift) = said["lift"].as_str() {
        let level = said["record"]["level"].as_str().unwrap_or("?");
        text.push_str(&format!("; {runbook} has earned {}: {}", inert(level, 10), inert(lift, 300)));
    }
    show::text(&text)
}

pub(super) async fn breaker(client: &Client, what: Breaker, json: bool) -> Result<(), Failure> {
    match what {
        Breaker::List => list(client, json).await,
        Breaker::Close { scope, why, by } => close(client, &scope, &why, by, json).await,
    }
}

async fn list(client: &Client, json: bool) -> Result<(), Failure> {
    let said: Value = client.get("breakers").await?;
    if json {
        return show::json(&said);
    }
    let mut text = String::new();
    for one in said["open"].as_array().into_iter().flatten() {
        let scope = inert(one["scope"].as_str().unwrap_or_default(), 63);
        text.push_str(&format!("{scope}: {}\n", breaker_words(&read(&one["breaker"])?, &scope)));
    }
    if text.is_empty() {
        text.push_str("No breaker is open.\n");
    }
    for one in said["closed"].as_array().into_iter().flatten() {
        let word = |name: &str| inert(one[name].as_str().unwrap_or_default(), 300);
        let at = Stamp::from_millis(one["at"].as_i64().unwrap_or_default());
        text.push_str(&format!("{}: last closed by {} at {at}: {}\n", word("scope"), word("by"), word("why")));
    }
    show::text(&text)
}

async fn close(client: &Client, scope: &str, why: &str, by: By, json: bool) -> Result<(), Failure> {
    let path = format!("breakers/{}/close", segment(scope));
    let said: Value = client.post(&path, &json!({"by": who(by.by), "why": why})).await?;
    if json {
        return show::json(&said);
    }
    let whose = if scope == "all" { "over all runbooks".to_owned() } else { format!("of {}", inert(scope, 63)) };
    let mut text = format!("the breaker {whose} is closed; what failed before is no longer counted by it");
    let others: Vec<String> =
        said["still_open"].as_array().into_iter().flatten().filter_map(Value::as_str).map(|name| inert(name, 63)).collect();
    if !others.is_empty() {
        text.push_str(&format!("\nstill open: {}", others.join(", ")));
    }
    show::text(&text)
}
