//! By whose word an act is done: each source of a mode names the highest that it allows, what it is, and who lifts it; the lowest
//! of all is in force. Why all that bind are named: lifting one of two changes nothing, and whoever tries should know it.

use runbook::book::{Configuration, Mode, Remedy, Runbook};
use runbook::time::Stamp;
use serde::{Deserialize, Serialize};

use crate::earned::Standing;

/// The highest mode that one source allows.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Bound {
    /// At most this.
    pub mode: Mode,
    /// What says so, and why, for people.
    pub why: String,
    /// Who lifts it, and how.
    pub lift: String,
}

impl Bound {
    pub(crate) fn new(mode: Mode, why: impl Into<String>, lift: impl Into<String>) -> Self {
        Self { mode, why: why.into(), lift: lift.into() }
    }
}

/// The runbook's own mode at this moment.
pub fn by_time(rules: &Runbook, current: &Configuration, now: Stamp) -> Bound {
    let in_force = rules
        .mode
        .during
        .iter()
        .filter(|(name, _)| current.intervals.get(*name).is_some_and(|intervals| intervals.contains(now.millis())));
    match in_force.min_by_key(|(_, mode)| **mode) {
        Some((name, mode)) => Bound::new(
            *mode,
            format!("interval {name}"),
            format!("the end of the interval {name} or the runbook's `mode` lifts it"),
        ),
        None => Bound::new(rules.mode.default, "default", "the runbook's `mode` lifts it"),
    }
}

/// The remedy's own mode, the current one too; the kept runbook can only make it more careful.
pub fn of_remedy(kept: Option<&Remedy>, rules: &Runbook) -> Option<Bound> {
    let kept = kept?;
    let current = rules.remedies.iter().find(|now| now.name == kept.name).and_then(|now| now.mode);
    let mode = [kept.mode, current].into_iter().flatten().min()?;
    Some(Bound::new(mode, "the remedy's own", format!("the `mode` of the remedy `{}` lifts it", kept.name)))
}

/// What was earned, where the runbook wants that.
pub fn by_record(rules: &Runbook, standing: &Standing) -> Option<Bound> {
    let rule = rules.mode.earned?;
    Some(Bound::new(standing.record.level, standing.words(), standing.record.lift(rule)))
}

/// The lowest, with all that bind, in their order. With none at all nothing is allowed.
pub fn lowest(bounds: Vec<Bound>) -> (Mode, Vec<Bound>) {
    let mode = bounds.iter().map(|bound| bound.mode).min().unwrap_or(Mode::Observe);
    (mode, bounds.into_iter().filter(|bound| bound.mode == mode).collect())
}

/// What binds, in one line.
pub fn whence(bound: &[Bound]) -> String {
    bound.iter().map(|bound| bound.why.as_str()).collect::<Vec<_>>().join("; ")
}

/// Who lifts it, in one line.
pub fn lifts(bound: &[Bound]) -> String {
    bound.iter().map(|bound| bound.lift.as_str()).collect::<Vec<_>>().join("; and ")
}
