//! Incidents as plain text for a terminal: the list, one in full, and every decision gate by gate. No markup and no colours: what is
//! foreign has been made inert, and the only line breaks are ours. Deliberately no width: the terminal knows its own.

use std::collections::BTreeMap;

use runbook::incident::{Attempt, Event, Gate, Incident, IncidentId, Stage};
use runbook::text::inert;
use runbook::time::Stamp;
use serde::{Deserialize, Serialize};

use crate::report::final_report;
use crate::sentence::sentence;
use crate::walk::steps;
use crate::words::Manner;

/// One line of the list; the journal keeps it beside each incident.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// Its number.
    pub id: IncidentId,
    /// The runbook's name.
    pub runbook: String,
    /// What it works on.
    pub target: String,
    /// Where it is, or how it ended: a word of [`Incident::word`].
    pub state: String,
    /// Why, where it says why.
    pub why: String,
    /// When it was opened.
    pub opened: Stamp,
    /// Its last event.
    pub last: Stamp,
}

impl Summary {
    /// The line of an incident as it is.
    pub fn of(incident: &Incident) -> Self {
        let why = match &incident.stage {
            Stage::Closing { why, .. } | Stage::Closed { why, .. } => why.as_str(),
            _ => incident.unsettled().map_or("", |unsettled| unsettled.why.as_str()),
        };
        Self {
            id: incident.id,
            runbook: incident.runbook.name.clone(),
            target: incident.target.to_string(),
            state: incident.word().to_owned(),
            why: why.to_owned(),
            opened: incident.opened,
            last: incident.last,
        }
    }
}

/// The list, as a table; it says so when there is nothing to list.
pub fn list(summaries: &[Summary]) -> String {
    if summaries.is_empty() {
        return "No incidents.\n".to_owned();
    }
    let head = ["INCIDENT", "STATE", "OPENED", "TARGET", "RUNBOOK", "WHY"].map(str::to_owned);
    let rows = summaries.iter().map(|summary| {
        [
            summary.id.to_string(),
            inert(&summary.state, 20),
            second(summary.opened),
            inert(&summary.target, 75),
            inert(&summary.runbook, 60),
            inert(&summary.why, 100),
        ]
    });
    table(std::iter::once(head).chain(rows).collect())
}

/// One incident in full: its report, and then everything that happened.
pub fn show(incident: &Incident, events: &[(Stamp, Event)], manner: &Manner) -> String {
    let mut text = final_report(incident, events, manner).text();
    text.push_str("\nEverything that happened\n");
    for step in steps(incident, events) {
        let (_, line) = sentence(incident, &step, manner);
        text.push_str(&format!("  {}  {}\n", second(step.at), line.plain()));
    }
    text
}

/// Every decision of an incident, guard by guard. `in_force` says, by an event's number, what configuration was in force from it
/// on; it is told before the first decision that was made by it.
pub fn explain(incident: &Incident, events: &[(Stamp, Event)], in_force: &BTreeMap<u64, String>, manner: &Manner) -> String {
    let state = match (&incident.stage, incident.last_attempt()) {
        (Stage::InDoubt, Some(Attempt { number, unsettled: Some(unsettled), .. })) => {
            format!("how #{number} ended cannot be seen since {}", second(unsettled.since))
        }
        (Stage::InDoubt, Some(attempt)) => format!("acting (in doubt after {})", second(attempt.deadline)),
        (stage, _) => stage.word().to_owned(),
    };
    let mut text = format!("{}  {} on {}, {state}\n", incident.id, inert(&incident.runbook.name, 60), incident.target);
    let mut decisions = 0;
    let mut last: Option<&String> = None;
    for step in steps(incident, events) {
        let gates = match step.event {
            Event::Waits { gates, .. }
            | Event::RungSkipped { gates, .. }
            | Event::ActionStarted { gates, .. }
            | Event::Harmed { gates, .. }
            | Event::Ending { gates, .. } => gates,
            Event::Opened(_)
            | Event::Stopped { .. }
            | Event::Stale { .. }
            | Event::Enough { .. }
            | Event::Answered { .. }
            | Event::Reminded { .. }
            | Event::AnswerRefused { .. }
            | Event::Quieted { .. }
            | Event::Unsettled { .. }
            | Event::Looked { .. } => &[][..],
            _ => continue,
        };
        let (_, line) = sentence(incident, &step, manner);
        let told = in_force.range(..=step.seq).next_back().map(|(_, words)| words);
        if told != last && !gates.is_empty() {
            text.push_str(&format!("\n{}\n", told.map_or("", String::as_str)));
            last = told;
        }
        text.push_str(&format!("\n{}  {}\n", second(step.at), line.plain()));
        text.push_str(&guards(gates));
        let told_only = matches!(
            step.event,
            Event::Opened(_) | Event::Looked { .. } | Event::Reminded { .. } | Event::Quieted { .. } | Event::Unsettled { .. }
        );
        decisions += usize::from(!told_only);
    }
    if decisions == 0 {
        text.push_str("\nNothing has been decided yet.\n");
    }
    text
}

fn guards(gates: &[Gate]) -> String {
    let rows: Vec<[String; 3]> = gates
        .iter()
        .map(|gate| {
            let word = if gate.open { "   open" } else { "   CLOSED" };
            [word.to_owned(), gate.name.to_string(), inert(&gate.why, 1_000)]
        })
        .collect();
    if rows.is_empty() { String::new() } else { table(rows) }
}

// RFC 3339 to the second: lists are read by people and sorted by programs.
fn second(at: Stamp) -> String {
    let whole = at.to_string();
    match whole.split_once('.') {
        Some((until, _)) => format!("{until}Z"),
        None => whole,
    }
}

// Columns as wide as their widest cell, two blanks between, nothing behind the last.
fn table<const N: usize>(rows: Vec<[String; N]>) -> String {
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            line.push_str(cell);
            line.push_str(&" ".repeat(width.saturating_sub(cell.chars().count()) + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
