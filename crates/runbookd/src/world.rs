//! The one seam between the engine and everything alive: time, waiting, looking, acting. Why one trait: the crash tests and
//! simulations drive the same loop with a virtual clock. Deliberately no journal here: the store is real in every test.

use std::future::Future;
use std::time::Duration;

use policy::Committed;
use runbook::finding::Finding;
use runbook::incident::Reply;
use runbook::order::Order;
use runbook::probe::Probe;
use runbook::silence::{Became, Exact, Quieted, Silence};
use runbook::target::Inventory;
use runbook::target::Target;
use runbook::time::Stamp;

/// A piece of evidence: its name, and the bytes or why they could not be had.
pub type Piece = (String, Result<Vec<u8>, String>);

/// What is wished to be silenced before an order is carried out.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The alerts that it raises by itself.
    pub alerts: Vec<Exact>,
    /// The ids of silences that were made for the same incident and are in force: what came up under one of them has been told to
    /// nobody, because nothing fired when it was made.
    pub own: Vec<String>,
    /// The order's deadline: no silence lasts longer.
    pub ends: Stamp,
    /// Why, for whoever finds the silence in Alertmanager.
    pub comment: String,
}

/// A moment at which a process may stop: the crash tests stop at each of them in turn.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Point {
    /// Right before an event of this kind is appended.
    BeforeAppend(&'static str),
    /// Right after it is on disk.
    AfterAppend(&'static str),
    /// `ActionStarted` is on disk and the effect is about to begin.
    BeforeEffect,
    /// The effect's call is over and its reply not yet on disk.
    AfterEffect,
}

impl Point {
    /// The name by which the environment chooses it, for example `after-append:looked`.
    pub fn name(self) -> String {
        match self {
            Point::BeforeAppend(kind) => format!("before-append:{kind}"),
            Point::AfterAppend(kind) => format!("after-append:{kind}"),
            Point::BeforeEffect => "before-effect".to_owned(),
            Point::AfterEffect => "after-effect".to_owned(),
        }
    }
}

/// Time, waiting, looking and acting.
pub trait World: Send + Sync + 'static {
    /// The wall clock.
    fn now(&self) -> Stamp;

    /// Until when nothing automatic acts because the clock jumped.
    fn clock_doubted_until(&self) -> Option<Stamp>;

    /// Lets time pass.
    fn wait(&self, time: Duration) -> impl Future<Output = ()> + Send;

    /// A random name for a question; opaque and single use.
    fn name_a_question(&self) -> String;

    /// Looks. Errors and deadlines are findings: unknown.
    fn probe(&self, inventory: &Inventory, target: &Target, probe: &Probe) -> impl Future<Output = Finding> + Send;

    /// Captures what an order would destroy. A look, bounded in time and size.
    fn capture(&self, inventory: &Inventory, order: &Order) -> impl Future<Output = Vec<Piece>> + Send;

    /// Has Alertmanager keep quiet about what an order raises by itself, where no person can have been told of it. Bounded in time, and
    /// never an error: what became of each alert is the answer.
    fn silence(&self, wish: &Wish) -> impl Future<Output = Vec<Quieted>> + Send {
        let not = |alert: &Exact| Quieted {
            alert: alert.to_string(),
            became: Became::Not { why: "no Alertmanager is configured".to_owned() },
        };
        let all = wish.alerts.iter().map(not).collect();
        async move { all }
    }

    /// Ends silences before their time, as far as they can be reached. Those that cannot end by themselves.
    fn unsilence(&self, _silences: &[Silence]) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Acts, once, within the order's deadline.
    fn act(&self, inventory: &Inventory, committed: Committed) -> impl Future<Output = Reply> + Send;

    /// Passes a moment at which the process may stop. Does nothing outside rehearsals.
    fn pass(&self, point: Point) -> impl Future<Output = ()> + Send;
}
