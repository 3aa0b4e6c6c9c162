//! The stories: everything that the state machine can go through, each with the smallest runbook that goes there.

use std::collections::BTreeMap;
use std::time::Duration;

use runbook::action::{Action, RehearsalAction};
use runbook::alert::{Alert, AlertStatus, Fingerprint, Labels};
use runbook::book::{Configuration, Limits, Look, Mode, ModeByTime, Remedy, Runbook, Step, Verify};
use runbook::condition::Condition;
use runbook::incident::{How, Trigger};
use runbook::order::Purpose;
use runbook::probe::{Probe, RehearsalProbe};
use runbook::target::{Class, Inventory, Place, Target, TargetId, TargetSelector, Traits};
use runbook::time::{Span, Stamp};

use super::world::Behaviour;
use super::{Happened, Person, Story, rehearse, tell};

pub fn target() -> TargetId {
    "rehearsal/ledger".parse().unwrap()
}

pub fn effect(key: &str) -> RehearsalAction {
    RehearsalAction { key: key.to_owned(), undo: true, ..RehearsalAction::default() }
}

pub fn step(action: RehearsalAction) -> Step {
    Step { action: Action::Rehearsal(action), target: None, until: None, at_most_for: None, only_while: None, silence: vec![] }
}

pub fn remedy(name: &str, steps: Vec<Step>) -> Remedy {
    let verify = Verify { until: "!ledger.broken".parse().unwrap(), within: Span::secs(10), hold: Span::secs(2) };
    Remedy { name: name.to_owned(), when: None, mode: None, steps, verify, guard: None }
}

pub fn runbook(name: &str, mode: Mode, remedies: Vec<Remedy>) -> Runbook {
    Runbook {
        name: name.to_owned(),
        summary: "a rehearsal".to_owned(),
        matches: None,
        target: TargetSelector::Named(target()),
        priority: 0,
        mode: ModeByTime::always(mode),
        limits: Limits { cooldown: Span::secs(0), rate: vec![], recurrence: None },
        look: BTreeMap::from([("ledger".to_owned(), Look { probe: Probe::Rehearsal(RehearsalProbe::Ledger), target: None })]),
        require: Condition::parse("ledger.broken").unwrap(),
        remedies,
    }
}

pub fn configuration(runbooks: Vec<Runbook>) -> Configuration {
    let traits =
        Traits { depends_on: vec![], stateful: false, may_be_cloned: false, class: Class::P3, owner: "nobody".to_owned() };
    let place = Place::Rehearsal { ledger: "in memory".to_owned() };
    let inventory = Inventory::new([Target { id: target(), traits, place, known_as: vec![] }]);
    let runbooks = runbooks.into_iter().map(|runbook| (runbook.name.clone(), runbook)).collect();
    Configuration { runbooks, inventory, ..Configuration::default() }
}

pub fn by_alert() -> Trigger {
    let labels = Labels::from([("alertname".to_owned(), "Rehearsed".to_owned())]);
    Trigger::Alert(Alert {
        fingerprint: Fingerprint::of(&labels),
        status: AlertStatus::Firing,
        labels,
        annotations: Labels::new(),
        starts_at: Stamp::from_millis(1_799_999_000_000),
        generator_url: String::new(),
    })
}

pub fn by_a_person() -> Trigger {
    Trigger::Person { by: "a person".to_owned(), words: "it is broken".to_owned() }
}

pub fn story(name: &'static str, remedies: Vec<Remedy>, behaviour: Behaviour, ends: &'static [How]) -> Story {
    Story {
        name,
        configuration: configuration(vec![runbook("cure", Mode::Auto, remedies)]),
        behaviour,
        openings: vec![("cure", by_alert())],
        person: Person::Sleeps,
        ends,
        may_end: &[],
        leaves: None,
    }
}

#[tokio::test]
async fn three_remedies_of_two_steps_undone_in_reverse() {
    let remedies = vec![
        remedy("first", vec![step(effect("a1")), step(effect("a2"))]),
        remedy("second", vec![step(effect("b1")), step(effect("b2"))]),
        remedy("third", vec![step(effect("c1")), step(effect("c2"))]),
    ];
    let behaviour = Behaviour { mended_by: vec!["c1", "c2"], ..Behaviour::default() };
    let story = Story { leaves: Some(&["c1", "c2"]), ..story("three remedies", remedies, behaviour, &[How::Cured]) };
    let (outside, ..) = tell(&story, &[]).await;
    let happened = outside.ledger.lock().unwrap().happened.clone();
    let undone = happened.iter().filter_map(|one| match one {
        Happened::Landed(key, Purpose::Undo) => Some(key.as_str()),
        _ => None,
    });
    assert_eq!(undone.collect::<Vec<_>>(), ["a2", "a1", "b2", "b1"]);
    rehearse(story).await;
}

#[tokio::test]
async fn a_second_step_that_fails_undoes_the_first() {
    let failing = RehearsalAction { fails: true, ..effect("a2") };
    let remedies = vec![remedy("fails", vec![step(effect("a1")), step(failing)]), remedy("helps", vec![step(effect("b1"))])];
    let behaviour = Behaviour { mended_by: vec!["b1"], ..Behaviour::default() };
    rehearse(Story { leaves: Some(&["b1"]), ..story("a failing step", remedies, behaviour, &[How::Cured]) }).await;
}

#[tokio::test]
async fn an_undo_that_fails_is_stuck_and_calls_a_person() {
    let stubborn = RehearsalAction { undo_fails: true, ..effect("a1") };
    let remedies = vec![remedy("first", vec![step(stubborn), step(effect("a2"))]), remedy("never", vec![step(effect("b1"))])];
    rehearse(Story { leaves: Some(&["a1"]), ..story("a failing undo", remedies, Behaviour::default(), &[How::Stuck]) }).await;
}

#[tokio::test]
async fn an_effect_with_an_end_outlives_a_restart() {
    let lasting = RehearsalAction { lasting: true, ..effect("more") };
    let mut last = step(lasting);
    last.until = Some("ledger.effects >= 1 && !ledger.broken".parse().unwrap());
    last.at_most_for = Some(Span::secs(3600));
    let behaviour = Behaviour { mended_by: vec!["more"], ..Behaviour::default() };
    let story = story("a lasting effect", vec![remedy("scale", vec![last])], behaviour, &[How::Cured]);
    rehearse(Story { leaves: Some(&[]), ..story }).await;
}

#[tokio::test]
async fn of_two_lasting_effects_the_one_whose_time_is_over_is_ended_first() {
    let lasting = |key: &str, longest: u64| {
        let mut last = step(RehearsalAction { lasting: true, ..effect(key) });
        last.until = Some("ledger.effects > 5.0".parse().unwrap());
        last.at_most_for = Some(Span::secs(longest));
        last
    };
    let remedies = vec![remedy("scale", vec![lasting("short", 60), lasting("long", 600)])];
    let behaviour = Behaviour { mended_by: vec!["short", "long"], ..Behaviour::default() };
    let story = story("two lasting effects", remedies, behaviour, &[How::HandedOver]);
    let (outside, ..) = tell(&story, &[]).await;
    let happened = outside.ledger.lock().unwrap().happened.clone();
    let ends = happened.iter().filter_map(|one| match one {
        Happened::Effect(_, key, Purpose::End) => Some(key.as_str()),
        _ => None,
    });
    assert_eq!(ends.collect::<Vec<_>>(), ["short", "long"]);
    rehearse(Story { leaves: Some(&[]), ..story }).await;
}

#[tokio::test]
async fn an_effect_with_an_end_is_ended_at_its_longest() {
    let mut last = step(RehearsalAction { lasting: true, ..effect("more") });
    last.until = Some("ledger.effects > 5.0".parse().unwrap());
    last.at_most_for = Some(Span::secs(120));
    // An alert that still fires then says that what it was for is not over, and a person has it; where there is none, it is proved.
    let ends: [(_, &[How]); 2] = [(by_alert(), &[How::HandedOver]), (by_a_person(), &[How::Cured])];
    for (trigger, ends) in ends {
        let behaviour = Behaviour { mended_by: vec!["more"], ..Behaviour::default() };
        let story = story("a lasting effect ends", vec![remedy("scale", vec![last.clone()])], behaviour, ends);
        rehearse(Story { openings: vec![("cure", trigger)], leaves: Some(&[]), ..story }).await;
    }
}

#[tokio::test]
async fn one_after_the_other_each_with_a_look_of_its_own() {
    let rolling = RehearsalAction { undo: false, then: vec!["r2".to_owned(), "r3".to_owned()], ..effect("r1") };
    let mut story = story("a rolling step", vec![remedy("rolls", vec![step(rolling)])], Behaviour::default(), &[How::Cured]);
    story.behaviour.mended_by = vec!["r1", "r2", "r3"];
    // The rate counts the step once, however many it goes through.
    let mut books = story.configuration.runbooks.edit();
    let rules = books.get_mut("cure").unwrap();
    rules.limits.rate = vec![runbook::book::Rate { count: 1, per: Span::secs(3600) }];
    rules.remedies[0].verify.until = "ledger.effects >= 3.0".parse().unwrap();
    drop(books);
    let (_, incidents, _) = super::tell(&story, &[]).await;
    assert_eq!(incidents[0].attempts.len(), 3, "three orders, one key each");
    // A first try that a stop cut off counts, and the rate leaves no second one.
    story.may_end = &[How::HandedOver];
    rehearse(story).await;
}

#[tokio::test]
async fn what_landed_only_by_half_is_taken_back_at_once() {
    let whole = RehearsalAction { whole: true, until_proved: true, ..effect("h1") };
    let remedies = vec![remedy("half", vec![step(whole)]), remedy("helps", vec![step(effect("b1"))])];
    let behaviour = Behaviour { mended_by: vec!["b1"], half: vec!["h1"], ..Behaviour::default() };
    let story = story("a half effect", remedies, behaviour, &[How::Cured]);
    let (outside, ..) = super::tell(&story, &[]).await;
    let happened = outside.ledger.lock().unwrap().happened.clone();
    let undone = happened.iter().any(|h| matches!(h, super::Happened::Landed(key, runbook::order::Purpose::Undo) if key == "h1"));
    assert!(undone, "{happened:?}");
    rehearse(story).await;
}

#[tokio::test]
async fn a_reserve_is_given_up_once_the_cure_is_proved() {
    let kept = RehearsalAction { whole: true, until_proved: true, ..effect("kept") };
    // What mends is the other step, so that the end of the first leaves the cure in force.
    let behaviour = Behaviour { mended_by: vec!["b1"], ..Behaviour::default() };
    let remedies = vec![remedy("replaces", vec![step(kept), step(RehearsalAction { undo: false, ..effect("b1") })])];
    let story = story("a reserve", remedies, behaviour, &[How::Cured]);
    let (outside, ..) = super::tell(&story, &[]).await;
    let left: Vec<String> = outside.ledger.lock().unwrap().in_force.iter().cloned().collect();
    assert_eq!(left, ["b1"], "the reserve is gone, the cure stays");
    rehearse(story).await;
}

#[tokio::test]
async fn a_reserve_is_given_up_although_something_else_still_lasts() {
    let kept = step(RehearsalAction { whole: true, until_proved: true, ..effect("kept") });
    let mut more = step(RehearsalAction { lasting: true, ..effect("more") });
    more.until = Some("ledger.effects > 5.0".parse().unwrap());
    more.at_most_for = Some(Span::secs(60));
    for steps in [vec![kept.clone(), more.clone()], vec![more, kept]] {
        let behaviour = Behaviour { mended_by: vec!["kept"], ..Behaviour::default() };
        let story = story("a reserve beside what lasts", vec![remedy("both", steps)], behaviour, &[How::HandedOver]);
        let (outside, ..) = super::tell(&story, &[]).await;
        let happened = outside.ledger.lock().unwrap().happened.clone();
        let ended = |key: &str| {
            happened.iter().position(|h| *h == super::Happened::Landed(key.to_owned(), runbook::order::Purpose::End)).unwrap()
        };
        let looks = happened[ended("kept")..ended("more")].iter().filter(|h| **h == super::Happened::Look).count();
        assert!(looks > 3, "the other one lasts for its own time: {happened:?}");
        rehearse(story).await;
    }
}

fn asking(person: Person, ends: &'static [How]) -> Story {
    let remedies = vec![remedy("asked for", vec![step(effect("a1"))])];
    let mut story = story("a question", remedies.clone(), Behaviour { mended_by: vec!["a1"], ..Behaviour::default() }, ends);
    story.configuration = configuration(vec![runbook("cure", Mode::Ask, remedies)]);
    story.person = person;
    // With a stop right before each of its two tries nothing was ever sent.
    story.may_end = &[How::HandedOver];
    story
}

#[tokio::test]
async fn a_person_grants() {
    rehearse(asking(Person::Grants, &[How::Cured])).await;
}

#[tokio::test]
async fn a_person_grants_after_a_reminder() {
    rehearse(asking(Person::GrantsLate, &[How::Cured])).await;
}

#[tokio::test]
async fn a_person_denies() {
    rehearse(asking(Person::Denies, &[How::Denied])).await;
}

#[tokio::test]
async fn nobody_answers_and_that_is_a_no() {
    let story = asking(Person::Sleeps, &[How::HandedOver]);
    let (outside, ..) = super::tell(&story, &[]).await;
    let effects = outside.ledger.lock().unwrap().happened.iter().filter(|h| matches!(h, super::Happened::Effect(..))).count();
    assert_eq!(effects, 0, "an expired question acts on nothing");
    rehearse(story).await;
}

#[tokio::test]
async fn required_evidence_is_captured_first() {
    let destroying = RehearsalAction { destroys_data: true, ..effect("a1") };
    let remedies = vec![remedy("destroys", vec![step(destroying)])];
    let behaviour = Behaviour { mended_by: vec!["a1"], ..Behaviour::default() };
    rehearse(story("a capture", remedies, behaviour, &[How::Cured])).await;
}

#[tokio::test]
async fn without_required_evidence_nothing_is_destroyed() {
    let destroying = RehearsalAction { destroys_data: true, ..effect("a1") };
    let remedies = vec![remedy("destroys", vec![step(destroying)])];
    let behaviour = Behaviour { no_evidence: true, ..Behaviour::default() };
    let story = story("no capture", remedies, behaviour, &[How::HandedOver]);
    let (outside, ..) = super::tell(&story, &[]).await;
    assert!(outside.ledger.lock().unwrap().in_force.is_empty(), "nothing was destroyed");
    // Few points: nothing acts, so the schedules are short, and the count in `rehearse` is not for them.
    for stop in 1..=8 {
        let (outside, incidents, _) = super::tell(&story, &[stop]).await;
        super::assert_invariants(&story, &outside, &incidents, "no capture");
    }
}

#[tokio::test]
async fn one_incident_is_held_by_another() {
    let mut last = step(RehearsalAction { lasting: true, ..effect("more") });
    last.until = Some("ledger.effects > 5.0".parse().unwrap());
    last.at_most_for = Some(Span::secs(60));
    let scale = runbook("scale", Mode::Auto, vec![remedy("scale", vec![last])]);
    let mut other = runbook("other", Mode::Auto, vec![remedy("other", vec![step(effect("b1"))])]);
    // The other one comes while the first one's effect lasts, and has work of its own to do.
    other.require = Condition::parse("ledger.effects >= 0.0").unwrap();
    let story = Story {
        name: "a hold",
        configuration: configuration(vec![scale, other]),
        behaviour: Behaviour {
            mended_by: vec!["more"],
            mends_at: Some(Stamp::from_millis(1_800_000_050_000)),
            ..Behaviour::default()
        },
        openings: vec![("scale", by_a_person()), ("other", by_a_person())],
        person: Person::Sleeps,
        ends: &[How::Cured],
        // After a stop the second may come first, and is then undone, because the first one's fault is not its own.
        may_end: &[How::HandedOver, How::Refused],
        leaves: None,
    };
    let (outside, incidents, _) = tell(&story, &[]).await;
    let happened = outside.ledger.lock().unwrap().happened.clone();
    let ended = happened.iter().position(|one| *one == Happened::Landed("more".to_owned(), Purpose::End)).unwrap();
    let other = happened.iter().position(|one| matches!(one, Happened::Effect(_, key, _) if key == "b1")).unwrap();
    assert!(ended < other, "the second acts once the first has let go: {happened:?}");
    assert_eq!(incidents[1].opened, incidents[0].opened, "and was there all the while");
    rehearse(story).await;
}

#[tokio::test]
async fn an_alert_a_person_and_a_clock_open_alike() {
    let remedies = vec![remedy("helps", vec![step(effect("a1"))])];
    for trigger in [by_alert(), by_a_person(), Trigger::Clock { entry: "nightly".to_owned() }] {
        let behaviour = Behaviour { mended_by: vec!["a1"], ..Behaviour::default() };
        let mut story = story("a trigger", remedies.clone(), behaviour, &[How::Cured]);
        story.openings = vec![("cure", trigger)];
        rehearse(story).await;
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_is_settled_by_looking() {
    for after in [Duration::from_secs(1), Duration::from_millis(6_900)] {
        let remedies = vec![remedy("late", vec![step(effect("a1"))])];
        let behaviour = Behaviour { mended_by: vec!["a1"], lands_late: BTreeMap::from([("a1", after)]), ..Behaviour::default() };
        let story = story("a lost answer", remedies, behaviour, &[How::Cured]);
        let (outside, incidents, _) = super::tell(&story, &[]).await;
        assert_eq!(incidents[0].attempts.len(), 1, "an effect that lands within its grace is not called for twice");
        drop(outside);
        rehearse(story).await;
    }
}

#[tokio::test]
async fn what_cannot_be_seen_is_not_acted_on() {
    let remedies = vec![remedy("helps", vec![step(effect("a1"))])];
    let blind = |millis: i64| Behaviour {
        mended_by: vec!["a1"],
        blind_until: Some(Stamp::from_millis(1_800_000_000_000 + millis)),
        ..Behaviour::default()
    };
    rehearse(story("blind for a while", remedies.clone(), blind(60_000), &[How::Cured])).await;
    let forever = story("blind for ever", remedies, blind(86_400_000), &[How::HandedOver]);
    let (outside, incidents, _) = super::tell(&forever, &[]).await;
    assert!(outside.ledger.lock().unwrap().in_force.is_empty());
    super::assert_invariants(&forever, &outside, &incidents, "blind for ever");
}

#[tokio::test]
async fn an_answer_that_comes_after_a_long_downtime_is_too_late_and_nothing_acts() {
    let story = asking(Person::Sleeps, &[How::HandedOver]);
    let directory = super::directory();
    let outside = super::Outside::new(story.behaviour.clone());
    let mut ask = String::new();
    for life in 0..2 {
        let world = std::sync::Arc::new(super::Rehearsal::new(&outside, usize::MAX));
        let journal = journal::Journal::open(directory.path()).await.unwrap();
        journal.adopt(&story.configuration, outside.now()).await.unwrap();
        let (_keep, current) = tokio::sync::watch::channel(std::sync::Arc::new(story.configuration.clone()));
        let engine = super::Engine::new(journal.clone(), world, current, std::sync::Arc::new(super::Silent));
        if life == 0 {
            let chosen = journal::Chosen { runbook: "cure".to_owned(), target: target() };
            journal.open_incident(&chosen, by_alert(), outside.now()).await.unwrap();
            engine.work_on_one().await.unwrap();
            ask = journal.questions().await.unwrap()[0].1.id.clone();
            // The machine is off for longer than the question stands.
            outside.advance(Duration::from_secs(7_200));
            continue;
        }
        let granted = super::Answer::Granted { by: "a person".to_owned(), proof: super::Proof::Unproved };
        let late = journal.answer(&ask, outside.now(), &granted, |_, _| Ok::<(), ((), String)>(())).await;
        assert!(late.is_err_and(|why| why.to_string().contains("it expired at")));
        super::live(&engine, &journal, &outside, Person::Sleeps).await;
        let incidents = journal.incidents(journal::Filter::default()).await.unwrap();
        assert_eq!(incidents[0].how.as_deref(), Some("handed_over"));
        let events = journal.events(incidents[0].id).await.unwrap();
        assert!(!events.iter().any(|recorded| recorded.event.kind() == "reminded"), "what is over is not told again");
        assert!(!outside.ledger.lock().unwrap().happened.iter().any(|h| matches!(h, super::Happened::Effect(..))));
    }
}
