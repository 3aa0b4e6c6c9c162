//! What was silenced for an order, in the fold. Why here: a silence must never outlast the deadline of the step that it was made for,
//! whoever made it, and a second life has to know what may still be in force. Deliberately nothing follows from it: neither what was
//! silenced nor what was not changes what is done.

use crate::incident::{Incident, Stage};
use crate::silence::{Became, Quieted, Silence};
use crate::time::Stamp;

impl Incident {
    /// Silences that were made for what it did and that have not ended by themselves.
    pub fn silences(&self, now: Stamp) -> Vec<Silence> {
        let all = self.attempts.iter().flat_map(|attempt| &attempt.silences);
        all.filter(|silence| now < silence.ends).cloned().collect()
    }

    // InDoubt, before the call has replied.
    pub(super) fn quieted(&mut self, alerts: &[Quieted]) -> Result<(), String> {
        let Stage::InDoubt = self.stage else { return Err("no order is in doubt".to_owned()) };
        let attempt = self.attempts.last_mut().ok_or("no order was started")?;
        if attempt.reply.is_some() {
            return Err("the call has already replied".to_owned());
        }
        for quieted in alerts {
            let Became::Silenced(silence) = &quieted.became else { continue };
            if silence.ends > attempt.deadline {
                return Err("a silence would outlast the deadline of its step".to_owned());
            }
            attempt.silences.push(silence.clone());
        }
        Ok(())
    }
}
