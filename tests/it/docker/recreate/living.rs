//! The living world, but for the waiting: looks, evidence and acts are real and take their time, and what is only waited for is mostly
//! skipped. The clock outlives every life of the process, as a real one does.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use connect::Connections;
use policy::Committed;
use runbook::finding::Finding;
use runbook::incident::Reply;
use runbook::order::Order;
use runbook::probe::Probe;
use runbook::target::{Inventory, Target};
use runbook::time::Stamp;
use runbookd::world::{Piece, Point, World};
use tokio::sync::watch;

/// How far the clock is ahead of the wall's, because what was only waited for was not waited for. Outlives every life.
#[derive(Default)]
pub struct Ahead(Mutex<Duration>);

impl Ahead {
    pub fn now(&self) -> Stamp {
        Stamp::from_millis(xtask::clock::wall_millis()).plus(*self.0.lock().unwrap())
    }

    fn skip(&self, time: Duration) {
        *self.0.lock().unwrap() += time;
    }

    /// Skips what is left until then.
    pub fn to(&self, due: Stamp) {
        let left = due.since(self.now());
        self.skip(left);
    }
}

/// What is really waited at most of each wait; the rest is skipped. What is looked at really takes its time.
const REALLY: Duration = Duration::from_millis(80);

/// The living world, but for the waiting.
pub struct Living {
    pub connections: Connections,
    pub ahead: Arc<Ahead>,
    /// Where a life stands still right after its first order has been settled, where it does.
    pub halt: Option<Halt>,
}

/// A life that stands still, as a busy machine's may, until it is told to go on.
#[derive(Clone)]
pub struct Halt {
    stands: Arc<watch::Sender<bool>>,
    goes_on: Arc<watch::Sender<bool>>,
}

impl Halt {
    pub fn new() -> Self {
        Self { stands: Arc::new(watch::Sender::new(false)), goes_on: Arc::new(watch::Sender::new(false)) }
    }

    /// Waits until it stands.
    pub async fn reached(&self) {
        let mut stands = self.stands.subscribe();
        let waited = tokio::time::timeout(Duration::from_secs(60), stands.wait_for(|stands| *stands)).await;
        waited.expect("the first order is settled").unwrap();
    }

    pub fn go_on(&self) {
        self.goes_on.send_replace(true);
    }
}

impl World for Living {
    fn now(&self) -> Stamp {
        self.ahead.now()
    }

    fn clock_doubted_until(&self) -> Option<Stamp> {
        None
    }

    async fn wait(&self, time: Duration) {
        tokio::time::sleep(time.min(REALLY)).await;
        self.ahead.skip(time.saturating_sub(REALLY));
    }

    fn name_a_question(&self) -> String {
        "question".to_owned()
    }

    async fn probe(&self, inventory: &Inventory, target: &Target, probe: &Probe) -> Finding {
        probe::look(self.connections.looking(), inventory, target, probe, || self.now(), Duration::from_secs(5)).await
    }

    async fn capture(&self, inventory: &Inventory, order: &Order) -> Vec<Piece> {
        probe::capture(self.connections.looking(), inventory, order, Duration::from_secs(3)).await
    }

    async fn act(&self, inventory: &Inventory, committed: Committed) -> Reply {
        action::act(self.connections.acting(), inventory, committed).await
    }

    async fn pass(&self, point: Point) {
        if let (Some(halt), Point::AfterAppend("settled")) = (&self.halt, point) {
            halt.stands.send_replace(true);
            let _ = halt.goes_on.subscribe().wait_for(|goes_on| *goes_on).await;
        }
    }
}
