//! What policy needs to know of the past: attempts, verified cures, and the pause. Handed in, so that a decision is a
//! function. Deliberately small: counters that must hold under concurrency are checked again inside the start transaction.

use runbook::incident::IncidentId;
use runbook::time::Stamp;

/// One started order of the same runbook and target. An attempt in doubt counts like any other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attempted {
    /// When it was started.
    pub at: Stamp,
    /// By which incident.
    pub incident: IncidentId,
}

/// The past of one runbook on one target, as far back as its longest window.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct History {
    /// Started orders, oldest first. Undo and end do not count.
    pub attempts: Vec<Attempted>,
    /// When earlier incidents ended as cured, oldest first.
    pub cured: Vec<Stamp>,
}

/// The state of the big stop, a runbook's, or a target's.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Pause {
    /// Rises with every change, so that a permit from before is void.
    pub epoch: u64,
    /// Why nothing may act now, and who lifts it; none when nothing is paused.
    pub reason: Option<String>,
    /// When it ends by itself.
    pub until: Option<Stamp>,
}
