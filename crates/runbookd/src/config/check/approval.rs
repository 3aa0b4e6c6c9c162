//! Who could agree to what, as far as the configuration tells: a step that nobody may agree to is never done where a person
//! has to be asked. Deliberately nothing about tokens: whether they are there is for `runbookd doctor`, at the daemon's place.

use runbook::approval::About;
use runbook::book::{Mode, Runbook};
use runbook::target::{TargetId, TargetSelector};

use super::pages::Pages;
use crate::config::Loaded;
use crate::config::complaint::Severity;

/// Looks at every step of every runbook that may ever act.
pub fn complain(loaded: &Loaded, pages: &Pages<'_>) {
    let configuration = &loaded.configuration;
    if !configuration.approval.proves_names() {
        return;
    }
    for runbook in configuration.runbooks.values().filter(|runbook| acts(runbook)) {
        for (number, remedy) in runbook.remedies.iter().enumerate() {
            for (index, step) in remedy.steps.iter().enumerate() {
                let part = format!("remedies[{number}].steps[{index}]");
                let action = step.action.facts().name;
                for own in own_targets(loaded, runbook) {
                    let target = step.target.as_ref().unwrap_or(&own);
                    let about = About { runbook: &runbook.name, own: &own, target, action };
                    let may = configuration.approval.may_agree(&configuration.inventory, &about).unwrap_or_default();
                    let mut names = may.iter();
                    match (names.next(), names.next()) {
                        (None, _) => {
                            let message = format!(
                                "nobody may agree to `{action}` on {target}: the rules of `approval` that fit it name nobody in common"
                            );
                            let mend = "name somebody in every rule that fits, or make the rules fit less";
                            pages.say(Severity::Error, &runbook.name, &part, message, mend);
                        }
                        (Some(only), None) if !configuration.approval.self_approval => {
                            let message = format!(
                                "only {only} may agree to `{action}` on {target}: what {only} starts by hand, nobody may agree to"
                            );
                            let mend = "name somebody else too, or write `self_approval: true`";
                            pages.say(Severity::Note, &runbook.name, &part, message, mend);
                        }
                        _ => {}
                    }
                }
            }
        }
    }
}

fn acts(runbook: &Runbook) -> bool {
    runbook.mode.during.values().chain([&runbook.mode.default]).any(|mode| *mode != Mode::Observe)
}

fn own_targets(loaded: &Loaded, runbook: &Runbook) -> Vec<TargetId> {
    match &runbook.target {
        TargetSelector::Named(id) => vec![id.clone()],
        TargetSelector::Lookup { kind, .. } => {
            let all = loaded.configuration.inventory.iter().map(|target| &target.id);
            all.filter(|id| id.kind == *kind).cloned().collect()
        }
    }
}
