//! What cannot be told is told of: the age of the oldest thing to say, which the rule `RunbookdTellsNobody` asks for, counts from
//! when it happened, on the real store and with a Slack that refuses. Delivering itself is the subject of `slack`.

use std::time::Duration;

use journal::{Chosen, Journal};
use runbook::book::Mode;
use runbook::incident::Event;
use runbook::time::Stamp;

use crate::crash::stories::{by_a_person, configuration, runbook, target};
use crate::support::daemon::{Home, binary, delivery, until};
use crate::support::slack_standin::{CHANNEL, SlackStandin};

const NOW: Stamp = Stamp::from_millis(1_800_000_000_000);
const SOON: Duration = Duration::from_secs(30);
const LOOKS: &str = "\
runbook: look
summary: look at it
match: ['alertname=\"Broken\"']
target: redis/cache
mode: observe
look:
  memory: redis.memory
require: memory.used_ratio > 0.9
remedies: []
otherwise: escalate
";

#[tokio::test]
async fn what_cannot_be_told_waits_since_it_happened_however_often_it_was_put_off() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path()).await.unwrap();
    journal.adopt(&configuration(vec![runbook("cure", Mode::Auto, vec![])]), NOW).await.unwrap();
    let at = |seconds: u64| NOW.plus(Duration::from_secs(seconds));
    let chosen = Chosen { runbook: "cure".to_owned(), target: target() };
    let id = journal.open_incident(&chosen, by_a_person(), NOW).await.unwrap();
    let note = async |now: Stamp| {
        let words = "still nobody".to_owned();
        journal.append_from_outside(id, now, &Event::Noted { by: "a person".to_owned(), words }).await.unwrap();
    };
    for minute in 1..=6 {
        journal.tell_later(id, at(minute * 60 + 300), "invalid_auth").await.unwrap();
        note(at(minute * 60)).await;
        assert_eq!(journal.outbox_lag().await.unwrap(), (1, Some(NOW)), "put off {minute} times");
    }
    // What was told waits no more; what happened meanwhile waits since then.
    journal.told_through(id, 5).await.unwrap();
    assert_eq!(journal.outbox_lag().await.unwrap(), (1, Some(at(300))));
    journal.told_through(id, journal.load(id).await.unwrap().seq).await.unwrap();
    assert_eq!(journal.outbox_lag().await.unwrap(), (0, None));
    note(at(900)).await;
    assert_eq!(journal.outbox_lag().await.unwrap(), (1, Some(at(900))));
    journal.told_through(id, journal.load(id).await.unwrap().seq).await.unwrap();
    // A notice in place of one that was not said waits since that one did, until one is said.
    for minute in 20..=25 {
        journal.notice("watchdog", "silent", at(minute * 60)).await.unwrap();
        let notice = journal.notice_due(at(86_400)).await.unwrap().unwrap();
        journal.notice_later(&notice, at(minute * 60 + 300), false, "invalid_auth").await.unwrap();
        assert_eq!(journal.outbox_lag().await.unwrap(), (1, Some(at(1_200))));
    }
    let said = journal.notice_due(at(86_400)).await.unwrap().unwrap();
    journal.notice("watchdog", "heard", at(1_600)).await.unwrap();
    journal.notice_told(&said).await.unwrap();
    assert_eq!(journal.outbox_lag().await.unwrap(), (1, Some(at(1_600))), "the newer one was not said");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_slack_that_refuses_the_age_of_what_is_not_told_goes_on_rising() {
    let slack = SlackStandin::start().await;
    slack.rotate("xoxb-another");
    let home = Home::new(&[
        ("targets.yaml", "redis/cache: {host: 127.0.0.1, port: 1, class: P2, owner: team@example.invalid}\n".to_owned()),
        ("secrets/slack", "xoxb-first".to_owned()),
        (
            "runbookd.yaml",
            format!(
                "listen: 127.0.0.1:PORT\nslack: {{token: {{file: secrets/slack}}, channel: {CHANNEL}, base_url: \"{}\"}}\n",
                slack.base()
            ),
        ),
        ("runbooks/look.yaml", LOOKS.to_owned()),
    ]);
    let daemon = home.start(binary(), &[]);
    daemon.deliver(&delivery(&[("alertname", "Broken")], "firing", "2026-01-01T00:00:00Z")).unwrap().ok().unwrap();
    let age = || {
        let text = xtask::http::Request::get(&daemon.url("/metrics")).send().unwrap().text();
        text.lines().find_map(|line| line.strip_prefix("runbookd_outbox_age_seconds ")?.parse::<f64>().ok()).unwrap()
    };
    let refused = || slack.calls().iter().any(|method| method == "chat.postMessage");
    until("Slack refuses", SOON, || refused().then_some(()), || home.log());
    // It was put off for five minutes by the refusal, and waits all the same.
    until("the age rises", SOON, || (age() > 3.0).then_some(()), || format!("{}\n{}", age(), home.log()));
    assert!(slack.messages().is_empty());
}
