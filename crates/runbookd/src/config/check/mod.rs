//! What no run should have to find: a loaded configuration against itself, and against the rules and the routes of the
//! monitoring around it. Why apart from loading: a daemon must start on a configuration that is only clumsy, and a runbook whose
//! alert is spelt differently looks perfect until the night it is needed. It reads other programs' files leniently, judges only
//! what can be known without running them, and says what it could not decide.

mod alertmanager;
mod approval;
mod carries;
mod labels;
mod loops;
pub(super) mod matching;
mod pages;
mod paging;
mod rules;
mod secrets;
mod shadow;
mod silences;
mod steps;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use runbook::alert::ALERTNAME;
use runbook::matcher::Matcher;

use super::complaint::{Complaints, Severity};
use super::yaml::Document;
use super::{Complaint, Loaded, files};
use pages::Pages;
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

/// Examines a loaded configuration, with rule files of Prometheus (or folders of them) and the configuration of Alertmanager as
/// far as they are given.
pub fn against(loaded: &Loaded, rule_files: &[PathBuf], alertmanager_file: Option<&Path>) -> Complaints {
    let mut complaints = Complaints::default();
    let mut documents = Vec::new();
    for path in rule_files {
        documents.extend(rule_documents(&mut complaints, path));
    }
    let mut all: Vec<Rule<'_>> = documents.iter().flat_map(rules::rules).collect();
    all.sort_by(|a, b| (a.document.name(), a.at.start).cmp(&(b.document.name(), b.at.start)));
    let unreadable = documents.iter().any(|document| document.root().is_none());
    if !documents.is_empty() && !unreadable && !complaints.has_errors() {
        idle_runbooks(loaded, &all, &mut complaints);
    }
    let handled: Vec<&Rule<'_>> = all.iter().filter(|rule| is_handled(loaded, rule)).collect();
    left_to_people(loaded, &all);
    let mut resend = None;
    if let Some(path) = alertmanager_file
        && let Some(document) = files::read(&mut complaints, path, &path.display().to_string())
    {
        let about_us: Vec<&Rule<'_>> = all.iter().filter(|rule| rule.is_about_us()).collect();
        resend = alertmanager::check(loaded, &document, &handled, &about_us);
        complaints.add_file(document.name(), document.text(), document.take_complaints());
    }
    for document in &documents {
        complaints.add_file(document.name(), document.text(), document.take_complaints());
    }
    let pages = Pages::of(loaded);
    shadow::complain(loaded, &pages);
    steps::complain(loaded, &pages);
    approval::complain(loaded, &pages);
    secrets::complain(&pages);
    labels::complain(loaded, &all, &pages);
    silences::complain(loaded, &all, &pages);
    loops::complain(loaded, &all, resend, &pages);
    complaints.extend(pages.take());
    complaints.sort();
    complaints
}

/// A rule file, or those of a folder: of the files there that are YAML, the ones with rules in them.
fn rule_documents(complaints: &mut Complaints, path: &Path) -> Vec<Document> {
    if !path.is_dir() {
        return files::read(complaints, path, &path.display().to_string()).into_iter().collect();
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let mut names: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml")).collect();
    names.sort();
    let read = names.iter().filter_map(|path| files::read(complaints, path, &path.display().to_string()));
    let has_rules = |document: &Document| document.root().is_some_and(|root| document.get(root, "groups").is_some());
    let found: Vec<Document> = read.filter(has_rules).collect();
    if found.is_empty() {
        let message = "no file in this folder has rules of Prometheus in it";
        let mend = "name a folder with files that begin with `groups:`";
        complaints.push(Complaint::of_file(Severity::Error, &path.display().to_string(), message, mend));
    }
    found
}

/// Runbooks that match none of the rules.
fn idle_runbooks(loaded: &Loaded, all: &[Rule<'_>], complaints: &mut Complaints) {
    for runbook in loaded.configuration.runbooks.values() {
        let Some(matchers) = &runbook.matches else { continue };
        if all.iter().any(|rule| rule.satisfies(matchers.as_slice()) != Certainty::No) {
            continue;
        }
        let Some(place) = loaded.places.get(&runbook.name) else { continue };
        let wanted =
            matchers.as_slice().iter().find(|matcher| matcher.name() == ALERTNAME).map(Matcher::value).unwrap_or_default();
        let near = runbook::text::closest(wanted, all.iter().map(|rule| rule.name.as_str()));
        let mend = match near {
            Some(name) if name == wanted => {
                "the rule of this name has other labels; mend `match`, or the rule's `labels`".to_owned()
            }
            Some(name) => format!("write `{name}`, if that was meant, or add a rule"),
            None => "add a rule that fires this alert, or mend `match`".to_owned(),
        };
        let message = format!("no rule fires an alert that `{}` is for", runbook.name);
        complaints.push(Complaint { message, mend, ..place.clone() });
        complaints.sources.extend(loaded.sources.get(&place.file).map(|text| (place.file.clone(), text.clone())));
    }
}

/// Says which rules no runbook is for: each that may be a slip at its place, and the others of a file together, because most
/// folders of rules have many that are meant for people, and those must not bury what else was found.
fn left_to_people(loaded: &Loaded, all: &[Rule<'_>]) {
    let mut left: Vec<&Rule<'_>> = Vec::new();
    for rule in all.iter().filter(|rule| !is_handled(loaded, rule) && !rule.is_about_us()) {
        match nearest(loaded, &rule.name) {
            Some(near) => {
                let message = format!("no runbook is for the alert `{}`; `{near}` names an alert much like it", rule.name);
                rule.document.say(Severity::Note, rule.at.clone(), message, "write one, or leave it to people");
            }
            None => left.push(rule),
        }
    }
    for of_one_file in left.chunk_by(|one, next| one.document.name() == next.document.name()) {
        // One for "warning" and one for "critical" are one alert.
        let mut said = BTreeSet::new();
        let once = of_one_file.iter().filter(|rule| said.insert(rule.name.as_str()));
        let names: Vec<String> = once.map(|rule| format!("`{}`", rule.name)).collect();
        let (message, mend) = match names.as_slice() {
            [name] => (format!("no runbook is for the alert {name}"), "write one, or leave it to people"),
            _ => {
                let message = format!("no runbook is for {} alerts of this file: {}", names.len(), names.join(", "));
                (message, "write some, or leave them to people")
            }
        };
        if let Some(first) = of_one_file.first() {
            first.document.say(Severity::Note, first.at.clone(), message, mend);
        }
    }
}

fn is_handled(loaded: &Loaded, rule: &Rule<'_>) -> bool {
    let mut runbooks = loaded.configuration.runbooks.values();
    runbooks.any(|runbook| runbook.matches.as_ref().is_some_and(|matchers| rule.satisfies(matchers.as_slice()) != Certainty::No))
}

/// A runbook whose own alert name is a slip away from this one.
fn nearest<'a>(loaded: &'a Loaded, name: &str) -> Option<&'a str> {
    loaded.configuration.runbooks.values().find_map(|runbook| {
        let matchers = runbook.matches.as_ref()?.as_slice();
        let value = matchers.iter().find(|matcher| matcher.name() == ALERTNAME)?.value();
        runbook::text::closest(name, value.split('|')).map(|_| runbook.name.as_str())
    })
}
