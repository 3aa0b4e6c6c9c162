//! An order of which no look can tell for long how it ended: a person is called once, nothing is done meanwhile, and what the first
//! look that can tell finds is gone on with as always, by a fresh look and through every gate.

use std::time::Duration;

use runbook::incident::{Next, Reply, Stage};
use runbook::order::Purpose;

use super::*;
use crate::Ledger;

const BLIND: fn() -> Event = || Event::Unsettled { since: NOW, why: "the Engine gives no answer".to_owned() };

/// The act of a scene was begun, its call gave no answer, and nobody can see how it ended.
fn unsettled() -> Scene {
    let mut scene = Scene::new(Mode::Auto);
    acts(&mut scene, Aim::Do);
    scene.happens(BLIND());
    scene
}

fn acts(scene: &mut Scene, aim: Aim) {
    let Decision::Act(permit) = decide(&Case { aim, ..scene.case() }).decision else { panic!("{:?}", scene.rule().gates) };
    let order = permit.order().clone();
    let settles_from = scene.now.plus(Duration::from_secs(10));
    scene.happens(Event::ActionStarted { order, deadline: scene.now, settles_from, gates: vec![] });
    scene.happens(Event::ActionReplied { reply: Reply::NoAnswer("it hangs".to_owned()) });
    assert!(scene.incident.apply(scene.now, &BLIND()).is_err(), "the call may still land");
    scene.now = settles_from;
}

fn sees(scene: &mut Scene, verdict: Verdict) {
    scene.happens(Event::Settled { verdict, finding: scene.findings.looks["ledger"].clone() });
}

/// Hours later.
fn looks(scene: &mut Scene) {
    scene.now = scene.now.plus(Duration::from_secs(7_200));
    scene.findings = findings(Value::Flag(true), scene.now);
    scene.happens(Event::Looked { findings: scene.findings.clone() });
}

fn gone() -> Verdict {
    Verdict::NotLanded("it is not there".to_owned())
}

#[test]
fn a_person_is_called_once_for_each_order_and_it_stays_in_doubt() {
    let mut scene = unsettled();
    assert_eq!((scene.incident.word(), scene.incident.next()), ("unsettled", Next::Settle));
    assert!(scene.incident.needs_holds(), "nobody else acts there");
    assert!(scene.incident.apply(scene.now, &BLIND()).is_err(), "once is enough");
    sees(&mut scene, gone());
    assert!(scene.incident.unsettled().is_none() && scene.incident.word() == "looking", "{:?}", scene.incident.stage);
    assert!(scene.incident.apply(scene.now, &BLIND()).is_err(), "nothing is in doubt any more");
    looks(&mut scene);
    acts(&mut scene, Aim::Do);
    assert_eq!(scene.incident.word(), "in_doubt", "that was another order");
    scene.happens(BLIND());
    assert_eq!(scene.incident.word(), "unsettled");
}

#[test]
fn what_a_person_says_meanwhile_is_taken_in_and_holds_what_comes_after() {
    let mut scene = unsettled();
    let over = alert(AlertStatus::Resolved);
    let resolved = Event::AlertHeard {
        fingerprint: over.fingerprint,
        name: over.name().to_owned(),
        status: over.status,
        starts_at: over.starts_at,
    };
    for event in [resolved, Event::Noted { by: "ana".to_owned(), words: "I look".to_owned() }] {
        scene.happens(event);
        assert_eq!((scene.incident.word(), scene.incident.next()), ("unsettled", Next::Settle));
    }
    let mut stopped = unsettled();
    stopped.happens(Event::Stopped { why: "a silence".to_owned() });
    assert_eq!(stopped.incident.next(), Next::Settle, "a look ends it all the same");
    for (mut scene, gate) in [(scene, "alert"), (stopped, "stop")] {
        sees(&mut scene, gone());
        looks(&mut scene);
        assert_eq!(scene.closed_gate(), gate, "nothing is done again");
    }
    let mut paused = unsettled();
    sees(&mut paused, gone());
    looks(&mut paused);
    paused.pause.reason = Some("somebody is at it".to_owned());
    assert_eq!(paused.closed_gate(), "pause");
    paused.pause.reason = None;
    assert!(matches!(paused.rule().decision, Decision::Act(_)), "{:?}", paused.rule().gates);
}

#[test]
fn an_undo_that_cannot_be_seen_is_gone_on_with_too() {
    let mut scene = unsettled();
    sees(&mut scene, Verdict::Landed(String::new()));
    let why = "it did not help".to_owned();
    scene.happens(Event::NotVerified { findings: scene.findings.clone(), why, unseen: false });
    for again in [true, false] {
        looks(&mut scene);
        acts(&mut scene, Aim::Undo);
        scene.happens(BLIND());
        assert_eq!(scene.incident.last_attempt().map(|last| last.order.purpose), Some(Purpose::Undo));
        sees(&mut scene, gone());
        assert_eq!(matches!(scene.incident.next(), Next::Look(Aim::Undo)), again, "{:?}", scene.incident.stage);
    }
    assert!(matches!(scene.incident.stage, Stage::Closing { how: How::Stuck, .. }), "{:?}", scene.incident.stage);
}

#[test]
fn what_cannot_be_told_in_the_end_is_stuck() {
    let mut scene = unsettled();
    sees(&mut scene, Verdict::Unknowable("no answer".to_owned()));
    let Next::Close { how, why } = scene.incident.next() else { panic!("{:?}", scene.incident.stage) };
    assert_eq!((how, why.as_str()), (How::Stuck, "whether rehearsal.effect landed cannot be known: no answer"));
}

#[test]
fn it_keeps_its_target_and_not_its_turn() {
    let mut scene = Scene::new(Mode::Auto);
    let mut ledger = Ledger::default();
    ledger.opened(scene.incident.id, "cure", &target(), NOW, false);
    acts(&mut scene, Aim::Do);
    ledger.stands_as(&scene.incident);
    assert_eq!(ledger.at_work(IncidentId(1)), 1);
    scene.happens(BLIND());
    ledger.stands_as(&scene.incident);
    assert_eq!(ledger.at_work(IncidentId(1)), 0, "others are cured meanwhile");
    sees(&mut scene, Verdict::Landed(String::new()));
    ledger.stands_as(&scene.incident);
    assert_eq!(ledger.at_work(IncidentId(1)), 1, "it is at work again");
}
