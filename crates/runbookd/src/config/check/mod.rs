//! A configuration against the rules and the routes of the monitoring around it. Why: a runbook whose alert is spelt
//! differently, and a route that stops before it reaches us, look perfect until the night they are needed. It reads other
//! programs' files leniently and judges only what can be known without running them: a label that a query produces may have
//! any value.

mod alertmanager;
mod rules;

use std::path::{Path, PathBuf};

use runbook::matcher::Matcher;

use super::complaint::{Complaints, Severity};
use super::{Complaint, Loaded, files};
use rules::Rule;

/// Whether something holds, as far as files can tell.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Certainty {
    /// It cannot hold.
    No,
    /// It depends on labels that only the running query knows.
    Perhaps,
    /// It holds.
    Yes,
}

/// Compares a loaded configuration with rule files of Prometheus and the configuration of Alertmanager.
pub fn against(loaded: &Loaded, rule_files: &[PathBuf], alertmanager_file: Option<&Path>) -> Complaints {
    let mut complaints = Complaints::default();
    let mut documents = Vec::new();
    for path in rule_files {
        documents.extend(files::read(&mut complaints, path, &path.display().to_string()));
    }
    let mut all: Vec<Rule<'_>> = documents.iter().flat_map(rules::rules).collect();
    all.sort_by(|a, b| (a.document.name(), a.at.start).cmp(&(b.document.name(), b.at.start)));
    let unreadable = documents.iter().any(|document| document.root().is_none());
    if !documents.is_empty() && !unreadable && !complaints.has_errors() {
        idle_runbooks(loaded, &all, &mut complaints);
    }
    let handled: Vec<&Rule<'_>> = all.iter().filter(|rule| is_handled(loaded, rule)).collect();
    for rule in all.iter().filter(|rule| !is_handled(loaded, rule)) {
        let mut message = format!("no runbook is for the alert `{}`", rule.name);
        if let Some(near) = nearest(loaded, &rule.name) {
            message.push_str(&format!("; `{near}` names an alert much like it"));
        }
        rule.document.say(Severity::Note, rule.at.clone(), message, "write one, or leave it to people");
    }
    if let Some(path) = alertmanager_file
        && let Some(document) = files::read(&mut complaints, path, &path.display().to_string())
    {
        alertmanager::check(loaded, &document, &handled);
        complaints.add_file(document.name(), document.text(), document.take_complaints());
    }
    for document in &documents {
        complaints.add_file(document.name(), document.text(), document.take_complaints());
    }
    complaints.sort();
    complaints
}

/// Runbooks that match none of the rules.
fn idle_runbooks(loaded: &Loaded, all: &[Rule<'_>], complaints: &mut Complaints) {
    for runbook in loaded.configuration.runbooks.values() {
        let Some(matchers) = &runbook.matches else { continue };
        if all.iter().any(|rule| rule.satisfies(&matchers.0) != Certainty::No) {
            continue;
        }
        let Some(place) = loaded.places.get(&runbook.name) else { continue };
        let wanted = matchers.0.iter().find(|matcher| matcher.name() == "alertname").map(Matcher::value).unwrap_or_default();
        let near = runbook::text::closest(wanted, all.iter().map(|rule| rule.name.as_str()));
        let mend = match near {
            Some(name) => format!("write `{name}`, if that was meant, or add a rule"),
            None => "add a rule that fires this alert, or mend `match`".to_owned(),
        };
        let message = format!("no rule fires an alert that `{}` is for", runbook.name);
        complaints.push(Complaint { message, mend, ..place.clone() });
        complaints.sources.extend(loaded.sources.get(&place.file).map(|text| (place.file.clone(), text.clone())));
    }
}

fn is_handled(loaded: &Loaded, rule: &Rule<'_>) -> bool {
    let mut runbooks = loaded.configuration.runbooks.values();
    runbooks.any(|runbook| runbook.matches.as_ref().is_some_and(|matchers| rule.satisfies(&matchers.0) != Certainty::No))
}

/// A runbook whose own alert name is a slip away from this one.
fn nearest<'a>(loaded: &'a Loaded, name: &str) -> Option<&'a str> {
    loaded.configuration.runbooks.values().find_map(|runbook| {
        let matchers = &runbook.matches.as_ref()?.0;
        let value = matchers.iter().find(|matcher| matcher.name() == "alertname")?.value();
        runbook::text::closest(name, value.split('|')).map(|_| runbook.name.as_str())
    })
}
