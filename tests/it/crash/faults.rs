//! Faults of our own, and of the machine that runbookd runs on: an incident that it cannot go on with is given to a person, what it
//! did not watch proves nothing, and counters that do not know what is on record are made anew.

use std::sync::Arc;
use std::time::Duration;

use journal::{Chosen, Journal};
use runbook::book::{Mode, Rate};
use runbook::incident::{How, Stage};
use runbook::time::Span;
use runbookd::engine::{Engine, Silent};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::stories::{by_alert, configuration, effect, remedy, runbook, step, story, target};
use super::world::{Behaviour, Outside, Rehearsal};
use super::{Happened, Person, Story, directory, live, tell};
use crate::store::acted;

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
async fn what_was_true_before_and_after_the_machine_stood_still_is_proved_anew() {
    let minutes = Duration::from_secs(300);
    // In the middle of the proof, between two looks; and while a look's answer was there, which is taken in five minutes later.
    let between = Behaviour { stalls: Some((5..6, minutes)), ..Behaviour::default() };
    let within = Behaviour { answers_late: Some((6..7, minutes)), ..Behaviour::default() };
    for behaviour in [between, within] {
        let (outside, incidents, _) = tell(&cure(behaviour), &[]).await;
        assert!(matches!(incidents[0].stage, Stage::Closed { how: How::Cured, .. }), "{:?}", incidents[0].stage);
        assert!(incidents[0].last.since(incidents[0].opened) > minutes, "it stood still");
        // The hold of two seconds is watched every quarter of a second, and again from its beginning.
        let looks = outside.ledger.lock().unwrap().looks();
        assert!(looks >= 5 + 8, "{looks} looks prove nothing");
    }
}

#[tokio::test]
async fn a_machine_that_stands_still_again_and_again_proves_nothing() {
    let story = cure(Behaviour { stalls: Some((4..usize::MAX, Duration::from_secs(300))), ..Behaviour::default() });
    let (outside, incidents, _) = tell(&story, &[]).await;
    let Stage::Closed { how: How::Stuck, why } = &incidents[0].stage else { panic!("{:?}", incidents[0].stage) };
    assert!(why.contains("the machine stood still 20 times while that was to be proved"), "{why}");
    let called = outside.ledger.lock().unwrap().happened.iter().filter(|one| matches!(one, Happened::Effect(..))).count();
    assert_eq!(called, 1, "nothing else is tried on what nobody saw");
}

#[tokio::test]
async fn a_look_that_a_stall_cut_is_made_again_and_has_seen_nothing_where_that_happens_twice() {
    let minutes = Duration::from_secs(300);
    let mut told = Vec::new();
    for late in 0..=2_usize {
        let behaviour = Behaviour { answers_late: Some((1..late + 1, minutes)), ..Behaviour::default() };
        let (outside, incidents, _) = tell(&cure(behaviour), &[]).await;
        assert!(matches!(incidents[0].stage, Stage::Closed { how: How::Cured, .. }), "{:?}", incidents[0].stage);
        let looks = outside.ledger.lock().unwrap().looks();
        told.push((looks, incidents[0].last.since(incidents[0].opened)));
    }
    let [(looks, took), once, twice] = told[..] else { unreachable!() };
    assert_eq!((once.0, twice.0), (looks + 1, looks + 2), "what came late was looked at again");
    let a_little = Duration::from_millis(100);
    assert!(once.1 >= took + minutes && once.1 < took + minutes + a_little, "at once: {once:?} {took:?}");
    assert!(twice.1 > took + 2 * minutes + Duration::from_secs(4), "as what cannot be seen, later: {twice:?} {took:?}");
}

#[tokio::test]
async fn what_a_task_works_on_nobody_else_settles_although_every_lease_has_run_out() {
    let holds = Arc::new(Notify::new());
    let behaviour = Behaviour { holds: Some(holds.clone()), mended_by: vec!["a1"], ..Behaviour::default() };
    let (folder, outside) = (directory(), Outside::new(behaviour));
    let journal = Journal::open(folder.path()).await.unwrap();
    let configuration = configuration(vec![runbook("cure", Mode::Auto, vec![remedy("helps", vec![step(effect("a1"))])])]);
    journal.adopt(&configuration, outside.now()).await.unwrap();
    let chosen = Chosen { runbook: "cure".to_owned(), target: target() };
    let id = journal.open_incident(&chosen, by_alert(), outside.now()).await.unwrap();
    let (_keep, current) = watch::channel(Arc::new(configuration));
    let engine = Engine::new(journal.clone(), Arc::new(Rehearsal::new(&outside, usize::MAX)), current, Arc::new(Silent));
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let stop = stop.clone();
        async move { engine.run(stop, Duration::from_secs(5)).await }
    });
    // Idle, the engine lets the virtual time pass: an hour of it, while the call stands.
    let until = async |wanted: &dyn Fn(&Stage) -> bool| {
        for _ in 0..200_000 {
            let stage = journal.load(id).await.unwrap().stage;
            if wanted(&stage) {
                return stage;
            }
        }
        panic!("{:?}", journal.load(id).await.unwrap().stage);
    };
    until(&|stage| matches!(stage, Stage::InDoubt)).await;
    let (began, looks) = (outside.now(), outside.ledger.lock().unwrap().looks());
    until(&|stage| !matches!(stage, Stage::InDoubt) || outside.now().since(began) > Duration::from_secs(3600)).await;
    assert_eq!(outside.ledger.lock().unwrap().looks(), looks, "somebody else looked how it ended");
    holds.notify_one();
    let closed = until(&|stage| matches!(stage, Stage::Closed { .. })).await;
    assert!(matches!(closed, Stage::Closed { how: How::Cured, .. }), "{closed:?}");
    let effects = outside.ledger.lock().unwrap().happened.iter().filter(|one| matches!(one, Happened::Effect(..))).count();
    assert_eq!(effects, 1);
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn a_stop_lets_a_call_end_for_a_while_and_leaves_in_doubt_what_does_not() {
    for (ends, replied) in [(true, true), (false, false)] {
        let holds = Arc::new(Notify::new());
        let behaviour = Behaviour { holds: Some(holds.clone()), mended_by: vec!["a1"], ..Behaviour::default() };
        let (folder, outside) = (directory(), Outside::new(behaviour));
        let journal = Journal::open(folder.path()).await.unwrap();
        let book = |name| runbook(name, Mode::Auto, vec![remedy("helps", vec![step(effect("a1"))])]);
        let configuration = configuration(vec![book("cure"), book("other")]);
        journal.adopt(&configuration, outside.now()).await.unwrap();
        let chosen = Chosen { runbook: "cure".to_owned(), target: target() };
        let id = journal.open_incident(&chosen, by_alert(), outside.now()).await.unwrap();
        let (_keep, current) = watch::channel(Arc::new(configuration));
        let world = || Arc::new(Rehearsal::new(&outside, usize::MAX));
        let engine = Engine::new(journal.clone(), world(), current.clone(), Arc::new(Silent));
        let stop = CancellationToken::new();
        let running = tokio::spawn({
            let stop = stop.clone();
            let grace = Duration::from_millis(if ends { 30_000 } else { 500 });
            async move { engine.run(stop, grace).await }
        });
        while !outside.ledger.lock().unwrap().stands() {
            tokio::task::yield_now().await;
        }
        let chosen = Chosen { runbook: "other".to_owned(), ..chosen };
        stop.cancel();
        let other = journal.open_incident(&chosen, by_alert(), outside.now()).await.unwrap();
        if ends {
            holds.notify_one();
        }
        // In real time: a call that does not come back does not keep the process.
        tokio::time::timeout(Duration::from_secs(20), running).await.unwrap().unwrap();
        let stopped = journal.load(id).await.unwrap();
        assert!(matches!(stopped.stage, Stage::InDoubt), "{:?}", stopped.stage);
        assert_eq!(stopped.last_attempt().unwrap().reply.is_some(), replied, "what ended in time is on record");
        assert_eq!(journal.load(other).await.unwrap().seq, 1, "nothing more is claimed");

        // The next life settles it by looking.
        outside.ledger.lock().unwrap().behaviour.holds = None;
        let engine = Engine::new(journal.clone(), world(), current, Arc::new(Silent));
        live(&engine, &journal, &outside, Person::Sleeps).await;
        let closed = journal.load(id).await.unwrap();
        assert!(matches!(closed.stage, Stage::Closed { how: How::Cured, .. }), "{:?}", closed.stage);
        let landed = outside.ledger.lock().unwrap().happened.iter().filter(|one| matches!(one, Happened::Landed(..))).count();
        assert_eq!((landed, closed.attempts.len()), (1, 1 + usize::from(!ends)), "once, and what was never carried out again");
    }
}

#[tokio::test]
async fn an_act_on_record_that_the_counters_do_not_know_counts() {
    let mut book = runbook("cure", Mode::Auto, vec![remedy("helps", vec![step(effect("a1"))])]);
    book.limits.rate = vec![Rate { count: 1, per: Span::secs(3600) }];
    let configuration = configuration(vec![book]);
    let folder = directory();
    let outside = Outside::new(Behaviour { mended_by: vec!["a1"], ..Behaviour::default() });
    let journal = Journal::open(folder.path()).await.unwrap();
    journal.adopt(&configuration, outside.now()).await.unwrap();
    let chosen = Chosen { runbook: "cure".to_owned(), target: target() };
    let id = journal.open_incident(&chosen, by_alert(), outside.now()).await.unwrap();
    // Past the journal's own hands, so that what it counts in memory is behind.
    acted(folder.path(), id, outside.now().minus(Duration::from_secs(60))).await;
    let (_keep, current) = watch::channel(Arc::new(configuration));
    let engine = Engine::new(journal.clone(), Arc::new(Rehearsal::new(&outside, usize::MAX)), current, Arc::new(Silent));
    live(&engine, &journal, &outside, Person::Sleeps).await;
    let incident = journal.load(id).await.unwrap();
    let Stage::Closed { how: How::HandedOver, why } = &incident.stage else { panic!("{:?}", incident.stage) };
    assert!(why.contains("1 acts within 1h and 1 are allowed"), "the limit is the reason, not a fault of ours: {why}");
    assert!(incident.attempts.is_empty() && outside.ledger.lock().unwrap().in_force.is_empty(), "nothing is done past a limit");
    assert!(incident.last.since(incident.opened) < Duration::from_secs(60), "and nobody waits for that");
}
