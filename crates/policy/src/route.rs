//! From labels to a runbook and a target. Pure, so that `check`, `fire --dry-run` and the night itself agree. Deliberately
//! decides nothing else: whether to act comes later, after a look.

use runbook::alert::{Labels, NOT_FOR_US};
use runbook::book::{Configuration, Runbook};
use runbook::target::TargetId;

/// What became of an alert.
#[derive(Clone, PartialEq, Debug)]
pub struct Routing<'a> {
    /// The runbook and target it goes to, if any.
    pub chosen: Option<(&'a Runbook, TargetId)>,
    /// Runbooks that match and do not get it, each with the reason.
    pub refused: Vec<(&'a str, String)>,
}

/// Finds the runbook for these labels: of those that match and whose target is found, the highest priority; of equal ones
/// the first by name. What is said about runbookd itself is for people, whatever matches it and however it came here.
pub fn route<'a>(configuration: &'a Configuration, labels: &Labels) -> Routing<'a> {
    let mut matching = configuration.runbooks.matching(labels);
    matching.sort_by(|a, b| b.priority.cmp(&a.priority).then_with(|| a.name.cmp(&b.name)));
    let mut routing = Routing { chosen: None, refused: Vec::new() };
    let (label, never) = NOT_FOR_US;
    let is_about_us = labels.get(label).is_some_and(|value| value == never);
    for runbook in matching {
        if is_about_us {
            routing
                .refused
                .push((&runbook.name, format!("its label {label}=\"{never}\" says that it is about runbookd, and for people")));
            continue;
        }
        match (&routing.chosen, configuration.inventory.resolve(&runbook.target, labels)) {
            (Some((winner, _)), _) => {
                let why = format!("{} has priority {} and comes first", winner.name, winner.priority);
                routing.refused.push((&runbook.name, why));
            }
            (None, Ok(target)) => routing.chosen = Some((runbook, target.id.clone())),
            (None, Err(why)) => routing.refused.push((&runbook.name, why)),
        }
    }
    routing
}
