//! The journal by itself, on the real SQLite store: one process, fencing, the pause inside the start, holds under many hands,
//! what is heard again, and what happens to a journal that is newer or damaged.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use journal::{AppendError, Chosen, Claim, Claimed, Filter, Heard, Journal, OpenError, Scope, StartRefused};
use policy::{Case, Decision, History, Permit, decide};
use runbook::alert::{Alert, AlertStatus, Fingerprint, Labels};
use runbook::book::{Configuration, Mode, Runbook};
use runbook::condition::Value;
use runbook::finding::{Finding, Findings, Seen};
use runbook::incident::{Aim, Event, How, Incident, IncidentId, Stage};
use runbook::target::{Inventory, Target, TargetSelector};
use runbook::time::Stamp;
use runbookd::engine::{Engine, Silent};
use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tokio::sync::watch;

use crate::crash::stories::{by_a_person, configuration, effect, remedy, runbook, step, target};
use crate::crash::world::{Behaviour, Outside, Rehearsal};

pub const NOW: Stamp = Stamp::from_millis(1_800_000_000_000);
const LEASE: Duration = Duration::from_secs(60);

pub fn one_runbook() -> Configuration {
    configuration(vec![runbook("cure", Mode::Auto, vec![remedy("helps", vec![step(effect("a1"))])])])
}

pub fn chosen(runbook: &str) -> Chosen {
    Chosen { runbook: runbook.to_owned(), target: target() }
}

fn alert(status: AlertStatus, starts_at: Stamp) -> Heard {
    let labels = Labels::from([("alertname".to_owned(), "Rehearsed".to_owned())]);
    let alert = Alert {
        fingerprint: Fingerprint::of(&labels),
        status,
        labels,
        annotations: Labels::new(),
        starts_at,
        generator_url: String::new(),
    };
    Heard { alert, chosen: Ok(chosen("cure")) }
}

pub async fn opened(configuration: &Configuration) -> (tempfile::TempDir, Journal) {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path()).await.unwrap();
    journal.adopt(configuration, NOW).await.unwrap();
    (folder, journal)
}

pub async fn claim(journal: &Journal, now: Stamp) -> Box<Claim> {
    match journal.claim(now, LEASE).await.unwrap() {
        Claimed::Claim(claim) => claim,
        other => panic!("nothing to claim: {other:?}"),
    }
}

fn findings(at: Stamp) -> Findings {
    let fields = BTreeMap::from([("broken".to_owned(), Value::Flag(true)), ("effects".to_owned(), Value::Number(0.0))]);
    let finding = Finding { probe: "rehearsal.ledger".to_owned(), at, seen: Seen::Known { fields, subjects: vec![] } };
    Findings { looks: BTreeMap::from([("ledger".to_owned(), finding)]), ..Findings::default() }
}

async fn look(journal: &Journal, claim: &mut Claim) {
    journal.append(claim, NOW, &Event::Looked { findings: findings(NOW) }).await.unwrap();
}

/// The permit that policy gives for this incident.
async fn permit(journal: &Journal, incident: &Incident, current: &Configuration) -> Permit {
    let pause = journal.pause_for(&incident.runbook.name, &[target()], NOW).await.unwrap();
    let findings = findings(NOW);
    let history = History::default();
    let case = Case {
        incident,
        aim: Aim::Do,
        findings: &findings,
        now: NOW,
        current,
        pause: &pause,
        history: &history,
        clock_doubted_until: None,
        held_by: None,
        ask_id: "ask",
    };
    match decide(&case).decision {
        Decision::Act(permit) => permit,
        other => panic!("no permit: {other:?}"),
    }
}

/// A connection past the journal's own hands.
pub async fn beside(folder: &Path) -> SqliteConnection {
    SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(folder.join("journal.db"))).await.unwrap()
}

/// Puts an act on record past the journal's own hands.
pub async fn acted(folder: &Path, id: IncidentId, at: Stamp) {
    let mut connection = beside(folder).await;
    let act = "INSERT INTO attempts (incident, seq, runbook, target, at, purpose, acted_on) VALUES ($1, 1000, 'cure', $2, $3, 'do', $2)";
    let act = sqlx::query(act).bind(id.0 as i64).bind(target().to_string()).bind(at.millis());
    act.execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// Closes a claimed incident in a given way.
pub async fn close(journal: &Journal, claim: &mut Claim, how: How, now: Stamp) {
    let why = "for the test".to_owned();
    journal.append(claim, now, &Event::Ending { how, why: why.clone(), gates: vec![] }).await.unwrap();
    journal.append(claim, now, &Event::Closed { how, why }).await.unwrap();
}

#[tokio::test]
async fn one_process_has_a_state_directory() {
    let (folder, journal) = opened(&one_runbook()).await;
    assert!(matches!(Journal::open(folder.path()).await, Err(OpenError::InUse(_))));
    let beside = Journal::open_to_read(folder.path()).await.unwrap();
    assert_eq!(beside.incidents(Filter::default()).await.unwrap().len(), 0);
    drop((journal, beside));
    Journal::open(folder.path()).await.unwrap();
}

#[tokio::test]
async fn a_newer_journal_is_refused_and_left_as_it_is() {
    let (folder, journal) = opened(&one_runbook()).await;
    drop(journal);
    let path = folder.path().join("journal.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let mut connection = <sqlx::SqliteConnection as sqlx::Connection>::connect_with(&options).await.unwrap();
    sqlx::raw_sql("PRAGMA user_version = 99").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let before = std::fs::read(&path).unwrap();
    let refused = Journal::open(folder.path()).await.err().unwrap();
    assert!(matches!(refused, OpenError::Newer { found: 99, .. }), "{refused}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_late_worker_cannot_write_or_start() {
    let configuration = one_runbook();
    let (_folder, journal) = opened(&configuration).await;
    journal.open_incident(&chosen("cure"), by_a_person(), NOW).await.unwrap();
    let mut late = claim(&journal, NOW).await;
    look(&journal, &mut late).await;
    let permit = permit(&journal, &late.incident, &configuration).await;
    // Its lease runs out, and another has the incident by now.
    let after = NOW.plus(LEASE).plus(Duration::from_millis(1));
    let other = claim(&journal, after).await;
    assert!(matches!(journal.append(&mut late, after, &Event::Stale { why: String::new() }).await, Err(AppendError::LeaseLost)));
    assert!(matches!(journal.start(&mut late, permit, after).await, Err(StartRefused::LeaseLost)));
    assert!(!journal.renew(&late, after, LEASE).await.unwrap());
    assert!(journal.renew(&other, after, LEASE).await.unwrap());
}

#[tokio::test]
async fn nobody_else_has_an_incident_for_as_long_as_its_call_may_run() {
    let configuration = one_runbook();
    let (_folder, journal) = opened(&configuration).await;
    journal.open_incident(&chosen("cure"), by_a_person(), NOW).await.unwrap();
    let mut mine = claim(&journal, NOW).await;
    look(&journal, &mut mine).await;
    let permit = permit(&journal, &mine.incident, &configuration).await;
    let call = permit.order().deadline();
    let _call = journal.start(&mut mine, permit, NOW).await.unwrap();
    // A renewal in the middle, by who watches, is for less than that.
    journal.renew(&mine, NOW, LEASE).await.unwrap();
    let during = NOW.plus(call).plus(LEASE).minus(Duration::from_secs(1));
    assert!(matches!(journal.claim(during, LEASE).await.unwrap(), Claimed::NothingBefore(_)));
    let after = during.plus(Duration::from_secs(2));
    // A lease that ran out while the machine stood still is no reason to take it from the task that goes on with it.
    let busy = [mine.incident.id].into();
    assert!(matches!(journal.claim_except(&busy, after, LEASE).await.unwrap(), Claimed::NothingBefore(None)));
    assert!(matches!(journal.claim(after, LEASE).await.unwrap(), Claimed::Claim(_)));
}

#[tokio::test]
async fn a_pause_between_decision_and_start_makes_the_permit_void() {
    let configuration = one_runbook();
    let (folder, journal) = opened(&configuration).await;
    journal.open_incident(&chosen("cure"), by_a_person(), NOW).await.unwrap();
    let mut claimed = claim(&journal, NOW).await;
    look(&journal, &mut claimed).await;
    for scope in [Scope::All, Scope::Runbook("cure".to_owned()), Scope::Target(target())] {
        let decided = permit(&journal, &claimed.incident, &configuration).await;
        journal.pause(&scope, "drill", "a person", NOW, None).await.unwrap();
        assert!(matches!(journal.start(&mut claimed, decided, NOW).await, Err(StartRefused::PauseChanged)), "{scope}");
        assert!(journal.resume(&scope, "a person", NOW).await.unwrap());
    }
    // A pause that came and went since the decision makes it void, too.
    let decided = permit(&journal, &claimed.incident, &configuration).await;
    journal.pause(&Scope::All, "drill", "a person", NOW, None).await.unwrap();
    journal.resume(&Scope::All, "a person", NOW).await.unwrap();
    assert!(matches!(journal.start(&mut claimed, decided, NOW).await, Err(StartRefused::PauseChanged)));
    // The file stops as well, without any write to the journal.
    let decided = permit(&journal, &claimed.incident, &configuration).await;
    std::fs::write(folder.path().join(journal::PAUSE_FILE), "drill").unwrap();
    assert!(matches!(journal.start(&mut claimed, decided, NOW).await, Err(StartRefused::PauseChanged)));
    std::fs::remove_file(folder.path().join(journal::PAUSE_FILE)).unwrap();
    let decided = permit(&journal, &claimed.incident, &configuration).await;
    journal.start(&mut claimed, decided, NOW).await.map(drop).unwrap();
}

#[tokio::test]
async fn whatever_stands_under_the_name_of_the_pause_file_stops_and_nothing_waits_for_it() {
    let (folder, journal) = opened(&one_runbook()).await;
    let path = folder.path().join(journal::PAUSE_FILE);
    let paused = async || journal.pause_for("cure", &[target()], NOW).await.unwrap().reason;
    assert_eq!(paused().await, None);
    std::fs::create_dir(&path).unwrap();
    assert!(paused().await.is_some(), "a folder");
    std::fs::remove_dir(&path).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let pipe = tokio::time::timeout(Duration::from_secs(5), paused()).await;
    assert!(pipe.expect("a pipe that nobody writes to is not waited for").is_some(), "a pipe");
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
    assert!(paused().await.is_some(), "a link, whatever is behind it");
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("nowhere", &path).unwrap();
    assert!(paused().await.is_some(), "a link into nowhere");
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, [0xff, 0xfe, 0x1b, b'[', b'2', b'J', 0]).unwrap();
    let junk = paused().await.unwrap();
    assert!(junk.contains("to go on") && !junk.contains('\u{1b}') && !junk.contains('\0'), "{junk:?}");
    std::fs::write(&path, vec![b'x'; 10 << 20]).unwrap();
    assert!(paused().await.unwrap().len() < 600, "a reason is no longer than a line");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    assert!(paused().await.is_some(), "what may not be read");
}

#[tokio::test]
async fn the_pause_file_ends_only_when_it_says_so_readably() {
    let (folder, journal) = opened(&one_runbook()).await;
    let path = folder.path().join(journal::PAUSE_FILE);
    // The night on which clocks go back in Berlin, an hour before they do: an end is a moment, whatever the clocks on walls do.
    let now: Stamp = "2026-10-25T02:00:00+02:00".parse().unwrap();
    for (text, ends) in [
        ("moving house (by Ana)\nuntil: 2026-10-25T02:30:00+01:00\n", Some("2026-10-25T01:30:00Z")),
        ("until: 2026-10-25T01:30:00Z", Some("2026-10-25T01:30:00Z")),
        ("until: tomorrow", None),
        ("until: 02:30", None),
        ("until: 2026-10-25T01:30:00Z\nuntil: 2026-10-25T01:00:00Z", None),
        ("until: 2026-10-25T01:30:00", None),
        ("", None),
    ] {
        std::fs::write(&path, text).unwrap();
        let pause = journal.pause_for("cure", &[target()], now).await.unwrap();
        assert!(pause.reason.is_some(), "{text}");
        assert_eq!(pause.until, ends.map(|ends| ends.parse().unwrap()), "{text}");
        let later = now.plus(Duration::from_secs(5_399));
        assert!(journal.pause_for("cure", &[target()], later).await.unwrap().reason.is_some(), "{text}: a second before its end");
        let after = journal.pause_for("cure", &[target()], now.plus(Duration::from_secs(5_400))).await.unwrap();
        assert_eq!(after.reason.is_none(), ends.is_some(), "{text}: at its end");
    }
}

#[tokio::test]
async fn nobody_cuts_short_the_stop_of_another() {
    let (_folder, journal) = opened(&one_runbook()).await;
    let at = |seconds: u64| NOW.plus(Duration::from_secs(seconds));
    let pause = async |reason: &str, by: &str, now: Stamp, until: Option<Stamp>| {
        let ends = journal.pause(&Scope::All, reason, by, now, until).await.unwrap();
        let row = journal.pauses(now).await.unwrap().remove(0);
        assert_eq!(row.until, ends);
        (ends, row.since, row.reason)
    };
    assert_eq!(pause("a migration", "dba", NOW, Some(at(7_200))).await.0, Some(at(7_200)));
    let (ends, since, reason) = pause("lunch", "on-call", at(60), Some(at(360))).await;
    assert_eq!((ends, since), (Some(at(7_200)), NOW));
    assert_eq!(reason, "lunch; before that, dba: a migration");
    assert_eq!(pause("a storm", "on-call", at(61), None).await.0, None, "no end is the latest end");
    assert_eq!(pause("a storm", "on-call", at(62), Some(at(100))).await.0, None);
    assert!(journal.resume(&Scope::All, "a colleague", at(62)).await.unwrap());
    assert_eq!(pause("short", "on-call", at(63), Some(at(100))).await.0, Some(at(100)));
    let (ends, since, reason) = pause("another", "on-call", at(200), Some(at(300))).await;
    assert_eq!((ends, since, reason.as_str()), (Some(at(300)), at(200), "another"), "one that is over counts for nothing");
    assert!(journal.resume(&Scope::All, "too late", at(300)).await.unwrap());
    let lifted = journal.lifted_pauses(10).await.unwrap();
    let [one] = lifted.as_slice() else { panic!("what ended by itself was lifted by nobody: {lifted:?}") };
    assert_eq!((one.lifted, one.lifted_by.as_str(), one.pause.since), (at(62), "a colleague", NOW));
    assert!(one.pause.reason.ends_with("dba: a migration"), "{one:?}");
}

/// A start may be admitted before a pause or not at all: whatever is admitted stands before the acknowledgement.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_start_is_admitted_after_a_pause_was_acknowledged() {
    let name = |number: usize| format!("cure-{number:03}");
    let mut admitted = 0;
    for round in 0..8_u64 {
        let books = (0..24).map(|number| Runbook {
            target: TargetSelector::Named(format!("rehearsal/t{number}").parse().unwrap()),
            ..runbook(&name(number), Mode::Auto, vec![remedy("helps", vec![step(effect("a1"))])])
        });
        let mut configuration = configuration(books.collect());
        let usual = configuration.inventory.get(&target()).unwrap().clone();
        let of = |number: usize| Target { id: format!("rehearsal/t{number}").parse().unwrap(), ..usual.clone() };
        configuration.inventory = Inventory::new((0..24).map(of));
        configuration.rules.overall.at_once = u32::MAX;
        configuration.rules.overall.rate.clear();
        configuration.rules.disruption.budget = u32::MAX;
        configuration.rules.storm.incidents = u32::MAX;
        let (folder, journal) = opened(&configuration).await;
        let mut ready = Vec::new();
        for number in 0..24 {
            let chosen = Chosen { runbook: name(number), target: format!("rehearsal/t{number}").parse().unwrap() };
            journal.open_incident(&chosen, by_a_person(), NOW).await.unwrap();
            let mut claimed = claim(&journal, NOW).await;
            look(&journal, &mut claimed).await;
            let permit = permit(&journal, &claimed.incident, &configuration).await;
            ready.push((claimed, permit));
        }
        let acknowledged = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let mut starts = tokio::task::JoinSet::new();
        for (mut claimed, permit) in ready {
            let (journal, acknowledged) = (journal.clone(), acknowledged.clone());
            starts.spawn(async move {
                tokio::task::yield_now().await;
                let was = acknowledged.load(std::sync::atomic::Ordering::SeqCst);
                let started = journal.start(&mut claimed, permit, NOW).await.is_ok();
                assert!(!(was && started), "a start after the acknowledgement was admitted");
                started
            });
        }
        // Every other time by the file, which the journal knows nothing of.
        tokio::time::sleep(Duration::from_millis(round * 2)).await;
        match round % 2 {
            0 => drop(journal.pause(&Scope::All, "drill", "a person", NOW, None).await.unwrap()),
            _ => std::fs::write(folder.path().join(journal::PAUSE_FILE), "drill").unwrap(),
        }
        acknowledged.store(true, std::sync::atomic::Ordering::SeqCst);
        admitted += starts.join_all().await.into_iter().filter(|started| *started).count();
    }
    assert!(admitted < 8 * 24, "some came too late");
}

#[tokio::test]
async fn a_state_directory_that_others_may_write_to_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o1777)).unwrap();
    let refused = Journal::open(folder.path()).await.err().unwrap().to_string();
    assert!(refused.contains("chmod 700"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_hundred_starts_on_one_target_one_is_admitted() {
    let name = |number: usize| format!("cure-{number:03}");
    let books = (0..100).map(|number| runbook(&name(number), Mode::Auto, vec![remedy("helps", vec![step(effect("a1"))])]));
    let configuration = configuration(books.collect());
    let (_folder, journal) = opened(&configuration).await;
    for number in 0..100 {
        journal.open_incident(&chosen(&name(number)), by_a_person(), NOW).await.unwrap();
    }
    let mut ready = Vec::new();
    for _ in 0..100 {
        let mut claimed = claim(&journal, NOW).await;
        look(&journal, &mut claimed).await;
        let permit = permit(&journal, &claimed.incident, &configuration).await;
        ready.push((claimed, permit));
    }
    let mut starts = tokio::task::JoinSet::new();
    for (mut claimed, permit) in ready {
        let journal = journal.clone();
        starts.spawn(async move { journal.start(&mut claimed, permit, NOW).await.map(drop) });
    }
    let outcomes = starts.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert_eq!(outcomes.iter().filter(|outcome| matches!(outcome, Err(StartRefused::Held(_)))).count(), 99);
}

#[tokio::test]
async fn what_is_heard_again_is_counted_and_what_is_new_opens() {
    let (_folder, journal) = opened(&one_runbook()).await;
    let firing = |starts_at| [alert(AlertStatus::Firing, starts_at)];
    let resolved = [alert(AlertStatus::Resolved, NOW)];
    let heard = journal.hear(&resolved, None, NOW).await.unwrap();
    assert_eq!((heard.opened.len(), heard.resolved_unknown), (0, 1), "a resolved alert never starts anything");
    let heard = journal.hear(&firing(NOW), None, NOW).await.unwrap();
    assert_eq!(heard.opened.len(), 1);
    let heard = journal.hear(&firing(NOW), None, NOW).await.unwrap();
    assert_eq!((heard.opened.len(), heard.resent), (0, 1));
    let events = journal.events(journal.incidents(Filter::default()).await.unwrap()[0].id).await.unwrap();
    assert_eq!(events.len(), 1, "a re-send is a counter, not an event");
    // A person has it: the same episode opens nothing for ever, a new episode does.
    let mut claimed = claim(&journal, NOW).await;
    close(&journal, &mut claimed, How::HandedOver, NOW).await;
    let much_later = NOW.plus(Duration::from_secs(86_400));
    assert_eq!(journal.hear(&firing(NOW), None, much_later).await.unwrap().opened.len(), 0);
    let heard = journal.hear(&firing(much_later), None, much_later).await.unwrap();
    assert_eq!(heard.opened.len(), 1);
    // Cured: the same episode again right away is the same news; much later it is a fault of its own.
    let mut claimed = claim(&journal, much_later).await;
    close(&journal, &mut claimed, How::Cured, much_later).await;
    assert_eq!(journal.hear(&firing(much_later), None, much_later.plus(Duration::from_secs(60))).await.unwrap().opened.len(), 0);
    assert_eq!(journal.hear(&firing(much_later), None, much_later.plus(Duration::from_secs(600))).await.unwrap().opened.len(), 1);
}

#[tokio::test]
async fn an_open_incident_keeps_its_runbook_when_the_configuration_changes() {
    let (_folder, journal) = opened(&one_runbook()).await;
    let id = journal.open_incident(&chosen("cure"), by_a_person(), NOW).await.unwrap();
    let other = configuration(vec![runbook("cure", Mode::Observe, vec![remedy("another", vec![step(effect("z9"))])])]);
    journal.adopt(&other, NOW).await.unwrap();
    assert_eq!(journal.load(id).await.unwrap().runbook.remedies[0].name, "helps");
}

#[tokio::test]
async fn stamps_never_go_back() {
    let (folder, journal) = opened(&one_runbook()).await;
    let id = journal.open_incident(&chosen("cure"), by_a_person(), NOW).await.unwrap();
    drop(journal);
    let journal = Journal::open(folder.path()).await.unwrap();
    journal.adopt(&one_runbook(), NOW).await.unwrap();
    let earlier = NOW.minus(Duration::from_secs(3_600));
    journal
        .append_from_outside(id, earlier, &Event::Noted { by: "a person".to_owned(), words: "the clock was set back".to_owned() })
        .await
        .unwrap();
    let stamps: Vec<Stamp> = journal.events(id).await.unwrap().iter().map(|recorded| recorded.at).collect();
    assert_eq!(stamps, [NOW, NOW]);
}

#[tokio::test]
async fn a_backup_is_whole_and_never_overwrites() {
    let (folder, journal) = opened(&one_runbook()).await;
    journal.open_incident(&chosen("cure"), by_a_person(), NOW).await.unwrap();
    let copy = tempfile::tempdir().unwrap();
    let path = copy.path().join("journal.db");
    journal.backup(&path).await.unwrap();
    assert!(journal.backup(&path).await.is_err());
    let restored = Journal::open(copy.path()).await.unwrap();
    assert_eq!(restored.incidents(Filter::default()).await.unwrap(), journal.incidents(Filter::default()).await.unwrap());
    assert_eq!(restored.check().await.unwrap().complaints, Vec::<String>::new());
    drop(folder);
}

#[tokio::test]
async fn an_unreadable_incident_goes_to_a_person_and_the_others_go_on() {
    let books = ["bad", "good"].map(|name| runbook(name, Mode::Auto, vec![remedy("helps", vec![step(effect(name))])]));
    let configuration = configuration(books.to_vec());
    let (folder, journal) = opened(&configuration).await;
    let bad = journal.open_incident(&chosen("bad"), by_a_person(), NOW).await.unwrap();
    let good = journal.open_incident(&chosen("good"), by_a_person(), NOW).await.unwrap();
    let mut connection = beside(folder.path()).await;
    sqlx::query("UPDATE events SET version = 7 WHERE incident = $1").bind(bad.0 as i64).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let outside = Outside::new(Behaviour { mended_by: vec!["good"], ..Behaviour::default() });
    let (_keep, current) = watch::channel(Arc::new(configuration));
    let engine = Engine::new(journal.clone(), Arc::new(Rehearsal::new(&outside, usize::MAX)), current, Arc::new(Silent));
    let mut set_aside = 0;
    for _ in 0..100 {
        match engine.work_on_one().await.unwrap() {
            Claimed::Unreadable { id, why } => {
                assert_eq!(id, bad);
                assert!(why.contains("newer release"), "{why}");
                set_aside += 1;
            }
            Claimed::NothingBefore(None) => break,
            Claimed::NothingBefore(Some(due)) => outside.set(due),
            Claimed::Claim(_) => unreachable!("work_on_one gives claims back"),
        }
    }
    assert_eq!(set_aside, 1, "it is set aside once and does not come due again");
    let summary = journal.summary(bad).await.unwrap().unwrap();
    assert!(summary.unreadable.is_some() && summary.closed.is_none());
    assert!(matches!(journal.load(good).await.unwrap().stage, Stage::Closed { how: How::Cured, .. }));
    let health = journal.check().await.unwrap();
    assert_eq!(health.complaints.len(), 1, "{:?}", health.complaints);
}

#[tokio::test]
async fn a_damaged_event_and_damaged_evidence_are_found() {
    let (folder, journal) = opened(&one_runbook()).await;
    let id = journal.open_incident(&chosen("cure"), by_a_person(), NOW).await.unwrap();
    journal.keep_evidence(id, "sessions", b"evidence", NOW).await.unwrap();
    let mut connection = beside(folder.path()).await;
    sqlx::raw_sql("UPDATE events SET body = '{}'; UPDATE evidence SET body = x'00'").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    assert_eq!(journal.check().await.unwrap().complaints.len(), 2);
}
