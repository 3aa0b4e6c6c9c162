//! The real program, as people and supervisors meet it: exit codes, every mistake at once, one process per state directory,
//! signals, and what works when the daemon does not. The target cannot be reached here, so its incident waits for sight.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;
use xtask::http::Request;

use crate::support::daemon::{Daemon, Home, binary, until};

const TARGETS: &str = "\
postgres/main: {host: 127.0.0.1, port: 1, database: postgres, look: {user: look, password: {env: HOME}}, act: {user: act, password: {env: HOME}}, class: P1, owner: dba@example.invalid}
http/nobody: {url: 'http://127.0.0.1:1/', class: P4, owner: oncall@example.invalid}
";

const RUNBOOK: &str = "\
runbook: too-many
summary: close idle sessions
match: ['alertname=~\"TooMany.*\"']
target: postgres/main
mode: auto
limits: {cooldown: 10m, rate: [3/1h]}
look:
  sessions: {postgres.sessions: {idle_for: 10m}}
require: sessions.used_ratio > 0.8
remedies:
  - name: close idle sessions
    steps:
      - postgres.terminate_idle: {idle_for: 10m, at_most: 20}
    verify: {until: sessions.used_ratio < 0.7, within: 1m, hold: 15s}
otherwise: escalate
";

fn home() -> Home {
    Home::new(&[
        ("runbookd.yaml", "listen: 127.0.0.1:PORT\n".to_owned()),
        ("targets.yaml", TARGETS.to_owned()),
        ("runbooks/too-many.yaml", RUNBOOK.to_owned()),
    ])
}

/// Runs a command to its end: its exit code, and what it said on both ways out.
fn ran(home: &Home, arguments: &[&str]) -> (i32, String, String) {
    said(&home.command(binary(), arguments).output().unwrap())
}

fn said(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn signal(daemon: &Daemon<'_>, name: &str) {
    let status = Command::new("kill").args(["-s", name, &daemon.child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

/// Waits for the end of a daemon that was told to stop, and gives its exit code.
fn ended(daemon: &mut Daemon<'_>, home: &Home) -> i32 {
    let status = until("the daemon stops", Duration::from_secs(20), || daemon.child.try_wait().unwrap(), || home.log());
    status.code().unwrap()
}

#[test]
fn a_wrong_configuration_is_told_whole_and_starts_nothing() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/config/bad/five-at-once");
    let good = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/config/good");
    let state = tempfile::tempdir().unwrap();
    let state = state.path().join("state");
    let folder = tempfile::tempdir().unwrap();
    // The bad files stand for those of the same name among the good ones.
    for source in [&good, &fixture] {
        for (from, to) in [("", ""), ("runbooks", "runbooks")] {
            std::fs::create_dir_all(folder.path().join(to)).unwrap();
            let Ok(entries) = std::fs::read_dir(source.join(from)) else { continue };
            for entry in entries.map(Result::unwrap).filter(|entry| entry.path().is_file()) {
                std::fs::copy(entry.path(), folder.path().join(to).join(entry.file_name())).unwrap();
            }
        }
    }
    let run = |arguments: &[&str]| {
        let mut command = Command::new(binary());
        command.args(arguments).arg("--config").arg(folder.path()).arg("--state").arg(&state);
        said(&command.output().unwrap())
    };
    let (code, out, _) = run(&["check", "--json"]);
    assert_eq!(code, 64, "{out}");
    let complaints: Vec<Value> = serde_json::from_str(&out).unwrap();
    let errors: Vec<&Value> = complaints.iter().filter(|complaint| complaint["severity"] == "error").collect();
    assert!(errors.len() >= 5, "{out}");
    let (code, out, _) = run(&["check"]);
    assert_eq!(code, 64);
    let (served, nothing, told) = run(&["serve"]);
    assert_eq!((served, nothing.as_str()), (64, ""));
    for error in errors {
        let message = error["message"].as_str().unwrap();
        let place = format!("{}:{}", error["line"], error["column"]);
        assert!(out.contains(message) && told.contains(message), "{message} is missing:\n{told}");
        assert!(told.contains(&place), "{place} is missing:\n{told}");
    }
    assert!(!state.exists(), "nothing was started");
}

#[test]
fn the_shipped_example_checks_out_against_the_shipped_rules_and_routes() {
    let root = xtask::paths::root();
    let run = |arguments: &[&str]| said(&Command::new(binary()).current_dir(&root).args(arguments).output().unwrap());
    let (code, out, told) = run(&[
        "check",
        "--config",
        "config",
        "--rules",
        "deploy/prometheus/rules.yml",
        "--alertmanager",
        "deploy/alertmanager/alertmanager.yml",
    ]);
    assert_eq!(code, 0, "{out}{told}");
    assert!(out.contains("no errors"), "{out}");
    for form in ["daemon", "targets", "runbook"] {
        let (code, out, _) = run(&["schema", form]);
        assert_eq!(code, 0);
        assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["$schema"], "https://json-schema.org/draft/2020-12/schema");
    }
    for wrong in [["bogus", "x"], ["incidents", "--bogus"], ["note", "not-a-number"], ["look", "no-slash"]] {
        assert_eq!(run(&wrong).0, 64, "{wrong:?}");
    }
    assert_eq!(run(&["--help"]).0, 0);
    assert_eq!(run(&["--version"]).0, 0);
}

#[test]
fn a_life_from_start_to_stop_and_what_works_afterwards() {
    let home = home();
    let mut daemon = home.start(binary(), &[]);

    // A second one on the same directory is refused, and does not disturb the first.
    let (code, _, told) = ran(&home, &["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(code, 1);
    assert!(told.contains("one process per state directory"), "{told}");
    daemon.wait_ready();

    // What is seen, what would be done, and what a person starts.
    let (code, out, _) = ran(&home, &["targets", "--json"]);
    assert_eq!(code, 0);
    let seen: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(seen["targets"].as_array().unwrap().len(), 2, "{out}");
    let (code, out, _) = ran(&home, &["run", "too-many", "--dry-run"]);
    assert_eq!(code, 0);
    assert!(out.contains("CLOSED  require") && out.contains("would wait: unknown"), "{out}");
    assert!(daemon.incidents().is_empty(), "a dry run writes nothing");
    let (code, out, _) = ran(&home, &["report", "too many logins on postgres/main, says the app team", "--by", "Ana"]);
    assert_eq!((code, out.contains("INC-1")), (0, true), "{out}");
    let (code, _, told) = ran(&home, &["run", "too-many"]);
    assert_eq!((code, told.contains("INC-1 is open")), (1, true), "{told}");
    let (code, _, told) = ran(&home, &["run", "too-may"]);
    assert_eq!((code, told.contains("`too-many`")), (1, true), "the mend names the nearest: {told}");
    assert_eq!(ran(&home, &["report", "it is slow"]).0, 1, "nothing is guessed");
    assert_eq!(ran(&home, &["note", "INC-1", "looking at it", "--by", "Ana"]).0, 0);
    assert_eq!(ran(&home, &["approve", "no-such-question"]).0, 1);

    // A wrong configuration leaves the old one in force, by signal and by command.
    home.write("targets.yaml", "postgres/main: {hots: 127.0.0.1}\n");
    signal(&daemon, "HUP");
    until(
        "the refusal",
        Duration::from_secs(10),
        || home.log().contains("the old one stays in force").then_some(()),
        || home.log(),
    );
    let (code, _, told) = ran(&home, &["reload"]);
    assert_eq!(code, 64);
    assert!(told.contains("hots") && told.contains("the old one stays in force"), "{told}");
    daemon.wait_ready();
    assert_eq!(ran(&home, &["look", "postgres/main"]).0, 0, "the old inventory is in force");
    home.write("targets.yaml", TARGETS);
    assert_eq!(ran(&home, &["reload"]).0, 0);

    // A pause of one thing, listed and lifted.
    assert_eq!(ran(&home, &["pause", "postgres/mian", "--reason", "x"]).0, 1, "a misspelt target would stop nothing");
    assert_eq!(ran(&home, &["pause", "postgres/main", "--reason", "moving house", "--for", "2h"]).0, 0);
    let (_, out, _) = ran(&home, &["pause", "--list"]);
    assert!(out.contains("target:postgres/main") && out.contains("moving house"), "{out}");
    assert_eq!(ran(&home, &["resume", "postgres/main", "--by", "Bea \u{e9}&x=1"]).0, 0);
    let (_, out, _) = ran(&home, &["pause", "--list"]);
    assert!(out.contains("Nothing is paused") && out.contains("LIFTED") && out.contains("Bea \u{e9}&x=1"), "{out}");
    for words in [&["pause"][..], &["pause", "--reason", " "], &["pause", "--reason", &"why ".repeat(2_000)]] {
        let (code, _, told) = ran(&home, words);
        assert_eq!(code, 0, "a stop in a hurry needs no words, and none are in its way: {told}");
    }
    let (code, _, told) = ran(&home, &["note", "INC-1", ""]);
    assert_eq!((code, told.contains("runbookd note INC-1 \"I am at it\"")), (64, true), "{told}");
    assert_eq!(ran(&home, &["resume"]).0, 0);
    let (code, _, told) = ran(&home, &["resume"]);
    assert_eq!((code, told.contains("`runbookd pause --list`")), (1, true), "the mend must not stop everything: {told}");

    // Who takes the pause file away is on record, too, however long a name they have.
    std::fs::write(home.state().join("PAUSE"), "by hand").unwrap();
    let (code, out, told) = ran(&home, &["resume", "--json", "--by", &"Cleo".repeat(50)]);
    assert_eq!((code, serde_json::from_str::<Value>(&out).is_ok()), (0, true), "{out}{told}");
    let (_, out, _) = ran(&home, &["pause", "--list"]);
    assert!(out.contains("CleoCleo") && out.contains("by hand") && out.contains("the pause file"), "{out}");
    assert_eq!(ran(&home, &["pause", "postgres/main", "--reason", "it outlives the daemon"]).0, 0);

    signal(&daemon, "TERM");
    assert_eq!(ended(&mut daemon, &home), 0, "{}", home.log());
    let (_, out, _) = ran(&home, &["pause", "--list"]);
    assert!(out.contains("it outlives the daemon") && out.contains("CleoCleo"), "{out}");

    // Without the daemon: the record is read, a pause is a file, and an answer says that nobody heard it.
    let (code, out, _) = ran(&home, &["incidents"]);
    assert_eq!(code, 0);
    assert!(out.contains("INC-1") && out.contains("postgres/main"), "{out}");
    let (code, out, _) = ran(&home, &["incidents", "show", "INC-1"]);
    assert_eq!((code, out.contains("Ana") && out.contains("looking at it")), (0, true), "{out}");
    let (code, out, _) = ran(&home, &["unmatched"]);
    assert_eq!((code, out.contains("No alert has come")), (0, true), "{out}");
    assert_eq!(ran(&home, &["evidence", "sessions"]).0, 64);
    let (code, _, told) = ran(&home, &["evidence", &"0".repeat(64)]);
    assert_eq!((code, told.contains("incidents show")), (1, true), "{told}");
    let (code, out, _) = ran(&home, &["explain", "1"]);
    assert_eq!((code, out.contains("CLOSED  require")), (0, true), "{out}");
    let (code, out, _) = ran(&home, &["explain", "1", "--json"]);
    let explained: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, explained["decisions"][0]["kind"].as_str()), (0, Some("waits")), "{out}");
    assert_eq!(ran(&home, &["incidents", "show", "77"]).0, 1);
    assert_eq!(ran(&home, &["journal", "check"]).0, 0);
    let copy = home.folder().join("copy.db");
    assert_eq!(ran(&home, &["journal", "backup", copy.to_str().unwrap()]).0, 0);
    assert_eq!(ran(&home, &["journal", "backup", copy.to_str().unwrap()]).0, 1, "a backup never overwrites");
    let link = home.folder().join("link.db");
    std::os::unix::fs::symlink("nowhere/yet.db", &link).unwrap();
    assert_eq!(ran(&home, &["journal", "backup", link.to_str().unwrap()]).0, 1, "a link is something that stands there");
    assert_eq!(ran(&home, &["journal", "prune"]).0, 0);
    for command in [&["approve", "x"][..], &["deny", "x"], &["note", "1", "x"], &["run", "too-many"], &["reload"], &["doctor"]] {
        let (code, _, told) = ran(&home, command);
        assert_eq!(code, 75, "{command:?}");
        assert!(told.contains("no daemon answers") && told.contains("runbookd serve"), "{told}");
    }
    assert_eq!(ran(&home, &["look", "http/nobody"]).0, 0, "looking needs no daemon");
    let (code, out, _) = ran(&home, &["pause", "--reason", "the database moves", "--by", "Ana"]);
    assert_eq!((code, out.contains("PAUSE")), (0, true), "{out}");

    // The next life is paused by the file until somebody resumes.
    let daemon = home.start(binary(), &[]);
    let (_, out, _) = ran(&home, &["pause", "--list"]);
    assert!(out.contains("the database moves (by Ana)"), "{out}");
    assert_eq!(ran(&home, &["resume"]).0, 0);
    assert_eq!(ran(&home, &["resume", "postgres/main"]).0, 0);
    assert!(ran(&home, &["pause", "--list"]).1.contains("Nothing is paused"));
    drop(daemon);
}

/// The whole of a stop is its end: without a daemon too, nobody's may be cut short by somebody else's.
#[test]
fn without_a_daemon_a_pause_never_cuts_another_short() {
    let home = home();
    let file = home.state().join("PAUSE");
    std::fs::create_dir_all(home.state()).unwrap();
    let pause = |arguments: &[&str]| {
        let (code, out, told) = ran(&home, &[&["pause", "--by", "Ben"][..], arguments].concat());
        assert_eq!(code, 0, "{arguments:?}: {told}");
        let until = std::fs::read_to_string(&file).unwrap_or_default();
        let until = until.lines().find_map(|line| line.strip_prefix("until: ").map(str::to_owned));
        assert!(until.as_ref().is_none_or(|until| out.contains(until.as_str())), "the end that counts is printed: {out}");
        (until, out, ran(&home, &["pause", "--list"]).1)
    };
    // By hand, without an end; then by commands with one, also for less than everything.
    std::fs::write(&file, "stop, by Ana\n").unwrap();
    for arguments in
        [&["--reason", "b", "--for", "1m"][..], &["runbook:too-many", "--for", "1m"], &["postgres/main", "--for", "1m"]]
    {
        let (until, out, list) = pause(arguments);
        assert_eq!(until, None, "{arguments:?}");
        assert!(out.contains("paused, also after the next start, until `runbookd resume all`"), "{out}");
        assert!(out.contains("stop, by Ana") && out.contains("not cut short"), "{out}");
        assert!(list.contains("until lifted") && list.contains("stop, by Ana"), "{list}");
    }
    // The later end counts, whichever came first, and since when it lasts stays.
    assert_eq!(ran(&home, &["resume"]).0, 0);
    assert!(ran(&home, &["pause", "--list"]).1.contains("Nothing is paused"));
    let long = pause(&["--reason", "a migration", "--for", "2h"]).0.expect("an end");
    let began = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    std::fs::File::options().append(true).open(&file).unwrap().set_modified(began).unwrap();
    let (until, _, list) = pause(&["--reason", "lunch", "--for", "10m"]);
    assert_eq!(until, Some(long.clone()));
    assert!(list.contains("lunch") && list.contains("a migration"), "{list}");
    assert_eq!(std::fs::metadata(&file).unwrap().modified().unwrap(), began);
    assert!(pause(&["--reason", "longer", "--for", "3h"]).0.expect("an end") > long);
    assert_eq!(pause(&["--reason", "until: 2020-01-01T00:00:00Z"]).0, None, "no end is the latest end, and words are none");
    // One that is over counts for nothing; one whose end cannot be read has none.
    std::fs::write(&file, "old news\nuntil: 2020-01-01T00:00:00Z\n").unwrap();
    let (until, _, list) = pause(&["--reason", "new", "--for", "1m"]);
    assert!(until.is_some() && !list.contains("old news"), "{list}");
    for unclear in ["until: tomorrow\n", "until: 2020-01-01T00:00:00Z\nuntil: 2020-01-02T00:00:00Z\n"] {
        std::fs::write(&file, unclear).unwrap();
        assert_eq!(pause(&["--for", "1m"]).0, None, "{unclear}");
    }
    // What is no plain file stops as well, and goes on doing so.
    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("nowhere", &file).unwrap();
    assert_eq!(pause(&["--for", "1m"]).0, None, "a link");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    let (_, out, list) = pause(&["--for", "1m"]);
    assert!(out.contains("until `runbookd resume all`") && list.contains("until lifted"), "{out}{list}");
    let (code, _, told) = ran(&home, &["resume"]);
    assert!(code == 1 && told.contains(&format!("then `rmdir {}`", file.display())), "{told}");
}

/// Many at once, each with another end: whoever wrote last, the longest counts.
#[test]
fn without_a_daemon_pauses_that_come_together_leave_the_longest() {
    let home = home();
    std::fs::create_dir_all(home.state()).unwrap();
    let mut running: Vec<_> = (1..=8)
        .map(|hours| {
            let mut command = home.command(binary(), &["pause", "--json", "--for", &format!("{}h", 9 - hours)]);
            command.stdout(std::process::Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let now = runbook::time::Stamp::from_millis(xtask::clock::wall_millis());
    for child in running.drain(..) {
        assert!(child.wait_with_output().unwrap().status.success());
    }
    let until = journal::pause_file(&home.state(), now).unwrap().until.unwrap();
    assert!(until.since(now) > Duration::from_secs(7 * 3600 + 1800), "{until}");
}

#[test]
fn what_comes_from_labels_is_inert_on_the_terminal() {
    let home = home();
    let daemon = home.start(binary(), &[]);
    let nasty = "TooMany\u{1b}[2J\u{202e}$(reboot)";
    let (code, out, _) = ran(&home, &["fire", nasty, "-l", "severity=\u{1b}]0;owned\u{7}"]);
    assert_eq!(code, 0, "{out}");
    until("the incident", Duration::from_secs(10), || (!daemon.incidents().is_empty()).then_some(()), || home.log());
    for command in [&["incidents"][..], &["incidents", "show", "1"], &["explain", "1"]] {
        let (code, shown, told) = ran(&home, command);
        assert_eq!(code, 0);
        let steers = |text: &str| text.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}');
        assert!(!steers(&shown) && !steers(&told) && !steers(&out), "{command:?}: {shown:?}");
    }
    assert!(ran(&home, &["incidents", "show", "1"]).1.contains("$(reboot)"));
    assert!(!home.log().contains("\u{202e}"), "{}", home.log());
}

#[test]
fn ready_comes_soon_and_waits_for_no_target() {
    let home = home();
    // A port that takes connections and never answers: whoever waited for it would not be ready.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    home.write("targets.yaml", &TARGETS.replace("port: 1,", &format!("port: {},", silent.local_addr().unwrap().port())));
    let began = xtask::clock::now();
    let daemon = home.start(binary(), &[]);
    // 100 ms are promised of a release build on a quiet machine, which the benchmark measures; here only that nothing is waited for.
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert_eq!(Request::get(&daemon.url("/healthz")).send().unwrap().status, 200);
}
