//! Looks that cannot see how an act ended, for longer than the patience with them, told once for every point at which the process can
//! stop: a person is called once, it is looked on, and what the first look that sees finds is gone on with. Only after a day it is
//! given up.

use std::collections::BTreeMap;
use std::time::Duration;

use journal::Journal;
use runbook::action::RehearsalAction;
use runbook::book::{Remedy, Runbook, Step};
use runbook::incident::{Event, How, Incident, Stage};
use runbook::order::{Purpose, Verdict};
use runbook::time::Span;
use runbookd::world::Point;

use super::stories::{effect, remedy, step, story};
use super::world::{Behaviour, Outside};
use super::{Happened, Story, assert_invariants, lives, rehearse, tell};

/// Longer than the patience of two minutes, and shorter than a day.
const LONG: Duration = Duration::from_secs(900);

/// A story in which looks are blind for long from the first call of this on.
fn blind(
    name: &'static str,
    remedies: Vec<Remedy>,
    by: (&'static str, Purpose),
    behaviour: Behaviour,
    ends: &'static [How],
) -> Story {
    let behaviour = Behaviour { blinds: Some((by.0, by.1, LONG)), ..behaviour };
    // An undo whose two tries were both lost to a stop is left to a person.
    Story { may_end: &[How::HandedOver, How::Stuck], ..story(name, remedies, behaviour, ends) }
}

/// The first call of the act goes nowhere.
fn lost() -> Story {
    let behaviour = Behaviour { mended_by: vec!["a1"], lost: vec![("a1", Purpose::Do)], ..Behaviour::default() };
    blind(
        "a lost act out of sight",
        vec![remedy("helps", vec![step(effect("a1"))])],
        ("a1", Purpose::Do),
        behaviour,
        &[How::Cured],
    )
}

/// Told undisturbed, a person is called for these orders, counted from 0, and for no other.
async fn calls_for(story: &Story, wanted: &[usize]) -> Vec<Incident> {
    let (_, incidents, _) = tell(story, &[]).await;
    let called = incidents[0].attempts.iter().enumerate().filter(|(_, attempt)| attempt.unsettled.is_some());
    assert_eq!(called.map(|(index, _)| index).collect::<Vec<_>>(), wanted, "{}", story.name);
    for (attempt, unsettled) in incidents[0].attempts.iter().filter_map(|a| Some((a, a.unsettled.as_ref()?))) {
        let patience = unsettled.called.since(attempt.settles_from);
        assert!((120..123).contains(&patience.as_secs()), "called after {patience:?}");
        assert!(unsettled.since < attempt.settles_from && unsettled.why.contains("cannot be read"), "{unsettled:?}");
    }
    incidents
}

#[tokio::test]
async fn an_act_that_went_nowhere_out_of_sight_is_done_when_it_can_be_seen() {
    let story = lost();
    let incidents = calls_for(&story, &[0]).await;
    let verdicts: Vec<_> = incidents[0].attempts.iter().map(|attempt| attempt.verdict.clone().unwrap()).collect();
    assert!(matches!(verdicts.as_slice(), [Verdict::NotLanded(_), Verdict::Landed(_)]), "{verdicts:?}");
    rehearse(story).await;
}

#[tokio::test]
async fn an_act_that_landed_out_of_sight_is_proved_when_it_can_be_seen() {
    for late in [false, true] {
        let mut behaviour = Behaviour { mended_by: vec!["a1"], ..Behaviour::default() };
        if late {
            behaviour.lands_late = BTreeMap::from([("a1", Duration::from_secs(1))]);
        }
        let remedies = vec![remedy("helps", vec![step(effect("a1"))])];
        let story = blind("an act out of sight", remedies, ("a1", Purpose::Do), behaviour, &[How::Cured]);
        assert_eq!(calls_for(&story, &[0]).await[0].attempts.len(), 1, "it is not done again");
        rehearse(story).await;
    }
}

#[tokio::test]
async fn an_undo_out_of_sight_is_gone_on_with_before_the_next_remedy() {
    for lost in [vec![], vec![("a1", Purpose::Undo)]] {
        let remedies = vec![remedy("first", vec![step(effect("a1"))]), remedy("second", vec![step(effect("b1"))])];
        let again = lost.len();
        let behaviour = Behaviour { mended_by: vec!["b1"], lost, ..Behaviour::default() };
        let story = blind("an undo out of sight", remedies, ("a1", Purpose::Undo), behaviour, &[How::Cured]);
        assert_eq!(calls_for(&story, &[1]).await[0].attempts.len(), 3 + again);
        rehearse(story).await;
    }
}

fn lasting() -> Vec<Step> {
    let mut last = step(RehearsalAction { lasting: true, ..effect("more") });
    last.until = Some("ledger.effects > 5.0".parse().unwrap());
    last.at_most_for = Some(Span::secs(60));
    vec![last]
}

#[tokio::test]
async fn an_end_out_of_sight_is_gone_on_with() {
    for lost in [vec![], vec![("more", Purpose::End)]] {
        let behaviour = Behaviour { mended_by: vec!["more"], lost, ..Behaviour::default() };
        let story =
            blind("an end out of sight", vec![remedy("scale", lasting())], ("more", Purpose::End), behaviour, &[How::HandedOver]);
        calls_for(&story, &[1]).await;
        rehearse(Story { leaves: Some(&[]), ..story }).await;
    }
}

#[tokio::test]
async fn what_nobody_can_see_for_a_day_is_given_up() {
    let mut story = lost();
    story.behaviour.blinds = Some(("a1", Purpose::Do, Duration::from_secs(200_000)));
    story.ends = &[How::Stuck];
    let called = |outside: &Outside| {
        let ledger = outside.ledger.lock().unwrap();
        ledger.happened.iter().filter(|happened| matches!(happened, Happened::Effect(..))).count()
    };
    // Undisturbed, and stopped where nobody can see.
    for stops in [&[][..], &[9], &[10], &[11, 1]] {
        let (outside, incidents, _) = tell(&story, stops).await;
        assert_invariants(&story, &outside, &incidents, "blind for ever");
        let Stage::Closed { why, .. } = &incidents[0].stage else { panic!("{:?}", incidents[0].stage) };
        assert!(why.starts_with("whether rehearsal.effect landed cannot be known: "), "{why}");
        let unsettled = incidents[0].attempts[0].unsettled.as_ref().unwrap();
        let looked_for = incidents[0].last.since(unsettled.called);
        assert!((86_400..86_500).contains(&looked_for.as_secs()), "{looked_for:?}");
        assert_eq!(called(&outside), 1, "it is not done again");
    }
}

/// Looks that see, but never what a condition asks for, are looks that cannot see: a person is called, and nothing is done.
#[tokio::test]
async fn a_condition_on_what_no_look_tells_is_handed_over() {
    let unseen = || "ledger.absent > 0.0".parse().unwrap();
    let remedies = || vec![remedy("helps", vec![step(effect("a1"))])];
    let behaviour = Behaviour { mended_by: vec!["a1"], ..Behaviour::default() };
    let told = |name, change: &dyn Fn(&mut Runbook)| {
        let mut story = story(name, remedies(), behaviour.clone(), &[How::HandedOver]);
        change(story.configuration.runbooks.edit().get_mut("cure").unwrap());
        story
    };
    let stories = [
        told("when", &|runbook| runbook.remedies[0].when = Some(unseen())),
        told("require", &|runbook| runbook.require = unseen()),
        told("only_while", &|runbook| runbook.remedies[0].steps[0].only_while = Some(unseen())),
    ];
    for story in stories {
        for stops in [&[][..], &[7], &[40, 3]] {
            let (outside, incidents, _) = tell(&story, stops).await;
            let Stage::Closed { how: How::HandedOver, why } = &incidents[0].stage else {
                panic!("{}: {:?}", story.name, incidents[0].stage)
            };
            assert!(why.starts_with("could not see for 10m"), "{}: {why}", story.name);
            let waited = incidents[0].last.since(incidents[0].opened);
            assert!((600..660).contains(&waited.as_secs()), "{}: {waited:?}", story.name);
            let happened = &outside.ledger.lock().unwrap().happened;
            assert!(!happened.iter().any(|one| matches!(one, Happened::Effect(..))), "{}: {happened:?}", story.name);
        }
    }
}

/// Lives until a person has been called, and stops there.
async fn called(story: &Story, directory: &std::path::Path, outside: &Outside) -> Journal {
    let (elsewhere, other) = (super::directory(), Outside::new(story.behaviour.clone()));
    let (_, points) = lives(story, elsewhere.path(), &other, usize::MAX).await;
    let call = points.iter().position(|point| *point == Point::AfterAppend("unsettled")).unwrap();
    lives(story, directory, outside, call + 1).await.0
}

#[tokio::test]
async fn who_is_called_is_called_until_it_is_noted_or_seen_and_a_stop_holds_what_comes_after() {
    let said = [
        None,
        Some(Event::Noted { by: "ana".to_owned(), words: "I look".to_owned() }),
        Some(Event::Stopped { why: "a silence".to_owned() }),
    ];
    for said in said {
        let story = lost();
        let (directory, outside) = (super::directory(), Outside::new(story.behaviour.clone()));
        let journal = called(&story, directory.path(), &outside).await;
        let calls = async |journal: &Journal| journal.given_up(outside.now()).await.unwrap();
        let call = calls(&journal).await;
        let [one] = call.as_slice() else { panic!("{call:?}") };
        assert_eq!((one.how.as_str(), one.why.as_str()), ("unsettled", "the ledger cannot be read"));
        let id = one.incident;
        let summary = journal.summary(id).await.unwrap().unwrap();
        assert_eq!((summary.stage.as_str(), summary.why.as_str()), ("unsettled", "the ledger cannot be read"));
        if let Some(event) = &said {
            journal.append_from_outside(id, outside.now(), event).await.unwrap();
            let noted = matches!(event, Event::Noted { .. });
            assert_eq!(calls(&journal).await.is_empty(), noted, "only who has noted it is at it");
        }
        drop(journal);
        let (journal, _) = lives(&story, directory.path(), &outside, usize::MAX).await;
        let (incident, events) = (journal.load(id).await.unwrap(), journal.events(id).await.unwrap());
        let stopped = matches!(said, Some(Event::Stopped { .. }));
        let wanted = if stopped { (How::Stopped, 1) } else { (How::Cured, 2) };
        let Stage::Closed { how, why } = &incident.stage else { panic!("{:?}", incident.stage) };
        assert_eq!((*how, incident.attempts.len()), wanted, "{why}");
        let times = events.iter().filter(|recorded| recorded.event.kind() == "unsettled").count();
        assert_eq!(times, 1, "nobody is called again after a restart");
        assert_eq!(calls(&journal).await, [], "it can be seen again");
    }
}
