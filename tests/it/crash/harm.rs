//! Harm in the middle of a remedy, told once for every point at which the process can stop: nothing further is done, what can be
//! undone is, newest first, and a person is called. What strains what is beside the target does so from its call on, so no restart of
//! ours makes it look as if it had always been so.

use std::collections::BTreeMap;
use std::time::Duration;

use runbook::action::RehearsalAction;
use runbook::book::{Guard, Remedy, Step};
use runbook::incident::How;
use runbook::order::Purpose;
use runbook::time::{Span, Stamp};

use super::stories::{effect, remedy, step, story};
use super::world::Behaviour;
use super::{Happened, Story, rehearse, tell};

const BEGIN: i64 = 1_800_000_000_000;

fn guarded(name: &str, apart: Span, steps: Vec<Step>) -> Remedy {
    let guard = Guard { stop_if: vec!["ledger.strained".parse().unwrap()], looks: 2, apart };
    Remedy { guard: Some(guard), ..remedy(name, steps) }
}

fn harmful(name: &'static str, remedies: Vec<Remedy>, by: &'static str, leaves: &'static [&'static str]) -> Story {
    let behaviour = Behaviour { strained_by: vec![by], ..Behaviour::default() };
    let may_end = &[How::HandedOver, How::Stuck];
    Story { leaves: Some(leaves), may_end, ..story(name, remedies, behaviour, &[How::HandedOver]) }
}

async fn landed(story: &Story) -> Vec<(String, Purpose)> {
    let (outside, incidents, _) = tell(story, &[]).await;
    let happened = outside.ledger.lock().unwrap().happened.clone();
    let runbook::incident::Stage::Closed { why, .. } = &incidents[0].stage else { panic!("{:?}", incidents[0].stage) };
    assert!(why.starts_with("harm: `ledger.strained` came to hold, seen in 2 looks over "), "{why}");
    let landed = happened.into_iter().filter_map(|happened| match happened {
        Happened::Landed(key, purpose) => Some((key, purpose)),
        _ => None,
    });
    landed.collect()
}

fn done(key: &str) -> (String, Purpose) {
    (key.to_owned(), Purpose::Do)
}

fn undone(key: &str) -> (String, Purpose) {
    (key.to_owned(), Purpose::Undo)
}

#[tokio::test]
async fn harm_by_the_first_of_two_steps_stops_the_second_and_the_next_remedy() {
    let remedies = vec![
        guarded("harms", Span::secs(5), vec![step(effect("a1")), step(effect("a2"))]),
        remedy("never", vec![step(effect("b1"))]),
    ];
    let story = harmful("harm between two steps", remedies, "a1", &[]);
    assert_eq!(landed(&story).await, [done("a1"), undone("a1")]);
    rehearse(story).await;
}

#[tokio::test]
async fn harm_by_the_last_step_is_seen_while_it_is_verified_and_all_is_undone_in_reverse() {
    let remedies = vec![guarded("harms", Span::secs(2), vec![step(effect("a1")), step(effect("a2"))])];
    let mut story = harmful("harm while verifying", remedies, "a2", &[]);
    // It would be a cure, too: harm is not weighed against what helps.
    story.behaviour.mended_by = vec!["a1", "a2"];
    assert_eq!(landed(&story).await, [done("a1"), done("a2"), undone("a2"), undone("a1")]);
    rehearse(story).await;
}

#[tokio::test]
async fn harm_in_the_middle_of_a_rolling_step_stops_it_after_the_first() {
    let rolling = RehearsalAction { undo: false, then: vec!["r2".to_owned(), "r3".to_owned()], ..effect("r1") };
    let story = harmful("harm while rolling", vec![guarded("rolls", Span::secs(5), vec![step(rolling)])], "r1", &["r1"]);
    assert_eq!(landed(&story).await, [done("r1")]);
    let (_, incidents, _) = tell(&story, &[]).await;
    let runbook::incident::Stage::Closed { why, .. } = &incidents[0].stage else { panic!() };
    assert!(why.ends_with("nothing more is done, and rehearsal.effect cannot be undone"), "{why}");
    rehearse(story).await;
}

#[tokio::test]
async fn harm_while_an_order_is_in_doubt_waits_until_it_is_settled() {
    let remedies = vec![guarded("late", Span::secs(1), vec![step(effect("a1")), step(effect("a2"))])];
    let mut story = harmful("harm in doubt", remedies, "a1", &[]);
    story.behaviour.lands_late = BTreeMap::from([("a1", Duration::from_millis(6_900))]);
    story.behaviour.strains_from = Some(Stamp::from_millis(BEGIN + 2_000));
    assert_eq!(landed(&story).await, [done("a1"), undone("a1")], "it lands after the harm was seen, and is undone");
    rehearse(story).await;
}

#[tokio::test]
async fn harm_by_an_act_that_cannot_be_seen_for_long_is_seen_with_it_and_undone() {
    let remedies = vec![guarded("blind", Span::secs(5), vec![step(effect("a1")), step(effect("a2"))])];
    let mut story = harmful("harm out of sight", remedies, "a1", &[]);
    story.behaviour.blinds = Some(("a1", Purpose::Do, Duration::from_secs(900)));
    assert_eq!(landed(&story).await, [done("a1"), undone("a1")], "nothing further is done");
    rehearse(story).await;
}

#[tokio::test]
async fn an_effect_that_begins_to_harm_while_it_lasts_is_taken_back() {
    let mut last = step(RehearsalAction { lasting: true, ..effect("more") });
    last.until = Some("ledger.effects > 5.0".parse().unwrap());
    last.at_most_for = Some(Span::secs(3_600));
    let mut story = harmful("harm while it lasts", vec![guarded("scale", Span::secs(5), vec![last])], "more", &[]);
    story.behaviour.mended_by = vec!["more"];
    story.behaviour.strains_from = Some(Stamp::from_millis(BEGIN + 200_000));
    assert_eq!(landed(&story).await, [done("more"), undone("more")]);
    rehearse(story).await;
}

#[tokio::test]
async fn an_undo_after_harm_that_fails_is_stuck_and_names_the_harm() {
    let stubborn = RehearsalAction { undo_fails: true, ..effect("a1") };
    let mut story = harmful("harm and stuck", vec![guarded("harms", Span::secs(5), vec![step(stubborn)])], "a1", &["a1"]);
    story.ends = &[How::Stuck];
    story.may_end = &[How::Stuck];
    assert_eq!(landed(&story).await, [done("a1")]);
    rehearse(story).await;
}
