//! Faults of our own, and when an incident that keeps meeting one is given to a person. What only comes from the journal's or the
//! world's bad weather is none: it is tried again for as long as it lasts. Deliberately no mend: whoever is called has the log.

use journal::{AppendError, Claim};
use runbook::incident::{Event, How, Stage};

use crate::engine::Engine;
use crate::world::World;

/// So many of them in a row, the last ones minutes apart, are borne.
const BORNE: u32 = 8;

/// A fault that no weather explains.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// A panic.
    #[error("runbookd panicked; the log has the place")]
    Panicked,
    /// A start that the counters let through and the journal does not.
    #[error("the limits on record refused {0} starts in a row that the counters had let through")]
    Refused(u32),
}

pub(crate) fn is_ours(error: &anyhow::Error) -> bool {
    let illegal = |cause: &AppendError| matches!(cause, AppendError::Illegal(_));
    error.downcast_ref::<AppendError>().is_some_and(illegal) || error.is::<Fault>()
}

impl<W: World> Engine<W> {
    /// Hands an incident over at which so many faults of ours came in a row; whether it did. Of an order in doubt a person is called,
    /// once, and it is tried further: nobody knows how it ended.
    pub(crate) async fn handed_over_for(&self, claim: &mut Claim, faults: u32, error: &anyhow::Error) -> bool {
        if faults < BORNE {
            return false;
        }
        let why = format!("runbookd itself failed at it {faults} times: {error:#}; what it did so far stands as it is");
        let event = match claim.incident.stage {
            Stage::InDoubt => Event::Unsettled { since: self.world.now(), why },
            Stage::Closing { .. } | Stage::Closed { .. } => return false,
            // What was done may have left something down, which raises no alert of its own.
            _ if claim.incident.acted() => Event::Ending { how: How::Stuck, why, gates: Vec::new() },
            _ => Event::Ending { how: How::HandedOver, why, gates: Vec::new() },
        };
        self.append(claim, event).await.is_ok()
    }
}
