//! The rehearsed world of the crash tests: a ledger that outlives every stop, a virtual clock, and a record of every look and
//! effect in the order in which they really happened. It stands for the target only; the journal is the real one.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use policy::Committed;
use runbook::condition::Value;
use runbook::finding::{Attribute, Attributes, Finding, Seen, Subject};
use runbook::identity::Identity;
use runbook::incident::{IncidentId, Reply};
use runbook::order::{Order, Purpose};
use runbook::probe::Probe;
use runbook::silence::{Became, Quieted, Silence};
use runbook::target::{Inventory, Target};
use runbook::time::Stamp;
use runbookd::world::{Piece, Point, Wish, World};
use tokio::sync::Notify;

/// What really happened, in order.
#[derive(Clone, PartialEq, Debug)]
pub enum Happened {
    /// Somebody looked.
    Look,
    /// An effect was called for.
    Effect(IncidentId, String, Purpose),
    /// An effect landed.
    Landed(String, Purpose),
    /// The process stopped.
    Stop,
}

/// How the rehearsed target behaves.
#[derive(Clone, Debug, Default)]
pub struct Behaviour {
    /// The fault is gone while all of these are in force.
    pub mended_by: Vec<&'static str>,
    /// The fault goes away by itself at this moment.
    pub mends_at: Option<Stamp>,
    /// These keys land this much after their call, whose answer is lost.
    pub lands_late: BTreeMap<&'static str, Duration>,
    /// The first call of these goes nowhere, and no answer comes.
    pub lost: Vec<(&'static str, Purpose)>,
    /// From the first call of this on, looks cannot see for so long.
    pub blinds: Option<(&'static str, Purpose, Duration)>,
    /// These keys land only by half.
    pub half: Vec<&'static str>,
    /// These strain what is beside the target from their call on, landed or not.
    pub strained_by: Vec<&'static str>,
    /// But not before this moment.
    pub strains_from: Option<Stamp>,
    /// Evidence cannot be had.
    pub no_evidence: bool,
    /// From this many looks on, each is a fault of ours.
    pub panics_after: Option<usize>,
    /// After these looks, by their number, the machine stands still for so long.
    pub stalls: Option<(std::ops::Range<usize>, Duration)>,
    /// And the answers of these looks, by their number, are taken in so much later than they were given.
    pub answers_late: Option<(std::ops::Range<usize>, Duration)>,
    /// Looks cannot see before this moment.
    pub blind_until: Option<Stamp>,
    /// A call stands until this is told.
    pub holds: Option<Arc<Notify>>,
}

/// The target: outlives every stop of the process.
#[derive(Debug, Default)]
pub struct Ledger {
    pub behaviour: Behaviour,
    pub in_force: BTreeSet<String>,
    pub happened: Vec<Happened>,
    /// Every silence that was made, with the moment.
    pub silences: Vec<(Stamp, Silence)>,
    /// The ids of those that were ended before their time.
    pub ended: BTreeSet<String>,
    late: Vec<(Stamp, String, Purpose)>,
    /// A call stands.
    stands: bool,
}

impl Ledger {
    fn land(&mut self, now: Stamp) {
        let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.late).into_iter().partition(|(at, ..)| *at <= now);
        self.late = later;
        for (_, key, purpose) in due {
            self.change(&key, purpose);
        }
    }

    fn change(&mut self, key: &str, purpose: Purpose) {
        self.happened.push(Happened::Landed(key.to_owned(), purpose));
        match purpose {
            Purpose::Do => self.in_force.insert(key.to_owned()),
            Purpose::Undo | Purpose::End => self.in_force.remove(key),
        };
    }

    fn is_broken(&self, now: Stamp) -> bool {
        let mended =
            !self.behaviour.mended_by.is_empty() && self.behaviour.mended_by.iter().all(|key| self.in_force.contains(*key));
        !mended && self.behaviour.mends_at.is_none_or(|at| now < at)
    }

    fn is_strained(&self, now: Stamp) -> bool {
        let called = |key: &&str| self.in_force.contains(*key) || self.late.iter().any(|(_, late, _)| late == key);
        self.behaviour.strained_by.iter().any(called) && self.behaviour.strains_from.is_none_or(|from| now >= from)
    }

    /// How often somebody looked.
    pub fn looks(&self) -> usize {
        self.happened.iter().filter(|happened| **happened == Happened::Look).count()
    }

    /// Whether a call stands that is held.
    pub fn stands(&self) -> bool {
        self.stands
    }

    /// Whether something is on its way and has not landed.
    pub fn is_quiet(&self) -> bool {
        self.late.is_empty()
    }
}

/// What outlives a stop: the target and the time.
#[derive(Clone, Default)]
pub struct Outside {
    pub ledger: Arc<Mutex<Ledger>>,
    pub clock: Arc<Mutex<Stamp>>,
}

impl Outside {
    /// A fresh target at a fixed moment.
    pub fn new(behaviour: Behaviour) -> Self {
        let outside = Self::default();
        outside.ledger.lock().unwrap().behaviour = behaviour;
        outside.set(Stamp::from_millis(1_800_000_000_000));
        outside
    }

    pub fn now(&self) -> Stamp {
        *self.clock.lock().unwrap()
    }

    /// Time never goes back.
    pub fn set(&self, to: Stamp) {
        let mut clock = self.clock.lock().unwrap();
        *clock = to.max(*clock);
    }

    pub fn advance(&self, by: Duration) {
        self.set(self.now().plus(by));
    }
}

/// One life of the process: it stops at the n-th point it passes.
pub struct Rehearsal {
    outside: Outside,
    stop_at: usize,
    passed: AtomicUsize,
    asked: AtomicUsize,
    /// Told when the stop point is reached.
    pub stopped: Notify,
    /// Every point, in order, for the count and for the reader of a failure.
    pub points: Mutex<Vec<Point>>,
}

impl Rehearsal {
    pub fn new(outside: &Outside, stop_at: usize) -> Self {
        Self {
            outside: outside.clone(),
            stop_at,
            passed: AtomicUsize::new(0),
            asked: AtomicUsize::new(0),
            stopped: Notify::new(),
            points: Mutex::default(),
        }
    }
}

impl World for Rehearsal {
    fn now(&self) -> Stamp {
        self.outside.now()
    }

    fn clock_doubted_until(&self) -> Option<Stamp> {
        None
    }

    async fn wait(&self, time: Duration) {
        let (longer, time) = {
            let ledger = self.outside.ledger.lock().unwrap();
            // Tasks run beside each other then, and none is to be late because another one waits: only while the call stands.
            let time =
                if ledger.behaviour.holds.is_some() && !ledger.stands { time.min(Duration::from_millis(20)) } else { time };
            let stalls = ledger.behaviour.stalls.as_ref().filter(|(after, _)| after.contains(&ledger.looks()));
            (stalls.map_or(Duration::ZERO, |(_, stall)| *stall), time)
        };
        self.outside.advance(time.max(Duration::from_millis(1)) + longer);
        tokio::task::yield_now().await;
    }

    fn name_a_question(&self) -> String {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        format!("question-{}-{number}", self.outside.now().millis())
    }

    async fn probe(&self, _: &Inventory, _: &Target, probe: &Probe) -> Finding {
        self.outside.advance(Duration::from_millis(3));
        let now = self.outside.now();
        let mut ledger = self.outside.ledger.lock().unwrap();
        ledger.land(now);
        ledger.happened.push(Happened::Look);
        if ledger.behaviour.panics_after.is_some_and(|after| ledger.looks() > after) {
            drop(ledger);
            panic!("rehearsed");
        }
        let seen = if ledger.behaviour.blind_until.is_some_and(|until| now < until) {
            Seen::Unknown("the ledger cannot be read".to_owned())
        } else {
            let fields = BTreeMap::from([
                ("broken".to_owned(), Value::Flag(ledger.is_broken(now))),
                ("strained".to_owned(), Value::Flag(ledger.is_strained(now))),
                ("effects".to_owned(), Value::Number(ledger.in_force.len() as f64)),
            ]);
            let subject = |key: &String| Subject {
                identity: Identity::Rehearsal(key.clone()),
                words: key.clone(),
                attributes: match ledger.behaviour.half.contains(&key.as_str()) {
                    true => Attributes::from([(Attribute::Half, Value::Flag(true))]),
                    false => Attributes::default(),
                },
            };
            Seen::Known { fields, subjects: ledger.in_force.iter().map(subject).collect() }
        };
        let late = ledger.behaviour.answers_late.clone().filter(|(looks, _)| looks.contains(&ledger.looks()));
        drop(ledger);
        if let Some((_, late)) = late {
            self.outside.advance(late);
        }
        Finding { probe: probe.name().to_owned(), at: self.outside.now(), seen }
    }

    async fn capture(&self, _: &Inventory, _: &Order) -> Vec<Piece> {
        self.outside.advance(Duration::from_millis(2));
        let none = self.outside.ledger.lock().unwrap().behaviour.no_evidence;
        vec![("ledger".to_owned(), if none { Err("the ledger is locked".to_owned()) } else { Ok(b"lines".to_vec()) })]
    }

    async fn silence(&self, wish: &Wish) -> Vec<Quieted> {
        self.outside.advance(Duration::from_millis(4));
        let now = self.outside.now();
        let mut ledger = self.outside.ledger.lock().unwrap();
        let make = |alert: &runbook::silence::Exact| {
            let id = format!("silence-{}", ledger.silences.len());
            let silence = Silence { id, at: "in memory".to_owned(), ends: wish.ends, although: None };
            ledger.silences.push((now, silence.clone()));
            Quieted { alert: alert.to_string(), became: Became::Silenced(silence) }
        };
        wish.alerts.iter().map(make).collect()
    }

    async fn unsilence(&self, silences: &[Silence]) {
        self.outside.ledger.lock().unwrap().ended.extend(silences.iter().map(|silence| silence.id.clone()));
    }

    async fn act(&self, _: &Inventory, committed: Committed) -> Reply {
        let order = committed.order().clone();
        let runbook::action::Action::Rehearsal(rehearsal) = &order.action else { panic!("only rehearsals are rehearsed") };
        let key = order.selection.iter().next().map(ToString::to_string).unwrap_or_default();
        let holds = self.outside.ledger.lock().unwrap().behaviour.holds.clone();
        if let Some(holds) = holds {
            self.outside.ledger.lock().unwrap().stands = true;
            holds.notified().await;
            self.outside.ledger.lock().unwrap().stands = false;
        }
        let now = self.outside.now();
        {
            let mut ledger = self.outside.ledger.lock().unwrap();
            ledger.land(now);
            ledger.happened.push(Happened::Effect(committed.incident(), key.clone(), order.purpose));
            let called = |h: &&Happened| matches!(h, Happened::Effect(_, k, purpose) if *k == key && *purpose == order.purpose);
            let first = ledger.happened.iter().filter(called).count() == 1;
            if let Some((_, _, blind)) =
                ledger.behaviour.blinds.filter(|of| first && (of.0, of.1) == (key.as_str(), order.purpose))
            {
                ledger.behaviour.blind_until = Some(now.plus(blind));
            }
            let lost = first && ledger.behaviour.lost.contains(&(key.as_str(), order.purpose));
            let late = ledger.behaviour.lands_late.get(key.as_str()).copied();
            let fails = match order.purpose {
                Purpose::Do => rehearsal.fails,
                Purpose::Undo => rehearsal.undo_fails,
                Purpose::End => false,
            };
            match late {
                _ if lost => {}
                Some(after) if order.purpose == Purpose::Do => ledger.late.push((now.plus(after), key, order.purpose)),
                _ if fails => return Reply::Failed("rehearsed failure".to_owned()),
                _ => {
                    ledger.change(&key, order.purpose);
                    return Reply::Done("rehearsed".to_owned());
                }
            }
        }
        self.outside.advance(committed.deadline());
        Reply::NoAnswer("rehearsed silence".to_owned())
    }

    async fn pass(&self, point: Point) {
        let number = self.passed.fetch_add(1, Ordering::Relaxed) + 1;
        self.points.lock().unwrap().push(point);
        if number == self.stop_at {
            self.outside.ledger.lock().unwrap().happened.push(Happened::Stop);
            self.stopped.notify_one();
            // The process is gone: nothing after this line happens.
            pending::<()>().await;
        }
    }
}
