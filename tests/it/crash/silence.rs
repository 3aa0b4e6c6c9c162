//! What a step raises by itself is silenced, told once for every point at which the process can stop: no silence outlasts its step, each
//! is made for an act that is on record as started, and none is made twice for one.

use runbook::action::RehearsalAction;
use runbook::book::{Remedy, Step, Verify};
use runbook::incident::How;
use runbook::silence::SideEffect;
use runbook::time::Span;

use super::stories::{effect, remedy, step, story};
use super::world::Behaviour;
use super::{Story, rehearse, tell};

fn raises(action: RehearsalAction) -> Step {
    let labels = [("alertname", "LedgerChanges"), ("service", "ledger")];
    let labels = labels.map(|(label, value)| (label.to_owned(), value.to_owned())).into();
    Step { silence: vec![SideEffect::new(labels).unwrap()], ..step(action) }
}

fn noisy() -> Story {
    // Undone long before the step's deadline.
    let helps_not = remedy("helps not", vec![raises(effect("a1"))]);
    let verify = Verify { within: Span::secs(1), ..helps_not.verify.clone() };
    let failing = RehearsalAction { fails: true, ..effect("b1") };
    let remedies = vec![
        Remedy { verify, ..helps_not },
        remedy("fails", vec![raises(failing)]),
        remedy("helps", vec![raises(effect("c1")), step(effect("c2"))]),
    ];
    let behaviour = Behaviour { mended_by: vec!["c1", "c2"], ..Behaviour::default() };
    story("steps that raise alerts", remedies, behaviour, &[How::Cured])
}

#[tokio::test]
async fn a_silence_belongs_to_a_step_and_ends_with_it_wherever_the_process_stops() {
    rehearse(noisy()).await;
}

#[tokio::test]
async fn a_silence_is_ended_at_once_where_the_step_did_not_help() {
    let (outside, incidents, _) = tell(&noisy(), &[]).await;
    let ledger = outside.ledger.lock().unwrap();
    let attempts = &incidents[0].attempts;
    let silenced: Vec<&str> = attempts.iter().flat_map(|attempt| &attempt.silences).map(|silence| silence.id.as_str()).collect();
    assert_eq!(silenced, ["silence-0", "silence-1", "silence-2"], "one for each step that says so, none for what is undone");
    assert!(ledger.ended.contains("silence-0"), "it did not help, and its deadline had not come");
    assert!(!ledger.ended.contains("silence-1"), "that it did not land was seen after the deadline only");
    assert!(!ledger.ended.contains("silence-2"), "it landed and helped, so it ends with the deadline");
}
