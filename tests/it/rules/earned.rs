//! Earned autonomy and breakers on the real journal: what is kept is what is read again, it outlives retention, the start checks it
//! anew, and a person's closing of a breaker begins the row anew. The real daemon's timeline stands in `trust`.

use std::time::Duration;

use journal::{Journal, Retention, StartRefused};
use policy::{Decision, History, Record, Standing, overview};
use runbook::book::{Configuration, Earned, Mode, ModeByTime, Recurrence};
use runbook::incident::{Event, Gate, GateName, How, IncidentId};
use runbook::time::{Span, Stamp};

use super::{NOW, estate, finish, hear, looked, name, opened, permit, ruled};

/// One target whose runbook earns its autonomy by rows of this length.
fn trusting(after: u32) -> Configuration {
    let mut configuration = estate(2, |_| vec![]);
    for book in configuration.runbooks.edit().values_mut() {
        book.mode = ModeByTime { earned: Some(Earned { after }), ..ModeByTime::always(Mode::Auto) };
    }
    configuration
}

fn at(second: u64) -> Stamp {
    NOW.plus(Duration::from_secs(second))
}

/// One incident that observes, from its alert to its end.
async fn observed(journal: &Journal, configuration: &Configuration, now: Stamp) -> IncidentId {
    hear(journal, [0].into_iter(), now).await;
    let mut claim = looked(journal, now).await;
    let book = &configuration.runbooks[&name(0)];
    let past = journal.past(&claim.incident, book, configuration, now).await.unwrap();
    let Decision::End { how, why } = ruled(&claim.incident, configuration, &past.history, now) else { panic!("it does not end") };
    assert_eq!(how, How::Refused, "{why}");
    let gates = vec![Gate { name: GateName::Mode, open: false, why: why.clone().into() }];
    journal.append(&mut claim, now, &Event::Ending { how, why: why.clone(), gates }).await.unwrap();
    journal.append(&mut claim, now, &Event::Closed { how, why }).await.unwrap();
    claim.incident.id
}

async fn mark(journal: &Journal, id: IncidentId, right: bool, now: Stamp) -> Result<(), String> {
    let event = Event::Judged { by: "ann".to_owned(), right, why: String::new() };
    journal.append_from_outside(id, now, &event).await.map(drop).map_err(|error| error.to_string())
}

fn standing(journal: &Journal, configuration: &Configuration) -> Standing {
    journal.ledger().standing(&name(0), &configuration.runbooks[&name(0)].deed())
}

#[tokio::test]
async fn what_is_earned_is_kept_read_again_and_outlives_the_incidents() {
    let configuration = trusting(2);
    let (folder, journal) = opened(&configuration).await;
    for round in 0..2_u64 {
        let id = observed(&journal, &configuration, at(1_000 * round)).await;
        mark(&journal, id, true, at(1_000 * round + 500)).await.unwrap();
    }
    let kept = standing(&journal, &configuration);
    assert_eq!((kept.record.level, kept.record.right, kept.record.streak), (Mode::Ask, 2, 0), "{kept:?}");
    journal.recount().await.unwrap();
    assert_eq!(standing(&journal, &configuration), kept, "made anew it is the same");
    let much_later = at(500 * 86_400);
    let pruned = journal.prune(Retention { age: Duration::from_secs(86_400), bytes: u64::MAX }, much_later).await.unwrap();
    assert_eq!(pruned.incidents, 2);
    drop(journal);
    let again = Journal::open(folder.path()).await.unwrap();
    assert_eq!(standing(&again, &configuration), kept, "the incidents are gone, and what they earned is not");
    // Another text has earned nothing, and says so; the first one has it back when it is put back.
    let mut changed = configuration.clone();
    changed.runbooks.edit().get_mut(&name(0)).unwrap().remedies[0].verify.hold = Span::secs(3);
    let stands = overview(&changed.runbooks[&name(0)], &changed, &again.ledger(), much_later);
    assert_eq!((stands.mode, stands.before), (Mode::Observe, Some(Mode::Ask)));
    assert!(stands.bound[0].why.contains("what it does has changed since it earned ask"), "{:?}", stands.bound);
}

#[tokio::test]
async fn a_mark_is_refused_with_its_reason_and_can_only_be_taken_back_towards_wrong() {
    let configuration = trusting(5);
    let (_folder, journal) = opened(&configuration).await;
    hear(&journal, [1].into_iter(), NOW).await;
    let open = IncidentId(1);
    assert!(mark(&journal, open, true, NOW).await.unwrap_err().contains("it is not over yet"));
    let mut claim = looked(&journal, NOW).await;
    let event = Event::Ending { how: How::Refused, why: "not needed".to_owned(), gates: vec![] };
    journal.append(&mut claim, NOW, &event).await.unwrap();
    journal.append(&mut claim, NOW, &Event::Closed { how: How::Refused, why: "not needed".to_owned() }).await.unwrap();
    assert!(mark(&journal, open, true, NOW).await.unwrap_err().contains("neither proposed nor did anything"));
    let id = observed(&journal, &configuration, at(10)).await;
    let nobody = Event::Judged { by: " ".to_owned(), right: true, why: String::new() };
    assert!(journal.append_from_outside(id, at(20), &nobody).await.unwrap_err().to_string().contains("has the name of whoever"));
    mark(&journal, id, true, at(20)).await.unwrap();
    assert!(mark(&journal, id, true, at(21)).await.unwrap_err().contains("ann marked it right"));
    mark(&journal, id, false, at(22)).await.unwrap();
    assert!(mark(&journal, id, true, at(23)).await.unwrap_err().contains("and that stands"));
    let record = standing(&journal, &configuration).record;
    assert_eq!((record.right, record.wrong, record.streak), (0, 1, 0), "{record:?}");
    assert_eq!(journal.check().await.unwrap().complaints, Vec::<String>::new());
}

#[tokio::test]
async fn a_level_that_fell_since_the_decision_stops_the_start() {
    let configuration = trusting(1);
    let (_folder, journal) = opened(&configuration).await;
    let first = observed(&journal, &configuration, NOW).await;
    mark(&journal, first, true, at(1)).await.unwrap();
    hear(&journal, [0].into_iter(), at(1_000)).await;
    let mut claim = looked(&journal, at(1_000)).await;
    // Whoever decided believed that it may act by itself.
    let auto = Standing { record: Record { level: Mode::Auto, ..Record::default() }, before: None };
    let history = History { earned: auto, ..History::default() };
    let Decision::Act(permit) = ruled(&claim.incident, &configuration, &history, at(1_000)) else { panic!("it does not act") };
    let refused = journal.start(&mut claim, permit, at(1_000)).await.map(drop);
    assert!(matches!(refused, Err(StartRefused::LimitReached)), "{refused:?}");
}

#[tokio::test]
async fn a_cure_that_came_back_and_an_act_that_failed_lower_it() {
    let mut configuration = trusting(1);
    configuration.runbooks.edit().get_mut(&name(0)).unwrap().limits.recurrence =
        Some(Recurrence { times: 1, within: Span::secs(86_400) });
    let free = {
        let mut free = configuration.clone();
        free.runbooks.edit().values_mut().for_each(|book| book.mode.earned = None);
        free
    };
    let (_folder, journal) = opened(&configuration).await;
    for (round, how) in (0_u64..).zip([How::Cured, How::HandedOver]) {
        let now = at(10_000 * round);
        hear(&journal, [0].into_iter(), now).await;
        let mut claim = looked(&journal, now).await;
        let permit = permit(&claim.incident, &free);
        journal.start(&mut claim, permit, now).await.map(drop).unwrap();
        finish(&journal, &mut claim, how, now).await;
    }
    let record = standing(&journal, &configuration).record;
    assert_eq!((record.cured, record.came_back, record.failed), (1, 1, 1), "{record:?}");
    assert_eq!(record.why, "INC-2 acted, and a person had to go on");
    // A mark on what went wrong by itself is no second fall, and no praise helps it.
    mark(&journal, IncidentId(2), true, at(30_000)).await.unwrap();
    assert_eq!(standing(&journal, &configuration).record.level, Mode::Observe);
}

#[tokio::test]
async fn a_breaker_that_a_person_closed_counts_anew_and_still_does_after_a_restart() {
    let configuration = estate(2, |_| vec![]);
    let (folder, journal) = opened(&configuration).await;
    let failing = async |journal: &Journal, rounds: std::ops::Range<u64>| {
        for round in rounds {
            let now = at(1_000 * round);
            hear(journal, [0].into_iter(), now).await;
            let mut claim = looked(journal, now).await;
            let permit = permit(&claim.incident, &configuration);
            journal.start(&mut claim, permit, now).await.map(drop).unwrap();
            finish(journal, &mut claim, How::HandedOver, now).await;
        }
    };
    let rule = &configuration.rules.breaker;
    failing(&journal, 0..3).await;
    let cure = name(0);
    let open = journal.ledger().breaker(Some(&cure), rule).unwrap();
    assert_eq!((open.failures, open.tried_by), (3, None));
    assert_eq!(open.tries_again, open.since.plus(rule.tries_again_after.duration()));
    journal.close_breaker(Some(&cure), "ann", "the disk is replaced", at(5_000)).await.unwrap();
    assert_eq!(journal.ledger().breaker(Some(&cure), rule), None);
    drop(journal);
    let journal = Journal::open(folder.path()).await.unwrap();
    journal.adopt(&configuration, at(5_500)).await.unwrap();
    assert_eq!(journal.ledger().breaker(Some(&cure), rule), None, "also after a restart");
    let (when, by, why) = journal.last_closing(Some(&cure)).await.unwrap().unwrap();
    assert_eq!((when, by.as_str(), why.as_str()), (at(5_000), "ann", "the disk is replaced"));
    failing(&journal, 6..8).await;
    assert_eq!(journal.ledger().breaker(Some(&cure), rule), None, "two in a row since");
    // What the breaker of all counts is another row: the fifth is none of its six, and the sixth is.
    assert_eq!(journal.ledger().breaker(None, rule), None);
    failing(&journal, 8..9).await;
    assert!(journal.ledger().breaker(Some(&cure), rule).is_some() && journal.ledger().breaker(None, rule).is_some());
}
