//! Faults of our own: an incident that runbookd itself cannot go on with is given to a person.

use std::time::Duration;

use runbook::incident::{How, Stage};

use super::stories::{effect, remedy, step, story};
use super::world::Behaviour;
use super::{Happened, Story, tell};

fn cure(behaviour: Behaviour) -> Story {
    let remedies = vec![remedy("helps", vec![step(effect("a1"))])];
    let behaviour = Behaviour { mended_by: vec!["a1"], ..behaviour };
    story("a fault of ours", remedies, behaviour, &[How::HandedOver])
}

#[tokio::test]
async fn what_runbookd_cannot_go_on_with_is_given_to_a_person() {
    // Before anything was done, and in the middle of the proof.
    for (looks_until_it_panics, effects, ends) in [(0, 0, How::HandedOver), (3, 1, How::Stuck)] {
        let story = cure(Behaviour { panics_after: Some(looks_until_it_panics), ..Behaviour::default() });
        let (outside, incidents, _) = tell(&story, &[]).await;
        let Stage::Closed { how, why } = &incidents[0].stage else { panic!("{:?}", incidents[0].stage) };
        assert_eq!(*how, ends, "stuck is what leaves something in force");
        assert!(why.contains("runbookd itself failed at it 8 times: runbookd panicked"), "{why}");
        let waited = incidents[0].last.since(incidents[0].opened);
        assert!(waited < Duration::from_secs(600), "{waited:?}");
        let happened = &outside.ledger.lock().unwrap().happened;
        assert_eq!(happened.iter().filter(|one| matches!(one, Happened::Effect(..))).count(), effects, "{happened:?}");
    }
}
