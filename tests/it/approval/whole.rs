//! Questions with the whole daemon: many claims on the real API and one act, and a question that is told again to Slack's stand-in,
//! across a SIGKILL, until somebody answers.

use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::daemon::{Daemon, Home, delivery, rehearsal_binary, until};
use crate::support::slack_standin::{CHANNEL, SlackStandin};

const RUNBOOK: &str = r#"
runbook: asked
summary: asks before its one effect
match: ['alertname="Rehearsed"']
target: rehearsal/ledger
mode: ask
limits: {cooldown: 0s, rate: [50/1h]}
look:
  ledger: {rehearsal.ledger: {}}
require: ledger.broken
remedies:
  - name: the effect
    steps:
      - rehearsal.effect: {key: a1, undo: true}
    verify: {until: ledger.effects >= 1.0, within: 5s, hold: 100ms}
otherwise: escalate
"#;

fn home(more: &str) -> Home {
    let home = Home::new(&[
        ("runbookd.yaml", format!("listen: 127.0.0.1:PORT\n{more}")),
        ("runbooks/asked.yaml", RUNBOOK.to_owned()),
        ("secrets/dba", "the-token-of-the-dba\n".to_owned()),
        ("secrets/on-call", "the-token-of-on-call\n".to_owned()),
        ("secrets/slack", "xoxb-first".to_owned()),
    ]);
    let ledger = home.folder().join("ledger");
    std::fs::write(&ledger, "broken\n").unwrap();
    home.write(
        "targets.yaml",
        &format!("rehearsal/ledger: {{ledger: {}, class: P3, owner: nobody@example.invalid}}\n", ledger.display()),
    );
    home
}

/// Fires the alert, and waits until a person is asked; gives the question's name.
fn ask(home: &Home, daemon: &Daemon<'_>) -> String {
    daemon.deliver(&delivery(&[("alertname", "Rehearsed")], "firing", "2026-01-01T00:00:00Z")).unwrap();
    let asked = || daemon.get("/api/v1/asks")["asks"][0]["id"].as_str().map(str::to_owned);
    until("a person is asked", Duration::from_secs(20), asked, || home.log())
}

fn effects(home: &Home) -> usize {
    std::fs::read_to_string(home.folder().join("ledger")).unwrap().lines().filter(|line| *line == "do a1").count()
}

#[test]
fn of_many_claims_at_once_one_counts_and_the_act_happens_once() {
    let home = home(
        "approval: {people: {dba: {token: {file: secrets/dba}}, on-call: {token: {file: secrets/on-call}}}, who: [{classes: [P3], people: [dba]}]}\n",
    );
    let daemon = home.start(rehearsal_binary(), &[]);
    let id = ask(&home, &daemon);
    let run = |arguments: &[&str]| {
        let output = home.command(rehearsal_binary(), arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap(), text(&output.stdout) + &text(&output.stderr))
    };
    let (code, shown) = run(&["asks"]);
    for wanted in ["rehearsal.effect", "rehearsal/ledger", "may agree  dba, each with their own token", &id, "exactly    a1"] {
        assert!(code == 0 && shown.contains(wanted), "{wanted}: {shown}");
    }
    let token = |name: &str| home.config().join("secrets").join(name).display().to_string();
    let (code, told) = run(&["approve", &id, "--by", "dba"]);
    assert!(code == 1 && told.contains("nothing proves that this is dba"), "{told}");
    let (code, told) = run(&["approve", &id, "--token-file", &token("on-call")]);
    assert!(code == 1 && told.contains("on-call may not agree"), "{told}");
    assert_eq!(effects(&home), 0);

    let answers = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let answer = run(&["approve", &id, "--token-file", &token("dba")]);
                answers.lock().unwrap().push(answer);
            });
        }
    });
    let answers = answers.into_inner().unwrap();
    let taken: Vec<_> = answers.iter().filter(|(code, _)| *code == 0).collect();
    assert_eq!(taken.len(), 1, "{answers:?}");
    assert!(taken[0].1.contains("dba (proved by their token) agreed"), "{taken:?}");
    assert!(answers.iter().filter(|(code, _)| *code != 0).all(|(_, told)| told.contains("answered by dba at ")), "{answers:?}");
    let closed = daemon.wait_closed(Duration::from_secs(20));
    assert_eq!((closed["how"].as_str(), effects(&home)), (Some("cured"), 1), "{}", home.log());
    let (_, shown) = run(&["asks"]);
    assert!(shown.contains("Nothing waits for a person"), "{shown}");
    let (_, explained) = run(&["explain", "1"]);
    for wanted in ["An answer was not taken: on-call", "dba (proved by their token) agreed", "ask (default): dba agreed"] {
        assert!(explained.replace('`', "").contains(wanted), "{wanted}: {explained}");
    }
    for token in ["the-token-of-the-dba", "the-token-of-on-call"] {
        assert!(!home.log().contains(token), "no token is logged");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_told_again_across_a_kill_and_not_after_the_answer() {
    let slack = SlackStandin::start().await;
    let told = format!(
        "slack: {{token: {{file: secrets/slack}}, channel: {CHANNEL}, base_url: \"{}\"}}\napproval: {{expires: 1m, remind: 5s}}\n",
        slack.base()
    );
    let home = home(&told);
    let again = || slack.messages().iter().filter(|message| message.text.contains("Still waits for a person")).count();
    let wait = |count: usize| {
        let there = || (again() >= count).then_some(());
        until("it is told again", Duration::from_secs(30), there, || format!("{:?}\n{}", slack.messages(), home.log()));
    };
    let daemon = home.start(rehearsal_binary(), &[]);
    let id = ask(&home, &daemon);
    wait(1);
    // The timer that knew of the next one dies with the process; the journal knows it too.
    drop(daemon);
    let daemon = home.start(rehearsal_binary(), &[]);
    wait(2);
    let headline = || slack.messages().iter().any(|message| format!("{:?}", message.blocks).contains("Told again at"));
    until("the message is brought up to date", Duration::from_secs(20), || headline().then_some(()), || home.log());
    let reminded: Vec<u64> = reminders(&daemon);
    assert!(reminded.windows(2).all(|two| two[0] < two[1]), "none is told twice: {reminded:?}");
    daemon.post(&format!("/api/v1/asks/{id}/approve"), &json!({"by": "a person"})).unwrap().ok().unwrap();
    let closed = daemon.wait_closed(Duration::from_secs(20));
    assert_eq!((closed["how"].as_str(), effects(&home)), (Some("cured"), 1));
    let events = daemon.get("/api/v1/incidents/1")["events"].as_array().unwrap().clone();
    let kinds: Vec<&str> = events.iter().map(|event| event["kind"].as_str().unwrap()).collect();
    let answered = kinds.iter().position(|kind| *kind == "answered").unwrap();
    assert!(!kinds[answered..].contains(&"reminded"), "{kinds:?}");
    assert_eq!(slack.complaints(), Vec::<String>::new());
}

fn reminders(daemon: &Daemon<'_>) -> Vec<u64> {
    let shown = daemon.get("/api/v1/incidents/1");
    let through = |event: &Value| event.pointer("/event/reminded/through").and_then(Value::as_u64);
    shown["events"].as_array().unwrap().iter().filter_map(through).collect()
}
