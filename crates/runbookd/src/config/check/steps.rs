//! What a ladder takes for granted: that a step which fails leaves nothing behind, and that a proof proves something. Limits,
//! ends of lasting effects and floors of healthy replicas are refused when the configuration is loaded; here stands what is
//! allowed and should be known. What an action is comes from its table of facts.

use runbook::action::{Action, Destroys, DockerAction};
use runbook::book::{Remedy, Runbook};
use runbook::target::{Place, TargetSelector};

use super::pages::Pages;
use crate::config::Loaded;
use crate::config::complaint::Severity;

/// Looks at every remedy of every runbook.
pub fn complain(loaded: &Loaded, pages: &Pages<'_>) {
    for runbook in loaded.configuration.runbooks.values() {
        for (number, remedy) in runbook.remedies.iter().enumerate() {
            undo(pages, runbook, number, remedy);
            ceiling(loaded, pages, runbook, number, remedy);
            proof(pages, runbook, number, remedy);
            guard(pages, runbook, number, remedy);
        }
    }
}

/// A step without undo before one that can fail.
fn undo(pages: &Pages<'_>, runbook: &Runbook, number: usize, remedy: &Remedy) {
    for (index, step) in remedy.steps.iter().enumerate() {
        let facts = step.action.facts();
        let Some(next) = remedy.steps.get(index + 1).filter(|_| !facts.undo) else { continue };
        let message = format!(
            "`{}` cannot be undone: when `{}` after it fails, this stays as it is: {}",
            facts.name, next.action, facts.disturbs
        );
        let mend = "put it last, or make what follows a remedy of its own";
        pages.say(Severity::Warning, &runbook.name, &format!("remedies[{number}].steps[{index}]"), message, mend);
    }
}

/// More replicas than the service may have: the step would do less than it says.
fn ceiling(loaded: &Loaded, pages: &Pages<'_>, runbook: &Runbook, number: usize, remedy: &Remedy) {
    for (index, step) in remedy.steps.iter().enumerate() {
        let Action::Docker(DockerAction::Scale(scale)) = &step.action else { continue };
        let named = match &runbook.target {
            TargetSelector::Named(id) => Some(id),
            TargetSelector::Lookup { .. } => None,
        };
        let target = step.target.as_ref().or(named).and_then(|id| loaded.configuration.inventory.get(id));
        let Some(target) = target else { continue };
        let Place::Service { scope, .. } = &target.place else { continue };
        if scale.to > scope.at_most {
            let message = format!("`to: {}` is more than {} may have: its `at_most` is {}", scale.to, target.id, scope.at_most);
            let mend = "write a smaller `to`, or a larger `at_most` of the target in targets.yaml";
            pages.say(Severity::Error, &runbook.name, &format!("remedies[{number}].steps[{index}]"), message, mend);
        }
    }
}

/// A destructive step whose verification verifies nothing, or only for a moment.
fn proof(pages: &Pages<'_>, runbook: &Runbook, number: usize, remedy: &Remedy) {
    let destructive = remedy.steps.iter().map(|step| step.action.facts()).find(|facts| facts.destroys != Destroys::Nothing);
    let Some(facts) = destructive else { return };
    let until = remedy.verify.until.source();
    let before = [Some(&runbook.require), remedy.when.as_ref()].into_iter().flatten();
    if before.map(|condition| condition.source()).any(|source| source == until) {
        let message = format!("`{until}` must hold before `{}` too, so afterwards it proves nothing", facts.name);
        let part = format!("remedies[{number}].verify.until");
        pages.say(Severity::Error, &runbook.name, &part, message, "say what is different once it has helped");
    }
    if remedy.verify.hold.duration().is_zero() {
        let message = format!("`{}` takes something away for good, and one look is taken as proof that it helped", facts.name);
        let part = format!("remedies[{number}].verify.hold");
        pages.say(Severity::Warning, &runbook.name, &part, message, "write a `hold` of 15s or more");
    }
}

/// A guard that watches for what must hold before the first step anyway: what held before is no harm, so it guards nothing.
fn guard(pages: &Pages<'_>, runbook: &Runbook, number: usize, remedy: &Remedy) {
    let before = || [Some(&runbook.require), remedy.when.as_ref()].into_iter().flatten();
    for (index, condition) in remedy.guard.iter().flat_map(|guard| &guard.stop_if).enumerate() {
        if before().any(|required| required.source() == condition.source()) {
            let message = format!(
                "`{condition}` must hold before the first step, and what held before it is no harm, so this guards nothing"
            );
            let part = format!("remedies[{number}].guard.stop_if[{index}]");
            pages.say(Severity::Warning, &runbook.name, &part, message, "name a value that is worse than what is being cured");
        }
    }
}
