//! What `check` finds in a configuration that loads: runbooks that never match, are shadowed or tie, steps that leave something
//! behind, secrets that are not there, labels that no rule has, waits that are too long, and feedback loops. Each folder of
//! `fixtures/check` holds what differs from `fixtures/config/good`, each of `fixtures/loops` a whole configuration; rules and
//! Alertmanager's file are given where they stand there. What is said about each stands beside it, word for word.

use std::fs;
use std::path::{Path, PathBuf};

use runbookd::config::{Complaints, Severity, against, load};
use tempfile::TempDir;

use crate::config::{copy, fixtures, good, snapshot};

fn cases(folder: &str) -> Vec<PathBuf> {
    let mut cases: Vec<PathBuf> =
        fs::read_dir(fixtures().join("..").join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() > 4, "{folder}: the cases were found");
    cases
}

/// Everything that is said about a folder, and the same as text without the folder's own name.
fn examined(dir: &Path) -> (Complaints, String) {
    let loaded = load(dir).unwrap();
    let given = |name: &str| Some(dir.join(name)).filter(|file| file.exists());
    let rules: Vec<PathBuf> = given("rules.yml").into_iter().collect();
    let mut complaints = against(&loaded, &rules, given("alertmanager.yml").as_deref());
    complaints.extend(loaded.notes.clone());
    let text = complaints.render(false).replace(&dir.display().to_string(), "CONFIG");
    (complaints, text)
}

fn alone(case: &Path) -> (Complaints, String) {
    let dir = TempDir::new().unwrap();
    copy(case, dir.path());
    examined(dir.path())
}

fn over_the_good_one(case: &Path) -> (Complaints, String) {
    let dir = good();
    copy(case, dir.path());
    examined(dir.path())
}

fn is_bad(complaints: &Complaints) -> bool {
    complaints.count(Severity::Error) + complaints.count(Severity::Warning) > 0
}

#[test]
fn what_no_run_should_have_to_find_is_found() {
    for case in cases("check/bad") {
        let (complaints, text) = over_the_good_one(&case);
        assert!(is_bad(&complaints), "{}: {text}", case.display());
        snapshot(&case, "found", &text);
    }
}

#[test]
fn what_is_right_is_not_complained_about() {
    for case in cases("check/good") {
        let (complaints, text) = over_the_good_one(&case);
        assert!(!is_bad(&complaints), "{}: {text}", case.display());
        snapshot(&case, "found", &text);
    }
}

#[test]
fn a_feedback_loop_that_nothing_breaks_is_an_error() {
    for case in cases("loops/bad") {
        let (complaints, text) = alone(&case);
        assert!(complaints.has_errors() && text.contains("nothing breaks it"), "{}: {text}", case.display());
        snapshot(&case, "found", &text);
    }
}

#[test]
fn what_breaks_a_feedback_loop_is_named() {
    for case in cases("loops/good") {
        let (complaints, text) = alone(&case);
        assert!(!complaints.has_errors(), "{}: {text}", case.display());
        snapshot(&case, "found", &text);
    }
}

#[test]
fn a_folder_of_rules_is_read_without_the_files_that_are_none() {
    let dir = good();
    let loaded = load(dir.path()).unwrap();
    let ours = xtask::paths::root().join("deploy/prometheus");
    let with_folder = against(&loaded, std::slice::from_ref(&ours), None);
    assert!(!with_folder.has_errors(), "{with_folder}");
    let with_file = against(&loaded, &[ours.join("rules.yml")], None);
    let about = |complaints: &Complaints| -> Vec<String> {
        complaints.iter().map(|one| one.message.clone()).filter(|message| message.starts_with("no runbook is for")).collect()
    };
    assert_eq!(about(&with_folder), about(&with_file), "the rules about runbookd itself want no runbook:\n{with_folder}");
    let said = about(&with_file);
    assert!(said.len() == 1 && said[0].matches('`').count() > 10, "what is left to people is said once for a file: {said:?}");
    let empty = TempDir::new().unwrap();
    assert!(against(&loaded, &[empty.path().to_owned()], None).has_errors());
}
