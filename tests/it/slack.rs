//! Telling, over a real connection, to a stand-in for Slack that is as strict as Slack: the whole story of an incident, every way in
//! which a delivery can go wrong, and what is there twice after a crash (nothing, where the token may read).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use report::slack::{Slack, check_up};
use report::{Delivery, Fault as Whose, Kind, Manner, Outgoing, Sent, deliver, outgoing};
use secrecy::SecretString;

use crate::support::slack_standin::{CHANNEL, Fault, SlackStandin};

// The same incidents that the rendering is tested with; one copy.
#[path = "../../crates/report/src/tests/samples.rs"]
mod samples;
use samples::Sample;

struct Desk {
    standin: SlackStandin,
    slack: Slack,
    token: Arc<Mutex<String>>,
}

async fn desk_for(channel: &str) -> Desk {
    // Another test of this binary may have installed it already.
    rustls::crypto::ring::default_provider().install_default().ok();
    let standin = SlackStandin::start().await;
    let token = Arc::new(Mutex::new("xoxb-first".to_owned()));
    let source = Arc::clone(&token);
    let slack =
        Slack::new(&standin.base(), channel, Arc::new(move || Ok(SecretString::from(source.lock().unwrap().clone())))).unwrap();
    Desk { standin, slack, token }
}

async fn desk() -> Desk {
    desk_for(CHANNEL).await
}

fn manner() -> Manner {
    Manner { page: Some("https://runbookd.example".into()), ..Manner::default() }
}

fn due(sample: &Sample, sent: &Sent) -> Vec<Outgoing> {
    outgoing(&sample.incident, &sample.events, sent, &manner())
}

// One delivery as the daemon does it: kept before, kept after.
async fn step(desk: &Desk, sample: &Sample, sent: &mut Sent) -> Option<(Outgoing, Delivery)> {
    let next = due(sample, sent).into_iter().next()?;
    sent.attempts(&next);
    let delivery = deliver(&desk.slack, &next).await;
    sent.learns(&next, &delivery);
    Some((next, delivery))
}

async fn tell_all(desk: &Desk, sample: &Sample, sent: &mut Sent) {
    for _ in 0..100 {
        match step(desk, sample, sent).await {
            None => return,
            Some((_, Delivery::Delivered { .. })) => {}
            Some((outgoing, other)) => panic!("{:?} {}: {other:?}", outgoing.kind, outgoing.key),
        }
    }
    panic!("it does not come to an end");
}

#[tokio::test]
async fn an_incident_is_one_message_kept_current_and_its_story_is_the_thread() {
    let desk = desk().await;
    desk.standin.chatter("good night");
    let mut sent = Sent::default();
    for sample in [samples::opened(""), samples::acting(""), samples::cured("")] {
        tell_all(&desk, &sample, &mut sent).await;
    }
    let messages = desk.standin.messages();
    let ours: Vec<_> = messages.iter().filter(|message| !message.foreign && message.thread_ts.is_none()).collect();
    assert_eq!(ours.len(), 1, "one message per incident");
    assert_eq!(ours[0].updates, 2);
    assert!(ours[0].text.contains("*Cured*"), "{}", ours[0].text);
    let thread: Vec<_> = messages.iter().filter(|message| message.thread_ts.as_ref() == Some(&ours[0].ts)).collect();
    assert_eq!(thread.len(), 5, "opened, started, landed, verified, report");
    let report = serde_json::to_string(&thread[4].blocks).unwrap();
    for wanted in [
        "93 % before, *41 %* after",
        "pid 100 started 2025-06-16T00:11:00.000100Z",
        "14 of 14 sessions are gone",
        "first act after 150ms",
    ] {
        assert!(report.contains(wanted), "{wanted}: {report}");
    }
    assert_eq!(desk.standin.complaints(), Vec::<String>::new());
}

#[tokio::test]
async fn what_strangers_write_calls_nobody_and_links_nowhere() {
    let desk = desk().await;
    for words in [" <!channel> <@U1> <https://evil|Approve>", "`*~_\n\u{202e}\u{1b}[31m", &"&<🙂\"\\".repeat(2_000)] {
        for sample in samples::all(words) {
            tell_all(&desk, &sample, &mut Sent::default()).await;
        }
    }
    assert_eq!(desk.standin.complaints(), Vec::<String>::new());
}

#[tokio::test]
async fn what_wants_a_person_is_shown_in_the_channel_and_the_rest_is_not() {
    let desk = desk().await;
    tell_all(&desk, &samples::unanswered(""), &mut Sent::default()).await;
    let messages = desk.standin.messages();
    let loud: Vec<_> = messages.iter().filter(|message| message.broadcast).map(|message| message.text.as_str()).collect();
    assert_eq!(loud.len(), 2, "the question and the report: {loud:?}");
    assert!(loud[0].contains("Asks a person"), "{loud:?}");
    assert!(loud[1].contains("*handed over*"), "{loud:?}");
}

#[tokio::test]
async fn each_failure_is_what_it_is() {
    let desk = desk().await;
    let slack = desk.slack.clone().within(Duration::from_millis(300));
    let next = due(&samples::opened(""), &Sent::default()).remove(0);

    desk.standin.fail([
        Fault::TooMany(7),
        Fault::Status(500),
        Fault::Refuse("channel_not_found"),
        Fault::Refuse("fatal_error"),
        Fault::Silence,
        Fault::Status(302),
    ]);
    assert!(matches!(deliver(&slack, &next).await, Delivery::Later(wait, _) if wait == Duration::from_secs(7)));
    assert!(matches!(deliver(&slack, &next).await, Delivery::Unknown(_)), "a 500 proves nothing");
    assert!(
        matches!(deliver(&slack, &next).await, Delivery::Never(refusal) if refusal.fault == Whose::Setup && refusal.error == "channel_not_found")
    );
    assert!(matches!(deliver(&slack, &next).await, Delivery::Unknown(_)), "Slack says that some of it may have succeeded");
    assert!(matches!(deliver(&slack, &next).await, Delivery::Unknown(why) if why.contains("deadline")));
    assert!(
        matches!(deliver(&slack, &next).await, Delivery::Never(refusal) if refusal.error == "http_302"),
        "a token does not follow redirects"
    );
    assert!(desk.standin.messages().is_empty());

    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nowhere =
        Slack::new(&format!("http://{closed}/api/"), CHANNEL, Arc::new(|| Ok(SecretString::from("xoxb-first")))).unwrap();
    assert!(matches!(deliver(&nowhere, &next).await, Delivery::Later(..)), "what was never connected was never sent");
    let tokenless = Slack::new(&desk.standin.base(), CHANNEL, Arc::new(|| anyhow::bail!("the file is not there"))).unwrap();
    assert!(matches!(deliver(&tokenless, &next).await, Delivery::Later(_, why) if why.contains("the file is not there")));
    assert!(Slack::new("no address", CHANNEL, Arc::new(|| Ok(SecretString::from("x")))).is_err());
}

#[tokio::test]
async fn a_lost_answer_leads_to_a_look_and_not_to_a_second_message() {
    let desk = desk().await;
    let sample = samples::cured("");
    for _ in 0..5 {
        desk.standin.chatter("so that what is looked for is on a later page");
    }
    let mut sent = Sent::default();
    while let Some(next) = due(&sample, &sent).into_iter().next() {
        if !next.doubtful {
            desk.standin.fail([Fault::TakeAndCut]);
            let (_, delivery) = step(&desk, &sample, &mut sent).await.unwrap();
            assert!(matches!(delivery, Delivery::Unknown(_)), "{delivery:?}");
        }
        let (_, delivery) = step(&desk, &sample, &mut sent).await.unwrap();
        assert!(matches!(delivery, Delivery::Delivered { .. }), "{delivery:?}");
    }
    let ours = desk.standin.messages().iter().filter(|message| !message.foreign).count();
    assert_eq!(ours, 6, "each is there once");
    assert_eq!(desk.standin.calls().iter().filter(|method| *method == "chat.postMessage").count(), 6);
}

#[tokio::test]
async fn without_the_scope_to_read_a_second_message_is_the_worst() {
    let desk = desk().await;
    desk.standin.allow(false, true);
    let sample = samples::opened("");
    let mut sent = Sent::default();
    desk.standin.fail([Fault::TakeAndCut]);
    step(&desk, &sample, &mut sent).await.unwrap();
    tell_all(&desk, &sample, &mut sent).await;
    let tops = desk.standin.messages().iter().filter(|message| message.thread_ts.is_none()).count();
    assert_eq!(tops, 2);
}

#[tokio::test]
async fn another_incident_of_the_same_number_is_not_mistaken_for_this_one() {
    let desk = desk().await;
    tell_all(&desk, &samples::opened(""), &mut Sent::default()).await;
    let mut other = due(&samples::opened(""), &Sent::default()).remove(0);
    other.doubtful = true;
    other.opened = other.opened.plus(Duration::from_secs(60));
    assert!(matches!(deliver(&desk.slack, &other).await, Delivery::Delivered { .. }));
    assert_eq!(desk.standin.messages().iter().filter(|message| message.thread_ts.is_none()).count(), 2);
}

#[tokio::test]
async fn blocks_that_slack_refuses_still_bring_the_news() {
    let desk = desk().await;
    desk.standin.fail([Fault::Refuse("msg_blocks_too_long")]);
    let mut sent = Sent::default();
    tell_all(&desk, &samples::opened(""), &mut sent).await;
    let messages = desk.standin.messages();
    assert!(messages[0].blocks.is_empty() && messages[0].text.contains("INC-42"));
    desk.standin.fail([Fault::Refuse("msg_too_long"), Fault::Refuse("msg_too_long")]);
    let (_, delivery) = step(&desk, &samples::cured(""), &mut sent).await.unwrap();
    assert!(matches!(delivery, Delivery::Never(refusal) if refusal.fault == Whose::Message));
    tell_all(&desk, &samples::cured(""), &mut sent).await;
    assert!(desk.standin.messages().iter().any(|message| message.text.contains("*cured*")), "the report is not held up");
}

#[tokio::test]
async fn a_deleted_message_is_posted_anew_and_names_become_ids() {
    let desk = desk_for("#incidents").await;
    let mut sent = Sent::default();
    tell_all(&desk, &samples::opened(""), &mut sent).await;
    assert_eq!(sent.channel.as_deref(), Some(CHANNEL));
    desk.standin.delete(&sent.headline.clone().unwrap());
    let (outgoing, delivery) = step(&desk, &samples::cured(""), &mut sent).await.unwrap();
    assert_eq!(outgoing.kind, Kind::Update);
    assert!(matches!(delivery, Delivery::Never(refusal) if refusal.fault == Whose::Gone));
    tell_all(&desk, &samples::cured(""), &mut sent).await;
    assert!(desk.standin.messages().iter().any(|message| message.thread_ts == sent.headline && message.text.contains("*cured*")));
    assert_eq!(desk.standin.complaints(), Vec::<String>::new());
}

#[tokio::test]
async fn a_rotated_token_is_used_at_once() {
    let desk = desk().await;
    desk.standin.rotate("xoxb-second");
    let sample = samples::opened("");
    let mut sent = Sent::default();
    let (_, delivery) = step(&desk, &sample, &mut sent).await.unwrap();
    assert!(
        matches!(delivery, Delivery::Never(refusal) if refusal.error == "invalid_auth" && refusal.to_string().contains("token"))
    );
    *desk.token.lock().unwrap() = "xoxb-second\n".to_owned();
    tell_all(&desk, &sample, &mut sent).await;
    assert_eq!(desk.standin.messages().len(), 2);
}

#[tokio::test]
async fn doctor_sees_what_would_keep_messages_away() {
    let desk = desk().await;
    let found = check_up(&desk.slack).await;
    assert_eq!((found.well.len(), found.faults.len(), found.unknown.len()), (2, 0, 0), "{found:?}");
    desk.standin.allow(true, false);
    let found = check_up(&desk.slack).await;
    assert!(found.faults[0].contains("invite"), "{found:?}");
    desk.standin.allow(false, true);
    let found = check_up(&desk.slack).await;
    assert!(found.unknown[0].contains("channels:read") && found.unknown[1].contains("may be there twice"), "{found:?}");
    desk.standin.rotate("another");
    let found = check_up(&desk.slack).await;
    assert!(found.faults[0].contains("invalid_auth"), "{found:?}");
    assert!(desk.standin.messages().is_empty(), "and writes nothing");
}
