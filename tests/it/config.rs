//! The configuration: the working example loads, every kind of mistake is named with its place and its mend, and nothing
//! that is thrown at the reader makes it fall over. Each case of `fixtures/config/bad` holds only the files that differ from
//! `fixtures/config/good`; what is said about it stands beside them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use runbook::book::Mode;
use runbookd::config::{Complaints, Form, Loaded, Severity, against, load, schema};
use tempfile::TempDir;

pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/config")
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        match source.is_dir() {
            true => copy(&source, &target),
            false if source.extension().is_some_and(|extension| extension == "snap") => {}
            false => drop(fs::copy(source, target).unwrap()),
        }
    }
}

/// The good configuration in a folder of its own, with its secrets.
pub(crate) fn good() -> TempDir {
    let dir = TempDir::new().unwrap();
    copy(&fixtures().join("good"), dir.path());
    fs::create_dir(dir.path().join("secrets")).unwrap();
    for name in ["slack", "postgres-look", "postgres-act"] {
        fs::write(dir.path().join("secrets").join(name), "a secret\n").unwrap();
    }
    dir
}

/// What is said about a folder, without the folder's own name.
fn said(dir: &Path, result: &Result<Loaded, Complaints>) -> String {
    let complaints = match result {
        Ok(loaded) => &loaded.notes,
        Err(complaints) => complaints,
    };
    complaints.render(false).replace(&dir.display().to_string(), "CONFIG")
}

pub(crate) fn snapshot(folder: &Path, name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(folder);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

#[test]
fn the_working_example_loads_without_complaint() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config");
    let loaded = load(&dir).unwrap();
    assert!(loaded.notes.is_empty(), "{}", loaded.notes);
    // Each has its page, which its own head names.
    for (name, runbook) in loaded.configuration.runbooks.iter() {
        let page = format!("docs/runbooks/{name}.md");
        let head = fs::read_to_string(dir.join(format!("runbooks/{name}.yaml"))).unwrap();
        assert!(head.lines().next().unwrap().ends_with(&page), "{name}: its first line names {page}");
        assert!(dir.join("..").join(&page).exists(), "{page} is not there");
        assert_eq!(runbook.mode.default, Mode::Ask, "{name}: by day a person is asked");
        assert!(!runbook.limits.rate.is_empty() && runbook.limits.recurrence.is_some(), "{name} has no limits");
    }
    let runbook = &loaded.configuration.runbooks["postgres-too-many-connections"];
    assert_eq!(runbook.remedies.len(), 1);
    assert_eq!(loaded.configuration.inventory.iter().count(), 13);
    // 23:00 and 12:00 UTC on 1 January 1970.
    assert!(loaded.configuration.intervals["night"].contains(23 * 3_600_000));
    assert!(!loaded.configuration.intervals["night"].contains(12 * 3_600_000));
    let kept = serde_json::to_string(&loaded.configuration).unwrap();
    let back: runbook::book::Configuration = serde_json::from_str(&kept).unwrap();
    assert_eq!(back.runbooks, loaded.configuration.runbooks, "what the journal stores is what was meant");
    for entry in fs::read_dir(dir.join("secrets")).unwrap() {
        let path = entry.unwrap().path().canonicalize().unwrap();
        let named = kept.contains(&format!("secrets/{}", path.file_name().unwrap().to_str().unwrap()));
        assert!(named, "{} is not used", path.display());
    }
}

#[test]
fn the_working_example_fits_the_rules_and_routes_that_ship() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let loaded = load(&root.join("config")).unwrap();
    let rules = [root.join("deploy/prometheus")];
    let complaints = against(&loaded, &rules, Some(&root.join("deploy/alertmanager/alertmanager.yml")));
    let bad: Vec<String> = complaints.iter().filter(|found| found.severity != Severity::Note).map(ToString::to_string).collect();
    assert!(bad.is_empty(), "{bad:#?}");
    let said = |part: &str| complaints.iter().filter(|found| found.message.contains(part)).count();
    assert_eq!(said("no runbook is for 10 alerts of this file: "), 1, "10 of the 15 alerts have no runbook yet:\n{complaints}");
    assert_eq!(said("reaches people at the latest"), 1, "{complaints}");
}

#[test]
fn the_good_configuration_is_good() {
    let dir = good();
    let loaded = load(dir.path()).unwrap();
    assert!(loaded.notes.is_empty(), "{}", loaded.notes);
    assert_eq!(loaded.configuration.runbooks.len(), 2);
}

#[test]
fn each_mistake_is_named_with_its_place_and_its_mend() {
    let mut cases: Vec<PathBuf> = fs::read_dir(fixtures().join("bad")).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() > 60);
    for case in cases {
        let dir = good();
        copy(&case, dir.path());
        let result = load(dir.path());
        let may_load = case.ends_with("warnings-only");
        assert_eq!(result.is_ok(), may_load, "{}: {}", case.display(), said(dir.path(), &result));
        let text = said(dir.path(), &result);
        assert!(!text.contains("hunter2"), "{}: a secret is shown:\n{text}", case.display());
        if let Err(complaints) = &result {
            assert!(!complaints.to_json().to_string().contains("hunter2"), "{}", case.display());
            for complaint in complaints.iter().filter(|complaint| complaint.line > 0) {
                assert!(complaint.column > 0 && !complaint.message.is_empty() && !complaint.mend.is_empty(), "{complaint:?}");
            }
        }
        snapshot(&case, "complaints", &text);
    }
}

#[test]
fn five_mistakes_are_five_complaints() {
    let dir = good();
    copy(&fixtures().join("bad/five-at-once"), dir.path());
    let complaints = load(dir.path()).err().unwrap();
    assert_eq!(complaints.count(Severity::Error), 5, "{complaints}");
}

#[test]
fn files_that_are_none_are_refused() {
    let dir = good();
    fs::write(dir.path().join("targets.yaml"), "#".repeat((1 << 20) + 1)).unwrap();
    fs::write(dir.path().join("runbooks/bytes.yaml"), [0xff, 0xfe, 0x00]).unwrap();
    std::os::unix::fs::symlink("loop.yaml", dir.path().join("runbooks/loop.yaml")).unwrap();
    fs::create_dir(dir.path().join("runbooks/folder.yaml")).unwrap();
    fs::remove_file(dir.path().join("runbookd.yaml")).unwrap();
    let status = std::process::Command::new("mkfifo").arg(dir.path().join("runbooks/pipe.yaml")).status().unwrap();
    assert!(status.success());
    let result = load(dir.path());
    assert!(result.is_err());
    snapshot(&fixtures(), "files_that_are_none", &said(dir.path(), &result));
    assert!(load(&dir.path().join("nowhere")).is_err());
}

#[test]
fn a_file_in_place_of_the_folder_and_a_file_without_a_word_are_said_to_be_that() {
    let dir = good();
    let complaints = load(&dir.path().join("runbookd.yaml")).err().unwrap();
    assert_eq!(complaints.count(Severity::Error), 1, "{complaints}");
    let mend = format!("name the folder that holds `runbookd.yaml` and `targets.yaml`, perhaps {}", dir.path().display());
    assert_eq!(complaints.iter().next().unwrap().mend, mend);
    for (empty, name) in
        ["", "# all of it commented out\n", "---\n"].into_iter().zip(["targets.yaml", "runbookd.yaml", "runbooks/x.yaml"])
    {
        let dir = good();
        fs::write(dir.path().join(name), empty).unwrap();
        let complaints = load(dir.path()).err().unwrap().to_string();
        assert!(
            complaints.contains("nothing is written in this file") && !complaints.contains("behind the colon"),
            "{complaints}"
        );
    }
}

/// A document that is read by itself as `runbookd.yaml`.
fn load_text(text: &[u8]) -> Result<Loaded, Complaints> {
    let dir = good();
    for file in ["runbookd.yaml", "targets.yaml", "runbooks/postgres.yaml"] {
        fs::write(dir.path().join(file), text).unwrap();
    }
    load(dir.path())
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the time that reading takes is what is tested")]
fn bombs_are_refused_before_they_go_off() {
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..20 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        laughs.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    let deep = "[".repeat(100_000);
    let deep_block: String = (0..1000).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
    let many_keys: String = (0..60_000).map(|key| format!("k{key}: 1\n")).collect();
    let many_mistakes: String = (0..20_000).map(|key| format!("k{key}: 1\n")).collect();
    for (name, text) in
        [("laughs", laughs), ("deep", deep), ("deep block", deep_block), ("keys", many_keys), ("mistakes", many_mistakes)]
    {
        let started = std::time::Instant::now();
        let complaints = load_text(text.as_bytes()).err().unwrap();
        assert!(complaints.len() < 1000, "{name}: {}", complaints.len());
        assert!(complaints.render(false).len() < 100_000, "{name}");
        assert!(started.elapsed() < Duration::from_secs(10), "{name} took {:?}", started.elapsed());
    }
}

#[test]
fn what_steers_a_terminal_is_shown_as_text() {
    let dir = good();
    let text = "listen: \"\u{9b}2J\u{202e}\"\n\u{202e}key: 1\n";
    fs::write(dir.path().join("runbookd.yaml"), text).unwrap();
    let complaints = load(dir.path()).err().unwrap();
    for shown in [complaints.render(false), complaints.iter().map(ToString::to_string).collect()] {
        assert!(!shown.contains(['\u{9b}', '\u{202e}', '\u{1b}']), "{shown}");
    }
}

#[test]
fn every_form_has_a_schema_that_knows_what_the_reader_knows() {
    for (form, file) in Form::ALL {
        let schema = schema(form);
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "{file}");
        assert_eq!(schema["additionalProperties"], false, "{file}");
        let text = schema.to_string();
        assert!(!text.contains("\"null\""), "{file} offers a key without a value");
    }
    let runbook = schema(Form::Runbook).to_string();
    assert!(runbook.contains("postgres.terminate_idle") && runbook.contains("`used_ratio` (number, share)"));
    assert!(!runbook.contains("rehearsal"), "default builds do not offer rehearsals");
    let targets = schema(Form::Targets);
    let postgres = &targets["patternProperties"]["^postgres/[A-Za-z0-9._-]{1,63}$"];
    assert!(postgres["properties"]["depends_on"].is_object() && postgres["properties"]["host"].is_object(), "{postgres}");
    assert_eq!(postgres["additionalProperties"], false);
    snapshot(&fixtures(), "schema_runbook", &format!("{:#}", schema(Form::Runbook)));
    snapshot(&fixtures(), "schema_targets", &format!("{targets:#}"));
    snapshot(&fixtures(), "schema_daemon", &format!("{:#}", schema(Form::Daemon)));
}

mod monitoring {
    //! `check --rules FILE --alertmanager FILE`.
    use super::*;

    const RULES: &str = r#"groups:
  - name: all
    rules:
      - record: a:b
        expr: up
      - {alert: HighDatabaseConnections, expr: up == 0, labels: {severity: warning}}
      - {alert: HighQueueDepht, expr: up == 0, labels: {severity: critical, team: "{{ $labels.team }}"}}
"#;

    fn judged(rules: &str, alertmanager: &str) -> String {
        let dir = good();
        let loaded = load(dir.path()).unwrap();
        let (rule_file, file) = (dir.path().join("rules.yml"), dir.path().join("alertmanager.yml"));
        fs::write(&rule_file, rules).unwrap();
        fs::write(&file, alertmanager).unwrap();
        let complaints = against(&loaded, &[rule_file], Some(&file));
        complaints.render(false).replace(&dir.path().display().to_string(), "CONFIG")
    }

    #[test]
    fn a_misspelt_alert_and_an_unhandled_one_are_found() {
        let fine = "route: {receiver: humans, routes: [{receiver: runbookd, continue: true}, {receiver: humans}]}\nreceivers:\n  - name: humans\n  - name: runbookd\n    webhook_configs: [{url: 'http://r:9095/webhook/alertmanager', http_config: {authorization: {credentials_file: x}}}]\n";
        snapshot(&fixtures(), "monitoring_rules", &judged(RULES, fine));
    }

    #[test]
    fn what_is_wrong_with_receiver_and_routes_is_found() {
        let wrong = r#"route:
  receiver: humans
  group_interval: 15m
  routes:
    - {matchers: ['severity=~"warning|info"'], receiver: humans}
    - receiver: autofix
receivers:
  - name: humans
  - name: autofix
    webhook_configs:
      - url: http://runbookd:9095/webhook/alertmanager
        send_resolved: false
        max_alerts: 50
"#;
        snapshot(&fixtures(), "monitoring_routes", &judged(RULES, wrong));
        let none = "route: {receiver: humans}\nreceivers: [{name: humans}]\n";
        snapshot(&fixtures(), "monitoring_none", &judged(RULES, none));
        let unused = "route: {receiver: humans}\nreceivers:\n  - name: humans\n  - name: runbookd\n    webhook_configs: [{url: 'http://r/webhook/alertmanager/', http_config: {authorization: {credentials_file: x}}}]\n";
        snapshot(&fixtures(), "monitoring_unused", &judged("nothing: here\n", unused));
    }
}

mod properties {
    //! Whatever bytes come, the reader answers.
    use super::*;
    use proptest::prelude::*;

    /// Bytes that are nearly YAML, so that more than the first line is reached.
    fn nearly_yaml() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("runbook: "),
            Just("look:\n"),
            Just("  "),
            Just("- "),
            Just(": "),
            Just("{"),
            Just("}"),
            Just("["),
            Just("]"),
            Just("\n"),
            Just("&a "),
            Just("*a"),
            Just("'"),
            Just("\""),
            Just("|\n"),
            Just("postgres/main:"),
            Just("match: ['a=b']"),
            Just("require: a.b > 1"),
            Just("!!x "),
            Just("---\n"),
            Just("\u{feff}"),
            Just("# c"),
            Just("password: x"),
            Just("é\u{202e}"),
            Just("\t"),
            Just("? "),
            Just("mode: ask\n"),
            Just("~"),
            Just("steps:\n"),
            Just(", "),
        ];
        proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn bytes_never_fell_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            if let Err(complaints) = load_text(&bytes) {
                complaints.render(true);
            }
        }

        #[test]
        fn what_is_nearly_yaml_never_fells_the_reader(text in nearly_yaml()) {
            if let Err(complaints) = load_text(text.as_bytes()) {
                complaints.render(true);
                complaints.to_json();
            }
        }

        #[test]
        fn a_good_file_cut_anywhere_never_fells_the_reader(at in 0usize..1200, extra in any::<char>()) {
            let dir = good();
            let file = dir.path().join("runbooks/postgres.yaml");
            let mut text = fs::read_to_string(&file).unwrap();
            let at = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap();
            text.truncate(at);
            text.push(extra);
            fs::write(&file, text).unwrap();
            if let Err(complaints) = load(dir.path()) {
                complaints.render(true);
            }
        }
    }
}
