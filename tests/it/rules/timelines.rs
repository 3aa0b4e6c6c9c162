//! What several incidents do to each other under the rules of the house, on the real journal and the real engine: the cause
//! before the symptom, a cause that nobody cures, a storm, a mask and a breaker. The targets and the time are rehearsed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use journal::{Claimed, Filter, Journal};
use policy::Committed;
use runbook::book::{Configuration, Recurrence};
use runbook::condition::Value;
use runbook::finding::{Attributes, Finding, Seen, Subject};
use runbook::identity::Identity;
use runbook::incident::{Event, How, IncidentId, Reply, Stage, Waiting};
use runbook::order::Order;
use runbook::probe::Probe;
use runbook::target::{Inventory, Target, TargetId};
use runbook::time::{Span, Stamp};
use runbookd::engine::{Engine, Silent};
use runbookd::world::{Piece, Point, World};
use tokio::sync::watch;

use super::{NOW, estate, hear, name, opened, target};

/// Several targets, each broken until it is acted on, and a clock that only moves when somebody waits.
#[derive(Clone, Default)]
struct Several(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    now: Stamp,
    broken: BTreeSet<TargetId>,
    hopeless: BTreeSet<TargetId>,
    done: BTreeMap<TargetId, BTreeSet<Identity>>,
    /// What was acted on, in order.
    acts: Vec<TargetId>,
}

impl Several {
    fn with<T>(&self, ask: impl FnOnce(&mut State) -> T) -> T {
        ask(&mut self.0.lock().unwrap())
    }

    fn acts(&self) -> Vec<TargetId> {
        self.with(|state| state.acts.clone())
    }
}

impl World for Several {
    fn now(&self) -> Stamp {
        self.with(|state| state.now)
    }

    fn clock_doubted_until(&self) -> Option<Stamp> {
        None
    }

    async fn wait(&self, time: Duration) {
        self.with(|state| state.now = state.now.plus(time.max(Duration::from_millis(1))));
        tokio::task::yield_now().await;
    }

    fn name_a_question(&self) -> String {
        format!("question-{}", self.now().millis())
    }

    async fn probe(&self, _: &Inventory, target: &Target, probe: &Probe) -> Finding {
        self.with(|state| {
            state.now = state.now.plus(Duration::from_millis(1));
            let done = state.done.entry(target.id.clone()).or_default();
            let subjects = done.iter().map(|identity| Subject {
                identity: identity.clone(),
                words: identity.to_string(),
                attributes: Attributes::default(),
            });
            let broken = Value::Flag(state.broken.contains(&target.id));
            let fields =
                BTreeMap::from([("broken".to_owned(), broken), ("effects".to_owned(), Value::Number(done.len() as f64))]);
            Finding { probe: probe.name().to_owned(), at: state.now, seen: Seen::Known { fields, subjects: subjects.collect() } }
        })
    }

    async fn capture(&self, _: &Inventory, _: &Order) -> Vec<Piece> {
        Vec::new()
    }

    async fn act(&self, _: &Inventory, committed: Committed) -> Reply {
        let order = committed.order();
        self.with(|state| {
            state.acts.push(order.target.clone());
            let done = state.done.entry(order.target.clone()).or_default();
            match order.purpose {
                runbook::order::Purpose::Do => done.extend(order.selection.iter().cloned()),
                _ => done.retain(|identity| !order.selection.contains(identity)),
            }
            if !state.hopeless.contains(&order.target) {
                state.broken.remove(&order.target);
            }
        });
        Reply::Done(String::new())
    }

    async fn pass(&self, _: Point) {}
}

struct Night {
    _folder: tempfile::TempDir,
    journal: Journal,
    world: Several,
    engine: Engine<Several>,
    _current: watch::Sender<Arc<Configuration>>,
}

impl Night {
    async fn begin(configuration: Configuration) -> Self {
        let (_folder, journal) = opened(&configuration).await;
        let world = Several::default();
        world.with(|state| state.now = NOW);
        let (_current, current) = watch::channel(Arc::new(configuration));
        let engine = Engine::new(journal.clone(), Arc::new(world.clone()), current, Arc::new(Silent));
        Self { _folder, journal, world, engine, _current }
    }

    /// A target breaks, and its alert is heard.
    async fn breaks(&self, numbers: impl Iterator<Item = usize> + Clone) {
        self.world.with(|state| state.broken.extend(numbers.clone().map(target)));
        hear(&self.journal, numbers, self.world.now()).await;
    }

    /// Works until nothing is due within this long.
    async fn passes(&self, time: Duration) {
        let until = self.world.now().plus(time);
        for _ in 0..10_000 {
            match self.engine.work_on_one().await.unwrap() {
                Claimed::NothingBefore(Some(due)) if due <= until => {
                    self.world.with(|state| state.now = state.now.max(due));
                }
                Claimed::NothingBefore(_) => {
                    self.world.with(|state| state.now = state.now.max(until));
                    return;
                }
                Claimed::Claim(_) | Claimed::Unreadable { .. } => panic!("work_on_one gives claims back"),
            }
        }
        panic!("it never comes to rest: {:?}", self.journal.incidents(Filter::default()).await.unwrap());
    }

    async fn stage(&self, id: u64) -> Stage {
        self.journal.load(IncidentId(id)).await.unwrap().stage
    }

    async fn events(&self, id: u64) -> Vec<Event> {
        self.journal.events(IncidentId(id)).await.unwrap().into_iter().map(|recorded| recorded.event).collect()
    }
}

/// How an incident ended, and why.
fn end(stage: Stage) -> (How, String) {
    match stage {
        Stage::Closed { how, why } => (how, why),
        other => panic!("it is not over: {other:?}"),
    }
}

/// The second rests on the first.
fn leaning(number: usize) -> Vec<TargetId> {
    if number == 1 { vec![target(0)] } else { vec![] }
}

#[tokio::test]
async fn the_cause_is_cured_before_the_symptom_whichever_alert_came_first() {
    let night = Night::begin(estate(2, leaning)).await;
    night.breaks([1].into_iter()).await;
    night.world.with(|state| state.broken.insert(target(0)));
    night.passes(Duration::from_secs(20)).await;
    assert_eq!(night.world.acts(), [], "what it rests on is ill, although no alert says so yet");
    night.breaks([0].into_iter()).await;
    night.passes(Duration::from_secs(300)).await;
    assert_eq!(night.world.acts(), [target(0), target(1)]);
    assert_eq!([end(night.stage(1).await).0, end(night.stage(2).await).0], [How::Cured, How::Cured]);
    let waits: Vec<Waiting> = night
        .events(1)
        .await
        .into_iter()
        .filter_map(|event| match event {
            Event::Waits { on, .. } => Some(on),
            _ => None,
        })
        .collect();
    assert!(waits.contains(&Waiting::Cause { of: target(0), by: None }), "{waits:?}");
}

#[tokio::test]
async fn a_cause_with_an_incident_of_its_own_lets_the_symptom_go_when_it_is_over() {
    let night = Night::begin(estate(2, leaning)).await;
    night.breaks([1].into_iter()).await;
    night.breaks([0].into_iter()).await;
    night.passes(Duration::from_secs(300)).await;
    assert_eq!(night.world.acts(), [target(0), target(1)]);
    let waits = |event: &Event| matches!(event, Event::Waits { on: Waiting::Cause { by: Some(IncidentId(2)), .. }, .. });
    assert!(night.events(1).await.iter().any(waits));
}

#[tokio::test]
async fn a_cause_that_nobody_cures_goes_to_a_person_when_one_is_due() {
    let night = Night::begin(estate(2, leaning)).await;
    night.breaks([1].into_iter()).await;
    night.world.with(|state| state.broken.insert(target(0)));
    night.passes(Duration::from_secs(3_500)).await;
    assert!(matches!(night.stage(1).await, Stage::Waiting { on: Waiting::Cause { .. }, .. }), "P3 has an hour");
    night.passes(Duration::from_secs(200)).await;
    let (how, why) = end(night.stage(1).await);
    assert_eq!(how, How::HandedOver);
    assert!(why.contains("rehearsal/t0000, which this rests on, is not well: it is broken"), "{why}");
    assert_eq!(night.world.acts(), []);
}

#[tokio::test]
async fn a_storm_stops_every_act_and_says_its_numbers() {
    let mut configuration = estate(9, |_| vec![]);
    configuration.rules.storm.incidents = 6;
    let night = Night::begin(configuration).await;
    night.breaks(0..7).await;
    night.passes(Duration::from_secs(60)).await;
    assert_eq!(night.world.acts(), []);
    for id in 1..=7 {
        let (how, why) = end(night.stage(id).await);
        assert_eq!(how, How::HandedOver);
        assert!(why.contains("7 new incidents within 5m that nothing upstream explains, and 6 are allowed"), "{why}");
    }
    // When it is over, the next fault is cured again.
    night.passes(Duration::from_secs(300)).await;
    night.breaks([8].into_iter()).await;
    night.passes(Duration::from_secs(60)).await;
    assert_eq!(night.world.acts(), [target(8)]);
}

#[tokio::test]
async fn many_symptoms_of_one_cause_are_no_storm() {
    let mut configuration = estate(9, |number| if number > 0 { vec![target(0)] } else { vec![] });
    configuration.rules.storm.incidents = 6;
    let night = Night::begin(configuration).await;
    night.breaks(1..9).await;
    night.breaks([0].into_iter()).await;
    night.passes(Duration::from_secs(600)).await;
    assert_eq!(night.world.acts().first(), Some(&target(0)));
}

#[tokio::test]
async fn no_more_are_at_work_than_may_be_and_all_get_their_turn() {
    let mut configuration = estate(5, |_| vec![]);
    configuration.rules.overall.at_once = 1;
    let night = Night::begin(configuration).await;
    night.breaks(0..5).await;
    night.passes(Duration::from_secs(600)).await;
    assert_eq!(night.world.acts().len(), 5);
    for id in 1..=5 {
        assert_eq!(end(night.stage(id).await).0, How::Cured);
    }
}

#[tokio::test]
async fn a_cure_that_comes_back_asks_and_a_breaker_opens() {
    let mut configuration = estate(2, |_| vec![]);
    let often = Recurrence { times: 2, within: Span::secs(6 * 3_600) };
    configuration.runbooks.edit().get_mut(&name(0)).unwrap().limits.recurrence = Some(often);
    let night = Night::begin(configuration).await;
    for _ in 0..2 {
        night.breaks([0].into_iter()).await;
        night.passes(Duration::from_secs(600)).await;
    }
    night.breaks([0].into_iter()).await;
    night.passes(Duration::from_secs(60)).await;
    assert_eq!(night.world.acts().len(), 2);
    assert!(matches!(night.stage(3).await, Stage::Waiting { on: Waiting::Person(_), .. }));
    let asks = |event: &Event| matches!(event, Event::Waits { why, .. } if why.contains("this cure masks a cause"));
    assert!(night.events(3).await.iter().any(asks));

    night.world.with(|state| state.hopeless.insert(target(1)));
    for failed in 1..=3 {
        night.breaks([1].into_iter()).await;
        night.passes(Duration::from_secs(600)).await;
        assert_eq!(end(night.stage(3 + failed).await).0, How::HandedOver);
    }
    let acts = night.world.acts().len();
    night.breaks([1].into_iter()).await;
    night.passes(Duration::from_secs(60)).await;
    let (how, why) = end(night.stage(7).await);
    assert_eq!((how, night.world.acts().len()), (How::HandedOver, acts), "{why}");
    assert!(why.contains("3 cures of cure-0001 failed in a row within 6h"), "{why}");
    // An hour later one incident tries, and its cure closes the breaker.
    night.passes(Duration::from_secs(3_600)).await;
    night.world.with(|state| state.hopeless.clear());
    for id in [8, 9] {
        night.breaks([1].into_iter()).await;
        night.passes(Duration::from_secs(600)).await;
        assert_eq!(end(night.stage(id).await).0, How::Cured);
    }
}
