//! The guard of a remedy: what must not come about while it is at work. Its conditions are checked like all others, so one that speaks
//! of nothing that is looked at is refused here. Why bounds: a guard that waits long for its second look guards little.

use runbook::Span;
use runbook::book::{Guard, Verify};

use super::conditions::{Fields, condition};
use super::{may, need};
use crate::config::written::runbook::WrittenGuard;
use crate::config::yaml::{Document, Placed};

/// Looks in a row that are wanted, where nothing is said.
const USUAL_LOOKS: u32 = 2;
/// How far apart, where nothing is said.
const USUAL_APART: Span = Span::secs(5);
/// More looks than this are not waited for.
const MOST_LOOKS: u32 = 10;
/// Nor any that are further apart.
const LONGEST_APART: Span = Span::secs(60);

/// Reads a guard; none where any part of it is wrong.
pub fn guard(document: &Document, placed: &Placed<WrittenGuard>, fields: &Fields, verify: Option<&Verify>) -> Option<Guard> {
    let written = placed.get()?;
    let looks = may(&written.looks).copied().unwrap_or(USUAL_LOOKS);
    if let Some(at) = written.looks.as_ref().filter(|_| looks == 0 || looks > MOST_LOOKS) {
        document.complain(
            at.at(),
            format!("`looks: {looks}` is not between 1 and {MOST_LOOKS}"),
            "write 2, so that one blip undoes nothing, or 1 where one look is enough",
        );
    }
    let apart = may(&written.apart).copied().unwrap_or(USUAL_APART);
    if let Some(at) = written.apart.as_ref().filter(|_| apart < Span::millis(100) || apart > LONGEST_APART) {
        document.complain(
            at.at(),
            format!("`apart: {apart}` is not between 100ms and {LONGEST_APART}"),
            "write 5s, or as long as what is looked at needs for a new value",
        );
    }
    let conditions = need(document, placed.at(), &written.stop_if, "stop_if")?;
    if conditions.is_empty() {
        document.complain(written.stop_if.at(), "this guard watches for nothing", "add a condition, or remove the guard");
    }
    let mut stop_if = Vec::new();
    for one in conditions {
        let read = condition(document, one, fields);
        if let (Some(read), Some(verify)) = (&read, verify)
            && read.source() == verify.until.source()
        {
            document.complain(
                one.at(),
                "the very thing that proves the cure would stop it as harm",
                "say what must not come about, as in errors.value > 0.1",
            );
        }
        stop_if.push(read);
    }
    let right = (1..=MOST_LOOKS).contains(&looks) && (Span::millis(100)..=LONGEST_APART).contains(&apart);
    let stop_if: Option<Vec<_>> = stop_if.into_iter().collect();
    Some(Guard { stop_if: stop_if.filter(|all| right && !all.is_empty())?, looks, apart })
}
