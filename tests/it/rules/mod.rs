//! The rules of the house on the real journal: a budget that many hands cannot overspend, limits that hold inside the start
//! whatever a decision believed, and counters that are the same when they are made anew. What several incidents do to each
//! other stands in `timelines`.

use std::collections::BTreeMap;
use std::time::Duration;

use journal::{Chosen, Claim, Claimed, Filter, Heard, Journal, StartRefused};
use policy::{Case, Decision, History, Permit, decide};
use runbook::alert::{Alert, AlertStatus, Fingerprint, Labels};
use runbook::book::{Configuration, Mode, Rate, Runbook};
use runbook::condition::Value;
use runbook::finding::{Finding, Findings, Seen};
use runbook::incident::{Aim, Event, How, Incident, Reply};
use runbook::order::Verdict;
use runbook::target::{Class, Inventory, Place, Target, TargetId, TargetSelector, Traits};
use runbook::time::{Span, Stamp};

use crate::crash::stories::{effect, remedy, runbook, step};

mod earned;
mod timelines;
mod trust;

const NOW: Stamp = Stamp::from_millis(1_800_000_000_000);
const LEASE: Duration = Duration::from_secs(3_600);

fn target(number: usize) -> TargetId {
    format!("rehearsal/t{number:04}").parse().unwrap()
}

/// So many targets, each with a runbook of its own, under rules that only the test narrows.
fn estate(targets: usize, depends_on: impl Fn(usize) -> Vec<TargetId>) -> Configuration {
    let of = |number: usize| Target {
        id: target(number),
        traits: Traits {
            depends_on: depends_on(number),
            stateful: false,
            may_be_cloned: false,
            class: Class::P3,
            owner: "nobody".to_owned(),
        },
        place: Place::Rehearsal { ledger: "in memory".to_owned() },
        known_as: vec![],
    };
    let book = |number: usize| Runbook {
        target: TargetSelector::Named(target(number)),
        ..runbook(&name(number), Mode::Auto, vec![remedy("helps", vec![step(effect("a1"))])])
    };
    let mut configuration = Configuration {
        runbooks: (0..targets).map(|number| (name(number), book(number))).collect(),
        inventory: Inventory::new((0..targets).map(of)),
        ..Configuration::default()
    };
    let rules = &mut configuration.rules;
    let plenty = vec![Rate { count: 1_000_000, per: Span::secs(3_600) }];
    (rules.overall.rate, rules.overall.at_once) = (plenty.clone(), u32::MAX);
    rules.per_target.rate = plenty;
    rules.disruption.budget = u32::MAX;
    rules.storm.incidents = u32::MAX;
    configuration
}

fn name(number: usize) -> String {
    format!("cure-{number:04}")
}

async fn opened(configuration: &Configuration) -> (tempfile::TempDir, Journal) {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path()).await.unwrap();
    journal.adopt(configuration, NOW).await.unwrap();
    (folder, journal)
}

/// Opens one incident for each of these targets, in one commit.
async fn hear(journal: &Journal, numbers: impl Iterator<Item = usize>, now: Stamp) {
    hear_of(journal, numbers.map(|number| (number, number)), now).await;
}

/// The same where an alert's number is not its target's.
async fn hear_of(journal: &Journal, numbers: impl Iterator<Item = (usize, usize)>, now: Stamp) {
    let heard = |(number, of): (usize, usize)| {
        let labels = Labels::from([("alertname".to_owned(), format!("Rehearsed{number}"))]);
        let alert = Alert {
            fingerprint: Fingerprint::of(&labels),
            status: AlertStatus::Firing,
            labels,
            annotations: Labels::new(),
            starts_at: now,
            generator_url: String::new(),
        };
        Heard { alert, chosen: Ok(Chosen { runbook: name(number), target: target(of) }) }
    };
    journal.hear(&numbers.map(heard).collect::<Vec<_>>(), None, now).await.unwrap();
}

fn findings(at: Stamp) -> Findings {
    let fields = BTreeMap::from([("broken".to_owned(), Value::Flag(true)), ("effects".to_owned(), Value::Number(0.0))]);
    let finding = Finding { probe: "rehearsal.ledger".to_owned(), at, seen: Seen::Known { fields, subjects: vec![] } };
    Findings { looks: BTreeMap::from([("ledger".to_owned(), finding)]), ..Findings::default() }
}

/// Claims what is due and looks.
async fn looked(journal: &Journal, now: Stamp) -> Box<Claim> {
    let Claimed::Claim(mut claim) = journal.claim(now, LEASE).await.unwrap() else { panic!("nothing to claim") };
    journal.append(&mut claim, now, &Event::Looked { findings: findings(now) }).await.unwrap();
    claim
}

fn ruled(incident: &Incident, current: &Configuration, history: &History, now: Stamp) -> Decision {
    let (mut findings, pause) = (findings(now), policy::Pause::default());
    let well = Seen::Known { fields: BTreeMap::from([("broken".to_owned(), Value::Flag(false))]), subjects: vec![] };
    let well = Finding { probe: "rehearsal.ledger".to_owned(), at: now, seen: well };
    findings.beside = incident.beside(&current.inventory).into_iter().map(|id| (id, well.clone())).collect();
    let case = Case {
        incident,
        aim: Aim::Do,
        findings: &findings,
        now,
        current,
        pause: &pause,
        history,
        clock_doubted_until: None,
        held_by: None,
        ask_id: "ask",
    };
    decide(&case).decision
}

/// The permit that a decision gives which knows of nothing else.
fn permit(incident: &Incident, current: &Configuration) -> Permit {
    match ruled(incident, current, &History::default(), NOW) {
        Decision::Act(permit) => permit,
        other => panic!("no permit: {other:?}"),
    }
}

/// Takes an incident that was started to its end.
async fn finish(journal: &Journal, claim: &mut Claim, how: How, now: Stamp) {
    let settled = now.plus(Duration::from_secs(60));
    let finding = findings(settled).looks.remove("ledger").unwrap();
    let verdict = Verdict::Landed("it is there".to_owned());
    let since = settled;
    let proved = settled.plus(Duration::from_secs(10));
    journal.append(claim, now, &Event::ActionReplied { reply: Reply::Done(String::new()) }).await.unwrap();
    journal.append(claim, settled, &Event::Settled { verdict, finding }).await.unwrap();
    let end = match how {
        How::Cured => Event::Verified { findings: findings(proved), since },
        _ => Event::NotVerified { findings: findings(proved), why: "it did not hold".to_owned(), unseen: true },
    };
    journal.append(claim, proved, &end).await.unwrap();
    let runbook::incident::Next::Close { how, why } = claim.incident.next() else { panic!("{:?}", claim.incident.stage) };
    journal.append(claim, proved, &Event::Closed { how, why }).await.unwrap();
}

/// Its act was refused before anything was sent, and it is handed over.
async fn refuse(journal: &Journal, claim: &mut Claim, now: Stamp) {
    let finding = findings(now).looks.remove("ledger").unwrap();
    let verdict = Verdict::NotLanded("it is not there".to_owned());
    let reply = Reply::Refused("the file may not be written".to_owned());
    journal.append(claim, now, &Event::ActionReplied { reply }).await.unwrap();
    journal.append(claim, now, &Event::Settled { verdict, finding }).await.unwrap();
    let runbook::incident::Next::Close { how, why } = claim.incident.next() else { panic!("{:?}", claim.incident.stage) };
    assert!(how == How::HandedOver && why.contains("the file may not be written"), "{why}");
    journal.append(claim, now, &Event::Closed { how, why }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_starts_at_once_never_overspend_the_budget() {
    // Each act costs two: one for its target, one for what leans on it.
    let mut configuration = estate(2_000, |number| if number >= 1_000 { vec![target(number - 1_000)] } else { vec![] });
    configuration.rules.disruption.budget = 20;
    let (_folder, journal) = opened(&configuration).await;
    hear(&journal, 0..1_000, NOW).await;
    let mut ready = Vec::new();
    for _ in 0..1_000 {
        let claim = looked(&journal, NOW).await;
        let permit = permit(&claim.incident, &configuration);
        assert_eq!(permit.cost(), 2);
        ready.push((claim, permit));
    }
    let mut starts = tokio::task::JoinSet::new();
    for (mut claim, permit) in ready {
        let journal = journal.clone();
        starts.spawn(async move { (journal.start(&mut claim, permit, NOW).await.map(drop), claim) });
    }
    let outcomes = starts.join_all().await;
    assert_eq!(outcomes.iter().filter(|(outcome, _)| outcome.is_ok()).count(), 10, "ten acts of two are twenty");
    let refused = outcomes.iter().filter(|(outcome, _)| matches!(outcome, Err(StartRefused::LimitReached)));
    assert_eq!(refused.count(), 990);
    // Who decides again knows it, and says so.
    let (_, claim) = outcomes.iter().find(|(outcome, _)| outcome.is_err()).unwrap();
    let book = &configuration.runbooks[&claim.incident.runbook.name];
    let past = journal.past(&claim.incident, book, &configuration, NOW).await.unwrap();
    assert_eq!(past.history.spent, 20);
    let Decision::End { how: How::HandedOver, why } = ruled(&claim.incident, &configuration, &past.history, NOW) else {
        panic!("it does not end")
    };
    assert!(why.contains("it costs 2, and 20 of 20 were spent within 1h"), "{why}");
}

#[tokio::test]
async fn each_limit_holds_inside_the_start_whatever_the_decision_knew() {
    type Narrow = fn(&mut Configuration);
    let table: [(&str, Narrow); 3] = [
        ("overall", |c| c.rules.overall.rate = vec![Rate { count: 1, per: Span::secs(3_600) }]),
        ("at once", |c| c.rules.overall.at_once = 1),
        ("budget", |c| c.rules.disruption.budget = 1),
    ];
    for (limit, narrow) in table {
        let mut configuration = estate(2, |_| vec![]);
        narrow(&mut configuration);
        let (_folder, journal) = opened(&configuration).await;
        hear(&journal, 0..2, NOW).await;
        let (mut first, mut second) = (looked(&journal, NOW).await, looked(&journal, NOW).await);
        let (one, other) = (permit(&first.incident, &configuration), permit(&second.incident, &configuration));
        journal.start(&mut first, one, NOW).await.map(drop).unwrap();
        let refused = journal.start(&mut second, other, NOW).await;
        assert!(matches!(refused, Err(StartRefused::LimitReached)), "{limit}: {refused:?}");
        let book = &configuration.runbooks[&second.incident.runbook.name];
        let past = journal.past(&second.incident, book, &configuration, NOW).await.unwrap();
        let decided = ruled(&second.incident, &configuration, &past.history, NOW);
        assert!(!matches!(decided, Decision::Act(_)), "{limit}: the next decision knows it");
    }
}

#[tokio::test]
async fn acts_of_other_runbooks_on_one_target_count_together() {
    let mut configuration = estate(3, |_| vec![]);
    configuration.rules.per_target.rate = vec![Rate { count: 1, per: Span::secs(3_600) }];
    // The second one acts on the first one's target; the third has its own.
    let mut books = configuration.runbooks.edit();
    let book = books.get_mut(&name(1)).unwrap();
    book.remedies[0].steps[0].target = Some(target(0));
    book.look.get_mut("ledger").unwrap().target = Some(target(0));
    drop(books);
    let (_folder, journal) = opened(&configuration).await;
    hear(&journal, 0..3, NOW).await;
    let mut claims = [looked(&journal, NOW).await, looked(&journal, NOW).await, looked(&journal, NOW).await];
    let [first, second, third] = &mut claims;
    let permits = [&first, &second, &third].map(|claim| permit(&claim.incident, &configuration));
    let [one, two, three] = permits;
    journal.start(first, one, NOW).await.map(drop).unwrap();
    finish(&journal, first, How::Cured, NOW).await;
    let later = NOW.plus(Duration::from_secs(120));
    assert!(matches!(journal.start(second, two, later).await, Err(StartRefused::LimitReached)));
    journal.start(third, three, later).await.map(drop).unwrap();
}

#[tokio::test]
async fn counters_made_anew_are_those_that_were_kept() {
    let configuration = estate(6, |number| if number == 5 { vec![target(0)] } else { vec![] });
    let (folder, journal) = opened(&configuration).await;
    hear(&journal, 0..6, NOW).await;
    let mut claims = Vec::new();
    for _ in 0..6 {
        let mut claim = looked(&journal, NOW).await;
        let permit = permit(&claim.incident, &configuration);
        journal.start(&mut claim, permit, NOW).await.map(drop).unwrap();
        claims.push(claim);
    }
    let ends = [How::Cured, How::HandedOver, How::Cured, How::HandedOver];
    for ((second, how), claim) in (1_u64..).zip(ends).zip(&mut claims) {
        finish(&journal, claim, how, NOW.plus(Duration::from_secs(100 * second))).await;
    }
    refuse(&journal, &mut claims[4], NOW.plus(Duration::from_secs(500))).await;
    let now = NOW.plus(Duration::from_secs(1_000));
    let seen = |journal: &Journal, claim: &Claim| {
        let book = &configuration.runbooks[&claim.incident.runbook.name];
        journal.ledger().history(&claim.incident, book, &configuration, now)
    };
    let kept: Vec<_> = claims.iter().map(|claim| seen(&journal, claim)).collect();
    assert_eq!(kept[0].at_work, 1);
    assert_eq!(kept[0].cured.len(), 0, "no recurrence is counted where none is limited");
    assert_eq!(kept[1].failed.failures.len(), 1);
    assert_eq!(kept[0].failed_overall.failures.len(), 1, "a cure ended the row before");
    assert_eq!(kept[4].failed.failures.len(), 0, "what was refused, and never sent, is no cure that failed");
    assert_eq!(kept[0].spent, 7);
    journal.recount().await.unwrap();
    let anew: Vec<_> = claims.iter().map(|claim| seen(&journal, claim)).collect();
    // What could be seen lately is no part of what is on record in the tables.
    let without_sight = |all: &[History]| -> Vec<History> {
        let blind = |history: &History| {
            let mut history = history.clone();
            (history.burst.blind, history.burst.looked) = (0, 0);
            history
        };
        all.iter().map(blind).collect()
    };
    assert_eq!(without_sight(&anew), without_sight(&kept));
    drop(journal);
    let again = Journal::open(folder.path()).await.unwrap();
    let after: Vec<_> = claims.iter().map(|claim| seen(&again, claim)).collect();
    assert_eq!(after, anew, "the same after a restart");
    assert_eq!(again.incidents(Filter::default()).await.unwrap().len(), 6);
}

#[tokio::test]
async fn an_act_whose_end_nobody_saw_is_remembered_for_a_day() {
    let configuration = estate(3, |_| vec![]);
    let (_folder, journal) = opened(&configuration).await;
    hear(&journal, 0..1, NOW).await;
    let mut claim = looked(&journal, NOW).await;
    let permit = permit(&claim.incident, &configuration);
    journal.start(&mut claim, permit, NOW).await.map(drop).unwrap();
    let later = NOW.plus(Duration::from_secs(600));
    let finding = findings(later).looks.remove("ledger").unwrap();
    let verdict = Verdict::Unknowable("no answer".to_owned());
    journal.append(&mut claim, later, &Event::Settled { verdict, finding }).await.unwrap();
    let runbook::incident::Next::Close { how, why } = claim.incident.next() else { panic!("{:?}", claim.incident.stage) };
    assert_eq!(how, How::Stuck);
    journal.append(&mut claim, later, &Event::Closed { how, why }).await.unwrap();
    let first = claim.incident.id;
    hear_of(&journal, [(1, 0), (2, 2)].into_iter(), later).await;
    let (same, other) = (looked(&journal, later).await, looked(&journal, later).await);
    let doubtful = async |claim: &Claim, now: Stamp| {
        let book = &configuration.runbooks[&claim.incident.runbook.name];
        journal.past(&claim.incident, book, &configuration, now).await.unwrap().history.doubtful
    };
    assert_eq!(doubtful(&same, later).await, Some(first));
    assert_eq!(doubtful(&other, later).await, None, "another target");
    assert_eq!(doubtful(&same, NOW.plus(Duration::from_secs(90_000))).await, None);
}
