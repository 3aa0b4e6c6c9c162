//! What a person starts: a runbook by name, or a report in their own words. Deliberately nothing is skipped: the incident that
//! opens looks, decides and asks like any other.

use journal::{Chosen, Filter};
use runbook::book::{Configuration, Runbook};
use runbook::incident::{IncidentId, Trigger};
use runbook::target::{TargetId, TargetSelector};
use runbook::text::inert;
use serde::{Deserialize, Serialize};

use super::{CommandError, Done, nearest, person, words};
use crate::daemon::Daemon;

/// Run this runbook.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Run {
    /// Its name.
    pub runbook: String,
    /// On what, where the runbook leaves it open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetId>,
    /// Who asks.
    pub by: String,
}

/// Somebody saw something.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Report {
    /// In their words.
    pub words: String,
    /// The runbook that it is for, where they know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runbook: Option<String>,
    /// What it is about, where they know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetId>,
    /// Who.
    pub by: String,
}

/// Opens an incident for a runbook, because a person says so.
///
/// # Errors
/// [`CommandError`]: no such runbook or target, one is open already, or the journal failed.
pub async fn run(daemon: &Daemon, run: &Run) -> Result<Done, CommandError> {
    let by = person(&run.by)?;
    let configuration = daemon.current().configuration.clone();
    let chosen = choose(&configuration, &run.runbook, run.target.as_ref())?;
    open(daemon, chosen, Trigger::Person { by, words: format!("run {}", run.runbook) }).await
}

/// Opens an incident for what a person saw. Which runbook it is for is taken from them, or from a runbook or target that their
/// words name; where that names none or several nothing is guessed, and the refusal lists what there is.
///
/// # Errors
/// [`CommandError`].
pub async fn report(daemon: &Daemon, report: &Report) -> Result<Done, CommandError> {
    let (by, said) = (person(&report.by)?, words(&report.words, "the report")?);
    let configuration = daemon.current().configuration.clone();
    let chosen = match &report.runbook {
        Some(name) => choose(&configuration, name, report.target.as_ref())?,
        None => guess(&configuration, &said, report.target.as_ref())?,
    };
    open(daemon, chosen, Trigger::Person { by, words: said }).await
}

async fn open(daemon: &Daemon, chosen: Chosen, trigger: Trigger) -> Result<Done, CommandError> {
    if let Some(id) = open_one(daemon, &chosen).await? {
        let why = format!("{id} is open for {} on {} already", chosen.runbook, chosen.target);
        return Err(CommandError::refused(
            why,
            format!("`runbookd incidents show {id}` says where it is; `runbookd note {id} TEXT` adds to it"),
        ));
    }
    let id = daemon.journal.open_incident(&chosen, trigger, daemon.clock.now()).await?;
    tracing::info!(incident = %id, runbook = chosen.runbook, target = %chosen.target, "opens an incident for a person");
    let says = format!("opened {id} for {} on {}; `runbookd incidents show {id}` follows it", chosen.runbook, chosen.target);
    Ok(Done { says, incident: Some(id) })
}

async fn open_one(daemon: &Daemon, chosen: &Chosen) -> Result<Option<IncidentId>, CommandError> {
    let open = daemon.journal.incidents(Filter { open_only: true, most: 10_000 }).await?;
    let target = chosen.target.to_string();
    Ok(open.into_iter().find(|one| one.runbook == chosen.runbook && one.target == target).map(|one| one.id))
}

/// The runbook of this name, and the target it would work on.
pub(super) fn choose(configuration: &Configuration, name: &str, wanted: Option<&TargetId>) -> Result<Chosen, CommandError> {
    let Some(book) = configuration.runbooks.get(name) else {
        let known: Vec<&str> = configuration.runbooks.keys().map(String::as_str).collect();
        return Err(CommandError::absent(format!("there is no runbook `{}`", inert(name, 80)), nearest(name, known)));
    };
    let target = match (&book.target, wanted) {
        (TargetSelector::Named(id), Some(wanted)) if id != wanted => {
            let mend = format!("leave the target out, or write a runbook for {wanted}");
            return Err(CommandError::wrong(format!("`{name}` is for {id}, not for {wanted}"), mend));
        }
        (TargetSelector::Named(id), _) => id.clone(),
        (TargetSelector::Lookup { kind, .. }, Some(wanted)) if wanted.kind == *kind => wanted.clone(),
        (TargetSelector::Lookup { kind, .. }, _) => {
            let known: Vec<String> = configuration
                .inventory
                .iter()
                .filter(|target| target.id.kind == *kind)
                .map(|target| target.id.to_string())
                .collect();
            let mend = format!(
                "name one with --target: {}",
                if known.is_empty() { "the inventory has none".to_owned() } else { known.join(", ") }
            );
            return Err(CommandError::wrong(
                format!("`{name}` is for a {} that an alert's label names, and here is no alert", kind.word()),
                mend,
            ));
        }
    };
    if configuration.inventory.get(&target).is_none() {
        let known: Vec<String> = configuration.inventory.iter().map(|target| target.id.to_string()).collect();
        let mend = nearest(&target.to_string(), known.iter().map(String::as_str));
        return Err(CommandError::absent(format!("{target} is not in the inventory"), mend));
    }
    Ok(Chosen { runbook: name.to_owned(), target })
}

/// The one runbook that the words name, by its own name or by its target.
fn guess(configuration: &Configuration, said: &str, target: Option<&TargetId>) -> Result<Chosen, CommandError> {
    let named: Vec<&str> = said
        .split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | ':' | '(' | ')'))
        .map(|word| word.trim_end_matches('.'))
        .collect();
    let is_for = |book: &&Runbook| match (&book.target, target) {
        _ if named.contains(&book.name.as_str()) => true,
        (TargetSelector::Named(id), Some(wanted)) => id == wanted,
        (TargetSelector::Named(id), None) => named.contains(&id.to_string().as_str()),
        (TargetSelector::Lookup { kind, .. }, Some(wanted)) => *kind == wanted.kind,
        (TargetSelector::Lookup { .. }, None) => false,
    };
    let found: Vec<&Runbook> = configuration.runbooks.values().filter(is_for).collect();
    match found.as_slice() {
        [one] => choose(configuration, &one.name, target),
        [] => {
            let known: Vec<&str> = configuration.runbooks.keys().map(String::as_str).collect();
            let mend = format!("name one with --runbook: {}; what no runbook is for needs a person at once", known.join(", "));
            Err(CommandError::refused("the report names no runbook and no target that a runbook is for", mend))
        }
        several => {
            let names: Vec<&str> = several.iter().map(|book| book.name.as_str()).collect();
            Err(CommandError::refused(
                "several runbooks could be meant",
                format!("name one with --runbook: {}", names.join(", ")),
            ))
        }
    }
}
