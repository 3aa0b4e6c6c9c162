//! Why an incident is where it is, for programs: every decision and every answer of a person, gate by gate, each with the
//! configuration that was in force at that moment. One copy for the API and the command line.

use std::collections::BTreeMap;

use journal::{Journal, Recorded};
use runbook::incident::{Answer, Event, Gate};
use serde_json::{Value, json};

/// Every decision of these events, in order.
pub fn decisions(events: &[Recorded]) -> Vec<Value> {
    events.iter().filter_map(decision).collect()
}

/// What was in force from which event on, in words, by the event's number.
pub async fn in_force(journal: &Journal, runbook: &str, events: &[Recorded]) -> BTreeMap<u64, String> {
    let mut all = BTreeMap::new();
    let mut last = "";
    for recorded in events.iter().filter(|recorded| !recorded.config.is_empty()) {
        if recorded.config != last {
            let configuration = journal.configuration(&recorded.config).await.ok();
            all.insert(recorded.seq, report::in_force(&recorded.config, configuration.as_deref(), runbook));
            last = &recorded.config;
        }
    }
    all
}

fn decision(recorded: &Recorded) -> Option<Value> {
    let (said, why, gates): (&str, String, &[Gate]) = match &recorded.event {
        Event::Waits { why, gates, .. } => ("wait", why.clone(), gates),
        Event::RungSkipped { why, gates } => ("skip this remedy", why.clone(), gates),
        Event::Ending { why, gates, .. } => ("end", why.clone(), gates),
        Event::Harmed { why, gates, .. } => ("stop it and take it back", why.clone(), gates),
        Event::ActionStarted { gates, .. } => ("act", "every gate was open".to_owned(), gates),
        Event::Enough { why } => ("do no more", why.clone(), &[]),
        Event::Stale { why } => ("look again", why.clone(), &[]),
        Event::Stopped { why } => ("stop", why.clone(), &[]),
        Event::Answered { answer, .. } => match answer {
            Answer::Granted { by, proof } => ("agreed", format!("{by} agreed{}", proved(proof.holds())), &[]),
            Answer::Denied { by, proof, why } => ("refused", format!("{by} said no{}: {why}", proved(proof.holds())), &[]),
            Answer::Expired => ("refused", "nobody answered in time, which is a no".to_owned(), &[]),
        },
        Event::Quieted { alerts } => ("keep quiet what it raises by itself", report::quieted(alerts, recorded.at).plain(), &[]),
        Event::AnswerRefused { why, .. } => ("answer not taken", why.clone(), &[]),
        Event::Reminded { through, .. } => ("told again", format!("nobody had answered; reminder {through}"), &[]),
        _ => return None,
    };
    let (kind, config) = (recorded.event.kind(), &recorded.config);
    Some(
        json!({"seq": recorded.seq, "at": recorded.at, "kind": kind, "decision": said, "why": why, "gates": gates, "config": config}),
    )
}

fn proved(proved: bool) -> &'static str {
    if proved { " (proved by their token)" } else { "" }
}
