//! What a round of looks changes besides the stage: whether what is next was seen to be needed, and what the guard goes by. Why
//! apart from the fold: this is read off findings, the rest of the fold off stages alone.

use std::time::Duration;

use crate::action::Action;
use crate::condition::Truth;
use crate::finding::Findings;
use crate::incident::stage::{Aim, Stage};
use crate::incident::{Failing, Incident};
use crate::time::Stamp;

/// Two looks further apart than this are not one after the other: nobody knows what was in between.
const FAILING_APART: Duration = Duration::from_secs(60);

impl Incident {
    // Looking → Deciding, or to what undoes it where harm was seen and nothing of ours was left down.
    pub(super) fn looked(&mut self, at: Stamp, findings: &Findings) -> Result<(), String> {
        let Stage::Looking(aim) = self.stage else { return Err("nobody asked for a look".to_owned()) };
        if aim == Aim::Do {
            // Evidence is of what was seen then; another look may choose others, which it does not cover.
            self.captured.remove(&self.at);
            self.failing = self.seen_failing(at, findings);
            if let (Some(mut watch), Some(guard)) = (self.watch.take(), self.guard()) {
                watch.arm(guard, findings);
                watch.look(guard, findings, at);
                self.watch = Some(watch);
            }
        }
        self.captured_back = None;
        if aim == Aim::Do && self.harm.is_some() && self.left_down(findings).is_none() {
            self.unwind("harm was seen");
        } else {
            self.stage = Stage::Deciding { aim, findings: findings.clone() };
        }
        Ok(())
    }

    // Whether the step that is next was seen to be needed, this time as the last: its own condition, or a failing replica.
    fn seen_failing(&self, at: Stamp, findings: &Findings) -> Option<Failing> {
        let step = self.step()?;
        let restart = match &step.action {
            Action::Docker(docker) => docker.restart().is_some(),
            _ => false,
        };
        let failing = match &step.only_while {
            Some(condition) => match condition.evaluate(findings) {
                Truth::True => Some(true),
                Truth::False => Some(false),
                Truth::Unknown(_) => None,
            },
            None if restart => {
                let target = step.target.as_ref().unwrap_or(&self.target);
                let seen = self.seen_at(findings, step.action.facts().selects_from, target);
                seen.and_then(|finding| finding.number("failing")).map(|failing| failing > 0.0)
            }
            None => Some(false),
        };
        let before = self.failing.filter(|before| at.since(before.latest) <= FAILING_APART);
        match (failing, before) {
            (Some(true), Some(before)) => Some(Failing { latest: at, looks: before.looks.saturating_add(1), ..before }),
            (Some(true), None) => Some(Failing { since: at, latest: at, looks: 1 }),
            (Some(false), _) => None,
            // A look that cannot see neither counts nor clears; else each one between two that see would begin the count anew.
            (None, before) => before,
        }
    }
}
