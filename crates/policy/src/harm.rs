//! The guard of a remedy at its decisions: nothing further is begun while something that the remedy watches has come to hold since its
//! first step, and nothing is begun at all while that could not be seen. Why two gates: the first comes before everything that could
//! keep an incident waiting in the middle of what does harm; the second has nothing to say before it is known that there is something to do.
//! Nothing here mints a permit.

use runbook::condition::Truth;
use runbook::incident::{How, Judged, Waiting, Watch};

use crate::decide::{Case, Decision, Word, instead};
use crate::guards::{self, end, wait, wait_for_sight};

const UNWATCHED: &str = "the remedy names nothing that would be harm";

/// Whether what was begun may go on.
pub(crate) fn none_so_far(case: &Case<'_>) -> Word {
    if let Some(word) = guards::finishes(case) {
        return Ok(word.into());
    }
    if let Some(harm) = &case.incident.harm {
        return Err(end(How::HandedOver, harm.clone()));
    }
    let Some(guard) = case.incident.guard() else { return Ok(UNWATCHED.into()) };
    let Some(watch) = &case.incident.watch else { return Ok("nothing was done so far".into()) };
    match watch.judge(guard, case.findings) {
        Judged::Fine => Ok(match watch.excused(guard).map(|condition| condition.source()).collect::<Vec<_>>().as_slice() {
            [] => "nothing that is watched has come to hold".into(),
            excused => {
                format!("nothing that is watched has come to hold; `{}` did before the first step", excused.join("`, `")).into()
            }
        }),
        Judged::Harm { condition, why } => Err(instead(why.clone(), Decision::Harm { condition, why })),
        Judged::Suspected { again, why, .. } => Err(wait(again.max(case.now), Waiting::Time, why)),
        Judged::Unseen { why, .. } => Err(wait_for_sight(case, &why)),
    }
}

/// Before the first step: whether harm by it would be seen. What holds already is being cured, and no harm by it.
pub(crate) fn is_watched(case: &Case<'_>) -> Word {
    let Some(guard) = case.incident.guard() else { return Ok(UNWATCHED.into()) };
    if case.incident.watch.is_some() {
        return Ok("asked before the rung's first step".into());
    }
    for condition in &guard.stop_if {
        if let Truth::Unknown(why) = condition.evaluate(case.findings) {
            let source = condition.source();
            return Err(wait_for_sight(
                case,
                &format!("nothing is begun while `{source}`, which would be harm, cannot be seen: {why}"),
            ));
        }
    }
    let excused = Watch::begin(guard, case.findings);
    let already: Vec<&str> = excused.excused(guard).map(|condition| condition.source()).collect();
    let count = guard.stop_if.len();
    let words = match already.as_slice() {
        [] => format!("{count} watched conditions are seen, and none holds"),
        already => {
            format!("{count} watched conditions are seen; `{}` holds already and is no harm by this", already.join("`, `"))
        }
    };
    Ok(words.into())
}
