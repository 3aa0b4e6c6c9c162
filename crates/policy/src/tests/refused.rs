//! A call that was refused before anything was sent: settled at once, handed over with its own reason, and no cure that failed.

use runbook::incident::{Reply, Stage};
use runbook::order::{Order, Purpose};

use super::*;
use crate::Ledger;

const LATER: Stamp = Stamp::from_millis(1_800_000_090_000);

/// An incident whose only act got this reply and was found undone; settled right away, where that is possible.
fn after(reply: Reply) -> (Incident, Result<(), String>) {
    let mut scene = Scene::new(Mode::Auto);
    let selection = runbook::identity::Selection::of([Identity::Rehearsal("a1".to_owned())]).unwrap();
    let action = scene.incident.runbook.remedies[0].steps[0].action.clone();
    let order = Order { purpose: Purpose::Do, action, target: target(), selection };
    scene.happens(Event::ActionStarted { order, deadline: NOW, settles_from: LATER, gates: vec![] });
    scene.happens(Event::ActionReplied { reply });
    let finding = scene.findings.looks["ledger"].clone();
    let settled = Event::Settled { verdict: Verdict::NotLanded("it is still the old one".to_owned()), finding };
    let at_once = scene.incident.apply(NOW, &settled).map_err(|illegal| illegal.to_string());
    if at_once.is_err() {
        scene.incident.apply(LATER, &settled).unwrap();
    }
    (scene.incident, at_once)
}

/// How many failures the breaker counts after the incident's end.
fn failures(mut incident: Incident) -> usize {
    let Stage::Closing { how, why } = incident.stage.clone() else { panic!("{:?}", incident.stage) };
    assert_eq!(how, How::HandedOver);
    let closed = Event::Closed { how, why };
    let mut ledger = Ledger::default();
    ledger.opened(incident.id, "cure", &target(), NOW, false);
    incident.apply(LATER, &closed).unwrap();
    ledger.happened(&incident, LATER, &closed);
    let current = configuration(runbook(Mode::Auto));
    ledger.history(&incident, &current.runbooks["cure"], &current, LATER).failed.failures.len()
}

#[test]
fn what_was_refused_is_settled_at_once_with_its_own_reason_and_is_no_failure() {
    let (incident, at_once) = after(Reply::Refused("WORKERS is set by `environment:`".to_owned()));
    assert_eq!(at_once, Ok(()));
    let Stage::Closing { why, .. } = &incident.stage else { panic!("{:?}", incident.stage) };
    assert!(why.contains("nothing was sent: WORKERS is set by `environment:`"), "{why}");
    assert!(!why.contains("still the old one"), "{why}");
    assert!(!incident.acted());
    assert_eq!(failures(incident), 0);
}

#[test]
fn what_was_tried_and_did_not_land_is_a_failure_and_waits_for_its_grace() {
    for reply in [Reply::Failed("no space left".to_owned()), Reply::Done("done".to_owned())] {
        let (incident, at_once) = after(reply);
        assert!(at_once.unwrap_err().contains("may still land"));
        assert!(incident.acted());
        assert_eq!(failures(incident), 1);
    }
}
