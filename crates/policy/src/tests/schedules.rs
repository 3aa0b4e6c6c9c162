//! Properties over random histories, with the ledger fed as the journal feeds it: more past never frees, no schedule exceeds any
//! limit, a pause admits nothing, an expiry never acts, and a clock that jumps counts nothing twice and forgets nothing.

use std::time::Duration;

use super::*;
use crate::{Ledger, Started};

/// Every limit that the scenes run under: count and seconds.
const HERE: [(usize, u64); 3] = [(3, 3_600), (7, 86_400), (1, 600)];
const EVERYWHERE: [(usize, u64); 2] = [(10, 3_600), (30, 86_400)];

fn name(number: usize) -> String {
    format!("cure-{}", number % 4)
}

fn on(number: usize) -> TargetId {
    format!("rehearsal/t{}", number % 3).parse().unwrap()
}

/// An estate of three targets and four runbooks.
fn estate() -> Configuration {
    let of = |number: usize| Target {
        id: on(number),
        traits: Traits { depends_on: vec![], stateful: false, may_be_cloned: false, class: Class::P3, owner: String::new() },
        place: Place::Rehearsal { ledger: String::new() },
        known_as: vec![],
    };
    let mut book = runbook(Mode::Auto);
    book.limits.recurrence = None;
    let books = (0..4).map(|number| (name(number), Runbook { name: name(number), ..book.clone() }));
    let mut current =
        Configuration { runbooks: books.collect(), inventory: Inventory::new((0..3).map(of)), ..Configuration::default() };
    current.rules.overall.at_once = u32::MAX;
    current
}

/// An incident of this runbook on this target that has just looked.
fn incident(current: &Configuration, id: u64, number: usize, place: usize, now: Stamp) -> Incident {
    let book = current.runbooks.get(&name(number)).unwrap().clone();
    let opening = Opening {
        runbook: book.name.clone(),
        target: on(place),
        trigger: Trigger::Person { by: "a person".to_owned(), words: String::new() },
        config: String::new(),
    };
    let mut incident = Incident::open(IncidentId(id), std::sync::Arc::new(book), now, &opening);
    incident.apply(now, &Event::Looked { findings: findings(Value::Flag(true), now) }).unwrap();
    incident
}

fn ruled(current: &Configuration, ledger: &Ledger, incident: &Incident, now: Stamp, pause: &Pause, held: bool) -> Ruling {
    let history = ledger.history(incident, &incident.runbook, current, now);
    decide(&Case {
        incident,
        aim: Aim::Do,
        findings: &findings(Value::Flag(true), now),
        now,
        current,
        pause,
        history: &history,
        clock_doubted_until: None,
        held_by: held.then_some(IncidentId(999_999)),
        ask_id: "ask",
    })
}

fn acts(current: &Configuration, ledger: &Ledger, number: usize, place: usize, now: Stamp) -> bool {
    let incident = incident(current, 888_888, number, place, now);
    matches!(ruled(current, ledger, &incident, now, &Pause::default(), false).decision, Decision::Act(_))
}

fn started(id: u64, number: usize, place: usize, at: Stamp, cost: u32) -> Started {
    Started { incident: IncidentId(id), runbook: name(number), target: on(place), acted_on: on(place), at, cost }
}

proptest! {
    /// Attempts, failures and doubts, wherever they are put into the past, never turn a refusal into an act.
    #[test]
    fn more_past_never_frees(
        past in prop::collection::vec((0_u64..100_000, 0_usize..4, 0_usize..3, 0_u32..4, any::<bool>()), 0..20),
        more in prop::collection::vec((0_u64..100_000, 0_usize..4, 0_usize..3, 0_u32..4, any::<bool>()), 0..10),
    ) {
        let current = estate();
        let mut ledger = Ledger::default();
        let feed = |ledger: &mut Ledger, list: &[(u64, usize, usize, u32, bool)], first: u64| {
            for (id, (ago, number, place, cost, failed)) in (first..).zip(list) {
                let at = NOW.minus(Duration::from_secs(*ago));
                match failed {
                    true => ledger.failed(IncidentId(id), &name(*number), at),
                    false => ledger.started(&started(id, *number, *place, at, *cost)),
                }
            }
        };
        feed(&mut ledger, &past, 1);
        let before: Vec<bool> = (0..12).map(|case| acts(&current, &ledger, case % 4, case % 3, NOW)).collect();
        feed(&mut ledger, &more, 1_000);
        for (case, before) in before.into_iter().enumerate() {
            // After a while an open breaker lets one trial through; a newer failure only makes that later.
            prop_assert!(before || !acts(&current, &ledger, case % 4, case % 3, NOW), "case {case} is freed by more past");
        }
    }

    /// Acting on what `decide` says exceeds no limit, of a runbook, of a target, of all, or of the budget. The clock may stand
    /// still or jump ahead; stamps never go back.
    #[test]
    fn no_schedule_exceeds_any_limit(steps in prop::collection::vec((0_u64..900, 0_usize..4, 0_usize..3), 1..150)) {
        let current = estate();
        let mut ledger = Ledger::default();
        let mut now = NOW;
        let mut acted: Vec<(Stamp, usize, usize)> = Vec::new();
        for (id, (gap, number, place)) in (1_u64..).zip(steps) {
            now = now.plus(Duration::from_secs(gap));
            let incident = incident(&current, id, number, place, now);
            if let Decision::Act(permit) = ruled(&current, &ledger, &incident, now, &Pause::default(), false).decision {
                ledger.started(&started(id, number, place, now, permit.cost()));
                acted.push((now, number, place));
            }
            let within = |seconds: u64, which: &dyn Fn(&(Stamp, usize, usize)) -> bool| {
                acted.iter().filter(|act| now.since(act.0) < Duration::from_secs(seconds) && which(act)).count()
            };
            for (count, seconds) in HERE {
                prop_assert!(within(seconds, &|act| act.1 == number && act.2 == place) <= count);
            }
            for (count, seconds) in [(8, 3_600), (20, 86_400)] {
                prop_assert!(within(seconds, &|act| act.2 == place) <= count);
            }
            for (count, seconds) in EVERYWHERE {
                prop_assert!(within(seconds, &|_| true) <= count);
            }
        }
    }

    /// No past frees what a pause stops, and a hold is never passed.
    #[test]
    fn a_pause_admits_nothing(past in prop::collection::vec((0_u64..100_000, 0_usize..4, 0_usize..3), 0..10), case in 0_usize..12) {
        let current = estate();
        let mut ledger = Ledger::default();
        for (id, (ago, number, place)) in (1_u64..).zip(past) {
            ledger.started(&started(id, number, place, NOW.minus(Duration::from_secs(ago)), 1));
        }
        let incident = incident(&current, 888_888, case % 4, case % 3, NOW);
        let paused = Pause { epoch: 1, reason: Some("a person said so".to_owned()), until: None };
        let ruling = ruled(&current, &ledger, &incident, NOW, &paused, false);
        let waits = matches!(ruling.decision, Decision::Wait { on: Waiting::Pause, .. });
        prop_assert!(waits);
        let ruling = ruled(&current, &ledger, &incident, NOW, &Pause::default(), true);
        let acts = matches!(ruling.decision, Decision::Act(_));
        prop_assert!(!acts);
    }

    /// The order in which the past is told does not matter, so counters made anew are those that were kept.
    #[test]
    fn the_same_past_counts_the_same_in_any_order(
        past in prop::collection::vec((0_u64..100_000, 0_usize..4, 0_usize..3, 0_u32..4), 0..20),
        turn in 0_usize..20,
    ) {
        let mut told: Vec<Started> = (1_u64..)
            .zip(&past)
            .map(|(id, (ago, number, place, cost))| started(id, *number, *place, NOW.minus(Duration::from_secs(*ago)), *cost))
            .collect();
        let count = |told: &[Started]| {
            let mut ledger = Ledger::default();
            told.iter().for_each(|started| ledger.started(started));
            ledger
        };
        let before = count(&told);
        if !told.is_empty() {
            let turn = turn % told.len();
            told.rotate_left(turn);
        }
        let (current, after) = (estate(), count(&told));
        for case in 0..12 {
            let incident = incident(&current, 888_888, case % 4, case % 3, NOW);
            let of = |ledger: &Ledger| {
                let mut history = ledger.history(&incident, &incident.runbook, &current, NOW);
                // Acts of one moment have no order among themselves.
                history.attempts.sort_by_key(|attempted| (attempted.at, attempted.incident));
                history
            };
            prop_assert_eq!(of(&before), of(&after));
        }
    }
}

#[test]
fn an_expiry_never_acts() {
    let mut scene = Scene::new(Mode::Ask);
    let Decision::Wait { until, on: Waiting::Person(ask), why } = scene.rule().decision else { panic!("it does not ask") };
    scene.happens(Event::Waits { until, on: Waiting::Person(ask.clone()), why, gates: vec![] });
    scene.now = ask.expires;
    scene.happens(Event::Answered { ask: ask.id, answer: Answer::Expired });
    assert!(!matches!(scene.incident.next(), runbook::incident::Next::Decide(_) | runbook::incident::Next::Settle));
    scene.incident.apply(scene.now, &Event::Looked { findings: findings(Value::Flag(true), scene.now) }).unwrap_or(());
    assert!(scene.incident.grant.is_none());
}

#[test]
fn a_clock_that_went_back_frees_nothing() {
    let current = estate();
    let mut ledger = Ledger::default();
    ledger.started(&started(1, 0, 0, NOW, 1));
    for back in [0, 1, 3_600, 86_400, 400 * 86_400] {
        let now = NOW.minus(Duration::from_secs(back));
        assert!(!acts(&current, &ledger, 0, 0, now), "{back} s back, the cooldown is not over");
    }
    assert!(acts(&current, &ledger, 0, 0, NOW.plus(Duration::from_secs(600))));
}

#[test]
fn a_storm_counts_what_nothing_upstream_explains_and_forgets_it() {
    let mut current = estate();
    let root: TargetId = "rehearsal/t0".parse().unwrap();
    let leaning = |number: usize| Target {
        id: on(number),
        traits: Traits { depends_on: vec![root.clone()], ..current.inventory.get(&root).unwrap().traits.clone() },
        place: Place::Rehearsal { ledger: String::new() },
        known_as: vec![],
    };
    let first = current.inventory.get(&root).unwrap().clone();
    current.inventory = Inventory::new([first, leaning(1), leaning(2)]);
    let mut ledger = Ledger::default();
    for id in 0..10 {
        ledger.opened(IncidentId(id), &name(0), &on(1 + id as usize % 2), NOW, false);
    }
    let seen = |ledger: &Ledger, now| {
        let incident = incident(&current, 888_888, 0, 1, now);
        ledger.history(&incident, &incident.runbook, &current, now).burst.unexplained
    };
    assert_eq!(seen(&ledger, NOW), 10, "nothing explains ten incidents");
    ledger.opened(IncidentId(99), &name(1), &root, NOW, false);
    assert_eq!(seen(&ledger, NOW), 1, "an incident on what they rest on does, and is one itself");
    ledger.ended(IncidentId(99), How::Cured, NOW, true);
    assert_eq!(seen(&ledger, NOW), 11, "and once it is over, it does not");
    assert_eq!(seen(&ledger, NOW.plus(Duration::from_secs(300))), 0);
    ledger.opened(IncidentId(100), &name(1), &root, NOW.plus(Duration::from_secs(300)), true);
    assert_eq!(seen(&ledger, NOW.plus(Duration::from_secs(300))), 0, "what a person starts is no sign of a storm");
}

#[test]
fn one_incident_fails_once_and_a_cure_ends_the_row() {
    let current = estate();
    let mut ledger = Ledger::default();
    let at = |seconds: u64| NOW.plus(Duration::from_secs(seconds));
    let row = |ledger: &Ledger| {
        let incident = incident(&current, 888_888, 0, 0, at(100));
        ledger.history(&incident, &incident.runbook, &current, at(100)).failed.failures.len()
    };
    for (id, second) in [(1, 0), (2, 1), (1, 2), (2, 3)] {
        ledger.failed(IncidentId(id), &name(0), at(second));
    }
    assert_eq!(row(&ledger), 2, "rungs and ends of two incidents are two failures");
    ledger.failed(IncidentId(3), &name(0), at(4));
    assert_eq!(row(&ledger), 3);
    ledger.cured(IncidentId(4), &name(0), &on(0), at(5));
    assert_eq!(row(&ledger), 0);
}
