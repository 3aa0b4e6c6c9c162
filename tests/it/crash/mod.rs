//! Crash schedules: each story is told once for every point at which the process can stop (before and after every append,
//! before and after every effect), on the real SQLite store. After every schedule the same things must hold.

mod blind;
mod changed;
mod faults;
mod harm;
mod silence;
pub mod stories;
pub mod world;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use journal::{Chosen, Claimed, Filter, Journal};
use runbook::book::Configuration;
use runbook::incident::{Answer, How, Incident, IncidentId, Next, Proof, Stage, Trigger};
use runbook::order::Verdict;
use runbookd::engine::{Engine, Silent};
use runbookd::world::Point;
use tokio::sync::watch;
use world::{Behaviour, Happened, Outside, Rehearsal};

/// What a person does when asked.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Person {
    /// Says yes.
    Grants,
    /// Says yes once the question was told again.
    GrantsLate,
    /// Says no.
    Denies,
    /// Sleeps.
    Sleeps,
}

/// A story to be told under every schedule.
pub struct Story {
    pub name: &'static str,
    pub configuration: Configuration,
    pub behaviour: Behaviour,
    /// What opens incidents: runbook and trigger.
    pub openings: Vec<(&'static str, Trigger)>,
    pub person: Person,
    /// How each incident may end when nothing stops the process.
    pub ends: &'static [How],
    /// How it may end besides, when the process stopped somewhere.
    pub may_end: &'static [How],
    /// What is in force afterwards, whenever the process stopped, where the story says so.
    pub leaves: Option<&'static [&'static str]>,
}

/// A state directory in memory where there is one: the schedules want thousands of commits, and what is proved here is their
/// order, not the disk (the real process is killed in `kill.rs`).
fn directory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// What a new journal is: made once and not for each of thousands of tellings, because its schema is most of their work.
async fn new_journal() -> &'static [u8] {
    static NEW: tokio::sync::OnceCell<Vec<u8>> = tokio::sync::OnceCell::const_new();
    let made = NEW.get_or_init(|| async {
        let directory = directory();
        let file = directory.path().join("new.db");
        let journal = Journal::open(directory.path()).await.unwrap();
        journal.backup(&file).await.unwrap();
        std::fs::read(file).unwrap()
    });
    made.await
}

/// Keeps this thread, and those that it starts from now on, on the processor that it is on. The journal hands every query to a
/// thread of its own and waits for it, so a telling never has work for two processors, and waking the other one for each query
/// costs more than the query does.
fn on_one_processor() {
    let mut here = rustix::thread::CpuSet::new();
    here.set(rustix::thread::sched_getcpu());
    rustix::thread::sched_setaffinity(None, &here).unwrap();
}

/// One telling: stops at the given points, one life after the other, then lives to the end.
async fn tell(story: &Story, stops: &[usize]) -> (Outside, Vec<Incident>, Vec<usize>) {
    on_one_processor();
    let directory = directory();
    std::fs::write(directory.path().join("journal.db"), new_journal().await).unwrap();
    let outside = Outside::new(story.behaviour.clone());
    let mut points = Vec::new();
    for life in 0..=stops.len() {
        let stop_at = stops.get(life).copied().unwrap_or(usize::MAX);
        points.push(lives(story, directory.path(), &outside, stop_at).await.1.len());
    }
    let incidents = read_back(directory.path()).await;
    (outside, incidents, points)
}

/// One life of the process; the first one opens what the story opens. Gives its journal and the points that it passed.
async fn lives(story: &Story, directory: &Path, outside: &Outside, stop_at: usize) -> (Journal, Vec<Point>) {
    let world = Arc::new(Rehearsal::new(outside, stop_at));
    let journal = Journal::open(directory).await.unwrap();
    journal.adopt(&story.configuration, outside.now()).await.unwrap();
    if journal.incidents(Filter::default()).await.unwrap().is_empty() {
        for (runbook, trigger) in &story.openings {
            let chosen = Chosen { runbook: (*runbook).to_owned(), target: stories::target() };
            journal.open_incident(&chosen, trigger.clone(), outside.now()).await.unwrap();
        }
    }
    let (_keep, current) = watch::channel(Arc::new(story.configuration.clone()));
    let engine = Engine::new(journal.clone(), world.clone(), current, Arc::new(Silent));
    tokio::select! {
        () = live(&engine, &journal, outside, story.person) => {}
        () = world.stopped.notified() => {}
    }
    let points = world.points.lock().unwrap().clone();
    (journal, points)
}

/// Works until nothing is due any more.
async fn live(engine: &Engine<Rehearsal>, journal: &Journal, outside: &Outside, person: Person) {
    for _ in 0..10_000 {
        if person != Person::Sleeps {
            answer(journal, outside, person).await;
        }
        match engine.work_on_one().await.unwrap() {
            Claimed::NothingBefore(Some(due)) => outside.set(due),
            Claimed::NothingBefore(None) => return,
            Claimed::Unreadable { id, why } => panic!("{id} became unreadable: {why}"),
            Claimed::Claim(_) => unreachable!("work_on_one gives claims back"),
        }
    }
    panic!("the story does not end");
}

async fn answer(journal: &Journal, outside: &Outside, person: Person) {
    for summary in journal.incidents(Filter { open_only: true, most: 0 }).await.unwrap() {
        let incident = journal.load(summary.id).await.unwrap();
        let Next::Answer { ask, expires, .. } = incident.next() else { continue };
        let answer = match person {
            Person::Grants | Person::GrantsLate => Answer::Granted { by: "a person".to_owned(), proof: Proof::Unproved },
            _ => Answer::Denied { by: "a person".to_owned(), proof: Proof::Unproved, why: String::new() },
        };
        let late = person == Person::GrantsLate && incident.reminded == 0;
        if !late && outside.now() < expires {
            journal.answer(&ask, outside.now(), &answer, |_, _| Ok::<(), ((), String)>(())).await.unwrap();
        }
    }
}

async fn read_back(directory: &Path) -> Vec<Incident> {
    let journal = Journal::open(directory).await.unwrap();
    let health = journal.check().await.unwrap();
    assert_eq!(health.complaints, Vec::<String>::new(), "the journal checks out");
    let mut incidents = Vec::new();
    for summary in journal.incidents(Filter::default()).await.unwrap() {
        let incident = journal.load(summary.id).await.unwrap();
        let (to_tell, told, _) = journal.outbox_of(incident.id).await.unwrap().expect("an incident has a row in the outbox");
        assert_eq!((to_tell, told), (incident.seq, 0), "everything that happened is on its way to people, the report included");
        incidents.push(incident);
    }
    incidents
}

/// What must hold after every schedule.
fn assert_invariants(story: &Story, outside: &Outside, incidents: &[Incident], told: &str) {
    let ledger = outside.ledger.lock().unwrap();
    // An undo whose two tries were both lost to a stop is left to a person, who is called at once.
    let stops = ledger.happened.iter().filter(|happened| **happened == Happened::Stop).count();
    let stuck = incidents.iter().any(|incident| matches!(incident.stage, Stage::Closed { how: How::Stuck, .. }));
    if let Some(leaves) = story.leaves.filter(|_| stops < 2 || !stuck) {
        let left: Vec<&str> = ledger.in_force.iter().map(String::as_str).collect();
        assert_eq!(left, leaves, "{told}: what is left in force: {:?}", ledger.happened);
    }
    let mut said: BTreeMap<(String, String), usize> = BTreeMap::new();
    for incident in incidents {
        let Stage::Closed { how, ref why } = incident.stage else {
            panic!("{told}: {} is left {}", incident.id, incident.word());
        };
        let stopped = ledger.happened.contains(&Happened::Stop);
        let allowed = story.ends.contains(&how) || (stopped && story.may_end.contains(&how));
        assert!(allowed, "{told}: {} ended as {how:?}: {why}", incident.id);
        for attempt in &incident.attempts {
            let Some(verdict) = &attempt.verdict else { panic!("{told}: an attempt was never settled by a look") };
            let landed = matches!(verdict, Verdict::Landed(_) | Verdict::Partly(_));
            let key = attempt.order.selection.iter().next().unwrap().to_string();
            *said.entry((key, format!("{:?}", attempt.order.purpose))).or_default() += usize::from(landed);
        }
    }
    // What was said to have landed is what landed: nothing was called *not landed* that was there in the end.
    let mut landed: BTreeMap<(String, String), usize> = said.keys().map(|key| (key.clone(), 0)).collect();
    for happened in &ledger.happened {
        if let Happened::Landed(key, purpose) = happened {
            *landed.entry((key.clone(), format!("{purpose:?}"))).or_default() += 1;
        }
    }
    assert_eq!(said, landed, "{told}: what was said to have landed is what landed");
    // No effect without a look before it and after it, and no second effect without a look in between.
    let mut looked_since_effect = false;
    for (index, happened) in ledger.happened.iter().enumerate() {
        match happened {
            Happened::Look => looked_since_effect = true,
            Happened::Stop | Happened::Landed(..) => {}
            Happened::Effect(..) => {
                assert!(looked_since_effect, "{told}: an effect without a look before it: {:?}", ledger.happened);
                let after = ledger.happened.get(index + 1..).unwrap_or_default();
                let looked_after = after.iter().take_while(|h| !matches!(h, Happened::Effect(..))).any(|h| *h == Happened::Look);
                assert!(looked_after, "{told}: an effect without a look after it: {:?}", ledger.happened);
                looked_since_effect = false;
            }
        }
    }
    // No silence is longer than the step that it was made for, whether it is on record or not.
    let attempts = || incidents.iter().flat_map(|incident| &incident.attempts);
    for (made, silence) in &ledger.silences {
        let of_a_step = attempts().any(|attempt| attempt.started <= *made && silence.ends == attempt.deadline);
        assert!(of_a_step, "{told}: a silence without a step, or longer than its step: {silence:?}");
    }
    // Nothing is in force twice or left behind where the story undoes or ends it; each key was called for as often as the
    // journal says, never more.
    let mut called: BTreeMap<(IncidentId, String, String), usize> = BTreeMap::new();
    for happened in &ledger.happened {
        if let Happened::Effect(incident, key, purpose) = happened {
            *called.entry((*incident, key.clone(), format!("{purpose:?}"))).or_default() += 1;
        }
    }
    for ((incident, key, purpose), calls) in called {
        let recorded = incidents.iter().filter(|i| i.id == incident).flat_map(|i| &i.attempts);
        let recorded = recorded
            .filter(|a| a.order.selection.iter().any(|i| i.to_string() == key) && format!("{:?}", a.order.purpose) == purpose);
        assert!(calls <= recorded.count(), "{told}: {purpose} {key} was called {calls} times, more than is on record");
    }
}

/// Tells a story undisturbed, then once for every point at which the process can stop, then with two stops.
async fn rehearse(story: Story) {
    let (outside, incidents, points) = tell(&story, &[]).await;
    assert_invariants(&story, &outside, &incidents, &format!("{}, undisturbed", story.name));
    assert!(outside.ledger.lock().unwrap().is_quiet(), "everything that was called for has landed");
    let points = points[0];
    assert!(points >= 6, "{}: a story with {points} points tells nothing", story.name);
    for stop in 1..=points {
        let (outside, incidents, lives) = tell(&story, &[stop]).await;
        assert_invariants(&story, &outside, &incidents, &format!("{}, stopped at point {stop}", story.name));
        // A second stop right after the restart, and one in the middle of what is left.
        let middle = (stop % 4 == 0).then_some(lives[1] / 2);
        for second in [Some(1), middle].into_iter().flatten().filter(|second| *second > 0) {
            let (outside, incidents, _) = tell(&story, &[stop, second]).await;
            assert_invariants(&story, &outside, &incidents, &format!("{}, stopped at {stop} and {second}", story.name));
        }
    }
}
