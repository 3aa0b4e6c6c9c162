//! The living world: the machine's clocks, real looks and real acts, over the connections of the configuration in force.
//! Deliberately thin: what could go wrong here goes wrong in `probe`, `action` or `connect`, where it is tested.

use std::sync::Arc;
use std::time::Duration;

use connect::http::Telling;
use policy::Committed;
use runbook::finding::Finding;
use runbook::incident::Reply;
use runbook::order::Order;
use runbook::probe::Probe;
use runbook::silence::{Quieted, Silence};
use runbook::target::{Inventory, Target};
use runbook::time::Stamp;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::daemon::Current;
use crate::silencing;
use crate::world::{Piece, Point, Wish, World};

/// One look, one deadline.
pub const LOOK_DEADLINE: Duration = Duration::from_secs(5);
/// Evidence of traces is tried for this long, and then the cure goes on: a hung server must still be curable.
const CAPTURE_DEADLINE: Duration = Duration::from_secs(3);

/// The living world.
pub struct Live {
    clock: Arc<Clock>,
    current: watch::Receiver<Arc<Current>>,
    telling: Telling,
}

impl Live {
    /// The world as the configuration in force sees it.
    pub fn new(clock: Arc<Clock>, current: watch::Receiver<Arc<Current>>, telling: Telling) -> Self {
        Self { clock, current, telling }
    }

    fn current(&self) -> Arc<Current> {
        self.current.borrow().clone()
    }
}

impl World for Live {
    fn now(&self) -> Stamp {
        self.clock.now()
    }

    fn clock_doubted_until(&self) -> Option<Stamp> {
        self.clock.doubted_until()
    }

    async fn wait(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    fn name_a_question(&self) -> String {
        crate::random::name()
    }

    async fn probe(&self, inventory: &Inventory, target: &Target, probe: &Probe) -> Finding {
        let current = self.current();
        probe::look(current.connections.looking(), inventory, target, probe, || self.clock.now(), LOOK_DEADLINE).await
    }

    async fn capture(&self, inventory: &Inventory, order: &Order) -> Vec<Piece> {
        let current = self.current();
        probe::capture(current.connections.looking(), inventory, order, CAPTURE_DEADLINE).await
    }

    async fn silence(&self, wish: &Wish) -> Vec<Quieted> {
        silencing::silence(&self.current(), &self.telling, &self.clock, wish).await
    }

    async fn unsilence(&self, silences: &[Silence]) {
        silencing::end(&self.current(), &self.telling, silences).await;
    }

    async fn act(&self, inventory: &Inventory, committed: Committed) -> Reply {
        let current = self.current();
        action::act(current.connections.acting(), inventory, committed).await
    }

    async fn pass(&self, point: Point) {
        crate::killpoint::pass(point);
    }
}
