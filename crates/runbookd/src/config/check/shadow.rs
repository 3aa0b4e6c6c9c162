//! Runbooks that no alert ever reaches, and runbooks between which only the alphabet decides. Why: each looks perfect by
//! itself. What an example proves is an error, what a pattern leaves open is said as such. Rules are not asked here; whether
//! a rule fires such an alert is another file's question.

use runbook::book::Runbook;
use runbook::matcher::Matchers;
use runbook::target::TargetSelector;

use super::matching::{Room, implies, room};
use super::pages::Pages;
use crate::config::Loaded;
use crate::config::complaint::Severity;

/// Complains about runbooks that can never match, that are shadowed, and that may tie.
pub fn complain(loaded: &Loaded, pages: &Pages<'_>) {
    let heads: Vec<(&Runbook, &Matchers)> =
        loaded.configuration.runbooks.values().filter_map(|runbook| Some((runbook, runbook.matches.as_ref()?))).collect();
    let mut alive = Vec::new();
    for (runbook, matchers) in heads {
        match room(matchers.as_slice()) {
            Room::For(_) => alive.push((runbook, matchers)),
            Room::None(written) => {
                let message = format!("no alert can ever satisfy {} at once", written.join(" and "));
                let mend = "remove one of them; all matchers of a runbook must hold together";
                pages.say(Severity::Error, &runbook.name, "match", message, mend);
            }
            // One pattern by itself contradicts nothing.
            Room::Perhaps(written) if written.len() == 1 => alive.push((runbook, matchers)),
            Room::Perhaps(written) => {
                let message = format!("whether any alert satisfies {} at once was not decided", written.join(" and "));
                let mend = "write one pattern that says what is meant";
                pages.say(Severity::Note, &runbook.name, "match", message, mend);
                alive.push((runbook, matchers));
            }
        }
    }
    for (index, (runbook, matchers)) in alive.iter().enumerate() {
        let above = alive.iter().filter(|(other, _)| other.priority > runbook.priority);
        if let Some((other, _)) = above.clone().find(|(other, others)| takes_all(other, others, runbook, matchers)) {
            let message = format!(
                "`{}` takes every alert that this matches: its priority is {}, and this one's is {}",
                other.name, other.priority, runbook.priority
            );
            let mend = "give this one the higher `priority`, or have the other leave something over";
            pages.say(Severity::Warning, &runbook.name, "match", message, mend);
        }
        for (other, others) in alive.iter().take(index).filter(|(other, _)| other.priority == runbook.priority) {
            // A tie that an example proves was an error when the configuration was loaded.
            if let Room::Perhaps(written) = room(matchers.as_slice().iter().chain(others.as_slice())) {
                let message = format!(
                    "whether an alert can match this and `{}`, both of priority {}, was not decided: {}",
                    other.name,
                    runbook.priority,
                    written.join(" and ")
                );
                let mend = "give one of the two a higher `priority`; of equal ones the first by name runs";
                pages.say(Severity::Warning, &runbook.name, "match", message, mend);
            }
        }
    }
}

/// Whether one runbook leaves nothing over for another. An alert whose label finds no target goes on to the next runbook, so
/// only one that always finds its target, or looks for it in the same way, takes all.
fn takes_all(other: &Runbook, others: &Matchers, runbook: &Runbook, matchers: &Matchers) -> bool {
    let finds = matches!(other.target, TargetSelector::Named(_)) || other.target == runbook.target;
    finds && others.as_slice().iter().all(|wanted| implies(matchers.as_slice(), wanted))
}
