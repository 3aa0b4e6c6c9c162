//! The questions that wait for a person: what exactly is asked, until when, and who may agree by the configuration in force.
//! Deliberately asks the daemon and not the journal: an answer needs the daemon too, and only it knows the rules of now.

use runbook::incident::IncidentId;
use runbook::text::{humanize_duration, inert};
use runbook::time::Stamp;
use serde_json::Value;

use super::client::Client;
use super::failure::Failure;
use super::show;

/// More identities of one question than a terminal has lines for.
const MOST_SHOWN: usize = 60;

pub(super) async fn list(client: &Client, json: bool) -> Result<(), Failure> {
    let said: Value = client.get("asks").await?;
    if json {
        return show::json(&said);
    }
    let asks = said["asks"].as_array().cloned().unwrap_or_default();
    if asks.is_empty() {
        return show::text("Nothing waits for a person.");
    }
    let now = said["now"].as_i64().map(Stamp::from_millis);
    let all: Vec<String> = asks.iter().map(|ask| one(ask, now)).collect();
    show::text(&all.join("\n"))
}

fn one(ask: &Value, now: Option<Stamp>) -> String {
    let text = |name: &str| inert(ask[name].as_str().unwrap_or("?"), 200);
    let incident = ask["incident"].as_u64().map(|id| IncidentId(id).to_string()).unwrap_or_default();
    let id = text("id");
    let mut lines = vec![format!(
        "{incident}  {} on {}, {} selected, of at most {} (runbook {})",
        text("action"),
        text("target"),
        ask["selected"],
        ask["at_most"],
        text("runbook")
    )];
    if let Some(expires) = ask["expires"].as_i64().map(Stamp::from_millis) {
        let left = now.map(|now| format!(", in {}", humanize_duration(expires.since(now)))).unwrap_or_default();
        lines.push(format!("  until      {expires}{left}; no answer is a no"));
    }
    let names = |list: &Value| {
        let names = list.as_array().into_iter().flatten().filter_map(Value::as_str).map(|name| inert(name, 80));
        names.collect::<Vec<_>>().join(", ")
    };
    lines.push(match &ask["may_agree"] {
        Value::Null => "  may agree  whoever holds the API's token; the name they give is not proved".to_owned(),
        list if list.as_array().is_some_and(Vec::is_empty) => "  may agree  nobody, by the rules of now".to_owned(),
        list => format!("  may agree  {}, each with their own token; anybody may say no", names(list)),
    });
    if let Some(gone) = ask["gone"].as_str() {
        lines.push(format!("  but        {}, so nobody can agree to it", inert(gone, 200)));
    }
    let undo = if ask["can_be_undone"].as_bool() == Some(true) { "can be undone" } else { "cannot be undone" };
    lines.push(format!("  it         {undo}; disturbs: {}", text("disturbs")));
    let shown: Vec<(&String, &Value)> = ask["shown"].as_object().into_iter().flatten().collect();
    for (identity, words) in shown.iter().take(MOST_SHOWN) {
        lines.push(format!("  exactly    {}: {}", inert(identity, 100), inert(words.as_str().unwrap_or_default(), 200)));
    }
    if shown.len() > MOST_SHOWN {
        lines.push(format!("  exactly    … and {} more (--json has all)", shown.len() - MOST_SHOWN));
    }
    lines.push(format!("  answer     runbookd approve {id}\n             runbookd deny {id} --why WHY\n"));
    lines.join("\n")
}
