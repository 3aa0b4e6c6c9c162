//! What is said when: the headline first, then the thread in order, nothing twice, the final report never dropped; and what is learnt
//! from each way a delivery can end.

use std::time::Duration;

use runbook::incident::{Answer, Event, Proof};
use runbook::order::Verdict;
use runbook::silence::{Became, Quieted, Silence};
use runbook::time::Stamp;

use super::samples::{self, Sample};
use crate::delivery::refusal;
use crate::headline::headline;
use crate::outgoing::Kind;
use crate::words::Manner;
use crate::{Delivery, Fault, Outgoing, Refusal, Sent, final_report, outgoing, story, terminal};

fn due(sample: &Sample, sent: &Sent) -> Vec<Outgoing> {
    outgoing(&sample.incident, &sample.events, sent, &Manner::default())
}

fn arrived(number: u32) -> Delivery {
    Delivery::Delivered { channel: "C1".into(), ts: format!("1750039860.{number:06}") }
}

// Delivers one after another, as a Slack that always says yes; gives back what was sent.
fn say_all(sample: &Sample, sent: &mut Sent) -> Vec<Outgoing> {
    let mut said = Vec::new();
    while let Some(next) = due(sample, sent).into_iter().next() {
        sent.attempts(&next);
        let ts = next.ts.clone().unwrap_or_else(|| "1750039860.000001".to_owned());
        sent.learns(&next, &Delivery::Delivered { channel: "C1".into(), ts });
        said.push(next);
        assert!(said.len() < 100, "it must come to an end");
    }
    said
}

fn kinds(said: &[Outgoing]) -> Vec<(Kind, &str)> {
    said.iter().map(|outgoing| (outgoing.kind, outgoing.key.as_str())).collect()
}

#[test]
fn headline_then_thread_then_report_and_nothing_twice() {
    let sample = samples::cured("");
    let mut sent = Sent::default();
    let said = say_all(&sample, &mut sent);
    let wanted = [
        (Kind::Headline, "headline"),
        (Kind::Thread, "0"),
        (Kind::Thread, "3"),
        (Kind::Thread, "5"),
        (Kind::Thread, "6"),
        (Kind::Final, "7"),
    ];
    assert_eq!(kinds(&said), wanted);
    assert!(said[1..].iter().all(|reply| reply.ts == sent.headline && reply.channel.as_deref() == Some("C1")));
    assert_eq!(due(&sample, &sent), []);
    let kept: Sent = serde_json::from_str(&serde_json::to_string(&sent).unwrap()).unwrap();
    assert_eq!(due(&sample, &kept), [], "also after a restart");
}

#[test]
fn an_absence_costs_intermediate_headlines_and_no_reply() {
    let mut sent = Sent::default();
    let first = say_all(&samples::opened(""), &mut sent);
    assert_eq!(kinds(&first), [(Kind::Headline, "headline"), (Kind::Thread, "0")]);
    let rest = say_all(&samples::cured(""), &mut sent);
    let wanted = [(Kind::Update, "headline"), (Kind::Thread, "3"), (Kind::Thread, "5"), (Kind::Thread, "6"), (Kind::Final, "7")];
    assert_eq!(kinds(&rest), wanted);
}

#[test]
fn what_wants_a_person_is_shown_in_the_channel() {
    let said = say_all(&samples::unanswered(""), &mut Sent::default());
    let loud: Vec<_> = said.iter().filter(|outgoing| outgoing.loud).map(|outgoing| outgoing.kind).collect();
    assert_eq!(loud, [Kind::Thread, Kind::Final]);
    assert!(say_all(&samples::cured(""), &mut Sent::default()).iter().all(|outgoing| !outgoing.loud));
}

#[test]
fn what_cannot_be_seen_is_called_out_while_it_cannot_and_only_told_afterwards() {
    let told = |sample: &Sample| {
        let story = story(&sample.incident, &sample.events, &Manner::default());
        story.into_iter().find(|entry| entry.line.plain().starts_with("Cannot see how #1 ended")).unwrap()
    };
    let blind = samples::unsettled("");
    let line = told(&blind).line.plain();
    for wanted in ["every 30s", "runbookd note INC-42 \"I am at it\"", "runbookd pause target:postgres/main"] {
        assert!(line.contains(wanted), "{wanted}: {line}");
    }
    assert!(told(&blind).loud && !line.contains("  "), "{line}");
    let sees = blind.then(600_000, samples::settled(599_990, Verdict::Landed("all are gone".into())));
    let line = told(&sees);
    assert!(!line.loud && !line.line.plain().contains("Somebody has to"), "whoever hears of it late has nothing to do: {line:?}");
}

#[test]
fn a_question_is_told_again_until_it_is_answered() {
    let again = |sample: &Sample| {
        let story = story(&sample.incident, &sample.events, &Manner::default());
        story.into_iter().filter(|entry| entry.line.plain().starts_with("Still waits for a person")).collect::<Vec<_>>()
    };
    let asked = samples::asking("").then(600_000, Event::Reminded { ask: "q7f3k9".into(), through: 1 });
    let told = again(&asked);
    let line = told[0].line.plain();
    assert!(told.len() == 1 && told[0].loud, "it goes out like the question itself: {told:?}");
    for wanted in ["no answer within 20m is a no", "runbookd approve q7f3k9", "runbookd deny q7f3k9"] {
        assert!(line.contains(wanted), "{wanted}: {line}");
    }
    let last = asked.clone().then(1_500_000, Event::Reminded { ask: "q7f3k9".into(), through: 2 });
    assert!(again(&last)[1].line.plain().contains("for the last time"));
    assert!(
        headline(&last.incident, &last.events, &Manner::default())
            .blocks
            .iter()
            .any(|b| format!("{b:?}").contains("Told again at"))
    );
    let refused = Event::AnswerRefused {
        ask: "q7f3k9".into(),
        by: "on-call".into(),
        proof: Proof::Token,
        why: "on-call may not agree: dba may".into(),
    };
    let tried = last.then(1_510_000, refused);
    let story = story(&tried.incident, &tried.events, &Manner::default());
    assert!(story.last().unwrap().line.plain().contains("The question still stands."));
    let answer = Answer::Granted { by: "dba".into(), proof: Proof::Token };
    let answered = tried.then(1_520_000, Event::Answered { ask: "q7f3k9".into(), answer });
    assert_eq!(again(&answered), [], "what Slack was not told in time it is not told after the answer");
}

#[test]
fn what_was_silenced_and_what_was_not_is_told_wherever_the_act_is() {
    let silence = |id: &str, although: Option<&str>| {
        let (at, although) = ("http://am:9093".into(), although.map(str::to_owned));
        Became::Silenced(Silence { id: id.into(), at, ends: Stamp::from_millis(samples::NIGHT + 5_000), although })
    };
    let alert = |service: &str| format!("{{alertname=\"BackendErrors\", service=\"{service}\"}}");
    let alerts = vec![
        Quieted { alert: alert("backend"), became: silence("4f1c", None) },
        Quieted { alert: alert("cache"), became: silence("7d2e", Some("it was not ended")) },
        Quieted { alert: alert("front"), became: Became::Not { why: "it fires already".into() } },
    ];
    let sample = samples::acting("").then(205, Event::Quieted { alerts });
    let manner = Manner::default();
    let all = [
        story(&sample.incident, &sample.events, &manner).last().unwrap().line.plain(),
        terminal::explain(&sample.incident, &sample.events, &std::collections::BTreeMap::new(), &manner),
        final_report(&sample.incident, &sample.events, &manner).text(),
    ];
    for told in all {
        for wanted in [
            "service=\"backend\"} is silenced until",
            "(4f1c);",
            "(7d2e), although it was not ended",
            "service=\"front\"} is not silenced: it fires already",
        ] {
            assert!(told.contains(wanted), "{wanted}: {told}");
        }
    }
    assert_eq!(sample.incident.silences(Stamp::from_millis(samples::NIGHT)).len(), 2);
}

#[test]
fn the_same_wait_is_told_once() {
    let sample = samples::handed_over("");
    let waits = story(&sample.incident, &sample.events, &Manner::default())
        .into_iter()
        .filter(|entry| entry.line.plain().starts_with("Waits"));
    assert_eq!(waits.map(|entry| entry.key).collect::<Vec<_>>(), [2]);
}

#[test]
fn a_note_after_the_end_is_told_and_changes_nothing_else() {
    let sample = samples::cured("");
    let mut sent = Sent::default();
    say_all(&sample, &mut sent);
    let noted = sample.then(60_000, runbook::incident::Event::Noted { by: "ann".into(), words: "pool fixed".into() });
    assert_eq!(kinds(&say_all(&noted, &mut sent)), [(Kind::Thread, "8")]);
}

#[test]
fn a_lost_answer_and_a_crash_make_the_next_attempt_doubtful() {
    let sample = samples::opened("");
    let mut sent = Sent::default();
    let next = due(&sample, &sent).remove(0);
    assert!(!next.doubtful);
    sent.attempts(&next);
    assert!(due(&sample, &sent)[0].doubtful, "a crash after the attempt");
    sent.learns(&next, &Delivery::Unknown("cut".into()));
    assert!(due(&sample, &sent)[0].doubtful, "a lost answer");
    for _ in 1..5 {
        sent.learns(&next, &Delivery::Unknown("cut".into()));
    }
    assert!(!due(&sample, &sent)[0].doubtful, "where looking never works, the news still goes out");
    sent.learns(&next, &Delivery::Unknown("cut".into()));
    assert!(due(&sample, &sent)[0].doubtful, "once");
    sent.learns(&next, &Delivery::Later(Duration::from_secs(1), "429".into()));
    assert!(!due(&sample, &sent)[0].doubtful, "a refusal proves that it is not there");
    sent.learns(&next, &arrived(1));
    assert!(due(&sample, &sent).iter().all(|outgoing| !outgoing.doubtful));
}

#[test]
fn refusals_are_kept_apart_by_whose_fault_they_are() {
    let never = |fault| Delivery::Never(Refusal { error: "x".into(), fault, mend: "y" });
    let sample = samples::cured("");

    let mut sent = Sent::default();
    let next = due(&sample, &sent).remove(0);
    sent.learns(&next, &never(Fault::Setup));
    assert_eq!(kinds(&due(&sample, &sent)), [(Kind::Headline, "headline")], "a person mends it and it goes out");
    sent.learns(&next, &never(Fault::Message));
    assert_eq!(due(&sample, &sent), [], "the same words would be refused again");

    let mut sent = Sent::default();
    say_all(&samples::opened(""), &mut sent);
    for _ in 0..3 {
        let update = due(&sample, &sent).remove(0);
        assert_eq!(update.kind, Kind::Update);
        sent.learns(&update, &never(Fault::Gone));
        let anew = due(&sample, &sent).remove(0);
        assert_eq!(anew.kind, Kind::Headline, "a deleted message is posted anew");
        sent.learns(&anew, &arrived(2));
        sent.digest = None;
    }
    let update = due(&sample, &sent).remove(0);
    sent.learns(&update, &never(Fault::Gone));
    assert!(due(&sample, &sent).iter().all(|outgoing| outgoing.kind != Kind::Headline), "but not for ever");

    let reply = due(&sample, &sent).remove(0);
    sent.learns(&reply, &never(Fault::Message));
    assert!(due(&sample, &sent).iter().all(|outgoing| outgoing.seq > reply.seq), "one bad reply does not hold up the others");
}

#[test]
fn slacks_words_are_sorted() {
    let fault = |error: &str| match refusal(error) {
        Delivery::Never(refusal) => Some(refusal.fault),
        _ => None,
    };
    for error in ["channel_not_found", "invalid_auth", "not_in_channel", "missing_scope", "http_404", "something_new"] {
        assert_eq!(fault(error), Some(Fault::Setup), "{error}");
    }
    for error in ["msg_too_long", "msg_blocks_too_long", "invalid_blocks"] {
        assert_eq!(fault(error), Some(Fault::Message), "{error}");
    }
    for error in ["message_not_found", "edit_window_closed", "cant_update_message"] {
        assert_eq!(fault(error), Some(Fault::Gone), "{error}");
    }
    assert!(matches!(refusal("ratelimited"), Delivery::Later(..)));
    assert!(matches!(refusal("fatal_error"), Delivery::Unknown(_)));
}
