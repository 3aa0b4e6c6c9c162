//! A runbook that is changed while an incident waits: nothing will be done by the text of before, so whoever is to look is called at
//! once, and not when a question expires or a cooldown ends.

use std::sync::Arc;
use std::time::Duration;

use journal::{Chosen, Claimed, Journal};
use runbook::book::Mode;
use runbook::condition::Condition;
use runbook::incident::{Answer, How, Incident, IncidentId, Next, Proof, Stage};
use runbook::time::Span;
use runbookd::engine::{Engine, Silent};
use tokio::sync::watch;

use super::directory;
use super::stories::{self, configuration, effect, remedy, runbook, step};
use super::world::{Behaviour, Outside, Rehearsal};

/// Works for as long as something is due by now.
async fn works(engine: &Engine<Rehearsal>, journal: &Journal, id: IncidentId, until: impl Fn(&Incident) -> bool) -> Incident {
    for _ in 0..50 {
        let incident = journal.load(id).await.unwrap();
        if until(&incident) {
            return incident;
        }
        engine.work_on_one().await.unwrap();
    }
    panic!("{:?}", journal.load(id).await.unwrap().stage);
}

#[tokio::test]
async fn what_waits_by_a_text_that_was_changed_is_handed_over_at_once() {
    for asks in [true, false] {
        let mode = if asks { Mode::Ask } else { Mode::Auto };
        let mut book = runbook("cure", mode, vec![remedy("helps", vec![step(effect("a1"))])]);
        // Without a question, it waits for what fires to come about.
        if !asks {
            book.require = Condition::parse("ledger.effects > 5.0").unwrap();
        }
        let (state, outside) = (directory(), Outside::new(Behaviour::default()));
        let journal = Journal::open(state.path()).await.unwrap();
        let before = configuration(vec![book.clone()]);
        journal.adopt(&before, outside.now()).await.unwrap();
        let chosen = Chosen { runbook: "cure".to_owned(), target: stories::target() };
        let id = journal.open_incident(&chosen, stories::by_alert(), outside.now()).await.unwrap();
        let (current, followed) = watch::channel(Arc::new(before));
        let world = Arc::new(Rehearsal::new(&outside, usize::MAX));
        let engine = Engine::new(journal.clone(), world, followed, Arc::new(Silent));
        let waiting = works(&engine, &journal, id, |incident| matches!(incident.stage, Stage::Waiting { .. })).await;

        // What changes only how often it may act is no other deed.
        book.limits.cooldown = Span::secs(77);
        let often = configuration(vec![book.clone()]);
        journal.adopt(&often, outside.now()).await.unwrap();
        current.send_replace(Arc::new(often));
        journal.wake_all().await.unwrap();
        engine.work_on_one().await.unwrap();
        assert_eq!(journal.load(id).await.unwrap().stage, waiting.stage, "it waits as before");

        book.remedies[0].verify.hold = Span::secs(3);
        let other = configuration(vec![book]);
        journal.adopt(&other, outside.now()).await.unwrap();
        current.send_replace(Arc::new(other));
        journal.wake_all().await.unwrap();
        let closed = works(&engine, &journal, id, Incident::is_closed).await;
        let Stage::Closed { how: How::HandedOver, why } = &closed.stage else { panic!("{:?}", closed.stage) };
        assert!(why.contains("was changed after this was opened") && why.contains("`runbookd run cure`"), "{why}");
        assert!(closed.last.since(closed.opened) < Duration::from_secs(2), "at once");
        if let Next::Answer { ask, .. } = waiting.next() {
            let yes = Answer::Granted { by: "a person".to_owned(), proof: Proof::Unproved };
            let answered = journal.answer(&ask, outside.now(), &yes, |_, _| Ok::<(), ((), String)>(())).await;
            assert!(answered.is_err(), "a question that is over takes no answer");
        }
    }
}

#[tokio::test]
async fn what_is_woken_while_a_task_has_it_is_due_when_the_task_gives_it_back() {
    let (state, outside) = (directory(), Outside::new(Behaviour::default()));
    let journal = Journal::open(state.path()).await.unwrap();
    let current = configuration(vec![runbook("cure", Mode::Ask, vec![remedy("helps", vec![step(effect("a1"))])])]);
    journal.adopt(&current, outside.now()).await.unwrap();
    let chosen = Chosen { runbook: "cure".to_owned(), target: stories::target() };
    let id = journal.open_incident(&chosen, stories::by_alert(), outside.now()).await.unwrap();
    let (_current, followed) = watch::channel(Arc::new(current));
    let engine = Engine::new(journal.clone(), Arc::new(Rehearsal::new(&outside, usize::MAX)), followed, Arc::new(Silent));
    works(&engine, &journal, id, |incident| matches!(incident.stage, Stage::Waiting { .. })).await;
    let (lease, later) = (Duration::from_secs(60), outside.now().plus(Duration::from_secs(600)));
    let claims = async || journal.claim(outside.now(), lease).await.unwrap();
    journal.wake_all().await.unwrap();
    for woken in [true, false] {
        let Claimed::Claim(claim) = claims().await else { panic!("it was woken") };
        if woken {
            journal.wake_all().await.unwrap();
        }
        journal.release(*claim, Some(later)).await.unwrap();
    }
    assert!(matches!(claims().await, Claimed::NothingBefore(Some(due)) if due == later), "woken once, claimed once");
}
