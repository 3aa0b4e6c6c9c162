//! Authority as a value. A [`Permit`] is the decider's word: private fields, no Clone, no Serialize, consumed by value,
//! bound to one exact order, one sequence number and one pause epoch. It cannot be acted on: only the journal, inside the
//! transaction that writes `ActionStarted`, turns it into the [`Committed`] that `action` accepts.

use std::sync::Arc;
use std::time::Duration;

use runbook::book::Mode;
use runbook::incident::{Gate, IncidentId};
use runbook::order::Order;
use runbook::target::TargetId;
use runbook::time::Stamp;

use crate::decide::Case;
use crate::{guards, house};

/// The decider's word, not yet on record. Made only by `decide`.
#[derive(Debug)]
#[must_use = "a permit that is dropped permits nothing"]
pub struct Permit {
    incident: IncidentId,
    seq: u64,
    runbook: String,
    target: TargetId,
    order: Order,
    pause_epoch: u64,
    touches: Vec<TargetId>,
    continues: bool,
    cost: u32,
    reservations: Vec<Reservation>,
    gates: Arc<Vec<Gate>>,
}

/// A limit that the start transaction checks again, because another incident may have acted since the decision.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reservation {
    /// So many acts within so long.
    Acts {
        /// Which acts count.
        scope: Scope,
        /// Fewer than this …
        fewer_than: u32,
        /// … within this long before the start …
        within: Duration,
        /// … not counting this incident's own, where a cooldown lies between incidents.
        except_own: bool,
    },
    /// The budget of disruption: what was spent within this long, and this act's own cost, are not more than it.
    Budget {
        /// All there is.
        budget: u32,
        /// Within this long before the start.
        within: Duration,
    },
    /// Fewer other incidents than this are in the middle of an act.
    AtOnce {
        /// This many.
        fewer_than: u32,
    },
    /// Of the incidents that are not over, no other one has acted since: one trial at a time.
    Trial {
        /// This runbook's acts, or everything.
        scope: Scope,
        /// The moment of the last failure.
        since: Stamp,
    },
    /// The runbook's autonomy is still as high as what was decided by it.
    Earned {
        /// The name of what the incident's text does.
        deed: String,
        /// At least this.
        at_least: Mode,
    },
}

/// Which acts a limit counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// Of this runbook on this incident's target.
    Here,
    /// Of any runbook on the target that is acted on.
    Target,
    /// Of this runbook on any target.
    Runbook,
    /// All of them.
    Everything,
}

impl Permit {
    pub(crate) fn mint(case: &Case<'_>, order: Order, reservations: Vec<Reservation>, gates: Arc<Vec<Gate>>) -> Self {
        let incident = case.incident;
        let mut touches = incident.remedy_touches();
        touches.push(order.target.clone());
        touches.sort();
        touches.dedup();
        Self {
            incident: incident.id,
            seq: incident.seq,
            runbook: incident.runbook.name.clone(),
            target: incident.target.clone(),
            pause_epoch: case.pause.epoch,
            touches,
            continues: guards::continues(case),
            cost: house::cost(case, &order),
            reservations,
            gates,
            order,
        }
    }

    /// For which incident.
    pub fn incident(&self) -> IncidentId {
        self.incident
    }

    /// The sequence number that `ActionStarted` must get; any event in between makes the permit void.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The runbook whose limits are reserved.
    pub fn runbook(&self) -> &str {
        &self.runbook
    }

    /// The incident's target, whose limits are reserved.
    pub fn target(&self) -> &TargetId {
        &self.target
    }

    /// Exactly what is permitted.
    pub fn order(&self) -> &Order {
        &self.order
    }

    /// The pause epoch that was seen; any pause since makes the permit void.
    pub fn pause_epoch(&self) -> u64 {
        self.pause_epoch
    }

    /// Limits to check again.
    pub fn reservations(&self) -> &[Reservation] {
        &self.reservations
    }

    /// Guard by guard, why.
    pub fn gates(&self) -> &[Gate] {
        &self.gates
    }

    /// Every target that the remedy touches, sorted: all are held, or none. The whole remedy's, so that no incident
    /// holds one target while it waits for another's.
    pub fn touches(&self) -> &[TargetId] {
        &self.touches
    }

    /// Whether it goes on with a step that was counted against the limits when it began.
    pub fn continues(&self) -> bool {
        self.continues
    }

    /// What it costs of the budget of disruption; nothing where it goes on with what was paid for, takes back or ends.
    pub fn cost(&self) -> u32 {
        self.cost
    }

    /// Spends the permit. Only the journal's start transaction may call this, after `ActionStarted` is on disk;
    /// `clippy.toml` and `tests/it/tidy.rs` see to it.
    pub fn commit(self, until: Stamp) -> Committed {
        let deadline = self.order.deadline();
        Committed { incident: self.incident, order: self.order, deadline, until }
    }
}

/// The order's deadline was over before it was carried out; nothing was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Late;

/// A permit that is on record. What an action accepts, by value, once.
#[derive(Debug)]
#[must_use = "what is on record as started is either carried out or in doubt"]
pub struct Committed {
    incident: IncidentId,
    order: Order,
    deadline: Duration,
    until: Stamp,
}

impl Committed {
    /// The same order with what is left of its time. Between the commit and the call a process may have stood still; an act
    /// after its own deadline could land when nobody expects it any more.
    ///
    /// # Errors
    /// When nothing is left: the order is spent, and must not be carried out.
    pub fn in_time(self, now: Stamp) -> Result<Self, Late> {
        let left = self.until.since(now);
        if left.is_zero() {
            return Err(Late);
        }
        Ok(Self { deadline: self.deadline.min(left), ..self })
    }

    /// For which incident; servers are marked with it where they have room for a mark.
    pub fn incident(&self) -> IncidentId {
        self.incident
    }

    /// Exactly what is to be done.
    pub fn order(&self) -> &Order {
        &self.order
    }

    /// One call, one deadline.
    pub fn deadline(&self) -> Duration {
        self.deadline
    }
}
