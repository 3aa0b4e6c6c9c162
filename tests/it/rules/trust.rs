//! Trust by degrees with the real daemon and the real command line: it observes and is marked right until it asks; what it asked for
//! and cured is marked right until it acts by itself; one failure, and it asks again. SIGKILL in between changes nothing of it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::daemon::{Daemon, Home, binary, delivery, rehearsal_binary, until};

const RUNBOOK: &str = r#"
runbook: rehearsed
summary: earns its autonomy
match: ['alertname="Rehearsed"']
target: rehearsal/ledger
mode: {default: auto, earned: {after: 2}}
limits: {cooldown: 0s, rate: [50/1h]}
look:
  ledger: {rehearsal.ledger: {}}
require: ledger.broken
remedies:
  - name: one effect and no other
    steps:
      - rehearsal.effect: {key: a1}
    verify: {until: ledger.effects == 1.0, within: 300ms, hold: 0s}
otherwise: escalate
"#;

struct Story {
    home: Home,
    round: std::cell::Cell<u32>,
}

impl Story {
    fn new() -> Self {
        let daemon = "listen: 127.0.0.1:PORT\nrules: {storm: {incidents: 100}}\n";
        let home = Home::new(&[("runbookd.yaml", daemon.to_owned()), ("runbooks/rehearsed.yaml", RUNBOOK.to_owned())]);
        let ledger = home.folder().join("ledger");
        let targets = format!("rehearsal/ledger: {{ledger: {}, class: P3, owner: nobody@example.invalid}}\n", ledger.display());
        home.write("targets.yaml", &targets);
        Self { home, round: std::cell::Cell::new(0) }
    }

    fn start(&self) -> Daemon<'_> {
        self.home.start(rehearsal_binary(), &[])
    }

    /// The fault comes anew; what the ledger holds beside it keeps a cure from being proved.
    fn breaks(&self, daemon: &Daemon<'_>, beside: &str) -> u64 {
        let round = self.round.get() + 1;
        self.round.set(round);
        std::fs::write(self.home.folder().join("ledger"), format!("broken\n{beside}")).unwrap();
        let alert = delivery(&[("alertname", "Rehearsed")], "firing", &format!("2026-01-01T00:{round:02}:00Z"));
        assert_eq!(daemon.deliver(&alert).unwrap().status, 200);
        let opened = || daemon.incidents().first().and_then(|one| one["id"].as_u64()).filter(|id| *id == u64::from(round));
        until("the incident", Duration::from_secs(10), opened, || self.home.log())
    }

    fn comes_to(&self, daemon: &Daemon<'_>, id: u64, stage: &str) -> Value {
        let there = || daemon.incidents().into_iter().find(|one| one["id"] == id && one["stage"] == stage);
        until(stage, Duration::from_secs(20), there, || format!("{:?}\n{}", daemon.incidents(), self.home.log()))
    }

    /// A command: its exit code, and all that it says.
    fn run(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.home.command(binary(), arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap(), text(&output.stdout) + &text(&output.stderr))
    }

    fn mark(&self, id: u64, word: &str) -> String {
        let (code, said) = self.run(&["mark", &format!("INC-{id}"), word, "--by", "ann", "--why", "I looked myself"]);
        assert_eq!(code, 0, "{said}");
        said
    }

    /// What `runbooks` says of the one there is.
    fn stands(&self) -> Value {
        let (code, said) = self.run(&["runbooks", "--json"]);
        assert_eq!(code, 0, "{said}");
        serde_json::from_str::<Value>(&said).unwrap()["standing"][0].clone()
    }

    fn level(&self) -> (String, u64) {
        let stands = self.stands();
        (stands["record"]["level"].as_str().unwrap().to_owned(), stands["record"]["streak"].as_u64().unwrap())
    }

    fn approve(&self, daemon: &Daemon<'_>, id: u64) {
        let shown = daemon.get(&format!("/api/v1/incidents/{id}"));
        let events = shown["events"].as_array().unwrap();
        let ask = events.iter().rev().find_map(|event| event.pointer("/event/waits/on/person/id")).unwrap();
        let (code, said) = self.run(&["approve", ask.as_str().unwrap(), "--by", "ann"]);
        assert_eq!(code, 0, "{said}");
    }
}

fn killed(mut daemon: Daemon<'_>) {
    daemon.child.kill().unwrap();
    daemon.child.wait().unwrap();
}

#[test]
fn from_observe_to_auto_by_marks_and_back_by_one_failure() {
    let story = Story::new();
    let daemon = story.start();
    // It says what it would do, and does nothing.
    let first = story.breaks(&daemon, "");
    let why = story.comes_to(&daemon, first, "refused")["why"].to_string();
    assert!(why.contains("earned observe") && why.contains("would have done rehearsal.effect"), "{why}");
    let (_, said) = story.run(&["explain", "INC-1"]);
    assert!(said.contains("CLOSED  mode") && said.contains("2 more that a person marks right in a row"), "{said}");
    assert!(story.mark(first, "right").contains("has earned observe: 1 more that a person marks right"));
    let (code, said) = story.run(&["mark", "INC-1", "right", "--by", "bob"]);
    assert!(code == 1 && said.contains("ann marked it right"), "{said}");
    let second = story.breaks(&daemon, "");
    story.comes_to(&daemon, second, "refused");
    assert_eq!(story.level(), ("observe".to_owned(), 1), "nothing rises by itself");
    assert!(story.mark(second, "right").contains("has earned ask"));
    killed(daemon);

    // It asks.
    let daemon = story.start();
    assert_eq!(story.level(), ("ask".to_owned(), 0), "the level outlives the process");
    for round in 0..2 {
        let id = story.breaks(&daemon, "");
        story.comes_to(&daemon, id, "asking");
        let (code, said) = story.run(&["mark", &format!("INC-{id}"), "right"]);
        assert!(code == 1 && said.contains("it is not over yet"), "{said}");
        story.approve(&daemon, id);
        story.comes_to(&daemon, id, "cured");
        assert_eq!(story.level(), ("ask".to_owned(), round), "a cure that nobody confirmed earns nothing");
        story.mark(id, "right");
    }
    assert_eq!(story.level(), ("auto".to_owned(), 0));
    killed(daemon);

    // It acts by itself.
    let daemon = story.start();
    let fifth = story.breaks(&daemon, "");
    story.comes_to(&daemon, fifth, "cured");
    let (_, said) = story.run(&["explain", "INC-5"]);
    assert!(said.contains("open  mode") && said.contains("auto (default; earned auto: 2 in a row were right)"), "{said}");

    // One cure that is not proved, and it asks again.
    let sixth = story.breaks(&daemon, "do other\n");
    story.comes_to(&daemon, sixth, "handed_over");
    assert_eq!(story.level(), ("ask".to_owned(), 0));
    killed(daemon);
    let daemon = story.start();
    let seventh = story.breaks(&daemon, "");
    story.comes_to(&daemon, seventh, "asking");
    let (_, said) = story.run(&["explain", "INC-7"]);
    let bound = "earned ask: INC-6 acted, and a person had to go on";
    assert!(said.contains(bound) && said.contains("2 more cures in a row that a person agreed to"), "{said}");
    let (_, said) = story.run(&["runbooks"]);
    assert!(said.contains("earned, up to auto") && said.contains(bound), "{said}");
    assert!(said.contains("3 cured, 1 failed, 4 right, 0 wrong"), "{said}");
    assert_eq!(story.stands()["missing"], json!(2));
    let metrics = xtask::http::Request::get(&daemon.url("/metrics")).send().unwrap().text();
    for line in [
        "runbookd_runbook_mode{runbook=\"rehearsed\",mode=\"ask\"} 1",
        "runbookd_runbook_mode{runbook=\"rehearsed\",mode=\"auto\"} 0",
        "runbookd_breaker_open{runbook=\"rehearsed\"} 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in:\n{metrics}");
    }
}

#[test]
fn a_person_closes_a_breaker_and_what_it_does_next_is_what_it_did_before() {
    let story = Story::new();
    story.home.write("runbooks/rehearsed.yaml", &RUNBOOK.replace("mode: {default: auto, earned: {after: 2}}", "mode: auto"));
    let daemon = story.start();
    let (code, said) = story.run(&["breaker", "close", "rehearsed", "--why", "x"]);
    assert!(code == 1 && said.contains("is not open"), "{said}");
    for _ in 0..3 {
        let id = story.breaks(&daemon, "do other\n");
        story.comes_to(&daemon, id, "handed_over");
    }
    let fourth = story.breaks(&daemon, "");
    let why = story.comes_to(&daemon, fourth, "handed_over")["why"].to_string();
    assert!(why.contains("the breaker is open until") && why.contains("`runbookd breaker close rehearsed` lifts it"), "{why}");
    let (_, said) = story.run(&["runbooks"]);
    assert!(said.contains("nothing: breaker") && said.contains("3 cures failed in a row; one incident may try from"), "{said}");
    assert!(story.run(&["breaker", "list"]).1.contains("rehearsed: breaker open since"));
    let (code, said) = story.run(&["breaker", "close", "rehersed", "--why", "x"]);
    assert!(code == 1 && said.contains("`rehearsed` was meant"), "{said}");
    let (code, said) = story.run(&["breaker", "close", "rehearsed", "--why", "the other effect is gone", "--by", "ann"]);
    assert_eq!(code, 0, "{said}");
    killed(daemon);
    let daemon = story.start();
    let (_, said) = story.run(&["breaker", "list"]);
    assert!(said.contains("No breaker is open") && said.contains("last closed by ann at"), "{said}");
    assert!(said.contains("the other effect is gone"), "{said}");
    let fifth = story.breaks(&daemon, "");
    story.comes_to(&daemon, fifth, "cured");
}
