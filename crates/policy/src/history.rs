//! What policy needs to know of the past, for one case: as much as the limits in force count, and no more. Handed in, so that
//! a decision is a function; [`crate::ledger`] makes it from counters. What must hold under concurrency is checked again
//! inside the start transaction.

use std::collections::BTreeMap;

use runbook::incident::IncidentId;
use runbook::target::TargetId;
use runbook::time::Stamp;

use crate::earned::Standing;

/// One started order of the same runbook and target. An attempt in doubt counts like any other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attempted {
    /// When it was started.
    pub at: Stamp,
    /// By which incident.
    pub incident: IncidentId,
}

/// Failed cures in a row, since the last one that was verified.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Streak {
    /// When they failed, newest first, as many as the breaker counts.
    pub failures: Vec<Stamp>,
    /// An incident that has acted since the newest of them and is not over: the trial.
    pub tried_by: Option<IncidentId>,
}

/// How full one window of a rate is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counted {
    /// So many acts lie in it.
    pub acts: u32,
    /// When it has room again, where it is full.
    pub room: Option<Stamp>,
}

/// What happens elsewhere at the same time.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Burst {
    /// New incidents within the storm's time that nothing upstream explains.
    pub unexplained: u32,
    /// Open incidents whose latest look could not see …
    pub blind: u32,
    /// … of so many that were looked at lately.
    pub looked: u32,
}

/// The past of one case, as far as the limits in force count it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct History {
    /// Started orders of this runbook on this target, oldest first. Undo and end do not count.
    pub attempts: Vec<Attempted>,
    /// Started orders of any runbook that acted on what the step acts on: so many within each window of the rule, in its order.
    pub on_target: Vec<Counted>,
    /// Started orders of any runbook anywhere, in the same way.
    pub overall: Vec<Counted>,
    /// What acts cost of the budget of disruption within its time.
    pub spent: u32,
    /// Other incidents in the middle of an act.
    pub at_work: u32,
    /// When earlier incidents ended as cured, oldest first.
    pub cured: Vec<Stamp>,
    /// This runbook's failures in a row.
    pub failed: Streak,
    /// All runbooks' failures in a row.
    pub failed_overall: Streak,
    /// What happens elsewhere.
    pub burst: Burst,
    /// An incident that ended because nobody could see whether its act on the same target landed: it may have landed late.
    pub doubtful: Option<IncidentId>,
    /// Open incidents of others on what this one's targets rest on. One that only sustains a proved effect is none.
    pub upstream: BTreeMap<TargetId, IncidentId>,
    /// What the text that the incident follows has earned; nothing where its runbook does not go by that.
    pub earned: Standing,
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
