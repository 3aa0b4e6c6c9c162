//! The configuration: a folder with `runbookd.yaml`, `targets.yaml` and `runbooks/*.yaml`, read whole and checked whole.
//! Why everything at once: somebody who mends a configuration at night should not find the next mistake by restarting.
//! Nothing is asked of the world here, so `check` is safe anywhere; no value is taken from the environment, and `${NAME}` in
//! a file stays as it is.

mod check;
mod complaint;
mod files;
mod lower;
mod render;
mod schema;
mod settings;
mod twins;
mod web;
mod written;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use runbook::book::{Configuration, Runbooks};

pub use check::against;
pub use complaint::{Complaint, Complaints, Severity};
pub use files::MOST_BYTES;
pub use schema::{Form, schema};
pub use settings::{AlertmanagerSettings, DaemonSettings, PersonToken, Retention, SlackSettings, TlsSettings, WatchdogSettings};

use complaint::Severity::Warning;
use lower::runbook::{Found, Known};
use yaml::Document;

/// A configuration without errors.
#[derive(Clone)]
pub struct Loaded {
    /// What incidents are decided by; stored by hash.
    pub configuration: Configuration,
    /// How the process is run.
    pub daemon: DaemonSettings,
    /// Warnings and notes; never errors.
    pub notes: Complaints,
    /// Where each runbook says what it matches, for [`against`].
    places: BTreeMap<String, Complaint>,
    /// The text of every file, for complaints that are made later.
    sources: BTreeMap<String, String>,
}

/// Reads and checks a folder.
///
/// # Errors
/// Everything that is wrong with it, warnings and notes among it, in the order of files and lines.
pub fn load(dir: &Path) -> Result<Loaded, Complaints> {
    let shown = |name: &str| dir.join(name).display().to_string();
    let mut complaints = Complaints::default();
    if let Some(complaint) = files::no_folder(dir) {
        complaints.push(complaint);
        return Err(complaints);
    }
    let daemon_file = files::read(&mut complaints, &dir.join("runbookd.yaml"), &shown("runbookd.yaml"));
    let targets_file = files::read(&mut complaints, &dir.join("targets.yaml"), &shown("targets.yaml"));
    let runbook_files = files::read_runbooks(&mut complaints, &dir.join("runbooks"), &shown("runbooks"));
    for document in daemon_file.iter().chain(&targets_file).chain(&runbook_files) {
        warn_of_interpolation(document);
    }

    let mut daemon = daemon_file.as_ref().map(|file| lower::daemon::daemon(file, dir)).unwrap_or_default();
    if let (Some(file), Some((path, at))) = (&daemon_file, daemon.web.take()) {
        daemon.settings.tls = web::read(&mut complaints, file, dir, &path, at);
    }
    let targets = targets_file.as_ref().map(|file| lower::targets::targets(file, dir)).unwrap_or_default();
    // A file that is no YAML at all defines nothing, and complaining about every name in it would hide the one mistake.
    let intervals = daemon_file.as_ref().filter(|file| file.root().is_some()).map(|_| &daemon.interval_names);
    let known = Known { targets: &targets, intervals };
    let found: Vec<(&Document, Found)> =
        runbook_files.iter().filter_map(|file| Some((file, lower::runbook::runbook(file, &known)?))).collect();
    twins::complain(&found);
    let rules = match (&daemon_file, daemon.rules.take()) {
        (Some(file), Some(written)) => lower::rules::rules(file, &written, &known),
        _ => Default::default(),
    };
    let names: BTreeSet<&str> = found.iter().map(|(_, found)| found.name.as_str()).collect();
    // A file that cannot be read hides its runbook's name.
    let names = (found.len() == runbook_files.len()).then_some(&names);
    let lowered = match (&daemon_file, daemon.approval.take()) {
        (Some(file), Some(written)) => lower::approval::approval(file, dir, &written, &known, names),
        _ => Default::default(),
    };
    daemon.settings.people = lowered.people;

    let mut places = BTreeMap::new();
    let mut sources = BTreeMap::new();
    for (file, found) in &found {
        places.insert(found.name.clone(), file.complaint(Warning, found.match_at.clone(), "", ""));
    }
    for file in daemon_file.iter().chain(&targets_file).chain(&runbook_files) {
        sources.insert(file.name().to_owned(), file.text().to_owned());
    }
    let runbooks: Runbooks = found.into_iter().filter_map(|(_, found)| Some((found.name, found.runbook?))).collect();
    for document in daemon_file.iter().chain(&targets_file).chain(&runbook_files) {
        complaints.add_file(document.name(), document.text(), document.take_complaints());
    }
    complaints.sort();
    if complaints.has_errors() {
        return Err(complaints);
    }
    let configuration = Configuration {
        runbooks,
        inventory: targets.inventory,
        intervals: daemon.intervals,
        approval_expires: lowered.expires,
        approval: lowered.approval,
        rules,
    };
    Ok(Loaded { configuration, daemon: daemon.settings, notes: complaints, places, sources })
}

/// `${NAME}` is taken as it stands, and whoever wrote it believed otherwise.
fn warn_of_interpolation(document: &Document) {
    for at in document.scalars_with("${") {
        document.say(
            Warning,
            at,
            "`${` is not replaced by anything: nothing is taken from the environment",
            "write the value; for a secret write {env: NAME} or {file: PATH}",
        );
    }
}

#[cfg(test)]
#[cfg(feature = "rehearsal")]
mod rehearsed;
