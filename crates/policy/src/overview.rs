//! How a runbook stands now: what it may do, what binds it and who lifts that, what it has earned and how. For people and metrics; the
//! same sources as the gates, so that both say the same. What depends on one target or one act is named, and binds only there.

use runbook::book::{Configuration, Mode, Runbook};
use runbook::target::TargetId;
use runbook::time::Stamp;
use serde::{Deserialize, Serialize};

use crate::earned::{Record, Standing};
use crate::guards;
use crate::ledger::{Ledger, OpenBreaker};
use crate::modes::{self, Bound};

/// How a runbook stands.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Overview {
    /// Which.
    pub runbook: String,
    /// What its configuration allows now, at most.
    pub ceiling: Mode,
    /// What it may do now; a pause and an open breaker stand beside it.
    pub mode: Mode,
    /// What keeps it from more, with who lifts that.
    pub bound: Vec<Bound>,
    /// So many in a row earn a level; none where its mode need not be earned.
    pub after: Option<u32>,
    /// How many more of them the next level needs; none at the highest, or where nothing is earned.
    pub missing: Option<u32>,
    /// What its text of now has earned, and what was counted.
    pub record: Record,
    /// What another text of it had earned, where this one has no record.
    pub before: Option<Mode>,
    /// Targets on which its cures came back so often that a person is asked.
    pub masks: Vec<Masks>,
    /// Its breaker, where that is open.
    pub breaker: Option<OpenBreaker>,
}

/// A target on which cures only mask a cause.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Masks {
    /// Which.
    pub target: TargetId,
    /// With its numbers.
    pub why: String,
}

/// How a runbook stands now.
pub fn overview(rules: &Runbook, current: &Configuration, ledger: &Ledger, now: Stamp) -> Overview {
    let Standing { record, before } = ledger.standing(&rules.name, &rules.deed());
    let ceiling = modes::by_time(rules, current, now);
    let mut bounds = vec![ceiling.clone()];
    bounds.extend(modes::by_record(rules, &Standing { record: record.clone(), before }));
    let (mode, bound) = modes::lowest(bounds);
    let masks = ledger.cures(rules).filter_map(|(target, cured)| {
        let why = guards::masks(rules.limits.recurrence, &cured, now)?;
        Some(Masks { target: target.clone(), why })
    });
    Overview {
        runbook: rules.name.clone(),
        ceiling: ceiling.mode,
        mode,
        bound,
        after: rules.mode.earned.map(|rule| rule.after),
        missing: rules.mode.earned.and_then(|rule| record.missing(rule)),
        record,
        before,
        masks: masks.collect(),
        breaker: ledger.breaker(Some(&rules.name), &current.rules.breaker),
    }
}
