//! Faults of our own, and calls that outlive a lease: an incident that runbookd itself cannot go on with is given to a person, and
//! nobody else settles an order while its call still runs.

use std::time::Duration;

use journal::{Claimed, Journal};
use runbook::incident::{How, Reply, Stage};
use runbook::order::Purpose;
use runbookd::engine::{Engine, Silent};
use std::sync::Arc;
use tokio::sync::watch;

use super::stories::{effect, remedy, step, story};
use super::world::{Behaviour, Outside, Rehearsal};
use super::{Happened, Story, directory, lives, stories, tell};

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

#[tokio::test]
async fn while_a_call_runs_nobody_else_has_the_incident() {
    for takes in [50, 200] {
        let story = cure(Behaviour { takes: Duration::from_secs(takes), ..Behaviour::default() });
        let (directory, outside) = (directory(), Outside::new(story.behaviour.clone()));
        let world = Arc::new(Rehearsal::new(&outside, usize::MAX));
        let journal = Journal::open(directory.path()).await.unwrap();
        journal.adopt(&story.configuration, outside.now()).await.unwrap();
        let chosen = journal::Chosen { runbook: "cure".to_owned(), target: stories::target() };
        let id = journal.open_incident(&chosen, stories::by_alert(), outside.now()).await.unwrap();
        let (_keep, current) = watch::channel(Arc::new(story.configuration.clone()));
        let engine = Engine::new(journal.clone(), world, current, Arc::new(Silent));
        let other = async {
            loop {
                let calling = outside.ledger.lock().unwrap().calling;
                if calling
                    && !matches!(journal.claim(outside.now(), Duration::from_secs(1)).await.unwrap(), Claimed::NothingBefore(_))
                {
                    panic!("it was claimed a second time while its call ran");
                }
                if journal.load(id).await.unwrap().attempts.first().is_some_and(|attempt| attempt.reply.is_some()) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        let (worked, ()) = tokio::join!(engine.work_on_one(), other);
        worked.unwrap();
        drop((engine, journal));
        let (journal, _) = lives(&story, directory.path(), &outside, usize::MAX).await;
        let incident = journal.load(id).await.unwrap();
        assert_eq!(incident.attempts.len(), 1);
        assert!(
            matches!(incident.attempts[0].reply, Some(Reply::Done(_))),
            "what it replied is on record: {:?}",
            incident.attempts
        );
        assert_eq!(incident.attempts[0].order.purpose, Purpose::Do);
        assert!(matches!(incident.stage, Stage::Closed { how: How::Cured, .. }), "{:?}", incident.stage);
    }
}
